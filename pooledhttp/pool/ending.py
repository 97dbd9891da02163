"""The ways a lease is filled and ends. Part of the books: see `ledger`.

    release      its resource is good: kept, or closed if it is old, evicted or too many
    discard      its resource is of no use: closed
    reclaim      nobody ended it, and it was dropped: discarded, and counted as a leak
    give_back    it was handed to a caller who had gone: as if nothing had happened

Each asks for the lease by its serial number, so a second end finds nothing and does nothing. An
empty place is freed by all of them.
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.events import Leaked, LeaseEnded
from pooledhttp.pool import keeping, serving
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.stats import BOUNDS_SECONDS

__all__ = ["discard", "fill", "give_back", "note_leak", "reclaim", "release"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def fill(ledger: Ledger[K, R], serial: int, resource: R, now: float) -> Place[K, R] | None:
    """Put a resource into the lease's empty place; None when the lease has been ended.

    Raises:
        ValueError: The place is not empty.
    """
    place = ledger.held.get(serial)
    if place is None:
        return None
    if place.resource is not None:
        raise ValueError("the lease holds a resource already")
    place.resource = resource
    place.opened_at = now
    place.retire_at = ledger.retire_at(now)
    place.uses = 1 if place.counts else 0
    place.record.dialling -= 1
    place.record.tally.created += 1
    return place


def release(ledger: Ledger[K, R], serial: int, keep_for: float | None, now: float) -> None:
    """End a lease whose resource may be used again.

    Longer than it would have to be: this is on the path of every request, and what `_count_end`,
    `is_unwanted` and `keep` do for the rare ends is written out here to save their calls.
    """
    place = ledger.held.pop(serial, None)
    if place is None:
        return
    record = place.record
    if place.counts:
        hold_seconds = now - place.taken_at
        tally = record.tally
        tally.hold_seconds += hold_seconds
        tally.hold_counts[bisect.bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
        if now >= tally.roll_at:
            tally.roll(now, record.leased)
        if ledger.listeners:
            ledger.events.append(LeaseEnded(record.origin, hold_seconds, "released"))
    else:
        ledger.uncount(place)
    if place.resource is None:
        serving.vacate(ledger, place, now)
        return
    if place.idle_before > record.alive_at:
        record.saw_alive(place.idle_before)
    # All times are one object now, and the old ones are gone while they are in the cache: each
    # would be another trip to memory when the place is taken again.
    place.idle_since = place.taken_at = now
    place.idle_before = 0.0
    place.watch = None
    place.keep_until = place.retire_at
    if keep_for is not None:
        _note_hint(place, keep_for, now)
    if (
        now >= place.retire_at
        or place.epoch != record.epoch
        or place.uses >= ledger.max_uses
        or record.open > record.max_open
        or ledger.open_total > ledger.max_total
        or ledger.is_closed
    ):
        keeping.retire(ledger, place, now)
        return
    shelf = record.shelf
    if ledger.waiting_total or shelf or ledger.idle_total >= ledger.max_idle_total:
        keeping.keep(ledger, place, now)
    elif record.max_idle:  # the common case: nobody waits, and it is the only one
        shelf.append(place)
        ledger.idle_total += 1
        if not record.listed:
            ledger.ranking.rise(record)
    else:
        keeping.keep(ledger, place, now)


def _note_hint(place: Place[K, R], keep_for: float, now: float) -> None:
    """Learn from what the peer said of how long it keeps connections open."""
    freshness = place.record.freshness
    freshness.told(keep_for)
    place.keep_until = min(place.retire_at, now + freshness.keeps_for(keep_for))


def discard(ledger: Ledger[K, R], serial: int, reason: str, now: float) -> None:
    """End a lease whose resource is of no further use."""
    place = ledger.held.pop(serial, None)
    if place is None:
        return
    _count_end(ledger, place, reason, now)
    if place.resource is None:
        serving.vacate(ledger, place, now)
    else:
        ledger.doom(place, reason, now)


def reclaim(ledger: Ledger[K, R], serial: int, now: float) -> None:
    """End a lease that was dropped without being ended."""
    place = ledger.held.get(serial)
    if place is None:
        return
    note_leak(ledger, place, now)
    discard(ledger, serial, "leaked", now)


def give_back(ledger: Ledger[K, R], serial: int, now: float) -> None:
    """End a lease that was handed to a caller who never used it: nothing happened."""
    place = ledger.held.pop(serial, None)
    if place is None:
        return
    if place.resource is None:
        place.record.tally.dialled -= place.counts
        ledger.uncount(place)
        serving.vacate(ledger, place, now)
        return
    place.uses -= place.counts
    ledger.uncount(place)
    place.idle_before = 0.0
    place.watch = None
    if now >= place.keep_until or keeping.is_unwanted(ledger, place):
        keeping.retire(ledger, place, now)
    else:
        keeping.keep(ledger, place, now)


def note_leak(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Count a leak, once per lease."""
    watch = place.watch
    if watch is not None:
        if watch.is_reported:
            return
        watch.is_reported = True
    record = place.record
    record.tally.leaks += 1
    if ledger.listeners:
        age = now - place.taken_at
        where, thread = ("", "") if watch is None else (watch.where, watch.thread)
        ledger.events.append(Leaked(record.origin, where, age, thread))


def _count_end(ledger: Ledger[K, R], place: Place[K, R], reason: str, now: float) -> None:
    """Count how long a discarded lease was held; a keeper's is no request and not counted."""
    if not place.counts:
        ledger.uncount(place)
        return
    hold_seconds = now - place.taken_at
    tally = place.record.tally
    tally.hold_seconds += hold_seconds
    tally.hold_counts[bisect.bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
    if now >= tally.roll_at:
        tally.roll(now, place.record.leased)
    if ledger.listeners:
        ended = LeaseEnded(place.record.origin, hold_seconds, "discarded", reason)
        ledger.events.append(ended)
