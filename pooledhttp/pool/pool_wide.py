"""Steps that concern whole keys, or the whole pool. Pure steps: see `state`.

    for some keys      expire_locked        close what has expired
                       evict_locked         close the resources of a key
                       snapshots_locked     copy their numbers
    for all            find_leaks_locked    count the leases that are not used any more
                       drop_unused_locked   drop the states of unused keys
                       shortage_locked      which keys have too few idle resources
                       resize_locked        apply new settings
                       shut_down_locked     close the pool for good
                       await_drain_locked   tell when everything is closed
                       recount_locked       repair the state after an interrupted step

`maintenance` runs them; `core` runs the last one. A walk over many keys takes some of them at a
time, so that it holds the lock only briefly.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from math import inf
from typing import TypeVar

from pooledhttp.pool.checkin import close_expired_locked, count_leak_locked
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Outcome, Slot
from pooledhttp.pool.queue import repair_queue_locked, serve_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import OriginStats
from pooledhttp.runtime import Waiter

__all__ = [
    "await_drain_locked",
    "drop_unused_locked",
    "dropped_locked",
    "evict_locked",
    "expire_locked",
    "find_leaks_locked",
    "recount_locked",
    "resize_locked",
    "shortage_locked",
    "shut_down_locked",
    "snapshots_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def expire_locked(state: PoolState[K, R], now: float, keys: Iterable[KeyState[K, R]]) -> float:
    """Close the expired idle slots of some keys; return when the next one expires."""
    return min((_expire_key_locked(state, now, key_state) for key_state in keys), default=inf)


def _expire_key_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> float:
    """Close the expired idle slots of a key; return when the next one expires."""
    idle = key_state.idle
    if not idle:
        return inf
    key_state.forget_outdated(now)
    limit = key_state.idle_limit
    surplus = max(len(idle) - key_state.min_idle, 0) if key_state.min_idle else 0
    soonest = inf
    for slot in list(idle):
        end = min(slot.keep_until, slot.idle_since + limit)
        if surplus:  # `min_idle` slots are exempt from the idle timeout; the older ones are not
            end = min(end, slot.idle_since + state.idle_timeout)
            surplus -= 1
        if end > now:
            soonest = min(soonest, end)
            continue
        idle.remove(slot)
        state.idle_total -= 1
        close_expired_locked(state, now, slot)
    return soonest


def drop_unused_locked(state: PoolState[K, R], now: float) -> None:
    """Drop the states of keys that have been unused for long."""
    state.drop_unused_locked(now)


def find_leaks_locked(
    state: PoolState[K, R], now: float, threshold: float
) -> tuple[list[tuple[Slot[K, R], float]], float]:
    """Count the leases without a call in progress that have not been used for `threshold` seconds.

    Returns:
        The slots of the new ones, each with the seconds since its last use; and when the next lease
        can become one.
    """
    found = []
    soonest = inf
    for slot in list(state.held.values()):
        watch = slot.watch
        if watch is None or watch.is_reported:
            continue
        unused = now - watch.touched_at
        if watch.calls or unused < threshold:
            soonest = min(soonest, now + threshold - (0.0 if watch.calls else unused))
            continue
        count_leak_locked(state, now, slot)
        found.append((slot, unused))
    return found, soonest


def evict_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R], reason: str) -> int:
    """Close the idle resources of a key now, and those in use when they are given back.

    Returns:
        How many resources that concerns.
    """
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
    state.is_closed = True
    for key_state in list(state.keys.values()):
        while key_state.waiting:
            serial, caller = next(iter(key_state.waiting.items()))
            caller.outcome = Outcome.CLOSED
            state.deferred.append((None, caller.signal))
            del key_state.waiting[serial]
            state.waiting_total -= 1
        evict_locked(state, now, key_state, "closed")


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
    state.apply_config_locked(config)
    for key, new in limits.items():
        known = state.keys.get(key)
        if known is not None:
            state.apply_limits_locked(known, new)
    for key_state in list(state.keys.values()):
        idle = key_state.idle
        while idle and (
            len(idle) > key_state.max_idle
            or key_state.open - key_state.closing > key_state.max_open
        ):
            state.idle_total -= 1
            state.schedule_close_locked(now, idle.pop(0), "resized")
    while state.idle_total and (
        state.idle_total > state.max_idle_total
        or state.open_total - len(state.closing) > state.max_total
    ):
        largest = state.idle_index.largest()
        assert largest is not None
        state.idle_total -= 1
        state.schedule_close_locked(now, largest.idle.pop(0), "resized")
    _serve_all_locked(state, now)
    return True


def _serve_all_locked(state: PoolState[K, R], now: float) -> None:
    """Serve all queues, and add the callers that still wait to `BlockedIndex`."""
    for key_state in list(state.keys.values()):
        if key_state.waiting:
            serve_locked(state, now, key_state)


def await_drain_locked(state: PoolState[K, R], now: float, signal: Waiter) -> bool:
    """Have `signal` set when nothing is open any more; return False if nothing is open now."""
    if state.open_total:
        state.drainers.append(signal)
    return bool(state.open_total)


def shortage_locked(state: PoolState[K, R], now: float) -> list[tuple[K, int]]:
    """Return the keys with fewer idle slots than their minimum, and how many are missing."""
    return state.shortage_locked()


def snapshots_locked(
    state: PoolState[K, R], now: float, keys: Iterable[KeyState[K, R]]
) -> list[OriginStats]:
    """Freeze the numbers of some keys."""
    return [_snapshot_locked(now, key_state) for key_state in keys]


def _snapshot_locked(now: float, key_state: KeyState[K, R]) -> OriginStats:
    """Freeze the numbers of a key."""
    counts = (
        key_state.in_use, len(key_state.idle), len(key_state.waiting), key_state.dialling,
    )  # fmt: skip
    max_open = None if key_state.max_open == UNLIMITED else key_state.max_open
    return key_state.counters.snapshot(now, key_state.origin, counts, key_state.leased, max_open)


def dropped_locked(state: PoolState[K, R], now: float) -> OriginStats:
    """Freeze the sums of the keys whose state was dropped."""
    return state.dropped.summary()


def recount_locked(state: PoolState[K, R], now: float) -> None:
    """Count again, after an interrupted step, what the containers hold.

    An exception from outside, such as Ctrl-C, can interrupt a step in the middle. Then a slot can
    be in two containers: it is left to its lease. Or it can be in none, and still be counted: then
    it is lost, and its resource with it, but its room becomes free.
    """
    state.clear_indexes_locked()
    held = {id(slot) for slot in state.held.values()}
    in_use: dict[K, list[Slot[K, R]]] = {}
    for slot in state.held.values():
        in_use.setdefault(slot.key_state.key, []).append(slot)
    state.open_total = state.idle_total = state.waiting_total = 0
    for key_state in list(state.keys.values()):
        repair_queue_locked(state, key_state)
        own = in_use.get(key_state.key, [])
        if key_state.idle:
            key_state.idle[:] = [slot for slot in key_state.idle if id(slot) not in held]
        key_state.closing = sum(slot.key_state is key_state for slot in state.closing)
        key_state.open = len(own) + len(key_state.idle) + key_state.closing
        key_state.dialling = sum(slot.resource is None for slot in own)
        key_state.warming = sum(not slot.is_request for slot in own)
        state.open_total += key_state.open
        state.idle_total += len(key_state.idle)
        state.waiting_total += len(key_state.waiting)
        state.idle_index.update(key_state)
        if not key_state.open:
            state.mark_unused_locked(now, key_state)
    _serve_all_locked(state, now)
