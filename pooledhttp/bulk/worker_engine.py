"""The engine of a run in one of its workers: it serves orders of the caller's process.

```
Order --> waiting items --feed--> Engine (as in a run of one process) --> results --> Reply
```

Requests go on between two orders. Nothing here writes the journal: what a transfer would record
goes home with the reply, and the caller's process records it and gives the file its name.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.choosing import open_backend
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.fetching import Exchange, Work, item_timeout
from pooledhttp.bulk.granted import GrantedPlaces, GrantedSession, LedElsewhere
from pooledhttp.bulk.halting import Halted
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.payloads import FetchItem, Moved, Order, Reply, RunSettings
from pooledhttp.bulk.portable import packed_result
from pooledhttp.bulk.rates import Rates
from pooledhttp.bulk.report import Result
from pooledhttp.bulk.results import follow_limits, make_pace
from pooledhttp.bulk.retrying import Again
from pooledhttp.pool import PoolStats
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline

__all__ = ["FetchEngine", "WorkerEngine", "name_of_process"]

#: An engine that is kept and not used is closed: its caller has died.
_IDLE_SECONDS = 60.0

#: How often to check whether the run has ended.
_LOOK_SECONDS = 1.0

#: A reply is sent early when the items that wait are fewer than this for each request at once.
_LOW_PER_JOB = 2

#: A reply with fewer results waits for more, as long as there is work.
_LEAST_SECONDS = 0.05

#: How often counters are read at most, and of how many origins.
_STATS_SECONDS = 1.0
_MOST_ORIGINS = 100

#: Results that an engine keeps while no order is there, for each request at once.
_CAPACITY_PER_JOB = 4


def name_of_process() -> str:
    """Return what this process is called in messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class WorkerEngine:
    """An engine in a worker, and the items that it has not got yet. For one thread at a time."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._base = default_runtime()
        self._rates = Rates(settings.rate)
        self._backend = open_backend(settings.engine, settings.session)
        try:
            self._places = GrantedPlaces(self._backend.runtime, settings.per_proxy, self._rates)
            self.session = GrantedSession(
                settings.session, self._places, self._backend.runtime, settings.per_proxy
            )
            self._perform = self._performer(self._backend)
        except BaseException:
            self._backend.stop()
            raise
        pace = make_pace(settings.jobs, None, False, _CAPACITY_PER_JOB)
        self.engine: Engine[Any, Any] = Engine(self.session, self._backend, pace, self._do)
        follow_limits(self.engine, self.session)
        self._pending: deque[Any] = deque()
        #: The line of each item that is here, by index.
        self._lines: dict[int, str] = {}
        self._stats_due = 0.0
        self._look_due = 0.0
        self._last_used = self._base.now()
        self._is_serving = False
        self.is_closed = False

    # -- what differs between fetch and download

    def _performer(self, backend: Backend) -> Callable[[Entry[Any]], Any]:
        raise NotImplementedError

    def _packed(self, result: Any) -> tuple[Any, int]:
        """Return what is sent back of a result, and its bytes."""
        raise NotImplementedError

    def _add_notes(self, reply: Reply) -> None:
        """Add what is not about one result."""

    # -- an order

    def serve(self, order: Order) -> Reply:
        """Work until it is time for a reply."""
        self._is_serving = True
        try:
            return self._serve(order)
        finally:
            self._last_used = self._base.now()
            self._is_serving = False

    def _serve(self, order: Order) -> Reply:
        reply = Reply()
        self._take_on(order)
        began = self._base.now()
        size = 0
        is_open = True
        try:
            while True:
                size += self._take(reply)
                now = self._base.now()
                is_open = is_open and now < began + order.seconds and size < order.most_bytes
                if is_open or order.keeps:
                    self._feed()
                if self.engine.has_result and (is_open or not order.keeps):
                    continue
                if self._is_done(order, is_open):
                    break
                if order.keeps and now > began + _LEAST_SECONDS and self._runs_dry(reply):
                    break
                self._look()
                until = began + order.seconds - now if is_open else _LOOK_SECONDS
                self.engine.wait(min(max(until, _LEAST_SECONDS), _LOOK_SECONDS))
        except Halted:
            reply.is_halted = True
            for result in self.engine.left():
                self._add(reply, result)
        except Exception as error:  # what has ended a thread of the engine: a full disk, say
            reply.error = error
        self._finish(reply, order)
        return reply

    def _is_done(self, order: Order, is_open: bool) -> bool:
        if self.engine.is_idle and (not self._pending or not is_open):
            return True
        return not is_open and order.keeps

    def _runs_dry(self, reply: Reply) -> bool:
        """Whether there is something to tell and soon nothing to do: the caller may have more."""
        if not reply.results and not reply.moved:
            return False
        return len(self._pending) < _LOW_PER_JOB * self._settings.jobs

    def _take_on(self, order: Order) -> None:
        now = self._base.now()
        for origin, limit in order.grants.items():
            self._places.grant(origin, limit)
        for origin, (rate, owed) in order.rates.items():
            self._rates.limit_host(origin, rate, owed, now)
        for item in order.items:
            self._lines[item.index] = item.line
            self._pending.append(item)

    def _feed(self) -> None:
        while self._pending and self.engine.wants_more:
            item = self._pending.popleft()
            self.engine.submit(Entry(item.index, item.line, item))

    def _take(self, reply: Reply) -> int:
        result = self.engine.take()
        return 0 if result is None else self._add(reply, result)

    def _add(self, reply: Reply, result: Any) -> int:
        self._lines.pop(result.index, None)
        if isinstance(result, Moved):
            reply.moved.append(result)
            return 0
        reply.results[result.index], size = self._packed(result)
        return size

    def _do(self, entry: Entry[Any]) -> Any:
        """Do an item, in a thread of the engine."""
        if entry.item.leg is not None:
            self.session.go_on_from(entry.item.leg)
        return self._moved_or(entry, self._perform(entry))

    def _moved_or(self, entry: Entry[Any], result: Any) -> Any:
        """Return a result, or where the item was led if that is not here."""
        if result is not None and isinstance(result.error, LedElsewhere):
            return Moved(entry.index, result.error.leg, result.attempts)
        return result

    def _finish(self, reply: Reply, order: Order) -> None:
        if not order.keeps and not reply.is_halted:
            reply.not_begun = [item.index for item in self._pending]
            for index in reply.not_begun:
                self._lines.pop(index, None)
            self._pending.clear()
        now = self._base.now()
        before = set(order.grants)
        reply.held = self._places.settle(set(self._lines.values()))
        if not order.keeps:
            reply.held = {}
        for origin in before - reply.held.keys():
            owed = self._rates.forget_host(origin, now)
            if owed:
                reply.owed[origin] = owed
        if now >= self._stats_due or not self._lines or not order.keeps or reply.is_halted:
            self._stats_due = now + _STATS_SECONDS
            reply.stats = self._stats()
        self._add_notes(reply)

    def _stats(self) -> PoolStats:
        stats = self.session.stats()
        return stats if len(stats.origins) <= _MOST_ORIGINS else PoolStats(stats.total, {})

    # -- the end

    def _look(self) -> None:
        """Halt when the run has ended: its process may have died. Looks once a second at most."""
        lease, now = self._settings.lease, self._base.now()
        if lease is None or now < self._look_due:
            return
        self._look_due = now + _LOOK_SECONDS
        if not os.path.exists(lease):
            self.halt()

    def halt(self) -> None:
        """End all waits. Never blocks."""
        self.engine.halt()

    def close(self) -> None:
        """Stop all requests and close the connections. A second call does nothing."""
        if not self.is_closed:
            self.is_closed = True
            self.engine.stop()

    def close_when_idle(self, close: Callable[[], None]) -> None:
        """Have a thread close the engine when no order comes any more."""
        runtime = self._base

        def watch() -> None:
            while not self.is_closed:
                runtime.waiter().wait(Deadline.after(_LOOK_SECONDS, runtime.now))
                if not self._is_serving:
                    self._look()
                    late = runtime.now() > self._last_used + _IDLE_SECONDS
                    if (late or self.engine.is_halted) and not self._is_serving:
                        close()

        threading.Thread(target=watch, name="pooledhttp-bulk-worker", daemon=True).start()


class FetchEngine(WorkerEngine):
    """The engine of a `fetch` in a worker."""

    def _performer(self, backend: Backend) -> Callable[[Entry[Any]], Any]:
        again = Again(self._settings.retries, only_bodies=self.session.has_retry_policy)
        exchange = Exchange(self.session, backend, item_timeout(self._settings.timeout), again)

        def perform(entry: Entry[FetchItem]) -> Result:
            item = entry.item
            return exchange(Entry(entry.index, entry.line, Work(item.job, item.store)))

        return perform

    def _packed(self, result: Result) -> tuple[bytes, int]:
        packed = packed_result(result)
        return packed, len(packed)
