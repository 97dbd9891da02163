"""The queues: which callers wait, and who gets a free slot.

Each key has its own queue, first come, first served. Queues of different keys compete only where
the limit of the whole pool stops them. A free slot goes to the first caller in the queue of its own
key, unless the first caller of another key may overtake (see `next_key_to_serve_locked`).

A caller may wait although there is room, to spare a dial (see `sparing`). Then room that becomes
free serves one caller, and the others wait on.

A caller has its slot as soon as the step that serves it releases the lock. Setting its
waiter afterwards only wakes it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

from pooledhttp.pool import reasons
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Slot, WaitingCaller, WaitState
from pooledhttp.pool.state import PoolState

__all__ = [
    "ReachedLimit",
    "count_timeout_locked",
    "enqueue_locked",
    "free_closed_slot_locked",
    "free_empty_slot_locked",
    "hand_over_locked",
    "leave_queue_locked",
    "next_key_to_serve_locked",
    "repair_queue_locked",
    "serve_locked",
    "wake_drainers_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def enqueue_locked(
    state: PoolState[K, R], key_state: KeyState[K, R], caller: WaitingCaller[K, R]
) -> None:
    """Put a caller at the end of the queue of its key."""
    key_state.waiting[caller.lease.serial] = caller
    state.waiting_total += 1
    if state.max_total != UNLIMITED:
        state.blocked.update(key_state)


def leave_queue_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], caller: WaitingCaller[K, R]
) -> bool:
    """Take a caller out of the queue; return False if its wait had ended before."""
    if caller.state is not WaitState.PENDING:
        return False
    caller.state = WaitState.LEFT
    del key_state.waiting[caller.lease.serial]
    state.waiting_total -= 1
    if state.max_total != UNLIMITED:
        state.blocked.update(key_state)  # the next caller is first now
    state.mark_unused_locked(now, key_state)
    return True


class ReachedLimit(NamedTuple):
    """The limit for which a caller got no slot, and who holds the slots.

    Attributes:
        setting: The name of the limit; empty if a slot has become free meanwhile.
        limit: Its value.
        waiting: The callers of the same key that wait, with the one that gave up.
        slots: The slots in use that count against it.
    """

    setting: str
    limit: int
    waiting: int
    slots: list[Slot[Any, Any]]


def count_timeout_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R]
) -> ReachedLimit:
    """Count a caller that got no slot in time, and return why."""
    key_state.counters.acquire_timeouts += 1
    slots = list(state.held.values())
    waiting = len(key_state.waiting) + 1
    if key_state.open >= key_state.max_open:
        slots = [slot for slot in slots if slot.key_state is key_state]
        return ReachedLimit("max_per_host", key_state.max_open, waiting, slots)
    setting = "max_total" if state.open_total >= state.max_total else ""
    return ReachedLimit(setting, state.max_total, waiting, slots)


def serve_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> None:
    """Give all free room to waiting callers: of this key, of keys that may overtake it, of others.

    It opens empty slots until the pool is full, or no caller waits that could use one.

    Args:
        state: Of the pool.
        now: The time.
        key_state: Its callers are served first.
    """
    blocked = state.blocked
    if state.max_total != UNLIMITED:
        blocked.update(key_state)
    while state.open_total < state.max_total:
        target: KeyState[K, R] | None = None
        if key_state.waiting and key_state.open < key_state.max_open:
            target = key_state
        if blocked:
            other = None
            if target:
                other = next_key_to_serve_locked(state, now, key_state, key_state.open + 1)
            target = other or target or blocked.longest_waiting()
        if target is None:
            return
        hand_over_locked(state, now, target, state.open_slot_locked(target))


def _serve_own_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> None:
    """Give free room to the callers of one key, until it is better for the next one to wait."""
    while key_state.waiting and not state.is_full_locked(key_state):
        hand_over_locked(state, now, key_state, state.open_slot_locked(key_state))
        if key_state.rate_to_wait_for(now):
            return


def next_key_to_serve_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], own_open: int
) -> KeyState[K, R] | None:
    """Return the other key that gets a free slot of `key_state`, or None if it keeps the slot.

    If no caller of `key_state` waits, the key whose caller has waited longest gets it. Otherwise
    that caller must first have waited longer than its patience. Then it overtakes in two cases:

    - its key has no slot, or at least two fewer than `key_state`: the shares become more even;
    - it has waited twice as long as the first caller of `key_state`, and longer by its patience.

    Overtaking closes a connection of one key and opens one of another. Under a load that makes all
    callers wait longer than their patience, the shares become even, and then each key serves its
    own queue. If only the waiting time counted, nearly every request would close a connection.

    Args:
        state: Of the pool.
        now: The time.
        key_state: The key whose slot is free.
        own_open: How many slots that key has, with the free one.
    """
    other = state.blocked.longest_waiting_except(key_state)
    if other is None or not key_state.waiting:
        return other
    first = next(iter(other.waiting.values()))
    waited = now - first.called_at
    if waited <= first.patience:
        return None
    own_wait = now - next(iter(key_state.waiting.values())).called_at
    evens_shares = not other.open or other.open + 1 < own_open
    waited_much_longer = waited > own_wait + max(own_wait, first.patience)
    return other if evens_shares or waited_much_longer else None


def hand_over_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    slot: Slot[K, R],
    caller: WaitingCaller[K, R] | None = None,
) -> None:
    """Give a slot to a caller in the queue; with None to the first one.

    The last lines remove the caller from the queue. If an interrupt comes before them, the caller
    has its slot and is still in the queue, where `repair_queue_locked` finds it and completes the
    hand-over. If the caller left the queue first, an interrupt in between would leave it waiting
    forever.
    """
    if caller is None:
        caller = next(iter(key_state.waiting.values()))
    lease = caller.lease
    lease.wait_seconds = now - caller.called_at
    key_state.counters.count_wait(lease.wait_seconds)
    if slot.resource is None:
        state.attach_empty_locked(now, slot, lease)
    else:
        state.attach_idle_locked(now, slot, lease)
    caller.state = WaitState.SERVED
    state.deferred.append((None, caller.waiter))
    del key_state.waiting[lease.serial]
    state.waiting_total -= 1
    if state.max_total != UNLIMITED:
        state.blocked.update(key_state)


def repair_queue_locked(state: PoolState[K, R], key_state: KeyState[K, R]) -> None:
    """Complete the hand-over that an interrupted step has begun."""
    for serial, caller in list(key_state.waiting.items()):
        slot, lease = state.held.get(serial), caller.lease
        if slot is not None:
            lease.slot, lease.resource = slot, slot.resource
            lease.reused, lease.idle_seconds = slot.resource is not None, slot.idle_before
            caller.state = WaitState.SERVED
        if caller.state is not WaitState.PENDING:
            state.deferred.append((None, caller.waiter))
            del key_state.waiting[serial]


def free_empty_slot_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Free the empty slot of a lease that has ended."""
    slot.key_state.dialling -= 1
    _free_room_locked(state, now, slot.key_state)


