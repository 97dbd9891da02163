"""The core of a pool: its state, the lock around it, and the work deferred until after a step.

A step is one indivisible change of the state: a function whose name ends in `_locked`. It only
decides. Closing a resource and waking a caller can take time or call foreign code, so the step
defers them, and `settle` does them after the lock has been released. There are two ways to run a
step:

    step        waits for the lock, then settles
    try_step    gives up if the lock is taken; the caller settles

`Pool.acquire` alone does not call `step` for its first look, but repeats its lines, because every
request pays for them.

**Ending a lease never waits for the lock.** A finalizer or a signal handler can end a lease in the
very thread that holds the lock. So an end that finds the lock taken is noted in the deque `ended`.
Each thread that releases the lock looks into the deque, and takes the lock once more if it finds
something. The thread that noted the end tries the lock again. No end is lost: either that try
succeeds, or the holder of the lock has not looked into the deque yet.

    step --> settle: --> ended? ---yes---> lock free? --yes--> end them
                 ^         | no                | no: its holder does it
                 |         v                   v
                 '--- close or wake one <--- deferred?  --no--> done

**An exception from outside** (Ctrl-C, a cancellation) can be raised between any two instructions of
Python code. Two rules make that safe.

1. *A step that was interrupted is repaired by the next one.* `in_step` is set at the beginning of a
   step and cleared at its end, both under the lock. A step that finds it set knows that the step
   before was interrupted, and recounts the state first. So no code has to catch the exception.
2. *No interrupt fits between taking the lock and entering the block that releases it.* `with lock:`
   guarantees that where the code waits. Where it does not wait, it uses a loop of one turn: `map`
   calls `lock.acquire(False)`, and the loop binds the result, both within one instruction. With
   `if lock.acquire(False):` an interrupt could come before the `try`, and the lock would stay taken
   for ever. Items of a deque are removed in the same way, or only after they were used.

Alternatives that were tried (`benchmarks/pool_cost.py` compares their cost):

    `with core.step():` of a class     An interrupt inside `__enter__`, after the lock was taken,
                                       leaves it taken: `with` has not begun yet. It costs 1.4
                                       times the instructions of `with lock:`.
    the same of a generator            The lock stays taken as long as the traceback lives. It
                                       costs 5.2 times the instructions.
    an `RLock` and the same flag       Ending a lease must not wait for an `RLock` either: a
                                       finalizer under the lock of one pool could wait for the lock
                                       of another pool, whose holder waits for the first one.
                                       Without waiting it needs the same loop, and costs 2 % more.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from random import Random
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from pooledhttp.events import Listeners
from pooledhttp.exceptions import PoolClosed
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.evict import recount_locked
from pooledhttp.pool.key_state import UNLIMITED
from pooledhttp.pool.leaks import lease_tracker
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.queue import free_closed_slot_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import IDLE_FULL
from pooledhttp.runtime import Runtime

__all__ = ["PoolCore"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")

logger = logging.getLogger(__name__)

#: What `map` passes to `acquire` of a lock; see the module docstring.
_WITHOUT_WAITING = (False,)

#: Seconds between two log lines about connections closed because the limit of idle ones is reached.
_OVERFLOW_LOG_SECONDS = 60.0


class PoolCore(Generic[K, R]):
    """The state of one pool and its lock; the arguments are those of the pool.

    Args:
        config: The settings.
        lock: Guards the state.
        runtime: How callers wait.
        listeners: Receive events.
        random: For lifetimes, and for the choice among equals.
        close: Closes a resource.
        limits_for: Returns the limits of a key; None for those of `config`.
        is_alive: Probes an idle resource; None takes all to be alive.
        describe: Names a key.
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
    ) -> None:
        self.runtime = runtime
        self.now = runtime.now
        self.listeners = listeners
        self.limits_for = limits_for
        self.is_alive = is_alive
        self.describe = describe
        self.close_resource = close
        self.serials = itertools.count(1)
        self._random = random
        self.apply_config(config)
        self.reset(lock)

    def apply_config(self, config: PoolConfig) -> None:
        """Take over the settings that are used outside the lock."""
        self.config = config
        self.settings = object()  # another object after each change
        self.validate_after = inf if config.validate_after is None else config.validate_after
        if self.is_alive is None:
            self.validate_after = inf
        self.watches_leaks = config.leak_threshold is not None or lease_tracker.is_on

    def reset(self, lock: Any) -> None:
        """Make an empty state: at first, and in a forked child."""
        self.lock = lock
        self.in_step = False
        self.state: PoolState[K, R] = PoolState(
            self.config, self.listeners, self._random, self.now()
        )
        self.ended: deque[tuple[Callable[..., object], float | None, Any, Any]] = deque()
        self.leak_check_at = -inf
        self._overflow_log_at = -inf

    def limits(self, key: K) -> Limits:
        """Return the limits of a key."""
        return self.config.limits if self.limits_for is None else self.limits_for(key)

    def closed_error(self, key: K) -> PoolClosed:
        """Make the error for a caller that comes after `shutdown`."""
        origin = self.describe(key)
        return PoolClosed(
            f"No connection to {origin}: the pool was shut down. Create a new session.",
            origin=origin,
        )

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
                    recount_locked(self.state, self.now())
                self.in_step = True
                result = function(self.state, self.now(), *args, **kwargs)
                self.in_step = False
        finally:
            self.settle()
        return result

    def try_step(
        self,
        function: Callable[[PoolState[K, R], float, A, B], object],
        now: float,
        first: A,
        second: B,
    ) -> bool:
        """Run a step if the lock is free, and do not settle; whether it was free.

        The number of arguments is fixed because this is on the path of every request.
        """
        for is_taken in map(self.lock.acquire, _WITHOUT_WAITING):
            if not is_taken:
                return False
            try:
                if self.in_step:
                    recount_locked(self.state, now)
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
            at: When it ends; None for the time at which the step runs. Finalizers pass None, so
                that the end is noted before any other call, which an interrupt could hit.
            serial: The number of the lease.
            detail: Passed to `function`.
        """
        self.ended.append((function, at, serial, detail))
        self.settle()

    # -- deferred work

    def settle(self) -> None:
        """Do the deferred work of the steps so far, and the ends that found the lock taken.

        After an interrupt it starts once more, because perhaps no other thread uses the pool while
        callers wait.
        """
        try:
            self._settle()
        except BaseException:
            self._settle()
            raise

    def _settle(self) -> None:
        if self.in_step:  # interrupted, unless another thread is in a step just now
            self.try_step(_nothing_locked, self.now(), None, None)
        while self._end_all() or self.state.deferred:
            self._do_next()

    def _end_all(self) -> bool:
        """End the leases in `ended`; whether there was one, and the lock was free."""
        has_worked = False
        while self.ended and self.try_step(_end_all_locked, self.now(), self.ended, self.now):
            has_worked = True
        return has_worked

    def _do_next(self) -> None:
        """Close one resource, or wake one caller."""
        try:
            # Removed and unpacked in one instruction, as the lock is taken. The loop never ends at
            # None: an empty deque raises.
            for slot, signal in iter(self.state.deferred.popleft, None):
                try:
                    if slot is not None:
                        self.close(slot.resource)
                    elif signal is not None:
                        signal.set()
                finally:
                    if slot is not None:  # the first call here, so that an interrupt cannot lose it
                        self.ended.append((free_closed_slot_locked, None, slot, None))
                return
        except IndexError:
            return  # another thread was faster

    def close(self, resource: R | None) -> None:
        """Close a resource; never under the lock."""
        if resource is None:
            return
        try:
            self.close_resource(resource)
        except Exception as error:  # the resource counts as closed all the same
            logger.warning("Closing %r failed", resource, exc_info=error)

    def probe(self, resource: R | None) -> bool:
        """Return whether an idle resource is alive; never under the lock."""
        assert self.is_alive is not None and resource is not None
        try:
            return self.is_alive(resource)
        except Exception as error:  # a resource whose probe fails must not be used
            logger.debug("Probing %r failed", resource, exc_info=error)
            return False

    # -- events and log

    def emit_events(self) -> None:
        """Emit the events that steps have noted. Never called from a finalizer."""
        events = self.state.events
        while events:
            try:
                event = events.popleft()
            except IndexError:
                return
            self.listeners.emit(event)

    def log_overflow(self) -> None:
        """Log once a minute that connections are closed for lack of room, and what to set."""
        state = self.state
        key_state, state.overflowed = state.overflowed, None
        now = self.now()
        if key_state is None or now < self._overflow_log_at:
            return
        self._overflow_log_at = now + _OVERFLOW_LOG_SECONDS
        # Read without the lock: the numbers of a log line may be a moment old.
        counters = key_state.counters
        if key_state.max_idle != UNLIMITED:
            setting, limit, wanted = "max_idle_per_host", key_state.max_idle, counters.peak
        else:
            setting, limit, wanted = "max_idle_total", state.max_idle_total, state.open_total
        logger.warning(
            "Connections to %s are closed because the pool keeps only %d idle (%s); %d of them "
            "so far. Set %s to %d to keep what is used.",
            key_state.origin, limit, setting, counters.closed.get(IDLE_FULL, 0), setting,
            max(wanted, limit + 1),
        )  # fmt: skip


def _nothing_locked(state: object, now: float, first: object, second: object) -> None:
    """Change nothing: a step recounts the state if the one before it was interrupted."""


def _end_all_locked(
    state: PoolState[K, R],
    now: float,
    ended: deque[tuple[Callable[..., object], float | None, Any, Any]],
    clock: Callable[[], float],
) -> None:
    """Run all deferred ends."""
    while ended:
        # Removed after it is done: to do it twice does nothing, to lose it is for ever.
        function, at, what, detail = ended[0]
        function(state, clock() if at is None else at, what, detail)
        ended.popleft()
