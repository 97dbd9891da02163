"""A greenlet that an asyncio task drives, and that is itself what the task awaits.

A task awaits a future by few calls: `get_loop`, `add_done_callback`, `result` and `cancel`. A
`Driven` greenlet has them. So a wait needs no future, and whatever ends the wait can resume the
task at once, by the callback that the task added::

    running --park--> parked --wake (from a callback of the loop)------> running
                         |
                         '----wake_soon (from anywhere in the thread)--> running, in the next turn

The callback is taken out by the first `wake`, so each wait is ended once, whatever else comes late.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import types
from collections.abc import Callable, Generator
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pooledhttp.runtime.base import Runtime

try:
    from greenlet import getcurrent, greenlet
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "AsyncSession needs greenlet, which is not installed: pip install greenlet",
        name="greenlet",
    ) from error

__all__ = [
    "LONGEST_TIMER",
    "WAITS_OUTSIDE",
    "Driven",
    "current_driven",
    "drive",
    "getcurrent",
    "timer",
]

#: The longest timer in seconds. Later deadlines are reached by several timers in turn.
LONGEST_TIMER = 86400.0

WAITS_OUTSIDE = (
    "Synchronous code of pooledhttp would block the event loop here. Use the methods of"
    " AsyncSession and AsyncResponse that are awaited (`await session.get(...)`,"
    " `async for piece in response.aiter_content()`), or EventedRuntime.run()."
)


class Driven(greenlet):  # type: ignore[misc]  # greenlet has no types
    """A greenlet, and the future that its task awaits while the greenlet is parked.

    A task calls `get_loop`, `add_done_callback`, `result` and `cancel` of what it awaits. The
    callback that it adds is called once per wait, with no future in between.
    """

    _asyncio_future_blocking = False

    def __init__(
        self,
        fn: Callable[..., Any],
        runtime: Runtime,
        loop: asyncio.AbstractEventLoop,
        parent: greenlet,
    ) -> None:
        super().__init__(fn, parent)
        self.loop = loop
        #: The name under which `current_runtime` looks for it.
        self.pooledhttp_runtime = runtime
        self._wakeup: Callable[[object], object] | None = None
        self._wakeup_context: contextvars.Context | None = None

    @property
    def pooledhttp_task(self) -> asyncio.Task[Any] | None:
        """The task that drives it, if it runs now: what digest authentication keeps goes by it."""
        return asyncio.current_task(self.loop)

    # -- what a task calls

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which has to be that of the task."""
        return self.loop

    def add_done_callback(
        self, fn: Callable[[object], object], *, context: contextvars.Context
    ) -> None:
        """Note what resumes the task, and in which context."""
        self._wakeup = fn
        self._wakeup_context = context

    def result(self) -> None:
        """Nothing: the wait itself knows what ended it."""

    def cancel(self, msg: object = None) -> bool:
        """Wake the task. The task then raises `CancelledError`, since this returns False."""
        self.wake_soon()
        return False

    # -- waiting and waking

    def park(self) -> None:
        """Wait until woken; raises what the task raises, `CancelledError` for one."""
        self.parent.switch(self)

    def wake(self) -> None:
        """Resume the task now. Only from a callback of the loop, where no task is running."""
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None and self._wakeup_context is not None:
            self._wakeup_context.run(wakeup, self)

    def wake_soon(self) -> None:
        """Resume the task in the next turn of the loop. From anywhere in the thread of the loop."""
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            self.loop.call_soon(wakeup, self, context=self._wakeup_context)


def current_driven() -> Driven:
    """Return the greenlet that is running.

    Raises:
        RuntimeError: It is not one of ours, so there is no task that could await for it.
    """
    here = getcurrent()
    if type(here) is not Driven:
        raise RuntimeError(WAITS_OUTSIDE)
    return here


@types.coroutine
def drive(driven: Driven, args: tuple[Any, ...]) -> Generator[Any, Any, Any]:
    """Run a greenlet to its end; await in its place whenever it waits."""
    step = driven.switch(*args)
    while not driven.dead:
        try:
            if step is driven:
                driven._asyncio_future_blocking = True
                yield driven
                outcome = None
            else:
                outcome = yield from step.__await__()
        except GeneratorExit as end:
            # The coroutine is closed, as when its loop is gone: it can await nothing any more.
            while not driven.dead:
                driven.throw(end)
            raise
        except BaseException as raised:  # of any kind, cancellation first of all
            step = driven.throw(raised)
        else:
            step = driven.switch(outcome)
    return step


@contextlib.contextmanager
def timer(driven: Driven, seconds: float) -> Generator[None]:
    """Wake `driven` after so many seconds, unless the block ends before."""
    if seconds == inf:
        yield
        return
    loop = driven.loop
    handle = loop.call_later(min(seconds, LONGEST_TIMER), driven.wake)
    try:
        yield
    finally:
        handle.cancel()
