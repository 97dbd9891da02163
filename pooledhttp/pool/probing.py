"""What a probe tells: a resource that was idle is alive, or dead. Part of the books: see `ledger`.

The probe itself is made without the lock, by whoever holds the lease. Its outcome is news about the
origin: alive at an age means that younger ones may be trusted, dead at an age that older ones are
not to be used. An old idle resource is lent to a lease only to learn that.

    shelf --lend_elder--> lease --observed_alive--> shelf       the lease has nothing then
                            |
                            +-----found_dead------> closed      the lease keeps the room, empty
                            '--------bury---------> closed      a keeper's lease, which ends
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.events import StaleFound
from pooledhttp.pool import ending, keeping
from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.record import Record
from pooledhttp.pool.shelf import Place

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = ["bury", "found_dead", "lend_elder", "observed_alive"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def _idle_since(place: Place[K, R]) -> float:
    return place.idle_since


def lend_elder(ledger: Ledger[K, R], record: Record[K, R], lease: Lease[K, R], now: float) -> bool:
    """Lend the resource that has been idle longest to a lease, if there is one.

    Until its outcome is known the lease is counted as a keeper's: it may end as no request at all.
    """
    if not record.shelf:
        return False
    place = record.shelf.pop(0)
    ledger.idle_total -= 1
    place.counts = False
    ledger.bind_full(place, lease, now)
    return True


def observed_alive(ledger: Ledger[K, R], lease: Lease[K, R], now: float) -> Record[K, R] | None:
    """Take the probed place back from the lease, which then seeks anew; None if it ended."""
    place = ledger.held.pop(lease.serial, None)
    if place is None:
        return None
    record = place.record
    record.saw_alive(place.idle_before)
    ledger.uncount(place)
    lease.place = lease.resource = None
    if record.waiters or ledger.blocked.first() is not None or keeping.is_unwanted(ledger, place):
        # Somebody came meanwhile: it must not go back to the shelf past them. Closing it and
        # freeing its room serves whoever is first.
        ledger.doom(place, "made_room", now)
    else:
        bisect.insort_left(record.shelf, place, key=_idle_since)
        ledger.idle_total += 1
        if record.listed < len(record.shelf):
            ledger.ranking.rise(record)
    return record


def found_dead(ledger: Ledger[K, R], lease: Lease[K, R], now: float) -> bool:
    """The lease's resource is dead and has been closed; leave the lease an empty place.

    Returns:
        Whether the lease had not been ended meanwhile.
    """
    place = ledger.held.get(lease.serial)
    if place is None:
        return False
    record = place.record
    record.saw_closed(place.idle_before, now)
    tally = record.tally
    tally.stale_found += 1
    if ledger.listeners:
        ledger.events.append(StaleFound(record.origin, place.idle_before))
    ledger.note_closed(place, "stale", now)
    tally.dialled += 1
    ledger.uncount(place)  # if it was observed, this is the lease's real beginning
    emptied: Place[K, R] = Place(record)
    emptied.taken_at = place.taken_at
    emptied.watch = place.watch
    ledger.held[lease.serial] = emptied
    record.dialling += 1
    lease.place = emptied
    lease.resource = None
    lease.reused = False
    return True


def bury(ledger: Ledger[K, R], serial: int, now: float) -> None:
    """Have a resource closed that a keeper's lease found dead."""
    place = ledger.held.get(serial)
    if place is None:
        return
    record = place.record
    record.saw_closed(place.idle_before, now)
    record.tally.stale_found += 1
    ledger.events.append(StaleFound(record.origin, place.idle_before))
    ending.discard(ledger, serial, "stale", now)
