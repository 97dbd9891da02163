"""A prototype of the runtime for event loops: the same Protocol, inside greenlets.

Synchronous code runs in a greenlet. When it has to wait it makes an awaitable and switches to the
coroutine that drives it, which awaits instead of it and switches back with the outcome:

    coroutine `run`            greenlet
        start ----------------->  session.get(...)
                                     ... runtime.wait(sock)
        await  <-- awaitable -----      parked
        (the loop runs others)
        result or error ------->     goes on, or the error is raised out of the wait

So to asyncio there is nothing but a task that awaits: cancelling it raises `CancelledError` inside
the wait, `current_task()` is right, and debug mode measures the truth. This one exists to prove
that the Protocol fits; it registers with the loop again for each wait, and does not cross threads
except in `Waiter.set`.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from math import inf
from typing import Any, TypeVar, cast

import pytest

from pooledhttp.runtime import Interest
from pooledhttp.timing import Deadline

# Without it, every module that imports this one is skipped, and says why.
greenlet: Any = pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

__all__ = ["EventedRuntime", "run_on_loop"]

T = TypeVar("T")


class _Driven(greenlet.greenlet):  # type: ignore[misc]
    """A greenlet whose parent is a coroutine that awaits for it."""


def _await(awaitable: Awaitable[T]) -> T:
    """Wait for something, from inside a driven greenlet."""
    here = greenlet.getcurrent()
    if not isinstance(here, _Driven) or here.parent is None:
        if isinstance(awaitable, Coroutine):
            awaitable.close()
        raise RuntimeError("this wait needs EventedRuntime.run() around it")
    return cast(T, here.parent.switch(awaitable))


def _seconds(deadline: Deadline) -> float | None:
    left = deadline.remaining()
    return None if left == inf else left


class _Waiter:
    """A flag: a boolean to read, and a future for the task that waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self.is_set = False

    def set(self) -> None:
        self.is_set = True
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def wait(self, deadline: Deadline) -> bool:
        if not self.is_set and not deadline.expired:
            if self._future is None:
                self._future = self._loop.create_future()
            if not self.is_set:  # raised by another thread before there was a future to wake
                _await(asyncio.wait([self._future], timeout=_seconds(deadline)))
        return self.is_set


class _Task:
    """An asyncio task that drives a greenlet."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def done(self) -> bool:
        return self._task.done()

    def join(self, deadline: Deadline) -> bool:
        if not self.done:
            _await(asyncio.wait([self._task], timeout=_seconds(deadline)))
        return self.done


class EventedRuntime:
    """The Protocol on the running loop. Make it, and use it, inside that loop's thread."""

    name = "evented"

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run synchronous code that waits through this runtime, as part of the current task."""
        here = greenlet.getcurrent()
        driven = _Driven(fn, here)
        driven.gr_context = here.gr_context  # context variables are the task's own
        step = driven.switch(*args)
        while not driven.dead:
            try:
                outcome = await step
            except (
                BaseException
            ) as exc:  # all of them, cancellation first of all, enter at the wait
                step = driven.throw(exc)
            else:
                step = driven.switch(outcome)
        return cast(T, step)

    def now(self) -> float:
        return self._loop.time()

    def sleep(self, seconds: float) -> None:
        _await(asyncio.sleep(max(seconds, 0.0)))

    def waiter(self) -> _Waiter:
        return _Waiter(self._loop)

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        ready = self._watch([Interest(sock, read, write)], deadline)
        return (0, True) in ready, (0, False) in ready

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        return sorted({index for index, _ in self._watch(interests, deadline)})

    def _watch(self, interests: Sequence[Interest], deadline: Deadline) -> set[tuple[int, bool]]:
        """Wait for any; what is ready, as (index, whether for reading)."""
        ready = {
            (i, r) for i, it in enumerate(interests) if it.sock.fileno() < 0 for r in (True, False)
        }
        if not ready and deadline.expired:  # a look, not a wait: do not go through the loop for it
            return _glance(interests)
        return ready or _await(self._watched(interests, deadline))

    async def _watched(
        self, interests: Sequence[Interest], deadline: Deadline
    ) -> set[tuple[int, bool]]:
        ready: set[tuple[int, bool]] = set()
        over = self._loop.create_future()

        def note(index: int, is_read: bool) -> None:
            ready.add((index, is_read))
            if not over.done():
                over.set_result(None)

        try:
            for index, (sock, read, write) in enumerate(interests):
                if read:
                    self._loop.add_reader(sock.fileno(), note, index, True)
                if write:
                    self._loop.add_writer(sock.fileno(), note, index, False)
            await asyncio.wait([over], timeout=_seconds(deadline))
        finally:
            for sock, _, _ in interests:
                self.forget(sock)
        return ready

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        finished = self.waiter()
        results: list[T] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                results.append(fn())
            except BaseException as exc:  # it is the caller's
                errors.append(exc)
            finally:
                finished.set()

        threading.Thread(target=call, name="call_blocking", daemon=True).start()
        if not finished.wait(deadline):
            raise TimeoutError("a blocking call did not return in time")
        if errors:
            raise errors[0]
        return results[0]

    def spawn(self, fn: Callable[[], None], name: str) -> _Task:
        task = self._loop.create_task(self.run(fn), name=name)
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)
        return _Task(task)

    def forget(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())

    def current(self) -> object:
        return greenlet.getcurrent()


def _glance(interests: Sequence[Interest]) -> set[tuple[int, bool]]:
    """What is ready at this moment."""
    reads = [it.sock for it in interests if it.read]
    writes = [it.sock for it in interests if it.write]
    readable, writable, _ = select.select(reads, writes, [], 0)
    return {(i, True) for i, it in enumerate(interests) if it.read and it.sock in readable} | {
        (i, False) for i, it in enumerate(interests) if it.write and it.sock in writable
    }


def run_on_loop(body: Callable[[EventedRuntime], T]) -> T:
    """Run `body(runtime)` in a greenlet on a loop of its own, in asyncio's debug mode."""

    async def main() -> T:
        runtime = EventedRuntime()
        return await runtime.run(body, runtime)

    return asyncio.run(main(), debug=True)
