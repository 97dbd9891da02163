"""The state of a pool: its keys and slots, and the counters of the whole pool.

    pure steps     pool_wide              expire, evict, resize, shut down, recount
                   sparing                who waits although there is room
                   checkout               how a lease gets a slot
                   probing                what a probe has found
                   checkin                how a lease ends
                   queue                  who waits, and who gets a free slot
    what they      state                  PoolState
    change         indexes                IdleIndex, ExpiryIndex, BlockedIndex
                   key_state              KeyState, Slot, WaitingCaller, SparedDial

The functions of these modules that take a `PoolState`, and its own methods, end in `_locked`: the
caller holds the lock of the pool. So do the callers of every method of `KeyState`, `IdleIndex`,
`ExpiryIndex`, `BlockedIndex`, `KeepAliveEstimate` and `Counters`. None of them takes a lock, waits,
closes a resource, or calls code of the user. They note what has to happen after the lock is
released: closes and wake-ups in `deferred`, events in `events`. A *step* is a function that `core`
runs; it is indivisible, and a test can call it alone. The others are parts of steps.

In the texts of these modules "a key" often stands for its `KeyState`: a key with idle slots is one
whose `KeyState` has them in `idle`.

A slot is in exactly one of three containers: `held` (a lease has it), the `idle` list of its key,
or `closing`. `open` counts all three. So connections that are being dialled or closed count too,
and the limits hold for open sockets.

Between two steps these statements are true:

    A key with waiting callers has no idle slot.           Because a returned slot goes to a caller.
    If callers of a key wait below the limit of the key,   Because they get free room, and idle
        the pool is full and no key has an idle slot,          slots of other keys are closed;
        or the key has a slot in use or closing.               or they wait to spare a dial.
    open <= max_open of the key, and <= max_total.         Except after a resize, until leases end.
"""

from __future__ import annotations

import random
import weakref
from collections import OrderedDict, deque
from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from pooledhttp.events import ConnectionClosed, Event, Listeners
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.counters import Counters
from pooledhttp.pool.indexes import BlockedIndex, ExpiryIndex, IdleIndex
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Slot
from pooledhttp.pool.lease import Lease
from pooledhttp.runtime import Waiter

