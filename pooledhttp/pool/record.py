"""All that a pool knows of one key: its limits, its counts, its shelf and its line."""

from __future__ import annotations

import sys
from collections import OrderedDict
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
        "idle_timeout", "key", "listed", "listed_at", "max_idle", "max_open", "min_idle", "open",
        "origin", "shelf", "tally", "waiters", "warming",
    )  # fmt: skip

    def __init__(self, key: K, origin: str, now: float) -> None:
        self.key = key
        self.origin = origin
        self.open = 0
        self.dialling = 0  # of those in use, how many are empty
        self.closing = 0
        self.warming = 0  # of those in use, how many a keeper has
        # The newest is last. A deque would take from the old end without moving the others, but
        # it starts with a block of 64 places, which for ten thousand keys with one each is five
        # megabytes of what has to stay in the caches. Moving some hundred pointers is nothing
        # beside the close of a connection that follows whenever the old end is touched.
        self.shelf: list[Place[K, R]] = []
        self.waiters: OrderedDict[int, Waiting[K, R]] = OrderedDict()
        self.epoch = 0
        self.listed = 0  # where the ranking has it
        self.listed_at = 0
        self.blocked_serial = -1  # whom the heap of blocked lines has as its first caller
        self.freshness = Freshness()
        # Copies of what every request has to know: one object less to touch among ten thousand.
        self.idle_limit = inf  # idle for that long it is not used: by the settings, or as learned
        self.alive_at = 0.0  # found alive at that age, so that younger ones are no news
        self.tally = Tally(now)
        self.idle_timeout = inf
        self.max_open = self.max_idle = UNLIMITED
        self.min_idle = 0

    def limit(self, limits: Limits, idle_timeout: float) -> None:
        """Take over new limits. Those with a minimum have no idle timeout of their own."""
        self.max_open = UNLIMITED if limits.max_open is None else limits.max_open
        self.max_idle = UNLIMITED if limits.max_idle is None else limits.max_idle
        self.min_idle = limits.min_idle
        self.idle_timeout = inf if limits.min_idle else idle_timeout
        self._settle()

    def saw_alive(self, age: float) -> None:
        """A resource that had been idle for `age` was alive."""
        self.alive_at = max(self.alive_at, age)
        self.freshness.saw_alive(age)

    def saw_closed(self, age: float, now: float) -> None:
        """A resource that had been idle for `age` was dead."""
        self.alive_at = 0.0  # what was known may be known again
        self.freshness.saw_closed(age, now)
        self._settle()

    def review(self, now: float) -> None:
        """Forget an idle limit that is too old to go by."""
        self.freshness.review(now)
        self._settle()

    def _settle(self) -> None:
        self.idle_limit = min(self.freshness.limit, self.idle_timeout)

    @property
    def in_use(self) -> int:
        """Places that leases have."""
        return self.open - len(self.shelf) - self.closing

    @property
    def leased(self) -> int:
        """Places that leases of requests have, not those of a keeper."""
        return self.in_use - self.warming
