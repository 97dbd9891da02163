"""The running counters of one key, from which snapshots are made (`stats`).

The pool counts while it works, so a snapshot need not walk over slots.

Rates are measured from marks. A mark is a copy of some counters with its time. A key has two: the
rate is the difference to the older one, divided by its age. The end of a lease moves the marks when
the newer one is half a minute old, and so does a snapshot; no timer is needed. So under load the
older mark is between half a minute and a minute old.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from pooledhttp.pool.reasons import MAX_REASONS, OTHER, ClosedCounts
from pooledhttp.pool.stats import (
    BOUNDS_SECONDS,
    EMPTY_HISTOGRAM,
    Histogram,
    OriginStats,
    advised_size,
)
from pooledhttp.records import replace

__all__ = ["Counters"]

#: A mark is moved when it is this old, so a rate is measured over one to two such periods.
_PERIOD_SECONDS = 30.0


class _Mark(NamedTuple):
    """What had been counted at a moment."""

    at: float
    acquired: int
    ended: int
    hold_seconds: float
    created: int


class Counters:
    """The running counters of one key. The lock of the pool guards them.

    A request that does not wait changes only the histogram of hold times. Two numbers are computed:

        acquired = leases that ended (the sum of that histogram) + leases in use
        reused = acquired - dialled (leases that were given an empty slot)

    With ten thousand origins the counters do not fit into the processor's cache, so each further
    counter would cost every request an access to memory.
    """

    __slots__ = (
        "acquire_timeouts", "closed", "created", "dialled", "hold_counts", "hold_seconds", "leaks",
        "newer", "older", "peak", "replays", "roll_at", "stale_found", "wait_counts",
        "wait_seconds",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.dialled = self.created = self.peak = 0
        self.stale_found = self.replays = self.leaks = self.acquire_timeouts = 0
        self.closed: dict[str, int] = {}
        self.hold_seconds = 0.0
        self.hold_counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.wait_seconds = 0.0
        self.wait_counts: list[int] | None = None  # for most keys no caller ever waits
        self.newer = self.older = _Mark(now, 0, 0, 0.0, 0)
        self.roll_at = now + _PERIOD_SECONDS

    def count_wait(self, seconds: float) -> None:
        """Count a wait that ended with a lease."""
        if self.wait_counts is None:
            self.wait_counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.wait_counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.wait_seconds += seconds

    def count_hold(self, seconds: float) -> None:
        """Count a lease that ended."""
        self.hold_counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.hold_seconds += seconds

    def count_close(self, reason: str) -> None:
        """Count a resource that is closed for `reason`."""
        closed = self.closed
        if reason not in closed and len(closed) >= MAX_REASONS:
            reason = OTHER
        closed[reason] = closed.get(reason, 0) + 1

    def roll_marks(self, now: float, serving: int) -> None:
        """Make a new mark; to be called when `now` has reached `roll_at`."""
        self.older = self.newer
        ended = self.ended
        self.newer = _Mark(now, ended + serving, ended, self.hold_seconds, self.created)
        if now - self.roll_at > _PERIOD_SECONDS:  # unused for long: the old mark gives no rate
            self.older = self.newer
        self.roll_at = now + _PERIOD_SECONDS

    def recent_rates(self, now: float, serving: int) -> tuple[float, float, float]:
        """Return leases per second, mean hold in seconds, and creations per second."""
        before = self.older
        # A span of a millisecond, right after the first lease, would give thousands per second.
        span = max(now - before.at, 1.0)
        ended = self.ended
        recent = ended - before.ended
        mean = (self.hold_seconds - before.hold_seconds) / recent if recent else 0.0
        per_second = max(ended + serving - before.acquired, 0) / span
        return per_second, mean, (self.created - before.created) / span

    def reusable_per_held_second(self) -> float:
        """Return how many resources a lease in use gives back for reuse per second, lately."""
        before = self.older
        ended = self.ended
        count, seconds = ended - before.ended, self.hold_seconds - before.hold_seconds
        if not count:
            return 0.0
        closed = min(sum(self.closed.values()) / ended, 1.0)
        return (1.0 - closed) * count / max(seconds, 1e-9)

    @property
    def ended(self) -> int:
        """How many leases that served a request have ended."""
        return sum(self.hold_counts)

    def add(self, other: Counters) -> None:
        """Add the counters of a key whose state is dropped."""
        for name in ("dialled", "created", "stale_found", "replays", "leaks", "acquire_timeouts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.hold_seconds += other.hold_seconds
        self.hold_counts = list(map(int.__add__, self.hold_counts, other.hold_counts))
        if other.wait_counts is not None:
            mine = self.wait_counts or [0] * len(other.wait_counts)
            self.wait_counts = list(map(int.__add__, mine, other.wait_counts))
            self.wait_seconds += other.wait_seconds
        for reason, number in other.closed.items():
            self.closed[reason] = self.closed.get(reason, 0) + number

    def snapshot(
        self,
        now: float,
        origin: str,
        counts: tuple[int, int, int, int],
        serving: int,
        max_open: int | None,
    ) -> OriginStats:
        """Return the counters as an `OriginStats`.

        Args:
            now: The time.
            origin: The name of the key.
            counts: Active, idle, waiting, dialling.
            serving: Slots whose lease serves a request.
            max_open: The maximum; None for no limit.
        """
        if now >= self.roll_at:
            self.roll_marks(now, serving)
        per_second, mean, created_per_second = self.recent_rates(now, serving)
        acquired = self.ended + serving
        active, idle, waiting, dialling = counts
        waits = (
            Histogram(tuple(self.wait_counts), self.wait_seconds)
            if self.wait_counts
            else EMPTY_HISTOGRAM
        )
        return OriginStats(
            origin, active, idle, waiting, dialling, max_open,
            acquired, self.created, max(acquired - self.dialled, 0), ClosedCounts(self.closed),
            self.stale_found, self.replays, self.leaks, self.acquire_timeouts, waits,
            Histogram(tuple(self.hold_counts), self.hold_seconds),
            created_per_second, per_second, mean, advised_size(per_second, mean), self.peak,
        )  # fmt: skip

    def without_rates(self) -> OriginStats:
        """Return the counters as an `OriginStats` without rates, for keys that were dropped."""
        whole = self.snapshot(0.0, "", (0, 0, 0, 0), 0, None)
        return replace(whole, created_per_second=0.0, acquired_per_second=0.0, advised=0)
