"""The runtime of event loops: synchronous code in greenlets, driven by asyncio tasks.

Synchronous code runs in a greenlet. Where it has to wait, it switches to the coroutine that drives
it. The coroutine awaits in its place, and switches back when the wait is over::

    coroutine `run`, in a task        greenlet
        start ---------------------->  session.get(...)
                                          ... runtime.wait(sock)
        yield to the loop <-------------  parked
        (the loop runs other tasks)
        wake-up, or an error --------->  goes on; the error is raised out of the wait

So to asyncio there is nothing but a task that awaits: `current_task()` is right, cancelling the
task raises `CancelledError` out of the wait, and debug mode measures the truth. The greenlet runs
in the context of the task, and sees and sets the same context variables.

What a wait costs is kept small. The greenlet is itself what its task awaits (see `driven`), and a
socket is registered with the loop once, with one timer at most (see `watch` and `loop_sockets`).
"""

from __future__ import annotations

import asyncio
import socket
import types
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from math import inf
from threading import get_ident
from typing import Any, TypeVar, cast

from pooledhttp.runtime import polling, workers
from pooledhttp.runtime.alarms import LONGEST_TIMER
from pooledhttp.runtime.base import Interest
from pooledhttp.runtime.driven import (
    WAITS_OUTSIDE,
    Driven,
    current_driven,
    getcurrent,
    timer,
)
from pooledhttp.runtime.driver import Driver
from pooledhttp.runtime.fork import register_fork_reset
from pooledhttp.runtime.loop_sockets import LoopSockets
from pooledhttp.runtime.loop_waiter import LoopTask, LoopWaiter
from pooledhttp.runtime.watch import NOW, Watch
from pooledhttp.timing import Deadline, monotonic

__all__ = ["EventedRuntime"]

T = TypeVar("T")

#: How often a worker that waits for the loop looks whether its caller has gone.
LOOK_SECONDS = 0.5


