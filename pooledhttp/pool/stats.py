"""Statistics: what a pool has done, as frozen values.

The pool counts while it works (`Counters`, one object per key), so a snapshot need not walk over
slots. It turns the counters into `OriginStats` and sums them up to `PoolStats.total`. A histogram
is a fixed list of counters, so that its size does not grow with the number of leases.

Rates are measured from marks. A mark is a copy of some counters with its time. A key has two: the
rate is the difference to the older one, divided by its age. The end of a lease moves the marks when
the newer one is half a minute old, and so does a snapshot; no timer is needed. So under load the
older mark is between half a minute and a minute old.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pooledhttp.records import field, record, replace

__all__ = [
    "BOUNDS_SECONDS",
    "IDLE_FULL",
    "Advice",
    "Counters",
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

#: A mark is moved when it is this old, so a rate is measured over one to two such periods.
_PERIOD_SECONDS = 30.0

#: How many reasons for closing have a count of their own; further ones are counted as "other".
_MAX_REASONS = 32

#: By how much an advised size exceeds what is in use on average: requests come in bursts.
_HEADROOM = 1.5

#: The reason for closing a good resource because the limit of idle ones is reached.
IDLE_FULL = "idle_full"

#: Reasons that had another name in earlier versions.
_RENAMED_REASONS = {"shelf_full": IDLE_FULL}


class ClosedCounts(dict[str, int]):
    """How many resources were closed, by reason. Earlier names of reasons can still be read."""

    def __missing__(self, reason: str) -> int:
        if reason not in _RENAMED_REASONS:
            raise KeyError(reason)
        return self[_renamed(reason)]

    def __contains__(self, reason: object) -> bool:
        return super().__contains__(_renamed(reason))

    def get(self, reason: str, default: Any = None) -> Any:
        """Return the count of a reason, or the default."""
        return super().get(_renamed(reason), default)


def _renamed(reason: Any) -> Any:
    """Return the present name of a reason, and warn if `reason` is an earlier one."""
    new = _RENAMED_REASONS.get(reason, reason)
    if new is not reason:
        warnings.warn(f"The close reason {reason!r} is now {new!r}", DeprecationWarning, 3)
    return new


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
    most = "no maximum" if stats.max_open is None else f"maximum {stats.max_open}"
    yield f"now:     {_counts_now(stats)} ({stats.dialling} dialling, {most})"
    yield (
        f"so far:  {stats.acquired} leases, {stats.reuse_rate:.0%} reused, {stats.created} opened,"
        f" {sum(stats.closed.values())} closed, held for {_mean_text(stats.hold)},"
        f" waited {_mean_text(stats.wait)}"
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
        self.newer = self.older = (now, 0, 0, 0.0, 0)  # see `roll_marks`
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
        if reason not in closed and len(closed) >= _MAX_REASONS:
            reason = "other"
        closed[reason] = closed.get(reason, 0) + 1

    def roll_marks(self, now: float, serving: int) -> None:
        """Make a new mark; to be called when `now` has reached `roll_at`.

        A mark is a tuple: the time, leases acquired, leases ended, seconds held, resources created.
        """
        self.older = self.newer
        ended = sum(self.hold_counts)
        self.newer = (now, ended + serving, ended, self.hold_seconds, self.created)
        if now - self.roll_at > _PERIOD_SECONDS:  # unused for long: the old mark gives no rate
            self.older = self.newer
        self.roll_at = now + _PERIOD_SECONDS

    def recent_rates(self, now: float, serving: int) -> tuple[float, float, float]:
        """Return leases per second, mean hold in seconds, and creations per second."""
        at, acquired_before, ended_before, hold_seconds, created = self.older
        # A span of a millisecond, right after the first lease, would give thousands per second.
        span = max(now - at, 1.0)
        ended = sum(self.hold_counts)
        recent = ended - ended_before
        mean = (self.hold_seconds - hold_seconds) / recent if recent else 0.0
        per_second = max(ended + serving - acquired_before, 0) / span
        return per_second, mean, (self.created - created) / span

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
        acquired = sum(self.hold_counts) + serving
        active, idle, waiting, dialling = counts
        waits = (
            Histogram(tuple(self.wait_counts), self.wait_seconds)
            if self.wait_counts
            else _EMPTY_HISTOGRAM
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


_EMPTY_HISTOGRAM = Histogram()

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
        return _EMPTY_HISTOGRAM
    columns = zip(*(part.counts for part in parts), strict=True)
    return Histogram(tuple(map(sum, columns)), sum(part.total_seconds for part in parts))
