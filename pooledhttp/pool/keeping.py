"""What becomes of a good resource that nobody holds. Part of the books: see `ledger`.

It goes to whoever waits for it, else to the shelf of its key, else, where shelves are full or its
time is up, it is closed. The shelf has the newest at its end: that is taken first, so that those
nobody needs grow old at the other end, and are closed there.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import TypeVar

from pooledhttp.events import ShelfOverflow
from pooledhttp.pool import serving
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.record import Record
from pooledhttp.pool.shelf import Place

__all__ = ["expire", "is_unwanted", "keep", "retire", "why_expired"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def keep(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Hand a good resource to whoever waits for it, or put it on the shelf."""
    record = place.record
    if ledger.blocked and serving.overtaker_of(ledger, record, record.open, now) is not None:
        ledger.doom(place, "made_room", now)  # once it is closed, its room goes to another key
        return
    if record.waiters:
        first = next(iter(record.waiters.values()))
        idle_seconds = now - place.idle_since
        if first.fresh or (first.careful and idle_seconds >= record.freshness.trust):
            ledger.doom(place, "made_room", now)
        else:
            serving.hand(ledger, record, place, now)
        return
    _shelve(ledger, place, now)


def _shelve(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Put a resource on its key's shelf, and close what is one too many, or too old, there."""
    record = place.record
    shelf = record.shelf
    if len(shelf) >= record.max_idle or ledger.idle_total >= ledger.max_idle_total:
        victim = record if len(shelf) >= record.max_idle else ledger.ranking.richest()
        if victim is None or not victim.shelf:  # the limit is zero
            _overflow(ledger, record)
            ledger.doom(place, "shelf_full", now)
            return
        _overflow(ledger, victim)
        ledger.idle_total -= 1
        ledger.doom(victim.shelf.pop(0), "shelf_full", now)
    elif len(shelf) > record.min_idle and (
        now >= shelf[0].keep_until or now - shelf[0].idle_since >= ledger.idle_timeout
    ):
        # One that is not needed any more is closed by every release, so that a shelf shrinks to
        # what is used even if nobody ever sweeps.
        ledger.idle_total -= 1
        retire(ledger, shelf.pop(0), now)
    shelf.append(place)
    ledger.idle_total += 1
    if record.listed < len(shelf):
        ledger.ranking.rise(record)


def _overflow(ledger: Ledger[K, R], record: Record[K, R]) -> None:
    """Note that a record's resource is closed because shelves are full."""
    ledger.overflowed = record
    if ledger.listeners:
        ledger.events.append(ShelfOverflow(record.origin))


def retire(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Have a resource closed whose time is up, for whichever reason it is."""
    ledger.doom(place, why_expired(ledger, place, now), now)


def expire(ledger: Ledger[K, R], record: Record[K, R], now: float) -> float:
    """Close the idle places of a record whose time is up; return when the next one's is."""
    shelf = record.shelf
    if not shelf:
        return inf
    record.review(now)
    limit = record.idle_limit
    surplus = max(len(shelf) - record.min_idle, 0) if record.min_idle else 0
    soonest = inf
    for place in list(shelf):
        end = min(place.keep_until, place.idle_since + limit)
        if surplus:  # of those a minimum exempts from the idle timeout, the oldest are too many
            end = min(end, place.idle_since + ledger.idle_timeout)
            surplus -= 1
        if end > now:
            soonest = min(soonest, end)
            continue
        shelf.remove(place)
        ledger.idle_total -= 1
        retire(ledger, place, now)
    return soonest


def is_unwanted(ledger: Ledger[K, R], place: Place[K, R]) -> bool:
    """Whether a good resource is to be closed all the same, now that it has been given back."""
    record = place.record
    return (
        place.epoch != record.epoch
        or place.uses >= ledger.max_uses
        or ledger.is_closed
        or record.open > record.max_open
        or ledger.open_total > ledger.max_total
    )


def why_expired(ledger: Ledger[K, R], place: Place[K, R], now: float) -> str:
    """Say, in the word closes are counted by, what is against using a resource any more."""
    record = place.record
    if place.epoch != record.epoch:
        return "evicted"
    if ledger.is_closed:
        return "closed"
    if place.uses >= ledger.max_uses:
        return "max_requests"
    if now >= place.retire_at:
        return "max_lifetime"
    if record.open > record.max_open or ledger.open_total > ledger.max_total:
        return "resized"
    return "idle_timeout" if now - place.idle_since >= ledger.idle_timeout else "idle_limit"
