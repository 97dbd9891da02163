"""The ways a lease gets a place. Part of the books: see `ledger`.

`take_idle` is the shortest: the newest idle resource of the key, if it may be used as it is. `seek`
is the whole search:

    1  the newest idle resource, if it is trusted           PLACED
    2  an old one that nobody trusts, to be probed           OBSERVE    the caller seeks once more
    3  room: there is some, or an idle place makes it        PLACED     empty
    4  nothing                                               WAIT       now in line, if asked to

Where an idle place has to go to make room, its resource is a carcass: the caller, who is not to
have two open at a time, closes it before it puts another in.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.pool import keeping, probing, serving
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.record import Record
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.waiters import Waiting

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = ["Carcass", "Verdict", "reserve", "seek", "swap_for_idle", "take_idle"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: A resource to be closed by the caller at hand, before it makes another in its place.
Carcass = tuple[Record[K, R], R]


class Verdict(enum.Enum):
    """What came of looking for a place."""

    PLACED = "placed"  #: the lease has one
    OBSERVE = "observe"  #: the lease has an old idle resource that is to be probed first
    WAIT = "wait"  #: nothing is free
    CLOSED = "closed"  #: the pool is shut down


def take_idle(ledger: Ledger[K, R], record: Record[K, R], lease: Lease[K, R], now: float) -> bool:
    """Give the newest idle place to the lease, if it may be used as it is.

    This is the common case and on the path of every request: no more is done than has to be,
    and `Ledger.bind_full` is written out. In two containers for a moment, never in none: an
    interrupt between two steps must not lose the place.
    """
    shelf = record.shelf
    if not shelf:
        return False
    place = shelf[-1]
    idle_seconds = now - place.idle_since
    if now >= place.keep_until or idle_seconds >= record.idle_limit:
        return False
    ledger.held[lease.serial] = place
    shelf.pop()
    ledger.idle_total -= 1
    lease.place = place
    lease.resource = place.resource
    lease.reused = True
    lease.idle_seconds = place.idle_before = idle_seconds
    place.taken_at = now
    place.uses += 1
    return True


def seek(
    ledger: Ledger[K, R],
    record: Record[K, R],
    lease: Lease[K, R],
    now: float,
    carcasses: list[Carcass[K, R]],
    *,
    careful: bool = False,
    fresh: bool = False,
    may_observe: bool = False,
    waiting: Waiting[K, R] | None = None,
) -> Verdict:
    """Find a place for the lease, in the order the module `pool` tells.

    Args:
        record: Of the key.
        lease: Gets the place.
        now: The time.
        carcasses: Gets resources that were taken out of the place the lease has now. The
            caller closes them before it puts another in.
        careful: Take only an idle resource younger than what is trusted.
        fresh: Take only an empty place.
        may_observe: Whether an old idle one may be handed out to be probed, to learn by it.
        waiting: Stands in line if nothing is free; None does not stand in line.
    """
    if ledger.is_closed:
        return Verdict.CLOSED
    ledger.rouse(record)  # making room may drop other records, never this one
    expired: Place[K, R] | None = None
    if record.shelf and not fresh:
        record.review(now)
        expired = _drop_expired_newest(ledger, record, now)
        if _take_trusted(ledger, record, lease, now, careful=careful):
            if expired is not None:
                keeping.retire(ledger, expired, now)
            return Verdict.PLACED
        if record.shelf and may_observe and expired is None:
            probing.lend_elder(ledger, record, lease, now)
            return Verdict.OBSERVE
    if expired is not None:
        _gut(ledger, expired, keeping.why_expired(ledger, expired, now), now, carcasses)
    elif not _make_room(ledger, record, now, carcasses) and ledger.is_full(record):
        if waiting is None:
            ledger.hush(record, now)
        else:
            serving.stand_in_line(ledger, record, waiting)
        return Verdict.WAIT
    ledger.open_place(record)
    ledger.bind_empty(Place(record), lease, now)
    return Verdict.PLACED


def _drop_expired_newest(
    ledger: Ledger[K, R], record: Record[K, R], now: float
) -> Place[K, R] | None:
    """Take expired places off the shelf's new end; return one whose room may be used."""
    shelf = record.shelf
    limit = record.idle_limit
    spare: Place[K, R] | None = None
    while shelf and (now >= shelf[-1].keep_until or now - shelf[-1].idle_since >= limit):
        place = shelf.pop()
        ledger.idle_total -= 1
        if spare is not None:
            keeping.retire(ledger, spare, now)
        spare = place
    return spare


def _take_trusted(
    ledger: Ledger[K, R], record: Record[K, R], lease: Lease[K, R], now: float, *, careful: bool
) -> bool:
    """Give the newest idle place to the lease; to a careful one only if it is young."""
    shelf = record.shelf
    if not shelf or (careful and now - shelf[-1].idle_since >= record.freshness.trust):
        return False
    return take_idle(ledger, record, lease, now)


def _make_room(
    ledger: Ledger[K, R], record: Record[K, R], now: float, carcasses: list[Carcass[K, R]]
) -> bool:
    """Empty an idle place for a lease of `record`, if that is what stands in its way."""
    if record.open >= record.max_open:
        victim: Record[K, R] | None = record if record.shelf else None
    elif ledger.open_total >= ledger.max_total:
        victim = ledger.ranking.richest()
    else:
        return False
    if victim is None:
        return False
    place = victim.shelf.pop(0)
    ledger.idle_total -= 1
    _gut(ledger, place, "made_room", now, carcasses)
    return True


def _gut(
    ledger: Ledger[K, R],
    place: Place[K, R],
    reason: str,
    now: float,
    carcasses: list[Carcass[K, R]],
) -> None:
    """Give up a place whose resource the caller closes at once; its room is free already."""
    record = place.record
    assert place.resource is not None
    carcasses.append((record, place.resource))
    ledger.note_closed(place, reason, now)
    record.open -= 1
    ledger.open_total -= 1
    ledger.hush(record, now)


def reserve(ledger: Ledger[K, R], record: Record[K, R], lease: Lease[K, R], now: float) -> bool:
    """Give an empty place to a keeper's lease, if that takes it from nobody."""
    kept = len(record.shelf) + record.warming
    no_shelf = kept >= record.max_idle or ledger.idle_total >= ledger.max_idle_total
    if ledger.is_closed or no_shelf or ledger.is_full(record):
        return False
    ledger.rouse(record)
    ledger.open_place(record)
    place = Place(record)
    place.counts = False
    ledger.bind_empty(place, lease, now)
    return True


def swap_for_idle(ledger: Ledger[K, R], lease: Lease[K, R], now: float, *, careful: bool) -> bool:
    """Exchange the lease's empty place for another idle one of its key, if there is one."""
    place = ledger.held.get(lease.serial)
    if place is None or not place.record.shelf or place.record.waiters:
        return False
    record = place.record
    if not _take_trusted(ledger, record, lease, now, careful=careful):
        return False
    record.tally.dialled -= 1
    assert lease.place is not None
    lease.place.watch = place.watch
    serving.vacate(ledger, place, now)
    return True
