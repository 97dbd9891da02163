"""A pool in numbers: the snapshot, and the advice that follows from it.

The numbers of one origin are read under one holding of the lock and fit together; origins are read
in turn, so that requests go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from pooledhttp.pool import upkeep
from pooledhttp.pool.care import chunks
from pooledhttp.pool.desk import Desk
from pooledhttp.pool.stats import Advice, OriginStats, PoolStats, merge_stats

__all__ = ["advise", "collect"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def collect(desk: Desk[K, R]) -> PoolStats:
    """Return a snapshot. Keys of one name, as routes to one origin have, are one origin in it."""
    desk.settle()  # ends that are in line have happened, as their callers see it
    parts: dict[str, list[OriginStats]] = {}
    maxima: dict[str, int | None] = {}
    for part in _snapshots(desk):
        parts.setdefault(part.origin, []).append(part)
        maxima[part.origin] = part.max_open
    origins: Mapping[str, OriginStats] = {
        origin: same[0] if len(same) == 1 else merge_stats(origin, same, maxima[origin])
        for origin, same in parts.items()
    }
    with desk.lock:
        gone = desk.ledger.gone.summary()
    desk.settle()
    total = merge_stats("", [*origins.values(), gone], desk.config.max_total)
    return PoolStats(total, origins)


def _snapshots(desk: Desk[K, R]) -> list[OriginStats]:
    found: list[OriginStats] = []
    for records in chunks(desk):
        with desk.lock:
            now = desk.now()
            found += [upkeep.snapshot(record, now) for record in records]
        desk.settle()
    return found


def advise(stats: PoolStats) -> dict[str, Advice]:
    """Return how many resources each origin needs, by what was measured of late."""
    return {
        origin: Advice(
            origin,
            stats.acquired_per_second,
            stats.mean_hold_seconds,
            max(stats.advised, 1),
            stats.max_open,
            stats.peak,
        )
        for origin, stats in stats.origins.items()
        if stats.acquired_per_second
    }
