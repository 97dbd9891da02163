"""Sends orders to lanes, and reads the replies.

A lane has one order at a time. Its future ends in any thread; the reply is read by the thread that
runs the run.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pooledhttp.__version__ import __version__
from pooledhttp.bulk import worker
from pooledhttp.bulk.lanes import AnyFuture, Lanes
from pooledhttp.bulk.payloads import Call, Reply, WorkerLost, WorkerMismatch
from pooledhttp.runtime import Waiter, default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Orders"]

#: The time after which a lane tells for the first time what it has done; doubled each time.
_FIRST_SECONDS = 0.1

#: How often to check whether workers have died.
_LOOK_SECONDS = 1.0

#: How long to wait at the end for orders that are still running.
_END_SECONDS = 10.0


@dataclass(slots=True)
class _Lane:
    future: AnyFuture | None = None
    #: Bytes of results that its order may bring.
    budget: int = 0
    replies: int = 0
    #: Whether a worker keeps an engine for it.
    is_open: bool = False


class Orders:
    """Sends orders, and reads replies. For one thread at a time.

    Args:
        lanes: Where orders are done.
        count: How many lanes are used.
        run: What the run is called in workers.
        settings: The pickled settings of the run.
        seconds: How long a lane works before a reply.
    """

    def __init__(self, lanes: Lanes, count: int, run: str, settings: bytes, seconds: float) -> None:
        self._lanes = lanes
        self._run = run
        self._settings = settings
        self._seconds = seconds
        self._all = [_Lane() for _ in range(count)]
        #: Futures that have ended: filled by other threads.
        self._arrived: deque[tuple[int, AnyFuture]] = deque()
        #: The caller's wait, ended by the next reply.
        self.waiter: Waiter | None = None
        self._now = default_runtime().now
        self._looked = self._now()
        self._is_ending = False

    @property
    def has_reply(self) -> bool:
        """Whether `next_reply` has something to return."""
        return bool(self._arrived)

    @property
    def budget(self) -> int:
        """Bytes of results that all orders may bring."""
        return sum(lane.budget for lane in self._all)

    def is_out(self, lane: int) -> bool:
        """Whether a lane has an order."""
        return self._all[lane].future is not None

    def is_open(self, lane: int) -> bool:
        """Whether a worker keeps an engine for a lane."""
        return self._all[lane].is_open

    def seconds(self, lane: int) -> float:
        """Return how long the next order works: first replies come soon, for callers who watch."""
        return min(self._seconds, _FIRST_SECONDS * 2.0 ** min(self._all[lane].replies, 10))

    def send(self, number: int, order: bytes, budget: int) -> None:
        """Send an order.

        Raises:
            WorkerLost: The lane has no worker any more.
        """
        lane = self._all[number]
        call = Call(worker.run_order, __version__, self._run, number, self._settings, order)
        lane.budget, lane.is_open = budget, self._lanes.keeps
        future = lane.future = self._lanes.submit(number, call)
        future.add_done_callback(lambda done: self._arrive(number, done))

    def _arrive(self, number: int, future: AnyFuture) -> None:
        """Note that an order has ended; called in any thread."""
        self._arrived.append((number, future))
        waiter = self.waiter
        if waiter is not None:
            waiter.set()

    def next_ended(self) -> tuple[int, AnyFuture] | None:
        """Return the next order that has ended, with its lane; None when there is none."""
        while self._arrived:
            number, future = self._arrived.popleft()
            lane = self._all[number]
            if lane.future is future:  # else of a worker that was given up
                lane.future, lane.budget = None, 0
                return number, future
        return None

    def reply_of(self, number: int, future: AnyFuture) -> Reply | None:
        """Return the reply to an order; None when its worker has died.

        Raises:
            WorkerLost: It has died, and the lane has no worker any more.
            WorkerMismatch: It has no pooledhttp, or another version.
            Exception: What the worker has raised.
        """
        lane = self._all[number]
        try:
            data = future.result()
        except ModuleNotFoundError as error:
            if error.name != "pooledhttp":
                raise
            raise WorkerMismatch(
                f"a worker of {self._lanes.name} has no pooledhttp. Install {__version__} there."
            ) from error
        except BaseException as error:
            if self._is_ending or self._lanes.is_death(number, error):
                lane.is_open = False
                return None
            raise
        self._lanes.note_reply(number)
        lane.replies += 1
        reply: Reply = pickle.loads(data)
        if reply.is_halted or reply.error is not None:
            lane.is_open = False
        return reply

    def find_dead(self) -> list[int]:
        """Return lanes whose worker has died without an error, now and then.

        Raises:
            WorkerLost: No worker is left.
        """
        now = self._now()
        if now < self._looked + _LOOK_SECONDS:
            return []
        self._looked = now
        return [number for number in self._lanes.find_dead() if number < len(self._all)]

    def drop(self, number: int) -> None:
        """Forget the order of a worker that has died."""
        lane = self._all[number]
        if lane.future is not None:
            lane.future.cancel()
        lane.future, lane.budget, lane.is_open = None, 0, False

    # -- the end

    def end(self, receive: Callable[[], None]) -> None:
        """Have all orders end soon, and read the replies.

        Args:
            receive: Reads the replies that have come.
        """
        self._is_ending = True
        base = default_runtime()
        until = Deadline.after(_END_SECONDS, base.now)
        if any(lane.future is not None for lane in self._all):
            self._lanes.interrupt(self._run)
        for lane in self._all:
            if lane.future is not None and not self._lanes.keeps:
                lane.future.cancel()
        while any(lane.future is not None for lane in self._all) and not until.expired:
            waiter = self.waiter = base.waiter()
            if not self._arrived:
                waiter.wait(Deadline.after(min(until.remaining(), 0.2), base.now))
            receive()

    def close_engines(self) -> None:
        """Close the engines that workers have kept."""
        if not self._lanes.keeps:
            return
        base = default_runtime()
        futures = []
        for number, lane in enumerate(self._all):
            if lane.is_open and lane.future is None:
                with suppress(WorkerLost):
                    call = Call(worker.close_run, self._run)
                    futures.append(self._lanes.submit(number, call))
        left = len(futures)
        waiter = base.waiter()
        done: list[object] = []

        def note(future: object) -> None:
            done.append(future)
            if len(done) == left:
                waiter.set()

        for future in futures:
            future.add_done_callback(note)
        if futures:
            waiter.wait(Deadline.after(_END_SECONDS, base.now))
