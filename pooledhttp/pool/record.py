"""All that a pool knows of one key: its limits, its counts, its shelf and its line."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from pooledhttp.pool.freshness import Freshness
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.stats import Tally
from pooledhttp.pool.waiters import Waiting

__all__ = ["UNLIMITED", "Record"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: Stands for "no limit", so that the comparison is the same with and without one.
UNLIMITED = sys.maxsize


class Record(Generic[K, R]):
    """The record of one key. Guarded by the lock of the pool."""

    __slots__ = (
        "alive_at", "blocked_serial", "closing", "dialling", "epoch", "freshness", "idle_limit",
        "key", "listed", "listed_at", "max_idle", "max_open", "min_idle", "open", "origin", "shelf",
        "tally", "waiters", "warming",
    )  # fmt: skip

    def __init__(self, key: K, origin: str, limits: Limits, now: float) -> None:
        self.key = key
        self.origin = origin
        self.open = 0
        self.dialling = 0  # of those in use, how many are empty
        self.closing = 0
        self.warming = 0  # of those in use, how many a keeper has
        self.shelf: deque[Place[K, R]] = deque()  # the newest is on the right
        self.waiters: OrderedDict[int, Waiting[K, R]] = OrderedDict()
        self.epoch = 0
        self.listed = 0  # where the ranking has it
        self.listed_at = 0
        self.blocked_serial = -1  # whom the heap of blocked lines has as its first caller
        self.freshness = Freshness()
        # Copies of what every request has to know: one object less to touch among ten thousand.
        self.idle_limit = inf
        self.alive_at = 0.0  # found alive at that age, so that younger ones are no news
        self.tally = Tally(now)
        self.limit(limits)

    def limit(self, limits: Limits) -> None:
        """Take over new limits."""
        self.max_open = UNLIMITED if limits.max_open is None else limits.max_open
        self.max_idle = UNLIMITED if limits.max_idle is None else limits.max_idle
        self.min_idle = limits.min_idle

    def saw_alive(self, age: float) -> None:
        """A resource that had been idle for `age` was alive."""
        self.alive_at = max(self.alive_at, age)
        self.freshness.saw_alive(age)

    def saw_closed(self, age: float, now: float) -> None:
        """A resource that had been idle for `age` was dead."""
        self.alive_at = 0.0  # what was known may be known again
        self.freshness.saw_closed(age, now)
        self.idle_limit = self.freshness.limit

    def review(self, now: float) -> None:
        """Forget an idle limit that is too old to go by."""
        self.freshness.review(now)
        self.idle_limit = self.freshness.limit

    @property
    def in_use(self) -> int:
        """Places that leases have."""
        return self.open - len(self.shelf) - self.closing
