"""Acquiring a slot that is not at hand: search, wait, probe.

`Pool.acquire` itself tries only the shortest way. The rest is here. Each search is one step under
the lock; probing, closing and waiting happen between the steps:

    search ---PLACED--------------------------------------------> the lease has its slot
     ^ |------PROBE----> probe an old idle one ---dead----------> the lease has an empty slot
     | |                   |
     |-+-------------------'  alive: it is idle again
     | |
     | '------WAIT-----> search again and join the queue ---WAIT---> wait ---served---> it has it
     '---------------------'                                           |
                                                        time is up, or the pool is shut down

A caller joins the queue in the same step that finds nothing free. Between a search that finds
nothing and a later step that joins, a slot could become free, and the caller would miss it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.events import WaitTimedOut
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool.checkin import discard_locked, return_unused_locked
from pooledhttp.pool.checkout import (
    Found,
    find_slot_locked,
    replace_dead_locked,
    return_alive_locked,
    swap_for_idle_locked,
)
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.key_state import KeyState, Outcome, WaitingCaller
from pooledhttp.pool.leaks import timeout_error_locked
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.queue import leave_queue_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.timing import Deadline

__all__ = ["abandon", "find_slot", "replace_dead"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def find_slot(
    core: PoolCore[K, R],
    lease: Lease[K, R],
    deadline: Deadline,
    since: float,
    careful: bool,
    fresh: bool,
) -> None:
    """Get a slot for the lease by any way but the shortest, which was tried before.

    Args:
        core: Of the pool.
        lease: Gets the slot.
        deadline: When to stop waiting; the pool's `acquire_timeout` can end the wait earlier.
        since: When the caller came.
        careful: Take an idle resource only if it is trusted.
        fresh: Take an empty slot only.

    Raises:
        PoolTimeout: No slot became free in time.
        PoolClosed: The pool was shut down before or while waiting.
    """
    may_probe = careful and core.is_alive is not None
    caller: WaitingCaller[K, R] | None = None
    limit = deadline
    while True:
        found, key_state = _search(core, lease, careful, fresh, may_probe, caller)
        if found is Found.PLACED:
            return
        if found is Found.CLOSED:
            raise core.closed_error(lease.key)
        if found is Found.PROBE:
            may_probe = False
            if _probe_lent(core, lease):
                return
        elif caller is not None:
            _wait(core, key_state, caller, limit)
            return
        else:
            limit = deadline.sooner(core.config.acquire_timeout)
            left = limit.remaining()
            if left <= 0.0:
                raise _timed_out(core, key_state, 0.0)
            patience = min(core.config.patience, left / 4)
            caller = WaitingCaller(
                lease, core.runtime.waiter(), since, patience, careful=careful, fresh=fresh
            )


def _search(
    core: PoolCore[K, R],
    lease: Lease[K, R],
    careful: bool,
    fresh: bool,
    may_probe: bool,
    caller: WaitingCaller[K, R] | None,
) -> tuple[Found, KeyState[K, R]]:
    """Search once, and close the resources that had to make room."""
    key = lease.key
    to_close: list[R] = []
    while True:
        settings = core.settings
        # Asked for outside the lock, because these functions belong to the user.
        new = None if key in core.state.keys else (core.describe(key), core.limits(key))

        def search_locked(
            state: PoolState[K, R],
            now: float,
            settings: object = settings,
            new: tuple[str, Limits] | None = new,
        ) -> tuple[Found, KeyState[K, R]] | None:
            key_state = state.keys.get(key)
            if key_state is None:
                if new is None or settings is not core.settings:
                    return None  # dropped as unused, or resized, since it was looked up
                key_state = state.add_key_locked(now, key, *new)
            found = find_slot_locked(
                state, now, key_state, lease, to_close,
                careful=careful, fresh=fresh, may_probe=may_probe, caller=caller,
            )  # fmt: skip
            return found, key_state

        result = core.step(search_locked)
        if result is not None:
            for resource in to_close:
                core.close(resource)
            return result


def _probe_lent(core: PoolCore[K, R], lease: Lease[K, R]) -> bool:
    """Probe the old idle resource lent to the lease; whether the lease has its slot now."""
    resource = lease.resource
    assert resource is not None
    if core.probe(resource):
        core.step(return_alive_locked, lease)
        return False
    core.close(resource)
    core.step(replace_dead_locked, lease)
    return True


def _wait(
    core: PoolCore[K, R], key_state: KeyState[K, R], caller: WaitingCaller[K, R], limit: Deadline
) -> None:
    """Wait in the queue until served.

    The step that serves a caller gives it the slot; the signal is only the news. A caller whose
    time is up may have been served at the last moment. Then it has its lease and is not late.
    """
    try:
        caller.signal.wait(limit)
        if caller.outcome is Outcome.PENDING and core.step(leave_queue_locked, key_state, caller):
            raise _timed_out(core, key_state, core.now() - caller.since)
    except BaseException:
        if not core.step(leave_queue_locked, key_state, caller):
            core.step(return_unused_locked, caller.lease.serial)
        raise
    if caller.outcome is Outcome.CLOSED:
        raise core.closed_error(key_state.key)


def _timed_out(
    core: PoolCore[K, R], key_state: KeyState[K, R], waited_seconds: float
) -> PoolTimeout:
    """Make the error of a caller that waited in vain, count it, and emit the event."""
    threads = {thread.native_id: thread.name for thread in threading.enumerate()}
    error = core.step(timeout_error_locked, key_state, waited_seconds, threads)
    if core.listeners:
        core.listeners.emit(WaitTimedOut(key_state.origin, waited_seconds))
    return error


def replace_dead(core: PoolCore[K, R], lease: Lease[K, R], careful: bool) -> None:
    """Close the dead resource of a lease; give it another idle one that is alive, or none."""
    is_dead = True
    while is_dead:
        core.close(lease.resource)
        core.step(_replace_dead_by_idle_locked, lease, careful)
        is_dead = (
            lease.reused
            and lease.idle_seconds >= core.validate_after
            and not core.probe(lease.resource)
        )


def _replace_dead_by_idle_locked(
    state: PoolState[K, R], now: float, lease: Lease[K, R], careful: bool
) -> None:
    replace_dead_locked(state, now, lease)
    swap_for_idle_locked(state, now, lease, careful)


def abandon(core: PoolCore[K, R], lease: Lease[K, R]) -> None:
    """Give back whatever an acquire has got that ends with an exception."""
    core.end(discard_locked, None, lease.serial, "interrupted")
