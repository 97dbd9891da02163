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
import itertools
import logging
from collections import deque
from collections.abc import Callable, Generator
from math import inf
from typing import TYPE_CHECKING, Any

from pooledhttp.loading import explain_missing
from pooledhttp.runtime.alarms import Alarms

if TYPE_CHECKING:
    from pooledhttp.runtime.base import Runtime

with explain_missing("AsyncSession", "greenlet"):
    from greenlet import getcurrent, greenlet

__all__ = [
    "WAITS_OUTSIDE",
    "Driven",
    "Woken",
    "current_driven",
    "getcurrent",
    "timer",
]

logger = logging.getLogger(__name__)

#: Greenlets that one callback resumes. The others follow after the callbacks of other code.
MOST_RESUMED = 64

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

    __slots__ = (
        "_asyncio_future_blocking",
        "alarms",
        "back",
        "error",
        "get_loop",
        "get_runtime",
        "loop",
        "wakeup",
        "wakeup_context",
        "woken",
    )

    # `Driver` sets them all. A method that does it would be called for each new greenlet.
    _asyncio_future_blocking: bool
    loop: asyncio.AbstractEventLoop
    alarms: Alarms
    woken: Woken
    get_runtime: Callable[[], Runtime | None]
    #: Switches to the greenlet that runs the loop, with what the task is to await.
    back: Callable[[object], Any]
    #: Returns the loop. A task calls it, and `result`, for each wait, so both are written in C.
    get_loop: Callable[[], asyncio.AbstractEventLoop]
    #: Returns None: the wait itself knows what ended it.
    result = itertools.repeat(None).__next__

    wakeup: Callable[[object], object] | None
    #: Set whenever `wakeup` is; a spare greenlet must not keep the context of its last task.
    wakeup_context: Any
    #: What the function raised, once it has ended.
    error: BaseException | None

    @property
    def pooledhttp_runtime(self) -> Runtime | None:
        """The runtime of the code inside: the name under which `current_runtime` looks for it."""
        return self.get_runtime()

    @property
    def pooledhttp_task(self) -> asyncio.Task[Any] | None:
        """The task that drives it, if it runs now: what digest authentication keeps goes by it."""
        return asyncio.current_task(self.loop)

    # -- what a task calls

    def add_done_callback(
        self, fn: Callable[[object], object], *, context: contextvars.Context
    ) -> None:
        """Note what resumes the task, and in which context."""
        self.wakeup = fn
        self.wakeup_context = context

    def cancel(self, msg: object = None) -> bool:
        """Wake the task. The task then raises `CancelledError`, since this returns False."""
        self.wake_soon()
        return False

    # -- the end of the loop

    def can_end_here(self) -> bool:
        """Whether its task waits for it, and `end_task` may be called here."""
        return self.wakeup is not None and self.parent is getcurrent()

    def end_task(self) -> None:
        """Close the coroutine of the task that waits for it; the loop is closed."""
        wakeup, self.wakeup = self.wakeup, None
        task = getattr(wakeup, "__self__", None)
        if not isinstance(task, asyncio.Task):
            return
        coroutine: Any = task.get_coro()
        try:
            coroutine.close()
        except Exception as error:  # of a cleanup; the other tasks have to be closed as well
            logger.warning("Closing %r failed", coroutine, exc_info=error)

    # -- waiting and waking

    def park(self) -> None:
        """Wait until woken; raises what the task raises, `CancelledError` for one."""
        self.back(self)

    def wake(self) -> None:
        """Resume the task now. Only from a callback of the loop, where no task is running."""
        wakeup = self.wakeup
        if wakeup is not None:
            self.wakeup = None
            self.wakeup_context.run(wakeup, self)

    def wake_soon(self) -> None:
        """Resume the task in the next turn of the loop. From anywhere in the thread of the loop."""
        wakeup, self.wakeup = self.wakeup, None
        if wakeup is not None:
            self.woken.add(self, wakeup)


class Woken:
    """Greenlets that are resumed in the next turn of the loop.

    One callback of the loop serves many: a callback for each costs 170 bytecodes more.
    """

    __slots__ = ("_is_scheduled", "_loop", "_queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[tuple[Driven, Callable[[object], object]]] = deque()
        self._is_scheduled = False

    def add(self, driven: Driven, wakeup: Callable[[object], object]) -> None:
        """Resume the task of `driven` by its callback, in the next turn."""
        if not self._is_scheduled:
            self._schedule()
        self._queue.append((driven, wakeup))

    def _schedule(self) -> None:
        self._loop.call_soon(self._resume)
        self._is_scheduled = True

    def _resume(self) -> None:
        queue = self._queue
        try:
            for _ in range(min(len(queue), MOST_RESUMED)):
                driven, wakeup = queue.popleft()
                driven.wakeup_context.run(wakeup, driven)
        finally:
            self._is_scheduled = False
            if queue:
                self._schedule()


def current_driven() -> Driven:
    """Return the greenlet that is running.

    Raises:
        RuntimeError: It is not one of ours, so there is no task that could await for it.
    """
    here = getcurrent()
    if type(here) is not Driven:
        raise RuntimeError(WAITS_OUTSIDE)
    return here


@contextlib.contextmanager
def timer(driven: Driven, seconds: float) -> Generator[None]:
    """Wake `driven` after so many seconds, unless the block ends before."""
    if seconds == inf:
        yield
        return
    entry = driven.alarms.set(seconds, driven.wake)
    try:
        yield
    finally:
        driven.alarms.end(entry)
