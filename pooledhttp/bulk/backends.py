"""Where the workers of a run are: on threads, or on one event loop.

```
           a worker is     its waits             the session and its adapters
Threads    a thread        block it              may be of any kind
Loop       a greenlet      let the others run    must not block: see `choosing`
```

Both run the same code. A worker waits by the backend's `runtime`, and so does the session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from pooledhttp.bulk.disk import DirectDisk, Disk
from pooledhttp.bulk.halting import Haltable, HaltableRuntime, Halted
from pooledhttp.bulk.writer import Writer
from pooledhttp.runtime import Runtime, Task, Waiter, default_runtime
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import PrivateLoop

__all__ = ["Backend", "EngineName", "Loop", "Threads"]

T = TypeVar("T")

EngineName = Literal["threads", "loop", "executor"]

#: Halted workers end at once; only foreign code (a hook, a custom adapter, a name lookup) can take
#: longer. After this long it is not waited for any more.
_STOP_SECONDS = 5.0


#: How long a loop may collect results before the caller is woken.
_GATHER_SECONDS = 0.004


class Backend(Protocol):
    """Where the workers of one run are."""

    #: What it is called in options and reports.
    name: EngineName

    #: Why it was chosen, if it is not the first choice; None if it is.
    reason: str | None

    #: Called when the last worker has ended after `halt`. Set before the first `start`.
    at_end: Callable[[], None]

    @property
    def runtime(self) -> Haltable:
        """How workers wait. A thread that is no worker is blocked by it."""

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""

    def open_disk(self, commit: Callable[[int], None] | None) -> Disk:
        """Return how workers reach the disk; it is closed at the end.

        Args:
            commit: `Journal.commit`; None where there is no journal.
        """

    def start(self, work: Callable[[], None]) -> None:
        """Start one more worker, from the caller's thread."""

    def run_blocking(self, fn: Callable[[], T]) -> T:
        """Run a step of a worker that may block; its waits are the runtime's as well."""

    def waiter(self) -> Waiter:
        """Return a flag for the caller's thread to wait for; `halt` ends that wait."""

    def wake(self, fn: Callable[[], None], *, is_urgent: bool) -> None:
        """Call the function that wakes the caller: now, or when there are more results."""

    def wake_workers(self, waiters: Sequence[Waiter]) -> None:
        """Raise the flags that workers wait for, from the caller's thread."""

    def note_idle(self) -> None:
        """Note, from a worker, that it has nothing to do."""

    def halt(self) -> None:
        """End all waits, now and from now on. Never blocks; a signal handler may call it."""

    def stop(self) -> None:
        """Halt, wait for the workers to end, and do `at_end`. A finalizer may call it."""


class Threads:
    """A thread for each worker.

    Args:
        base: How a thread waits; None for the default runtime.
    """

    name: EngineName = "threads"

    def __init__(self, base: Runtime | None = None) -> None:
        self.runtime = HaltableRuntime(default_runtime() if base is None else base)
        self.reason: str | None = None
        self.at_end: Callable[[], None] = _nothing
        # Touched by the caller's thread only:
        self._tasks: list[Task] = []
        # Each worker adds its own key, so that a finalizer that happens to run in one does not wait
        # for it.
        self._workers: set[object] = set()

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self.runtime.is_halted

    def open_disk(self, commit: Callable[[int], None] | None) -> Disk:
        """Return a disk that each worker uses itself."""
        return DirectDisk(commit)

    def start(self, work: Callable[[], None]) -> None:
        """Start a thread."""
        name = f"pooledhttp-bulk-{len(self._tasks)}"
        self._tasks.append(self.runtime.spawn(lambda: self._run(work), name))

    def run_blocking(self, fn: Callable[[], T]) -> T:
        """Run it here."""
        return fn()

    def waiter(self) -> Waiter:
        """Return a flag that `halt` raises, too."""
        return self.runtime.waiter()

    def wake(self, fn: Callable[[], None], *, is_urgent: bool) -> None:
        """Call it now."""
        fn()

    def wake_workers(self, waiters: Sequence[Waiter]) -> None:
        """Raise one after the other."""
        for waiter in waiters:
            waiter.set()

    def note_idle(self) -> None:
        """Do nothing: nothing gathers here."""

    def halt(self) -> None:
        """End all waits."""
        self.runtime.halt()

    def stop(self) -> None:
        """Halt, and wait for the threads unless this is one of them."""
        self.runtime.halt()
        if self.runtime.current() in self._workers:
            return  # a finalizer in a worker: each ends by itself, and the last does the rest
        deadline = Deadline.after(_STOP_SECONDS, self.runtime.now)
        try:
            are_gone = all(task.join(deadline) for task in self._tasks)
        finally:
            self.at_end()
        if are_gone:
            self._tasks.clear()
            self.runtime.close()

    def _run(self, work: Callable[[], None]) -> None:
        me = self.runtime.current()
        self._workers.add(me)
        try:
            work()
        finally:
            self._workers.discard(me)
            if self.runtime.is_halted and not self._workers:
                self.at_end()
                self.runtime.close()


