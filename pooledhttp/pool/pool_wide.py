"""Steps that concern whole keys, or the whole pool. Pure steps: see `state`.

    for some keys      expire_due_locked    close what has expired
                       evict_locked         close the resources of a key
                       snapshots_locked     copy their numbers
    for all            count_new_leaks_locked  count the leases that are not used any more
                       shortage_locked      which keys have too few idle resources
                       resize_locked        apply new settings
                       shut_down_locked     close the pool for good
                       add_drainer_locked   note who waits until everything is closed
                       repair_locked        repair the state after an interrupted step

`maintenance` runs them; `core` runs the last one. A walk over many keys takes some of them at a
time, so that it holds the lock only briefly.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from math import inf
from typing import TypeVar

from pooledhttp.pool import reasons
from pooledhttp.pool.checkin import close_unusable_locked, count_leak_locked
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Slot, WaitState
from pooledhttp.pool.queue import repair_queue_locked, serve_locked, wake_drainers_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import OriginStats
from pooledhttp.runtime import Waiter

__all__ = [
    "add_drainer_locked",
    "removed_stats_locked",
    "evict_locked",
    "expire_due_locked",
    "count_new_leaks_locked",
    "repair_locked",
    "resize_locked",
    "shortage_locked",
    "shut_down_locked",
    "snapshots_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def expire_due_locked(state: PoolState[K, R], now: float, at_most: int) -> float:
    """Close the expired idle slots of at most so many keys.

    Returns:
        When the next key has to be looked at: not later than now if there are more keys with
        expired slots.
    """
    for _ in range(at_most):
        key_state = state.expiry.pop_due(now)
        if key_state is None:
            break
        state.expiry.add(key_state, _expire_key_locked(state, now, key_state))
        if not key_state.idle:
            state.idle_index.remove(key_state)  # its next idle slot adds it to both indexes again
    return state.expiry.next_time()


def _expire_key_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> float:
    """Close the expired idle slots of a key; return when the next one expires."""
    idle = key_state.idle
    if not idle:
        return inf
    key_state.forget_outdated(now)
    limit = key_state.idle_limit
    # `idle_limit` lacks the idle timeout if the key has a minimum (see `apply_limits`). The oldest
    # slots, those beyond the minimum, have that timeout.
    beyond_minimum = max(len(idle) - key_state.min_idle, 0) if key_state.min_idle else 0
    soonest = inf
    for slot in list(idle):
        end = min(slot.keep_until, slot.idle_since + limit)
        if beyond_minimum:
            end = min(end, slot.idle_since + state.idle_timeout)
            beyond_minimum -= 1
        if end > now:
            soonest = min(soonest, end)
            continue
        idle.remove(slot)
        state.idle_total -= 1
        close_unusable_locked(state, now, slot)
    return soonest


def count_new_leaks_locked(
    state: PoolState[K, R], now: float, threshold: float
) -> tuple[list[tuple[Slot[K, R], float]], float]:
    """Count the leases without a call in progress that have not been used for `threshold` seconds.

    Returns:
        The newly leaked slots, each with the seconds since its last use; and when the next lease
        can be one.
    """
    found = []
    soonest = inf
    for slot in list(state.held.values()):
        watch = slot.watch
        if watch is None or watch.is_reported:
            continue
        unused = now - watch.touched_at
        if watch.calls or unused < threshold:
            soonest = min(soonest, threshold + (now if watch.calls else watch.touched_at))
            continue
        count_leak_locked(state, now, slot)
        found.append((slot, unused))
    return found, soonest


def evict_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R], reason: str) -> int:
    """Close the idle resources of a key now, and those in use when they are given back.

    Returns:
        How many resources that concerns.
    """
    state.was_changed = True
    count = key_state.open - key_state.closing
    key_state.epoch += 1
    state.idle_total -= len(key_state.idle)
    while key_state.idle:
        state.schedule_close_locked(now, key_state.idle.pop(0), reason)
    return count


def shut_down_locked(state: PoolState[K, R], now: float) -> None:
    """Close the pool for good: end the wait of all callers, and close all idle resources.

    All keys in one step, so that no caller can join a queue that is no longer served.
    """
    state.was_changed = state.is_closed = True
    for key_state in list(state.keys.values()):
        while key_state.waiting:
            serial, caller = next(iter(key_state.waiting.items()))
            caller.state = WaitState.CLOSED
            state.deferred.append((None, caller.waiter))
            del key_state.waiting[serial]
            state.waiting_total -= 1
        evict_locked(state, now, key_state, reasons.CLOSED)


def resize_locked(
    state: PoolState[K, R], now: float, config: PoolConfig, limits: Mapping[K, Limits]
) -> bool:
    """Apply new settings: close surplus idle resources, and serve callers if there is room.

    If more slots are in use than the new limits allow, resources are closed as their leases end.

    Returns:
        False, and nothing is changed, if `limits` lacks a key.
    """
    if not limits.keys() >= state.keys.keys():
        return False
    state.was_changed = True
    state.apply_config_locked(config)
    for key, new in limits.items():
        known = state.keys.get(key)
        if known is not None:
            state.apply_limits_locked(known, new)
            state.expiry.add(known, now)  # its idle slots may expire earlier
    for key_state in list(state.keys.values()):
        idle = key_state.idle
        while idle and (
            len(idle) > key_state.max_idle
            or key_state.open - key_state.closing > key_state.max_open
        ):
            state.idle_total -= 1
            state.schedule_close_locked(now, idle.pop(0), reasons.RESIZED)
    while state.idle_total and (
        state.idle_total > state.max_idle_total
        or state.open_total - len(state.closing) > state.max_total
    ):
        largest = state.idle_index.largest()
        assert largest is not None
        state.idle_total -= 1
        state.schedule_close_locked(now, largest.idle.pop(0), reasons.RESIZED)
    _serve_all_locked(state, now)
    return True


def _serve_all_locked(state: PoolState[K, R], now: float) -> None:
    """Serve all queues, and add the callers that still wait to `BlockedIndex`."""
    for key_state in list(state.keys.values()):
        if key_state.waiting:
            serve_locked(state, now, key_state)


def add_drainer_locked(state: PoolState[K, R], now: float, waiter: Waiter) -> bool:
    """If anything is open, set `waiter` once nothing is; return whether anything is open."""
    if state.open_total:
        state.drainers.append(waiter)
    return bool(state.open_total)


def shortage_locked(state: PoolState[K, R], now: float) -> list[tuple[K, int]]:
    """Return the keys with fewer idle slots than their minimum, and how many are missing."""
    found = []
    for key_state in state.keys_with_minimum():
        missing = key_state.min_idle - len(key_state.idle) - key_state.not_serving
        missing = min(missing, key_state.max_open - key_state.open)
        if missing > 0:
            found.append((key_state.key, missing))
    return found


def snapshots_locked(
    state: PoolState[K, R], now: float, key_states: Iterable[KeyState[K, R]]
) -> list[OriginStats]:
    """Return the numbers of some keys."""
    return [_snapshot_locked(now, key_state) for key_state in key_states]


def _snapshot_locked(now: float, key_state: KeyState[K, R]) -> OriginStats:
    """Return the numbers of a key."""
    counts = (
        key_state.in_use, len(key_state.idle), len(key_state.waiting), key_state.dialling,
    )  # fmt: skip
    max_open = None if key_state.max_open == UNLIMITED else key_state.max_open
    return key_state.counters.snapshot(now, key_state.origin, counts, key_state.serving, max_open)


def removed_stats_locked(state: PoolState[K, R], now: float) -> OriginStats:
    """Return the sums of the keys whose state was dropped."""
    return state.removed_counters.without_rates()


def repair_locked(state: PoolState[K, R], now: float) -> None:
    """Repair the state after an interrupted step, by what the containers hold.

    It removes duplicates, counts again, completes hand-overs, and wakes the callers that wait.

    An exception from outside, such as Ctrl-C, can interrupt a step in the middle. Then a slot can
    be in two containers: it is left to its lease. Or it can be in none, and still be counted: then
    it is lost, and its resource with it, but its room becomes free.
    """
    state.clear_indexes_locked()
    held = {id(slot) for slot in state.held.values()}
    slots_by_key: dict[K, list[Slot[K, R]]] = {}
    for slot in state.held.values():
        slots_by_key.setdefault(slot.key_state.key, []).append(slot)
    state.open_total = state.idle_total = state.waiting_total = 0
    for key_state in list(state.keys.values()):
        repair_queue_locked(state, key_state)
        own = slots_by_key.get(key_state.key, [])
        if key_state.idle:
            key_state.idle[:] = [slot for slot in key_state.idle if id(slot) not in held]
        key_state.closing = sum(slot.key_state is key_state for slot in state.closing)
        key_state.open = len(own) + len(key_state.idle) + key_state.closing
        key_state.dialling = sum(slot.resource is None for slot in own)
        key_state.not_serving = sum(not slot.serves_request for slot in own)
        state.open_total += key_state.open
        state.idle_total += len(key_state.idle)
        state.waiting_total += len(key_state.waiting)
        state.idle_index.update(key_state)
        state.expiry.add(key_state, now)
        if not key_state.open:
            state.mark_unused_locked(now, key_state)
    _serve_all_locked(state, now)
    wake_drainers_locked(state)
