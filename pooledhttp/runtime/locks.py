"""Locks that an exception of a signal handler does not leave held.

Ctrl-C, a signal handler or another thread may raise an exception between any two steps of Python
code. If that is after a lock was taken, and before the block that gives it back has begun, the lock
stays held, and every other thread waits forever.

    new_lock, new_rlock   `with` takes it and begins the block in one step
    ShortLock             for steps that wait for nothing; it may be left held, which ends by itself

`with` has no such gap around the locks of `threading`, in any version but CPython 3.14, where a
call of C code looks for signals when it ends (https://github.com/python/cpython/issues/148874). A
call of Python code does not look when it ends. So there the locks have an `__enter__` in Python
that gives the lock back if it is interrupted. Their `__exit__` is in C: a function in Python looks
for signals when it begins, when the lock is still held.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["GuardedLock", "GuardedRLock", "Lock", "ShortLock", "new_lock", "new_rlock"]

#: Longer than any step under such a lock takes on a busy machine.
OVERDUE_SECONDS = 1.0


class Lock(Protocol):
    """A lock, as `threading.Lock` makes them."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:
        """Take the lock, and tell whether it was taken."""

    def release(self) -> None:
        """Give it back."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: Any) -> Any: ...


#: The class in C; typeshed calls it final, which it is not.
_RLock: Any = _thread.RLock
_take: Callable[..., bool] = _RLock.acquire
_is_owned: Callable[[Any], bool] = _RLock._is_owned


def _undo_taking(lock: Lock) -> None:
    """Give a lock back whose `acquire` was interrupted, if it was taken."""
    try:
        lock.release()  # one call of C code, so that it is done if it is interrupted too
    except RuntimeError:
        pass  # it was waited for


class GuardedRLock(_RLock):  # type: ignore[misc]
    """A `threading.RLock` whose `with` has no gap where calls of C code look for signals."""

    def __enter__(self) -> bool:
        try:
            return _take(self)  # the only call: nothing else is interrupted here
        except BaseException:
            _undo_taking(self)
            raise

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, and tell whether it was taken; see `threading.RLock.acquire`."""
        try:
            return _take(self, blocking, timeout)
        except BaseException:
            _undo_taking(self)
            raise


class GuardedLock(_RLock):  # type: ignore[misc]
    """A `threading.Lock` whose `with` has no gap where calls of C code look for signals."""

    def __enter__(self) -> bool:
        if _is_owned(self):
            raise RuntimeError(_HELD)
        try:
            return _take(self)
        except BaseException:
            _undo_taking(self)
            raise

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, and tell whether it was taken; see `threading.Lock.acquire`.

        Raises:
            RuntimeError: This thread has it, and would wait for itself.
        """
        if _is_owned(self):
            if blocking and timeout < 0:
                raise RuntimeError(_HELD)
            return False
        try:
            return _take(self, blocking, timeout)
        except BaseException:
            _undo_taking(self)
            raise


_HELD = "this thread holds the lock already"

#: Whether `with` has a gap around the locks of `threading`.
_HAS_GAP = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 14)

#: Makes a lock that a thread may take once; it replaces `threading.Lock`.
new_lock: Callable[[], Lock] = GuardedLock if _HAS_GAP else threading.Lock

#: Makes a lock that a thread may take several times; it replaces `threading.RLock`.
new_rlock: Callable[[], Lock] = GuardedRLock if _HAS_GAP else threading.RLock


class ShortLock:
    """Mutual exclusion for steps that wait for nothing; a thread may enter it twice.

    It gives up on an owner that takes longer than any step does, and starts over with a new lock.
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
