"""The engine of a run over several processes: items to lanes, results from them.

To `Fetch` and `Download` it is what `Engine` is in a run of one process: they put items in and take
results out, in one thread.

```
submit --> Backlog --> Orders --Order--> worker
take <--- Outcomes <--------- <--Reply---
```

`Backlog` decides what a lane gets, and `Grants` at which hosts it has places. An order is sent when
a lane has none and there is room for the results that it may bring. What a lane has not reported
when its worker dies is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from pooledhttp.bulk.backends import EngineName
from pooledhttp.bulk.backlog import MOST_LOST, Backlog, Item, LaneItems
from pooledhttp.bulk.gathered import Outcomes, WorkerCounts
from pooledhttp.bulk.grants import Grants, Limits
from pooledhttp.bulk.halting import HaltableRuntime
from pooledhttp.bulk.lanes import Lanes
from pooledhttp.bulk.options import Batches
from pooledhttp.bulk.orders import Orders
from pooledhttp.bulk.pacing import Entry, HostCounts
from pooledhttp.bulk.packing import Packer
from pooledhttp.bulk.partition import Spreader
from pooledhttp.bulk.payloads import ItemHandler, Reply, WorkerLost
from pooledhttp.bulk.protocols import Indexed, NamedBackend
from pooledhttp.bulk.urls import origin_of
from pooledhttp.pool import PoolStats
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Dispatcher"]

#: How many batches for each lane are queued at first, and at most: so far ahead is the input read.
_WINDOW_PER_LANE = 2
_MOST_PER_LANE = 16

#: How long items are gathered for an order while the input is read.
_GATHER_SECONDS = 0.05

#: The longest wait before it is looked whether workers have died.
_LOOK_SECONDS = 1.0

W = TypeVar("W")
R = TypeVar("R", bound=Indexed)


class _Executor:
    name: EngineName = "executor"
    reason: str | None = None


class Dispatcher(Generic[W, R]):
    """Does items on lanes, and keeps results until they are taken. For one thread at a time.

    Args:
        lanes: Where orders are done.
        count: How many lanes are used.
        settings: The pickled settings of the run.
        handler: Packs and unpacks.
        limits: Over all lanes.
        ordered: Whether results are taken in the order of the input.
        most_bytes: Bytes of results that are being sent, or that have arrived and are not taken.
        batches: How much a lane has at once, and when it tells what it has done.
        run: What the run is called in workers.
    """

    #: The last counters arrive while it stops.
    counts_come_late = True

    def __init__(
        self,
        lanes: Lanes,
        count: int,
        settings: bytes,
        handler: ItemHandler[W, R],
        limits: Limits,
        *,
        ordered: bool = False,
        most_bytes: int,
        batches: Batches,
        run: str,
    ) -> None:
        self._lanes = lanes
        self._handler = handler
        self._ordered = ordered
        self._batch = batches.jobs
        self._window = _WINDOW_PER_LANE * batches.jobs * count
        self._most_queued = _MOST_PER_LANE * batches.jobs * count
        #: Results taken.
        self._taken = 0
        self._most_bytes = most_bytes
        self._fair_bytes = most_bytes // count
        self._runtime = HaltableRuntime(default_runtime())
        spreader = Spreader(count, limits.at)
        self._backlog: Backlog[W] = Backlog(spreader, batches.jobs, ordered=ordered)
        self._grants = Grants(limits, spreader, self._runtime.now)
        self._orders = Orders(lanes, count, run, settings, batches.seconds)
        self._outcomes: Outcomes[R] = Outcomes(ordered=ordered)
        self._packer = Packer(handler, lanes, self._backlog, self._grants, self._outcomes)
        self._counts = WorkerCounts()
        self._error: BaseException | None = None
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
        """The name of this engine, for the results: `executor`."""
        return _Executor()

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        return self.room > 0

    @property
    def room(self) -> int:
        """How many items should be read now; 0 for none."""
        if len(self._outcomes) >= self._window:
            return 0
        ahead = min(self._window + self._taken, self._most_queued)
        return max(ahead - self._backlog.queued, 0)

    @property
    def has_result(self) -> bool:
        """Whether `take` would return one."""
        self._receive()
        return self._outcomes.first is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted was taken."""
        return self._backlog.is_empty and not len(self._outcomes)

    def submit(self, entry: Entry[W]) -> None:
        """Queue the next item of the input, and send what should not wait."""
        job = self._handler.job_of(entry.item)
        lane = self._backlog.put(Item(entry.index, entry.line, entry.item, job))
        if self._orders.has_reply:
            self._receive()
        if self._orders.is_out(lane.number):
            return
        # The input may be slow. What it gives within a moment goes in one order.
        now = self._runtime.now()
        if lane.waits_since is None:
            lane.waits_since = now
        if lane.queued >= self._batch or now > lane.waits_since + _GATHER_SECONDS:
            self._send(lane)

    def submit_all(self, entries: Sequence[Entry[W]]) -> None:
        """Queue items, in the order of the input."""
        for entry in entries:
            self.submit(entry)

    def put(self, result: R) -> None:
        """Queue a result that needed no work."""
        self._outcomes.put(result)

    def take(self) -> R | None:
        """Return the next result, or None when none is ready.

        Raises:
            WorkerLost: No worker is left.
            WorkerMismatch: A worker cannot work for this run.
            OSError: What ended the run in a worker: a full disk.
        """
        self._receive()
        result = self._outcomes.take()
        self._taken += result is not None
        if result is None:
            if self._error is not None:
                raise self._error
            self._send_all()
        elif self._was_full:
            self._send_all()
        return result

    def left(self) -> list[R]:
        """Return the results that were not taken, in the order of the input. Only when stopped."""
        return self._outcomes.take_all()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until `take` has something to say, or for so long; None for no limit."""
        now = self._runtime.now
        until = Deadline.never(now) if seconds is None else Deadline.after(seconds, now)
        while True:
            self._find_dead()
            waiter = self._orders.waiter = self._runtime.waiter()
            has_result = self._outcomes.first is not None
            if has_result or self._orders.has_reply or self._error is not None:
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
            self._handler.end()
            self._orders.end(self._receive)
            self._orders.close_engines()
        finally:
            self._runtime.close()
            self._lanes.close()

    def hosts(self) -> HostCounts:
        """Return how many hosts workers have places at; their rests and pauses are not known."""
        return HostCounts(len(self._grants), 0, 0)

    def stats(self) -> PoolStats:
        """Return the counters of all workers' pools, as of their last replies."""
        return self._counts.stats()

    def received_bytes(self) -> int:
        """Return the bytes of bodies that workers have written."""
        return self._counts.received_bytes

    # -- orders

    def _send_all(self) -> None:
        self._was_full = False
        if self._error is not None or self._is_stopped:
            return
        for lane in self._backlog.lanes:
            if lane.has_items and not self._orders.is_out(lane.number):
                self._send(lane)

    def _send(self, lane: LaneItems[W]) -> None:
        """Give a lane its next order, if there is room for what will come of it."""
        budget, most = self._room(lane)
        if budget <= 0:
            self._was_full = True
            if not (lane.out and self._grants.is_above_share(lane.number)):
                return
        items, order = self._packer.pack(lane, budget, most, self._orders.seconds(lane.number))
        if order is None:
            return
        lane.out.update((item.index, item) for item in items)
        lane.waits_since = None
        try:
            self._orders.send(lane.number, order, budget)
        except WorkerLost as error:
            self._error = self._error or error

    def _room(self, lane: LaneItems[W]) -> tuple[int, int]:
        """Return the bytes and items that an order may have now."""
        fair = self._fair_bytes
        free = self._most_bytes - self._outcomes.bytes - self._orders.budget
        if min(free, fair) >= max(fair // 4, 1) and len(self._outcomes) < self._window:
            return min(free, fair), self._batch
        # Results that wait for an earlier one hold all the room: that one has to come.
        if self._ordered and lane.has(self._outcomes.next):
            return fair, 1
        return 0, 0

    # -- replies

    def _receive(self) -> None:
        """Take in the replies that have come, and send what they make room for."""
        has_changed = False
        while (ended := self._orders.next_ended()) is not None:
            lane = self._backlog.lanes[ended[0]]
            try:
                reply = self._orders.reply_of(*ended)
                if reply is not None:
                    self._take_in(lane, reply)
                elif not self._is_stopped:
                    self._give_up(lane)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # raised by `take`, after what is ready
                self._error = self._error or error
            has_changed = True
        if has_changed:
            self._send_all()

    def _take_in(self, lane: LaneItems[W], reply: Reply) -> None:
        done = {index: lane.out[index] for index in reply.results if index in lane.out}
        works = {index: item.work for index, item in done.items()}
        for result, size in self._handler.unpack(reply, works):
            del lane.out[result.index]
            attempts = done[result.index].attempts
            if attempts:
                result = self._handler.with_attempts(result, attempts)
            self._outcomes.put(result, size)
        back = [lane.out.pop(index) for index in reply.not_begun if index in lane.out]
        self._backlog.put_back(lane, back)
        for moved in reply.moved:
            item = lane.out.pop(moved.index, None)
            if item is not None:
                item.leg = moved.leg
                item.attempts += moved.attempts
                item.line = origin_of(str(moved.leg.request.url))
                self._backlog.put(item)
        is_kept = self._lanes.keeps and not reply.is_halted
        self._grants.hold(lane.number, reply.held if is_kept else {})
        self._grants.note_owed(reply.owed)
        self._counts.note(lane.number, reply)
        if not is_kept or reply.error is not None:
            self._counts.close(lane.number)
        if reply.error is not None:
            self._error = self._error or reply.error

    # -- workers that die

    def _find_dead(self) -> None:
        try:
            for number in self._orders.find_dead():
                lane = self._backlog.lanes[number]
                if lane.out or self._orders.is_out(number):
                    self._give_up(lane)
        except WorkerLost as error:
            self._error = self._error or error

    def _give_up(self, lane: LaneItems[W]) -> None:
        """Do again what a worker had that has died."""
        self.deaths += 1
        self._orders.drop(lane.number)
        self._counts.close(lane.number)
        self._grants.hold(lane.number, {})
        out, lane.out = list(lane.out.values()), {}
        again = []
        for item in out:
            item.lost += 1
            if not item.can_be_sent_again:
                self._fail(item, "whether it was sent is not known, and it may not be sent twice")
            elif item.lost >= MOST_LOST:
                self._fail(item, f"{item.lost} workers have died with it")
            else:
                again.append(item)
        works = self._handler.again([item.work for item in again], is_gone=self._lanes.is_local)
        for item, work in zip(again, works, strict=True):
            item.work = work
            self._backlog.put_lost(lane, item)
        self.repeated += len(again)

    def _fail(self, item: Item[W], reason: str) -> None:
        error = WorkerLost(f"the worker that had this job has died: {reason}")
        self._outcomes.put(self._handler.failed(item.index, item.work, error, item.attempts))
