"""What earlier runs left in a directory: parts of bodies, and renames that were under way.

A run may end at any moment. The next one finds

```
received, with its part            -> the rename is done now
received, the file under its name  -> only `done` was missing
received, neither                  -> pending again
a part with a strong validator     -> kept for the job of its row
any other part                     -> removed
```
"""

from __future__ import annotations

from collections.abc import Callable

from pooledhttp.bulk.folder import ForeignFile, RunFolder
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rows import Row, State, Update

__all__ = ["Leftovers"]


class Leftovers:
    """Parts and renames of a directory.

    Args:
        journal: What is remembered.
        folder: What is there.
    """

    def __init__(self, journal: Journal, folder: RunFolder) -> None:
        self.journal = journal
        self.folder = folder
        #: Parts that a later attempt may use, by row.
        self.parts: dict[int, Part] = {}

    def recover(self) -> None:
        """Finish renames that were under way, and remove parts that are of no use.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        for name, part in list(self.folder.parts()):
            if part is None or not self._is_of_use(part):
                self.folder.remove_part_file(name)
            else:
                self.parts[part.row] = part
        self.finish_renames()

    def finish_renames(self) -> None:
        """Commit, and give every part that is received its name.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        self.journal.commit()
        for row in list(self.journal.rows(State.RECEIVED)):
            self._finish_rename(row)
        self.journal.commit()

    def drop_parts(self, is_wanted: Callable[[int], bool]) -> None:
        """Remove the parts that no later run can use.

        Args:
            is_wanted: Whether the job of a row may be in the input of a later run.
        """
        for name, part in list(self.folder.parts()):
            if part is None or not self._is_of_use(part) or not is_wanted(part.row):
                self.folder.remove_part_file(name)

    # -- inside

    def _is_of_use(self, part: Part) -> bool:
        row = self.journal.row(part.row)
        if row is None or row.name is None:
            return False
        if row.state == State.RECEIVED:
            return self.folder.part_size(part) == row.size
        return bool(part.mark) and row.state in (State.RUNNING, State.FAILED, State.PENDING)

    def _finish_rename(self, row: Row) -> None:
        assert row.name is not None
        part = self.parts.get(row.id)
        if part is not None:
            if self.folder.is_there(part, row.name):
                self.folder.remove(part)
            else:
                try:
                    self.folder.publish(part, row.name)
                except ForeignFile:
                    return  # told when the job comes up
            del self.parts[row.id]
            self._set_state(row, State.DONE)
        elif self.folder.size_of(row.name) == row.size:
            self._set_state(row, State.DONE)
        else:
            self._set_state(row, State.PENDING)

    def _set_state(self, row: Row, state: State) -> None:
        self.journal.record(
            Update(
                row.id,
                state,
                row.status,
                row.etag,
                row.modified,
                row.size,
                row.digest,
                row.attempts,
                None,
                row.started,
                row.ended,
                row.waited,
            )
        )
