"""Which job may start, and how far ahead the input is read.

Plain bookkeeping: no thread, no clock, no socket.

A line's limit is `per_host`, or less after its host has refused requests (`limit`). It is 0 while
the host rests. The rest ends when its time is over, or when no other line has work; then the limit
is 1, for a probe, until `resume` or the next `rest`. A host that has asked to be left alone for a
time rests for just as long (`pause`), and there is no probe.

A job has four states, and the pace counts how many jobs are in each:

```
input --add--> queued --start--> running --finish--> finished --take--> the caller
                (a line per host)             `------- held --------'
```

Three rules decide:

- **start**: a job may start when fewer than `jobs` are running, its line has fewer than `per_host`
  running, and fewer than `capacity` are held. Of those that may, the oldest starts. So a host with
  a long line takes its share and no more, and no job waits for ever: sooner or later each is the
  oldest.
- **read on**: the input is read until the queues hold work for `jobs` workers (for some `rounds`
  of them), counting no line further than its own limit, or hold `window` jobs in all. As a rule
  that is a few jobs ahead; only when one host fills the queues does the pace look further, for work
  on other hosts. (It never stops too early: lines that are full although they count for `jobs`
  workers keep that many busy.)
- **order**: when results are wanted in input order, the job that is next in order may start even
  when `capacity` is reached, since the finished ones are waiting for it. It is first in its line
  and no earlier job of that line is running any more, so nothing else holds it back.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Entry", "HostCounts", "Pace"]

T = TypeVar("T")


class Entry(Generic[T]):
    """An item: its place in the input, its line, and the work itself."""

    __slots__ = ("index", "item", "line")

    def __init__(self, index: int, line: str, item: T) -> None:
        self.index = index
        self.line = line
        self.item = item


class _Line(Generic[T]):
    """The jobs of one host: those that wait, oldest first, and how many run."""

    __slots__ = ("is_ready", "limit", "queue", "running")

    def __init__(self, limit: int) -> None:
        self.queue: deque[Entry[T]] = deque()
        self.running = 0
        self.limit = limit
        #: Whether it stands among those that are ready.
        self.is_ready = False


class HostCounts(NamedTuple):
    """How many hosts are in which condition.

    Args:
        at_work: Requests to them are running.
        resting: They cannot be reached, and are tried again later.
        paused: They asked for a pause by `Retry-After`.
    """

    at_work: int
    resting: int
    paused: int


class Pace(Generic[T]):
    """Keeps the queues of a bulk run and says what comes next.

    Not thread-safe: its owner holds a lock.

    Args:
        jobs: The most that run at once.
        per_host: The most that run at once in one line; `None` means no limit but `jobs`.
        capacity: The most that are running, or finished and not yet taken.
        window: The most that are queued.
        ordered: Whether finished jobs are taken in the order of the input.
        rounds: How many jobs are queued for each that may run.
    """

    def __init__(
        self,
        *,
        jobs: int,
        per_host: int | None,
        capacity: int,
        window: int,
        ordered: bool,
        rounds: int = 1,
    ) -> None:
        self.jobs = jobs
        self.rounds = rounds
        self._wanted = jobs * rounds
        self.per_host = jobs if per_host is None else min(per_host, jobs)
        self.capacity = max(capacity, jobs)
        self.window = window
        self.ordered = ordered
        self.running = 0
        self.queued = 0
        #: Finished and not yet taken.
        self.finished = 0
        #: Queued jobs, each line counted up to its own limit in each round.
        self.stock = 0
        self._lines: dict[str, _Line[T]] = {}
        #: (index of the line's first job, line) for every line that has a job and room for it.
        self._ready: list[tuple[int, str]] = []
        #: Limits of lines that differ from `per_host`.
        self._limits: dict[str, int] = {}
        #: Lines that rest or pause, until when; and those of which one job may run.
        self._rests: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._probed: set[str] = set()
        self._next_taken = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is queued, running or waiting to be taken."""
        return not (self.queued or self.running or self.finished)

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        return (
            self.stock < self._wanted
            and self.queued < self.window
            and self.finished < self.capacity
        )

    @property
    def is_full(self) -> bool:
        """Whether as many jobs run as may, so that none can start."""
        return self.running >= self.jobs

    def hosts(self) -> HostCounts:
        """Return how many lines are in which condition."""
        at_work = sum(line.running > 0 for line in self._lines.values())
        return HostCounts(at_work, len(self._rests), len(self._pauses))

    def add(self, entry: Entry[T]) -> None:
        """Queue an item. Indexes must rise."""
        line = self._lines.get(entry.line) or self._line_of(entry)
        line.queue.append(entry)
        self.queued += 1
        if len(line.queue) <= line.limit * self.rounds:
            self.stock += 1
        if line.running < line.limit:
            self._offer(entry.line, line)

    def start(self, now: float) -> Entry[T] | None:
        """Take the next job that may start off its queue, or return `None` when none may."""
        if self._rests or self._pauses:
            self._end_rests(now)
        ready = self._ready
        while True:
            if not ready or self.running >= self.jobs:
                return None
            index, name = ready[0]
            line = self._lines[name]
            if line.running < line.limit:
                break
            line.is_ready = False  # its limit was lowered after it had been put here
            heappop(ready)
        if self.running + self.finished >= self.capacity and not (
            self.ordered and index == self._next_taken
        ):
            return None
        queue = line.queue
        entry = queue.popleft()
        line.running += 1
        self.queued -= 1
        self.running += 1
        if len(queue) < line.limit * self.rounds:
            self.stock -= 1
        if queue and line.running < line.limit:
            heapreplace(ready, (queue[0].index, name))
        else:
            line.is_ready = False
            heappop(ready)
        return entry

    def finish(self, entry: Entry[T]) -> None:
        """A started job has ended; its result waits to be taken."""
        line = self._lines[entry.line]
        line.running -= 1
        self.running -= 1
        self.finished += 1
        if line.queue:
            if not line.is_ready:
                self._offer(entry.line, line)
        elif not line.running:
            del self._lines[entry.line]

    def follow(self, entry: Entry[T], now: float) -> Entry[T] | None:
        """Do what `finish` and then `start` do.

        As a rule the line of the job that has ended is full without it, and has the oldest job of
        those that may start. It need not be put among those that are ready for that.
        """
        line = self._lines[entry.line]
        queue, running = line.queue, self.running
        if (
            not queue
            or line.is_ready
            or line.running != line.limit
            or (self._ready and self._ready[0][0] < queue[0].index)
            or self._rests
            or self._pauses
            or running > self.jobs
            or running + self.finished >= self.capacity
        ):
            self.finish(entry)
            return self.start(now)
        self.finished += 1
        self.queued -= 1
        following = queue.popleft()
        if len(queue) < line.limit * self.rounds:
            self.stock -= 1
        return following

    def restart(self, entry: Entry[T]) -> None:
        """A job that had ended is gone on with."""
        line = self._line_of(entry)
        line.running += 1
        self.running += 1
        self.finished -= 1

    def skip(self) -> None:
        """An item ended without ever being queued (it was no job); its result waits to be taken."""
        self.finished += 1

    def take(self, index: int) -> None:
        """The result of this item goes to the caller."""
        self.finished -= 1
        if self.ordered:
            self._next_taken = index + 1

    def put_back(self, entry: Entry[T]) -> None:
        """A started job could not be done now; it is the next one of its line."""
        line = self._lines[entry.line]
        line.running -= 1
        self.running -= 1
        line.queue.appendleft(entry)
        self.queued += 1
        if len(line.queue) <= line.limit * self.rounds:
            self.stock += 1
        self._offer(entry.line, line)

    def limit(self, name: str, limit: int) -> None:
        """Set how many jobs of a line run at once; it is never more than `per_host`."""
        limit = min(limit, self.per_host)
        if limit == self.per_host:
            self._limits.pop(name, None)
        else:
            self._limits[name] = limit
        self._apply_limit(name)

    def rest(self, name: str, until: float) -> None:
        """Let a line rest, at the latest until then."""
        self._rests[name] = until
        self._probed.discard(name)
        self._apply_limit(name)

    def resume(self, name: str) -> None:
        """End the rest of a line, or the time of its probe."""
        self._rests.pop(name, None)
        self._probed.discard(name)
        self._apply_limit(name)

    def pause(self, name: str, until: float) -> None:
        """Start no job of a line before then."""
        self._pauses[name] = max(until, self._pauses.get(name, until))
        self._apply_limit(name)

    @property
    def rest_ends(self) -> float:
        """When the first rest or pause ends at the latest; `inf` when there is none."""
        return min(*self._rests.values(), *self._pauses.values(), inf, inf)

    def _end_rests(self, now: float) -> None:
        for name in [name for name, until in self._pauses.items() if until <= now]:
            del self._pauses[name]
            self._apply_limit(name)
        over = [name for name, until in self._rests.items() if until <= now]
        is_idle = not (self.running or any(map(self._may_run, self._ready)))
        if self._rests and not over and is_idle:
            # No other line has work: one that has some is probed now.
            over = [min(self._rests, key=lambda name: (name not in self._lines, self._rests[name]))]
        for name in over:
            del self._rests[name]
            self._probed.add(name)
            self._apply_limit(name)

    def _line_of(self, entry: Entry[T]) -> _Line[T]:
        line = self._lines.get(entry.line)
        if line is None:
            line = self._lines[entry.line] = _Line(self._limit_of(entry.line))
        return line

    def _limit_of(self, name: str) -> int:
        if name in self._rests or name in self._pauses:
            return 0
        return 1 if name in self._probed else self._limits.get(name, self.per_host)

    def _apply_limit(self, name: str) -> None:
        line = self._lines.get(name)
        if line is not None:
            waiting, limit = len(line.queue), self._limit_of(name)
            rounds = self.rounds
            self.stock += min(waiting, limit * rounds) - min(waiting, line.limit * rounds)
            line.limit = limit
            self._offer(name, line)

    def _offer(self, name: str, line: _Line[T]) -> None:
        """Put a line among those that are ready, if it is."""
        if line.queue and line.running < line.limit and not line.is_ready:
            line.is_ready = True
            heappush(self._ready, (line.queue[0].index, name))

    def _may_run(self, place: tuple[int, str]) -> bool:
        line = self._lines[place[1]]
        return line.running < line.limit
