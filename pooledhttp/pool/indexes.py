"""Three indexes over the keys of a pool, which find a key without a search through all of them.

    IdleIndex      the key with the most idle slots
    ExpiryIndex    the keys with idle slots that may have expired
    BlockedIndex   the key whose first caller has waited longest because of the limit of the pool

They are parts of a `PoolState`, and need its lock.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from pooledhttp.pool.key_state import KeyState

__all__ = ["BlockedIndex", "ExpiryIndex", "IdleIndex"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: A `_TimeHeap` tolerates outdated entries up to this size.
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


class _TimeHeap(Generic[K, R]):
    """Keys by a time, the earliest first.

    A key has at most one entry that is current. An entry that is outdated stays until it reaches
    the top, or until the heap has doubled.
    """

    __slots__ = ("_heap", "_tidy_size")

    def __init__(self) -> None:
        # Numbers are never equal, so key states are never compared.
        self._heap: list[tuple[float, int, KeyState[K, R]]] = []
        self._tidy_size = _TIDY_SIZE

    def __len__(self) -> int:
        return len(self._heap)  # outdated entries count

    def __bool__(self) -> bool:
        return bool(self._heap)

    def _is_current(self, time: float, number: int, key_state: KeyState[K, R]) -> bool:
        raise NotImplementedError

    def _forget(self, number: int, key_state: KeyState[K, R]) -> None:
        """Forget that a key has an entry of this number, which is outdated."""

    def _push(self, time: float, number: int, key_state: KeyState[K, R]) -> None:
        heapq.heappush(self._heap, (time, number, key_state))
        if len(self._heap) > self._tidy_size:
            self._tidy()

    def _top(self) -> tuple[float, int, KeyState[K, R]] | None:
        """Return the earliest current entry, or None; drop the outdated ones before it."""
        heap = self._heap
        while heap:
            entry = heap[0]
            if self._is_current(*entry):
                return entry
            self._forget(entry[1], entry[2])
            heapq.heappop(heap)
        return None

    def _tidy(self) -> None:
        """Drop all outdated entries.

        It runs only after the heap has doubled, so its cost per insertion is constant.
        """
        kept = []
        for entry in self._heap:
            if self._is_current(*entry):
                kept.append(entry)
            else:
                self._forget(entry[1], entry[2])
        heapq.heapify(kept)
        self._heap[:] = kept
        self._tidy_size = 2 * len(kept) + _TIDY_SIZE


class ExpiryIndex(_TimeHeap[K, R]):
    """Finds the keys with idle slots that may have expired, for the sweep.

    No idle slot of a key expires before its `sweep_at`. A slot that is used again expires later
    than noted here. Its key stays where it is: a sweep looks at it too early, and notes the new
    time. So a key that is in use costs a look for each idle timeout, and no request has to move it.
    """

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def add(self, key_state: KeyState[K, R], at: float) -> None:
        """Note that an idle slot of a key may expire at a time."""
        if at < key_state.sweep_at:
            key_state.sweep_at = at
            self._push(at, next(self._numbers), key_state)

    def pop_due(self, now: float) -> KeyState[K, R] | None:
        """Remove and return the next key to look at; None if none is due."""
        entry = self._top()
        if entry is None or entry[0] > now:
            return None
        heapq.heappop(self._heap)
        entry[2].sweep_at = inf
        return entry[2]

    def next_time(self) -> float:
        """Return when the next key is due; `inf` for never."""
        entry = self._top()
        return inf if entry is None else entry[0]

    def _is_current(self, time: float, number: int, key_state: KeyState[K, R]) -> bool:
        return key_state.sweep_at == time


class BlockedIndex(_TimeHeap[K, R]):
    """Finds the caller that has waited longest because of the limit of the whole pool.

    Keys that have reached their own limit do not count. A key has one entry, for the first caller
    in its queue.
    """

    __slots__ = ()

    def update(self, key_state: KeyState[K, R]) -> None:
        """Add an entry for the first caller of a key, if only the limit of the pool stops it."""
        if not key_state.waiting or key_state.open >= key_state.max_open:
            return
        serial, first = next(iter(key_state.waiting.items()))
        if key_state.blocked_serial == serial:
            return
        key_state.blocked_serial = serial
        self._push(first.called_at, serial, key_state)

    def longest_waiting(self) -> KeyState[K, R] | None:
        """Return the key whose first caller has waited longest, or None; drop outdated entries."""
        entry = self._top()
        return None if entry is None else entry[2]

    def longest_waiting_except(self, key_state: KeyState[K, R]) -> KeyState[K, R] | None:
        """Return the key other than this one whose first caller has waited longest, or None."""
        first = self.longest_waiting()
        if first is not key_state:
            return first
        entry = heapq.heappop(self._heap)
        second = self.longest_waiting()
        heapq.heappush(self._heap, entry)
        return second

    def _is_current(self, time: float, number: int, key_state: KeyState[K, R]) -> bool:
        """Whether an entry is for the first caller of a key that only the pool's limit stops."""
        return (
            key_state.blocked_serial == number
            and key_state.open < key_state.max_open
            and next(iter(key_state.waiting), -1) == number
        )

    def _forget(self, number: int, key_state: KeyState[K, R]) -> None:
        if key_state.blocked_serial == number:
            key_state.blocked_serial = -1
