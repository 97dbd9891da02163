"""A worker of a run that is spread over processes: orders come, replies go.

```
run_order --> Station --feed--> Engine (as in a run of one process) --> results
    `-- opened for a lane of a run by its first order; kept for the next one, or closed
```

A station that is kept goes on with what it has between two orders, over the connections that it
has. It is closed with its run, when nothing was asked of it for a minute, and with the process.

Nothing here writes the journal. What a transfer would record goes home with the reply, and the
caller's process records it, gives the file its name, and records that.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pooledhttp.__version__ import __version__
from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.choosing import open_backend
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.fetching import Exchange, Work, item_timeout
from pooledhttp.bulk.folder import Part, RunFolder
from pooledhttp.bulk.granted import GrantedPlaces, GrantedSession, LedElsewhere
from pooledhttp.bulk.halting import Halted
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.partition import Shard
from pooledhttp.bulk.rates import Rates
from pooledhttp.bulk.report import DownloadResult, Result
from pooledhttp.bulk.results import follow_limits, make_pace
from pooledhttp.bulk.retrying import Again
from pooledhttp.bulk.rows import Row, State, Update
from pooledhttp.bulk.transfer import Downloader
from pooledhttp.bulk.travel import (
    Downloaded,
    DownloadItem,
    FetchItem,
    Moved,
    Order,
    Reply,
    RunSettings,
    WorkerMismatch,
    dumps_portably,
    packed_download,
    packed_result,
)
from pooledhttp.bulk.workspace import Task
from pooledhttp.pool import PoolStats
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline

__all__ = ["close_run", "end_run", "halt_all", "run_order", "version_here"]

#: A station that is kept and not used is closed: its caller has died.
_IDLE_SECONDS = 60.0

#: How often a station looks whether the run still goes on.
_LOOK_SECONDS = 1.0

#: A reply is sent early when the items that wait are fewer than this for each request at once.
_LOW_PER_JOB = 2

#: A reply with fewer results waits for more, as long as there is work.
_LEAST_SECONDS = 0.05

#: Counters are read this often at most, and of so many origins.
_STATS_SECONDS = 1.0
_MOST_ORIGINS = 100

#: Results that an engine keeps while no order is there, for each request at once.
_CAPACITY_PER_JOB = 4

_Key = tuple[str, int]

_lock = threading.Lock()
_stations: dict[_Key, Station] = {}
#: Runs that have ended; an order that comes late does nothing.
_ended: deque[str] = deque(maxlen=100)


def version_here() -> str:
    """Return the version of this process's pooledhttp."""
    return __version__


def run_order(version: str, run: str, lane: int, settings: bytes, order: bytes) -> bytes:
    """Do an order, and return the reply. Called in the worker.

    Args:
        version: The caller's version of pooledhttp.
        run: Which run it is of.
        lane: Which lane of it.
        settings: The pickled `RunSettings`.
        order: The pickled `Order`.

    Raises:
        WorkerMismatch: The version here is another one, or the directory cannot be seen from here.
    """
    if version != __version__:
        raise WorkerMismatch(
            f"the worker {_here()} has pooledhttp {__version__}, and the caller {version}. Install"
            " the same version on both."
        )
    wanted: Order = pickle.loads(order)
    station = _station((run, lane), pickle.loads(settings), keeps=wanted.keeps)
    try:
        reply = station.serve(wanted)
    except BaseException:
        _close((run, lane), station)
        raise
    if not wanted.keeps or reply.is_halted or reply.error is not None:
        _close((run, lane), station)
    return dumps_portably(_portable(reply))


def end_run(run: str) -> None:
    """End what this process does for a run. Never blocks."""
    _ended.append(run)
    for (name, _), station in list(_stations.items()):
        if name == run:
            station.halt()


def close_run(run: str) -> None:
    """End what this process does for a run, and close its connections."""
    end_run(run)
    for key, station in list(_stations.items()):
        if key[0] == run:
            _close(key, station)


def halt_all() -> None:
    """End all that this process does for runs. Never blocks; a signal handler may call it."""
    for station in list(_stations.values()):
        station.halt()


def _station(key: _Key, settings: RunSettings, *, keeps: bool) -> Station:
    with _lock:
        station = _stations.get(key)
    if station is None or station.is_closed:
        station = FetchStation(settings) if settings.options is None else DownloadStation(settings)
        with _lock:
            _stations[key] = station
        if keeps:
            station.close_when_idle(partial(_close, key, station))
    if key[0] in _ended:
        station.halt()
    return station


def _close(key: _Key, station: Station) -> None:
    with _lock:
        if _stations.get(key) is station:
            del _stations[key]
    station.close()


def _portable(reply: Reply) -> Reply:
    if reply.error is not None:
        try:
            dumps_portably(reply.error)
        except Exception:  # then its text has to do
            reply.error = RuntimeError(f"{type(reply.error).__name__}: {reply.error}")
    return reply


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


