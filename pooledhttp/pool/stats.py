"""Statistics: what a pool has done, as frozen values.

    Counters      one object per key, which the steps of the pool change      `counters`
    OriginStats   a snapshot of one origin, or the sum of several
    PoolStats     the snapshots of all origins, and their total

A histogram is a fixed list of counters, so that its size does not grow with the number of leases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from pooledhttp.pool.reasons import IDLE_FULL, ClosedCounts
from pooledhttp.records import field, record

__all__ = [
    "BOUNDS_SECONDS",
    "Advice",
    "Histogram",
    "OriginStats",
    "PoolStats",
    "advised_size",
    "merge_stats",
]

#: Upper ends of the buckets of a histogram. One more bucket counts longer durations.
BOUNDS_SECONDS: tuple[float, ...] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

#: By how much an advised size exceeds what is in use on average: requests come in bursts.
_HEADROOM = 1.5


def advised_size(per_second: float, seconds: float) -> int:
    """Return how many connections a load needs: Little's law, times 1.5, rounded up.

    Args:
        per_second: Requests that arrive each second.
        seconds: How long each holds its connection.
    """
    # Two measured floats can give slightly more than a whole number, which would be rounded up.
    return max(math.ceil(round(per_second * seconds * _HEADROOM, 6)), 0)


@record
class Histogram:
    """Durations, counted by size.

    Args:
        counts: One counter per bound, and one for longer durations.
        total_seconds: The sum of all durations.
        bounds_seconds: The upper end of each bucket except the last, which has none. A duration
            equal to an end is in the bucket below it.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
    total_seconds: float = 0.0
    bounds_seconds: tuple[float, ...] = BOUNDS_SECONDS

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.counts)

    @property
    def mean_seconds(self) -> float:
        """The mean; 0.0 if nothing was counted."""
        count = self.count
        return self.total_seconds / count if count else 0.0

    def quantile(self, part: float) -> float:
        """Return a duration that the given part of the durations does not exceed.

        Args:
            part: From 0 to 1; 0.95 for the 95th percentile.

        Returns:
            The upper end of a bucket; `math.inf` for the last one, 0.0 if nothing was counted.
        """
        wanted = self.count * part
        seen = 0
        for number, bound in zip(self.counts, (*self.bounds_seconds, math.inf), strict=True):
            seen += number
            if number and seen >= wanted:
                return bound
        return 0.0

    def __repr__(self) -> str:
        return f"<Histogram {self.count} durations, mean {self.mean_seconds:.3g} s>"

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(map(int.__add__, self.counts, other.counts))
        return Histogram(counts, self.total_seconds + other.total_seconds)


