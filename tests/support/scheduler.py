"""A runtime that can replay every interleaving of tasks.

Tasks are greenlets in one thread. Only one runs, and it is exchanged for another only where it
waits through the runtime or passes a `checkpoint()`; which one is next is drawn from a seeded
source. The clock is virtual: it moves when no task can run, to the next deadline, and now and then
(`haste`) although a task could run, because real deadlines do not wait. A flag raised at
the very moment of a deadline is caught by some waits and missed by others, as on threads.

    with Scheduler(seed=7) as scheduler:
        pool = Pool(..., runtime=scheduler)
        scheduler.spawn(client_a, "a")
        scheduler.spawn(client_b, "b")
        scheduler.run()                 # until all have ended; raises the first error of a task
        scheduler.trace                 # who ran, in order

The same seed and the same code give the same trace. When all tasks wait for what no task can
do, `Deadlock` says which task waits for what. The test itself may wait on the runtime: tasks run
meanwhile.

      spawn          chosen             waits
    --------> ready --------> running --------> parked
                ^                |                 |
                +-- checkpoint --+   flag, socket, or deadline
                ^                                  |
                +----------------------------------+

`lock()` makes locks whose `acquire` and `release` are checkpoints, to stand in for raw ones in the
module under test. One taken without blocking never switches, since finalizers do that.
"""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Callable, Sequence
from math import inf
from types import TracebackType
from typing import Any, TypeVar

import pytest

from pooledhttp.runtime import Interest, Waiter
from pooledhttp.timing import Deadline

# Without it, every module that imports this one is skipped, and says why.
greenlet: Any = pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

__all__ = ["Deadlock", "Scheduler", "SchedulerLock", "SchedulerTask"]

T = TypeVar("T")


class Deadlock(AssertionError):
    """Every task waits for something that cannot happen any more."""


class _Park:
    """Why a task does not run: until `is_over`, or until the deadline."""

    __slots__ = ("deadline", "is_over", "what")

    def __init__(self, what: str, is_over: Callable[[], bool], deadline: Deadline) -> None:
        self.what = what
        self.is_over = is_over
        self.deadline = deadline


class SchedulerTask:
    """One task; its `repr` tells what it waits for."""

    def __init__(self, scheduler: Scheduler, fn: Callable[[], object], name: str) -> None:
        self._scheduler = scheduler
        self._fn = fn
        self.name = name
        self.park: _Park | None = None
        self.in_time = True  # how the last wait ended
        self.pending: BaseException | None = None  # to be raised at the next turn
        self.error: BaseException | None = None
        self.greenlet = greenlet.greenlet(self._run, scheduler.hub)

    def _run(self) -> None:
        try:
            self.resume()
            self._fn()
        except greenlet.GreenletExit:
            pass
        except BaseException as exc:  # raised to the caller of run()
            self.error = exc

    def resume(self) -> None:
        """Go on after a turn was given: raise what `cancel` left, if anything."""
        if self.pending is not None:
            error, self.pending = self.pending, None
            raise error

    @property
    def done(self) -> bool:
        """Whether the task has ended."""
        return bool(self.greenlet.dead)

    def join(self, deadline: Deadline) -> bool:
        """Wait for the task's end."""
        return self._scheduler._wait_until(f"end of {self.name}", lambda: self.done, deadline)

    def cancel(self, error: BaseException) -> None:
        """Raise `error` in the task at its next turn, where it waits; as Ctrl-C would."""
        self.pending = error
        if self.park is not None:
            self.park = None
            del self._scheduler._parked[self]
            self._scheduler._ready.append(self)

    def __repr__(self) -> str:
        state = "done" if self.done else "ready" if self.park is None else self.park.what
        return f"<task {self.name}: {state}>"


