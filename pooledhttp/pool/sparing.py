"""How a caller spares a dial: it waits for a slot in use, although there is room for another one.

A dial costs CPU, several times as much as a request. In a burst, dials would take it from the
requests that are under way, more requests would come meanwhile, and each of them would dial, too.
`KeyState.rate_to_wait_for` decides who waits. Such a caller is in the queue like the others, with a
`SparedDial`. It is woken when it has been served; until then it looks now and then:

    join the queue --served--------------------------> it has a slot that was in use
      ^  '---- pause ends ---> dial_if_slow --slow---> all callers of the key get empty slots
      |                             |
      '-------- leases end fast ----'--half of its time is over: dial--> it gets an empty slot

If there is no room any more, it goes on waiting as the others do. Pure steps: see `state`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from pooledhttp.pool.checkout import find_slot_locked, make_room_locked
from pooledhttp.pool.key_state import KeyState, WaitingCaller, WaitState
from pooledhttp.pool.queue import enqueue_locked, hand_over_locked
from pooledhttp.pool.search import Search, SearchResult
from pooledhttp.pool.state import PoolState

__all__ = ["dial_if_slow_locked", "dial_locked", "spare_or_find_locked"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


def spare_or_find_locked(
    state: PoolState[K, R], now: float, key_state: KeyState[K, R], search: Search[K, R]
) -> SearchResult:
    """Spare a dial if that is better now (SPARE); otherwise find a slot as `find_slot_locked`."""
    if key_state.idle or state.is_closed or not key_state.dial_cost:
        return find_slot_locked(state, now, key_state, search)
    rate = 0.0 if state.is_full_locked(key_state) else key_state.rate_to_wait_for(now)
    if not rate:
        return find_slot_locked(state, now, key_state, search)
    caller = search.caller
    if caller is not None:
        caller.spared_dial = key_state.spare_dial(rate)
        enqueue_locked(state, key_state, caller)
    return SearchResult.SPARE


def dial_if_slow_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    caller: WaitingCaller[K, R],
    to_close: list[R],
) -> bool:
    """Give the callers of a key empty slots, if leases have not ended fast enough.

    Args:
        state: Of the pool.
        now: The time.
        key_state: Of the key.
        caller: Its pause is over. Nothing happens if its wait has ended.
        to_close: The resource of a slot that is freed for it is added to it.

    Returns:
        Whether the wait of `caller` has ended. If not, leases end fast enough, or there is no room.
    """
    if caller.state is not WaitState.PENDING:
        return True
    assert caller.spared_dial is not None
    if not caller.spared_dial.has_slowed(key_state.counters.ended, key_state.dial_cost):
        return False
    if not dial_locked(state, now, key_state, caller, to_close):
        return False
    while key_state.waiting and not state.is_full_locked(key_state):
        hand_over_locked(state, now, key_state, state.open_slot_locked(key_state))
    return True


def dial_locked(
    state: PoolState[K, R],
    now: float,
    key_state: KeyState[K, R],
    caller: WaitingCaller[K, R],
    to_close: list[R],
) -> bool:
    """Give a caller in the queue an empty slot if there is room; the arguments are those above.

    Returns:
        Whether its wait has ended.
    """
    if caller.state is not WaitState.PENDING:
        return True
    if not make_room_locked(state, now, key_state, to_close):
        return False
    hand_over_locked(state, now, key_state, state.open_slot_locked(key_state), caller)
    return True
