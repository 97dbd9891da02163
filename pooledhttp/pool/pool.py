"""The pool: leases of resources by key, within limits, in a fair order.

It is generic in the key and the resource. It never makes a resource: whoever gets an empty place
does that, and fills it. It knows no HTTP; what it needs to do with a resource are the callables it
is given. `acquire` looks for a place in this order:

    1  the newest idle resource of the key, if it may still be used
    2  room within the limits
    3  room made by closing an idle resource: of any key, where only the pool's limit is in the way;
       of the key itself, where the caller wants a new one
    4  the line

All decisions are made in `ledger`, under one lock that is held for microseconds. Probing, closing,
waking, telling listeners and logging come after it has been released.

**Ending a lease never waits for that lock.** A finalizer or a signal handler may end one in the
very thread that holds it. So the end is tried without waiting, and else left in a deque; every
holder looks into the deque after it has let go, and takes the lock once more if something is there.
Nothing can be lost in between: either the one who left it gets the lock on a second try, or the
holder had not yet looked.

**An exception from outside** (Ctrl-C, a cancellation) can come between any two steps of Python
code. The lock is therefore only taken in ways that leave no gap before the code that gives it back:
by `with`, and without waiting by the next step of a `for` loop over `map`, which is one step where
a call and an assignment are two. What is to be done is taken off its deque in the same way, or only
after it was done. If the books may have been left in the middle of a change, they are marked as
damaged, and the next one who holds the lock sets them right by counting.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from math import inf
from random import Random
from typing import Any, Generic, ParamSpec, TypeVar

from pooledhttp.events import ConnectionOpened, LeaseAcquired, Listeners, WaitTimedOut
from pooledhttp.exceptions import PoolClosed
from pooledhttp.pool import upkeep
from pooledhttp.pool.callers import caller_outside, timed_out
from pooledhttp.pool.census import process_census
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.forking import renew_after_fork
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.ledger import Carcass, Ledger, Verdict
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.record import UNLIMITED, Record
from pooledhttp.pool.shelf import Place, Watch
from pooledhttp.pool.stats import Advice, OriginStats, PoolStats, merge_stats
from pooledhttp.pool.sweeper import Sweeper, process_sweeper
from pooledhttp.pool.waiters import Outcome, Waiting
from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Pool"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")

_log = logging.getLogger(__name__)

#: What `map` hands to `acquire` of a lock.
_WITHOUT_WAITING = (False,)

#: Seconds between two lines in the log about connections closed because the shelf was full.
_OVERFLOW_LOG_SECONDS = 60.0

#: Records read under one holding of the lock by what walks over all of them.
_CHUNK = 128


def _marks_damage(method: Callable[P, T]) -> Callable[P, T]:
    """Have the books recounted after an exception of any kind out of a method of the pool."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except BaseException:
            args[0]._is_damaged = True  # type: ignore[attr-defined]
            raise

    return call


