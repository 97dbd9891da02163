"""What a pool has done, as frozen values.

The pool counts while it works (`Tally`, one per key) and never recounts; a snapshot turns the
counters into `OriginStats` and sums them to `PoolStats.total`. A histogram is a fixed list of
counters, so that it costs the same after a billion leases.

Rates come from two marks per key, at least half a minute and at most about a minute old, that are
moved along by the very calls that are being counted: no timer, and nothing to walk.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

__all__ = [
    "BOUNDS_SECONDS",
    "Advice",
    "Histogram",
    "OriginStats",
    "PoolStats",
    "Tally",
    "advised_size",
    "merge_stats",
]

#: Upper ends of the histograms' buckets; one more bucket takes what is longer.
BOUNDS_SECONDS: tuple[float, ...] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

#: A mark is replaced when it is this old, so a rate is measured over one to two such periods.
_PERIOD_SECONDS = 30.0

#: Distinct reasons for closing that are counted apart; the rest is counted as "other".
_MAX_REASONS = 32

#: By how much an advised size exceeds what is in use on average: arrivals come in bursts.
_HEADROOM = 1.5


def advised_size(per_second: float, seconds: float) -> int:
    """Return how many connections a load needs: Little's law, times 1.5, rounded up.

    Args:
        per_second: Requests that arrive each second.
        seconds: How long each holds its connection.
    """
    # The product of two measured floats may miss a whole number by a hair, and then round up.
    return max(math.ceil(round(per_second * seconds * _HEADROOM, 6)), 0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations, counted by size.

    Args:
        counts: One counter per bound, and one for what is longer than all of them.
        total_seconds: The sum of all durations.
        bounds_seconds: The upper end of each bucket but the last, included in it.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
    total_seconds: float = 0.0
    bounds_seconds: tuple[float, ...] = BOUNDS_SECONDS

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    @property
    def mean_seconds(self) -> float:
        """The mean; 0.0 when nothing was counted."""
        count = self.count
        return self.total_seconds / count if count else 0.0

    def quantile(self, part: float) -> float:
        """Return the upper end of the bucket that holds that part (0..1) of the durations.

        `math.inf` when it is in the open bucket, 0.0 when nothing was counted.
        """
        wanted = self.count * part
        seen = 0
        for number, bound in zip(self.counts, (*self.bounds_seconds, math.inf), strict=True):
            seen += number
            if number and seen >= wanted:
                return bound
        return 0.0

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(map(int.__add__, self.counts, other.counts))
        return Histogram(counts, self.total_seconds + other.total_seconds)


@dataclass(frozen=True, slots=True)
class OriginStats:
    """The state and history of one origin, or of the whole pool.

    Args:
        origin: Whose numbers these are; empty for the total.
        active: Leases out, those that are dialling included.
        idle: Resources on the shelf.
        waiting: Callers in the queue.
        dialling: Leases that hold an empty place.
        max_open: The maximum of resources; None for no limit.
        acquired: Leases given, since the pool was made.
        created: Resources put into a place.
        reused: Leases given with a resource in them.
        closed: Resources closed, by reason.
        stale_found: Idle resources that turned out to be dead.
        replays: Requests sent once more because of one.
        leaks: Leases dropped without being ended, or reported by leak detection.
        acquire_timeouts: Callers that waited in vain.
        wait: How long callers waited; those that did not wait are not in it.
        hold: How long leases were held.
        created_per_second: Over the last half to one minute.
        acquired_per_second: Over the same time.
        mean_hold_seconds: Over the same time; 0.0 when no lease ended. Of the total: weighted.
        advised: Resources the measured load needs (see `Advice`); 0 when nothing was measured.
        peak: The most resources open at a time. Of the total: the sum of the origins' peaks.
    """

    origin: str = ""
    active: int = 0
    idle: int = 0
    waiting: int = 0
    dialling: int = 0
    max_open: int | None = None
    acquired: int = 0
    created: int = 0
    reused: int = 0
    closed: Mapping[str, int] = field(default_factory=dict)
    stale_found: int = 0
    replays: int = 0
    leaks: int = 0
    acquire_timeouts: int = 0
    wait: Histogram = Histogram()
    hold: Histogram = Histogram()
    created_per_second: float = 0.0
    acquired_per_second: float = 0.0
    mean_hold_seconds: float = 0.0
    advised: int = 0
    peak: int = 0

    @property
    def reuse_rate(self) -> float:
        """The part of the leases that needed no dialling; 0.0 before the first one."""
        return self.reused / self.acquired if self.acquired else 0.0

    @property
    def exhausted(self) -> int:
        """Resources closed because the shelf was full: a dial each that need not have been."""
        return self.closed.get("shelf_full", 0)

    @property
    def utilisation(self) -> float:
        """In use over the maximum; without a maximum, over the advised size (0.0 without that)."""
        size = self.advised if self.max_open is None else self.max_open
        return self.active / size if size else 0.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A snapshot of a pool.

    Args:
        total: All origins together, those included whose records were dropped for being quiet.
        origins: By origin. Keys that are described alike are one origin here.
    """

    total: OriginStats
    origins: Mapping[str, OriginStats]


