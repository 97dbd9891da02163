"""Leaks: which leases are not used any more, and who holds them.

Three things look for leaks:

    a finalizer       a lease was dropped without an end: always counted (`count_leak_locked`)
    `leak_threshold`  a lease is held and has not been used for so long (`find_leaks_locked`)
    `LeaseTracker`    for test tools: every lease of the process, with the line that acquired it

`timeout_error_locked` makes the error of a caller that got no slot; it lists the leases in use.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Collection, Hashable, Iterable, Mapping
from math import inf
from typing import Protocol, TypeVar

from pooledhttp.events import Leaked
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool.key_state import UNLIMITED, KeyState, Slot
from pooledhttp.pool.state import PoolState
from pooledhttp.records import record

__all__ = [
    "LeakedLease",
    "LeaseTracker",
    "caller_outside",
    "count_leak_locked",
    "describe_holders",
    "find_leaks_locked",
    "lease_tracker",
    "timeout_error_locked",
]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

_PACKAGE = __name__.partition(".")[0]

#: How many leases one message lists.
_MAX_HOLDERS = 10

#: Each time the tracker has this many notes more, it drops those about ended leases.
_TIDY_AT = 1_000


# -- leak detection


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
        age = now - slot.taken_at
        where, thread = ("", "") if watch is None else (watch.where, watch.thread)
        state.events.append(Leaked(key_state.origin, where, age, thread))


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


# -- who holds what, for messages


def caller_outside() -> tuple[str, str]:
    """Return the file and line of the first frame outside the package, and the thread's name.

    The file and line are empty if there is no such frame, as in a greenlet of the package.
    """
    frame = sys._getframe(1)
    thread = threading.current_thread().name
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != _PACKAGE and not name.startswith(_PACKAGE + "."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}", thread
        frame = frame.f_back  # type: ignore[assignment]
    return "", thread


def describe_holders(
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
    holders = describe_holders(slots, now, running)
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


# -- for test tools


class _TrackedPool(Protocol):
    """What the tracker reads of a pool."""

    @property
    def held(self) -> Mapping[int, object]:
        """The slots of the leases that have not ended."""


@record
class LeakedLease:
    """A lease that was not ended.

    Args:
        origin: What its resource connects to.
        where: File and line of the caller that acquired it; empty if unknown.
        thread: The name of that caller's thread.
        was_dropped: Whether the lease was dropped; otherwise it is still held.
    """

    origin: str
    where: str
    thread: str
    was_dropped: bool

    def __str__(self) -> str:
        how = "dropped" if self.was_dropped else "still held"
        return f"{self.origin}, taken at {self.where or '?'} in {self.thread}: {how}"


class _Note:
    __slots__ = ("origin", "pool", "scope", "thread", "was_dropped", "where")

    def __init__(
        self, pool: _TrackedPool, origin: str, where: str, thread: str, scope: int
    ) -> None:
        self.pool = weakref.ref(pool)
        self.origin = origin
        self.where = where
        self.thread = thread
        self.scope = scope
        self.was_dropped = False


class LeaseTracker:
    """Notes about the leases of all pools of the process, for tests that must not leak.

    It is off until a test tool starts it, and costs one look at a flag per pool until then. After
    that, each new pool notes each lease with the line that acquired it. Callers and finalizers make
    the notes, so there is no lock, only single operations on a dict.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._scope = 0
        self._notes: dict[tuple[int, int], _Note] = {}

    def start(self) -> None:
        """Take notes from now on, for pools that are made from now on."""
        self.is_on = True

    def stop(self) -> None:
        """Take no more notes, and forget all."""
        self.is_on = False
        self._notes.clear()

    def begin(self) -> None:
        """Forget all notes."""
        self._notes.clear()
        self._scope = 0

    def begin_scope(self) -> None:
        """Begin a new scope: `held` reports only leases acquired from now on."""
        self._scope += 1

    def note(self, pool: _TrackedPool, serial: int, origin: str, where: str, thread: str) -> None:
        """Note a lease that was acquired."""
        if len(self._notes) >= _TIDY_AT and len(self._notes) % _TIDY_AT == 0:
            self._tidy()
        self._notes[id(pool), serial] = _Note(pool, origin, where, thread, self._scope)

    def note_dropped(self, pool: object, serial: int) -> None:
        """Note that a lease was dropped without an end."""
        note = self._notes.get((id(pool), serial))
        if note is not None:
            note.was_dropped = True

    def dropped(self) -> list[LeakedLease]:
        """Return the leases dropped since `begin`, and forget them."""
        found = []
        for key, note in list(self._notes.items()):
            if note.was_dropped:
                found.append(LeakedLease(note.origin, note.where, note.thread, True))
                self._notes.pop(key, None)
        return found

    def held(self) -> list[LeakedLease]:
        """Return the leases acquired in this scope that have not ended."""
        return [
            LeakedLease(note.origin, note.where, note.thread, False)
            for (_, serial), note in list(self._notes.items())
            if note.scope == self._scope and _is_held(note, serial)
        ]

    def _tidy(self) -> None:
        for key, note in list(self._notes.items()):
            if not note.was_dropped and not _is_held(note, key[1]):
                self._notes.pop(key, None)


def _is_held(note: _Note, serial: int) -> bool:
    pool = note.pool()
    return pool is not None and not note.was_dropped and serial in pool.held


#: The tracker of this process.
lease_tracker = LeaseTracker()