class _Flag:
    """The scheduler's waiter."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.is_set = False

    def set(self) -> None:
        self.is_set = True  # no switch: a finalizer may be calling

    def wait(self, deadline: Deadline) -> bool:
        return self._scheduler._wait_until("a waiter", lambda: self.is_set, deadline)


class SchedulerLock:
    """A lock as `_thread.allocate_lock()` makes them, with checkpoints around it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_locked = False
        self._may_switch = False
        self.holder: object = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; without blocking, no other task runs meanwhile."""
        scheduler = self._scheduler
        if blocking:
            scheduler.checkpoint()
            deadline = Deadline.after(None if timeout < 0 else timeout, scheduler.now)
            while self._is_locked:  # another may take it between the wake-up and the turn
                if self.holder is scheduler.current():
                    raise Deadlock(f"{scheduler.current()} takes a lock it already holds")
                if not scheduler._wait_until("a lock", lambda: not self._is_locked, deadline):
                    return False
        elif self._is_locked:
            return False
        self._is_locked = True
        self.holder = scheduler.current()
        self._may_switch = blocking
        if blocking:
            scheduler.checkpoint()
        return True

    def release(self) -> None:
        """Free the lock.

        Raises:
            RuntimeError: It is not held.
        """
        if not self._is_locked:
            raise RuntimeError("release unlocked lock")
        may_switch = self._may_switch
        if may_switch:
            self._scheduler.checkpoint()
        self.holder = None
        self._is_locked = False
        if may_switch:
            self._scheduler.checkpoint()

    def locked(self) -> bool:
        """Whether a task holds it."""
        return self._is_locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


class Scheduler:
    """The runtime; see the module's text.

    Args:
        seed: Decides every choice.
        haste: Probability, per step, that time moves to the next deadline though tasks could run.
        choose: Draws an index below its argument instead of the seeded source (for hypothesis).
        max_steps: After that many turns of tasks, `Deadlock` is raised: two are busy waiting.
    """

    name = "scheduler"

    def __init__(
        self,
        seed: int = 0,
        *,
        haste: float = 0.05,
        choose: Callable[[int], int] | None = None,
        max_steps: int = 1_000_000,
    ) -> None:
        self.seed = seed
        self.hub = greenlet.getcurrent()
        self.tasks: list[SchedulerTask] = []
        self.trace: list[str] = []
        self._random = random.Random(seed)
        self._choose = choose or self._random.randrange
        self._haste = haste
        self._max_steps = max_steps
        self._time = 1000.0
        self._running: SchedulerTask | None = None
        self._ready: list[SchedulerTask] = []
        self._parked: dict[SchedulerTask, None] = {}  # in order of parking

    # -- the Protocol

    def now(self) -> float:
        """Return the virtual time."""
        return self._time

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass; zero is a checkpoint."""
        if seconds <= 0:
            self.checkpoint()
        else:
            self._wait_until(f"{seconds} s", lambda: False, Deadline.after(seconds, self.now))

    def waiter(self) -> Waiter:
        """Make a flag."""
        return _Flag(self)

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Wait for a real socket, without real time passing."""
        interest = Interest(sock, read, write)
        self._wait_until("a socket", lambda: any(_look(interest)), deadline)
        return _look(interest)

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        """Wait for one of several real sockets, without real time passing."""
        watched = list(interests)
        self._wait_until("sockets", lambda: any(any(_look(i)) for i in watched), deadline)
        return [index for index, interest in enumerate(watched) if any(_look(interest))]

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run `fn` as a task of its own, which is left alone at the deadline."""
        results: list[T] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                results.append(fn())
            except Exception as exc:  # it is the caller's
                errors.append(exc)

        if not self.spawn(call, "call_blocking").join(deadline):
            raise TimeoutError("a blocking call did not return in time")
        if errors:
            raise errors[0]
        return results[0]

    def spawn(self, fn: Callable[[], object], name: str) -> SchedulerTask:
        """Add a task. It does not run before the running one waits."""
        task = SchedulerTask(self, fn, name)
        self.tasks.append(task)
        self._ready.append(task)
        return task

    def forget(self, sock: socket.socket) -> None:
        """Do nothing: sockets are checked again each time."""

    def close_socket(self, sock: socket.socket) -> None:
        """Close it."""
        sock.close()

    def current(self) -> object:
        """Return the running task, or "main" for the test itself."""
        return self._running or "main"

    # -- for tests

    def checkpoint(self) -> None:
        """Let others run, perhaps."""
        task = self._running
        if task is None:
            if self._ready or self._parked:
                self._step(inf)
            return
        self._ready.append(task)
        self.hub.switch()
        task.resume()

    def lock(self) -> SchedulerLock:
        """Make a lock with checkpoints around it."""
        return SchedulerLock(self)

    def run(self, *, seconds: float = inf) -> None:
        """Run until every task has ended, or for that much virtual time.

        Raises:
            Deadlock: Some can never end.
            BaseException: What the first task that failed raised.
        """
        end = self._time + seconds
        while any(not task.done for task in self.tasks):
            if not self._step(end):
                break
        self._raise_first_error()

    def advance(self, seconds: float) -> None:
        """Let virtual time pass for the test; tasks that can run then run."""
        self.sleep(seconds)

    def close(self) -> None:
        """End all tasks that are left, where they are."""
        while left := [task for task in self.tasks if not task.done]:
            for task in left:
                task.cancel(greenlet.GreenletExit())
                if task in self._ready:
                    self._ready.remove(task)
                self._switch(task)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Scheduler seed={self.seed} steps={len(self.trace)} {self.tasks}>"

    # -- the machine

    def _wait_until(self, what: str, is_over: Callable[[], bool], deadline: Deadline) -> bool:
        """Park the caller; whether `is_over` came before the deadline."""
        task = self._running
        if task is None:
            return self._drive_until(what, is_over, deadline)
        task.park = _Park(what, is_over, deadline)
        self._parked[task] = None
        self.hub.switch()
        task.resume()
        return task.in_time

    def _drive_until(self, what: str, is_over: Callable[[], bool], deadline: Deadline) -> bool:
        """Run tasks from the test's own code until it has what it waits for."""
        while not is_over():
            if deadline.at <= self._time:
                return False
            if not self._ready and not self._parked:
                if deadline.at == inf:
                    raise Deadlock(f"the test waits for {what}, and no task is left")
                self._time = deadline.at
            elif not self._step(deadline.at):
                self._raise_first_error()
        self._raise_first_error()
        return True

    def _raise_first_error(self) -> None:
        for task in self.tasks:
            if task.error is not None:
                error, task.error = task.error, None
                raise error

    def _step(self, end: float) -> bool:
        """Give one task a turn, or move the clock; False when the clock has reached `end`."""
        self._wake()
        upcoming = min((task.park.deadline.at for task in self._parked if task.park), default=inf)
        has_haste = upcoming < inf and self._choose(1000) < self._haste * 1000
        if not self._ready or has_haste:
            if upcoming == inf and end == inf:
                self._raise_first_error()
                raise Deadlock(f"nobody can run (seed {self.seed}): {list(self._parked)}")
            self._time = max(self._time, min(upcoming, end))
            self._wake()
            if not self._ready:
                return self._time < end
        if len(self.trace) >= self._max_steps:
            raise Deadlock(f"no end after {self._max_steps} turns (seed {self.seed})")
        self._switch(self._ready.pop(self._choose(len(self._ready))))
        return True

    def _wake(self) -> None:
        """Make the tasks ready that have what they waited for, or whose deadline has come."""
        for task in list(self._parked):
            park = task.park
            assert park is not None
            is_over = park.is_over()
            is_late = not is_over and park.deadline.at <= self._time
            if is_late and self._ready and self._choose(2):
                continue  # the timer goes off a little later: a flag may still make it
            if is_over or is_late:
                # Settled now: a flag that goes up before the turn comes is too late.
                task.in_time = is_over
                task.park = None
                del self._parked[task]
                self._ready.append(task)

    def _switch(self, task: SchedulerTask) -> None:
        self.trace.append(task.name)
        self._running = task
        try:
            task.greenlet.switch()
        finally:
            self._running = None


def _look(interest: Interest) -> tuple[bool, bool]:
    """Whether a socket can be read and written now."""
    sock, read, write = interest
    if sock.fileno() < 0:
        return read, write
    readable, writable, _ = select.select([sock] if read else [], [sock] if write else [], [], 0)
    return bool(readable), bool(writable)
