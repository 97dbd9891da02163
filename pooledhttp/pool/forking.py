"""What a fork does to pools.

The child gets a copy of every pool, of locks that other threads of the parent may have held at that
moment, and of descriptors whose peers believe they talk to the parent. So in the child nothing of
the old state is used: each pool begins anew, and what it had open is handed to `abandon`, which
must let go of it without a word to the peer. The hook is registered once per process, by the first
pool.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from pooledhttp.pool.sweeper import process_sweeper
from pooledhttp.runtime import register_fork_reset

__all__ = ["Forkable", "renew_after_fork"]


class Forkable(Protocol):
    """A pool, as the hook sees it."""

    def renew(self) -> None:
        """Begin anew, in a forked child."""


class _Pools:
    """The pools of the process, held weakly."""

    def __init__(self) -> None:
        self._pools: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self._lock = threading.Lock()
        register_fork_reset(self)

    def add(self, pool: Forkable) -> None:
        with self._lock:
            self._pools.add(pool)

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        process_sweeper().reset()
        for pool in list(self._pools):
            pool.renew()


_pools = _Pools()


def renew_after_fork(pool: Forkable) -> None:
    """Have `pool.renew` called in every process that is forked from this one."""
    _pools.add(pool)