@record
class OriginStats:
    """The state and history of one origin, or of the whole pool.

    Args:
        origin: The name of the origin; empty for the total.
        active: Leases that have not ended, including those that are dialling.
        idle: Idle resources.
        waiting: Callers in the queue.
        dialling: Leases with an empty slot.
        max_open: The maximum of resources, summed over the keys; None for no limit.
        acquired: Leases given since the pool was made.
        created: Resources put into a slot.
        reused: Leases that were given an idle resource.
        closed: Resources closed, by reason.
        stale_found: Idle resources that were found dead.
        replays: Requests sent again because their reused connection was dead.
        leaks: Leases dropped without an end, or reported by leak detection.
        acquire_timeouts: Callers that got no lease in time.
        wait: How long callers waited; callers that did not wait are not counted.
        hold: How long leases were held.
        created_per_second: Over the last half to one minute.
        acquired_per_second: Over the same time.
        mean_hold_seconds: Over the same time; 0.0 if no lease ended. In the total, the mean of the
            origins, weighted by their leases per second.
        advised: Resources that the measured load needs (see `Advice`); 0 if nothing was measured.
        peak: The most resources open at a time. In the total, the sum of the origins' peaks.
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
        """`reused` divided by `acquired`; 0.0 before the first lease."""
        return self.reused / self.acquired if self.acquired else 0.0

    @property
    def exhausted(self) -> int:
        """Good resources closed because a limit of idle resources was reached.

        Each of them may cost another dial later.
        """
        return self.closed.get(IDLE_FULL, 0)

    @property
    def utilisation(self) -> float:
        """`active` divided by `max_open`, or by `advised` without a limit; 0.0 without both."""
        size = self.advised if self.max_open is None else self.max_open
        return self.active / size if size else 0.0

    def __repr__(self) -> str:
        name = f"{self.origin}: " if self.origin else ""
        return f"<OriginStats {name}{_counts_now(self)}>"

    def __str__(self) -> str:
        """Describe the counts in three lines."""
        return "\n".join(_lines(self))


@record
class PoolStats:
    """A snapshot of a pool. `print` shows the total in three lines.

    Args:
        total: All origins together, including those whose state was dropped because it was unused.
        origins: By origin. Keys with the same name are one origin.
    """

    total: OriginStats
    origins: Mapping[str, OriginStats]

    def __repr__(self) -> str:
        return f"<PoolStats {_counts_now(self.total)}, {len(self.origins)} origins>"

    def __str__(self) -> str:
        return str(self.total)


def _counts_now(stats: OriginStats) -> str:
    return f"{stats.active} in use, {stats.idle} idle, {stats.waiting} waiting"


def _lines(stats: OriginStats) -> Iterator[str]:
    """Yield what a snapshot says: now, since the start, and what went wrong."""
    most = "no maximum in all" if stats.max_open is None else f"maximum {stats.max_open}"
    leases = "lease" if stats.acquired == 1 else "leases"
    yield f"now:     {_counts_now(stats)} ({stats.dialling} dialling, {most})"
    yield (
        f"so far:  {stats.acquired} {leases}, {stats.reuse_rate:.0%} reused,"
        f" {stats.created} opened, {sum(stats.closed.values())} closed,"
        f" held for {_mean_text(stats.hold)}, waited {_mean_text(stats.wait)}"
    )
    yield (
        f"trouble: {stats.stale_found} stale, {stats.replays} replayed, {stats.leaks} leaked,"
        f" {stats.acquire_timeouts} timed out"
    )


def _mean_text(histogram: Histogram) -> str:
    return f"{histogram.mean_seconds * 1000:.3g} ms"


@record
class Advice:
    """How many resources an origin needs, by Little's law with headroom.

    Args:
        origin: The name of the origin.
        acquired_per_second: Measured over the last half to one minute.
        mean_hold_seconds: Over the same time.
        advised: Their product times 1.5, rounded up, at least one.
        max_open: The configured maximum; None for no limit.
        peak: The most resources open at a time.
    """

    origin: str
    acquired_per_second: float
    mean_hold_seconds: float
    advised: int
    max_open: int | None
    peak: int

    @property
    def is_enough(self) -> bool:
        """Whether the configured maximum is at least the advised size."""
        return self.max_open is None or self.max_open >= self.advised


#: Shared by all snapshots of keys for which no caller ever waited.
EMPTY_HISTOGRAM = Histogram()

_SUMMED = (
    "active", "idle", "waiting", "dialling", "acquired", "created", "reused", "stale_found",
    "replays", "leaks", "acquire_timeouts", "created_per_second", "acquired_per_second",
    "advised", "peak",
)  # fmt: skip


def merge_stats(origin: str, parts: Iterable[OriginStats], max_open: int | None) -> OriginStats:
    """Sum several snapshots up to one."""
    parts = list(parts)
    sums = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    closed = ClosedCounts()
    for part in parts:
        for reason, number in part.closed.items():
            closed[reason] = closed.get(reason, 0) + number
    rate = sums["acquired_per_second"]
    mean_in_use = sum(part.acquired_per_second * part.mean_hold_seconds for part in parts)
    return OriginStats(
        origin=origin,
        max_open=max_open,
        mean_hold_seconds=mean_in_use / rate if rate else 0.0,
        closed=closed,
        wait=_sum_histograms([part.wait for part in parts]),
        hold=_sum_histograms([part.hold for part in parts]),
        **sums,
    )


def _sum_histograms(parts: list[Histogram]) -> Histogram:
    if not parts:
        return EMPTY_HISTOGRAM
    columns = zip(*(part.counts for part in parts), strict=True)
    return Histogram(tuple(map(sum, columns)), sum(part.total_seconds for part in parts))
