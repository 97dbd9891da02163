"""The flag and the task that an event loop offers to code in greenlets: see `Waiter` and `Task`.

Any thread may raise the flag. The greenlets that wait for it are resumed in the thread of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

from pooledhttp.runtime.driven import WAITS_OUTSIDE, Driven, getcurrent
from pooledhttp.timing import Deadline

__all__ = ["LoopOwner", "LoopTask", "LoopWaiter"]


class LoopOwner(Protocol):
    """What a flag needs of the runtime that made it."""

    #: The greenlets that wait for something else than a socket.
    parked: set[Driven]

    def call_from_anywhere(
        self, fn: Callable[[], object], *, in_task: Callable[[], object]
    ) -> None:
        """Call `fn` in a callback of the loop, or `in_task` at once where a task is running."""


class LoopWaiter:
    """A flag that code on the loop waits for, and that anything may raise."""

    __slots__ = ("_runtime", "_waiting", "is_set")

    def __init__(self, runtime: LoopOwner) -> None:
        self._runtime = runtime
        self._waiting: list[Driven] = []
        self.is_set = False

    def set(self) -> None:
        """Raise the flag; from anywhere, never blocking."""
        self.is_set = True
        if self._waiting:
            self._runtime.call_from_anywhere(self._wake_all, in_task=self._wake_all_soon)

    def set_here(self) -> None:
        """Raise the flag in a callback of the loop."""
        self.is_set = True
        self._wake_all()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until the flag is up; False when the deadline comes first."""
        driven = getcurrent()
        if type(driven) is not Driven:
            raise RuntimeError(WAITS_OUTSIDE)
        self._waiting.append(driven)
        parked = self._runtime.parked
        parked.add(driven)
        try:
            while not self.is_set:  # looked at after `append`: another thread may have raised it
                left = deadline.remaining()
                if left == inf:
                    driven.park()
                    continue
                if left <= 0.0:
                    break
                alarm = driven.alarms.set(left, driven.wake)
                try:
                    driven.park()
                finally:
                    driven.alarms.end(alarm)
        finally:
            self._waiting.remove(driven)
            parked.discard(driven)
        return self.is_set

    def _wake_all(self) -> None:
        for driven in tuple(self._waiting):
            driven.wake()

    def _wake_all_soon(self) -> None:
        for driven in tuple(self._waiting):
            driven.wake_soon()


class LoopTask:
    """An asyncio task that drives a greenlet."""

    __slots__ = ("_ended", "_task")

    def __init__(self, task: asyncio.Task[None], ended: LoopWaiter) -> None:
        self._task = task
        self._ended = ended

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    def join(self, deadline: Deadline) -> bool:
        """Wait for its end; False when the deadline came first."""
        if not self._task.done():
            self._ended.wait(deadline)
        return self._task.done()