class Loop:
    """A greenlet for each worker, all on one loop in a thread of its own.

    Raises:
        ModuleNotFoundError: greenlet is not installed.
    """

    name: EngineName = "loop"

    def __init__(self) -> None:
        from pooledhttp.runtime import PrivateLoop

        self._outside = HaltableRuntime(default_runtime())
        self.reason: str | None = None
        self.at_end: Callable[[], None] = _nothing
        self.runtime: PrivateLoop
        try:
            self.runtime = PrivateLoop(self._outside, Halted, "pooledhttp-bulk-loop")
        except BaseException:
            self._outside.close()
            raise
        self.runtime.at_end = self._finish
        self._started = 0
        self._writer: Writer | None = None

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self._outside.is_halted

    def open_disk(self, commit: Callable[[int], None] | None) -> Disk:
        """Return a disk that one thread uses for all workers."""
        self._writer = Writer(self.runtime, commit)
        return self._writer

    def start(self, work: Callable[[], None]) -> None:
        """Start a greenlet."""
        self._started += 1
        self.runtime.start(work, f"pooledhttp-bulk-{self._started}")

    def run_blocking(self, fn: Callable[[], T]) -> T:
        """Run it on a worker thread; the greenlet waits for it."""
        return self.runtime.call_blocking(fn, Deadline.never(self.runtime.now))

    def waiter(self) -> Waiter:
        """Return a flag that `halt` raises, too."""
        return self._outside.waiter()

    def wake(self, fn: Callable[[], None], *, is_urgent: bool) -> None:
        """Call it after all that is ready on the loop, or a moment later.

        Each time the caller's thread wakes up, it takes the interpreter from the loop, and gives it
        back. So results gather.
        """
        if is_urgent:
            self.runtime.call_soon(fn)
        else:
            self.runtime.call_later(_GATHER_SECONDS, fn)

    def wake_workers(self, waiters: Sequence[Waiter]) -> None:
        """Raise all, and wake the loop once."""
        self.runtime.raise_flags(waiters)

    def note_idle(self) -> None:
        """Have the disk begin with what has gathered."""
        if self._writer is not None:
            self._writer.hasten()

    def halt(self) -> None:
        """End all waits."""
        self._outside.halt()
        self.runtime.halt()

    def stop(self) -> None:
        """Halt, and wait for the loop unless this is its thread."""
        self.halt()
        if self.runtime.is_here:
            return  # a finalizer on the loop, which does the rest when its greenlets have ended
        if self.runtime.is_started:
            self.runtime.join(Deadline.after(_STOP_SECONDS, self.runtime.now))
        else:
            self._finish()

    def _finish(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            try:
                self.at_end()
            finally:
                self._outside.close()


def _nothing() -> None:
    """Do nothing at the end."""
