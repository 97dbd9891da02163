"""Keeps idle connections ready, so that a request after a pause needs no new connection.

The warmer is a task of its own. The first use of a pool starts it, if the limits of the pool ask
for idle connections::

    waits --wake, or a second has passed--> check: close dead idle connections, count the missing
      ^                                            |
      |                                            v
      |<-- done: the connection is idle ---- one dial per missing connection
      |                                            |
      '-- not dialled for 1, 2, 4 ... 60 s <------ failed      (with jitter)

It refers to its pool weakly, and ends when the pool is dropped or closed. Dials run without any
lock, several at a time. A slot is reserved before each dial, so dials count against the limits.
After `stop` has returned, the warmer reserves no slot; the pool closes the connections that are
being dialled then. In a forked child the warmer does not run until `wake` is called.
"""

from __future__ import annotations

import logging
import random
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pooledhttp.http1 import Connection
from pooledhttp.runtime import new_lock, register_fork_reset
from pooledhttp.timing import Deadline
from pooledhttp.transport import reasons

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease, Pool
    from pooledhttp.runtime import Runtime, Task, Waiter

__all__ = ["Warmer"]

logger = logging.getLogger(__name__)

#: Seconds between two checks when nothing wakes the warmer.
INTERVAL_SECONDS = 1.0
#: Seconds one dial may take.
DIAL_SECONDS = 10.0
#: Dials in progress at a time, over all origins: warming up must not crowd out requests.
MAX_DIALS = 8
#: Seconds for which a route is not dialled after its first failure, and the most after several:
#: each failure doubles them.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


