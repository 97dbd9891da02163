"""The name of the file of an incomplete body: it says which version of what is in it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Part"]

_PART_NAME = re.compile(r"([0-9]+)\.([0-9]*)\.([0-9a-f]*)\.([0-9]*|any)")


class _FileName:
    """Makes the name of a part when it is asked for, once."""

    def __get__(self, part: Part | None, owner: type) -> str:
        assert part is not None, "each part has its own"
        row, total, mark, replaces = part
        if total is not None and replaces is None:  # as nearly always
            name = f"{row}.{total}.{mark}."
        else:
            size = "" if replaces is None else "any" if replaces < 0 else replaces
            name = f"{row}.{'' if total is None else total}.{mark}.{size}"
        part.__dict__["file_name"] = name
        return name


class _Fields(NamedTuple):
    row: int
    total: int | None
    mark: str
    replaces: int | None = None


class Part(_Fields):
    """A body that is being received.

    Its name tells which bytes it holds, so that bytes and validator cannot disagree, whenever the
    process is killed.

    Args:
        row: The number of its job in the journal.
        total: The length of the whole body; None when the server did not say.
        mark: A digest of the strong validator; empty when there is none, and then the part is of no
            use to a later attempt.
        replaces: The size of the file that it may replace, -1 for any file; None when it may
            replace none.
    """

    #: Its name in `parts/`.
    file_name = _FileName()

    @classmethod
    def parse(cls, name: str) -> Part | None:
        """Read a name; None when it is not the name of a part."""
        found = _PART_NAME.fullmatch(name)
        if found is None:
            return None
        row, total, mark, replaces = found.groups()
        return cls(
            int(row),
            int(total) if total else None,
            mark,
            -1 if replaces == "any" else int(replaces) if replaces else None,
        )