__all__ = ["MAX_UNUSED_KEYS", "PoolState"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: The state of an unused key, which has neither slots nor callers, is dropped after this many
#: seconds, or earlier when more than `MAX_UNUSED_KEYS` keys are unused.
UNUSED_SECONDS = 600.0
MAX_UNUSED_KEYS = 10_000


class PoolState(Generic[K, R]):
    """The state that the lock of a pool guards; see the module docstring.

    Args:
        config: The settings.
        listeners: Events are noted only while there is a listener.
        random_source: Draws the jitter of lifetimes, and chooses among equal keys.
        now: The time, from which the counters measure rates.
    """

    def __init__(
        self, config: PoolConfig, listeners: Listeners, random_source: random.Random, now: float
    ) -> None:
        self.keys: dict[K, KeyState[K, R]] = {}
        self.held: dict[int, Slot[K, R]] = {}  # by the serial number of the lease
        self.closing: set[Slot[K, R]] = set()
        self.drainers: list[Waiter] = []  # those of the callers of `drain`
        self.open_total = 0
        self.idle_total = 0
        self.waiting_total = 0
        self.is_closed = False
        #: Whether there has been an eviction, new settings or the shutdown. Until then no resource
        #: in use has to be closed for one of them, and no release has to look.
        self.was_changed = False
        # Work for `settle`: a slot whose resource has to be closed, or a caller's waiter to set.
        self.deferred: deque[tuple[Slot[K, R] | None, Waiter | None]] = deque()
        self.events: deque[Event] = deque()
        self.removed_counters = Counters(now)  # the sums of the keys whose state was dropped
        self.overflowed: KeyState[K, R] | None = None  # for `PoolMaintenance._log_overflow`
        self.listeners = listeners
        self._random = random_source
        self.idle_index: IdleIndex[K, R] = IdleIndex(random_source)
        self.expiry: ExpiryIndex[K, R] = ExpiryIndex()
        self.blocked: BlockedIndex[K, R] = BlockedIndex()
        self._unused: OrderedDict[K, float] = OrderedDict()  # since when, the longest first
        self._with_minimum: dict[K, KeyState[K, R]] = {}
        self.apply_config_locked(config)  # without the lock: no other thread has this object yet

    def apply_config_locked(self, config: PoolConfig) -> None:
        """Set the settings that apply to the whole pool."""
        self.max_total = UNLIMITED if config.max_total is None else config.max_total
        self.max_idle_total = UNLIMITED if config.max_idle_total is None else config.max_idle_total
        self.max_uses = UNLIMITED if config.max_requests is None else config.max_requests
        self.idle_timeout = inf if config.idle_timeout is None else config.idle_timeout
        self.max_lifetime = inf if config.max_lifetime is None else config.max_lifetime
        self.lifetime_jitter = config.lifetime_jitter

    # -- keys

    def add_key_locked(
        self, now: float, key: K, origin: str, limits: Limits, dial_cost: float
    ) -> KeyState[K, R]:
        """Return the state of a key; make it if there is none."""
        key_state = self.keys.get(key)
        if key_state is None:
            key_state = self.keys[key] = KeyState(key, origin, now)
            key_state.dial_cost = dial_cost
            self.apply_limits_locked(key_state, limits)
            self.mark_unused_locked(now, key_state)
        return key_state

    def apply_limits_locked(self, key_state: KeyState[K, R], limits: Limits) -> None:
        """Give a key its limits."""
        key_state.apply_limits(limits, self.idle_timeout)
        if key_state.min_idle:
            self._with_minimum[key_state.key] = key_state
        else:
            self._with_minimum.pop(key_state.key, None)

    def index_idle_locked(self, key_state: KeyState[K, R], slot: Slot[K, R]) -> None:
        """Note in the indexes that a slot of a key has become idle."""
        idle = key_state.idle
        if key_state.bucket < len(idle):
            self.idle_index.update(key_state)
        end = min(slot.keep_until, slot.idle_since + key_state.idle_limit)
        if 0 < key_state.min_idle < len(idle):
            # The oldest one is not needed for the minimum any more, and has an idle timeout now.
            end = min(end, idle[0].idle_since + self.idle_timeout)
        self.expiry.add(key_state, end)

    def keys_with_minimum(self) -> list[KeyState[K, R]]:
        """Return the keys with a minimum of idle resources.

        Copying is one operation of the interpreter, so it needs no lock.
        """
        return list(self._with_minimum.values())

    def mark_unused_locked(self, now: float, key_state: KeyState[K, R]) -> None:
        """Note since when a key is unused, if it is, so that its state can be dropped later."""
        if not key_state.open and not key_state.waiting:
            self._unused[key_state.key] = now
            self._unused.move_to_end(key_state.key)
            # Two for each one noted, so that they get fewer.
            self.drop_unused_locked(now, at_most=2)

    def mark_used_locked(self, key_state: KeyState[K, R]) -> None:
        """Note that a key is about to be used, so that its state is not dropped."""
        self._unused.pop(key_state.key, None)

    def drop_unused_locked(self, now: float, at_most: int = UNLIMITED) -> None:
        """Drop the states of keys unused for long, or of too many unused keys. Counts are kept."""
        unused = self._unused
        while unused and at_most:
            key = next(iter(unused))
            if len(unused) <= MAX_UNUSED_KEYS and now - unused[key] < UNUSED_SECONDS:
                return
            del unused[key]
            key_state = self.keys.pop(key)
            self.idle_index.remove(key_state)
            key_state.sweep_at = inf
            self._with_minimum.pop(key, None)
            self.removed_counters.add(key_state.counters)
            at_most -= 1

    def clear_indexes_locked(self) -> None:
        """Empty the indexes, which an interrupted step may have damaged; a recount refills them."""
        self.idle_index = IdleIndex(self._random)
        self.expiry = ExpiryIndex()
        self.blocked = BlockedIndex()
        self._unused.clear()
        for key_state in self.keys.values():
            key_state.bucket = 0
            key_state.sweep_at = inf
            key_state.blocked_serial = -1

    # -- slots

    def resources(self) -> list[R]:
        """Return the resources in use and idle; for a forked child, where no other thread runs.

        Those being closed are left out: the parent is about to close them.
        """
        slots = list(self.held.values())
        slots += [slot for key_state in self.keys.values() for slot in key_state.idle]
        return [slot.resource for slot in slots if slot.resource is not None]

    def is_full_locked(self, key_state: KeyState[K, R]) -> bool:
        """Whether the limit of the key or of the pool leaves no room for another slot."""
        return key_state.open >= key_state.max_open or self.open_total >= self.max_total

    def longest_blocked_locked(self) -> KeyState[K, R] | None:
        """Return the key whose first caller the limit of the pool blocks longest, or None.

        While there is room, the limit blocks no caller: those in `blocked` spare a dial.
        """
        if self.open_total < self.max_total:
            return None
        return self.blocked.longest_waiting()

    def open_slot_locked(self, key_state: KeyState[K, R]) -> Slot[K, R]:
        """Make one more slot, and count it."""
        key_state.open += 1
        self.open_total += 1
        if key_state.open > key_state.counters.peak:
            key_state.counters.peak = key_state.open
        return Slot(key_state)

    def attach_empty_locked(self, now: float, slot: Slot[K, R], lease: Lease[K, R]) -> None:
        """Give a new, empty slot to a lease."""
        slot.lease = weakref.ref(lease)  # first: the sweep looks at it without the lock
        self.held[lease.serial] = slot
        lease.slot = slot
        lease.resource = None
        lease.reused = False
        lease.idle_seconds = 0.0
        slot.taken_at = now
        key_state = slot.key_state
        key_state.dialling += 1
        key_state.dialled_at = now
        if slot.serves_request:
            key_state.counters.dialled += 1
        else:
            key_state.not_serving += 1

    def attach_idle_locked(self, now: float, slot: Slot[K, R], lease: Lease[K, R]) -> None:
        """Give a slot whose resource was idle to a lease."""
        slot.lease = weakref.ref(lease)
        self.held[lease.serial] = slot
        lease.slot = slot
        lease.resource = slot.resource
        lease.reused = True
        lease.idle_seconds = slot.idle_before = now - slot.idle_since
        slot.taken_at = now
        if slot.serves_request:
            slot.uses += 1
        else:
            slot.key_state.not_serving += 1

    def mark_serving_locked(self, slot: Slot[K, R]) -> None:
        """Note that the lease of a slot serves a request from now on, or else its next lease."""
        if not slot.serves_request:
            slot.serves_request = True
            slot.key_state.not_serving -= 1

    def draw_retire_at_locked(self, now: float) -> float:
        """Return when the lifetime of a resource opened now ends.

        Jitter shortens it, so that resources opened together are not closed together.
        """
        life = self.max_lifetime
        if life == inf:
            return inf
        return now + life * (1.0 - self.lifetime_jitter * self._random.random())

    def schedule_close_locked(self, now: float, slot: Slot[K, R], reason: str) -> None:
        """Schedule the close of a slot's resource; until it is closed the slot is not free."""
        self.deferred.append((slot, None))  # first, so that an interrupt cannot lose the close
        self.closing.add(slot)
        slot.key_state.closing += 1
        self.count_close_locked(now, slot, reason)

    def count_close_locked(self, now: float, slot: Slot[K, R], reason: str) -> None:
        """Count a close, and note the event."""
        key_state = slot.key_state
        key_state.counters.count_close(reason)
        if self.listeners:
            age = now - slot.opened_at
            self.events.append(ConnectionClosed(key_state.origin, reason, age, slot.uses))
