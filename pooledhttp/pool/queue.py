"""The queues: which callers wait, and who gets a free slot.

Each key has its own queue, first come, first served. Queues of different keys compete only where
the limit of the whole pool stops them. A free slot goes to the first caller in the queue of its own
key, unless the first caller of another key may overtake (see `overtaking_key_locked`).

A caller has its slot as soon as the step that serves it releases the lock. The signal that follows
only wakes it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterable
from typing import TypeVar

from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Outcome, Slot, WaitingCaller
from pooledhttp.pool.state import PoolState

__all__ = [
    "enqueue_locked",
    "free_closed_slot_locked",
    "free_empty_slot_locked",
    "hand_over_locked",
    "leave_queue_locked",
    "overtaking_key_locked",
    "repair_queue_locked",
    "serve_locked",
    "timeout_error_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: How many leases the message of one timeout lists.
_MAX_HOLDERS = 10


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
    if caller.outcome is not Outcome.PENDING:
        return False
    caller.outcome = Outcome.LEFT
    del key_state.waiting[caller.lease.serial]
    state.waiting_total -= 1
    if state.max_total != UNLIMITED:
        state.blocked.update(key_state)  # the next caller is first now
    state.mark_unused_locked(now, key_state)
    return True


def timeout_error_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    waited_seconds: float,
    running: Collection[threading.Thread],
) -> PoolTimeout:
    """Count a caller that got no slot in time, and make its error.

    Args:
        state: Of the pool.
        now: The time.
        key_state: Of the key that the caller waited for.
        waited_seconds: How long it was in the queue.
        running: The threads that have not ended.
    """
    key_state.counters.acquire_timeouts += 1
    slots = list(state.held.values())
    if key_state.open >= key_state.max_open:
        slots = [slot for slot in slots if slot.key_state is key_state]
        in_use, limit, setting = key_state.in_use, key_state.max_open, "max_per_host"
    else:
        in_use, limit, setting = len(slots), state.max_total, "max_total"
    holders = _describe_holders_locked(slots, now, running)
    waiting = len(key_state.waiting) + 1
    limit_text = str(limit) if limit != UNLIMITED else "any number"
    message = (
        f"No connection to {key_state.origin} became free in {waited_seconds:.1f} s "
        f"(in use {in_use} of {limit_text}, waiting {waiting}). "
        f"Close responses you have finished reading, or raise {setting}."
    )
    if holders:
        message += " Held: " + "; ".join(holders) + "."
    if len(slots) > len(holders):
        message += f" And {len(slots) - len(holders)} more."
    return PoolTimeout(
        message,
        origin=key_state.origin,
        waited_seconds=waited_seconds,
        in_use=in_use,
        limit=None if limit == UNLIMITED else limit,
        waiting=waiting,
        holders=holders,
    )


def _describe_holders_locked(
    slots: Iterable[Slot[K, R]], now: float, running: Collection[threading.Thread]
) -> tuple[str, ...]:
    """Return a text for each slot in use, longest held first: origin, age, line and thread."""
    held = sorted(slots, key=lambda slot: slot.taken_at)
    texts = []
    for slot in held[:_MAX_HOLDERS]:
        text = f"{slot.origin} for {now - slot.taken_at:.1f} s"
        if slot.resource is None:
            text += ", dialling"
        if slot.watch is not None:
            text += str(slot.watch)
        else:
            lease = slot.lease() if slot.lease is not None else None
            thread = lease.thread() if lease is not None else None
            if thread is not None and thread in running:
                text += f" in {thread.name}"
            else:
                text += " in a thread that has ended"
        texts.append(text)
    return tuple(texts)


def serve_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> None:
    """Give all free room to waiting callers: of this key, of keys that may overtake it, of others.

    It opens empty slots until the pool is full, or no caller waits that could use one.
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
                other = overtaking_key_locked(state, now, key_state, key_state.open + 1)
            target = other or target or blocked.longest_wait()
        if target is None:
            return
        hand_over_locked(state, now, target, state.open_slot_locked(target))


def overtaking_key_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], open_before: int
) -> KeyState[K, R] | None:
    """Return the other key that gets a slot of `key_state`, or None.

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
        open_before: How many slots that key has, with the free one.
    """
    other = state.blocked.longest_wait_except(key_state)
    if other is None or not key_state.waiting:
        return other
    first = next(iter(other.waiting.values()))
    waited = now - first.since
    if waited <= first.patience:
        return None
    own_wait = now - next(iter(key_state.waiting.values())).since
    has_fewer = not other.open or other.open + 1 < open_before
    return other if has_fewer or waited > own_wait + max(own_wait, first.patience) else None


def hand_over_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], slot: Slot[K, R]
) -> None:
    """Give a slot to the first caller in the queue.

    The last lines remove the caller from the queue. If an interrupt comes before them, the caller
    has its slot and is still in the queue, where `repair_queue_locked` finds it and completes the
    hand-over. A caller that had left the queue before would wait for ever.
    """
    serial, caller = next(iter(key_state.waiting.items()))
    lease = caller.lease
    lease.wait_seconds = now - caller.since
    key_state.counters.count_wait(lease.wait_seconds)
    if slot.resource is None:
        state.attach_empty_locked(now, slot, lease)
    else:
        state.attach_idle_locked(now, slot, lease)
    caller.outcome = Outcome.SERVED
    state.deferred.append((None, caller.signal))
    del key_state.waiting[serial]
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
            caller.outcome = Outcome.SERVED
        if caller.outcome is not Outcome.PENDING:
            state.deferred.append((None, caller.signal))
            del key_state.waiting[serial]


def free_empty_slot_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Free the empty slot of a lease that has ended."""
    slot.key_state.dialling -= 1
    _free_room_locked(state, now, slot.key_state)


def free_closed_slot_locked(
    state: PoolState[K, R], now: float, slot: Slot[K, R], _: object = None
) -> None:
    """Free a slot whose resource has been closed."""
    if slot in state.closing:
        state.closing.discard(slot)
        slot.key_state.closing -= 1
        _free_room_locked(state, now, slot.key_state)


def _free_room_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> None:
    """Count one slot less, and serve a caller that can use the room."""
    key_state.open -= 1
    state.open_total -= 1
    if state.waiting_total:
        serve_locked(state, now, key_state)
    if not key_state.open:
        state.mark_unused_locked(now, key_state)
    if state.drainers and not state.open_total:
        state.deferred.extend((None, signal) for signal in state.drainers)
        state.drainers.clear()
