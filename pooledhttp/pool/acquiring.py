"""Getting a place that is not at hand: searching, waiting, probing, filling.

`Pool.acquire` itself tries only the shortest way. What follows is here, each step of it one holding
of the lock, with probing, closing and waiting in between:

    seek ---PLACED---------------------------------------------------> the lease has its place
     ^ |----OBSERVE---> probe an old idle one ---dead----------------> the lease has its room
     | |                   |
     |-+-------------------'  alive: it is back on the shelf
     | |
     | '----WAIT------> join the line, in a seek once more ---WAIT---> wait ---handed---> it has it
     '---------------------'                                             |
                                                           time is up, or the pool is shut down

The line is joined in the same holding of the lock that finds nothing free: between a look that
found nothing and the joining, a place could become free, and be missed.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.events import WaitTimedOut
from pooledhttp.pool import ending, probing, serving, taking
from pooledhttp.pool.callers import timed_out
from pooledhttp.pool.desk import Desk, marks_damage
from pooledhttp.pool.record import Record
from pooledhttp.pool.shelf import Place
from pooledhttp.pool.taking import Carcass, Verdict
from pooledhttp.pool.waiters import Outcome, Waiting
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = ["fill", "find_place", "recover", "replace_dead", "validate"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def find_place(
    desk: Desk[K, R],
    lease: Lease[K, R],
    deadline: Deadline,
    now: float,
    careful: bool,
    fresh: bool,
) -> None:
    """Get a place for the lease by any of the ways but the shortest, which has been tried.

    Args:
        desk: Of the pool.
        lease: Gets the place.
        deadline: When to stop waiting; the pool's `acquire_timeout` may end the wait before.
        now: When the caller came.
        careful: Take an idle resource only if it is trusted.
        fresh: Take an empty place.

    Raises:
        PoolTimeout: No place became free in time.
        PoolClosed: The pool was shut down before or while waiting.
    """
    may_observe = careful and desk.is_alive is not None
    waiting: Waiting[K, R] | None = None
    limit = deadline
    if desk.is_damaged:
        desk.settle()
    while True:
        verdict, record = _seek(desk, lease, careful, fresh, may_observe, waiting)
        if verdict is Verdict.PLACED:
            return
        if verdict is Verdict.CLOSED:
            raise desk.closed_error(lease.key)
        if verdict is Verdict.OBSERVE:
            may_observe = False
            if _observe(desk, lease):
                return
        elif waiting is not None:
            _wait(desk, record, waiting, limit)
            return
        else:
            limit = deadline.sooner(desk.config.acquire_timeout)
            left = limit.remaining()
            if left <= 0.0:
                raise _timed_out(desk, record, 0.0)
            patience = min(desk.config.patience, left / 4)
            waiting = Waiting(
                lease, desk.runtime.waiter(), now, patience, careful=careful, fresh=fresh
            )


def _seek(
    desk: Desk[K, R],
    lease: Lease[K, R],
    careful: bool,
    fresh: bool,
    may_observe: bool,
    waiting: Waiting[K, R] | None,
) -> tuple[Verdict, Record[K, R]]:
    """Seek once, with a new record if the key has none; close what is in the way."""
    key, ledger = lease.key, desk.ledger
    carcasses: list[Carcass[K, R]] = []
    while True:
        known = ledger.records.get(key)
        settings = desk.settings
        if known is None:
            origin, limits = desk.describe(key), desk.limits(key)
        with desk.lock:
            record = ledger.records.get(key)
            if record is None:
                if known is not None or settings is not desk.settings:
                    continue  # dropped for being quiet, or resized, between the two looks
                record = ledger.enter(key, origin, limits, desk.now())
            verdict = taking.seek(
                ledger,
                record,
                lease,
                desk.now(),
                carcasses,
                careful=careful,
                fresh=fresh,
                may_observe=may_observe,
                waiting=waiting,
            )
        for _, resource in carcasses:
            desk.close(resource)
        desk.settle()
        return verdict, record


def _observe(desk: Desk[K, R], lease: Lease[K, R]) -> bool:
    """Probe the old idle resource the lease was lent; whether the lease has its place now."""
    resource = lease.resource
    assert resource is not None
    if desk.probe(resource):
        with desk.lock:
            probing.observed_alive(desk.ledger, lease, desk.now())
        desk.settle()
        return False
    desk.close(resource)
    with desk.lock:
        probing.found_dead(desk.ledger, lease, desk.now())
    return True


def _wait(desk: Desk[K, R], record: Record[K, R], waiting: Waiting[K, R], limit: Deadline) -> None:
    """Stand in line until served.

    Whoever serves does so under the lock; the signal is only news of it. A caller whose time is up
    may have been served at the last moment: then it has its lease, and is not late.
    """
    try:
        waiting.signal.wait(limit)
        if waiting.outcome is Outcome.PENDING:
            with desk.lock:
                has_left = serving.withdraw(desk.ledger, record, waiting, desk.now())
            if has_left:
                raise _timed_out(desk, record, desk.now() - waiting.since)
    except BaseException:
        with desk.lock:
            if not serving.withdraw(desk.ledger, record, waiting, desk.now()):
                ending.give_back(desk.ledger, waiting.lease.serial, desk.now())
        raise
    if waiting.outcome is Outcome.CLOSED:
        raise desk.closed_error(record.key)


def _timed_out(desk: Desk[K, R], record: Record[K, R], waited_seconds: float) -> Exception:
    """Count a caller that waited in vain, and make its error."""
    ledger = desk.ledger
    now = desk.now()
    with desk.lock:
        record.tally.acquire_timeouts += 1
        places = list(ledger.held.values())
        total = (len(places), ledger.max_total)
        error = timed_out(record, places, total, waited_seconds, now)
    if desk.listeners:
        desk.listeners.emit(WaitTimedOut(record.origin, waited_seconds))
    return error


def validate(desk: Desk[K, R], lease: Lease[K, R], careful: bool) -> None:
    """Probe the lease's resource; put another in its place, or none, while it is dead."""
    while lease.reused and lease.idle_seconds >= desk.validate_after:
        resource = lease.resource
        if resource is None or desk.probe(resource):
            return
        desk.close(resource)
        with desk.lock:
            now = desk.now()
            probing.found_dead(desk.ledger, lease, now)
            taking.swap_for_idle(desk.ledger, lease, now, careful=careful)
        desk.settle()


def recover(desk: Desk[K, R], lease: Lease[K, R]) -> None:
    """Leave nothing behind of an acquire that ended with an exception."""
    desk.is_damaged = True
    desk.ended.append(("discarded", lease.serial, "interrupted", None))
    desk.settle()


@marks_damage
def fill(desk: Desk[K, R], lease: Lease[K, R], resource: R) -> Place[K, R]:
    """Put a resource into a lease's empty place; return the place.

    Raises:
        PoolClosed: The lease has ended. The resource was closed.
    """
    with desk.lock:
        place = ending.fill(desk.ledger, lease.serial, resource, desk.now())
        if place is not None:
            lease.resource = resource
    if place is None:
        desk.close(resource)
        raise desk.closed_error(lease.key)
    return place


@marks_damage
def replace_dead(desk: Desk[K, R], lease: Lease[K, R]) -> None:
    """Close the dead resource of a lease that has not ended, and leave it an empty place."""
    resource = lease.resource
    if resource is None or lease.serial not in desk.ledger.held:
        return
    desk.close(resource)
    with desk.lock:
        probing.found_dead(desk.ledger, lease, desk.now())
    desk.settle()
    desk.tell()
