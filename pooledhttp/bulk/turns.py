"""Whose turn it is: which host starts a job when one of all jobs at once is free.

Two orders, plain bookkeeping:

- `FairTurns`: hosts that compete have equal shares of the time of all jobs. The host whose jobs
  have used the least time goes first. A slow or silent host keeps a job busy for long, and waits
  for longer until its next turn. So it holds up the others only for its own share. The time of a
  host that is slower than usual counts more, that of a faster one less.
- `OldestFirst`: the oldest item goes first, for results that are wanted in the order of the input.

A host whose job has ended keeps the turn for a while (`_TURN_SECONDS`): its connection is open.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import Generic, TypeVar

__all__ = ["Entry", "FairTurns", "Line", "OldestFirst"]

T = TypeVar("T")

#: How much more time than another a host may have used before the other has the turn.
_TURN_SECONDS = 1.0

#: The time of a host whose jobs last twice as long as usual counts four times, within these bounds.
#: So most of the items are done early.
_MOST_WEIGHT = 8.0
_LEAST_WEIGHT = 1 / 8

#: What a host is charged for a job before one has ended: with others, it has one at first.
_FIRST_CHARGE = 10.0

#: What half of the jobs take at most, before any has ended, and how much that changes with each.
_FIRST_USUAL = 0.1
_STEP = 1.03

#: What a job takes at least, for a clock that may stand still.
_LEAST_SECONDS = 1e-6

#: A rank that has fallen by less is found late.
_SMALL_STEP = 0.1

#: Hosts without jobs that are remembered. With more, those are forgotten that owe no turn.
_MOST_KEPT = 4096


class Entry(Generic[T]):
    """An item: its place in the input, its line, and the work itself."""

    __slots__ = ("charged", "index", "item", "line", "started")

    def __init__(self, index: int, line: str, item: T) -> None:
        self.index = index
        self.line = line
        self.item = item
        #: When it was started; below 0 if its line was charged nothing for it.
        self.started = -1.0
        #: The seconds that its line was charged.
        self.charged = 0.0


class Line(Generic[T]):
    """The jobs of one host: those that wait, oldest first, and how many run."""

    __slots__ = ("charge", "limit", "mean", "name", "queue", "ranked", "running", "used")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.queue: deque[Entry[T]] = deque()
        self.running = 0
        self.limit = limit
        #: Its rank among those that are ready; infinite if it is not one of them.
        self.ranked = inf
        #: The seconds that its jobs have used, weighted; what it was charged for those that run.
        self.used = 0.0
        #: How long a job lasts, as of the last ones (0 before the first has ended), and what is
        #: charged for the next.
        self.mean = 0.0
        self.charge = 0.0

    def __lt__(self, other: object) -> bool:
        """Lines of the same rank are in no order."""
        return False

    @property
    def has_room(self) -> bool:
        """Whether there is a job, and it may run."""
        return bool(self.queue) and self.running < self.limit


class OldestFirst(Generic[T]):
    """The line with the oldest item has the turn."""

    def __init__(self) -> None:
        #: (rank, index of its next item, line), for each line that may have room. Lines that have
        #: none any more, and ranks that have risen, are found when they come first.
        self.ready: list[tuple[float, int, Line[T]]] = []

    def rank(self, line: Line[T]) -> float:
        """What the lines are sorted by; the lowest is first. This is the place in the input."""
        return line.queue[0].index

    def keeps(self, line: Line[T], lowest: float) -> bool:
        """Whether a line whose job has ended has the turn, and not one of at least that rank."""
        return line.queue[0].index < lowest

    def offer(self, line: Line[T]) -> None:
        """Put a line among those that are ready, if it is."""
        if line.queue and line.running < line.limit:
            rank = self.rank(line)
            if rank < line.ranked - _SMALL_STEP:
                line.ranked = rank
                heappush(self.ready, (rank, line.queue[0].index, line))

    def choose(self, last: Line[T] | None) -> Line[T] | None:
        """Return the line whose turn it is; None if no job may start.

        Args:
            last: The one whose job has just ended; None if none has.
        """
        first = self._first()
        if last is None or last is first or not last.has_room:
            return first
        return last if first is None or self.keeps(last, first.ranked) else first

    def _first(self) -> Line[T] | None:
        ready = self.ready
        while ready:
            rank, _, line = ready[0]
            if rank != line.ranked:  # an entry with a lower rank was added since
                heappop(ready)
            elif not line.has_room:
                line.ranked = inf
                heappop(ready)
            elif rank < (rank := self.rank(line)):
                line.ranked = rank
                heapreplace(ready, (rank, line.queue[0].index, line))
            else:
                return line
        return None

    def settle(self, line: Line[T]) -> None:
        """Note that the line that was chosen has started a job."""
        ready = self.ready
        if ready and ready[0][2] is line and not line.has_room:
            line.ranked = inf
            heappop(ready)

    def join(self, name: str, limit: int) -> Line[T]:
        """Return a line for a host that has a job now."""
        return Line(name, limit)

    def leave(self, line: Line[T]) -> None:
        """Note that a line has no jobs any more."""

    def start(self, line: Line[T], entry: Entry[T], now: float) -> None:
        """Note that a job starts."""

    def end(self, line: Line[T], entry: Entry[T], now: float) -> None:
        """Note that it has ended."""


class FairTurns(OldestFirst[T]):
    """The line whose jobs have used the least time has the turn."""

    def __init__(self) -> None:
        super().__init__()
        #: Where a new line begins; a line that had no work has no credit for that either.
        self._level = 0.0
        #: What half of the jobs take at most.
        self._usual = _FIRST_USUAL
        #: Lines that have left.
        self._kept: dict[str, Line[T]] = {}

    def rank(self, line: Line[T]) -> float:
        """The time that it has used."""
        if line.used < self._level:
            line.used = self._level
        return line.used

    def keeps(self, line: Line[T], lowest: float) -> bool:
        """For a while, although the other has used less."""
        return line.used <= lowest + _TURN_SECONDS

    def settle(self, line: Line[T]) -> None:
        """No line that is ready has used much less."""
        if self._level < line.used - line.charge - _TURN_SECONDS:
            self._level = line.used - line.charge - _TURN_SECONDS
        super().settle(line)

    def join(self, name: str, limit: int) -> Line[T]:
        """It begins where it left, or where the others are."""
        line = self._kept.pop(name, None)
        if line is None:
            line = Line(name, limit)
            line.used, line.charge = self._level, _FIRST_CHARGE
        line.limit = limit
        return line

    def leave(self, line: Line[T]) -> None:
        """What is known of it is kept."""
        self._kept[line.name] = line
        if len(self._kept) > _MOST_KEPT:
            least = self._level + _TURN_SECONDS
            owing = [kept for kept in self._kept.values() if kept.used > least]
            self._kept = {kept.name: kept for kept in owing[-_MOST_KEPT // 2 :]}

    def start(self, line: Line[T], entry: Entry[T], now: float) -> None:
        """The line is charged what a job of it usually takes."""
        entry.started = now
        entry.charged = charge = line.charge
        line.used += charge

    def end(self, line: Line[T], entry: Entry[T], now: float) -> None:
        """The line is charged what it has taken."""
        if entry.started < 0.0:
            return
        seconds = max(now - entry.started, _LEAST_SECONDS)
        entry.started = -1.0
        line.mean = mean = line.mean + (seconds - line.mean) / 4 if line.mean else seconds
        self._usual = usual = self._usual * (_STEP if seconds > self._usual else 1 / _STEP)
        weight = mean / usual
        weight *= weight
        if weight > _MOST_WEIGHT:
            weight = _MOST_WEIGHT
        elif weight < _LEAST_WEIGHT:
            weight = _LEAST_WEIGHT
        line.charge = mean * weight
        line.used += seconds * weight - entry.charged