class Pool(Generic[K, R]):
    """Leases resources by key. Any number of threads may use it.

    Args:
        config: The settings.
        close: Closes a resource: at once, without waiting, without raising.
        runtime: How callers wait. By default they block their thread.
        limits_for: Gives the limits of a key; by default those of `config`. It must not block.
        is_alive: The probe of an idle resource before it is used again; without one, all are taken
            to be alive. It must not block.
        abandon: Lets go of a resource in a forked child, so that its peer does not notice. Without
            it the child keeps such resources open and unused.
        describe: Names a key in messages, events and statistics; without secrets.
        listeners: Who hears of events. They run in the caller's thread, outside of the lock.
        random: For lifetimes, and for choosing among equals.
        sweeper: Closes what expired while nobody uses the pool. By default the one of the process,
            if the runtime's clock is the machine's; a clock of a test's own has no use for it.
    """

    #: Tests put a lock here that tells them where threads may meet.
    _lock_type: Callable[[], Any] = staticmethod(threading.Lock)

    def __init__(
        self,
        config: PoolConfig | None = None,
        *,
        close: Callable[[R], object],
        runtime: Runtime | None = None,
        limits_for: Callable[[K], Limits] | None = None,
        is_alive: Callable[[R], bool] | None = None,
        abandon: Callable[[R], object] | None = None,
        describe: Callable[[K], str] = str,
        listeners: Listeners | None = None,
        random: Random | None = None,
        sweeper: Sweeper | None = None,
    ) -> None:
        self.config = config if config is not None else PoolConfig()
        self.runtime = runtime if runtime is not None else default_runtime()
        self.now = self.runtime.now
        self.listeners = listeners if listeners is not None else Listeners()
        self.is_watched = False
        self._close_resource = close
        self._limits_for = limits_for
        self._is_alive = is_alive
        self._abandon = abandon
        self._describe = describe
        self._random = random if random is not None else Random()
        self._serials = itertools.count(1)
        self._inherited: list[R] = []
        self._sweeper = sweeper
        if sweeper is None and abs(self.now() - default_runtime().now()) < 1.0:
            self._sweeper = process_sweeper()
        self._apply(self.config)
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        """Make the state, which a forked child makes anew."""
        self._lock = self._lock_type()
        self._ledger: Ledger[K, R] = Ledger(self.config, self.listeners, self._random, self.now())
        self._ended: deque[tuple[str, Any, Any, float | None]] = deque()
        self._is_damaged = False
        self._leak_check_at = -inf
        self._overflow_log_at = -inf

    def _apply(self, config: PoolConfig) -> None:
        self.config = config
        self._settings = object()  # another one after each change
        self._validate_after = inf if config.validate_after is None else config.validate_after
        if self._is_alive is None:
            self._validate_after = inf
        self.watches_leaks = config.leak_threshold is not None or process_census.is_on

    # -- acquiring

    def acquire(
        self, key: K, deadline: Deadline, *, careful: bool = False, fresh: bool = False
    ) -> Lease[K, R]:
        """Take an idle resource for `key`, or an empty place to put a new one.

        Args:
            key: What the resource connects to; resources are shared only between equal keys.
            deadline: When to stop waiting; the pool's `acquire_timeout` may end the wait before.
            careful: Take an idle resource only if it is young enough to be trusted: the caller
                could not repeat what it is going to do.
            fresh: Take an empty place, whatever is idle.

        Raises:
            PoolTimeout: No place became free in time. The message tells who holds them.
            PoolClosed: The pool was shut down before or while waiting.
        """
        now = self.now()
        lease = Lease(self, key, next(self._serials))
        ledger = self._ledger
        try:
            with self._lock:
                record = ledger.records.get(key)
                is_placed = (
                    record is not None
                    and not (careful or fresh)
                    and ledger.take_idle(record, lease, now)
                )
            if not is_placed:
                record = self._find_place(lease, deadline, now, careful, fresh)
            if self._ended or ledger.todo:
                self._settle()
            if lease.reused and lease.idle_seconds >= self._validate_after:
                self._validate(lease, careful)
        except BaseException:
            self._recover(lease)
            raise
        if self.watches_leaks:
            self._watch_leaks(lease)
        if self.listeners:
            self._tell_acquired(lease)
        return lease

    def _find_place(
        self, lease: Lease[K, R], deadline: Deadline, now: float, careful: bool, fresh: bool
    ) -> Record[K, R]:
        """Get a place for the lease by any of the ways but the shortest, which has been tried."""
        may_observe = careful and self._is_alive is not None
        waiting: Waiting[K, R] | None = None
        limit = deadline
        if self._is_damaged:
            self._settle()
        while True:
            verdict, record = self._seek(lease, careful, fresh, may_observe, waiting)
            if verdict is Verdict.PLACED:
                return record
            if verdict is Verdict.CLOSED:
                raise self._closed(lease.key)
            if verdict is Verdict.OBSERVE:
                may_observe = False
                if self._observe(lease):
                    return record
            elif waiting is not None:
                self._wait(record, waiting, limit)
                return record
            else:
                limit = deadline.sooner(self.config.acquire_timeout)
                left = limit.remaining()
                if left <= 0.0:
                    raise self._timed_out(record, 0.0)
                waiting = Waiting(
                    lease,
                    self.runtime.waiter(),
                    now,
                    min(self.config.patience, left / 4),
                    careful=careful,
                    fresh=fresh,
                )

    def _seek(
        self,
        lease: Lease[K, R],
        careful: bool,
        fresh: bool,
        may_observe: bool,
        waiting: Waiting[K, R] | None,
    ) -> tuple[Verdict, Record[K, R]]:
        ledger = self._ledger
        key = lease.key
        carcasses: list[Carcass[K, R]] = []
        while True:
            known = ledger.records.get(key)
            settings = self._settings
            if known is None:
                origin, limits = self._describe(key), self._limits(key)
            with self._lock:
                record = ledger.records.get(key)
                if record is None:
                    if known is not None or settings is not self._settings:
                        continue  # dropped for being quiet, or resized, between the two looks
                    record = ledger.enter(key, origin, limits, self.now())
                verdict = ledger.seek(
                    record,
                    lease,
                    self.now(),
                    carcasses,
                    careful=careful,
                    fresh=fresh,
                    may_observe=may_observe,
                    waiting=waiting,
                )
            for _, resource in carcasses:
                self._close(resource)
            self._settle()
            return verdict, record

    def _limits(self, key: K) -> Limits:
        return self.config.limits if self._limits_for is None else self._limits_for(key)

    def _observe(self, lease: Lease[K, R]) -> bool:
        """Probe the old idle resource the lease was lent; whether the lease has its place now."""
        resource = lease.resource
        assert resource is not None
        if self._probe(resource):
            with self._lock:
                self._ledger.observed_alive(lease, self.now())
            self._settle()
            return False
        self._close(resource)
        with self._lock:
            self._ledger.found_dead(lease, self.now())
        return True

    def _wait(self, record: Record[K, R], waiting: Waiting[K, R], limit: Deadline) -> None:
        """Stand in line until served.

        Whoever serves does so under the lock; the signal is only news of it. A caller whose time is
        up may have been served at the last moment: then it has its lease, and is not late.
        """
        try:
            waiting.signal.wait(limit)
            if waiting.outcome is Outcome.PENDING:
                with self._lock:
                    has_left = self._ledger.withdraw(record, waiting, self.now())
                if has_left:
                    raise self._timed_out(record, self.now() - waiting.since)
        except BaseException:
            with self._lock:
                if not self._ledger.withdraw(record, waiting, self.now()):
                    self._ledger.give_back(waiting.lease.serial, self.now())
            raise
        if waiting.outcome is Outcome.CLOSED:
            raise self._closed(record.key)

    def _validate(self, lease: Lease[K, R], careful: bool) -> None:
        """Probe the lease's resource; put another in its place, or none, while it is dead."""
        while lease.reused and lease.idle_seconds >= self._validate_after:
            resource = lease.resource
            if resource is None or self._probe(resource):
                return
            self._close(resource)
            with self._lock:
                now = self.now()
                self._ledger.found_dead(lease, now)
                self._ledger.swap_for_idle(lease, now, careful=careful)
            self._settle()

    def _probe(self, resource: R) -> bool:
        assert self._is_alive is not None
        try:
            return self._is_alive(resource)
        except Exception as exc:  # whatever is wrong with it, it is not to be used
            _log.debug("Probing %r failed", resource, exc_info=exc)
            return False

    def _recover(self, lease: Lease[K, R]) -> None:
        """Leave nothing behind of an acquire that ended with an exception."""
        self._is_damaged = True
        self._ended.append(("discarded", lease.serial, "interrupted", None))
        self._settle()

    def _timed_out(self, record: Record[K, R], waited_seconds: float) -> Exception:
        ledger = self._ledger
        now = self.now()
        with self._lock:
            record.tally.acquire_timeouts += 1
            places = list(ledger.held.values())
            total = (len(places), ledger.max_total)
            error = timed_out(record, places, total, waited_seconds, now)
        if self.listeners:
            self.listeners.emit(WaitTimedOut(record.origin, waited_seconds))
        return error

    def _closed(self, key: K) -> PoolClosed:
        origin = self._describe(key)
        return PoolClosed(
            f"No connection to {origin}: the pool was shut down. Make a new session to go on.",
            origin=origin,
        )

    def _watch_leaks(self, lease: Lease[K, R]) -> None:
        place = lease.place
        if place is not None:
            where, thread = caller_outside()
            place.watch = Watch(where, thread, self.now())
            if process_census.is_on:
                process_census.note(self, lease.serial, place.record.origin, where, thread)
        if self.now() >= self._leak_check_at:
            self.report_leaks()

    def _tell_acquired(self, lease: Lease[K, R]) -> None:
        place = lease.place
        if place is not None:
            origin = place.record.origin
            empty = lease.resource is None
            self.listeners.emit(LeaseAcquired(origin, lease.wait_seconds, not empty, empty))
        self._tell()

    # -- filling and ending; called by leases

    def is_held(self, serial: int) -> bool:
        """Whether the lease of that number has not ended."""
        return serial in self._ledger.held

    @_marks_damage
    def fill(self, lease: Lease[K, R], resource: R) -> None:
        """Put a resource into a lease's empty place."""
        if not self.is_watched and self._sweeper is not None:
            self._sweeper.watch(self)
        with self._lock:
            place = self._ledger.fill(lease.serial, resource, self.now())
            if place is not None:
                lease.resource = resource
        if place is None:
            self._close(resource)
            raise self._closed(lease.key)
        if self.listeners:
            seconds_dial = place.opened_at - place.taken_at
            self.listeners.emit(ConnectionOpened(place.record.origin, seconds_dial))
            self._tell()
        if self._ended or self._ledger.todo:
            self._settle()

    def end_released(self, serial: int, keep_for: float | None) -> None:
        """End a lease whose resource may be used again. Never waits for the lock."""
        ledger = self._ledger
        for is_taken in map(self._lock.acquire, _WITHOUT_WAITING):
            if is_taken:
                try:
                    ledger.release(serial, keep_for, self.now())
                except BaseException:
                    self._is_damaged = True
                    raise
                finally:
                    self._lock.release()
            else:
                self._ended.append(("released", serial, keep_for, self.now()))
        if self._ended or ledger.todo:
            self._settle()
            if ledger.overflowed is not None:
                self._mention_overflow()
        if ledger.events:
            self._tell()

    def end_discarded(self, serial: int, reason: str) -> None:
        """End a lease whose resource is of no further use. Never waits for the lock."""
        self._ended.append(("discarded", serial, reason, self.now()))
        self._settle()
        if self._ledger.events:
            self._tell()

    def end_quietly(self, serial: int) -> None:
        """End a lease that nobody had any use of. Called by a finalizer: listeners hear later."""
        self._ended.append(("discarded", serial, "never taken", None))
        self._settle()

    def reclaim(self, serial: int) -> None:
        """End a lease that was dropped. Called by a finalizer: listeners hear of it later."""
        if process_census.is_on:
            process_census.note_dropped(self, serial)
        self._ended.append(("leaked", serial, None, None))
        self._settle()

    @_marks_damage
    def found_stale(self, lease: Lease[K, R]) -> None:
        """Close a lease's dead resource and leave it an empty place."""
        resource = lease.resource
        if resource is None or not self.is_held(lease.serial):
            return
        self._close(resource)
        with self._lock:
            self._ledger.found_dead(lease, self.now())
        self._settle()
        self._tell()

    def count_replay(self, key: K) -> None:
        """Count a request that was sent once more because its reused connection was dead."""
        with self._lock:
            record = self._ledger.records.get(key)
            tally = self._ledger.gone if record is None else record.tally
            tally.replays += 1
        self._settle()

    # -- what is left to do after the lock was released

    def _settle(self) -> None:
        """Do what the steps so far have left to do, and what was left to the lock's holder."""
        if self._is_damaged:
            self._repair()
        while self._drain_ended() or self._ledger.todo:
            self._do_next()

    def _repair(self) -> None:
        """Count anew, unless somebody holds the lock; then whoever settles next does it."""
        for is_taken in map(self._lock.acquire, _WITHOUT_WAITING):
            if is_taken:
                try:
                    self._is_damaged = False
                    upkeep.settle_counts(self._ledger, self.now())
                except BaseException:
                    self._is_damaged = True
                    raise
                finally:
                    self._lock.release()

    def _drain_ended(self) -> bool:
        """End the leases that are to be ended; whether any was."""
        ended = self._ended
        has_worked = False
        while ended:
            for is_taken in map(self._lock.acquire, _WITHOUT_WAITING):
                if not is_taken:
                    return has_worked  # the holder looks here when it has let go
                try:
                    self._end_all_locked()
                except BaseException:
                    self._is_damaged = True
                    raise
                finally:
                    self._lock.release()
            has_worked = True
        return has_worked

    def _end_all_locked(self) -> None:
        ended, ledger = self._ended, self._ledger
        while ended:
            # Taken off after it is done: doing it twice does nothing, losing it is for ever.
            kind, what, detail, ended_at = ended[0]
            at = self.now() if ended_at is None else ended_at
            if kind == "closed":
                ledger.free(what, at)
            elif kind == "released":
                ledger.release(what, detail, at)
            elif kind == "discarded":
                ledger.discard(what, detail, at)
            else:
                ledger.reclaim(what, at)
            ended.popleft()

    def _do_next(self) -> None:
        """Close one resource, or wake one caller."""
        try:
            for place, signal in iter(self._ledger.todo.popleft, None):
                try:
                    if place is not None:
                        self._close(place.resource)
                    elif signal is not None:
                        signal.set()
                finally:
                    if place is not None:  # without asking for the time: no call may come first
                        self._ended.append(("closed", place, None, None))
                return
        except IndexError:
            return  # another thread was quicker

    def _close(self, resource: R | None) -> None:
        if resource is None:
            return
        try:
            self._close_resource(resource)
        except Exception as exc:  # it counts as closed whatever it says
            _log.warning("Closing %r failed", resource, exc_info=exc)

    def _tell(self) -> None:
        """Tell listeners what was noted down."""
        events = self._ledger.events
        while events:
            try:
                event = events.popleft()
            except IndexError:
                return
            self.listeners.emit(event)

    def _mention_overflow(self) -> None:
        """Say once in a while that connections are lost for want of room, and what to set."""
        ledger = self._ledger
        record, ledger.overflowed = ledger.overflowed, None
        now = self.now()
        if record is None or now < self._overflow_log_at:
            return
        self._overflow_log_at = now + _OVERFLOW_LOG_SECONDS
        # Read without the lock: numbers for a person may be old by a moment.
        if record.max_idle != UNLIMITED:
            setting, limit, wanted = "max_idle_per_host", record.max_idle, record.tally.peak
        else:
            setting, limit, wanted = "max_idle_total", ledger.max_idle_total, ledger.open_total
        _log.warning(
            "Connections to %s are closed because the pool keeps only %d idle (%s); %d of them "
            "so far. Set %s to %d to keep what is used.",
            record.origin, limit, setting, record.tally.closed.get("shelf_full", 0), setting,
            max(wanted, limit + 1),
        )  # fmt: skip

    # -- looking after it

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""
        return not self._ledger.open_total

    @property
    def is_closed(self) -> bool:
        """Whether it was shut down."""
        return self._ledger.is_closed

    @_marks_damage
    def sweep(self) -> float | None:
        """Close what expired; return the seconds to the next expiry, None when nothing is open."""
        ledger = self._ledger
        soonest = inf
        records = list(ledger.records.values())
        for start in range(0, len(records), _CHUNK):
            with self._lock:
                now = self.now()
                for record in records[start : start + _CHUNK]:
                    soonest = min(soonest, upkeep.expire(ledger, record, now))
            self._settle()
        with self._lock:
            ledger.forget_quiet(self.now())
        if self.watches_leaks:
            soonest = min(soonest, self.report_leaks())
        self._settle()
        self._tell()
        return None if not ledger.open_total else max(soonest - self.now(), 0.0)

    def report_leaks(self) -> float:
        """Report leases that nobody has used for `leak_threshold`; return when to look again.

        Each is reported once: as a warning in the log, as an event, and in the statistics.
        """
        threshold = self.config.leak_threshold
        if threshold is None:
            return inf
        with self._lock:
            now = self.now()
            found, soonest = upkeep.find_leaks(self._ledger, threshold, now)
            # A lease acquired after this may be due earlier than those seen now.
            self._leak_check_at = min(soonest, now + threshold)
        for place, quiet_seconds in found:
            _log.warning(
                "A lease for %s has not been used for %.1f s (held for %.1f s%s)."
                " Read the response to its end or close it.",
                place.record.origin, quiet_seconds, now - place.taken_at,
                place.watch or "",
            )  # fmt: skip
        self._settle()
        self._tell()
        return self._leak_check_at

    @_marks_damage
    def try_reserve(self, key: K) -> Lease[K, R] | None:
        """Take an empty place to fill and release at once, if that takes it from nobody.

        For a keeper of warm resources: the lease is not counted as a request.
        """
        lease = Lease(self, key, next(self._serials))
        while True:
            settings = self._settings
            origin, limits = self._describe(key), self._limits(key)
            with self._lock:
                if settings is not self._settings:
                    continue
                now = self.now()
                record = self._ledger.enter(key, origin, limits, now)
                is_placed = self._ledger.reserve(record, lease, now)
            self._settle()
            return lease if is_placed else None

    def shortage(self) -> list[tuple[K, int]]:
        """Return the keys with fewer idle resources than `min_idle`, and how many are missing."""
        with self._lock:
            missing = self._ledger.shortage()
        self._settle()
        return missing

    def idle_count(self, key: K) -> int:
        """Return how many resources of a key are on its shelf."""
        record = self._ledger.records.get(key)
        return 0 if record is None else len(record.shelf)

    def leased_count(self, key: K) -> int:
        """Return how many places requests have of a key."""
        record = self._ledger.records.get(key)
        return 0 if record is None else record.leased

    @_marks_damage
    def weed(self) -> None:
        """Close what is dead of the idle resources of keys that have a minimum of them.

        For a keeper of warm resources. Peers close what is idle for long, and nothing else would
        notice before a request does. Of each key the oldest are probed, up to the first live one:
        peers close by age, or all at once.
        """
        if self._is_alive is not None:
            for record in self._ledger.warm_records():
                while self._weed_eldest(record):
                    pass
            self._tell()

    def _weed_eldest(self, record: Record[K, R]) -> bool:
        """Probe the oldest idle resource of a key, and close it if it is dead; whether it was."""
        ledger = self._ledger
        lease = Lease(self, record.key, next(self._serials))
        try:
            with self._lock:
                if not upkeep.lend_elder(ledger, record, lease, self.now()):
                    return False
            assert lease.resource is not None
            is_alive = self._probe(lease.resource)
            with self._lock:
                if is_alive:
                    ledger.observed_alive(lease, self.now())
                else:
                    upkeep.bury(ledger, lease.serial, self.now())
        except BaseException:
            lease.discard("interrupted")
            raise
        self._settle()
        return not is_alive

    @_marks_damage
    def resize(
        self, config: PoolConfig, *, limits_for: Callable[[K], Limits] | None = None
    ) -> None:
        """Take over new settings: who waits is served if there is room now, what is too much goes.

        Args:
            config: The settings.
            limits_for: Gives the limits of a key from now on; None keeps what gave them before.
        """
        if limits_for is not None:
            self._limits_for = limits_for
        self._apply(config)
        limits: dict[K, Limits] = {}
        is_complete = False
        while not is_complete:
            for key in list(self._ledger.records):
                if key not in limits:
                    limits[key] = self._limits(key)
            with self._lock:  # others came to be meanwhile, perhaps
                is_complete = limits.keys() >= self._ledger.records.keys()
                if is_complete:
                    upkeep.resize(self._ledger, config, limits, self.now())
        self._settle()
        self._tell()

    @_marks_damage
    def evict(self, which: K | Callable[[K], bool]) -> int:
        """Close what is idle of a key, and what is in use of it once it is given back.

        Args:
            which: A key, or a function that says whether a key is meant.

        Returns:
            How many resources that concerns.
        """
        is_meant = which if callable(which) else None
        count = 0
        for key, record in list(self._ledger.records.items()):
            if is_meant(key) if is_meant is not None else key == which:
                with self._lock:
                    count += upkeep.evict(self._ledger, record, "evicted", self.now())
                self._settle()
        self._tell()
        return count

    @_marks_damage
    def close_idle(self) -> None:
        """Close everything idle, and everything in use once it is given back. It stays usable."""
        for record in list(self._ledger.records.values()):
            with self._lock:
                upkeep.evict(self._ledger, record, "closed", self.now())
            self._settle()
        self._tell()

    @_marks_damage
    def shutdown(self) -> None:
        """Close for good: who waits gets `PoolClosed` at once, leases live until they end."""
        ledger = self._ledger
        with self._lock:
            ledger.is_closed = True
            for record in list(ledger.records.values()):
                upkeep.shut(ledger, record, self.now())
        self._settle()
        self._tell()

    def drain(self, deadline: Deadline) -> bool:
        """Shut down, and wait until all leases have ended and everything is closed.

        Returns:
            False when the deadline came first.
        """
        signal = self.runtime.waiter()
        self.shutdown()
        with self._lock:
            if not self._ledger.open_total:
                return True
            self._ledger.drainers.append(signal)
        self._settle()
        signal.wait(deadline)
        return not self._ledger.open_total

    # -- numbers

    def stats(self) -> PoolStats:
        """Return a snapshot. The numbers of one origin fit together; origins are read in turn."""
        self._settle()  # ends that are in line have happened, as their callers see it
        parts: dict[str, list[OriginStats]] = {}
        maxima: dict[str, int | None] = {}
        for part in self._snapshots():
            parts.setdefault(part.origin, []).append(part)
            maxima[part.origin] = part.max_open
        origins: Mapping[str, OriginStats] = {
            origin: same[0] if len(same) == 1 else merge_stats(origin, same, maxima[origin])
            for origin, same in parts.items()
        }
        with self._lock:
            gone = self._ledger.gone.summary()
        self._settle()
        total = merge_stats("", [*origins.values(), gone], self.config.max_total)
        return PoolStats(total, origins)

    def _snapshots(self) -> list[OriginStats]:
        records = list(self._ledger.records.values())
        found: list[OriginStats] = []
        for start in range(0, len(records), _CHUNK):
            with self._lock:
                now = self.now()
                chunk = records[start : start + _CHUNK]
                found += [upkeep.snapshot(record, now) for record in chunk]
            self._settle()
        return found

    def advise(self) -> dict[str, Advice]:
        """Return how many resources each origin needs, by what was measured of late."""
        return {
            origin: Advice(
                origin,
                stats.acquired_per_second,
                stats.mean_hold_seconds,
                max(stats.advised, 1),
                stats.max_open,
                stats.peak,
            )
            for origin, stats in self.stats().origins.items()
            if stats.acquired_per_second
        }

    def __repr__(self) -> str:
        ledger = self._ledger
        in_use = ledger.open_total - ledger.idle_total - len(ledger.closing)
        return f"<Pool {in_use} in use, {ledger.idle_total} idle, {ledger.waiting_total} waiting>"

    # -- the end of a process's, or of a pool's, part in it

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        old = self._ledger
        inherited: list[Place[K, R]] = list(old.held.values())
        inherited += [place for record in old.records.values() for place in record.shelf]
        self._begin()
        self.is_watched = False
        for place in inherited:
            if place.resource is not None:
                if self._abandon is None:
                    self._inherited.append(place.resource)
                else:
                    self._abandon(place.resource)

    def __del__(self) -> None:
        ledger = getattr(self, "_ledger", None)
        if ledger is None or os is None:
            return
        for record in ledger.records.values():
            for place in record.shelf:
                self._close(place.resource)
