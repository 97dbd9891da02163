"""Who took a lease and did not end it, over all pools of the process: for tests that must not leak.

It is off, and costs one look at a flag per pool, until a test tool starts it. From then on every
pool that is made notes each lease with the line it was taken at; what was dropped, and what is
still held, can be asked for at any time. Notes are made by whoever takes a lease and by finalizers,
so there is no lock, only single steps on a dict.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

__all__ = ["Census", "Stray", "process_census"]

#: Notes about leases that have ended are thrown away when there are this many.
_TIDY_AT = 1_000


@dataclass(frozen=True, slots=True)
class Stray:
    """A lease that was not ended.

    Args:
        origin: Of the resource.
        where: File and line of the caller that took it.
        thread: Its name.
        was_dropped: Whether it was dropped; otherwise somebody still has it.
    """

    origin: str
    where: str
    thread: str
    was_dropped: bool

    def __str__(self) -> str:
        fate = "dropped" if self.was_dropped else "still held"
        return f"{self.origin}, taken at {self.where or '?'} in {self.thread}: {fate}"


class _Note:
    __slots__ = ("chapter", "origin", "pool", "thread", "was_dropped", "where")

    def __init__(self, pool: Any, origin: str, where: str, thread: str, chapter: int) -> None:
        self.pool = weakref.ref(pool)
        self.origin = origin
        self.where = where
        self.thread = thread
        self.chapter = chapter
        self.was_dropped = False


class Census:
    """The notes; see the module's text."""

    def __init__(self) -> None:
        self.is_on = False
        self._chapter = 0
        self._notes: dict[tuple[int, int], _Note] = {}

    def start(self) -> None:
        """Take notes from now on, of pools that are made from now on."""
        self.is_on = True

    def stop(self) -> None:
        """Take no more notes, and forget those there are."""
        self.is_on = False
        self._notes.clear()

    def begin(self) -> None:
        """Forget everything: what was taken before is not asked for any more."""
        self._notes.clear()
        self._chapter = 0

    def turn_the_page(self) -> None:
        """Tell what was taken so far from what is taken from now on."""
        self._chapter += 1

    def note(self, pool: Any, serial: int, origin: str, where: str, thread: str) -> None:
        """A lease was given."""
        if len(self._notes) >= _TIDY_AT and len(self._notes) % _TIDY_AT == 0:
            self._tidy()
        self._notes[id(pool), serial] = _Note(pool, origin, where, thread, self._chapter)

    def note_dropped(self, pool: Any, serial: int) -> None:
        """A lease was dropped without being ended."""
        note = self._notes.get((id(pool), serial))
        if note is not None:
            note.was_dropped = True

    def dropped(self) -> list[Stray]:
        """Return what was dropped since `begin`, and forget it."""
        found = []
        for key, note in list(self._notes.items()):
            if note.was_dropped:
                found.append(Stray(note.origin, note.where, note.thread, True))
                self._notes.pop(key, None)
        return found

    def held(self) -> list[Stray]:
        """Return what was taken since the last page was turned and is held."""
        return [
            Stray(note.origin, note.where, note.thread, False)
            for (_, serial), note in list(self._notes.items())
            if note.chapter == self._chapter and _is_held(note, serial)
        ]

    def _tidy(self) -> None:
        for key, note in list(self._notes.items()):
            if not note.was_dropped and not _is_held(note, key[1]):
                self._notes.pop(key, None)


def _is_held(note: _Note, serial: int) -> bool:
    pool = note.pool()
    return pool is not None and not note.was_dropped and pool.is_held(serial)


#: The one of this process.
process_census = Census()
