"""Two indexes over the keys of a pool, which find a key without a search through all of them.

    IdleIndex      the key with the most idle slots
    BlockedIndex   the key whose first caller has waited longest because of the limit of the pool

They are parts of a `PoolState`, and need its lock.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable
from typing import Generic, TypeVar

from pooledhttp.pool.key_state import KeyState

__all__ = ["BlockedIndex", "IdleIndex"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: `BlockedIndex` tolerates outdated entries up to this size.
_TIDY_SIZE = 64


class IdleIndex(Generic[K, R]):
    """Finds the key with the most idle slots, without a search through all keys.

    Bucket `n` has the keys with `n` idle slots. A key is moved up when its number exceeds that of
    its bucket. It is not moved down when the number falls, but when a search finds it in a bucket
    that is too high. A key is moved down at most as often as up, so the average cost does not
    depend on the number of keys. To take a slot and give it back, the common case, moves no key.
    """

    __slots__ = ("_buckets", "_random")

    def __init__(self, random_source: random.Random) -> None:
        self._buckets: list[list[KeyState[K, R]]] = [[]]  # bucket 0 stays empty
        self._random = random_source

    def update(self, key_state: KeyState[K, R]) -> None:
        """Move a key to the bucket of its present number of idle slots."""
        self.remove(key_state)
        count = len(key_state.idle)
        if not count:
            return
        buckets = self._buckets
        while len(buckets) <= count:
            buckets.append([])
        key_state.bucket = count
        key_state.bucket_index = len(buckets[count])
        buckets[count].append(key_state)

    def remove(self, key_state: KeyState[K, R]) -> None:
        """Forget a key."""
        if not key_state.bucket:
            return
        bucket = self._buckets[key_state.bucket]
        last = bucket.pop()
        if last is not key_state:  # the last one moves into the gap
            bucket[key_state.bucket_index] = last
            last.bucket_index = key_state.bucket_index
        key_state.bucket = 0

    def largest(self) -> KeyState[K, R] | None:
        """Return the key with the most idle slots, or None. Among equals it chooses at random."""
        buckets = self._buckets
        while len(buckets) > 1:
            bucket = buckets[-1]
            if not bucket:
                buckets.pop()
                continue
            key_state = bucket[self._random.randrange(len(bucket))]
            if len(key_state.idle) == key_state.bucket:
                return key_state
            self.update(key_state)
        return None


class BlockedIndex(Generic[K, R]):
    """Finds the caller that has waited longest because of the limit of the whole pool.

    Keys that have reached their own limit do not count. The index is a heap with one entry per key,
    for the first caller in the key's queue. An entry that is outdated stays until it reaches the
    top of the heap, and is dropped there.
    """

    __slots__ = ("_heap", "_tidy_size")

    def __init__(self) -> None:
        # Serial numbers are never equal, so key states are never compared.
        self._heap: list[tuple[float, int, KeyState[K, R]]] = []
        self._tidy_size = _TIDY_SIZE

    def __bool__(self) -> bool:
        return bool(self._heap)  # outdated entries count, so it may be true for no caller

    def __len__(self) -> int:
        return len(self._heap)

    def update(self, key_state: KeyState[K, R]) -> None:
        """Add an entry for the first caller of a key, if only the limit of the pool stops it."""
        if not key_state.waiting or key_state.open >= key_state.max_open:
            return
        serial, first = next(iter(key_state.waiting.items()))
        if key_state.blocked_serial == serial:
            return
        key_state.blocked_serial = serial
        heapq.heappush(self._heap, (first.called_at, serial, key_state))
        if len(self._heap) > self._tidy_size:
            self._tidy()

    def longest_waiting(self) -> KeyState[K, R] | None:
        """Return the key whose first caller has waited longest, or None; drop outdated entries."""
        heap = self._heap
        while heap:
            _, serial, key_state = heap[0]
            if self._is_current(serial, key_state):
                return key_state
            if key_state.blocked_serial == serial:
                key_state.blocked_serial = -1
            heapq.heappop(heap)
        return None

    def longest_waiting_except(self, key_state: KeyState[K, R]) -> KeyState[K, R] | None:
        """Return the key other than this one whose first caller has waited longest, or None."""
        first = self.longest_waiting()
        if first is not key_state:
            return first
        entry = heapq.heappop(self._heap)
        second = self.longest_waiting()
        heapq.heappush(self._heap, entry)
        return second

    @staticmethod
    def _is_current(serial: int, key_state: KeyState[K, R]) -> bool:
        """Whether an entry is for the first caller of a key that only the pool's limit stops."""
        return (
            key_state.blocked_serial == serial
            and key_state.open < key_state.max_open
            and next(iter(key_state.waiting), -1) == serial
        )

    def _tidy(self) -> None:
        """Drop all outdated entries.

        It runs only after the heap has doubled, so its cost per insertion is constant.
        """
        kept = []
        for entry in self._heap:
            if self._is_current(entry[1], entry[2]):
                kept.append(entry)
            elif entry[2].blocked_serial == entry[1]:
                entry[2].blocked_serial = -1
        heapq.heapify(kept)
        self._heap[:] = kept
        self._tidy_size = 2 * len(kept) + _TIDY_SIZE