class Warmer:
    """Keeps as many connections of one pool idle as its limits ask for.

    Args:
        pool: The pool; held weakly.
        dial: Makes a connection to a route.
        runtime: How to wait, and where tasks run.
        random_source: For the jitter of pauses.
    """

    def __init__(
        self,
        pool: Pool[Route, Connection],
        dial: Callable[[Route, Deadline], Connection],
        runtime: Runtime,
        random_source: random.Random | None = None,
    ) -> None:
        self._pool = weakref.ref(pool)
        self._dial = dial
        self._runtime = runtime
        self._random = random_source or random.Random()
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start over in a forked child, which has no task, and where the lock may stay taken."""
        self._lock = new_lock()
        # Guarded by the lock.
        self._waiter: Waiter | None = None  # what the running task waits for; None if none runs
        self._failures: dict[Route, tuple[int, float]] = {}  # how often, and until when to wait
        #: The serial numbers of the leases that are dialled for. One is removed without the lock.
        self._in_progress: set[int] = set()
        self._was_missing: dict[Route, int] = {}  # at the last regular check; for the task only
        #: The waiter of a task that never began. Set without the lock.
        self._lost: Waiter | None = None

    @property
    def is_running(self) -> bool:
        """Whether the task runs."""
        return self._waiter is not None

    def wake(self) -> None:
        """Let the warmer check now; start it if it does not run. Never waits, never raises."""
        with self._lock:
            waiter = self._waiter
            if waiter is not None and waiter is not self._lost:
                waiter.set()
                return
            waiter = self._waiter = self._runtime.waiter()
        try:
            work = _Beginning(partial(self._run, waiter), partial(setattr, self, "_lost", waiter))
            self._runtime.spawn(work, "pooledhttp-warmer")
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            logger.debug("The warmer could not be started: %s", error)
            self._mark_stopped(waiter)

    def stop(self) -> None:
        """End the task; `wake` starts another."""
        with self._lock:
            waiter, self._waiter = self._waiter, None
            self._failures.clear()
        if waiter is not None:
            waiter.set()

    def fill(self, route: Route, count: int, deadline: Deadline) -> None:
        """Dial up to `count` connections to `route`, several at a time, and wait for them.

        A dial that fails is logged.

        Args:
            route: Where to.
            count: How many connections.
            deadline: When to stop dialling and waiting.
        """
        numbers = iter(range(count))
        work = partial(self._dial_share, route, numbers, deadline)
        tasks: list[Task] = []
        for _ in range(min(count, MAX_DIALS)):
            try:
                tasks.append(self._runtime.spawn(work, "pooledhttp-warm"))
            except RuntimeError:  # no more threads: the tasks that were started do the rest
                break
        if not tasks:
            work()
        for task in tasks:
            task.join(deadline)

    def _dial_share(self, route: Route, numbers: Iterator[int], deadline: Deadline) -> None:
        """Dial connections in turn until `numbers`, which several tasks share, has no more."""
        while self._next_number(numbers) is not None:
            pool = self._pool()
            lease = None if pool is None else pool.try_reserve(route)
            if lease is None or not self._connect(lease, deadline):
                return

    def _next_number(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return next(numbers, None)

    # ---- the task

    def _run(self, own_waiter: Waiter) -> None:
        was_woken = True
        try:
            while self._check(own_waiter, was_woken):
                was_woken = own_waiter.wait(Deadline.after(INTERVAL_SECONDS, self._runtime.now))
                with self._lock:
                    if self._waiter is not own_waiter:
                        return
                    own_waiter = self._waiter = self._runtime.waiter()
        finally:  # also when its task is cancelled: `wake` starts another one
            self._mark_stopped(own_waiter)

    def _mark_stopped(self, own_waiter: Waiter) -> None:
        with self._lock:
            if self._waiter is own_waiter:
                self._waiter = None

    def _check(self, own_waiter: Waiter, was_woken: bool) -> bool:
        """Close dead connections and dial missing ones; `False` if the pool is dropped or closed.

        A caller that wakes the warmer is about to use an idle connection. So there is no probe
        then, which would take a connection out of the pool for a moment.
        """
        pool = self._pool()
        if pool is None or pool.is_closed:
            return False
        try:
            if not was_woken:
                pool.probe_idle()
            self._top_up(pool, own_waiter, was_woken)
        except Exception:  # any failure: the next check must still come
            logger.exception("Keeping connections warm failed for %r", pool)
        return True

    def _top_up(self, pool: Pool[Route, Connection], own_waiter: Waiter, was_woken: bool) -> None:
        """Start the dials that are due.

        A connection in use may be idle again in a moment. So a connection is dialled only if it is
        missing at two regular checks in a row, or if more are missing than are in use.
        """
        self._forget_old_failures()
        all_missing = dict(pool.shortage())
        for route, missing in all_missing.items():
            if self._failures.get(route, (0, 0.0))[1] > self._runtime.now():
                continue
            still_missing = 0 if was_woken else min(missing, self._was_missing.get(route, 0))
            for _ in range(max(still_missing, missing - pool.leased_count(route))):
                lease = self._reserve(pool, route, own_waiter)
                if lease is None:
                    break
                self._spawn_dial(lease)
        if not was_woken:
            self._was_missing = all_missing

    def _reserve(
        self, pool: Pool[Route, Connection], route: Route, own_waiter: Waiter
    ) -> Lease[Route, Connection] | None:
        """Reserve a slot, unless the warmer was stopped or enough dials are in progress."""
        with self._lock:  # so that nothing is reserved after `stop` has returned
            if self._waiter is not own_waiter or len(self._in_progress) >= MAX_DIALS:
                return None
            lease = pool.try_reserve(route)
            if lease is not None:
                self._in_progress.add(lease.serial)
            return lease

    def _spawn_dial(self, lease: Lease[Route, Connection]) -> None:
        work = _Beginning(partial(self._run_dial, lease), partial(self._give_back, lease))
        try:
            self._runtime.spawn(work, "pooledhttp-warm")
        except BaseException:
            work.drop()
            raise

    def _run_dial(self, lease: Lease[Route, Connection]) -> None:
        try:
            self._connect(lease, Deadline.after(DIAL_SECONDS, self._runtime.now))
        finally:
            self._in_progress.discard(lease.serial)

    def _give_back(self, lease: Lease[Route, Connection]) -> None:
        """Free a slot that is not dialled for. Never waits."""
        self._in_progress.discard(lease.serial)
        lease.discard(reasons.NOT_WARMED)

    def _connect(self, lease: Lease[Route, Connection], deadline: Deadline) -> bool:
        """Dial for a reserved slot and release the lease; return whether the dial succeeded."""
        route = lease.key
        try:
            lease.fill(self._dial(route, deadline))
        except Exception as error:  # any failure: no caller waits for this connection
            lease.discard(reasons.NOT_WARMED)
            self._note_failure(route, error)
            return False
        except BaseException:
            lease.discard(reasons.INTERRUPTED)
            raise
        lease.release()
        with self._lock:
            self._failures.pop(route, None)
        return True

    def _note_failure(self, route: Route, error: Exception) -> None:
        with self._lock:
            count = self._failures.get(route, (0, 0.0))[0]
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(count, 16), LONGEST_PAUSE_SECONDS)
            pause *= self._random.uniform(0.75, 1.0)
            self._failures[route] = (count + 1, self._runtime.now() + pause)
        if not count:
            logger.warning("No connection to %s could be kept warm: %s", route.origin, error)

    def _forget_old_failures(self) -> None:
        """Forget routes not dialled for long: they are not wanted any more, or work again."""
        limit = self._runtime.now() - LONGEST_PAUSE_SECONDS
        with self._lock:
            for route in [route for route, (_, end) in self._failures.items() if end < limit]:
                del self._failures[route]


class _Beginning:
    """What a task does, and what is to be done if it never begins.

    A task of an event loop never begins if it is cancelled first, as all are when a loop ends.

    Args:
        run: What it does.
        if_never: Called if it never begins, perhaps by a finalizer: it must not block.
    """

    __slots__ = ("_if_never", "_run")

    def __init__(self, run: Callable[[], object], if_never: Callable[[], object]) -> None:
        self._run = run
        self._if_never: Callable[[], object] | None = if_never

    def __call__(self) -> None:
        self._if_never = None
        self._run()

    def drop(self) -> None:
        """Say that it never begins, if it has not."""
        if_never, self._if_never = self._if_never, None
        if if_never is not None:
            if_never()

    __del__ = drop
