"""How a lease gets a slot. Pure steps: see `state`.

`take_idle_locked` is the shortest way: the newest idle resource of the key, if it has not expired.
`find_slot_locked` is the whole search:

    1  the newest idle resource; a careful request needs it trusted   SLOT
    2  for a careful request: the oldest idle resource, to probe      PROBE  then it searches again
    3  an empty slot, if the limits allow it or one can be freed      SLOT
    4  nothing                                                        WAIT   in the queue, if wanted

In a burst, a caller may wait where this search would give it an empty slot: see `sparing`.

To make room, an idle resource may have to be closed. Then its slot is freed at once, and the
resource is added to `to_close`. The caller closes it before it puts another one into its own slot,
so that no more are open than the limits allow.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.pool import reasons
from pooledhttp.pool.checkin import (
    close_unusable_locked,
    reason_to_close_locked,
)
from pooledhttp.pool.key_state import KeyState, Slot
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.probing import lend_oldest_locked, replace_dead_locked
from pooledhttp.pool.queue import enqueue_locked, free_empty_slot_locked
from pooledhttp.pool.search import Search, SearchResult
from pooledhttp.pool.state import PoolState

__all__ = [
    "fill_locked",
    "find_slot_locked",
    "make_room_locked",
    "replace_dead_by_idle_locked",
    "reserve_locked",
    "swap_for_idle_locked",
    "take_idle_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def take_idle_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], lease: Lease[K, R]
) -> bool:
    """Give the newest idle slot to the lease, if its resource has not expired.

    Every request runs this, so the lines of `attach_idle_locked` are repeated here to save a call.
    For a moment the slot is in two containers, never in none, so that an interrupt between two
    lines cannot lose it.
    """
    idle = key_state.idle
    if not idle:
        return False
    slot = idle[-1]
    idle_seconds = now - slot.idle_since
    if now >= slot.keep_until or idle_seconds >= key_state.idle_limit:
        return False
    slot.lease = weakref.ref(lease)
    state.held[lease.serial] = slot
    idle.pop()
    state.idle_total -= 1
    lease.slot = slot
    lease.resource = slot.resource
    lease.reused = True
    lease.idle_seconds = slot.idle_before = idle_seconds
    slot.taken_at = now
    slot.uses += 1
    return True


def find_slot_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    search: Search[K, R],
) -> SearchResult:
    """Find a slot for a lease of the key, in the order of the module docstring."""
    if state.is_closed:
        return SearchResult.CLOSED
    lease = search.lease
    state.mark_used_locked(key_state)  # making room may drop unused keys, which must not hit this
    expired: Slot[K, R] | None = None
    if key_state.idle:
        key_state.forget_outdated(now)
        expired = _pop_expired_locked(state, now, key_state)
        if _take_trusted_locked(state, now, key_state, lease, careful=search.careful):
            if expired is not None:
                close_unusable_locked(state, now, expired)
            return SearchResult.SLOT
        if key_state.idle and search.may_probe and expired is None:
            lend_oldest_locked(state, now, key_state, lease)
            return SearchResult.PROBE
    if expired is not None:
        reason = reason_to_close_locked(state, now, expired)
        _free_at_once_locked(state, now, expired, reason, search.to_close)
    elif not make_room_locked(state, now, key_state, search.to_close):
        if search.caller is None:
            state.mark_unused_locked(now, key_state)
        else:
            enqueue_locked(state, key_state, search.caller)
        return SearchResult.WAIT
    state.attach_empty_locked(now, state.open_slot_locked(key_state), lease)
    return SearchResult.SLOT


def _pop_expired_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R]
) -> Slot[K, R] | None:
    """Remove the expired slots at the new end of the idle list.

    All but the last one are scheduled to be closed. The last one is returned: the search may free
    its slot at once for the lease. None if no slot has expired.
    """
    idle = key_state.idle
    limit = key_state.idle_limit
    spare: Slot[K, R] | None = None
    while idle and (now >= idle[-1].keep_until or now - idle[-1].idle_since >= limit):
        slot = idle.pop()
        state.idle_total -= 1
        if spare is not None:
            close_unusable_locked(state, now, spare)
        spare = slot
    return spare


def _take_trusted_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    lease: Lease[K, R],
    *,
    careful: bool,
) -> bool:
    """Give the newest idle slot to the lease; to a careful one only if it is trusted."""
    idle = key_state.idle
    if not idle or (careful and now - idle[-1].idle_since >= key_state.keepalive.trust):
        return False
    return take_idle_locked(state, now, key_state, lease)


def make_room_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], to_close: list[R]
) -> bool:
    """Free an idle slot if a limit leaves no room for another slot of the key.

    Args:
        state: Of the pool.
        now: The time.
        key_state: Of the key.
        to_close: The resource of the freed slot is added to it.

    Returns:
        Whether there is room now.
    """
    if key_state.open >= key_state.max_open:
        victim: KeyState[K, R] | None = key_state if key_state.idle else None
    elif state.open_total >= state.max_total:
        victim = state.idle_index.largest()
    else:
        return True
    if victim is None:
        return False
    slot = victim.idle.pop(0)
    state.idle_total -= 1
    _free_at_once_locked(state, now, slot, reasons.MADE_ROOM, to_close)
    return True


def _free_at_once_locked(
    state: PoolState[K, R], now: float, slot: Slot[K, R], reason: str, to_close: list[R]
) -> None:
    """Free a slot whose resource the caller closes right after this step."""
    key_state = slot.key_state
    assert slot.resource is not None
    to_close.append(slot.resource)
    state.count_close_locked(now, slot, reason)
    key_state.open -= 1
    state.open_total -= 1
    state.mark_unused_locked(now, key_state)


def fill_locked(
    state: PoolState[K, R], now: float, lease: Lease[K, R], resource: R
) -> Slot[K, R] | None:
    """Put a resource into the empty slot of a lease; None if the lease has ended.

    Raises:
        ValueError: The slot is not empty.
    """
    slot = state.held.get(lease.serial)
    if slot is None:
        return None
    if slot.resource is not None:
        raise ValueError("The lease already holds a resource; release or discard it first.")
    slot.resource = resource
    slot.opened_at = now
    slot.retire_at = state.draw_retire_at_locked(now)
    slot.uses = 1 if slot.serves_request else 0
    slot.key_state.dialling -= 1
    slot.key_state.counters.created += 1
    lease.resource = resource
    return slot


def reserve_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], lease: Lease[K, R]
) -> bool:
    """Give an empty slot to a lease that warms the key, if no request needs the room."""
    kept = len(key_state.idle) + key_state.not_serving
    is_idle_full = kept >= key_state.max_idle or state.idle_total >= state.max_idle_total
    if state.is_closed or is_idle_full or state.is_full_locked(key_state):
        return False
    state.mark_used_locked(key_state)
    slot = state.open_slot_locked(key_state)
    slot.serves_request = False
    state.attach_empty_locked(now, slot, lease)
    return True


def swap_for_idle_locked(
    state: PoolState[K, R], now: float, lease: Lease[K, R], careful: bool
) -> None:
    """Give a lease with an empty slot an idle slot of its key instead, and free the empty one.

    Nothing changes if no idle slot is usable.
    """
    slot = state.held.get(lease.serial)
    if slot is None or not slot.key_state.idle or slot.key_state.waiting:
        return
    key_state = slot.key_state
    if not _take_trusted_locked(state, now, key_state, lease, careful=careful):
        return
    key_state.counters.dialled -= 1
    assert lease.slot is not None
    lease.slot.watch = slot.watch
    free_empty_slot_locked(state, now, slot)


def replace_dead_by_idle_locked(
    state: PoolState[K, R], now: float, lease: Lease[K, R], careful: bool
) -> None:
    """Replace a dead resource by an idle one of the key if one is usable, else by an empty slot."""
    replace_dead_locked(state, now, lease)
    swap_for_idle_locked(state, now, lease, careful)
