"""One thread for all pools of the process, which closes connections that are idle for too long.

A pool works without it: no caller ever gets an expired resource, and each release closes one idle
resource that is no longer needed. The sweeper serves pools that are not used. Without it the last
connections of a burst would stay open, half closed by their peers, until the next request.

    no thread --a pool opens its first resource--> waits 1 s --> sweeps --something is open--.
        ^                                            ^             |                         |
        |                                            '-------------+-------------------------'
        '------------------------ no pool has anything open -------'

It refers to pools weakly and does not keep the interpreter alive. A forked child starts without the
thread; the first pool that opens something starts it again.
"""

from __future__ import annotations

import logging
import weakref
from typing import Protocol

from pooledhttp.runtime import Runtime, default_runtime, new_lock, register_fork_reset
from pooledhttp.timing import Deadline

__all__ = ["Sweepable", "Sweeper", "process_sweeper"]

logger = logging.getLogger(__name__)

#: To close a connection within a second of its expiry is early enough. A pause up to the next known
#: expiry would be too long: meanwhile a lease can end, or a peer can announce an idle limit.
_PAUSE_SECONDS = 1.0


class Sweepable(Protocol):
    """A pool, as the sweeper sees it."""

    is_watched: bool

    def sweep(self) -> float | None:
        """Close what expired; return the seconds to the next expiry, None if nothing is open."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""


class Sweeper:
    """The thread, while there is one, and the pools it sweeps.

    Args:
        runtime: How it waits; None for the one that blocks its thread.
    """

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime or default_runtime()
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Forget the thread and all pools: the thread does not exist in a forked child."""
        self._lock = new_lock()
        self._pools: list[weakref.ref[Sweepable]] = []
        #: The mark of the thread that sweeps, while there is one.
        self._runner: object | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._runner is not None

    def watch(self, pool: Sweepable) -> None:
        """Sweep a pool from now on, as long as it has anything open.

        An interrupt may end this at any point, and there may be no thread to start. Then the pool
        is not marked as watched, and calls this again when it opens the next resource.
        """
        with self._lock:
            if pool.is_watched:
                return
            if all(ref() is not pool for ref in self._pools):
                self._pools.append(weakref.ref(pool))
            must_start = self._runner is None
        if must_start and not self._start():
            return
        with self._lock:
            # Meanwhile the sweeper may have seen that the pool is empty again.
            pool.is_watched = any(ref() is pool for ref in self._pools)

    def _start(self) -> bool:
        """Start the thread; return whether there is one."""
        mark = object()
        try:
            self._runtime.spawn(lambda: self._run(mark), "pooledhttp-sweeper")
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            logger.debug("The sweeper could not be started: %s", error)
            return False
        with self._lock:
            if self._runner is None:
                self._runner = mark
        return True

    def _run(self, mark: object) -> None:
        while True:
            self._runtime.waiter().wait(Deadline.after(_PAUSE_SECONDS, self._runtime.now))
            with self._lock:
                # There is no mark if an interrupt hit `_start`, and another one if two threads
                # were started at once.
                if self._runner is None:
                    self._runner = mark
                if self._runner is not mark:
                    return
                refs = list(self._pools)
            for ref in refs:
                self._sweep(ref)
            with self._lock:
                self._pools = [ref for ref in self._pools if _keep_watching(ref)]
                if not self._pools:
                    self._runner = None
                    return

    @staticmethod
    def _sweep(ref: weakref.ref[Sweepable]) -> None:
        pool = ref()
        if pool is None:
            return
        try:
            pool.sweep()
        except Exception:  # the other pools still have to be swept
            logger.exception("Sweeping %r failed", pool)


def _keep_watching(ref: weakref.ref[Sweepable]) -> bool:
    """Return whether to sweep a pool again, and set its `is_watched` to that.

    A pool with nothing open is not swept; it calls `watch` when it opens something.
    """
    pool = ref()
    if pool is None:
        return False
    # The order matters. Another thread may open something at this moment. Either it sees that
    # `is_watched` is False and calls `watch`, or the pool is not empty when the next line looks.
    pool.is_watched = False
    if pool.is_empty:
        return False
    pool.is_watched = True
    return True


_process_sweeper = Sweeper()


def process_sweeper() -> Sweeper:
    """Return the sweeper of all pools that were not given another."""
    return _process_sweeper
