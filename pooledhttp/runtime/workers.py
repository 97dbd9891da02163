"""Threads for calls that block and cannot be told to stop.

    submit -> waiting in line -> running -> done
                   |                |
                   +-- abandoned ---+      the caller left at its deadline

A job left in line is not run; one left while running runs on, and its thread is free again when it
returns. There are at most `limit` threads. When all are stuck, new jobs wait in line and their
callers leave at their deadlines: nothing is worse than slow.

The threads are daemons that nobody joins, unlike those of `concurrent.futures`, whose exit hook
waits for every job. So a stuck call never delays the end of the interpreter.

A fork copies the line but not the threads, so the child starts with nothing; see `shared`.
"""

from __future__ import annotations

import _thread
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pooledhttp.runtime.fork import register_fork_reset
from pooledhttp.timing import Deadline, monotonic

__all__ = ["LockWaiter", "Workers", "shared"]

T = TypeVar("T")

#: How long a thread with nothing to do stays, in seconds: across the pauses inside one script.
LINGER_SECONDS = 10.0

#: POSIX lets Ctrl-C into a lock that is waited for. Windows does not, so there the main thread has
#: to come out now and then to notice it.
_SLICE_SECONDS = 0.2 if os.name == "nt" else threading.TIMEOUT_MAX


class LockWaiter:
    """A flag on a raw lock, which is held until the flag goes up.

    A raw lock, since `threading.Event` takes a lock of its own in `set`: a finalizer that runs in
    the middle of another `set` on the same thread would wait for itself.
    """

    __slots__ = ("_gate", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    @property
    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._is_set

    def set(self) -> None:
        """Raise the flag; from anywhere, never blocking."""
        self._is_set = True
        self._open()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the flag is up; False when the deadline comes first."""
        while not self._is_set:
            left = deadline.remaining()
            if self._gate.acquire(timeout=min(left, _SLICE_SECONDS)):
                self._open()  # for others who wait for the same flag
            elif left <= _SLICE_SECONDS:
                return self._is_set
        return True

    def _open(self) -> None:
        try:
            self._gate.release()
        except RuntimeError:
            pass  # it was open


class _Job(Generic[T]):
    """One call and what became of it."""

    __slots__ = ("_context", "_error", "_fn", "_result", "finished", "is_abandoned")

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn: Callable[[], T] | None = fn
        self._context = contextvars.copy_context()
        self._result: T
        self._error: BaseException | None = None
        self.finished = LockWaiter()
        self.is_abandoned = False

    def run(self) -> None:
        """Make the call, on whatever thread this is."""
        fn, self._fn = self._fn, None
        if fn is None or self.is_abandoned:
            return
        try:
            self._result = self._context.run(fn)
        except BaseException as exc:  # it belongs to the caller, not to this thread
            if not self.is_abandoned:
                self._error = exc
        finally:
            self.finished.set()

    def outcome(self) -> T:
        """Return or raise what the call did."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


class Workers:
    """A bounded set of daemon threads, started when needed.

    Args:
        limit: The most threads at a time.
        name: What their names begin with.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start with no thread and no job: the child has neither, and the lock may be held."""
        self._lock = _thread.allocate_lock()
        # Guarded by the lock:
        self._line: deque[_Job[object]] = deque()
        self._idle: list[LockWaiter] = []
        self._threads = 0
        self._started = 0

    def call(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run `fn` on a worker and wait for it.

        Raises:
            TimeoutError: The deadline came first.
        """
        job = _Job(fn)
        if not deadline.expired:
            try:
                self._submit(job)
                if job.finished.wait(deadline):
                    return job.outcome()
            finally:  # Ctrl-C ends the wait, too
                self._abandon(job)
        raise TimeoutError("a blocking call did not return in time")

    def _submit(self, job: _Job[T]) -> None:
        with self._lock:
            self._line.append(job)  # type: ignore[arg-type]
            bell = self._idle.pop() if self._idle else None
            is_new = bell is None and self._threads < self._limit
            if is_new:
                self._threads += 1
                self._started += 1
            number = self._started
        if bell is not None:
            bell.set()
        elif is_new:
            self._start(f"{self._name}-{number}")

    def _abandon(self, job: _Job[T]) -> None:
        job.is_abandoned = True
        if job.finished.is_set:
            return
        with self._lock:
            if job in self._line:
                self._line.remove(job)  # type: ignore[arg-type]

    def _start(self, name: str) -> None:
        try:
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise

    def _serve(self) -> None:
        while True:
            job = self._next()
            if job is None:
                return
            job.run()
            del job  # do not keep its result alive while idle

    def _next(self) -> _Job[object] | None:
        """Wait for a job; None when this thread should end."""
        while True:
            with self._lock:
                if self._line:
                    return self._line.popleft()
                bell = LockWaiter()
                self._idle.append(bell)
            if bell.wait(Deadline.after(LINGER_SECONDS, monotonic)):
                continue
            with self._lock:
                if bell in self._idle:
                    self._idle.remove(bell)
                    self._threads -= 1
                    return None


#: Enough for a few stuck calls beside each other; more would only be more that are stuck.
SHARED_LIMIT = 16

_shared = Workers(SHARED_LIMIT, "pooledhttp-worker")


def shared() -> Workers:
    """Return the workers of this process. They have no thread until the first call."""
    return _shared
