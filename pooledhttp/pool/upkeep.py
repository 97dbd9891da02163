"""What is done to the books now and then, not for a single lease.

Evicting, resizing, shutting down, finding leaks, and setting the counters right after an
interrupted step. Part of the books: see `ledger`. What walks over many records is called for one
record at a time, where it can be.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import inf
from typing import TypeVar

from pooledhttp.pool import ending, serving
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.stats import OriginStats
from pooledhttp.pool.waiters import Outcome

__all__ = [
    "evict",
    "find_leaks",
    "resize",
    "settle_counts",
    "shut",
    "snapshot",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def evict(ledger: Ledger[K, R], record: Record[K, R], reason: str, now: float) -> int:
    """Close what a record has idle, and have what it has in use closed when it is given back.

    Returns:
        How many resources that concerns.
    """
    count = record.open - record.closing
    record.epoch += 1
    ledger.idle_total -= len(record.shelf)
    while record.shelf:
        ledger.doom(record.shelf.pop(0), reason, now)
    return count


def shut(ledger: Ledger[K, R], record: Record[K, R], now: float) -> None:
    """Send away who waits for a record's key, and close what is idle. The ledger is closed."""
    while record.waiters:
        serial, waiting = next(iter(record.waiters.items()))
        waiting.outcome = Outcome.CLOSED
        ledger.todo.append((None, waiting.signal))
        del record.waiters[serial]
        ledger.waiting_total -= 1
    evict(ledger, record, "closed", now)


def resize(
    ledger: Ledger[K, R], config: PoolConfig, limits: Mapping[K, Limits], now: float
) -> None:
    """Take over new settings: close what is idle and too many, serve who waits if there is room.

    Leases that are too many are closed when they end.
    """
    ledger.configure(config)
    for key, new in limits.items():
        record = ledger.records.get(key)
        if record is not None:
            ledger.limit(record, new)
    for record in list(ledger.records.values()):
        shelf = record.shelf
        while shelf and (
            len(shelf) > record.max_idle or record.open - record.closing > record.max_open
        ):
            ledger.idle_total -= 1
            ledger.doom(shelf.pop(0), "resized", now)
    while ledger.idle_total and (
        ledger.idle_total > ledger.max_idle_total
        or ledger.open_total - len(ledger.closing) > ledger.max_total
    ):
        richest = ledger.ranking.richest()
        assert richest is not None
        ledger.idle_total -= 1
        ledger.doom(richest.shelf.pop(0), "resized", now)
    for record in list(ledger.records.values()):
        if record.waiters:
            serving.serve(ledger, record, now)  # which also notes the lines that are left standing


def find_leaks(
    ledger: Ledger[K, R], threshold: float, now: float
) -> tuple[list[tuple[Place[K, R], float]], float]:
    """Count leases that nobody has touched for `threshold` seconds while no call is in progress.

    Returns:
        The new ones, each with the seconds since it was last touched; and when to look again.
    """
    found = []
    soonest = inf
    for place in list(ledger.held.values()):
        watch = place.watch
        if watch is None or watch.is_reported:
            continue
        quiet = now - watch.touched_at
        if watch.busy or quiet < threshold:
            soonest = min(soonest, now + threshold - (0.0 if watch.busy else quiet))
            continue
        ending.note_leak(ledger, place, now)
        found.append((place, quiet))
    return found, soonest


def snapshot(record: Record[K, R], now: float) -> OriginStats:
    """Freeze the numbers of a record."""
    counts = (record.in_use, len(record.shelf), len(record.waiters), record.dialling)
    max_open = None if record.max_open == UNLIMITED else record.max_open
    return record.tally.snapshot(now, record.origin, counts, record.leased, max_open)


def settle_counts(ledger: Ledger[K, R], now: float) -> None:
    """Set every counter to what the containers say.

    An exception that comes from outside (Ctrl-C) can interrupt a step in the middle, and leave a
    place in two containers or in none while it is still counted. What is in two belongs to its
    lease, and to the caller it is for. What is in none is lost, and its resource with it; its room
    is not.
    """
    ledger.forget_order()
    held = {id(place) for place in ledger.held.values()}
    in_use: dict[K, list[Place[K, R]]] = {}
    for place in ledger.held.values():
        in_use.setdefault(place.record.key, []).append(place)
    ledger.open_total = ledger.idle_total = ledger.waiting_total = 0
    for record in list(ledger.records.values()):
        serving.settle_line(ledger, record)
        mine = in_use.get(record.key, [])
        if record.shelf:
            kept = [place for place in record.shelf if id(place) not in held]
            record.shelf.clear()
            record.shelf.extend(kept)
        record.closing = sum(place.record is record for place in ledger.closing)
        record.open = len(mine) + len(record.shelf) + record.closing
        record.dialling = sum(place.resource is None for place in mine)
        record.warming = sum(not place.counts for place in mine)
        ledger.open_total += record.open
        ledger.idle_total += len(record.shelf)
        ledger.waiting_total += len(record.waiters)
        ledger.ranking.rise(record)
        if not record.open:
            ledger.hush(record, now)
    for record in list(ledger.records.values()):
        if record.waiters:
            serving.serve(ledger, record, now)  # which also notes the lines that are left standing
