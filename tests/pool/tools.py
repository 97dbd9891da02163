"""What tests of the pool share: integers to pool, a clock that is turned by hand, and a recount."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pooledhttp.events import Event, Listeners
from pooledhttp.pool import Lease, Pool, PoolConfig
from pooledhttp.pool.record import Record
from pooledhttp.runtime import Interest, Task
from pooledhttp.timing import Deadline
from tests.support.clock import FakeClock

T = TypeVar("T")


class _Flag:
    """A waiter in a test of one thread: what others would do meanwhile is done by `meanwhile`."""

    def __init__(self, runtime: ClockRuntime) -> None:
        self._runtime = runtime
        self.is_set = False

    def set(self) -> None:
        self.is_set = True

    def wait(self, deadline: Deadline) -> bool:
        if self._runtime.meanwhile:
            self._runtime.meanwhile.pop(0)()
        if not self.is_set:
            self._runtime.clock.advance(deadline.remaining())
        return self.is_set


class ClockRuntime:
    """A runtime of one thread on a fake clock; a wait that nothing ends lasts to its deadline.

    Attributes:
        meanwhile: Called one after another, each when somebody waits.
    """

    name = "clock"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.now = clock.now
        self.meanwhile: list[Callable[[], object]] = []

    def waiter(self) -> _Flag:
        return _Flag(self)

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def current(self) -> object:
        return "main"

    def wait(self, sock: Any, read: bool, write: bool, deadline: Deadline) -> tuple[bool, bool]:
        raise NotImplementedError

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        raise NotImplementedError

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        return fn()

    def spawn(self, fn: Callable[[], None], name: str) -> Task:
        raise NotImplementedError

    def forget(self, sock: Any) -> None:
        raise NotImplementedError


class Bench:
    """A pool of integers under test, and everything that happened to them."""

    def __init__(self, config: PoolConfig | None = None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.runtime = ClockRuntime(self.clock)
        self.closed: list[int] = []
        self.dead: set[int] = set()
        self.probed: list[int] = []
        self.events: list[Event] = []
        self.numbers = itertools.count(1)
        settings.setdefault("is_alive", self._is_alive)
        settings.setdefault("runtime", self.runtime)
        settings.setdefault("listeners", Listeners([self.events.append]))
        self.pool: Pool[str, int] = Pool(config, close=self.closed.append, **settings)

    def _is_alive(self, number: int) -> bool:
        self.probed.append(number)
        return number not in self.dead

    def take(self, key: str = "a", seconds: float | None = None, **how: bool) -> Lease[str, int]:
        """Acquire, and fill the place if it is empty."""
        lease = self.pool.acquire(key, self.clock.deadline(seconds), **how)
        if lease.resource is None:
            lease.fill(next(self.numbers))
        return lease

    def shelve(self, key: str = "a", count: int = 1) -> list[int]:
        """Have that many new idle resources; return them, the oldest first."""
        leases = [self.take(key, fresh=True) for _ in range(count)]
        numbers = [lease.resource for lease in leases]
        for lease in leases:
            lease.release()
        return [number for number in numbers if number is not None]

    def idle(self, key: str = "a") -> list[int | None]:
        """Return what is on a key's shelf, the oldest first."""
        record = self.pool._desk.ledger.records.get(key)
        return [] if record is None else [place.resource for place in record.shelf]


def check_books(pool: Pool[Any, Any]) -> None:
    """Recount everything, and compare it with what the pool believes."""
    ledger = pool._desk.ledger
    records = list(ledger.records.values())
    in_use = list(ledger.held.values())
    for record in records:
        _check_record(record, [place for place in in_use if place.record is record])
        assert record.closing == sum(place.record is record for place in ledger.closing)
    assert ledger.open_total == sum(record.open for record in records)
    assert ledger.idle_total == sum(len(record.shelf) for record in records)
    assert ledger.waiting_total == sum(len(record.waiters) for record in records)
    places = [*in_use, *ledger.closing, *(place for r in records for place in r.shelf)]
    assert len({id(place) for place in places}) == len(places), "a place is in two containers"
    resources = [place.resource for place in places if place.resource is not None]
    assert len(set(resources)) == len(resources), "a resource is in two places"
    assert all(ledger.records.get(place.record.key) is place.record for place in places)
    _check_lines(pool)


def _check_record(record: Record[Any, Any], mine: list[Any]) -> None:
    assert record.open == len(mine) + len(record.shelf) + record.closing
    assert record.dialling == sum(place.resource is None for place in mine)
    assert record.warming == sum(not place.counts for place in mine)
    assert all(place.resource is not None for place in record.shelf)
    tally = record.tally
    gone = sum(tally.closed.values())
    assert tally.created - gone == record.open - record.dialling - record.closing
    assert 0 <= tally.dialled <= sum(tally.hold_counts) + record.leased
    assert len(record.shelf) <= record.max_idle


def _check_lines(pool: Pool[Any, Any]) -> None:
    """Nobody stands in line who could go."""
    ledger = pool._desk.ledger
    for record in ledger.records.values():
        if not record.waiters:
            continue
        assert not ledger.is_closed
        assert not record.shelf, "somebody waits, and something is idle"
        if record.open < record.max_open:
            assert ledger.open_total >= ledger.max_total, "somebody waits, and there is room"
            assert not ledger.idle_total, "somebody waits for what another key has idle"
            assert ledger.blocked.first() is not None, "somebody waits, and the heap forgot"
