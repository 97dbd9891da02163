"""The other ways to a slot, when the newest idle resource cannot be taken: search, probe, wait.

`Pool.acquire` itself tries only the shortest way. The rest is here. Each search is one step under
the lock; probing, closing and waiting happen between the steps:

    search --SLOT---------------------------------------------> the lease has its slot
      ^ |----PROBE--> probe an old idle resource --dead-------> the lease has an empty slot
      | |                 |
      |-+-----------------'  alive: it is idle again
      | |
      | '----WAIT---> make a `WaitingCaller`, and search again with it
      '-------------------'  or SPARE

    search, with a caller --WAIT--> it is in the queue --served--> the lease has its slot
                                      '--- time is up, or the pool is shut down ---> error

The first search that finds nothing does not join the queue, because most searches find something
and need no `WaitingCaller`. The second search joins in the same step that finds nothing. If joining
were a step of its own, a slot could become free before it, and the caller would miss it. If other
callers of the key wait already, the first search may join.

A caller may also wait although there is room (SPARE), to spare a dial: see `sparing`.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.events import WaitTimedOut
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import reasons
from pooledhttp.pool.checkin import discard_locked, return_unused_locked
from pooledhttp.pool.checkout import find_slot_locked, replace_dead_by_idle_locked
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.errors import closed_error, timeout_error
from pooledhttp.pool.key_state import KeyState, SparedDial, WaitingCaller, WaitState
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.probing import replace_dead_locked, return_alive_locked
from pooledhttp.pool.queue import count_timeout_locked, leave_queue_locked
from pooledhttp.pool.search import Search, SearchResult
from pooledhttp.pool.sparing import dial_if_slow_locked, dial_locked, spare_or_find_locked
from pooledhttp.timing import Deadline

__all__ = ["find_slot", "end_failed_acquire", "replace_dead_until_alive"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def find_slot(
    core: PoolCore[K, R],
    lease: Lease[K, R],
    deadline: Deadline,
    called_at: float,
    careful: bool,
) -> None:
    """Get a slot for the lease. The caller has tried `take_idle_locked` before.

    Args:
        core: Of the pool.
        lease: Gets the slot.
        deadline: When to stop waiting; the pool's `acquire_timeout` can end the wait earlier.
        called_at: When the caller called `acquire`; waiting time is counted from here.
        careful: Take an idle resource only if it is trusted.

    Raises:
        PoolTimeout: No slot became free in time.
        PoolClosed: The pool was shut down before or while waiting.
    """
    search = Search(lease, careful=careful, may_probe=careful and core.is_alive is not None)
    find = spare_or_find_locked if core.spares_dials else find_slot_locked
    wait_deadline = deadline
    known = core.state.keys.get(lease.key)
    if known is not None and known.waiting:  # seen without the lock: this one will wait, too
        wait_deadline = deadline.sooner(core.config.acquire_timeout)
        search.caller = _new_caller(core, search, wait_deadline, called_at)
    while True:
        key_state, found = core.step_for_key(lease.key, find, search)
        if search.to_close:
            _close_freed(core, search.to_close)
        if found is SearchResult.SLOT:
            return
        if found is SearchResult.CLOSED:
            raise closed_error(core.describe(lease.key))
        if found is SearchResult.PROBE:
            search.may_probe = False
            if _close_lent_if_dead(core, lease):
                return
        elif search.caller is not None:
            _wait(core, key_state, search.caller, wait_deadline)
            return
        else:
            wait_deadline = deadline.sooner(core.config.acquire_timeout)
            search.caller = _new_caller(core, search, wait_deadline, called_at)
            if search.caller is None:
                if found is SearchResult.WAIT:
                    raise _report_timeout(core, key_state, 0.0)
                find = find_slot_locked  # there is no time to spare a dial


def _new_caller(
    core: PoolCore[K, R], search: Search[K, R], wait_deadline: Deadline, called_at: float
) -> WaitingCaller[K, R] | None:
    """Make what joins the queue; None if there is no time to wait."""
    left = wait_deadline.remaining()
    if left <= 0.0:
        return None
    patience = min(core.config.patience, left / 4)
    return WaitingCaller(
        search.lease, core.runtime.waiter(), called_at, patience, careful=search.careful
    )


def _close_freed(core: PoolCore[K, R], to_close: list[R]) -> None:
    """Close the resources whose slots a step has freed."""
    while to_close:
        core.close(to_close.pop())


def _close_lent_if_dead(core: PoolCore[K, R], lease: Lease[K, R]) -> bool:
    """Probe the old idle resource lent to the lease, and close it if it is dead.

    Returns:
        Whether it was dead. Then the lease has an empty slot. If it was alive, it is idle again,
        and the lease has no slot.
    """
    resource = lease.resource
    assert resource is not None
    if core.finds_alive(resource):
        core.step(return_alive_locked, lease)
        return False
    core.close(resource)
    core.step(replace_dead_locked, lease)
    return True


def _wait(
    core: PoolCore[K, R],
    key_state: KeyState[K, R],
    caller: WaitingCaller[K, R],
    wait_deadline: Deadline,
) -> None:
    """Wait in the queue until served.

    The step that serves a caller gives it the slot; setting its waiter only wakes it. If the time
    is up but a step has served the caller at the last moment, it has its slot, and no error is
    raised.
    """
    has_given_up = False
    try:
        spared_dial = caller.spared_dial
        if spared_dial is None or not _wait_to_spare(
            core, key_state, caller, spared_dial, wait_deadline
        ):
            caller.waiter.wait(wait_deadline)
        if caller.state is WaitState.PENDING:
            has_given_up = core.step(leave_queue_locked, key_state, caller)
    except BaseException:
        if not core.step(leave_queue_locked, key_state, caller):
            core.step(return_unused_locked, caller.lease.serial)
        raise
    if has_given_up:
        raise _report_timeout(core, key_state, core.now() - caller.called_at)
    if caller.state is WaitState.CLOSED:
        raise closed_error(key_state.origin)


def _wait_to_spare(
    core: PoolCore[K, R],
    key_state: KeyState[K, R],
    caller: WaitingCaller[K, R],
    spared_dial: SparedDial,
    wait_deadline: Deadline,
) -> bool:
    """Wait for a slot in use while that is faster than dialling, at most for half of the time.

    Returns:
        Whether the wait has ended, perhaps with an empty slot. If not, there is no room any more.
    """
    half = wait_deadline.sooner(wait_deadline.remaining() / 2)
    to_close: list[R] = []
    while not caller.waiter.wait(half.sooner(spared_dial.pause)):
        is_half_over = half.expired
        has_ended = core.step(dial_if_slow_locked, key_state, caller, to_close)
        if is_half_over and not has_ended:
            has_ended = core.step(dial_locked, key_state, caller, to_close)
        _close_freed(core, to_close)
        if has_ended or is_half_over:
            return has_ended
    return True


def _report_timeout(
    core: PoolCore[K, R], key_state: KeyState[K, R], waited_seconds: float
) -> PoolTimeout:
    """Count the timeout of a caller, emit the event, and return the error to raise."""
    running = threading.enumerate()
    reached = core.step(count_timeout_locked, key_state)
    if core.listeners:
        core.listeners.emit(WaitTimedOut(key_state.origin, waited_seconds))
    return timeout_error(key_state.origin, waited_seconds, reached, core.now(), running)


def replace_dead_until_alive(core: PoolCore[K, R], lease: Lease[K, R], careful: bool) -> None:
    """Close the dead resource of a lease, and try the other idle ones of the key in turn.

    Afterwards the lease has one that is alive or too young to be probed, or else an empty slot.
    """
    while True:
        core.close(lease.resource)
        core.step(replace_dead_by_idle_locked, lease, careful)
        if not core.finds_dead(lease):
            return


def end_failed_acquire(core: PoolCore[K, R], lease: Lease[K, R]) -> None:
    """Discard the lease of an `acquire` that raises; it may have a slot already."""
    core.end(discard_locked, None, lease.serial, reasons.INTERRUPTED)
