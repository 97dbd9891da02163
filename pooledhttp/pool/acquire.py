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

A caller may also wait although there is room (SPARE). It does so while leases give slots back
faster than this process could open others: see `KeyState.rate_to_wait_for`. It looks now and then
whether that is still so, and dials if not.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable
from typing import TypeVar

from pooledhttp.events import WaitTimedOut
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import reasons
from pooledhttp.pool.checkin import discard_locked, return_unused_locked
from pooledhttp.pool.checkout import (
    SearchResult,
    dial_instead_locked,
    find_slot_locked,
    replace_dead_by_idle_locked,
)
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Slot, WaitingCaller, WaitState
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.probing import replace_dead_locked, return_alive_locked
from pooledhttp.pool.queue import ReachedLimit, count_timeout_locked, leave_queue_locked
from pooledhttp.timing import Deadline

__all__ = ["find_slot", "end_failed_acquire", "replace_dead_until_alive"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: How many leases the message of one timeout lists.
_MAX_HOLDERS = 10


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
    may_probe = careful and core.is_alive is not None
    may_spare = core.config.patience > 0.0
    caller: WaitingCaller[K, R] | None = None
    wait_deadline = deadline
    known = core.state.keys.get(lease.key)
    if known is not None and known.waiting:  # seen without the lock: this one will wait, too
        wait_deadline = deadline.sooner(core.config.acquire_timeout)
        caller = _new_caller(core, lease, wait_deadline, called_at, careful)
    while True:
        found, key_state = _search(core, lease, careful, may_probe, may_spare, caller)
        if found is SearchResult.SLOT:
            return
        if found is SearchResult.CLOSED:
            raise core.closed_error(lease.key)
        if found is SearchResult.PROBE:
            may_probe = False
            if _close_lent_if_dead(core, lease):
                return
        elif caller is not None:
            _wait(core, key_state, caller, wait_deadline, is_sparing=found is SearchResult.SPARE)
            return
        else:
            wait_deadline = deadline.sooner(core.config.acquire_timeout)
            caller = _new_caller(core, lease, wait_deadline, called_at, careful)
            if caller is None and found is SearchResult.WAIT:
                raise _report_timeout(core, key_state, 0.0)
            may_spare = may_spare and caller is not None


def _new_caller(
    core: PoolCore[K, R],
    lease: Lease[K, R],
    wait_deadline: Deadline,
    called_at: float,
    careful: bool,
) -> WaitingCaller[K, R] | None:
    """Make what joins the queue; None if there is no time to wait."""
    left = wait_deadline.remaining()
    if left <= 0.0:
        return None
    patience = min(core.config.patience, left / 4)
    return WaitingCaller(lease, core.runtime.waiter(), called_at, patience, careful=careful)


def _search(
    core: PoolCore[K, R],
    lease: Lease[K, R],
    careful: bool,
    may_probe: bool,
    may_spare: bool,
    caller: WaitingCaller[K, R] | None,
) -> tuple[SearchResult, KeyState[K, R]]:
    """Search once, and close the resources whose slots the search has freed."""
    to_close: list[R] = []
    key_state, found = core.step_for_key(
        lease.key, find_slot_locked, lease, to_close,
        careful=careful, may_probe=may_probe, may_spare=may_spare, caller=caller,
    )  # fmt: skip
    for resource in to_close:
        core.close(resource)
    return found, key_state


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
    *,
    is_sparing: bool,
) -> None:
    """Wait in the queue until served.

    The step that serves a caller gives it the slot; setting its waiter only wakes it. If the time
    is up but a step has served the caller at the last moment, it has its slot, and no error is
    raised.
    """
    has_given_up = False
    try:
        if not is_sparing or not _wait_to_spare(core, key_state, caller, wait_deadline):
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
        raise core.closed_error(key_state.key)


def _wait_to_spare(
    core: PoolCore[K, R],
    key_state: KeyState[K, R],
    caller: WaitingCaller[K, R],
    wait_deadline: Deadline,
) -> bool:
    """Wait for a slot in use while that is faster than dialling, at most for half of the time.

    Returns:
        Whether the wait has ended, perhaps with an empty slot. If not, there is no room any more.
    """
    half = wait_deadline.sooner(wait_deadline.remaining() / 2)
    while not caller.waiter.wait(half.sooner(caller.pause)):
        to_close: list[R] = []
        must_end = half.expired
        has_ended = core.step(dial_instead_locked, key_state, caller, to_close, must_end)
        for resource in to_close:
            core.close(resource)
        if has_ended or must_end:
            return has_ended
        caller.pause *= 2
    return True


def _report_timeout(
    core: PoolCore[K, R], key_state: KeyState[K, R], waited_seconds: float
) -> PoolTimeout:
    """Count the timeout of a caller, emit the event, and return the error to raise."""
    # Not `Thread.is_alive`: in Python 3.11 an interrupt in it marks a running thread as ended.
    running = threading.enumerate()
    reached = core.step(count_timeout_locked, key_state)
    if core.listeners:
        core.listeners.emit(WaitTimedOut(key_state.origin, waited_seconds))
    # The slots are read without the lock: a text may tell of a lease that ends at this moment.
    slots = sorted(reached.slots, key=lambda slot: slot.taken_at)
    holders = tuple(_holder_text(slot, core.now(), running) for slot in slots[:_MAX_HOLDERS])
    return PoolTimeout(
        _timeout_text(key_state.origin, waited_seconds, reached, holders),
        origin=key_state.origin,
        waited_seconds=waited_seconds,
        in_use=len(reached.slots),
        limit=None if reached.limit == UNLIMITED else reached.limit,
        waiting=reached.waiting,
        holders=holders,
    )


def _timeout_text(
    origin: str, waited_seconds: float, reached: ReachedLimit, holders: Collection[str]
) -> str:
    """Return the message of a timeout: what is in use, what to do, and who holds connections."""
    text = f"No connection to {origin} became free in {waited_seconds:.1f} s "
    if not reached.setting:
        return text + "(one is free now). Try again, or wait longer: raise acquire_timeout."
    text += (
        f"(in use {len(reached.slots)} of {reached.limit}, waiting {reached.waiting}). "
        f"Read responses to their end or close them, or raise {reached.setting}."
    )
    if holders:
        text += " Held: " + "; ".join(holders) + "."
    if len(reached.slots) > len(holders):
        text += f" And {len(reached.slots) - len(holders)} more."
    return text


def _holder_text(slot: Slot[K, R], now: float, running: Collection[threading.Thread]) -> str:
    """Return what holds a slot: origin, how long, and the line or the thread."""
    text = f"{slot.origin} for {max(now - slot.taken_at, 0.0):.1f} s"
    if slot.resource is None:
        text += ", dialling"
    if slot.watch is not None:
        return text + str(slot.watch)
    lease = slot.lease() if slot.lease is not None else None
    if lease is None:
        return text + " by a lease that was dropped"
    thread = lease.thread_ref()
    if thread is None or thread not in running:
        return text + " in a thread that has ended"
    return f"{text} in {thread.name}"


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
