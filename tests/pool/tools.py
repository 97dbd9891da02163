"""What the tests of the pool share: integers to pool, a clock turned by hand, and a recount.

This is the only file in `tests/pool` that knows how the inside of a pool is cut into modules and
objects. The tests look inside through `inside(pool)` and `check_state(pool)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pooledhttp.events import Event, Listeners
from pooledhttp.pool import Lease, Pool, PoolConfig
from pooledhttp.pool.freshness import Freshness as KeepAlive
from pooledhttp.pool.ledger import MAX_QUIET as MAX_UNUSED
from pooledhttp.pool.record import Record
from pooledhttp.runtime import Interest, Task
from pooledhttp.timing import Deadline
from tests.support.clock import FakeClock

__all__ = [
    "LOCKED_FILES",
    "MAX_UNUSED",
    "Bench",
    "ClockRuntime",
    "Inside",
    "KeepAlive",
    "check_state",
    "inside",
    "is_watched",
]

T = TypeVar("T")

#: The files whose functions run while the lock is held and change the state.
LOCKED_FILES = ("serving.py", "keeping.py", "ending.py", "ledger.py", "waiters.py")


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
        return inside(self.pool).idle(key)


class Inside:
    """What a test reads of the inside of a pool, and the few parts that it replaces."""

    def __init__(self, pool: Pool[Any, Any]) -> None:
        self._pool = pool
        self._core = pool._desk
        self._state = pool._desk.ledger

    @property
    def lock(self) -> Any:
        """The lock that guards the state."""
        return self._core.lock

    @lock.setter
    def lock(self, lock: Any) -> None:
        self._core.lock = lock

    def settle(self) -> None:
        """Do the deferred work."""
        self._core.settle()

    def close_with(self, close: Callable[[Any], object]) -> None:
        """Replace the function that closes a resource."""
        self._core.close_resource = close

    @property
    def sweeper(self) -> object | None:
        """The sweeper of the pool."""
        return self._pool._sweeper

    @property
    def inherited(self) -> list[Any]:
        """In a forked child: the resources of the parent that could not be abandoned."""
        return self._pool._inherited

    @property
    def open_total(self) -> int:
        """Slots of all keys."""
        return self._state.open_total

    @property
    def idle_total(self) -> int:
        """Idle slots of all keys."""
        return self._state.idle_total

    @property
    def waiting_total(self) -> int:
        """Callers that wait, of all keys."""
        return self._state.waiting_total

    @property
    def max_total(self) -> int:
        """The limit of the whole pool."""
        return self._state.max_total

    @property
    def key_count(self) -> int:
        """Keys with a state."""
        return len(self._state.records)

    @property
    def closing_count(self) -> int:
        """Slots whose resource is being closed."""
        return len(self._state.closing)

    def held(self) -> list[Any]:
        """Return the resources of all leases; `None` for an empty slot."""
        return [slot.resource for slot in self._state.held.values()]

    def idle(self, key: Any) -> list[Any]:
        """Return the idle resources of a key, the oldest first."""
        key_state = self._state.records.get(key)
        return [] if key_state is None else [slot.resource for slot in key_state.shelf]

    def all_idle(self) -> list[Any]:
        """Return the idle resources of all keys."""
        return [number for key in self._state.records for number in self.idle(key)]

    def open_by_key(self) -> dict[Any, int]:
        """Return the number of slots of each key."""
        return {key: key_state.open for key, key_state in self._state.records.items()}

    def max_by_key(self) -> dict[Any, int]:
        """Return the limit of each key."""
        return {key: key_state.max_open for key, key_state in self._state.records.items()}

    def first_waiting(self, key: Any) -> Lease[Any, Any]:
        """Return the lease of the caller that has waited longest for a key."""
        lease: Lease[Any, Any] = next(iter(self._state.records[key].waiters.values())).lease
        return lease


def inside(pool: Pool[Any, Any]) -> Inside:
    """Look inside a pool."""
    return Inside(pool)


def is_watched(lease: Lease[Any, Any]) -> bool:
    """Whether leak detection watches a lease."""
    return lease.place is not None and lease.place.watch is not None


def check_state(pool: Pool[Any, Any]) -> None:
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