@dataclass(frozen=True, slots=True)
class Advice:
    """How many resources an origin needs, by Little's law with headroom.

    Args:
        origin: Which one.
        acquired_per_second: Measured over the last half to one minute.
        mean_hold_seconds: Over the same time.
        advised: Their product times 1.5, rounded up, and not less than one.
        max_open: What is configured; None for no limit.
        peak: The most that were open at a time.
    """

    origin: str
    acquired_per_second: float
    mean_hold_seconds: float
    advised: int
    max_open: int | None
    peak: int

    @property
    def is_enough(self) -> bool:
        """Whether the configured maximum holds what is advised."""
        return self.max_open is None or self.max_open >= self.advised


class Tally:
    """The running counters of one key. Guarded by the lock of the pool.

    What a request costs is one histogram: leases given are those that ended and those that are
    out, and those that reused something are all but the dialled ones. With ten thousand origins
    each counter more would be one more trip to memory that is in no cache.
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
        self.wait_counts: list[int] | None = None  # most keys never see anybody wait
        self.newer = self.older = (now, 0, 0, 0.0, 0)  # see `roll`
        self.roll_at = now + _PERIOD_SECONDS

    def waited(self, seconds: float) -> None:
        """Count a wait that ended with a lease."""
        if self.wait_counts is None:
            self.wait_counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.wait_counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.wait_seconds += seconds

    def lost(self, reason: str) -> None:
        """Count a resource that is closed for `reason`."""
        closed = self.closed
        if reason not in closed and len(closed) >= _MAX_REASONS:
            reason = "other"
        closed[reason] = closed.get(reason, 0) + 1

    def roll(self, now: float, leased: int) -> None:
        """Move the marks along; call when `now` has reached `roll_at`.

        A mark is the time, the leases given and ended, the seconds held, and what was created.
        """
        self.older = self.newer
        ended = sum(self.hold_counts)
        self.newer = (now, ended + leased, ended, self.hold_seconds, self.created)
        if now - self.roll_at > _PERIOD_SECONDS:  # quiet for long: what was before is no rate
            self.older = self.newer
        self.roll_at = now + _PERIOD_SECONDS

    def measured(self, now: float, leased: int) -> tuple[float, float, float]:
        """Return leases per second, mean hold in seconds, and creations per second, of late."""
        at, acquired_before, ended_before, hold_seconds, created = self.older
        # A pool's first instant must not look like thousands per second.
        span = max(now - at, 1.0)
        ended = sum(self.hold_counts)
        of_late = ended - ended_before
        mean = (self.hold_seconds - hold_seconds) / of_late if of_late else 0.0
        per_second = max(ended + leased - acquired_before, 0) / span
        return per_second, mean, (self.created - created) / span

    def absorb(self, other: Tally) -> None:
        """Add the counters of a key that is forgotten."""
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
        leased: int,
        max_open: int | None,
    ) -> OriginStats:
        """Freeze the counters; `counts` are active, idle, waiting, dialling."""
        per_second, mean, created_per_second = self.measured(now, leased)
        acquired = sum(self.hold_counts) + leased
        active, idle, waiting, dialling = counts
        waits = Histogram(tuple(self.wait_counts), self.wait_seconds) if self.wait_counts else _NONE
        return OriginStats(
            origin, active, idle, waiting, dialling, max_open,
            acquired, self.created, max(acquired - self.dialled, 0), dict(self.closed),
            self.stale_found, self.replays, self.leaks, self.acquire_timeouts, waits,
            Histogram(tuple(self.hold_counts), self.hold_seconds),
            created_per_second, per_second, mean, advised_size(per_second, mean), self.peak,
        )  # fmt: skip

    def summary(self) -> OriginStats:
        """Freeze the counters of what is forgotten: history without a state or a rate."""
        whole = self.snapshot(0.0, "", (0, 0, 0, 0), 0, None)
        return replace(whole, created_per_second=0.0, acquired_per_second=0.0, advised=0)


_NONE = Histogram()

_SUMMED = (
    "active", "idle", "waiting", "dialling", "acquired", "created", "reused", "stale_found",
    "replays", "leaks", "acquire_timeouts", "created_per_second", "acquired_per_second",
    "advised", "peak",
)  # fmt: skip


def merge_stats(origin: str, parts: Iterable[OriginStats], max_open: int | None) -> OriginStats:
    """Sum several snapshots to one."""
    parts = list(parts)
    sums = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    closed: dict[str, int] = {}
    for part in parts:
        for reason, number in part.closed.items():
            closed[reason] = closed.get(reason, 0) + number
    rate = sums["acquired_per_second"]
    busy = sum(part.acquired_per_second * part.mean_hold_seconds for part in parts)
    return OriginStats(
        origin=origin,
        max_open=max_open,
        mean_hold_seconds=busy / rate if rate else 0.0,
        closed=closed,
        wait=_sum_histograms([part.wait for part in parts]),
        hold=_sum_histograms([part.hold for part in parts]),
        **sums,
    )


def _sum_histograms(parts: list[Histogram]) -> Histogram:
    if not parts:
        return _NONE
    columns = zip(*(part.counts for part in parts), strict=True)
    return Histogram(tuple(map(sum, columns)), sum(part.total_seconds for part in parts))
