"""Threads for calls that block and cannot be told to stop.

    waiting -> running -> done
       |          |
       +----------+-- abandoned      the caller left at its deadline

A job abandoned while it waits is not run; one abandoned while it runs goes on, and its thread is
free again when it returns. There are at most `limit` threads. When all are stuck, new jobs wait
and their callers leave at their deadlines.

The threads are daemons that are never joined, unlike those of `concurrent.futures`, whose exit hook
waits for every job. So a stuck call never delays the end of the interpreter. A forked child starts
without threads and jobs.
"""

from __future__ import annotations

import _thread
import contextvars
import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pooledhttp.runtime.base import Waiter
from pooledhttp.runtime.fork import register_fork_reset
from pooledhttp.timing import Deadline, monotonic

__all__ = ["LockWaiter", "Workers", "shared"]

T = TypeVar("T")

_TOO_LATE = "a blocking call did not return in time"

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

    __slots__ = ("_held", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._held = _thread.allocate_lock()
        self._held.acquire()

    @property
    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._is_set or not self._held.locked()

    def set(self) -> None:
        """Raise the flag; from anywhere, never blocking."""
        # Releasing the lock is what counts: an exception in between leaves nothing half done.
        self._open()
        self._is_set = True

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the flag is up; False when the deadline comes first."""
        while not self._is_set:
            left = deadline.remaining()
            if self._held.acquire(timeout=min(left, _SLICE_SECONDS)):
                self._is_set = True
                self._open()  # for others that wait for the same flag
            elif left <= _SLICE_SECONDS:
                return self.is_set
        return True

    def _open(self) -> None:
        try:
            self._held.release()
        except RuntimeError:
            pass  # it was open


class _Job(Generic[T]):
    """One call and its outcome."""

    __slots__ = ("_context", "_error", "_fn", "_result", "finished", "is_abandoned")

    def __init__(self, fn: Callable[[], T], finished: Waiter) -> None:
        self._fn: Callable[[], T] | None = fn
        self._context = contextvars.copy_context()
        self._result: T
        self._error: BaseException | None = None
        self.finished = finished
        self.is_abandoned = False

    def run(self) -> None:
        """Make the call, on the current thread."""
        fn, self._fn = self._fn, None
        if fn is None or self.is_abandoned:
            return
        try:
            self._result = self._context.run(fn)
        except BaseException as error:  # it belongs to the caller, not to this thread
            if not self.is_abandoned:
                self._error = error
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

    A caller takes no lock: an exception may reach it at any point, and each of its steps is one
    operation on a dict or a list. A job that a caller left behind is taken out by the caller or
    skipped by a worker.

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
        """Start with no thread and no job: the child has neither."""
        self._waiting: dict[_Job[Any], None] = {}
        self._idle: list[LockWaiter] = []
        self._threads: set[int] = set()
        self._running: dict[int, _Job[Any]] = {}
        self._lock = _thread.allocate_lock()  # of the workers, for counting themselves
        self._numbers = itertools.count(1)

    def call(self, fn: Callable[[], T], deadline: Deadline, finished: Waiter | None = None) -> T:
        """Run `fn` on a worker and wait for it; in place where no thread can be started.

        Args:
            fn: What to run.
            deadline: When to stop waiting.
            finished: How the caller waits; by blocking its thread for `None`.

        Raises:
            TimeoutError: The deadline came first.
        """
        if deadline.expired:
            raise TimeoutError(_TOO_LATE)
        if sys.is_finalizing():  # threads no longer run
            return fn()
        job = _Job(fn, finished or LockWaiter())
        try:
            self._waiting[job] = None
            if not self._wake_worker():
                self._waiting.pop(job, None)
                job.run()
            if job.finished.wait(deadline):
                return job.outcome()
        finally:  # Ctrl-C ends the wait, too
            job.is_abandoned = True
            self._waiting.pop(job, None)
        raise TimeoutError(_TOO_LATE)

    @property
    def runs_caller(self) -> bool:
        """Whether the calling thread is one of these workers, and may block."""
        return _thread.get_ident() in self._running

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller has left the call that the calling worker runs."""
        return self._running[_thread.get_ident()].is_abandoned

    def _wake_worker(self) -> bool:
        """Have a worker run what waits; False when there is none and none can be started."""
        for wakeup in tuple(self._idle):
            if not wakeup.is_set:
                wakeup.set()  # the worker takes it out itself
                return True
        return len(self._threads) >= self._limit or self._start_worker()

    def _start_worker(self) -> bool:
        name = f"{self._name}-{next(self._numbers)}"
        try:
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        except RuntimeError:  # a limit, or the interpreter is ending
            return bool(self._threads)
        return True

    def _serve(self) -> None:
        """Run jobs, then linger; what a worker does."""
        while self._count_in():
            while self._run_next() or self._linger():
                pass
            self._threads.discard(_thread.get_ident())
            if not self._waiting:  # looked at last: a caller now finds this thread gone
                return

    def _count_in(self) -> bool:
        with self._lock:
            if len(self._threads) >= self._limit:
                return False  # several callers started one at the same moment
            self._threads.add(_thread.get_ident())
            return True

    def _run_next(self) -> bool:
        """Run the job that has waited longest; False when none waits."""
        for job in tuple(self._waiting):
            if self._waiting.pop(job, self) is None:  # `self` where another worker was faster
                if self._waiting:
                    self._wake_worker()
                self._running[_thread.get_ident()] = job
                try:
                    job.run()
                finally:
                    self._running.pop(_thread.get_ident(), None)  # gone in a forked child
                return True
        return False

    def _linger(self) -> bool:
        """Wait for the next job; False when this worker is to end."""
        wakeup = LockWaiter()
        self._idle.append(wakeup)
        if not self._waiting:  # looked at after the wakeup is there: no job is missed
            wakeup.wait(Deadline.after(LINGER_SECONDS, monotonic))
        self._idle.remove(wakeup)
        return wakeup.is_set or bool(self._waiting)


#: Enough for a few stuck calls at a time. More threads would only become stuck as well.
SHARED_LIMIT = 16

_shared = Workers(SHARED_LIMIT, "pooledhttp-worker")


def shared() -> Workers:
    """Return the workers of this process. They have no thread until the first call."""
    return _shared
