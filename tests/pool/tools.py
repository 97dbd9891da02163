"""What the tests of the pool share: integers to pool, a clock turned by hand, and a recount.

This is the only file in `tests/pool` that knows how the inside of a pool is cut into modules and
objects. The tests look inside through `inside(pool)` and `check_state(pool)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import pytest

import pooledhttp.pool
from pooledhttp.events import Event, Listeners
from pooledhttp.pool import Lease, Pool, PoolConfig, pool_wide
from pooledhttp.pool.keepalive import KeepAliveEstimate
from pooledhttp.pool.key_state import KeyState
from pooledhttp.pool.state import MAX_UNUSED_KEYS
from pooledhttp.runtime import Interest, Task
from pooledhttp.timing import Deadline
from tests.support.clock import FakeClock

__all__ = [
    "LOCKED_FILES",
    "MAX_UNUSED_KEYS",
    "PACKAGE",
    "STEP_MODULES",
    "Bench",
    "ClockRuntime",
    "Inside",
    "KeepAliveEstimate",
    "check_state",
    "inside",
    "is_watched",
    "note_swept_keys",
]

T = TypeVar("T")

#: The source of the pool, and the modules that have only steps under the lock.
PACKAGE = Path(pooledhttp.pool.__file__).parent
STEP_MODULES = ("checkin", "checkout", "pool_wide", "probing", "queue", "sparing")

#: The files whose code runs while the lock is held and changes the state.
LOCKED_FILES = tuple(f"{name}.py" for name in (*STEP_MODULES, "state", "indexes", "key_state"))


class _Flag:
    """A waiter in a test of one thread: `meanwhile` does what other threads would do."""

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
    """A runtime of one thread on a fake clock; a wait that nothing ends lasts until its deadline.

    Attributes:
        meanwhile: Functions; each wait calls the next one.
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

    def close_socket(self, sock: Any) -> None:
        raise NotImplementedError


class Bench:
    """A pool of integers under test, with a record of all that happened to them."""

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
        """Acquire, and fill the slot if it is empty."""
        lease = self.pool.acquire(key, self.clock.deadline(seconds), **how)
        if lease.resource is None:
            lease.fill(next(self.numbers))
        return lease

    def add_idle(self, key: str = "a", count: int = 1) -> list[int]:
        """Add so many new idle resources; return them, the oldest first."""
        used = [self.take(key) for _ in range(self.pool.idle_count(key))]
        leases = [self.take(key) for _ in range(count)]
        numbers = [lease.resource for lease in leases]
        for lease in (*reversed(used), *leases):
            lease.release()
        return [number for number in numbers if number is not None]

    def idle(self, key: str = "a") -> list[int | None]:
        """Return the idle resources of a key, the oldest first."""
        return inside(self.pool).idle(key)


class Inside:
    """What a test reads of the inside of a pool, and the few parts that it replaces."""

    def __init__(self, pool: Pool[Any, Any]) -> None:
        self._pool = pool
        self._core = pool._core
        self._state = pool._core.state

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
        return len(self._state.keys)

    @property
    def closing_count(self) -> int:
        """Slots whose resource is being closed."""
        return len(self._state.closing)

    def held(self) -> list[Any]:
        """Return the resources of all leases; `None` for an empty slot."""
        return [slot.resource for slot in self._state.held.values()]

    def idle(self, key: Any) -> list[Any]:
        """Return the idle resources of a key, the oldest first."""
        key_state = self._state.keys.get(key)
        return [] if key_state is None else [slot.resource for slot in key_state.idle]

    def all_idle(self) -> list[Any]:
        """Return the idle resources of all keys."""
        return [number for key in self._state.keys for number in self.idle(key)]

    def open_by_key(self) -> dict[Any, int]:
        """Return the number of slots of each key."""
        return {key: key_state.open for key, key_state in self._state.keys.items()}

    def max_by_key(self) -> dict[Any, int]:
        """Return the limit of each key."""
        return {key: key_state.max_open for key, key_state in self._state.keys.items()}

    def first_waiting(self, key: Any) -> Lease[Any, Any]:
        """Return the lease of the caller that has waited longest for a key."""
        lease: Lease[Any, Any] = next(iter(self._state.keys[key].waiting.values())).lease
        return lease


def inside(pool: Pool[Any, Any]) -> Inside:
    """Look inside a pool."""
    return Inside(pool)


