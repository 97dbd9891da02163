"""The pool: leases of resources by key, within limits, in a fair order.

It is generic in the key and the resource, and knows no HTTP. It never makes a resource: a caller
that gets an empty slot makes a resource and fills the slot. The pool closes and probes a resource
with functions that the constructor takes. `acquire` looks for a slot in this order:

    1  the newest idle resource of the key, if it is usable
    2  an empty slot, if the limits allow one more and dials need not be spared (see `dial_cost`)
    3  an empty slot in place of an idle resource, which is closed: a resource of any key if the
       pool has reached its limit, or of the same key if the key has reached its own
    4  the queue

This module has the code that every request runs: the shortest way to a slot, and the end of a
lease. The module `acquire` has the other ways to a slot, and `maintenance`, the base class, has the
rest. All of them change one state under one lock, which is held for microseconds. Probing, closing,
waking, events and logging happen after the lock has been released. `core` describes how, and why
ending a lease never waits for the lock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from math import inf
from random import Random
from typing import Any, TypeVar

from pooledhttp.events import ConnectionOpened, LeaseAcquired, Listeners
from pooledhttp.pool import reasons
from pooledhttp.pool.acquire import end_failed_acquire, find_slot, replace_dead_until_alive
from pooledhttp.pool.checkin import (
    discard_locked,
    reclaim_locked,
    release_locked,
    renew_locked,
)
from pooledhttp.pool.checkout import fill_locked, take_idle_locked
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.errors import closed_error, ended_error
from pooledhttp.pool.leaks import caller_outside, lease_tracker
from pooledhttp.pool.lease import Lease, LeaseWatch
from pooledhttp.pool.maintenance import PoolMaintenance
from pooledhttp.pool.pool_wide import repair_locked
from pooledhttp.pool.probing import count_replay_locked, replace_dead_locked
from pooledhttp.pool.sweeper import Sweeper, process_sweeper
from pooledhttp.runtime import Runtime, default_runtime, new_lock, register_fork_reset
from pooledhttp.timing import Deadline

__all__ = ["Pool"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_new, _init_lease = object.__new__, Lease.__init__


class Pool(PoolMaintenance[K, R]):
    """Leases resources by key. Any number of threads can use it.

    Args:
        config: The settings.
        close: Closes a resource. It must not wait and should not raise.
        runtime: How callers wait. By default they block their thread.
        limits_for: Returns the limits of a key; by default those of `config`. It must not block.
        is_alive: Probes an idle resource before it is used again. It must not block. Without it,
            the pool assumes that every idle resource is alive.
        abandon: Frees a resource of the parent in a forked child, without sending anything.
            Without it the child keeps such resources open and never uses them.
        describe: Returns the name of a key for messages, events and statistics. The name must not
            contain secrets.
        listeners: Receive events, in the caller's thread and outside the lock.
        random: Draws the jitter of lifetimes, and chooses among keys that are equally suited.
        sweeper: Closes expired resources while the pool is not used. The default is the sweeper of
            the process; a pool whose runtime has its own clock, as in tests, has none.
        dial_cost: Returns how many seconds of CPU it costs to make a resource for a key. A caller
            waits for a resource in use, even below the limits, while leases give resources back
            faster than this process could make others. By default no caller does.
    """

    #: Tests put a lock here at which they can switch threads.
    _lock_type: Callable[[], Any] = staticmethod(new_lock)

    def __init__(
        self,
        config: PoolConfig | None = None,
        *,
        close: Callable[[R], object],
        runtime: Runtime | None = None,
        limits_for: Callable[[K], Limits] | None = None,
        is_alive: Callable[[R], bool] | None = None,
        abandon: Callable[[R], object] | None = None,
        describe: Callable[[K], str] = str,
        listeners: Listeners | None = None,
        random: Random | None = None,
        sweeper: Sweeper | None = None,
        dial_cost: Callable[[K], float] | None = None,
    ) -> None:
        self.runtime = runtime if runtime is not None else default_runtime()
        self.now = self.runtime.now
        self.listeners = listeners if listeners is not None else Listeners()
        self.is_watched = False
        self._abandon = abandon
        self._inherited: list[R] = []
        self._sweeper = sweeper
        if sweeper is None and not _has_own_clock(self.runtime):
            self._sweeper = process_sweeper()
        self._core = PoolCore(
            config if config is not None else PoolConfig(),
            self._lock_type(),
            runtime=self.runtime,
            listeners=self.listeners,
            random=random if random is not None else Random(),
            close=close,
            limits_for=limits_for,
            is_alive=is_alive,
            describe=describe,
            dial_cost=dial_cost,
        )
        #: The slots of leases by serial number. A lease has ended when its number is not here.
        self.held = self._core.state.held
        register_fork_reset(self)

    # -- acquiring

    def acquire(self, key: K, deadline: Deadline, careful: bool = False) -> Lease[K, R]:
        """Take an idle resource for `key`, or an empty slot for a new one.

        Args:
            key: What the resource connects to; only equal keys share resources.
            deadline: When to stop waiting; the pool's `acquire_timeout` can end the wait earlier.
            careful: Take an idle resource only if it has been idle so briefly that it is trusted
                (see `keepalive`). For requests that must not be sent twice.

        Raises:
            PoolTimeout: No slot became free in time. The message lists the leases that hold them.
            PoolClosed: The pool was shut down before or while waiting.
        """
        clock, core = self.now, self._core
        now = clock()
        lease: Lease[K, R] = _new(Lease)  # Python calls a class in a slower way than a function
        _init_lease(lease, self, key, next(core.serials))
        state = core.state
        try:
            with core.lock:  # the lines of `core.step`, repeated here to save a call
                if core.in_step:
                    repair_locked(core.state, now)
                core.in_step = True
                key_state = state.keys.get(key)
                has_slot = (
                    key_state is not None
                    and not careful
                    and take_idle_locked(state, now, key_state, lease)
                )
                core.in_step = False
            if not has_slot:
                find_slot(core, lease, deadline, now, careful)
            if core.pending or state.deferred:
                core.settle()
            if (  # the lines of `core.finds_dead`, repeated here to save a call
                lease.reused
                and lease.idle_seconds >= core.validate_after
                and not core.finds_alive(lease.resource)
            ):
                replace_dead_until_alive(core, lease, careful)
        except BaseException:
            end_failed_acquire(core, lease)
            raise
        if core.watches_leaks:
            self._watch(lease)
        if self.listeners:
            self._emit_acquired(lease)
        return lease

    def _new_lease(self, key: K) -> Lease[K, R]:
        return Lease(self, key, next(self._core.serials))

    def _watch(self, lease: Lease[K, R]) -> None:
        """Note which line and thread acquired a lease, and look for leaks if that is due."""
        slot = lease.slot
        if slot is not None:
            where, thread = caller_outside()
            slot.watch = LeaseWatch(where, thread, self.now)
            if lease_tracker.is_on:
                lease_tracker.note(self, lease.serial, slot.origin, where, thread)
        if self.now() >= self._core.leak_check_at:
            self.report_leaks()

    def _emit_acquired(self, lease: Lease[K, R]) -> None:
        slot = lease.slot
        if slot is not None:
            is_empty = lease.resource is None
            event = LeaseAcquired(slot.origin, lease.wait_seconds, not is_empty, is_empty)
            self.listeners.emit(event)
        self._core.emit_events()

    # -- called by leases: see `LeaseOwner`

    def fill(self, lease: Lease[K, R], resource: R) -> None:
        """Put a new resource into the empty slot of a lease."""
        if not self.is_watched and self._sweeper is not None:
            self._sweeper.watch(self)
        core = self._core
        slot = core.step(fill_locked, lease, resource)
        if slot is None:
            core.close(resource)
            origin = core.describe(lease.key)
            raise closed_error(origin) if core.state.is_closed else ended_error(origin)
        if self.listeners:
            self.listeners.emit(ConnectionOpened(slot.origin, slot.opened_at - slot.taken_at))
            core.emit_events()

    def replace_dead(self, lease: Lease[K, R]) -> None:
        """Close the dead resource of a lease, which gets a new, empty slot in its place."""
        resource = lease.resource
        if resource is None or lease.serial not in self.held:
            return
        core = self._core
        core.close(resource)
        core.step(replace_dead_locked, lease)
        core.emit_events()

    def renew(self, lease: Lease[K, R]) -> bool:
        """End one use of a lease's resource and begin the next one; see `Lease.renew`."""
        core = self._core
        try:
            if not core.step(renew_locked, lease):
                return False
            if core.validate_after <= 0.0 and not core.finds_alive(lease.resource):
                replace_dead_until_alive(core, lease, careful=False)
        except BaseException:
            end_failed_acquire(core, lease)
            raise
        return True

    def end_released(self, serial: int, announced_seconds: float | None) -> None:
        """End a lease whose resource can be used again."""
        clock, core = self.now, self._core
        state = core.state
        now = clock()
        try:
            if not core.try_step(release_locked, now, serial, announced_seconds):
                core.pending.append((release_locked, now, serial, announced_seconds))
        except BaseException:
            core.settle()  # repairs an interrupted step; a caller may wait for the slot
            raise
        if core.pending or state.deferred:
            core.settle()
            if state.overflowed is not None:
                self._log_overflow()
        if state.events:
            core.emit_events()

    def end_discarded(self, serial: int, reason: str) -> None:
        """End a lease and close its resource."""
        self._core.end(discard_locked, self.now(), serial, reason)
        if self._core.state.events:
            self._core.emit_events()

    def end_never_received(self, serial: int) -> None:
        """End a lease whose `acquire` was interrupted before the caller received it.

        A finalizer calls this, so it emits no events.
        """
        self._core.end(discard_locked, None, serial, reasons.NEVER_RECEIVED)

    def end_dropped(self, serial: int) -> None:
        """End a lease that its caller dropped without ending it, and count a leak.

        A finalizer calls this, so it emits no events.
        """
        if lease_tracker.is_on:
            lease_tracker.note_dropped(self, serial)
        self._core.end(reclaim_locked, None, serial, reasons.LEAKED)

    # -- numbers and settings

    @property
    def config(self) -> PoolConfig:
        """The present settings."""
        return self._core.config

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""
        return not self._core.state.open_total

    @property
    def is_closed(self) -> bool:
        """Whether it was shut down."""
        return self._core.state.is_closed

    def idle_count(self, key: K) -> int:
        """Return how many resources of a key are idle."""
        key_state = self._core.state.keys.get(key)
        return 0 if key_state is None else len(key_state.idle)

    def leased_count(self, key: K) -> int:
        """Return how many slots of a key requests use; warming and probes do not count."""
        key_state = self._core.state.keys.get(key)
        return 0 if key_state is None else key_state.serving

    def count_replay(self, key: K) -> None:
        """Count a replay: a request sent again because its reused connection was dead."""
        self._core.step(count_replay_locked, key)

    def __repr__(self) -> str:
        state = self._core.state
        in_use = state.open_total - state.idle_total - len(state.closing)
        return f"<Pool {in_use} in use, {state.idle_total} idle, {state.waiting_total} waiting>"

    # -- after a fork, and when the pool is dropped

    def reset_after_fork(self) -> None:
        """Begin with an empty state in a forked child, and abandon what the parent had open."""
        inherited = self._core.state.resources()
        self._core.reset(self._lock_type())
        self.held = self._core.state.held
        self.is_watched = False
        self._overflow_log_at = -inf
        if self._abandon is None:
            self._inherited += inherited
        else:
            for resource in inherited:
                self._abandon(resource)

    def __del__(self) -> None:
        # Without the lock: nothing else refers to the pool. Leases refer to it, so none is left.
        core = getattr(self, "_core", None)
        if core is None or sys is None:  # the interpreter has cleared this module
            return
        for key_state in core.state.keys.values():
            for slot in key_state.idle:
                core.close(slot.resource)


def _has_own_clock(runtime: Runtime) -> bool:
    """Whether the clock of a runtime is not that of the process, as in tests."""
    return abs(runtime.now() - default_runtime().now()) >= 1.0