class Station:
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
        self._last_used = self._base.now()
        self._is_serving = False
        self.is_closed = False

    # -- what differs between fetch and download

    def _performer(self, backend: Backend) -> Callable[[Entry[Any]], Any]:
        raise NotImplementedError

    def _packed(self, result: Any) -> tuple[Any, int]:
        """Return what goes home of a result, and its bytes."""
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
            self.engine.submit(item.index, item.line, item)

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
        result = self._perform(entry)
        if isinstance(result.error, LedElsewhere):
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
        """Halt when the run has ended; its process may have died."""
        lease = self._settings.lease
        if lease is not None and not os.path.exists(lease):
            self.halt()

    def halt(self) -> None:
        """End all waits. Never blocks."""
        self.engine.halt()

    def close(self) -> None:
        """Stop what is under way and close the connections. Doing it twice does nothing."""
        if not self.is_closed:
            self.is_closed = True
            self.engine.stop()

    def close_when_idle(self, close: Callable[[], None]) -> None:
        """Have a thread close the station when no order comes any more."""
        runtime = self._base

        def watch() -> None:
            while not self.is_closed:
                runtime.waiter().wait(Deadline.after(_LOOK_SECONDS, runtime.now))
                if not self._is_serving:
                    self._look()
                    late = runtime.now() > self._last_used + _IDLE_SECONDS
                    if (late or self.engine.is_halted) and not self._is_serving:
                        close()

        threading.Thread(target=watch, name="pooledhttp-bulk-station", daemon=True).start()


class FetchStation(Station):
    """A station of a `fetch`."""

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


class _Recorder:
    """Stands for the journal: keeps what it is told until it goes home."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._updates: dict[int, list[Update]] = {}

    def record(self, change: Update) -> int:
        with self._lock:
            self._updates.setdefault(change.id, []).append(change)
        return 0

    def commit(self, number: int | None = None) -> None:
        """Do nothing: the caller's process commits."""

    def take(self, row: int) -> list[Update]:
        with self._lock:
            return self._updates.pop(row, [])

    def take_running(self) -> list[Update]:
        """Return what is to be known of jobs that go on: with what a part can be continued."""
        with self._lock:
            found = [each[-1] for each in self._updates.values()]
            running = [update for update in found if update.state == State.RUNNING]
            for update in running:
                del self._updates[update.id]
        return running


class _WorkerFolder(RunFolder):
    """The directory of a run, in a worker: parts are written here and get no names."""

    def __init__(self, directory: str, shard: Shard | None) -> None:
        super().__init__(directory, lock=False, shard=shard)
        self.whole: dict[int, Part] = {}

    def publish(self, part: Part, name: str) -> None:
        """Keep the part for the caller's process, which gives it its name."""
        self.whole[part.row] = part


class _WorkerWorkspace:
    """What a transfer sees of a run's directory in a worker."""

    def __init__(self, directory: str, options: Options) -> None:
        self.options = options
        self.folder = _WorkerFolder(directory, options.shard)
        self.journal = _Recorder()
        self.parts: dict[int, Part] = {}
        self.not_refreshed: dict[int, str] = {}

    def rename(self, row: Row, name: str) -> Row:
        """Keep the name: the caller's process gives all names before a worker begins."""
        return row


class DownloadStation(Station):
    """A station of a `download`."""

    def _performer(self, backend: Backend) -> Callable[[Entry[Any]], Any]:
        settings = self._settings
        assert settings.directory is not None and settings.options is not None
        if settings.lease is not None and not os.path.exists(settings.lease):
            raise WorkerMismatch(
                f"the worker {_here()} does not see {settings.directory}. The directory has to be"
                " on storage that the caller and all workers share, under the same path."
            )
        self._rows: dict[int, int] = {}
        self._space = _WorkerWorkspace(settings.directory, settings.options)
        again = Again(settings.retries, only_bodies=self.session.has_retry_policy)
        self._downloader = Downloader(
            self.session, backend, self._space, item_timeout(settings.timeout), again
        )
        return partial(self._download, backend)

    def _download(self, backend: Backend, entry: Entry[DownloadItem]) -> DownloadResult:
        item = entry.item
        self._rows[entry.index] = item.row.id
        if item.part is not None:
            self._space.parts[item.row.id] = item.part
        task = Task(item.job, item.row, item.replaces, item.is_conditional)
        result = self._downloader(Entry(entry.index, entry.line, task))
        if isinstance(result.error, LedElsewhere):
            self._space.journal.take(item.row.id)
        return result

    def _add(self, reply: Reply, result: Any) -> int:
        if isinstance(result, Moved):
            self._rows.pop(result.index, None)
        return super()._add(reply, result)

    def _packed(self, result: DownloadResult) -> tuple[Downloaded, int]:
        row = self._rows.pop(result.index)
        space = self._space
        space.parts.pop(row, None)
        home = Downloaded(
            packed_download(result),
            space.journal.take(row),
            space.folder.whole.pop(row, None),
            space.not_refreshed.pop(row, None),
        )
        return home, 0

    def _add_notes(self, reply: Reply) -> None:
        reply.notes = self._space.journal.take_running()
        reply.received = self._downloader.received_bytes

    def close(self) -> None:
        """Close the engine, and the directory."""
        super().close()
        self._space.folder.close()
