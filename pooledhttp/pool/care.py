"""Looking after a pool: expiry, leaks, warm resources, new settings, closing.

Nothing here is on the path of a request. What walks over all records takes the lock for a few of
them at a time, and settles in between, so that no request waits for the walk. What is done to the
books while the lock is held is in `upkeep` and `keeping`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.pool import keeping, probing, taking, upkeep
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.desk import Desk, marks_damage
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import Record
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease

__all__ = [
    "chunks",
    "close_idle",
    "drain",
    "evict",
    "report_leaks",
    "reserve",
    "resize",
    "shortage",
    "shutdown",
    "sweep",
    "weed",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_log = logging.getLogger(__name__)

#: Records read under one holding of the lock by what walks over all of them.
_CHUNK = 128


def chunks(desk: Desk[K, R]) -> Iterator[list[Record[K, R]]]:
    """Go over all records, as many at a time as the lock may be held for."""
    records = list(desk.ledger.records.values())
    for start in range(0, len(records), _CHUNK):
        yield records[start : start + _CHUNK]


@marks_damage
def sweep(desk: Desk[K, R]) -> float | None:
    """Close what expired; return the seconds to the next expiry, None when nothing is open."""
    ledger = desk.ledger
    soonest = inf
    for records in chunks(desk):
        with desk.lock:
            now = desk.now()
            for record in records:
                soonest = min(soonest, keeping.expire(ledger, record, now))
        desk.settle()
    with desk.lock:
        ledger.forget_quiet(desk.now())
    if desk.watches_leaks:
        soonest = min(soonest, report_leaks(desk))
    desk.settle()
    desk.tell()
    return None if not ledger.open_total else max(soonest - desk.now(), 0.0)


def report_leaks(desk: Desk[K, R]) -> float:
    """Report leases that nobody has used for `leak_threshold`; return when to look again."""
    threshold = desk.config.leak_threshold
    if threshold is None:
        return inf
    with desk.lock:
        now = desk.now()
        found, soonest = upkeep.find_leaks(desk.ledger, threshold, now)
        # A lease acquired after this may be due earlier than those seen now.
        desk.leak_check_at = min(soonest, now + threshold)
    for place, quiet_seconds in found:
        _log.warning(
            "A lease for %s has not been used for %.1f s (held for %.1f s%s)."
            " Read the response to its end or close it.",
            place.record.origin, quiet_seconds, now - place.taken_at,
            place.watch or "",
        )  # fmt: skip
    desk.settle()
    desk.tell()
    return desk.leak_check_at


# -- for a keeper of warm resources


@marks_damage
def reserve(desk: Desk[K, R], lease: Lease[K, R]) -> bool:
    """Give an empty place to a keeper's lease, if that takes it from nobody; whether it did."""
    key = lease.key
    while True:
        settings = desk.settings
        origin, limits = desk.describe(key), desk.limits(key)
        with desk.lock:
            if settings is not desk.settings:
                continue  # resized between asking for the limits and now
            now = desk.now()
            record = desk.ledger.enter(key, origin, limits, now)
            is_placed = taking.reserve(desk.ledger, record, lease, now)
        desk.settle()
        return is_placed


def shortage(desk: Desk[K, R]) -> list[tuple[K, int]]:
    """Return the keys with fewer idle resources than `min_idle`, and how many are missing."""
    with desk.lock:
        missing = desk.ledger.shortage()
    desk.settle()
    return missing


@marks_damage
def weed(desk: Desk[K, R], new_lease: Callable[[K], Lease[K, R]]) -> None:
    """Close what is dead of the idle resources of keys that have a minimum of them.

    Args:
        desk: Of the pool.
        new_lease: Makes a lease that has no place yet. The one that is probed is held by it, so
            that an interrupt leaves it to somebody.
    """
    if desk.is_alive is not None:
        for record in desk.ledger.warm_records():
            while _weed_eldest(desk, record, new_lease(record.key)):
                pass
        desk.tell()


def _weed_eldest(desk: Desk[K, R], record: Record[K, R], lease: Lease[K, R]) -> bool:
    """Probe the oldest idle resource of a key, and close it if it is dead; whether it was."""
    ledger = desk.ledger
    try:
        with desk.lock:
            if not probing.lend_elder(ledger, record, lease, desk.now()):
                return False
        assert lease.resource is not None
        is_alive = desk.probe(lease.resource)
        with desk.lock:
            if is_alive:
                probing.observed_alive(ledger, lease, desk.now())
            else:
                probing.bury(ledger, lease.serial, desk.now())
    except BaseException:
        lease.discard("interrupted")
        raise
    desk.settle()
    return not is_alive


# -- new settings, and closing


@marks_damage
def resize(desk: Desk[K, R], config: PoolConfig, limits_for: Callable[[K], Limits] | None) -> None:
    """Take over new settings: who waits is served if there is room now, what is too much goes."""
    if limits_for is not None:
        desk.limits_for = limits_for
    desk.apply(config)
    limits: dict[K, Limits] = {}
    is_complete = False
    while not is_complete:
        for key in list(desk.ledger.records):
            if key not in limits:
                limits[key] = desk.limits(key)
        with desk.lock:  # others came to be meanwhile, perhaps
            is_complete = limits.keys() >= desk.ledger.records.keys()
            if is_complete:
                upkeep.resize(desk.ledger, config, limits, desk.now())
    desk.settle()
    desk.tell()


@marks_damage
def evict(desk: Desk[K, R], which: K | Callable[[K], bool]) -> int:
    """Close what is idle of the keys meant, and what is in use of them once it is given back."""
    is_meant = which if callable(which) else None
    count = 0
    for key, record in list(desk.ledger.records.items()):
        if is_meant(key) if is_meant is not None else key == which:
            with desk.lock:
                count += upkeep.evict(desk.ledger, record, "evicted", desk.now())
            desk.settle()
    desk.tell()
    return count


@marks_damage
def close_idle(desk: Desk[K, R]) -> None:
    """Close everything idle, and everything in use once it is given back."""
    for record in list(desk.ledger.records.values()):
        with desk.lock:
            upkeep.evict(desk.ledger, record, "closed", desk.now())
        desk.settle()
    desk.tell()


@marks_damage
def shutdown(desk: Desk[K, R]) -> None:
    """Close for good. In one holding of the lock: nobody may join a line that is not served."""
    ledger = desk.ledger
    with desk.lock:
        ledger.is_closed = True
        for record in list(ledger.records.values()):
            upkeep.shut(ledger, record, desk.now())
    desk.settle()
    desk.tell()


def drain(desk: Desk[K, R], deadline: Deadline) -> bool:
    """Shut down, and wait until everything is closed; False when the deadline came first."""
    ledger = desk.ledger
    signal = desk.runtime.waiter()
    shutdown(desk)
    with desk.lock:
        if not ledger.open_total:
            return True
        ledger.drainers.append(signal)
    desk.settle()
    signal.wait(deadline)
    return not ledger.open_total