def free_closed_slot_locked(
    state: PoolState[K, R], now: float, slot: Slot[K, R], _: object = None
) -> None:
    """Free a slot whose resource has been closed.

    Args:
        state: Of the pool.
        now: The time.
        slot: After an interrupt this may run twice; then the slot is not in `closing` any more.
        _: Not used; a pending step has two arguments.
    """
    if slot in state.closing:
        state.closing.discard(slot)
        slot.key_state.closing -= 1
        _free_room_locked(state, now, slot.key_state)


def _free_room_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> None:
    """Uncount a slot, serve a caller that can use the room, wake `drain` when nothing is open."""
    was_full = state.open_total >= state.max_total
    key_state.open -= 1
    state.open_total -= 1
    if state.waiting_total:
        if was_full:
            serve_locked(state, now, key_state)
        else:  # callers of other keys wait for their own limit, or spare a dial
            _serve_own_locked(state, now, key_state)
        _close_idle_for_blocked_locked(state, now)
    if not key_state.open:
        state.mark_unused_locked(now, key_state)
    wake_drainers_locked(state)


def _close_idle_for_blocked_locked(state: PoolState[K, R], now: float) -> None:
    """Close an idle resource if a caller is blocked by the limit of the pool.

    A caller that came while there was room, and spares a dial, closes none at once. So there may be
    idle ones when it is blocked, or when it has overtaken another caller.
    """
    if not state.idle_total or state.longest_blocked_locked() is None:
        return
    largest = state.idle_index.largest()
    if largest is not None:
        state.idle_total -= 1
        state.schedule_close_locked(now, largest.idle.pop(0), reasons.MADE_ROOM)


def wake_drainers_locked(state: PoolState[K, R]) -> None:
    """Wake the callers of `drain` if nothing is open any more."""
    if state.drainers and not state.open_total:
        state.deferred.extend((None, waiter) for waiter in state.drainers)
        state.drainers.clear()
