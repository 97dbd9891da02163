"""How a lease ends, and what becomes of its resource. Pure steps: see `state`.

    release_locked        the resource is good: keep it, or close it if it is old, evicted or one
                          too many
    renew_locked          the same, where the holder uses it again at once
    discard_locked        the resource cannot be used again: close it
    reclaim_locked        the lease was dropped without an end: discard it, and count a leak
    return_unused_locked  the slot was given to a caller that has left: take it back

Each of these steps looks the lease up by its serial number, so a second end finds nothing and does
nothing. An empty slot is simply freed.

A good resource goes to the first waiting caller, else to the idle list of its key, else it is
closed. The idle list has the newest slot at its end, which is taken first. So slots that are not
needed grow old at the other end, and are closed there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.events import IdleOverflow, Leaked, LeaseEnded
from pooledhttp.pool import reasons
from pooledhttp.pool.key_state import KeyState, Slot
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.queue import free_empty_slot_locked, hand_over_locked, next_key_to_serve_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import BOUNDS_SECONDS

__all__ = [
    "close_unusable_locked",
    "reason_to_close_locked",
    "count_leak_locked",
    "discard_locked",
    "must_close_locked",
    "reclaim_locked",
    "release_locked",
    "renew_locked",
    "return_unused_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def release_locked(
    state: PoolState[K, R], now: float, serial: int, announced_seconds: float | None
) -> None:
    """End a lease whose resource can be used again.

    Every request runs this. To save calls it repeats the lines of `_count_end_locked` and
    `_add_idle_locked`, which serve the other ends.
    """
    slot = state.held.pop(serial, None)
    if slot is None:
        return
    key_state = slot.key_state
    if slot.serves_request:
        hold_seconds = now - slot.taken_at
        counters = key_state.counters
        counters.hold_seconds += hold_seconds
        counters.hold_counts[bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
        if now >= counters.roll_at:
            counters.roll_marks(now, key_state.serving)
        if state.listeners:
            state.events.append(LeaseEnded(key_state.origin, hold_seconds, "released"))
    else:
        state.mark_serving_locked(slot)
    if slot.resource is None:
        free_empty_slot_locked(state, now, slot)
        return
    if slot.idle_before > key_state.proved_alive_seconds:
        key_state.saw_alive(slot.idle_before)
    slot.idle_since = now
    slot.keep_until = slot.retire_at
    slot.watch = None
    # These two need no new value. Their old floats are freed now, while they are in the processor's
    # cache, and not when the slot is taken again.
    slot.taken_at = now
    slot.idle_before = 0.0
    if announced_seconds is not None:
        _learn_announced_locked(slot, now, announced_seconds)
    is_old = now >= slot.retire_at or slot.uses >= state.max_uses
    if is_old or (state.was_changed and must_close_locked(state, slot)):
        close_unusable_locked(state, now, slot)
        return
    idle = key_state.idle
    has_room = key_state.max_idle and state.idle_total < state.max_idle_total
    if state.waiting_total or idle or not has_room:
        _reuse_or_close_locked(state, now, slot)
        return
    # The common case: no caller waits, and no other slot is idle.
    idle.append(slot)
    state.idle_total += 1
    if not key_state.bucket or slot.keep_until < key_state.sweep_at:
        state.index_idle_locked(key_state, slot)


def renew_locked(state: PoolState[K, R], now: float, lease: Lease[K, R]) -> bool:
    """End one use of a lease's resource and begin the next one.

    It counts as what a release and the next acquire count, by the same lines, repeated to save
    calls. A caller that waits, a limit that was changed, or the age of the resource prevents it.

    Returns:
        Whether the next use has begun; if not, nothing was done.
    """
    slot = state.held.get(lease.serial)
    if slot is None or not slot.serves_request or slot.resource is None:
        return False
    has_use = state.waiting_total or state.was_changed or state.listeners or slot.watch is not None
    if has_use or now >= slot.retire_at or slot.uses >= state.max_uses:
        return False
    key_state = slot.key_state
    hold_seconds = now - slot.taken_at
    counters = key_state.counters
    counters.hold_seconds += hold_seconds
    counters.hold_counts[bisect_left(BOUNDS_SECONDS, hold_seconds)] += 1
    if now >= counters.roll_at:
        counters.roll_marks(now, key_state.serving)
    if slot.idle_before > key_state.proved_alive_seconds:
        key_state.saw_alive(slot.idle_before)
    slot.idle_since = slot.taken_at = now
    slot.idle_before = lease.idle_seconds = 0.0
    slot.uses += 1
    lease.reused = True
    return True


def _learn_announced_locked(slot: Slot[K, R], now: float, announced_seconds: float) -> None:
    """Note the idle limit that the peer has announced, for the slot and for its origin."""
    keepalive = slot.key_state.keepalive
    keepalive.learn_announced(announced_seconds)
    slot.keep_until = min(slot.retire_at, now + keepalive.usable_seconds(announced_seconds))


def discard_locked(state: PoolState[K, R], now: float, serial: int, reason: str) -> None:
    """End a lease whose resource cannot be used again, and schedule its close."""
    slot = state.held.pop(serial, None)
    if slot is None:
        return
    _count_end_locked(state, now, slot, reason)
    if slot.resource is None:
        free_empty_slot_locked(state, now, slot)
    else:
        state.schedule_close_locked(now, slot, reason)


def reclaim_locked(state: PoolState[K, R], now: float, serial: int, reason: str) -> None:
    """End a lease that was dropped without an end, and count a leak."""
    slot = state.held.get(serial)
    if slot is None:
        return
    count_leak_locked(state, now, slot)
    discard_locked(state, now, serial, reason)


def count_leak_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Count a leak and note the event, once per lease."""
    watch = slot.watch
    if watch is not None:
        if watch.is_reported:
            return
        watch.is_reported = True
    key_state = slot.key_state
    key_state.counters.leaks += 1
    if state.listeners:
        held_seconds = now - slot.taken_at
        where, thread = ("", "") if watch is None else (watch.where, watch.thread)
        state.events.append(Leaked(key_state.origin, where, held_seconds, thread))


