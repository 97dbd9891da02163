"""The bulk engine: many items at once, a bounded number of them, and results as they come.

```
the caller's thread                               workers (at most `jobs`)
  input --------> Pace (queues) ----start----> perform(entry)
  caller <--take---- results    <---finish---'
```

The caller's thread hands in items, and takes results. Workers are started when there is work for
them. A worker that finishes an item takes the next one in the same step. Nothing runs ahead without
bound: `Pace` limits what is queued, and what is finished but not taken, so a caller that stops
asking stops the workers.

The caller collects all results that are there, and takes them one by one without the lock. After
some of them the pace is told, and as many items start together. Items that are submitted while
there is enough to do go to the pace together as well; a worker that finds nothing to do looks for
them first.

A `Backend` says what a worker is: a thread of its own, or a greenlet on one loop for all. See
`backends`.

A worker need not wait for the last steps of an item, such as a rename. It returns no result and
takes another item, and the result is given to `deliver`.

The engine owns its session, and with it the connections. Its backend can be halted, which reaches a
worker wherever it waits. What `perform` does with an item is not known here; it stores an
`Exception` in the result of the item that raised it, so a worker ends only when it is halted or
something else than an `Exception` is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.pacing import Entry, HostCounts, Pace
from pooledhttp.bulk.protocols import Indexed, Requester
from pooledhttp.bulk.resting import Deferred
from pooledhttp.runtime import Waiter, new_lock
from pooledhttp.timing import Deadline

__all__ = ["Engine"]

W = TypeVar("W")
R = TypeVar("R", bound=Indexed)

_index_of = attrgetter("index")

#: The pace is told of results that were taken when they are this part of `jobs`: a quarter. So many
#: starts that could be a moment earlier do no harm.
_TOLD = 4

#: The most items that are submitted and not told to the pace.
_MOST_SUBMITTED = 64

#: The caller is woken at once when this part of what it may leave untaken is there: a quarter.
_GATHERED = 4


class _IdleWorker(Generic[W]):
    """Where a worker that has no work waits to be handed some."""

    __slots__ = ("entry", "waiter")

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.entry: Entry[W] | None = None


class Engine(Generic[W, R]):
    """Runs queued items on workers of its own and keeps their results until they are taken.

    Args:
        session: Closed with the engine. It waits with the backend's runtime.
        backend: Where the workers are.
        pace: Which item starts when.
        perform: Does one item, in a worker, and returns its result; None if that comes by
            `deliver`.
    """

    counts_come_late = False
    repeated = 0

    def __init__(
        self,
        session: Requester,
        backend: Backend,
        pace: Pace[W],
        perform: Callable[[Entry[W]], R | None],
    ) -> None:
        self._backend = backend
        self._runtime = backend.runtime
        backend.at_end = session.close
        self._rest = session.rest
        self._perform = perform
        # Touched by the caller's thread only:
        #: Results that it has collected and not taken yet; they count as not taken.
        self._ready: deque[R] = deque()
        #: Results that it has taken and not told the pace of, and how many these may be.
        self._taken = 0
        self._most_taken = max(pace.jobs // _TOLD, 1)
        #: Items that the pace is not told of yet. The caller's thread appends without the lock,
        #: which is needed to take them out.
        self._submitted: deque[Entry[W]] = deque()
        self._lock = new_lock()
        # Guarded by the lock:
        self._pace = pace
        self._done: dict[int, R] = {}
        self._next = 0
        self._idle: list[_IdleWorker[W]] = []
        self._caller: Waiter | None = None
        #: Whether the caller will be woken, and whether that is at once.
        self._is_wake_due = self._is_wake_urgent = False
        self._crash: BaseException | None = None

    # -- the caller's side

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        return self.room > 0

    @property
    def room(self) -> int:
        """How many items should be read now; 0 for none."""
        # An item more or less does no harm: no lock.
        return max(self._pace.room - len(self._submitted), 0)

    @property
    def has_result(self) -> bool:
        """Whether `take` would return one."""
        if self._ready:
            return True
        with self._lock:
            return self._first_locked() is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted was taken."""
        if self._ready:
            return False
        self._settle()
        with self._lock:
            return self._pace.idle and not self._submitted

    def submit(self, entry: Entry[W]) -> None:
        """Queue the next item of the input, and start what may start."""
        submitted, pace = self._submitted, self._pace
        submitted.append(entry)
        # Looked at after that: a worker that finds nothing to do first counts as idle, and then
        # looks what was submitted. So one of the two sees it.
        if len(submitted) >= _MOST_SUBMITTED or pace.queued < pace.jobs or not pace.is_full:
            self._tell_submitted()

    def submit_all(self, entries: Sequence[Entry[W]]) -> None:
        """Queue items in the order of the input, and start what may start."""
        self._submitted.extend(entries)
        self._tell_submitted()

    def _tell_submitted(self) -> None:
        """Tell the pace of the items that were submitted, and start what may start."""
        with self._lock:
            self._tell_submitted_locked()
            is_full = self._pace.is_full
        if not is_full:  # else a worker takes it when it has ended what it does
            self._start_more()

    def _tell_submitted_locked(self) -> bool:
        """Tell the pace of the items that were submitted; returns whether there were any."""
        submitted = self._submitted
        if not submitted:
            return False
        self._pace.add_all([submitted.popleft() for _ in range(len(submitted))])
        return True

    def hosts(self) -> HostCounts:
        """Return how many hosts are in which condition."""
        with self._lock:
            return self._pace.hosts()

    def limit(self, line: str, limit: int) -> None:
        """Have a line run at most so many items from now on; any thread may call it."""
        with self._lock:
            self._pace.limit(line, limit)

    def rest(self, line: str, until: float | None) -> None:
        """Have a line rest until then at the latest; None ends it. Any thread may call it."""
        with self._lock:
            if until is None:
                self._pace.resume(line)
            else:
                self._pace.rest(line, until)

    def pause(self, line: str, until: float) -> None:
        """Have no item of a line start before then. Any thread may call it."""
        with self._lock:
            self._pace.pause(line, until)

    def put(self, result: R) -> None:
        """Queue a result that needed no work."""
        with self._lock:
            self._pace.skip()
            self._done[result.index] = result

    def take(self) -> R | None:
        """Return the next result, or `None` when none is ready.

        Raises:
            BaseException: What ended a worker, if no `Exception` (`SystemExit` from a hook).
        """
        if self._crash is not None:
            raise self._crash
        ready = self._ready
        if not ready:
            self._settle()
            self._collect()
            if not ready:
                return None
        result = ready.popleft()
        self._taken = taken = self._taken + 1
        if taken >= self._most_taken:
            self._settle()
        return result

    def _collect(self) -> None:
        """Collect the results that are there."""
        done, ready = self._done, self._ready
        if not done:  # more may come at any time
            return
        with self._lock:
            if not self._pace.ordered:
                ready.extend(done.values())
                done.clear()
                return
            while (result := done.get(self._next)) is not None:
                ready.append(result)
                del done[self._next]
                self._next += 1

    def _settle(self) -> None:
        """Tell the pace what was taken, and start what may start now."""
        taken, self._taken = self._taken, 0
        if not taken:
            return
        with self._lock:
            self._pace.take_all(taken, self._next - len(self._ready))
            is_full = self._pace.is_full
        if not is_full:
            self._start_more()

    def left(self) -> list[R]:
        """Return the results that were not taken, in the order of the input. Only when stopped."""
        with self._lock:
            found = [*self._ready, *self._done.values()]
            self._ready.clear()
            self._done.clear()
        # An interrupt of `_collect` may have left some in both.
        by_index = {result.index: result for result in found}
        return [by_index[index] for index in sorted(by_index)]

    def wait(self, seconds: float | None = None) -> None:
        """Wait until `take` has something to say, or for so long; None for no limit."""
        if self._ready:
            return
        self._settle()
        waiter = self._backend.waiter()
        with self._lock:
            if self._first_locked() is not None or self._crash is not None:
                return
            self._tell_submitted_locked()
            self._caller = waiter
            rest_ends = self._pace.rest_ends
        now = self._runtime.now
        deadline = Deadline(rest_ends, now).sooner(seconds)
        if not waiter.wait(deadline) and rest_ends <= now():
            self._start_more()

    @property
    def backend(self) -> Backend:
        """The backend: its workers are threads, or greenlets of one loop."""
        return self._backend

    def halt(self) -> None:
        """End all waits, the caller's too. Never blocks; a signal handler may call it."""
        self._backend.halt()

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self._backend.is_halted

    def stop(self) -> None:
        """Stop the workers where they are, close the session. A finalizer may call this."""
        self._backend.stop()

    # -- between the two

    def _first_locked(self) -> int | None:
        """The index of the result to be taken next, if it is there."""
        if self._pace.ordered:
            return self._next if self._next in self._done else None
        return next(iter(self._done), None)

    def _start_more(self) -> None:
        """Hand out every item that may start, to idle workers first."""
        woken: list[Waiter] = []
        entries: list[Entry[W]] = []
        with self._lock:
            self._tell_submitted_locked()
            now, idle = self._runtime.now(), self._idle
            while (entry := self._pace.start(now)) is not None:
                if idle:
                    worker = idle.pop()
                    worker.entry = entry
                    woken.append(worker.waiter)
                else:
                    entries.append(entry)
        if woken:
            self._backend.wake_workers(woken)
        for entry in entries:
            self._backend.start(partial(self._work, entry))

    # -- the side of what has the last steps of an item done; from any thread

    def deliver(self, results: Sequence[R]) -> None:
        """Hand in results of items for which `perform` returned none. Never raises or blocks."""
        with self._lock:
            self._done.update(zip(map(_index_of, results), results, strict=True))
            has_to_wake = self._caller is not None and self._first_locked() is not None
        if has_to_wake:
            self._wake_caller()

    def go_on(self, entry: Entry[W], perform: Callable[[], R | None]) -> None:
        """Have a worker go on with an item for which `perform` returned no result."""
        with self._lock:
            self._pace.restart(entry)
        with suppress(RuntimeError):  # the loop has ended: nothing is gone on with
            self._backend.start(partial(self._work, entry, perform))

    def fail(self, error: BaseException) -> None:
        """Let the caller know of an error that ends the run."""
        with self._lock:
            self._crash = error
        self._wake_caller()

    # -- a worker's side

    def _work(self, first: Entry[W], go_on: Callable[[], R | None] | None = None) -> None:
        """Do items until halted.

        Args:
            first: The first one.
            go_on: Goes on with it, if it was begun before.
        """
        entry = first
        try:
            while True:
                self._runtime.check()
                try:
                    result = self._perform(entry) if go_on is None else go_on()
                except Deferred:
                    following = self._put_back(entry)
                else:
                    following = self._finish(entry, result)
                go_on = None
                if isinstance(following, _IdleWorker):
                    self._rest()
                    self._backend.note_idle()
                    following.waiter.wait(Deadline.never(self._runtime.now))
                    assert following.entry is not None  # every other way out of the wait raises
                    following = following.entry
                entry = following
        except BaseException as error:
            if not self._backend.is_halted:
                self.fail(error)

    def _put_back(self, entry: Entry[W]) -> Entry[W] | _IdleWorker[W]:
        """Put an item back into the queue; returns what `_finish` returns."""
        with self._lock:
            now = self._runtime.now()
            self._pace.put_back(entry, now)
            return self._placed_locked(self._pace.start(now), now)

    def _finish(self, entry: Entry[W], result: R | None) -> Entry[W] | _IdleWorker[W]:
        """End an item, and hand in its result if there is one already.

        Returns:
            The next item; or where to wait for one.
        """
        has_to_wake = is_urgent = False
        with self._lock:
            pace, now = self._pace, self._runtime.now()
            following = self._placed_locked(pace.follow(entry, now), now)
            if result is not None:
                self._done[entry.index] = result
            if self._caller is not None and self._done and self._first_locked() is not None:
                # There is room for as many results again before workers have to stop.
                is_urgent = _GATHERED * pace.finished >= pace.capacity
                has_to_wake = not (self._is_wake_urgent if is_urgent else self._is_wake_due)
                self._is_wake_due = True
                self._is_wake_urgent = self._is_wake_urgent or is_urgent
        if has_to_wake:
            self._backend.wake(self._wake_caller, is_urgent=is_urgent)
        return following

    def _placed_locked(self, entry: Entry[W] | None, now: float) -> Entry[W] | _IdleWorker[W]:
        """Return the next item, or where to wait for one if there is none."""
        if entry is None and self._tell_submitted_locked():
            entry = self._pace.start(now)
        if entry is not None:
            return entry
        idle: _IdleWorker[W] = _IdleWorker(self._runtime.waiter())
        self._idle.append(idle)
        return idle

    def _wake_caller(self) -> None:
        with self._lock:
            self._is_wake_due = self._is_wake_urgent = False
            caller, self._caller = self._caller, None
        if caller is not None:
            caller.set()
