"""Changes that threads have recorded, until they are committed."""

from __future__ import annotations

from collections.abc import Sequence

from pooledhttp.bulk.rows import Update
from pooledhttp.runtime import new_lock

__all__ = ["Changes"]


class Changes:
    """Changes in the order of recording, each with a number. Any thread may use them."""

    def __init__(self) -> None:
        self._lock = new_lock()  # guards the three below
        self._waiting: list[Update] = []
        self._handed_in = 0
        self._committed = 0

    def add(self, change: Update) -> int:
        """Record a change; return its number."""
        with self._lock:
            self._waiting.append(change)
            self._handed_in += 1
            return self._handed_in

    def add_all(self, changes: Sequence[Update]) -> int:
        """Record changes; return the number of the last one."""
        with self._lock:
            self._waiting += changes
            self._handed_in += len(changes)
            return self._handed_in

    def is_committed(self, number: int) -> bool:
        """Whether this change, and all before it, are committed."""
        return self._committed >= number

    def last(self) -> int:
        """Return the number of the last change."""
        with self._lock:
            return self._handed_in

    def waiting(self) -> tuple[int, list[Update]]:
        """Return the number of the last change, and all that are not committed."""
        with self._lock:
            return self._handed_in, list(self._waiting)

    def last_of(self, row: int) -> Update | None:
        """Return the last change of a row that is not committed."""
        with self._lock:
            return next((each for each in reversed(self._waiting) if each.id == row), None)

    def mark_committed(self, number: int, count: int) -> None:
        """Forget what `waiting` returned: it is committed.

        An interrupt before this call leaves changes that are written once more, which does no harm.
        """
        with self._lock:
            del self._waiting[:count]
            self._committed = number
