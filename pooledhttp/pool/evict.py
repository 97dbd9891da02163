"""What is done to the whole state, or for all slots of a key. Pure steps: see `state`.

Evicting, resizing, shutting down, the snapshot of a key, and the recount after an interrupted step.
A walk over many keys calls a step for each key, so that the lock is held briefly. Only `resize`,
`shut_down` and `recount` handle all keys in one step.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from pooledhttp.pool.config import PoolConfig
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Outcome, Slot
from pooledhttp.pool.limits import Limits
from pooledhttp.pool.queue import repair_queue_locked, serve_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import OriginStats

__all__ = [
    "evict_locked",
    "recount_locked",
    "resize_locked",
    "shut_down_locked",
    "snapshot_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


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
    """Close the pool for good: send all waiting callers away, and close what is idle.

    All keys in one step: no caller may join a queue that is not served any more.
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

    Surplus leases are closed when they end.

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
    """Serve all queues; this also enters those that still wait into the index."""
    for key_state in list(state.keys.values()):
        if key_state.waiting:
            serve_locked(state, now, key_state)


def snapshot_locked(state: PoolState[K, R], now: float, key_state: KeyState[K, R]) -> OriginStats:
    """Freeze the numbers of a key."""
    counts = (
        key_state.in_use, len(key_state.idle), len(key_state.waiting), key_state.dialling,
    )  # fmt: skip
    max_open = None if key_state.max_open == UNLIMITED else key_state.max_open
    return key_state.counters.snapshot(now, key_state.origin, counts, key_state.leased, max_open)


def recount_locked(state: PoolState[K, R], now: float) -> None:
    """Set every counter to what the containers hold.

    An exception from outside, such as Ctrl-C, can interrupt a step in the middle. Then a slot can
    be in two containers, or in none while it is still counted. A slot in two belongs to its lease.
    A slot in none is lost, and its resource with it, but its room becomes free.
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
