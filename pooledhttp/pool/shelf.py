"""Places, and finding the idle one that is missed least.

A `Place` is counted against the limits from the moment it is given to its first lease until its
resource has been closed:

    empty ---fill---> in use ---release---> idle
      |                 |  ^                  |
      |                 |  +----acquire-------+
      |                 v                     v
      +-------------> closing <---------------+      gone when the close has returned

`IdleRanking` finds the key with most idle places, and a random one among equals, without looking
at all keys. It holds keys in buckets by their idle count. Only growth is recorded at once; a key
whose count fell stays in its old bucket until a search meets it there, and is moved then. Every
such move was paid for by growth before, so an operation costs the same however many keys there are,
and taking one and giving it back, the common case, does not touch the buckets at all.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from pooledhttp.pool.record import Record

__all__ = ["IdleRanking", "Place", "Watch"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Watch:
    """What leak detection wants to know of one lease; made only when it is on.

    Args:
        where: File and line of the caller outside the package, empty if there is none.
        thread: The name of its thread.
        now: When the lease was last used: now.
    """

    __slots__ = ("busy", "is_reported", "thread", "touched_at", "where")

    def __init__(self, where: str, thread: str, now: float) -> None:
        self.where = where
        self.thread = thread
        self.touched_at = now
        self.busy = False
        self.is_reported = False

    def __str__(self) -> str:
        return (f", leased at {self.where}" if self.where else "") + f" in {self.thread}"


class Place(Generic[K, R]):
    """Room for one resource, and the resource. Guarded by the lock of the pool."""

    __slots__ = (
        "counts", "epoch", "idle_before", "idle_since", "keep_until", "opened_at", "record",
        "resource", "retire_at", "taken_at", "uses", "watch",
    )  # fmt: skip

    def __init__(self, record: Record[K, R]) -> None:
        self.record = record
        self.resource: R | None = None
        self.epoch = record.epoch  # a record whose epoch has moved on wants its places back
        self.opened_at = 0.0
        self.retire_at = inf  # not used again from then on, by age
        self.keep_until = inf  # while idle: not used again from then on, for any reason
        self.idle_since = 0.0
        self.idle_before = 0.0  # how long it had been idle when the present lease got it
        self.taken_at = 0.0
        self.uses = 0
        self.counts = True  # False for a keeper's lease, which is no request
        self.watch: Watch | None = None  # of the present lease, if leaks are looked for


class IdleRanking(Generic[K, R]):
    """The keys that have idle places, by how many they have."""

    __slots__ = ("_buckets", "_random")

    def __init__(self, random_source: random.Random) -> None:
        self._buckets: list[list[Record[K, R]]] = [[]]  # number 0 stays empty
        self._random = random_source

    def rise(self, record: Record[K, R]) -> None:
        """Record that a key has more idle places than the bucket says it is in."""
        self._leave(record)
        self._enter(record, len(record.shelf))

    def drop(self, record: Record[K, R]) -> None:
        """Forget a key."""
        self._leave(record)

    def richest(self) -> Record[K, R] | None:
        """Return a key with most idle places, at random among equals; None when none has any."""
        buckets = self._buckets
        while len(buckets) > 1:
            bucket = buckets[-1]
            if not bucket:
                buckets.pop()
                continue
            record = bucket[self._random.randrange(len(bucket))]
            if len(record.shelf) == record.listed:
                return record
            self._leave(record)
            self._enter(record, len(record.shelf))
        return None

    def _enter(self, record: Record[K, R], count: int) -> None:
        if not count:
            return
        buckets = self._buckets
        while len(buckets) <= count:
            buckets.append([])
        record.listed = count
        record.listed_at = len(buckets[count])
        buckets[count].append(record)

    def _leave(self, record: Record[K, R]) -> None:
        if not record.listed:
            return
        bucket = self._buckets[record.listed]
        last = bucket.pop()
        if last is not record:  # the last one moves into the gap
            bucket[record.listed_at] = last
            last.listed_at = record.listed_at
        record.listed = 0
