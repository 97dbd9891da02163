"""Arithmetic on snapshots: what happened between two, and which origins get labels of their own.

The counters of a pool only grow. Code that watches a pool computes one of two things from them:

    difference(now, before)     what one origin did in a period, for alerts
    OriginLabels.split(stats)   at most N origins under their own names and the rest as one, for
                                exporters, whose back ends store every name that ever appears

The second reports each count under one name only, and no count that it reported goes down. So it
keeps sums for origins that the pool forgets, and for those that get a name later. Without them the
rest would jump, which looks like a burst of traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from pooledhttp.pool import Histogram, OriginStats, PoolStats
from pooledhttp.records import check_whole_number

__all__ = ["OTHER_ORIGINS", "OriginLabels", "StatsSource", "difference"]

#: The name under which the origins beyond the limit are reported together.
OTHER_ORIGINS = "other"

_COUNTERS = (
    "acquired",
    "created",
    "reused",
    "stale_found",
    "replays",
    "leaks",
    "acquire_timeouts",
)
_GAUGES = ("active", "idle", "waiting", "dialling")
_RATES = ("created_per_second", "acquired_per_second")


class StatsSource(Protocol):
    """A pool that can be watched: `session.pool`, or any `Pool`."""

    def stats(self) -> PoolStats:
        """Take a snapshot."""


def check_source(pool: object) -> None:
    """Refuse what is no pool, such as a session.

    Raises:
        TypeError: It has no numbers.
    """
    if not hasattr(pool, "stats"):
        raise TypeError(f"a pool is watched, such as session.pool, not {pool!r}")


def difference(now: OriginStats, before: OriginStats | None) -> OriginStats:
    """Return what an origin did between two snapshots.

    Args:
        now: The later snapshot. State (`active`, `idle`, rates, limits) is taken from it.
        before: The earlier one; `None` if the origin was not in it. An origin that was forgotten
            and came back begins at zero again, and so does the difference.
    """
    if before is None or now.acquired < before.acquired:
        return now
    return replace(
        now,
        **{name: getattr(now, name) - getattr(before, name) for name in _COUNTERS},
        closed=_minus_reasons(now, before),
        wait=_minus_histogram(now.wait, before.wait),
        hold=_minus_histogram(now.hold, before.hold),
    )


class OriginLabels:
    """Gives a limited number of origins a name in the output, and keeps the choice.

    Two threads must not use it at the same time.

    Args:
        max_origins: Names at a time. If there are more origins, those with most leases get the
            names that are free.

    Raises:
        TypeError: `max_origins` is no whole number.
        ValueError: `max_origins` is negative.
    """

    def __init__(self, max_origins: int = 100) -> None:
        check_whole_number("max_origins", max_origins, 0)
        self._max_origins = max_origins
        self._named: dict[str, OriginStats] = {}  # as last seen
        self._gone = OriginStats()  # sum of what was reported under names that were given up
        self._moved = OriginStats()  # sum of what was reported as the rest before getting a name
        self._before: PoolStats | None = None
        self._rest = OriginStats()  # as last reported; its counters never go below

    def split(self, stats: PoolStats) -> list[OriginStats]:
        """Return the named origins, and the rest as one called `"other"` if there is any."""
        self._retire(stats)
        self._name_new(stats)
        self._before = stats
        named = list(self._named.values())
        rest = self._remainder(stats.total, named)
        return [*named, rest] if rest is not None else named

    def _retire(self, stats: PoolStats) -> None:
        """Free the names of origins that are gone, or whose counts started again."""
        for origin, last in list(self._named.items()):
            now = stats.origins.get(origin)
            if now is None or now.acquired < last.acquired:
                self._gone = _plus(self._gone, last)
                del self._named[origin]
            else:
                self._named[origin] = now

    def _name_new(self, stats: PoolStats) -> None:
        free = self._max_origins - len(self._named)
        new = [part for origin, part in stats.origins.items() if origin not in self._named]
        new.sort(key=lambda part: part.acquired, reverse=True)
        for part in new[:free]:
            self._named[part.origin] = part
            was = self._before.origins.get(part.origin) if self._before is not None else None
            if was is not None:
                self._moved = _plus(self._moved, was)

    def _remainder(self, total: OriginStats, named: Iterable[OriginStats]) -> OriginStats | None:
        total, known = _plus(total, self._moved), self._gone
        for part in named:
            known = _plus(known, part, gauges=True)
        rest = replace(
            total,
            origin=OTHER_ORIGINS,
            max_open=None,
            **{
                name: max(getattr(total, name) - getattr(known, name), getattr(self._rest, name))
                for name in _COUNTERS
            },
            **{name: max(getattr(total, name) - getattr(known, name), 0) for name in _GAUGES},
            **{name: max(getattr(total, name) - getattr(known, name), 0.0) for name in _RATES},
            closed=_at_least(_minus_reasons(total, known), self._rest.closed),
            wait=_minus_histogram(total.wait, known.wait, self._rest.wait),
            hold=_minus_histogram(total.hold, known.hold, self._rest.hold),
        )
        if not rest.acquired and not any(getattr(rest, name) for name in _GAUGES):
            return None
        self._rest = rest
        return rest


def _plus(one: OriginStats, other: OriginStats, *, gauges: bool = False) -> OriginStats:
    names = (*_COUNTERS, *_GAUGES, *_RATES) if gauges else _COUNTERS
    reasons = one.closed.keys() | other.closed.keys()
    return replace(
        one,
        **{name: getattr(one, name) + getattr(other, name) for name in names},
        closed={why: one.closed.get(why, 0) + other.closed.get(why, 0) for why in reasons},
        wait=one.wait + other.wait,
        hold=one.hold + other.hold,
    )


def _minus_reasons(now: OriginStats, before: OriginStats) -> dict[str, int]:
    return {
        why: number - before.closed.get(why, 0)
        for why, number in now.closed.items()
        if number > before.closed.get(why, 0)
    }


def _at_least(closed: Mapping[str, int], floor: Mapping[str, int]) -> dict[str, int]:
    return {why: max(closed.get(why, 0), floor.get(why, 0)) for why in closed.keys() | floor.keys()}


def _minus_histogram(
    now: Histogram, before: Histogram, floor: Histogram | None = None
) -> Histogram:
    floor = floor or Histogram()
    counts = tuple(
        max(a - b, least)
        for a, b, least in zip(now.counts, before.counts, floor.counts, strict=True)
    )
    return Histogram(counts, max(now.total_seconds - before.total_seconds, floor.total_seconds))
