"""The pool: leases of resources by key, within limits, in a fair order.

It is generic in the key and the resource. It never makes a resource: whoever gets an empty place
does that, and fills it. It knows no HTTP; what it needs to do with a resource are the callables it
is given. `acquire` looks for a place in this order:

    1  the newest idle resource of the key, if it may still be used
    2  room within the limits
    3  room made by closing an idle resource: of any key, where only the pool's limit is in the way;
       of the key itself, where the caller wants a new one
    4  the line

Here are the shortest way, which is the common one, and the ends of leases: what every request pays
for. The rest is done by modules of its own, on the pool's `desk`:

    acquiring    the other ways to a place: searching, waiting, probing
    care         expiry, leaks, warm resources, new settings, closing
    numbers      statistics and advice

All decisions are made in the books (start at `ledger`), under one lock that is held for
microseconds. Probing, closing, waking, telling listeners and logging come after it has been
released; `desk` tells how, and why ending a lease never waits for that lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from random import Random
from typing import Any, Generic, TypeVar

from pooledhttp.events import ConnectionOpened, LeaseAcquired, Listeners
from pooledhttp.pool import acquiring, care, numbers
from pooledhttp.pool.callers import caller_outside
from pooledhttp.pool.census import process_census
from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.desk import WITHOUT_WAITING, Desk
from pooledhttp.pool.ending import release  # by name, as `take_idle`: on every request
from pooledhttp.pool.forking import renew_after_fork
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.shelf import Place, Watch
from pooledhttp.pool.stats import Advice, PoolStats
from pooledhttp.pool.sweeper import Sweeper, process_sweeper
from pooledhttp.pool.taking import take_idle
from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Deadline

__all__ = ["Pool"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


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
        self.runtime = runtime if runtime is not None else default_runtime()
        self.now = self.runtime.now
        self.listeners = listeners if listeners is not None else Listeners()
        self.is_watched = False
        self._abandon = abandon
        self._inherited: list[R] = []
        self._sweeper = sweeper
        if sweeper is None and abs(self.now() - default_runtime().now()) < 1.0:
            self._sweeper = process_sweeper()
        self._desk: Desk[K, R] = Desk(
            config if config is not None else PoolConfig(),
            self._lock_type(),
            runtime=self.runtime,
            listeners=self.listeners,
            random=random if random is not None else Random(),
            close=close,
            limits_for=limits_for,
            is_alive=is_alive,
            describe=describe,
        )
        renew_after_fork(self)

    @property
    def config(self) -> PoolConfig:
        """The settings in force."""
        return self._desk.config

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
        desk = self._desk
        lease = Lease(self, key, next(desk.serials))
        ledger = desk.ledger
        try:
            with desk.lock:
                record = ledger.records.get(key)
                is_placed = (
                    record is not None
                    and not (careful or fresh)
                    and take_idle(ledger, record, lease, now)
                )
            if not is_placed:
                acquiring.find_place(desk, lease, deadline, now, careful, fresh)
            if desk.ended or ledger.todo:
                desk.settle()
            if lease.reused and lease.idle_seconds >= desk.validate_after:
                acquiring.validate(desk, lease, careful)
        except BaseException:
            acquiring.recover(desk, lease)
            raise
        if desk.watches_leaks:
            self._watch_leaks(lease)
        if self.listeners:
            self._tell_acquired(lease)
        return lease

    def _watch_leaks(self, lease: Lease[K, R]) -> None:
        """Note who took a lease, and look at the others now and then."""
        place = lease.place
        if place is not None:
            where, thread = caller_outside()
            place.watch = Watch(where, thread, self.now())
            if process_census.is_on:
                process_census.note(self, lease.serial, place.record.origin, where, thread)
        if self.now() >= self._desk.leak_check_at:
            self.report_leaks()

    def _tell_acquired(self, lease: Lease[K, R]) -> None:
        place = lease.place
        if place is not None:
            origin = place.record.origin
            empty = lease.resource is None
            self.listeners.emit(LeaseAcquired(origin, lease.wait_seconds, not empty, empty))
        self._desk.tell()

    # -- filling and ending; called by leases

    def is_held(self, serial: int) -> bool:
        """Whether the lease of that number has not ended."""
        return serial in self._desk.ledger.held

    def fill(self, lease: Lease[K, R], resource: R) -> None:
        """Put a resource into a lease's empty place."""
        if not self.is_watched and self._sweeper is not None:
            self._sweeper.watch(self)
        desk = self._desk
        place = acquiring.fill(desk, lease, resource)
        if self.listeners:
            seconds_dial = place.opened_at - place.taken_at
            self.listeners.emit(ConnectionOpened(place.record.origin, seconds_dial))
            desk.tell()
        if desk.ended or desk.ledger.todo:
            desk.settle()

    def end_released(self, serial: int, keep_for: float | None) -> None:
        """End a lease whose resource may be used again. Never waits for the lock."""
        desk = self._desk
        ledger = desk.ledger
        try:
            # Tries the lock and keeps it, with no gap for an interrupt: `desk` tells how.
            for is_taken in map(desk.lock.acquire, WITHOUT_WAITING):
                if is_taken:
                    try:
                        release(ledger, serial, keep_for, self.now())
                    except BaseException:
                        desk.is_damaged = True
                        raise
                    finally:
                        desk.lock.release()
                else:
                    desk.ended.append(("released", serial, keep_for, self.now()))
        except BaseException:
            desk.settle()  # now, as when that is interrupted
            raise
        if desk.ended or ledger.todo:
            desk.settle()
            if ledger.overflowed is not None:
                desk.mention_overflow()
        if ledger.events:
            desk.tell()

    def end_discarded(self, serial: int, reason: str) -> None:
        """End a lease whose resource is of no further use. Never waits for the lock."""
        self._end_in_line("discarded", serial, reason, self.now())
        if self._desk.ledger.events:
            self._desk.tell()

    def end_quietly(self, serial: int) -> None:
        """End a lease that nobody had any use of. Called by a finalizer: listeners hear later."""
        self._end_in_line("discarded", serial, "never taken", None)

    def reclaim(self, serial: int) -> None:
        """End a lease that was dropped. Called by a finalizer: listeners hear of it later."""
        if process_census.is_on:
            process_census.note_dropped(self, serial)
        self._end_in_line("leaked", serial, None, None)

    def _end_in_line(self, kind: str, serial: int, reason: str | None, at: float | None) -> None:
        self._desk.ended.append((kind, serial, reason, at))
        self._desk.settle()

    def found_stale(self, lease: Lease[K, R]) -> None:
        """Close a lease's dead resource and leave it an empty place."""
        acquiring.replace_dead(self._desk, lease)

    def count_replay(self, key: K) -> None:
        """Count a request that was sent once more because its reused connection was dead."""
        desk = self._desk
        with desk.lock:
            record = desk.ledger.records.get(key)
            tally = desk.ledger.gone if record is None else record.tally
            tally.replays += 1
        desk.settle()

    # -- looking after it

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open."""
        return not self._desk.ledger.open_total

    @property
    def is_closed(self) -> bool:
        """Whether it was shut down."""
        return self._desk.ledger.is_closed

    def idle_count(self, key: K) -> int:
        """Return how many resources of a key are on its shelf."""
        record = self._desk.ledger.records.get(key)
        return 0 if record is None else len(record.shelf)

    def leased_count(self, key: K) -> int:
        """Return how many places requests have of a key."""
        record = self._desk.ledger.records.get(key)
        return 0 if record is None else record.leased

    def sweep(self) -> float | None:
        """Close what expired; return the seconds to the next expiry, None when nothing is open."""
        return care.sweep(self._desk)

    def report_leaks(self) -> float:
        """Report leases that nobody has used for `leak_threshold`; return when to look again.

        Each is reported once: as a warning in the log, as an event, and in the statistics.
        """
        return care.report_leaks(self._desk)

    def try_reserve(self, key: K) -> Lease[K, R] | None:
        """Take an empty place to fill and release at once, if that takes it from nobody.

        For a keeper of warm resources: the lease is not counted as a request.
        """
        lease = self._new_lease(key)
        return lease if care.reserve(self._desk, lease) else None

    def _new_lease(self, key: K) -> Lease[K, R]:
        return Lease(self, key, next(self._desk.serials))

    def shortage(self) -> list[tuple[K, int]]:
        """Return the keys with fewer idle resources than `min_idle`, and how many are missing."""
        return care.shortage(self._desk)

    def weed(self) -> None:
        """Close what is dead of the idle resources of keys that have a minimum of them.

        For a keeper of warm resources. Peers close what is idle for long, and nothing else would
        notice before a request does. Of each key the oldest are probed, up to the first live one:
        peers close by age, or all at once.
        """
        care.weed(self._desk, self._new_lease)

    def resize(
        self, config: PoolConfig, *, limits_for: Callable[[K], Limits] | None = None
    ) -> None:
        """Take over new settings: who waits is served if there is room now, what is too much goes.

        Args:
            config: The settings.
            limits_for: Gives the limits of a key from now on; None keeps what gave them before.
        """
        care.resize(self._desk, config, limits_for)

    def evict(self, which: K | Callable[[K], bool]) -> int:
        """Close what is idle of a key, and what is in use of it once it is given back.

        Args:
            which: A key, or a function that says whether a key is meant.

        Returns:
            How many resources that concerns.
        """
        return care.evict(self._desk, which)

    def close_idle(self) -> None:
        """Close everything idle, and everything in use once it is given back. It stays usable."""
        care.close_idle(self._desk)

    def shutdown(self) -> None:
        """Close for good: who waits gets `PoolClosed` at once, leases live until they end."""
        care.shutdown(self._desk)

    def drain(self, deadline: Deadline) -> bool:
        """Shut down, and wait until all leases have ended and everything is closed.

        Returns:
            False when the deadline came first.
        """
        return care.drain(self._desk, deadline)

    # -- numbers

    def stats(self) -> PoolStats:
        """Return a snapshot. The numbers of one origin fit together; origins are read in turn."""
        return numbers.collect(self._desk)

    def advise(self) -> dict[str, Advice]:
        """Return how many resources each origin needs, by what was measured of late."""
        return numbers.advise(self.stats())

    def __repr__(self) -> str:
        ledger = self._desk.ledger
        in_use = ledger.open_total - ledger.idle_total - len(ledger.closing)
        return f"<Pool {in_use} in use, {ledger.idle_total} idle, {ledger.waiting_total} waiting>"

    # -- the end of a process's, or of a pool's, part in it

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        old = self._desk.ledger
        inherited: list[Place[K, R]] = list(old.held.values())
        inherited += [place for record in old.records.values() for place in record.shelf]
        self._desk.begin(self._lock_type())
        self.is_watched = False
        for place in inherited:
            if place.resource is not None:
                if self._abandon is None:
                    self._inherited.append(place.resource)
                else:
                    self._abandon(place.resource)

    def __del__(self) -> None:
        desk = getattr(self, "_desk", None)
        if desk is None or os is None:
            return
        for record in desk.ledger.records.values():
            for place in record.shelf:
                desk.close(place.resource)
