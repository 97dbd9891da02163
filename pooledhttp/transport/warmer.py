"""Keeps idle connections ready, so that a request after a pause needs no new connection.

The warmer is a task beside the requests, started by the first use of a pool whose limits ask for
idle connections::

    asleep --wake, or a second has passed--> close idle connections that died, ask what is missing
      ^                                            |
      |                                            v
      |<-- done: the connection is idle ---- one dial per missing connection
      |                                            |
      '-- back off: 1, 2, 4 ... 60 s, jittered <-- failed

It refers to its pool weakly and ends with it, or when the pool is closed. Dials run outside every
lock, several at a time, in places reserved beforehand, so they count against the limits like any
other. A place is reserved only while the warmer is known to run: none is after `stop` has returned,
and the pool closes what is being dialled by then when the dial ends. In a forked child the warmer
does not run until it is woken again.
"""

from __future__ import annotations

import logging
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pooledhttp.http1 import Connection
from pooledhttp.runtime import register_fork_reset
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease, Pool
    from pooledhttp.runtime import Runtime, Task, Waiter

__all__ = ["Warmer"]

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is missing, when nothing wakes the warmer.
INTERVAL_SECONDS = 1.0
#: Seconds one dial may take.
DIAL_SECONDS = 10.0
#: Dials in progress at a time, over all origins: warming up must not crowd out requests.
MOST_DIALS = 8
#: Seconds for which an origin is not dialled after its first failure, doubled with each further
#: one, up to the second number.
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
        """Start over in a forked child: the task is not there, and the lock may be held."""
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._signal: Waiter | None = None
        self._failures: dict[Route, tuple[int, float]] = {}  # how often, and until when to wait
        self._in_progress = 0
        self._short: dict[Route, int] = {}  # at the last regular look; the task's own

    @property
    def is_running(self) -> bool:
        """Whether the task runs."""
        return self._signal is not None

    def wake(self) -> None:
        """Have the warmer look now; start it if it does not run. Never waits, never fails."""
        with self._lock:
            signal = self._signal
            if signal is not None:
                signal.set()
                return
            signal = self._signal = self._runtime.waiter()
        try:
            self._runtime.spawn(partial(self._run, signal), "pooledhttp-warmer")
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            logger.debug("The warmer could not be started: %s", error)
            self._leave(signal)

    def stop(self) -> None:
        """End the task; `wake` starts another."""
        with self._lock:
            signal, self._signal = self._signal, None
            self._failures.clear()
        if signal is not None:
            signal.set()

    def fill(self, route: Route, count: int, deadline: Deadline) -> None:
        """Dial up to `count` connections to `route`, several at a time, and wait for them.

        A dial that fails is logged.

        Args:
            route: Where to.
            count: How many connections.
            deadline: When to stop dialling and waiting.
        """
        numbers = iter(range(count))
        work = partial(self._fill, route, numbers, deadline)
        tasks: list[Task] = []
        for _ in range(min(count, MOST_DIALS)):
            try:
                tasks.append(self._runtime.spawn(work, "pooledhttp-warm"))
            except RuntimeError:  # no more threads: the tasks that were started do the rest
                break
        if not tasks:
            work()
        for task in tasks:
            task.join(deadline)

    def _fill(self, route: Route, numbers: Iterator[int], deadline: Deadline) -> None:
        """Dial one connection after the other, while there are numbers left to take."""
        while self._take(numbers) is not None:
            pool = self._pool()
            lease = None if pool is None else pool.try_reserve(route)
            if lease is None or not self._connect(lease, deadline):
                return

    def _take(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return next(numbers, None)

    # ---- the task

    def _run(self, mine: Waiter) -> None:
        was_woken = True
        while self._look(mine, was_woken):
            was_woken = mine.wait(Deadline.after(INTERVAL_SECONDS, self._runtime.now))
            with self._lock:
                if self._signal is not mine:
                    return
                mine = self._signal = self._runtime.waiter()
        self._leave(mine)

    def _leave(self, mine: Waiter) -> None:
        with self._lock:
            if self._signal is mine:
                self._signal = None

    def _look(self, mine: Waiter, was_woken: bool) -> bool:
        """Close what died and dial what is missing; `False` when the pool is gone or closed.

        A caller that wakes the warmer is about to use an idle connection. So none is taken away to
        be probed then.
        """
        pool = self._pool()
        if pool is None or pool.is_closed:
            return False
        try:
            if not was_woken:
                pool.probe_idle()
            self._top_up(pool, mine, was_woken)
        except Exception:  # any failure: the next look must still come
            logger.exception("Keeping connections warm failed for %r", pool)
        return True

    def _top_up(self, pool: Pool[Route, Connection], mine: Waiter, was_woken: bool) -> None:
        """Start the dials that are due.

        A connection in use may be idle again in a moment. So a missing connection is dialled at the
        second regular look that misses it, or at once if no connection in use can replace it.
        """
        self._forget_old_failures()
        short = dict(pool.shortage())
        for route, missing in short.items():
            if self._failures.get(route, (0, 0.0))[1] > self._runtime.now():
                continue
            still_missing = 0 if was_woken else min(missing, self._short.get(route, 0))
            for _ in range(max(still_missing, missing - pool.leased_count(route))):
                lease = self._reserve(pool, route, mine)
                if lease is None:
                    break
                self._start(lease)
        if not was_woken:
            self._short = short

    def _reserve(
        self, pool: Pool[Route, Connection], route: Route, mine: Waiter
    ) -> Lease[Route, Connection] | None:
        """Take a place, unless the warmer was stopped or enough dials are in progress."""
        with self._lock:  # so that nothing is reserved after `stop` has returned
            if self._signal is not mine or self._in_progress >= MOST_DIALS:
                return None
            lease = pool.try_reserve(route)
            if lease is not None:
                self._in_progress += 1
            return lease

    def _start(self, lease: Lease[Route, Connection]) -> None:
        deadline = Deadline.after(DIAL_SECONDS, self._runtime.now)
        try:
            self._runtime.spawn(partial(self._warm, lease, deadline), "pooledhttp-warm")
        except BaseException:
            self._finished()
            lease.discard("could not be kept warm")
            raise

    def _warm(self, lease: Lease[Route, Connection], deadline: Deadline) -> None:
        try:
            self._connect(lease, deadline)
        finally:
            self._finished()

    def _finished(self) -> None:
        with self._lock:
            self._in_progress = max(self._in_progress - 1, 0)  # a fork may lie between

    def _connect(self, lease: Lease[Route, Connection], deadline: Deadline) -> bool:
        """Dial for a reserved place and release it as idle; tell whether the dial succeeded."""
        route = lease.key
        try:
            lease.fill(self._dial(route, deadline))
        except Exception as error:  # any failure: no caller waits for this connection
            lease.discard("could not be kept warm")
            self._note_failure(route, error)
            return False
        except BaseException:
            lease.discard("interrupted")
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
        """Forget origins not tried for long: they are not wanted any more, or work again."""
        limit = self._runtime.now() - LONGEST_PAUSE_SECONDS
        with self._lock:
            for route in [route for route, (_, end) in self._failures.items() if end < limit]:
                del self._failures[route]