def is_watched(lease: Lease[Any, Any]) -> bool:
    """Whether leak detection watches a lease."""
    return lease.slot is not None and lease.slot.watch is not None


def check_state(pool: Pool[Any, Any]) -> None:
    """Count everything again, and compare it with the counters of the pool."""
    state = pool._core.state
    assert not pool._core.in_step, "a step was interrupted and nothing has repaired it"
    keys = list(state.keys.values())
    in_use = list(state.held.values())
    for key_state in keys:
        _check_key(key_state, [slot for slot in in_use if slot.key_state is key_state])
        assert key_state.closing == sum(slot.key_state is key_state for slot in state.closing)
    assert state.open_total == sum(key_state.open for key_state in keys)
    assert state.idle_total == sum(len(key_state.idle) for key_state in keys)
    assert state.waiting_total == sum(len(key_state.waiting) for key_state in keys)
    slots = [*in_use, *state.closing, *(slot for key_state in keys for slot in key_state.idle)]
    assert len({id(slot) for slot in slots}) == len(slots), "a slot is in two containers"
    resources = [slot.resource for slot in slots if slot.resource is not None]
    assert len(set(resources)) == len(resources), "a resource is in two slots"
    assert all(state.keys.get(slot.key_state.key) is slot.key_state for slot in slots)
    for serial, slot in state.held.items():
        lease = slot.lease() if slot.lease is not None else None
        is_live = lease is not None and lease.serial == serial
        assert is_live or pool._core.pending, "the sweep would take the lease for lost"
    _check_queues(pool)
    _check_expiry(pool)


def _check_expiry(pool: Pool[Any, Any]) -> None:
    """Check that a sweep looks at each key before an idle slot of it expires."""
    state = pool._core.state
    entries = {(time, id(key_state)) for time, _, key_state in state.expiry._heap}
    for key_state in state.keys.values():
        beyond_minimum = len(key_state.idle) - key_state.min_idle
        ends = [key_state.sweep_at] if not key_state.idle else []
        for number, slot in enumerate(key_state.idle):
            is_surplus = key_state.min_idle and number < beyond_minimum
            limit = min(key_state.idle_limit, state.idle_timeout if is_surplus else inf)
            ends.append(min(slot.keep_until, slot.idle_since + limit))
        due = max(min(ends), pool.now())  # what is overdue is closed by the next sweep
        assert key_state.sweep_at <= due, f"no sweep looks at {key_state.key} in time"
        assert key_state.sweep_at == inf or (key_state.sweep_at, id(key_state)) in entries


def _check_key(key_state: KeyState[Any, Any], own: list[Any]) -> None:
    assert key_state.open == len(own) + len(key_state.idle) + key_state.closing
    assert key_state.dialling == sum(slot.resource is None for slot in own)
    assert key_state.not_serving == sum(not slot.serves_request for slot in own)
    assert all(slot.resource is not None for slot in key_state.idle)
    counters = key_state.counters
    closed = sum(counters.closed.values())
    assert counters.created - closed == key_state.open - key_state.dialling - key_state.closing
    assert 0 <= counters.dialled <= sum(counters.hold_counts) + key_state.serving
    assert len(key_state.idle) <= key_state.max_idle


def _check_queues(pool: Pool[Any, Any]) -> None:
    """Check that no caller waits that could be served."""
    state = pool._core.state
    for key_state in state.keys.values():
        if not key_state.waiting:
            continue
        assert not state.is_closed
        assert not key_state.idle, "a caller waits, and a resource is idle"
        if key_state.open >= key_state.max_open:
            continue
        is_full = state.open_total >= state.max_total
        if not (key_state.dial_cost and (key_state.in_use or key_state.closing)):
            assert is_full, "a caller waits, and there is room"
            assert not state.idle_total or (key_state.dial_cost and state.closing), (
                "a caller waits for what another key has idle"
            )
        if is_full:
            assert state.blocked.longest_waiting() is not None, "a caller waits, not in the index"


def note_swept_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every sweep from now on adds the keys it looks at."""
    keys = []
    expire_key = pool_wide._expire_key_locked

    def expire_key_and_note(state: Any, now: float, key_state: KeyState[Any, Any]) -> float:
        keys.append(key_state.key)
        return expire_key(state, now, key_state)

    monkeypatch.setattr(pool_wide, "_expire_key_locked", expire_key_and_note)
    return keys
