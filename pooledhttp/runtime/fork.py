"""What a forked child resets, and the one hook that has it done.

`os.fork` copies memory but only one thread. In the child a lock may be held by a thread that does
not exist there, worker threads are gone, and descriptors belong to connections of the parent. So
each object that holds a lock, a thread or a connection registers itself here when it is made, and
the child calls its `reset_after_fork` before any other code of the child runs.

    parent   register_fork_reset(object)       when the object is made; held weakly
    child    object.reset_after_fork()         in the order of registration

The methods must not take a lock that they have not just made, and must not wait. An object can
rely on the reset of the objects registered before it.
"""

from __future__ import annotations

import itertools
import logging
import os
import weakref
from typing import Protocol

__all__ = ["ForkResettable", "register_fork_reset"]

logger = logging.getLogger(__name__)


class ForkResettable(Protocol):
    """An object that holds something a forked child cannot use."""

    def reset_after_fork(self) -> None:
        """Replace locks, threads and connections of the parent; runs in the child."""


# No lock: each step is one operation on a dict, and a lock could be held at the moment of a fork.
_registered: dict[int, weakref.ref[ForkResettable]] = {}
_numbers = itertools.count()


def register_fork_reset(target: ForkResettable) -> None:
    """Have `target.reset_after_fork()` called in each process that is forked from this one.

    Args:
        target: Held weakly. Registering costs a dict entry and needs no undoing.
    """
    number = next(_numbers)
    _registered[number] = weakref.ref(target, lambda _: _registered.pop(number, None))


def _reset_in_child() -> None:
    for reference in list(_registered.values()):
        target = reference()
        if target is None:
            continue
        try:
            target.reset_after_fork()
        except Exception:  # the other objects still need their reset
            logger.exception("Resetting %r in a forked child failed", target)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