class EventedRuntime(LoopSockets):
    """Waits by letting an event loop run; see `Runtime` for what each method promises.

    It belongs to the first loop on which `run` is awaited. The loop must be able to watch sockets
    (`add_reader`), as uvloop and all loops of asyncio are but the proactor loop of Windows.
    """

    name = "evented"

    now = staticmethod(monotonic)

    def __init__(self) -> None:
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Belong to no loop: the loop of the parent must not be touched in a forked child."""
        self._driver = Driver(self)
        self._watches = {}
        self._readers = None
        #: The greenlets that wait for something else than a socket.
        self.parked: set[Driven] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run synchronous code that waits through this runtime, as part of the current task.

        Args:
            fn: What to run, in a greenlet of its own.
            *args: Its arguments.

        Returns:
            What `fn` returns. What it raises is raised.

        Raises:
            RuntimeError: Another loop has used this runtime before.
        """
        return cast(T, await self._driver.run(_call, (fn, args)))

    def in_greenlet(self, fn: Callable[[Any], T], argument: object) -> Awaitable[T]:
        """As `run`, for callers that await the result at once: it costs one coroutine less.

        Args:
            fn: What to run, in a greenlet of its own.
            argument: Its one argument.
        """
        return self._driver.run(fn, argument)

    def drop_spare(self) -> None:
        """End the greenlets that wait for further requests; the next request makes a new one."""
        self._driver.drop_spare()

    def end_waits_of_closed_loop(self) -> None:
        """End the requests that wait on a loop that was closed: nothing else would ever do it.

        Their coroutines are closed, as those of tasks that are dropped. So their leases end, and
        the stacks of their greenlets are unwound, which the garbage collector cannot do.
        """
        driver = self._driver
        if driver.loop is None or not driver.loop.is_closed() or driver.thread_id != get_ident():
            return
        while parked := [one for one in self._all_parked() if one.can_end_here()]:
            for driven in parked:
                driven.end_task()

    def _all_parked(self) -> set[Driven]:
        at_sockets = {
            one for watch in self._watches.values() for one in (watch.reader, watch.writer)
        }
        return {one for one in at_sockets if one is not None} | self.parked

    def await_here(self, awaitable: Awaitable[T]) -> T:
        """Await something from synchronous code that runs on this runtime, or on a worker of it.

        Args:
            awaitable: A coroutine, a future or anything else that can be awaited.

        Raises:
            RuntimeError: The caller does not run on a runtime of an event loop.
        """
        if _workers.runs_caller:
            return self._await_on_loop(awaitable)
        try:
            driven = current_driven()
        except RuntimeError:
            if isinstance(awaitable, types.CoroutineType):
                awaitable.close()
            raise
        if isinstance(awaitable, list):  # what a greenlet switches with at its end
            raise TypeError("a list cannot be awaited")
        return cast(T, driven.back(awaitable))

    def _await_on_loop(self, awaitable: Awaitable[T]) -> T:
        """Have the loop await something while a worker thread waits for it."""
        loop, coroutine = self.loop, _awaited(awaitable)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # the loop is closed
            for one in (coroutine, awaitable):
                if isinstance(one, types.CoroutineType):
                    one.close()
            raise
        while not futures.wait([future], LOOK_SECONDS).done:
            if _workers.is_abandoned or loop.is_closed():
                future.cancel()
                raise asyncio.CancelledError
        return future.result()

    # -- the Protocol

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass; zero or less lets other tasks run."""
        driven = current_driven()
        loop = self.loop
        end = monotonic() + seconds
        left = seconds
        self.parked.add(driven)
        try:
            while True:
                if left > 0.0:
                    handle = loop.call_later(min(left, LONGEST_TIMER), driven.wake)
                else:
                    handle = loop.call_soon(driven.wake)  # type: ignore[assignment]
                try:
                    driven.park()
                finally:
                    handle.cancel()
                left = end - monotonic()
                if left <= 0.0:
                    return
        finally:
            self.parked.discard(driven)

    def waiter(self) -> LoopWaiter:
        """Make a flag that any thread may raise."""
        return LoopWaiter(self)

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Wait until a socket is ready; see `Runtime.wait`."""
        driven = getcurrent()
        if type(driven) is not Driven:
            raise RuntimeError(WAITS_OUTSIDE)
        watch = self._watches.get(sock.fileno())
        # Attributes that are no methods are called by a local name, which costs less.
        socket_of = _no_socket if watch is None else watch.socket
        if (
            write
            or watch is None
            or socket_of() is not sock
            or watch.reader is not None
            or not watch.is_read_registered
            or (deadline.at != inf and deadline.expired)
        ):
            return self._wait_slowly(driven, sock, read, write, deadline)
        # Nearly every wait: to read a socket that the loop knows.
        watch.reader = driven
        watch.is_readable = False
        watch.deadline = deadline
        if deadline.at < watch.timer_for:
            watch.set_timer()
        back = driven.back
        try:
            while True:
                back(driven)  # the line of `park`, without the call
                if watch.is_readable:
                    return True, False
                if deadline.expired:
                    return False, False
        finally:
            watch.reader = None

    def _wait_slowly(
        self, driven: Driven, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Do what `wait` does, in all cases."""
        fd = sock.fileno()
        if fd < 0:
            return read, write
        watch = self._watch_of(fd, sock)
        if deadline.expired:  # a look, not a wait
            return _glance(sock, read, write)
        watch.expect(driven, read, write)
        watch.deadline = deadline
        if deadline.at < watch.timer_for:
            watch.set_timer()
        try:
            while True:
                driven.park()
                readable, writable = watch.is_readable and read, watch.is_writable and write
                if readable or writable or deadline.expired:
                    break
        finally:
            watch.end_wait()
        if not (read and write):
            return readable, writable
        # One of two callbacks has ended the wait: the other would have come a moment later.
        return _glance(sock, True, True)

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        """Wait until one of several sockets is ready; see `Runtime.wait_any`."""
        driven = current_driven()
        descriptors = [sock.fileno() for sock, _, _ in interests]
        closed = [index for index, fd in enumerate(descriptors) if fd < 0]
        if closed:
            return closed
        watches: list[Watch] = []
        ready: list[int] = []
        try:
            while not deadline.expired and not ready:
                for fd, (sock, read, write) in zip(descriptors, interests, strict=True):
                    watch = self._watch_of(fd, sock)
                    watches.append(watch)
                    watch.expect(driven, read, write)
                with timer(driven, deadline.remaining()):
                    driven.park()
                ready = _glance_any(interests)
        finally:
            for watch in watches:
                watch.end_wait()
        return ready or _glance_any(interests)

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run `fn` on a worker thread, with the caller's context variables.

        A worker that calls this runs `fn` itself, as long as it takes.

        Raises:
            TimeoutError: The deadline came first; `fn` is left to itself.
        """
        if _workers.runs_caller:
            return fn()
        current_driven()
        return _workers.call(fn, deadline, self.waiter())

    def spawn(self, fn: Callable[[], None], name: str) -> LoopTask:
        """Run `fn` as a task of the loop, in a greenlet of its own.

        Raises:
            RuntimeError: The loop has not begun, is closed, or runs in another thread.
        """
        loop = self.loop
        if get_ident() != self._driver.thread_id or loop.is_closed():
            raise RuntimeError("a task can be started only in the thread of its running loop")
        ended = self.waiter()
        task = loop.create_task(self.run(fn), name=name)
        self._tasks.add(task)  # the loop itself refers to it weakly
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: ended.set())
        return LoopTask(task, ended)

    current = staticmethod(getcurrent)

    def __repr__(self) -> str:
        return "<EventedRuntime>"


def _no_socket() -> None:
    """Stand in for the weak reference of a watch that is not there."""


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _call(call: tuple[Callable[..., T], tuple[Any, ...]]) -> T:
    fn, args = call
    return fn(*args)


def _glance(sock: socket.socket, read: bool, write: bool) -> tuple[bool, bool]:
    look = polling.poll_one if polling.HAS_POLL else polling.select_one
    return look(sock, read, write, NOW)


def _glance_any(interests: Sequence[Interest]) -> list[int]:
    look = polling.poll_any if polling.HAS_POLL else polling.select_any
    return look(interests, NOW)


#: Apart from those of threads: adapters that block their thread run here, perhaps for long.
_workers = workers.Workers(32, "pooledhttp-aio")
