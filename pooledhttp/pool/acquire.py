"""The other ways to a slot, when the newest idle resource cannot be taken: search, probe, wait.

`Pool.acquire` itself tries only the shortest way. The rest is here. Each search is one step under
the lock; probing, closing and waiting happen between the steps:

    search --SLOT---------------------------------------------> the lease has its slot
      ^ |----PROBE--> probe an old idle resource --dead-------> the lease has an empty slot
      | |                 |
      |-+-----------------'  alive: it is idle again
      | |
      | '----WAIT---> make a `WaitingCaller`, and search again with it
      '-------------------'

    search, with a caller --WAIT--> it is in the queue --served--> the lease has its slot
                                      '--- time is up, or the pool is shut down ---> error

The first search that finds nothing does not join the queue, because most searches find something
and need no `WaitingCaller`. The second search joins in the same step that finds nothing. If joining
were a step of its own, a slot could become free before it, and the caller would miss it.
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
    replace_dead_by_idle_locked,
    replace_dead_locked,
    return_alive_locked,
)
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.key_state import KeyState, Outcome, WaitingCaller
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.queue import leave_queue_locked, timeout_error_locked
from pooledhttp.timing import Deadline

__all__ = ["find_slot", "give_back", "replace_until_alive"]

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
    """Get a slot for the lease. The caller has tried `take_idle_locked` before.

    Args:
        core: Of the pool.
        lease: Gets the slot.
        deadline: When to stop waiting; the pool's `acquire_timeout` can end the wait earlier.
        since: When the caller called `acquire`.
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
        if found is Found.SLOT:
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
    """Search once, and close the resources whose slots the search has freed."""
    to_close: list[R] = []
    key_state, found = core.step_for_key(
        lease.key, find_slot_locked, lease, to_close,
        careful=careful, fresh=fresh, may_probe=may_probe, caller=caller,
    )  # fmt: skip
    for resource in to_close:
        core.close(resource)
    return found, key_state


def _probe_lent(core: PoolCore[K, R], lease: Lease[K, R]) -> bool:
    """Probe the old idle resource lent to the lease.

    Returns:
        True if it was dead: the lease keeps the slot, empty. False if it was alive: the resource is
        idle again, and the lease has no slot.
    """
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

    The step that serves a caller gives it the slot; the signal only wakes it. If the time is up but
    a step has served the caller at the last moment, it has its slot, and no error is raised.
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
    """Make the error of a caller whose time is up, count it, and emit the event."""
    # Not `Thread.is_alive`: in Python 3.11 an interrupt in it marks a running thread as ended.
    running = threading.enumerate()
    error = core.step(timeout_error_locked, key_state, waited_seconds, running)
    if core.listeners:
        core.listeners.emit(WaitTimedOut(key_state.origin, waited_seconds))
    return error


def replace_until_alive(core: PoolCore[K, R], lease: Lease[K, R], careful: bool) -> None:
    """Close the dead resource of a lease, and try the other idle ones of the key in turn.

    Afterwards the lease has one that is alive or too young to be probed, or else an empty slot.
    """
    is_dead = True
    while is_dead:
        core.close(lease.resource)
        core.step(replace_dead_by_idle_locked, lease, careful)
        is_dead = (
            lease.reused
            and lease.idle_seconds >= core.validate_after
            and not core.probe(lease.resource)
        )


def give_back(core: PoolCore[K, R], lease: Lease[K, R]) -> None:
    """End the lease of an `acquire` that raises, if it has a slot already."""
    core.end(discard_locked, None, lease.serial, "interrupted")