def return_unused_locked(state: PoolState[K, R], now: float, serial: int) -> None:
    """End a lease whose caller left the queue just as it was served.

    The caller used nothing, so `dialled` or `uses` is taken back. Its wait stays counted.
    """
    slot = state.held.pop(serial, None)
    if slot is None:
        return
    if slot.resource is None:
        if slot.serves_request:
            slot.key_state.counters.dialled -= 1
        state.mark_serving_locked(slot)
        free_empty_slot_locked(state, now, slot)
        return
    if slot.serves_request:
        slot.uses -= 1
    state.mark_serving_locked(slot)
    slot.idle_before = 0.0
    slot.watch = None
    if now >= slot.keep_until or must_close_locked(state, slot):
        close_unusable_locked(state, now, slot)
    else:
        _reuse_or_close_locked(state, now, slot)


def _count_end_locked(state: PoolState[K, R], now: float, slot: Slot[K, R], reason: str) -> None:
    """Count how long a discarded lease was held, if it served a request."""
    if not slot.serves_request:
        state.mark_serving_locked(slot)
        return
    key_state = slot.key_state
    hold_seconds = now - slot.taken_at
    key_state.counters.count_hold(hold_seconds)
    if now >= key_state.counters.roll_at:
        key_state.counters.roll_marks(now, key_state.serving)
    if state.listeners:
        state.events.append(LeaseEnded(key_state.origin, hold_seconds, "discarded", reason))


# -- a working resource: used again, kept or closed


def _reuse_or_close_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Hand a working resource to a waiting caller, keep it idle, or schedule its close."""
    key_state = slot.key_state
    if (
        state.longest_blocked_locked() is not None
        and next_key_to_serve_locked(state, now, key_state, key_state.open) is not None
    ):
        # The close frees the room, and the other key gets it.
        state.schedule_close_locked(now, slot, reasons.MADE_ROOM)
        return
    if key_state.waiting:
        first = next(iter(key_state.waiting.values()))
        idle_seconds = now - slot.idle_since
        if first.careful and idle_seconds >= key_state.keepalive.trust:
            state.schedule_close_locked(now, slot, reasons.MADE_ROOM)
        else:
            hand_over_locked(state, now, key_state, slot)
        return
    _add_idle_locked(state, now, slot)


def _add_idle_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Add a slot to the idle list of its key; close one if there are too many or one expired."""
    key_state = slot.key_state
    idle = key_state.idle
    is_key_full = len(idle) >= key_state.max_idle
    if is_key_full or state.idle_total >= state.max_idle_total:
        victim = key_state if is_key_full else state.idle_index.largest()
        if victim is None or not victim.idle:  # the limit is zero
            _note_overflow_locked(state, key_state)
            state.schedule_close_locked(now, slot, reasons.IDLE_FULL)
            return
        _note_overflow_locked(state, victim)
        state.idle_total -= 1
        state.schedule_close_locked(now, victim.idle.pop(0), reasons.IDLE_FULL)
    elif len(idle) > key_state.min_idle and (
        now >= idle[0].keep_until or now - idle[0].idle_since >= state.idle_timeout
    ):
        # Each release closes one slot that is no longer needed. So the idle list shrinks to what
        # is used even if the pool is never swept.
        state.idle_total -= 1
        close_unusable_locked(state, now, idle.pop(0))
    idle.append(slot)
    state.idle_total += 1
    state.index_idle_locked(key_state, slot)


def _note_overflow_locked(state: PoolState[K, R], key_state: KeyState[K, R]) -> None:
    """Note that a resource of a key is closed because the limit of idle ones is reached."""
    state.overflowed = key_state
    if state.listeners:
        state.events.append(IdleOverflow(key_state.origin))


def close_unusable_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> None:
    """Schedule the close of a working resource that must not be used again, with its reason."""
    state.schedule_close_locked(now, slot, reason_to_close_locked(state, now, slot))


def must_close_locked(state: PoolState[K, R], slot: Slot[K, R]) -> bool:
    """Whether a returned resource must be closed for a reason other than its age."""
    key_state = slot.key_state
    return (
        slot.epoch != key_state.epoch
        or slot.uses >= state.max_uses
        or state.is_closed
        or key_state.open > key_state.max_open
        or state.open_total > state.max_total
    )


def reason_to_close_locked(state: PoolState[K, R], now: float, slot: Slot[K, R]) -> str:
    """Return why a working resource must not be used again, as statistics count it."""
    key_state = slot.key_state
    if slot.epoch != key_state.epoch:
        return reasons.EVICTED
    if state.is_closed:
        return reasons.CLOSED
    if slot.uses >= state.max_uses:
        return reasons.MAX_REQUESTS
    if now >= slot.retire_at:
        return reasons.MAX_LIFETIME
    if key_state.open > key_state.max_open or state.open_total > state.max_total:
        return reasons.RESIZED
    if now - slot.idle_since >= state.idle_timeout:
        return reasons.IDLE_TIMEOUT
    return reasons.IDLE_LIMIT
