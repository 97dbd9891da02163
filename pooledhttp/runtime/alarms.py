"""Calling functions at deadlines, by one timer of an event loop.

A timer of asyncio for each wait costs much when many wait: the loop compares its timers by methods
written in Python. Here a heap of tuples keeps the deadlines, and the loop has one timer, for the
earliest. Most waits end long before their deadline, and leave an empty entry behind. When more
than half of the entries are empty, they are taken out.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from math import inf

from pooledhttp.timing import monotonic

__all__ = ["LONGEST_TIMER", "Alarms"]

#: The longest timer in seconds. Later deadlines are reached by several timers in turn.
LONGEST_TIMER = 86400.0

#: So few empty entries are not worth the work.
_FEW = 64

Entry = list[Callable[[], object]]


class Alarms:
    """The deadlines of one loop; used in its thread only."""

    __slots__ = ("_count", "_heap", "_live", "_loop", "_timer", "_timer_for")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, Entry]] = []
        self._count = itertools.count()
        self._live = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = inf

    def set(self, seconds: float, fn: Callable[[], object]) -> Entry:
        """Have `fn` called in a callback of the loop; returns what `end` takes."""
        at = monotonic() + seconds
        entry = [fn]
        heapq.heappush(self._heap, (at, next(self._count), entry))
        self._live += 1
        if at < self._timer_for:
            self._set_timer()
        return entry

    def end(self, entry: Entry) -> None:
        """Do not call the function, if it has not been called; once for each `set`."""
        entry.clear()
        self._live -= 1
        if len(self._heap) > 2 * self._live + _FEW:
            self._heap = [each for each in self._heap if each[2]]
            heapq.heapify(self._heap)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_for = self._heap[0][0]
        seconds = min(max(self._timer_for - monotonic(), 0.0), LONGEST_TIMER)
        self._timer = self._loop.call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._timer_for = None, inf
        now = monotonic()
        while self._heap and (self._heap[0][0] <= now or not self._heap[0][2]):
            entry = heapq.heappop(self._heap)[2]
            if entry:
                entry[0]()
        if self._heap and self._heap[0][0] < self._timer_for:
            self._set_timer()
