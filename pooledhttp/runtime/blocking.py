"""The runtime of ordinary threads: a wait blocks the thread that waits.

There is no state in it, so one instance serves the whole process and survives a fork.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

from pooledhttp.runtime import polling, workers
from pooledhttp.runtime.base import Runtime, Task
from pooledhttp.timing import Deadline, monotonic

__all__ = ["BlockingRuntime", "default_runtime"]

T = TypeVar("T")


class _ThreadTask:
    """A daemon thread, seen as a task."""

    __slots__ = ("_thread",)

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    @property
    def done(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread's end; False when the deadline came first."""
        left = deadline.remaining()
        self._thread.join(None if left == inf else min(left, threading.TIMEOUT_MAX))
        return self.done


class BlockingRuntime:
    """Waits by blocking the calling thread; see `Runtime` for what each method promises.

    Ctrl-C ends every wait of the main thread. Use one from any number of threads.
    """

    name = "blocking"

    now = staticmethod(monotonic)
    current = staticmethod(threading.get_ident)
    waiter = staticmethod(workers.LockWaiter)
    # Functions themselves, not methods that call them: every request passes here.
    wait = staticmethod(polling.poll_one if polling.HAS_POLL else polling.select_one)
    wait_any = staticmethod(polling.poll_any if polling.HAS_POLL else polling.select_any)

    def sleep(self, seconds: float) -> None:
        """Block the thread for `seconds`; zero or less does nothing, as threads need no turn."""
        if seconds > 0.0:
            time.sleep(seconds)

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run `fn` in place when it may take forever, on a worker thread when it may not.

        The worker sees the caller's context variables.

        Raises:
            TimeoutError: The deadline came first; `fn` is left to itself.
        """
        if deadline.at == inf:
            return fn()
        return workers.shared().call(fn, deadline)

    def spawn(self, fn: Callable[[], None], name: str) -> Task:
        """Run `fn` on a new daemon thread.

        Raises:
            RuntimeError: No thread can be started: a limit is reached, or the interpreter is
                ending.
        """
        if sys.is_finalizing():  # Python 3.11 would wait forever for the thread to start
            raise RuntimeError("no thread can be started while the interpreter ends")
        thread = threading.Thread(target=fn, name=name, daemon=True)
        thread.start()
        return _ThreadTask(thread)

    def forget(self, sock: object) -> None:
        """Do nothing: between two waits nothing is kept for a socket."""

    def close_socket(self, sock: socket.socket) -> None:
        """Close a socket."""
        sock.close()

    def __repr__(self) -> str:
        return "<BlockingRuntime>"


_default = BlockingRuntime()


def default_runtime() -> Runtime:
    """Return the runtime to use where none was given: the blocking one."""
    return _default
