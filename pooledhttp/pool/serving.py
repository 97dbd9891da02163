"""The lines: who stands in them, and to whom free room goes. Part of the books: see `ledger`.

A place that is free, or has become so by a close, goes to the first in its key's own line, unless
the first of another line, stopped by the pool's limit alone, is to overtake them. Whoever is served
has the lease when the lock is released; being woken is only news of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.pool.ledger import Ledger
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.waiters import Outcome, Waiting

__all__ = [
    "free",
    "hand",
    "overtaker_of",
    "serve",
    "settle_line",
    "stand_in_line",
    "vacate",
    "withdraw",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def stand_in_line(ledger: Ledger[K, R], record: Record[K, R], waiting: Waiting[K, R]) -> None:
    """Put a caller at the end of its key's line."""
    record.waiters[waiting.lease.serial] = waiting
    ledger.waiting_total += 1
    if ledger.max_total != UNLIMITED:
        ledger.blocked.note(record)


def withdraw(
    ledger: Ledger[K, R], record: Record[K, R], waiting: Waiting[K, R], now: float
) -> bool:
    """Leave the line; False when it had been left already, by being served or by a shutdown."""
    if waiting.outcome is not Outcome.PENDING:
        return False
    waiting.outcome = Outcome.LEFT
    del record.waiters[waiting.lease.serial]
    ledger.waiting_total -= 1
    if ledger.max_total != UNLIMITED:
        ledger.blocked.note(record)  # the next one is first now
    ledger.hush(record, now)
    return True


def serve(ledger: Ledger[K, R], record: Record[K, R], now: float) -> None:
    """Give free room away: to the record's own line, unless another has lost patience."""
    blocked = ledger.blocked
    if ledger.max_total != UNLIMITED:
        blocked.note(record)
    while ledger.open_total < ledger.max_total:
        target: Record[K, R] | None = None
        if record.waiters and record.open < record.max_open:
            target = record
        if blocked:
            overtaker = overtaker_of(ledger, record, record.open + 1, now) if target else None
            target = overtaker or target or blocked.first()
        if target is None:
            return
        ledger.open_place(target)
        hand(ledger, target, Place(target), now)


def overtaker_of(
    ledger: Ledger[K, R], record: Record[K, R], had: int, now: float
) -> Record[K, R] | None:
    """Return the other key that a place of `record`, which had that many, has to go to.

    Who has lost patience gets it if that makes shares more even, or if it has waited for that
    much longer than the record's own line, and twice as long. Under a load that makes everybody
    wait longer than patience, shares settle and each key's places serve its own line; going by
    age alone would then close a connection for nearly every request.
    """
    other = ledger.blocked.first_but(record)
    if other is None or not record.waiters:
        return other
    first = next(iter(other.waiters.values()))
    waited = now - first.since
    if waited <= first.patience:
        return None
    own = now - next(iter(record.waiters.values())).since
    is_poorer = not other.open or other.open + 1 < had
    return other if is_poorer or waited > own + max(own, first.patience) else None


def hand(ledger: Ledger[K, R], record: Record[K, R], place: Place[K, R], now: float) -> None:
    """Give a place to the first in line. Being woken is only news of it.

    It leaves the line last: who has a place and still stands there was handed it by a thread that
    was interrupted, and `settle_line` can see to the rest. Out of the line it would wait for ever.
    """
    serial, waiting = next(iter(record.waiters.items()))
    lease = waiting.lease
    lease.wait_seconds = now - waiting.since
    record.tally.waited(lease.wait_seconds)
    if place.resource is None:
        ledger.bind_empty(place, lease, now)
    else:
        ledger.bind_full(place, lease, now)
    waiting.outcome = Outcome.HANDED
    ledger.todo.append((None, waiting.signal))
    del record.waiters[serial]
    ledger.waiting_total -= 1
    if ledger.max_total != UNLIMITED:
        ledger.blocked.note(record)


def settle_line(ledger: Ledger[K, R], record: Record[K, R]) -> None:
    """Have those leave the line who were on the way out of it when a step was interrupted."""
    for serial, waiting in list(record.waiters.items()):
        place, lease = ledger.held.get(serial), waiting.lease
        if place is not None:
            lease.place, lease.resource = place, place.resource
            lease.reused, lease.idle_seconds = place.resource is not None, place.idle_before
            waiting.outcome = Outcome.HANDED
        if waiting.outcome is not Outcome.PENDING:
            ledger.todo.append((None, waiting.signal))
            del record.waiters[serial]


def vacate(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Free an empty place that a lease had."""
    place.record.dialling -= 1
    _uncover(ledger, place.record, now)


def free(ledger: Ledger[K, R], place: Place[K, R], now: float) -> None:
    """Stop counting a place whose resource has been closed."""
    if place in ledger.closing:
        ledger.closing.discard(place)
        place.record.closing -= 1
        _uncover(ledger, place.record, now)


def _uncover(ledger: Ledger[K, R], record: Record[K, R], now: float) -> None:
    """Count one place less, and serve whoever can use the room."""
    record.open -= 1
    ledger.open_total -= 1
    if ledger.waiting_total:
        serve(ledger, record, now)
    if not record.open:
        ledger.hush(record, now)
    if ledger.drainers and not ledger.open_total:
        ledger.todo.extend((None, signal) for signal in ledger.drainers)
        ledger.drainers.clear()
