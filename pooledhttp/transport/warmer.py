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
        self._in_progress = 0
        self._was_missing: dict[Route, int] = {}  # at the last regular check; for the task only

    @property
    def is_running(self) -> bool:
        """Whether the task runs."""
        return self._waiter is not None

    def wake(self) -> None:
        """Let the warmer check now; start it if it does not run. Never waits, never raises."""
        with self._lock:
            waiter = self._waiter
            if waiter is not None:
                waiter.set()
                return
            waiter = self._waiter = self._runtime.waiter()
        try:
            self._runtime.spawn(partial(self._run, waiter), "pooledhttp-warmer")
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
        while self._check(own_waiter, was_woken):
            was_woken = own_waiter.wait(Deadline.after(INTERVAL_SECONDS, self._runtime.now))
            with self._lock:
                if self._waiter is not own_waiter:
                    return
                own_waiter = self._waiter = self._runtime.waiter()
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
            if self._waiter is not own_waiter or self._in_progress >= MAX_DIALS:
                return None
            lease = pool.try_reserve(route)
            if lease is not None:
                self._in_progress += 1
            return lease

    def _spawn_dial(self, lease: Lease[Route, Connection]) -> None:
        deadline = Deadline.after(DIAL_SECONDS, self._runtime.now)
        try:
            self._runtime.spawn(partial(self._run_dial, lease, deadline), "pooledhttp-warm")
        except BaseException:
            self._dial_ended()
            lease.discard(reasons.NOT_WARMED)
            raise

    def _run_dial(self, lease: Lease[Route, Connection], deadline: Deadline) -> None:
        try:
            self._connect(lease, deadline)
        finally:
            self._dial_ended()

    def _dial_ended(self) -> None:
        with self._lock:
            self._in_progress = max(self._in_progress - 1, 0)  # 0 already if it began before a fork

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
