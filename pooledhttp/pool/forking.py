"""What a fork does to pools.

The child gets a copy of every pool, of locks that other threads of the parent may have held at that
moment, and of descriptors whose peers believe they talk to the parent. So in the child nothing of
the old state is used: each pool begins anew, and what it had open is handed to `abandon`, which
must let go of it without a word to the peer. The hook is registered once per process, by the first
pool.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from pooledhttp.pool.sweeper import process_sweeper

__all__ = ["Forkable", "renew_after_fork"]


class Forkable(Protocol):
    """A pool, as the hook sees it."""

    def renew(self) -> None:
        """Begin anew, in a forked child."""


_pools: weakref.WeakSet[Forkable] = weakref.WeakSet()
_lock = threading.Lock()
_is_registered = False


def renew_after_fork(pool: Forkable) -> None:
    """Have `pool.renew` called in every process that is forked from this one."""
    global _is_registered
    with _lock:
        _pools.add(pool)
        if not _is_registered and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_in_child)
        _is_registered = True


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()
    process_sweeper().reset()
    for pool in list(_pools):
        pool.renew()
