"""The keeper: holds `min_idle` connections ready, so that a request after a pause does not pay for
a handshake.

It is a task beside the requests, started by the first use of a pool that wants connections kept
warm::

    asleep --wake, or a second has passed--> ask the pool what is short --> one dial per missing
    connection
      ^                                                                         |   |
      |                       back off: 1, 2, 4 ... 60 s, jittered <--- failed -'   '- done: onto
      the shelf '-----------------------------------------------------------------------------'

It refers to its pool weakly and ends with it, or when the pool is closed. Dials run outside every
lock, several at a time, in places reserved beforehand, so they count against the limits like any
other.
"""

from __future__ import annotations

import logging
import random
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from pooledhttp.timing import Deadline
from pooledhttp.transport.connection import Connection

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease, Pool
    from pooledhttp.runtime import Runtime, Task, Waiter

__all__ = ["Keeper"]

log = logging.getLogger(__name__)

#: Seconds between two looks at what is short, when nobody wakes the keeper.
INTERVAL_SECONDS = 1.0
#: Seconds one dial may take.
DIAL_SECONDS = 10.0
#: Dials under way at a time, over all origins: warming up must not crowd out requests.
MOST_DIALS = 8
#: Seconds an origin is left alone after its first failure, doubled with each further one, up to the
#: last number.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


class Keeper:
    """Keeps the shelves of one pool as full as its limits say.

    Args:
        pool: Whose shelves; referred to weakly.
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
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._signal: Waiter | None = None
        self._failures: dict[Route, tuple[int, float]] = {}
        self._under_way = 0

    @property
    def is_running(self) -> bool:
        """Whether the task is there."""
        return self._signal is not None

    def wake(self) -> None:
        """Have the keeper look now; starts it where it does not run. Never waits."""
        with self._lock:
            signal = self._signal
            if signal is None:
                self._signal = self._runtime.waiter()
        if signal is None:
            self._runtime.spawn(self._run, "pooledhttp-keeper")
        else:
            signal.set()

    def stop(self) -> None:
        """End the task; `wake` starts another."""
        with self._lock:
            signal, self._signal = self._signal, None
            self._failures.clear()
        if signal is not None:
            signal.set()

    def fill(self, route: Route, count: int, deadline: Deadline) -> None:
        """Dial up to `count` connections to `route` at once and wait for them.

        What fails is logged.
        """
        tasks: list[Task] = []
        for _ in range(count):
            pool = self._pool()
            lease = None if pool is None else pool.try_reserve(route)
            if lease is None:
                break
            tasks.append(self._start(lease, deadline))
        for task in tasks:
            task.join(deadline)

    # ---- the task

    def _run(self) -> None:
        mine = self._signal
        while mine is not None and mine is self._signal:
            if not self._top_up():
                self.stop()
                return
            mine.wait(Deadline.after(INTERVAL_SECONDS, self._runtime.now))
            with self._lock:
                if mine is not self._signal:
                    return
                mine = self._signal = self._runtime.waiter()

    def _top_up(self) -> bool:
        """Start the dials that are due; `False` when there is no pool to keep any more."""
        pool = self._pool()
        if pool is None or pool.is_closed:
            return False
        now = self._runtime.now()
        for route, missing in pool.shortage():
            if self._failures.get(route, (0, 0.0))[1] > now:
                continue
            for _ in range(min(missing, MOST_DIALS - self._under_way)):
                lease = pool.try_reserve(route)
                if lease is None:
                    break
                self._start(lease, Deadline.after(DIAL_SECONDS, self._runtime.now))
        return True

    def _start(self, lease: Lease[Route, Connection], deadline: Deadline) -> Task:
        with self._lock:
            self._under_way += 1
        return self._runtime.spawn(lambda: self._connect(lease, deadline), "pooledhttp-warm")

    def _connect(self, lease: Lease[Route, Connection], deadline: Deadline) -> None:
        route = lease.key
        try:
            lease.fill(self._dial(route, deadline))
        except Exception as error:  # whatever it was: nobody waits for this connection
            lease.discard("could not be kept warm")
            self._note_failure(route, error)
        else:
            lease.release()
            with self._lock:
                self._failures.pop(route, None)
        finally:
            with self._lock:
                self._under_way -= 1

    def _note_failure(self, route: Route, error: Exception) -> None:
        with self._lock:
            count = self._failures.get(route, (0, 0.0))[0]
            pause = min(FIRST_PAUSE_SECONDS * 2.0**count, LONGEST_PAUSE_SECONDS)
            pause *= self._random.uniform(0.75, 1.0)
            self._failures[route] = (count + 1, self._runtime.now() + pause)
        if not count:
            log.warning("No connection to %s could be kept warm: %s", route.origin, error)
