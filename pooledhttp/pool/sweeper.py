"""One thread for all pools of the process, that closes what has been idle for too long.

Pools are right without it: what expired is never given to anybody, and every release closes one
idle place that is not needed any more. The sweeper is there for a pool that nobody uses: without it
the last connections of a burst would stay open, half closed by their peers, until the next request.

    no thread --a pool opens its first resource--> waits 1 s --> sweeps, waits for the next expiry
        ^                                                                      |
        '------------------------ no pool has anything open -------------------'

It holds pools weakly and does not keep the interpreter alive. In a forked child it starts anew.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from pooledhttp.runtime import Runtime, Waiter, default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Sweepable", "Sweeper", "process_sweeper"]

_log = logging.getLogger(__name__)

#: What is closed within its first second is not worth a look.
_LEAST_PAUSE_SECONDS = 1.0

#: Peers' hints may shorten what was the next expiry when the pause began.
_LONGEST_PAUSE_SECONDS = 5.0


class Sweepable(Protocol):
    """A pool, as the sweeper sees it."""

    is_watched: bool

    def sweep(self) -> float | None:
        """Close what expired; return the seconds to the next expiry, None if nothing is open."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""


class Sweeper:
    """The thread, when there is one, and the pools it looks after.

    Args:
        runtime: How it waits.
    """

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime or default_runtime()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the thread does not exist in a forked child."""
        self._lock = threading.Lock()
        self._pools: list[weakref.ref[Sweepable]] = []
        self._signal: Waiter = self._runtime.waiter()
        self._is_running = False

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._is_running

    def watch(self, pool: Sweepable) -> None:
        """Look after a pool from now on, for as long as it has anything open."""
        with self._lock:
            if pool.is_watched:
                return
            pool.is_watched = True
            self._pools.append(weakref.ref(pool))
            must_start = not self._is_running
            self._is_running = True
            signal = self._signal
        if must_start:
            self._start()
        else:
            signal.set()

    def _start(self) -> None:
        try:
            self._runtime.spawn(self._run, "pooledhttp-sweeper")
        except RuntimeError as exc:  # no more threads, or the interpreter is ending
            _log.debug("The sweeper could not be started: %s", exc)
            self._is_running = False

    def _run(self) -> None:
        pause = _LEAST_PAUSE_SECONDS
        while True:
            self._signal.wait(Deadline.after(pause, self._runtime.now))
            with self._lock:
                self._signal = self._runtime.waiter()
                refs = list(self._pools)
            pause = min([_LONGEST_PAUSE_SECONDS, *map(self._sweep, refs)])
            pause = max(pause, _LEAST_PAUSE_SECONDS)
            with self._lock:
                self._pools = [ref for ref in self._pools if _is_to_be_watched(ref)]
                if not self._pools:
                    self._is_running = False
                    return

    @staticmethod
    def _sweep(ref: weakref.ref[Sweepable]) -> float:
        pool = ref()
        if pool is None:
            return _LONGEST_PAUSE_SECONDS
        try:
            seconds = pool.sweep()
        except Exception:  # one pool's trouble is not the others'
            _log.exception("Sweeping %r failed", pool)
            return _LONGEST_PAUSE_SECONDS
        return _LONGEST_PAUSE_SECONDS if seconds is None else seconds


def _is_to_be_watched(ref: weakref.ref[Sweepable]) -> bool:
    """Whether a pool has anything open; one that has not asks again when it opens something."""
    pool = ref()
    if pool is None:
        return False
    # In this order: whoever opens something sees that it is not watched, or is seen here.
    pool.is_watched = False
    if pool.is_empty:
        return False
    pool.is_watched = True
    return True


_process_sweeper = Sweeper()


def process_sweeper() -> Sweeper:
    """Return the one that serves every pool of the process, unless it was given another."""
    return _process_sweeper
