"""An event loop in a thread of its own, for synchronous code that does many waits at once.

    a caller's thread                  the thread of the loop
      start(fn)  ------------------->    a greenlet runs fn; its waits let the others run
      halt()     ------------------->    every wait ends with an error, greenlets end
                                         `at_end` is called, the loop is closed

The loop is private. The caller's thread may run a loop of its own, or none.

The runtime may be used outside the loop as well. A wait on any other thread blocks that thread, by
the runtime that is given as `outside`. So a step that has to block, a callback of the user's say,
can be moved to a worker thread as a whole and still use connections of the same pool. Its greenlet
waits meanwhile, so one of the two uses a connection at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from pooledhttp.runtime.base import Interest, Runtime, Task, Waiter
from pooledhttp.runtime.blocking import default_runtime
from pooledhttp.runtime.driven import Driven, getcurrent
from pooledhttp.runtime.evented import EventedRuntime
from pooledhttp.runtime.loop_waiter import LoopWaiter
from pooledhttp.timing import Deadline

__all__ = ["PrivateLoop"]

T = TypeVar("T")


class _HaltableWaiter(LoopWaiter):
    """A flag that no code begins to wait for once the loop is halted."""

    __slots__ = ("_check",)

    def __init__(self, runtime: PrivateLoop) -> None:
        super().__init__(runtime)
        self._check = runtime.check

    def wait(self, deadline: Deadline) -> bool:
        self._check()
        return super().wait(deadline)


class PrivateLoop(EventedRuntime):
    """The runtime of a loop whose daemon thread runs from the first `start` until `halt`.

    `halt` cancels what waits on the loop: `asyncio.CancelledError` is raised out of each wait under
    way, and `halted` out of each later one.

    Args:
        outside: How code on other threads waits.
        halted: The class of error that later waits raise.
        name: The name of the thread.
    """

    def __init__(self, outside: Runtime, halted: type[BaseException], name: str) -> None:
        super().__init__()
        self._outside = outside
        self._halted = halted
        self._name = name
        self._process = os.getpid()
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._thread: Task | None = None
        self._end = asyncio.Event()
        #: Whether `halt` was called.
        self.is_halted = False
        #: Called in the thread of the loop when all greenlets have ended; set it before `start`.
        self.at_end: Callable[[], None] = _nothing

    # -- from any thread

    def start(self, fn: Callable[[], None], name: str) -> None:
        """Run `fn` in a greenlet on the loop. The first call starts the loop.

        Args:
            fn: It ends by itself, or when a wait of it is cancelled.
            name: The name of its task.

        Raises:
            RuntimeError: No thread can be started, or the loop has ended.
        """
        loop = self._own_loop or self._open()
        loop.call_soon_threadsafe(self.spawn, fn, name)

    def halt(self) -> None:
        """Cancel every wait on the loop, now and from now on. Never blocks; from anywhere."""
        if self.is_halted:
            return
        self.is_halted = True
        loop = self._own_loop
        if loop is not None and self._process == os.getpid():
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._cancel_all)

    def join(self, deadline: Deadline) -> bool:
        """Wait, on another thread, for the end of the loop; False when the deadline came first."""
        if self._thread is None or self._process != os.getpid():
            return True
        return self._thread.join(deadline)

    @property
    def is_started(self) -> bool:
        """Whether there is a loop, which will call `at_end`."""
        return self._own_loop is not None

    def check(self) -> None:
        """Raise the error of later waits, if `halt` was called."""
        if self.is_halted:
            raise self._halted

    # -- in the thread of the loop

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call `fn` in the next turn of the loop."""
        self.loop.call_soon(fn)

    def call_later(self, seconds: float, fn: Callable[[], object]) -> Callable[[], None]:
        """Call `fn` after so many seconds; what is returned cancels that."""
        return self.loop.call_later(seconds, fn).cancel

    @property
    def is_in_greenlet(self) -> bool:
        """Whether the caller may wait; a callback of the loop may not."""
        return type(getcurrent()) is Driven

    def flag(self) -> LoopWaiter:
        """Make a flag for `wait_through`."""
        return LoopWaiter(self)

    def wait_through(self, flag: LoopWaiter) -> None:
        """Wait for a flag that is certain to go up, also when the loop is halted meanwhile."""
        never = Deadline.never(self.now)
        while not flag.is_set:
            with contextlib.suppress(asyncio.CancelledError):
                flag.wait(never)

    # -- from any thread

    def raise_flags(self, flags: Sequence[Waiter]) -> None:
        """Raise many flags, and wake the loop once; those of other threads are among them."""
        here: list[LoopWaiter] = []
        for flag in flags:
            if isinstance(flag, LoopWaiter):
                here.append(flag)
            else:
                flag.set()

        def wake() -> None:
            for flag in here:
                flag.set_here()

        loop = self._own_loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nothing waits
                loop.call_soon_threadsafe(wake)

    # -- the Protocol

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if type(getcurrent()) is not Driven:
            self._outside.sleep(seconds)
            return
        self.check()
        super().sleep(seconds)

    def waiter(self) -> Waiter:  # type: ignore[override]
        """Make a flag, to be waited for in the thread where it is made."""
        if type(getcurrent()) is not Driven:
            return self._outside.waiter()
        return _HaltableWaiter(self)

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Wait until a socket is ready; see `Runtime.wait`."""
        if type(getcurrent()) is not Driven:
            return self._outside.wait(sock, read, write, deadline)
        if self.is_halted:
            raise self._halted
        return super().wait(sock, read, write, deadline)

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        """Wait until one of several sockets is ready; see `Runtime.wait_any`."""
        if type(getcurrent()) is not Driven:
            return self._outside.wait_any(interests, deadline)
        self.check()
        return super().wait_any(interests, deadline)

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run `fn` on a worker thread; from another thread, as `outside` does.

        Raises:
            TimeoutError: The deadline came first; `fn` is left to itself.
        """
        if type(getcurrent()) is not Driven:
            return self._outside.call_blocking(fn, deadline)
        self.check()
        return super().call_blocking(fn, deadline)

    def __repr__(self) -> str:
        state = "halted" if self.is_halted else "running" if self._own_loop else "new"
        return f"<PrivateLoop {self._name} {state}>"

    # -- inside

    def _open(self) -> asyncio.AbstractEventLoop:
        """Start the thread."""
        # Not the proactor loop of Windows, which cannot watch sockets.
        loop = asyncio.SelectorEventLoop()
        try:
            self._thread = default_runtime().spawn(lambda: self._serve(loop), self._name)
        except BaseException:
            loop.close()
            raise
        self._own_loop = loop
        if self.is_halted:  # it was called meanwhile, and found no loop
            loop.call_soon_threadsafe(self._cancel_all)
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop; what its thread does."""
        self._driver.belong_to(loop)
        try:
            loop.run_until_complete(self._run_until_halted())
        finally:
            try:
                self.at_end()
                loop.run_until_complete(asyncio.sleep(0))  # sockets that another thread closes
            finally:
                self.drop_spare()
                loop.close()

    async def _run_until_halted(self) -> None:
        await self._end.wait()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _cancel_all(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        self._end.set()


def _nothing() -> None:
    """What a loop does at its end unless it is told otherwise."""
