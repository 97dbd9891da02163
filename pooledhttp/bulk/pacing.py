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
  running, and fewer than `capacity` are held. `turns` says which line of those that may starts its
  oldest job.
- **read on**: while one line can do all that is queued, the input is read until there is work for
  `jobs` workers (for some `rounds` of them). Over several lines, or with a line that may not run as
  much, some have more to do than others, so the pace looks further for work on those: until
  `window` jobs are queued, and one more for each that has been started, `most_queued` in all.
- **order**: when results are wanted in input order, the job that is next in order may start even
  when `capacity` is reached, since the finished ones are waiting for it. It is first in its line
  and no earlier job of that line is running any more, so nothing else holds it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Generic, NamedTuple, TypeVar

from pooledhttp.bulk.turns import Entry, FairTurns, Line, OldestFirst

__all__ = ["Entry", "HostCounts", "Pace"]

T = TypeVar("T")

#: After so many items of the input it is seen how far ahead it may be read.
_LOOK_EVERY = 32


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
        window: The most that are queued at first.
        ordered: Whether finished jobs are taken in the order of the input.
        rounds: How many jobs are queued for each that may run, where one line can do all.
        most_queued: The most that are ever queued; 0 for `window`.
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
        most_queued: int = 0,
    ) -> None:
        self.jobs = jobs
        self._at_hand = min(jobs * rounds, window)
        self.per_host = jobs if per_host is None else min(per_host, jobs)
        self.capacity = max(capacity, jobs)
        self.window = window
        self._most_ahead = max(window, most_queued)
        self.ordered = ordered
        self.running = 0
        self.queued = 0
        #: Finished and not yet taken.
        self.finished = 0
        self._lines: dict[str, Line[T]] = {}
        self._turns: OldestFirst[T] = OldestFirst() if ordered else FairTurns()
        #: The line whose job has ended last, until the next one starts.
        self._last: Line[T] | None = None
        #: Limits of lines that differ from `per_host`.
        self._limits: dict[str, int] = {}
        #: Lines that rest or pause, until when; and those of which one job may run.
        self._rests: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._probed: set[str] = set()
        #: When the first of these ends; `inf` when there is none.
        self.rest_ends = inf
        self._next_taken = 0
        #: Items read so far, and how many may be queued.
        self._read = 0
        self._ahead = self._at_hand

    @property
    def idle(self) -> bool:
        """Whether nothing is queued, running or waiting to be taken."""
        return not (self.queued or self.running or self.finished)

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        return self.queued < self._ahead and self.finished < self.capacity

    @property
    def room(self) -> int:
        """How many more items should be queued; 0 for none."""
        return max(self._ahead - self.queued, 0) if self.finished < self.capacity else 0

    def _look_ahead(self) -> None:
        """Say how many jobs are queued at most, from now on."""
        if len(self._lines) == 1 and next(iter(self._lines.values())).limit >= self.jobs:
            self._ahead = self._at_hand  # it can do all
        else:
            started = self._read - self.queued
            self._ahead = min(self.window + started, self._most_ahead)

    @property
    def is_full(self) -> bool:
        """Whether as many jobs run, or wait to be taken, as may, so that none can start."""
        if self.running >= self.jobs:
            return True
        # In order, one may start beyond the capacity.
        return not self.ordered and self.running + self.finished >= self.capacity

    def hosts(self) -> HostCounts:
        """Return how many lines are in which condition."""
        at_work = sum(line.running > 0 for line in self._lines.values())
        return HostCounts(at_work, len(self._rests), len(self._pauses))

    def add(self, entry: Entry[T]) -> None:
        """Queue an item. Indexes must rise."""
        self.add_all([entry])

    def add_all(self, entries: Sequence[Entry[T]]) -> None:
        """Queue items. Indexes must rise."""
        if not entries:
            return
        lines = self._lines
        for entry in entries:
            line = lines.get(entry.line) or self._line_of(entry.line)
            was_empty = not line.queue  # else it is among those that are ready, if it may be
            line.queue.append(entry)
            if was_empty:
                self._turns.offer(line)
        self.queued += len(entries)
        before, self._read = self._read, entries[-1].index + 1
        if before // _LOOK_EVERY != self._read // _LOOK_EVERY:
            self._look_ahead()

    def start(self, now: float) -> Entry[T] | None:
        """Take the next job that may start off its queue, or return `None` when none may."""
        if self.rest_ends <= now or (self._rests and not self.running):
            self._end_rests(now)
        turns, running = self._turns, self.running
        last, self._last = self._last, None
        line = turns.choose(last) if running < self.jobs else None
        if line is not None and running + self.finished >= self.capacity:
            if not self.ordered or line.queue[0].index != self._next_taken:
                line = None
        if last is not None and last is not line:
            turns.offer(last)
        if line is None:
            return None
        entry = line.queue.popleft()
        line.running += 1
        self.running += 1
        self.queued -= 1
        turns.start(line, entry, now)
        turns.settle(line)
        return entry

    def finish(self, entry: Entry[T], now: float) -> None:
        """A started job has ended; its result waits to be taken."""
        line = self._lines[entry.line]
        self._turns.end(line, entry, now)
        self._finish(line)

    def _finish(self, line: Line[T]) -> None:
        line.running -= 1
        self.running -= 1
        self.finished += 1
        if self._last is not None:
            self._turns.offer(self._last)
            self._last = None
        if line.queue:
            self._last = line
        elif not line.running:
            self._turns.leave(line)
            del self._lines[line.name]
            if len(self._lines) == 1:
                self._look_ahead()

    def follow(self, entry: Entry[T], now: float) -> Entry[T] | None:
        """Do what `finish` and then `start` do.

        As a rule the line of the job that has ended keeps the turn. It need not be put among those
        that are ready for that.
        """
        line, turns, running = self._lines[entry.line], self._turns, self.running
        turns.end(line, entry, now)
        if (
            not line.queue
            or line.running > line.limit
            or self.rest_ends <= now
            or running > self.jobs
            or running + self.finished >= self.capacity
            or (turns.ready and not turns.keeps(line, turns.ready[0][0]))
        ):
            self._finish(line)
            return self.start(now)
        self.finished += 1
        self.queued -= 1
        following = line.queue.popleft()
        if turns.ready:
            turns.start(line, following, now)
        return following

    def restart(self, entry: Entry[T]) -> None:
        """A job that had ended is gone on with."""
        line = self._lines.get(entry.line) or self._line_of(entry.line)
        line.running += 1
        self.running += 1
        self.finished -= 1

    def skip(self) -> None:
        """An item ended without ever being queued (it was no job); its result waits to be taken."""
        self.finished += 1

    def take(self, index: int) -> None:
        """The result of this item goes to the caller."""
        self.take_all(1, index + 1)

    def take_all(self, count: int, following: int) -> None:
        """Results go to the caller.

        Args:
            count: How many.
            following: Where results are taken in order: the item of the next one.
        """
        self.finished -= count
        self._next_taken = following

    def put_back(self, entry: Entry[T], now: float) -> None:
        """A started job could not be done now; it is the next one of its line."""
        line = self._lines[entry.line]
        self._turns.end(line, entry, now)
        line.running -= 1
        self.running -= 1
        line.queue.appendleft(entry)
        self.queued += 1
        self._turns.offer(line)

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
        self._apply_rest(name)

    def resume(self, name: str) -> None:
        """End the rest of a line, or the time of its probe."""
        self._rests.pop(name, None)
        self._probed.discard(name)
        self._apply_rest(name)

    def pause(self, name: str, until: float) -> None:
        """Start no job of a line before then."""
        self._pauses[name] = max(until, self._pauses.get(name, until))
        self._apply_rest(name)

    def _end_rests(self, now: float) -> None:
        for name in [name for name, until in self._pauses.items() if until <= now]:
            del self._pauses[name]
            self._apply_rest(name)
        over = [name for name, until in self._rests.items() if until <= now]
        if self._rests and not over and self._is_idle_otherwise:
            # No other line has work: one that has some is probed now.
            over = [min(self._rests, key=lambda name: (name not in self._lines, self._rests[name]))]
        for name in over:
            del self._rests[name]
            self._probed.add(name)
            self._apply_rest(name)

    @property
    def _is_idle_otherwise(self) -> bool:
        """Whether no job runs, and none of a line that does not rest may."""
        if self.running or (self._last is not None and self._last.has_room):
            return False
        return not any(line.has_room for _, _, line in self._turns.ready)

    def _line_of(self, name: str) -> Line[T]:
        line = self._lines[name] = self._turns.join(name, self._limit_of(name))
        if len(self._lines) <= 2:
            self._look_ahead()
        return line

    def _limit_of(self, name: str) -> int:
        if name in self._rests or name in self._pauses:
            return 0
        return 1 if name in self._probed else self._limits.get(name, self.per_host)

    def _apply_rest(self, name: str) -> None:
        self.rest_ends = min(*self._rests.values(), *self._pauses.values(), inf, inf)
        self._apply_limit(name)

    def _apply_limit(self, name: str) -> None:
        line = self._lines.get(name)
        if line is not None:
            line.limit = self._limit_of(name)
            self._turns.offer(line)
            self._look_ahead()
