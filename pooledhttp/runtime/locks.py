"""A lock for short steps that an exception of a signal handler cannot leave held.

Ctrl-C, a signal handler or another thread may raise an exception between any two steps of Python
code, also right before a `with` block gives its lock back. Then the lock stays held, and every
other thread would wait forever. `ShortLock` gives up on an owner that takes longer than any step
does, and starts over with a new lock.
"""

from __future__ import annotations

import threading

__all__ = ["ShortLock"]

#: Longer than any step under such a lock takes on a busy machine.
OVERDUE_SECONDS = 1.0


class ShortLock:
    """Mutual exclusion for steps that wait for nothing; a thread may enter it twice.

    What it guards must bear two threads at once: that happens when a step takes longer than
    `OVERDUE_SECONDS`. Operations on a dict or a list do.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=OVERDUE_SECONDS):
            self._lock = threading.RLock()

    def __exit__(self, *_: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it was overdue, and another thread has replaced it
