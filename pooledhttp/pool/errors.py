"""The errors of a pool, and their texts. They say what is in use, who holds it, and what to do."""

from __future__ import annotations

from collections.abc import Collection
from threading import Thread
from typing import Any

from pooledhttp.exceptions import PoolClosed, PoolTimeout
from pooledhttp.pool.key_state import UNLIMITED, Slot
from pooledhttp.pool.queue import ReachedLimit

__all__ = ["closed_error", "ended_error", "timeout_error"]

#: How many leases the message of one timeout lists.
_MAX_HOLDERS = 10


def closed_error(origin: str) -> PoolClosed:
    """Make the error for a caller that comes after `shutdown`."""
    return PoolClosed(
        f"No connection to {origin}: the pool was shut down. Create a new session.",
        origin=origin,
    )


def ended_error(origin: str) -> PoolClosed:
    """Make the error for a caller that fills the slot of a lease that has ended."""
    return PoolClosed(
        f"The new connection to {origin} was closed: its lease has ended meanwhile (it was"
        " released or discarded, or the process was forked). Acquire another lease.",
        origin=origin,
    )


def timeout_error(
    origin: str,
    waited_seconds: float,
    reached: ReachedLimit,
    now: float,
    running: Collection[Thread],
) -> PoolTimeout:
    """Make the error for a caller that got no slot in time.

    The slots are read without the lock: a text may tell of a lease that ends at this moment.

    Args:
        origin: Of the key.
        waited_seconds: How long the caller waited.
        reached: The limit for which it got no slot.
        now: The time.
        running: The threads that run. Why not `Thread.is_alive`: in Python 3.11 an interrupt in it
            marks a running thread as ended.
    """
    slots = sorted(reached.slots, key=lambda slot: slot.taken_at)
    holders = tuple(_holder_text(slot, now, running) for slot in slots[:_MAX_HOLDERS])
    return PoolTimeout(
        _timeout_text(origin, waited_seconds, reached, holders),
        origin=origin,
        waited_seconds=waited_seconds,
        in_use=len(reached.slots),
        limit=None if reached.limit == UNLIMITED else reached.limit,
        waiting=reached.waiting,
        holders=holders,
    )


def _timeout_text(
    origin: str, waited_seconds: float, reached: ReachedLimit, holders: Collection[str]
) -> str:
    """Return the message of a timeout: what is in use, what to do, and who holds connections."""
    text = f"No connection to {origin} became free in {waited_seconds:.1f} s "
    if not reached.setting:
        return text + "(one is free now). Try again, or wait longer: raise acquire_timeout."
    text += (
        f"(in use {len(reached.slots)} of {reached.limit}, waiting {reached.waiting}). "
        f"Read responses to their end or close them, or raise {reached.setting}."
    )
    if holders:
        text += " Held: " + "; ".join(holders) + "."
    if len(reached.slots) > len(holders):
        text += f" And {len(reached.slots) - len(holders)} more."
    return text


def _holder_text(slot: Slot[Any, Any], now: float, running: Collection[Thread]) -> str:
    """Return what holds a slot: origin, how long, and the line or the thread."""
    text = f"{slot.origin} for {max(now - slot.taken_at, 0.0):.1f} s"
    if slot.resource is None:
        text += ", dialling"
    if slot.watch is not None:
        return text + str(slot.watch)
    lease = slot.lease() if slot.lease is not None else None
    if lease is None:
        return text + " by a lease that was dropped"
    thread = lease.thread_ref()
    if thread is None or thread not in running:
        return text + " in a thread that has ended"
    return f"{text} in {thread.name}"
