"""Which line acquired which lease: for leak reports, and for tests that must not leak.

Three things look for leaks:

    a finalizer       a lease was dropped without an end: always counted (`checkin`)
    `leak_threshold`  a lease is held and has not been used for so long (`pool_wide`)
    `LeaseTracker`    for test tools: every lease of the process, with the line that acquired it
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Protocol

from pooledhttp.records import record
from pooledhttp.runtime import caller_frame

__all__ = [
    "LeakedLease",
    "LeaseTracker",
    "caller_outside",
    "lease_tracker",
]

#: Every this many notes, the tracker drops those about leases that have ended.
_TIDY_COUNT = 1_000


def caller_outside() -> tuple[str, str]:
    """Return the file and line of the first frame outside the package, and the thread's name.

    The file and line are empty if there is no such frame, as in a greenlet of the package.
    """
    frame = caller_frame()
    where = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return where, threading.current_thread().name


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
        """Begin a test: forget all notes."""
        self._notes.clear()
        self._scope = 0

    def begin_scope(self) -> None:
        """Begin a new scope: `held` reports only leases acquired from now on."""
        self._scope += 1

    def note(self, pool: _TrackedPool, serial: int, origin: str, where: str, thread: str) -> None:
        """Note a lease that was acquired."""
        if len(self._notes) >= _TIDY_COUNT and len(self._notes) % _TIDY_COUNT == 0:
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
