"""Runs functions in greenlets, one function after the other in each, for the tasks of a loop.

See `driven` for how a task awaits a greenlet.
"""

from __future__ import annotations

import asyncio
import itertools
import types
import weakref
from asyncio import current_task, get_running_loop
from collections.abc import Callable, Generator
from threading import get_ident
from typing import TYPE_CHECKING, Any

from pooledhttp.runtime.alarms import Alarms
from pooledhttp.runtime.driven import Driven, Woken, getcurrent

if TYPE_CHECKING:
    from pooledhttp.runtime.base import Runtime

__all__ = ["Driver"]

#: Greenlets that are kept for the next requests of a loop; each has 16 KiB for its frames.
MOST_SPARE = 128


class Driver:
    """Runs functions in greenlets, for the tasks of one loop.

    A greenlet that has come to the end of its function takes the next one. To begin a new greenlet,
    Python maps memory for its frames; at its end, it gives the memory back.

    Args:
        runtime: The functions wait through it. Held weakly.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._get_runtime = weakref.ref(runtime)
        #: The loop to which it belongs: the first one whose task called `run`.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: The thread in which the loop runs. Greenlets cannot move to another one.
        self.thread_id = 0
        self._spare: list[Driven] = []

    def belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop that runs in the present thread.

        Raises:
            RuntimeError: It belongs to another loop.
        """
        if self.loop is not None and self.loop is not loop:
            state = "closed now" if self.loop.is_closed() else "another one"
            raise RuntimeError(
                "This AsyncSession belongs to the event loop that used it first, and that is"
                f" {state}. Make one AsyncSession per loop, inside the coroutine that runs on it."
            )
        if self.loop is None:
            self.loop = loop
            self._alarms = Alarms(loop)
            self._woken = Woken(loop)
            self._get_loop = itertools.repeat(loop).__next__
        self.thread_id = get_ident()

    @types.coroutine
    def run(self, fn: Callable[[Any], Any], argument: Any) -> Generator[Any, Any, Any]:
        """Run a function in a greenlet to its end, and await what it waits for.

        Raises:
            RuntimeError: The running loop is not the one that used this driver first.
        """
        here = getcurrent()
        spare = self._spare
        driven = spare.pop() if spare else self._new()
        # Not `get_running_loop`, which asks the system for the number of the process.
        if current_task(driven.loop) is None or driven.parent is not here:
            driven = self._brought_here(driven)
        driven.gr_context = here.gr_context  # that of the task
        step = driven.switch(fn, argument)
        while type(step) is not list:  # the list of `_run_one_by_one`
            try:
                if step is driven:
                    driven._asyncio_future_blocking = True
                    yield driven
                    outcome = None
                else:
                    outcome = yield from step.__await__()
            except GeneratorExit as end:
                # The coroutine is closed, as when its loop is gone: it can await nothing any more.
                while type(step) is not list:
                    step = driven.throw(end)
                driven.error = None
                raise
            except BaseException as raised:  # of any kind, cancellation first of all
                step = driven.throw(raised)
            else:
                step = driven.switch(outcome)
        driven.gr_context = driven.wakeup_context = None
        if len(spare) < MOST_SPARE:
            spare.append(driven)
        if step:
            return step.pop()
        error, driven.error = driven.error, None
        assert error is not None
        try:
            # Without the frame of `_run_one_by_one`, which goes on.
            raise error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            del error  # or the frame and the error refer to each other

    def drop_spare(self) -> None:
        """End the greenlets that are not in use."""
        self._spare.clear()

    def _new(self) -> Driven:
        loop = get_running_loop()
        self.belong_to(loop)
        driven = Driven(_run_one_by_one)
        driven._asyncio_future_blocking = False
        driven.loop = loop
        driven.alarms = self._alarms
        driven.woken = self._woken
        driven.get_loop = self._get_loop
        driven.get_runtime = self._get_runtime
        driven.back = getcurrent().switch
        driven.wakeup = driven.wakeup_context = driven.error = None
        driven.switch()  # its first arguments would be kept for as long as it lives
        return driven

    def _brought_here(self, driven: Driven) -> Driven:
        """Return a spare greenlet for the present one, which may be of another thread.

        Raises:
            RuntimeError: Another loop is running.
        """
        loop = get_running_loop()
        if loop is not self.loop:
            self._spare.append(driven)
            self.belong_to(loop)
        if self.thread_id != get_ident():
            self._spare.clear()
            return self._new()
        driven.parent = getcurrent()
        driven.back = getcurrent().switch
        return driven


def _run_one_by_one() -> None:
    """Run the functions that the driver gives, one after the other: what a greenlet does.

    To its driver it gives a list with what the function returned, or an empty list for an error.
    The driver empties the list. So a spare greenlet keeps nothing: not even itself, or it would
    never be freed.
    """
    done: list[Any] = []
    while True:
        fn, argument = getcurrent().back(done)
        try:
            done = [fn(argument)]
        except BaseException as error:  # of any kind: the task raises it
            getcurrent().error = error
            done = []
        fn = argument = None
