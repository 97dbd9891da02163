"""The engine of a run over several processes: items to lanes, results from them.

To `Fetch` and `Download` it is what `Engine` is in a run of one process: they put items in and take
results out, in one thread.

```
submit --> Spreader --> queue of a lane, by host --Order--> worker
take   <-- done <------ results <--Reply------------------- worker
```

A lane has one order at a time, and `batch` items at most. What it has not reported when its worker
dies is done again, in smaller batches: an item that ends its workers must not take others along.

The places at a host that lanes have never exceed the limit of the run. A lane gets its share of
what the others do not have. A share that has become smaller counts as the larger one until the
worker says that no more requests are under way.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pooledhttp.__version__ import __version__
from pooledhttp.bulk import worker
from pooledhttp.bulk.backends import EngineName
from pooledhttp.bulk.engine import Indexed, NamedBackend
from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.halting import HaltableRuntime
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.lanes import AnyFuture, Lanes
from pooledhttp.bulk.options import Batches
from pooledhttp.bulk.pacing import HostCounts
from pooledhttp.bulk.partition import Spreader, share
from pooledhttp.bulk.retrying import is_idempotent
from pooledhttp.bulk.travel import (
    Call,
    Order,
    Reply,
    WorkerLost,
    WorkerMismatch,
    why_job_cannot_travel,
)
from pooledhttp.bulk.urls import origin_of
from pooledhttp.pool import PoolStats, merge_stats
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Courier", "Dispatcher", "Limits"]

#: Queued items, so many batches for each lane: how far ahead the input is read.
_WINDOW_PER_LANE = 2

#: An item that was lost with so many workers is not tried again. Batches of items that were lost
#: become smaller by this factor each time, so that the last one has one item.
_MOST_LOST = 4
_LOST_FACTOR = 8

#: The time after which a lane tells for the first time what it has done; doubled each time.
_FIRST_SECONDS = 0.1

#: How long items are gathered for an order while the input is read.
_GATHER_SECONDS = 0.05

#: How often it is looked whether workers have died.
_LOOK_SECONDS = 1.0

#: How long orders that are under way are waited for at the end.
_END_SECONDS = 10.0

W = TypeVar("W")
R = TypeVar("R", bound=Indexed)


@dataclass(slots=True)
class _Item(Generic[W]):
    """A queued item, or one that a lane has."""

    index: int
    line: str
    work: W
    job: Job
    leg: Leg | None = None
    lost: int = 0
    attempts: int = 0


class _Executor:
    name: EngineName = "executor"
    reason: str | None = None


class Courier(Protocol[W, R]):
    """What differs between `fetch` and `download`."""

    def job_of(self, work: W) -> Job:
        """Return the job of what was submitted."""

    def pack(self, index: int, line: str, work: W, leg: Leg | None) -> Any:
        """Return what goes to a worker."""

    def unpack(self, reply: Reply, works: dict[int, W]) -> list[tuple[R, int]]:
        """Return the results of a reply, each with the bytes it takes, and record them."""

    def failed(self, index: int, work: W, error: Exception, attempts: int) -> R:
        """Return the result of an item that no worker has finished."""

    def with_attempts(self, result: R, attempts: int) -> R:
        """Return a result with so many attempts more."""

    def again(self, works: list[W], *, is_gone: bool) -> list[W]:
        """Return items that a worker has died with, as they go to another one.

        Args:
            works: The items.
            is_gone: Whether it is certain that the worker does nothing any more.
        """

    def end(self) -> None:
        """Let no worker begin anything more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run, over all lanes.

    Args:
        jobs: The most requests at once.
        per_host: The most of them at one host; None for no limit.
        per_host_rate: Requests a second to one host; None for no limit.
        limit_of: Gives the limit of one host; None where all have `per_host`.
        rate_of: Gives the rate of one host; None where all have `per_host_rate`.
    """

    jobs: int
    per_host: int | None
    per_host_rate: float | None = None
    limit_of: Callable[[str], int | None] | None = None
    rate_of: Callable[[str], float | None] | None = None

    def at(self, line: str) -> int | None:
        """Return the most requests at once to a host."""
        return self.per_host if self.limit_of is None else self.limit_of(line)

    def rate_at(self, line: str) -> float | None:
        """Return the requests a second to a host."""
        return self.per_host_rate if self.rate_of is None else self.rate_of(line)


@dataclass(slots=True)
class _Lane(Generic[W]):
    number: int
    #: By line, in the order in which they get their turn.
    queues: dict[str, deque[_Item[W]]] = field(default_factory=dict)
    queued: int = 0
    #: What was lost with a worker, to be sent alone.
    lost: deque[_Item[W]] = field(default_factory=deque)
    #: What the worker has, by index.
    out: dict[int, _Item[W]] = field(default_factory=dict)
    future: AnyFuture | None = None
    #: Whether a worker keeps an engine for it.
    is_open: bool = False
    #: Since when it has items and nothing to do.
    waits_since: float | None = None
    budget: int = 0
    stats: PoolStats | None = None
    received: int = 0
    replies: int = 0


class Dispatcher(Generic[W, R]):
    """Does items on lanes, and keeps results until they are taken. For one thread at a time.

    Args:
        lanes: Where orders are done.
        count: How many lanes are used.
        settings: The pickled settings of the run.
        courier: Packs and unpacks.
        limits: Over all lanes.
        ordered: Whether results are taken in the order of the input.
        most_bytes: Bytes of results on their way, or here and not taken.
        batches: How much a lane has at once, and when it tells what it has done.
        run: What the run is called in workers.
    """

    #: The last counters come home while it stops.
    counts_come_late = True

    def __init__(
        self,
        lanes: Lanes,
        count: int,
        settings: bytes,
        courier: Courier[W, R],
        limits: Limits,
        *,
        ordered: bool = False,
        most_bytes: int,
        batches: Batches,
        run: str,
    ) -> None:
        self.run = run
        self._lanes = lanes
        self._settings = settings
        self._courier = courier
        self._limits = limits
        self._ordered = ordered
        self._most_bytes = most_bytes
        self._batch = batches.jobs
        self._seconds = batches.seconds
        self._runtime = HaltableRuntime(default_runtime())
        self._spreader = Spreader(count, limits.at)
        self._all: list[_Lane[W]] = [_Lane(number) for number in range(count)]
        self._window = _WINDOW_PER_LANE * batches.jobs * count
        #: Replies that have come: filled by other threads.
        self._arrived: deque[tuple[_Lane[W], AnyFuture]] = deque()
        self._caller: Any = None
        #: The places that lanes have at each host, by line and lane; None for no limit.
        self._granted: dict[str, dict[int, int | None]] = {}
        #: When the next request may be sent to each host that has a rate.
        self._open_at: dict[str, float] = {}
        self._done: dict[int, R] = {}
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._next = 0
        self._queued = 0
        self._error: BaseException | None = None
        self._looked = self._runtime.now()
        self._old_stats: list[PoolStats] = []
        self._old_received = 0
        self._is_stopped = False
        #: Whether an order was not sent because there was no room for its results.
        self._was_full = False
        #: Items that were given to a second worker because the first one died.
        self.repeated = 0
        #: Workers that have died.
        self.deaths = 0

    # -- as `Engine`

    @property
    def backend(self) -> NamedBackend:
        """What this is called."""
        return _Executor()

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        return self._queued < self._window and len(self._done) < self._window

    @property
    def has_result(self) -> bool:
        """Whether `take` would return one."""
        self._receive()
        return self._first() is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted was taken."""
        return not (self._queued or self._done or any(lane.out for lane in self._all))

    def submit(self, index: int, line: str, work: W) -> None:
        """Queue an item, and send what should not wait."""
        item = _Item(index, line, work, self._courier.job_of(work))
        lane = self._queue(item)
        if self._arrived:
            self._receive()
        if lane.future is not None:
            return
        # The input may be slow. What it gives within a moment goes in one order.
        now = self._runtime.now()
        if lane.waits_since is None:
            lane.waits_since = now
        if lane.queued >= self._batch or now > lane.waits_since + _GATHER_SECONDS:
            self._send(lane)

    def put(self, result: R) -> None:
        """Queue a result that needed no work."""
        self._done[result.index] = result

    def take(self) -> R | None:
        """Return the next result, or None when none is ready.

        Raises:
            WorkerLost: No worker is left.
            WorkerMismatch: A worker cannot work for this run.
            OSError: What ended the run in a worker: a full disk.
        """
        self._receive()
        index = self._first()
        if index is None:
            if self._error is not None:
                raise self._error
            self._send_all()
            return None
        result = self._done.pop(index)
        self._bytes -= self._sizes.pop(index, 0)
        self._next = index + 1
        if self._was_full:
            self._send_all()
        return result

    def left(self) -> list[R]:
        """Return the results that were not taken, in the order of the input. Only when stopped."""
        done, self._done = self._done, {}
        return [done[index] for index in sorted(done)]

    def wait(self, seconds: float | None = None) -> None:
        """Wait until `take` has something to say, or for so long; None for no limit."""
        now = self._runtime.now
        until = Deadline.never(now) if seconds is None else Deadline.after(seconds, now)
        while True:
            self._find_dead()
            waiter = self._runtime.waiter()
            self._caller = waiter
            if self._arrived or self._error is not None or self._first() is not None:
                self._runtime.check()
                return
            left = min(until.remaining(), _LOOK_SECONDS)
            if waiter.wait(Deadline.after(left, now)) or until.expired:
                return

    def halt(self) -> None:
        """End the caller's waits. Never blocks; a signal handler may call it."""
        self._runtime.halt()

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self._runtime.is_halted

    def stop(self) -> None:
        """Have all workers end what they do, take in what they tell, and free them."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._runtime.halt()
        try:
            self._courier.end()
            self._end_orders()
            self._close_stations()
        finally:
            self._runtime.close()
            self._lanes.close()

    def hosts(self) -> HostCounts:
        """Return how many hosts workers have places at; their rests and pauses are not known."""
        return HostCounts(len(self._granted), 0, 0)

    def stats(self) -> PoolStats:
        """Return the counters of all workers' pools, as far as they have come home."""
        parts = [*self._old_stats, *(lane.stats for lane in self._all if lane.stats is not None)]
        names = {name for part in parts for name in part.origins}
        origins = {
            name: merge_stats(name, [p.origins[name] for p in parts if name in p.origins], None)
            for name in names
        }
        return PoolStats(merge_stats("", [part.total for part in parts], None), origins)

    def received_bytes(self) -> int:
        """Return the bytes of bodies that workers have written."""
        return self._old_received + sum(lane.received for lane in self._all)

    # -- queues

    def _queue(self, item: _Item[W]) -> _Lane[W]:
        lane = self._all[self._spreader.place(item.line, item.job.url)]
        lane.queues.setdefault(item.line, deque()).append(item)
        lane.queued += 1
        self._queued += 1
        return lane

    def _queue_again(self, lane: _Lane[W], items: list[_Item[W]]) -> None:
        """Put items back in front, in their order."""
        for item in reversed(items):
            lane.queues.setdefault(item.line, deque()).appendleft(item)
        lane.queued += len(items)
        self._queued += len(items)

    def _first(self) -> int | None:
        if self._ordered:
            return self._next if self._next in self._done else None
        return next(iter(self._done), None)

    # -- orders

    def _send_all(self) -> None:
        self._was_full = False
        if self._error is not None or self._is_stopped:
            return
        for lane in self._all:
            if lane.future is None and (lane.queued or lane.lost or lane.out):
                self._send(lane)

    def _send(self, lane: _Lane[W]) -> None:
        """Give a lane its next order, if there is room for what will come of it."""
        budget, most = self._room(lane)
        if budget <= 0:
            self._was_full = True
            if not self._has_too_much(lane):
                return
        items, order = self._order(lane, budget, most)
        if order is None:
            return
        call = Call(worker.run_order, __version__, self.run, lane.number, self._settings, order)
        lane.out.update((item.index, item) for item in items)
        lane.budget = budget
        lane.is_open, lane.waits_since = self._lanes.keeps, None
        try:
            future = lane.future = self._lanes.submit(lane.number, call)
        except WorkerLost as error:
            self._error = self._error or error
            return
        future.add_done_callback(lambda done: self._arrive(lane, done))

    def _room(self, lane: _Lane[W]) -> tuple[int, int]:
        """Return the bytes and items that an order may have now."""
        fair = self._most_bytes // len(self._all)
        free = self._most_bytes - self._bytes - sum(each.budget for each in self._all)
        if min(free, fair) >= max(fair // 4, 1) and len(self._done) < self._window:
            return min(free, fair), self._batch
        # Results that wait for an earlier one hold all the room: that one has to come.
        if self._ordered and self._has_next(lane):
            return fair, 1
        return 0, 0

    def _has_next(self, lane: _Lane[W]) -> bool:
        if self._next in lane.out:
            return True
        if any(item.index == self._next for item in lane.lost):
            return True
        return any(queue[0].index == self._next for queue in lane.queues.values())

    def _order(self, lane: _Lane[W], budget: int, most: int) -> tuple[list[_Item[W]], bytes | None]:
        """Return the items of an order, and the order; None when there is nothing to ask for."""
        items = self._choose(lane, most)
        while items or lane.out:
            grants = self._grants_of(lane)
            packed = [
                self._courier.pack(item.index, item.line, item.work, item.leg) for item in items
            ]
            rates = self._rates_of(grants)
            # The first replies come soon, so that a caller sees something.
            seconds = min(self._seconds, _FIRST_SECONDS * 2.0 ** min(lane.replies, 10))
            order = Order(packed, grants, rates, seconds, budget, self._lanes.keeps)
            try:
                return items, self._lanes.dumps(order)
            except Exception:  # one of the items is to blame
                items = self._without_unsendable(items, packed)
        if not lane.out:
            self._hold(lane, {})
        return [], None

    def _choose(self, lane: _Lane[W], most: int) -> list[_Item[W]]:
        """Take items off the queues, from all hosts that have places in turn."""
        if lane.lost:
            return self._choose_lost(lane)
        if any(item.lost for item in lane.out.values()):
            return []
        room = min(self._batch - len(lane.out), most)
        chosen: list[_Item[W]] = []
        turns: list[str] = []
        for line in self._turns(lane, most):
            if len(turns) < room and self._grant(line, lane):
                turns.append(line)
        while room > 0 and turns:
            each = max(room // len(turns), 1)
            for line in list(turns):
                queue = lane.queues[line]
                for _ in range(min(each, len(queue), room)):
                    chosen.append(queue.popleft())
                    room -= 1
                if not queue:
                    del lane.queues[line]
                    turns.remove(line)
                elif not self._ordered:  # behind the others next time
                    lane.queues[line] = lane.queues.pop(line)
        lane.queued -= len(chosen)
        self._queued -= len(chosen)
        return chosen

    def _turns(self, lane: _Lane[W], most: int) -> list[str]:
        """Return the hosts of a lane, those first whose turn it is."""
        if not self._ordered:
            return list(lane.queues)
        first = {line: queue[0].index for line, queue in lane.queues.items()}
        if most == 1:
            return [line for line, index in first.items() if index == self._next]
        return sorted(first, key=first.__getitem__)

    def _choose_lost(self, lane: _Lane[W]) -> list[_Item[W]]:
        """Take items that were lost, alone and few at a time."""
        if lane.out:
            return []
        size = max(self._batch // _LOST_FACTOR ** lane.lost[0].lost, 1)
        chosen: list[_Item[W]] = []
        for _ in range(min(size, len(lane.lost))):
            if self._grant(lane.lost[0].line, lane):
                chosen.append(lane.lost.popleft())
            else:
                lane.lost.rotate(-1)
        self._queued -= len(chosen)
        return chosen

    def _without_unsendable(self, items: list[_Item[W]], packed: list[Any]) -> list[_Item[W]]:
        """Take out the items that cannot be pickled; each has its error as result."""
        kept = []
        for item, each in zip(items, packed, strict=True):
            try:
                self._lanes.dumps(each)
            except Exception:  # whatever its pickling raises
                error = why_job_cannot_travel(item.job, self._lanes.dumps)
                self._finish(self._courier.failed(item.index, item.work, error, 0), 0)
            else:
                kept.append(item)
        if len(kept) == len(items):
            raise AssertionError("an order of items that can be pickled cannot")
        return kept

    # -- places at hosts

    def _grant(self, line: str, lane: _Lane[W]) -> bool:
        """Give a lane its share of the places at a host; whether it has any."""
        limit = self._limits.at(line)
        has = self._granted.get(line, {})
        if limit is None:
            self._granted.setdefault(line, has)[lane.number] = None
            return True
        wanted = self._spreader.limit(line, lane.number) or 0
        others = sum(number or 0 for key, number in has.items() if key != lane.number)
        places = min(wanted, limit - others)
        held = has.get(lane.number) or 0
        if places > held:
            self._granted.setdefault(line, has)[lane.number] = places
        return bool(has.get(lane.number))

    def _has_too_much(self, lane: _Lane[W]) -> bool:
        """Whether a lane has more places at a host than its share, and others wait for them."""
        return bool(lane.out) and any(
            (has.get(lane.number) or 0) > (self._spreader.limit(line, lane.number) or 0)
            for line, has in self._granted.items()
        )

    def _grants_of(self, lane: _Lane[W]) -> dict[str, int | None]:
        """Return the places that a lane has from now on, at all hosts it has any at."""
        grants: dict[str, int | None] = {}
        for line, has in self._granted.items():
            if lane.number not in has:
                continue
            self._grant(line, lane)  # there may be more by now
            held = has[lane.number]
            wanted = self._spreader.limit(line, lane.number)
            grants[line] = held if held is None or wanted is None else min(held, max(wanted, 1))
        return grants

    def _rates_of(self, grants: dict[str, int | None]) -> dict[str, tuple[float, float]]:
        if self._limits.per_host_rate is None:
            return {}
        now = self._runtime.now()
        return {
            line: (
                share(float(self._limits.rate_at(line) or 0), len(self._spreader.places(line)), 0),
                max(self._open_at.get(line, 0.0) - now, 0.0),
            )
            for line in grants
        }

    def _hold(self, lane: _Lane[W], held: dict[str, int | None]) -> None:
        """Note the places that a lane still has, and that it has no others."""
        for line, has in list(self._granted.items()):
            if lane.number not in has:
                continue
            if line in held:
                has[lane.number] = held[line]
                continue
            del has[lane.number]
            if not has:
                del self._granted[line]

    # -- replies

    def _arrive(self, lane: _Lane[W], future: AnyFuture) -> None:
        """Note a reply; called in any thread."""
        self._arrived.append((lane, future))
        caller = self._caller
        if caller is not None:
            caller.set()

    def _receive(self) -> None:
        """Take in the replies that have come, and send what they make room for."""
        has_changed = False
        while self._arrived:
            lane, future = self._arrived.popleft()
            if lane.future is not future:
                continue  # of a worker that was given up
            lane.future, lane.budget = None, 0
            try:
                reply = self._reply(lane, future)
                if reply is not None:
                    self._take_in(lane, reply)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # raised by `take`, after what is ready
                self._error = self._error or error
            has_changed = True
        if has_changed:
            self._send_all()

    def _reply(self, lane: _Lane[W], future: AnyFuture) -> Reply | None:
        """Return the reply; None when the worker has died."""
        try:
            data = future.result()
        except ModuleNotFoundError as error:
            if error.name != "pooledhttp":
                raise
            raise WorkerMismatch(
                f"a worker of {self._lanes.name} has no pooledhttp. Install {__version__} there."
            ) from error
        except BaseException as error:
            if self._is_stopped:
                return None
            if self._lanes.is_death(lane.number, error):
                self._give_up(lane)
                return None
            raise
        self._lanes.note_reply(lane.number)
        lane.replies += 1
        reply: Reply = pickle.loads(data)
        return reply

    def _take_in(self, lane: _Lane[W], reply: Reply) -> None:
        works = {index: lane.out[index].work for index in reply.results if index in lane.out}
        legs = {index: lane.out[index].attempts for index in works}
        for result, size in self._courier.unpack(reply, works):
            del lane.out[result.index]
            self._finish(result, size, legs[result.index])
        back = [lane.out.pop(index) for index in reply.not_begun if index in lane.out]
        self._queue_again(lane, back)
        for moved in reply.moved:
            item = lane.out.pop(moved.index, None)
            if item is not None:
                item.leg = moved.leg
                item.attempts += moved.attempts
                item.line = line_of(moved.leg)
                self._queue(item)
        self._hold(lane, reply.held if self._lanes.keeps and not reply.is_halted else {})
        now = self._runtime.now()
        self._open_at.update((line, now + owed) for line, owed in reply.owed.items())
        if len(self._open_at) > 10_000:
            self._open_at = {line: at for line, at in self._open_at.items() if at > now}
        self._count(lane, reply)
        if reply.error is not None:
            self._error = self._error or reply.error

    def _count(self, lane: _Lane[W], reply: Reply) -> None:
        lane.received = reply.received
        if reply.stats is not None:
            lane.stats = reply.stats
        if not self._lanes.keeps or reply.is_halted or reply.error is not None:
            self._keep_counts(lane)

    def _keep_counts(self, lane: _Lane[W]) -> None:
        """Keep the counters of an engine that is closed."""
        lane.is_open = False
        self._old_received += lane.received
        lane.received = 0
        if lane.stats is not None:
            self._old_stats.append(lane.stats)
            lane.stats = None
        if len(self._old_stats) > 16:
            self._old_stats = [_sum_up(self._old_stats)]

    def _finish(self, result: R, size: int, attempts: int = 0) -> None:
        if attempts:
            result = self._courier.with_attempts(result, attempts)
        self._done[result.index] = result
        self._sizes[result.index] = size
        self._bytes += size

    # -- workers that die

    def _find_dead(self) -> None:
        now = self._runtime.now()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        try:
            for number in self._lanes.find_dead():
                lane = self._all[number] if number < len(self._all) else None
                if lane is not None and (lane.future is not None or lane.out):
                    if lane.future is not None:
                        lane.future.cancel()
                    lane.future, lane.budget = None, 0
                    self._give_up(lane)
        except WorkerLost as error:
            self._error = self._error or error

    def _give_up(self, lane: _Lane[W]) -> None:
        """Do again what a worker had that has died."""
        self.deaths += 1
        self._keep_counts(lane)
        self._hold(lane, {})
        out, lane.out = list(lane.out.values()), {}
        again = []
        for item in out:
            item.lost += 1
            if not _can_be_sent_again(item.job):
                self._fail(item, "whether it was sent is not known, and it may not be sent twice")
            elif item.lost >= _MOST_LOST:
                self._fail(item, f"{item.lost} workers have died with it")
            else:
                again.append(item)
        works = self._courier.again([item.work for item in again], is_gone=self._lanes.is_local)
        for item, work in zip(again, works, strict=True):
            item.work = work
            lane.lost.append(item)
        self.repeated += len(again)
        self._queued += len(again)

    def _fail(self, item: _Item[W], reason: str) -> None:
        error = WorkerLost(f"the worker that had this job has died: {reason}")
        self._finish(self._courier.failed(item.index, item.work, error, item.attempts), 0)

    # -- the end

    def _end_orders(self) -> None:
        """Have the orders that are under way end, and take in what they tell."""
        base = default_runtime()
        until = Deadline.after(_END_SECONDS, base.now)
        if any(lane.future is not None for lane in self._all):
            self._lanes.interrupt(self.run)
        for lane in self._all:
            if lane.future is not None and not self._lanes.keeps:
                lane.future.cancel()
        while any(lane.future is not None for lane in self._all) and not until.expired:
            waiter = self._caller = base.waiter()
            if not self._arrived:
                waiter.wait(Deadline.after(min(until.remaining(), 0.2), base.now))
            self._receive()

    def _close_stations(self) -> None:
        """Close the engines that workers have kept."""
        if not self._lanes.keeps:
            return
        base = default_runtime()
        waiting = []
        for lane in self._all:
            if lane.is_open and lane.future is None:
                with suppress(WorkerLost):
                    call = Call(worker.close_run, self.run)
                    waiting.append(self._lanes.submit(lane.number, call))
        left = len(waiting)
        waiter = base.waiter()
        done: list[object] = []

        def note(future: object) -> None:
            done.append(future)
            if len(done) == left:
                waiter.set()

        for future in waiting:
            future.add_done_callback(note)
        if waiting:
            waiter.wait(Deadline.after(_END_SECONDS, base.now))


def line_of(leg: Leg) -> str:
    """Return the line of the rest of a chain of redirects."""
    return origin_of(str(leg.request.url))


def _can_be_sent_again(job: Job) -> bool:
    headers = job.headers or {}
    return is_idempotent(job.method) or any(n.lower() == "idempotency-key" for n in headers)


def _sum_up(parts: list[PoolStats]) -> PoolStats:
    return PoolStats(merge_stats("", [part.total for part in parts], None), {})
