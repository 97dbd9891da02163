"""The core of a pool: its state, the lock around it, and the work deferred until after a step.

A step is one indivisible change of the state: a function whose name ends in `_locked`. Closing a
resource and waking a caller can take time or call code of the user. So a step only notes them, and
`settle` does them after the lock has been released. There are three ways to run a step:

    step           waits for the lock, runs the step, and settles
    step_for_key   the same, with the state of one key
    try_step       runs the step if the lock is free; the caller settles

`Pool.acquire` repeats the lines of `step` for its first search, because every request would pay for
the call.

**Ending a lease never waits for the lock.** A finalizer or a signal handler can end a lease in the
same thread that holds the lock. So the end is noted as a step in the deque `pending`. Each thread
that releases the lock looks into the deque, and takes the lock again if it finds a step. The thread
that noted the step then tries the lock once more. No step is lost: either that try succeeds, or the
thread that holds the lock has yet to look into the deque. The step that frees the slot of a closed
resource is noted in the same way. `settle` is this loop:

    repeat:
        while a step is pending, and the lock is free: run all that are pending
        if nothing is deferred: return
        close one deferred resource, or wake one deferred caller

**An exception from outside** (Ctrl-C, a cancellation) can be raised between any two instructions of
Python code. Two rules make that safe.

1. *The next step repairs a step that was interrupted.* `in_step` is set at the beginning of a step
   and cleared at its end, both under the lock. A step that finds it set knows that the step before
   was interrupted, and repairs the state first. So no code has to catch the exception.
2. *No interrupt fits between taking the lock and entering the block that releases it.* `with lock:`
   guarantees that for `step`, which waits for the lock; how it does with CPython 3.14, see
   `runtime.locks`. `try_step` must not wait, so it uses a loop that runs once: `map` calls
   `lock.acquire(False)`, and the loop stores the result, both within one instruction. With
   `if lock.acquire(False):` an interrupt could come before the `try`, and the lock would stay taken
   forever. An item of a deque is removed in the same way, or only after its work is done.

Which other ways were tried, and what they cost: see decision 3 in `docs/decisions`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar

from pooledhttp.events import Listeners
from pooledhttp.pool.callbacks import Callbacks
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.key_state import KeyState
from pooledhttp.pool.leaks import lease_tracker
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.pool_wide import repair_locked
from pooledhttp.pool.queue import free_closed_slot_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.runtime import Runtime

__all__ = ["PoolCore"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")

#: The arguments that `map` passes to `lock.acquire`; see the module docstring.
_WITHOUT_WAITING = (False,)


#: A step, the time to pass to it (None for the time when it runs), and its two arguments.
PendingStep = tuple[Callable[..., object], float | None, Any, Any]


class PoolCore(Callbacks[K, R]):
    """The state of one pool and its lock; the arguments are those of the pool.

    Args:
        config: The settings.
        lock: Guards the state.
        runtime: How callers wait.
        listeners: Receive events.
        random: Draws the jitter of lifetimes, and chooses among equal keys.
        close: Closes a resource.
        limits_for: Returns the limits of a key; None for those of `config`.
        is_alive: Probes an idle resource; with None, every idle resource counts as alive.
        describe: Returns the name of a key.
        dial_cost: Returns the CPU that one dial of a key costs; None if none has to be spared.
    """

    def __init__(
        self,
        config: PoolConfig,
        lock: Any,
        *,
        runtime: Runtime,
        listeners: Listeners,
        random: Random,
        close: Callable[[R], object],
        limits_for: Callable[[K], Limits] | None,
        is_alive: Callable[[R], bool] | None,
        describe: Callable[[K], str],
        dial_cost: Callable[[K], float] | None = None,
    ) -> None:
        super().__init__(
            close=close,
            limits_for=limits_for,
            is_alive=is_alive,
            describe=describe,
            dial_cost=dial_cost,
        )
        self.runtime = runtime
        self.now = runtime.now
        self.listeners = listeners
        self.serials = itertools.count(1)
        self._random = random
        self.apply_config(config)
        self.reset(lock)

    def apply_config(self, config: PoolConfig) -> None:
        """Set the settings that are used outside the lock.

        They are also set outside it. `step_for_key` sees by `config_version` that they changed
        between its look-up and its step, and repeats both.
        """
        self.config = config
        self.config_version = object()  # a new object for each config, compared by identity
        self.validate_after = inf if config.validate_after is None else config.validate_after
        if self.is_alive is None:
            self.validate_after = inf
        self.spares_dials = self.dial_cost is not None and config.patience > 0.0
        self.watches_leaks = config.leak_threshold is not None or lease_tracker.is_on

    def reset(self, lock: Any) -> None:
        """Make an empty state, for a new pool or in a forked child."""
        self.lock = lock
        self.in_step = False
        self.state: PoolState[K, R] = PoolState(
            self.config, self.listeners, self._random, self.now()
        )
        #: Steps that have yet to run, because the lock was taken or may be.
        self.pending: deque[PendingStep] = deque()
        self.leak_check_at = -inf

    # -- steps

    def step(
        self,
        function: Callable[Concatenate[PoolState[K, R], float, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a step under the lock, with the state and the time, and settle.

        Args:
            function: Its name ends in `_locked`.
            args: Passed to `function` after the state and the time.
            kwargs: Passed to `function`.

        Returns:
            The return value of `function`.
        """
        try:
            with self.lock:
                if self.in_step:
                    repair_locked(self.state, self.now())
                self.in_step = True
                result = function(self.state, self.now(), *args, **kwargs)
                self.in_step = False
        finally:
            self.settle()
        return result

    def step_for_key(
        self,
        key: K,
        function: Callable[Concatenate[PoolState[K, R], float, KeyState[K, R], P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[KeyState[K, R], T]:
        """Run a step for one key, whose state is made if there is none, and settle.

        The name and the limits of a new key are looked up before the step, because the functions
        that return them belong to the user. So the step may find that the key was dropped as
        unused, or the pool resized, meanwhile. Then it changes nothing, and is run again.

        Returns:
            The state of the key, and the return value of `function`.
        """
        while True:
            version = self.config_version
            new = None if key in self.state.keys else self.describe_new(key)

            def for_key_locked(
                state: PoolState[K, R],
                now: float,
                version: object = version,
                new: tuple[str, Limits, float] | None = new,
            ) -> tuple[KeyState[K, R], T] | None:
                key_state = state.keys.get(key)
                if key_state is None:
                    if new is None or version is not self.config_version:
                        return None
                    key_state = state.add_key_locked(now, key, *new)
                return key_state, function(state, now, key_state, *args, **kwargs)

            result = self.step(for_key_locked)
            if result is not None:
                return result

    def try_step(
        self,
        function: Callable[[PoolState[K, R], float, A, B], object],
        now: float,
        first: A,
        second: B,
    ) -> bool:
        """Run a step if the lock is free; do not settle.

        The number of arguments is fixed because every request runs this, and `*args` costs more.

        Returns:
            Whether the lock was free.
        """
        for is_taken in map(self.lock.acquire, _WITHOUT_WAITING):
            if not is_taken:
                return False
            try:
                if self.in_step:
                    repair_locked(self.state, now)
                self.in_step = True
                function(self.state, now, first, second)
                self.in_step = False
            finally:
                self.lock.release()
        return True

    def end(
        self,
        function: Callable[[PoolState[K, R], float, int, A], object],
        at: float | None,
        serial: int,
        detail: A,
    ) -> None:
        """Note the end of a lease, and settle; never waits for the lock.

        Args:
            function: One of the steps of `checkin` that end a lease.
            at: When the lease ends; None for the time at which the step runs. Finalizers pass None:
                they must note the end before they call anything that an interrupt could hit, and
                reading the clock is such a call.
            serial: The number of the lease.
            detail: Passed to `function`.
        """
        self.pending.append((function, at, serial, detail))
        self.settle()

    # -- deferred work

    def settle(self) -> None:
        """Run the pending steps, and do the deferred work of all steps so far.

        After an interrupt it starts again before it raises: callers may wait for this work, and
        perhaps no other thread will use the pool.
        """
        try:
            self._settle()
        except BaseException:
            self._settle()
            raise

    def _settle(self) -> None:
        if self.in_step:  # a step was interrupted, or another thread runs one now
            self.try_step(_nothing_locked, self.now(), None, None)
        while True:
            while self.pending and self.try_step(
                _run_pending_locked, self.now(), self.pending, self.now
            ):
                pass
            if not self.state.deferred:
                return
            self._do_next()

    def _do_next(self) -> None:
        """Close one deferred resource, or wake one deferred caller."""
        try:
            # The loop runs once. It removes and unpacks the item in one instruction, like the loop
            # in `try_step`. `popleft` never returns the None that would end it: on an empty deque
            # it raises.
            for slot, waiter in iter(self.state.deferred.popleft, None):
                try:
                    if slot is not None:
                        self.close(slot.resource)
                    elif waiter is not None:
                        waiter.set()
                finally:
                    if slot is not None:
                        # No other call comes first, because an interrupt in it would lose the slot.
                        self.pending.append((free_closed_slot_locked, None, slot, None))
                return
        except IndexError:
            return  # another thread took the last item

    def finds_dead(self, lease: Lease[K, R]) -> bool:
        """Probe the resource of a lease if it is due for that; return whether it is dead."""
        return (
            lease.reused
            and lease.idle_seconds >= self.validate_after
            and not self.finds_alive(lease.resource)
        )

    # -- events

    def emit_events(self) -> None:
        """Emit the events that steps have noted. Never called from a finalizer."""
        events = self.state.events
        while events:
            try:
                event = events.popleft()
            except IndexError:
                return
            self.listeners.emit(event)


def _nothing_locked(state: object, now: float, first: object, second: object) -> None:
    """Change nothing; run only because each step recounts the state after an interrupted one."""


def _run_pending_locked(
    state: PoolState[K, R], now: float, pending: deque[PendingStep], clock: Callable[[], float]
) -> None:
    """Run the pending steps."""
    while pending:
        # Removed after it was run. An interrupt in between runs it twice, which does no harm; if it
        # were removed first, an interrupt would lose it forever.
        function, at, subject, detail = pending[0]
        function(state, clock() if at is None else at, subject, detail)
        pending.popleft()
