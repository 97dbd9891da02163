"""What a probe of an idle resource has found, and what the pool learns from it. Pure steps.

A probe runs without the lock, while a lease holds the resource. The pool learns from its outcome:
if a resource was alive after some idle time, those idle for less can be trusted; if it was dead,
those idle for longer must not be used. So a careful request that trusts no idle resource borrows
the oldest one, not to use it, but to learn:

    idle --lend_oldest--> lease --return_alive--> idle       the lease has no slot any more
                            |
                            +--replace_dead-----> closed     the lease gets an empty slot
                            '--discard_dead-----> closed     the lease ends (`probe_idle`)
"""

from __future__ import annotations

import bisect
import operator
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.events import StaleFound
from pooledhttp.pool import reasons
from pooledhttp.pool.checkin import discard_locked, must_close_locked
from pooledhttp.pool.key_state import KeyState, Slot
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.state import PoolState

__all__ = [
    "count_replay_locked",
    "discard_dead_locked",
    "lend_oldest_locked",
    "replace_dead_locked",
    "return_alive_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: The sort key of idle lists.
_IDLE_SINCE = operator.attrgetter("idle_since")


def lend_oldest_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], lease: Lease[K, R]
) -> bool:
    """Lend the resource that has been idle longest to a lease; False if none is idle.

    Until the outcome of its probe is known, the lease does not count as a request.
    """
    if not key_state.idle:
        return False
    slot = key_state.idle.pop(0)
    state.idle_total -= 1
    slot.serves_request = False
    state.attach_idle_locked(now, slot, lease)
    return True


def return_alive_locked(state: PoolState[K, R], now: float, lease: Lease[K, R]) -> None:
    """Take a resource that a probe has found alive back from the lease, and make it idle again."""
    slot = state.held.pop(lease.serial, None)
    if slot is None:
        return
    key_state = slot.key_state
    key_state.saw_alive(slot.idle_before)
    state.mark_serving_locked(slot)
    lease.slot = lease.resource = None
    is_wanted = key_state.waiting or state.longest_blocked_locked() is not None
    if is_wanted or must_close_locked(state, slot):
        # A caller waits: the slot must not become idle (see `state`). Closing the resource frees
        # its room, and that serves the caller.
        state.schedule_close_locked(now, slot, reasons.MADE_ROOM)
        return
    bisect.insort_left(key_state.idle, slot, key=_IDLE_SINCE)
    state.idle_total += 1
    state.index_idle_locked(key_state, slot)


def replace_dead_locked(state: PoolState[K, R], now: float, lease: Lease[K, R]) -> None:
    """Give a lease a new, empty slot in place of its slot, whose dead resource has been closed.

    The new slot takes the place of the old one in all counts. It is a new object because a signal
    handler may end the lease at any moment: a half emptied slot must not become idle.
    """
    slot = state.held.get(lease.serial)
    if slot is None:
        return
    key_state = slot.key_state
    _count_dead_locked(state, now, slot)
    state.count_close_locked(now, slot, reasons.STALE)
    key_state.counters.dialled += 1
    state.mark_serving_locked(slot)  # a lease that had it for a probe serves a request from now on
    emptied: Slot[K, R] = Slot(key_state)
    emptied.taken_at = slot.taken_at
    emptied.lease = slot.lease
    emptied.watch = slot.watch
    state.held[lease.serial] = emptied
    key_state.dialling += 1
    lease.slot = emptied
    lease.resource = None
    lease.reused = False


def discard_dead_locked(state: PoolState[K, R], now: float, lease: Lease[K, R]) -> None:
    """End a lease whose probe has found the resource dead, and schedule its close."""
    slot = state.held.get(lease.serial)
    if slot is None:
        return
    _count_dead_locked(state, now, slot)
    discard_locked(state, now, lease.serial, reasons.STALE)


def _count_dead_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Count a dead resource, and learn from how long it had been idle."""
    key_state = slot.key_state
    key_state.saw_closed(slot.idle_before, now)
    state.expiry.add(key_state, now)  # the idle limit may be lower now
    key_state.counters.stale_found += 1
    if state.listeners:
        state.events.append(StaleFound(key_state.origin, slot.idle_before))


def count_replay_locked(state: PoolState[K, R], now: float, key: K) -> None:
    """Count a request that was sent again because its reused connection was dead."""
    key_state = state.keys.get(key)
    counters = state.removed_counters if key_state is None else key_state.counters
    counters.replays += 1
