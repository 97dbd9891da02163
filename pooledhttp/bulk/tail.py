"""The newest changes of a journal, in a short file that is written again and again.

To commit in SQLite costs two syncs and half a dozen pages, 800 us of CPU, although a group of
downloads that ended together has 3 kB to tell. So a group is written here, with one sync, and the
database gets what has gathered in one transaction. After a crash, and while another process reads,
the database *and* its tail say how things are.

The file has one line for each commit: a checksum, and in JSON the stamp of the database and a list
of changes. One that differs from the last change of its row, in this file, by its state alone has
only its row and its state: a file that was received and has its name now.

The transaction that takes the changes over also gives the database a new stamp, and the next line
goes to the start of the file again. So what counts are the first lines that have the database's
stamp. What is behind them is of the past, or was cut by a crash. A file that does not change its
length costs half the CPU to sync, and can be written when the disk is full.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from zlib import crc32

from pooledhttp.bulk.rows import Update

__all__ = ["Tail", "read_tail", "tail_path"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

#: Missing on macOS.
_sync = getattr(os, "fdatasync", os.fsync)


def tail_path(path: str) -> str:
    """Return the path of a journal's tail."""
    return f"{path}-tail"


class Tail:
    """The tail of a journal, for the process that writes it.

    Args:
        path: The path of the database.
        stamp: What the database is known by.
        size: The bytes at the start of the file that are not in the database yet, from `read_tail`.
            What is behind them is of the past.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str, stamp: str, size: int = 0) -> None:
        self._path = tail_path(path)
        self._stamp = stamp
        self._fd = os.open(self._path, _FLAGS, 0o666)
        #: Bytes of changes in it.
        self.size = size

    def append(self, changes: Sequence[Update], before: Mapping[int, Update]) -> None:
        """Write changes, and return when they are on the disk.

        Args:
            changes: The changes.
            before: The last change of each row that is in the file.

        Raises:
            OSError: They could not be written. The next call writes to the same place.
        """
        text = _encode([self._stamp, _told(changes, before)]).encode("ascii")
        data = b"%08x %b\n" % (crc32(text), text)
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], self.size + written)
        _sync(self._fd)
        self.size += len(data)

    def restart(self, stamp: str) -> None:
        """Begin again: the database has it all, and another stamp."""
        self._stamp = stamp
        self.size = 0

    def close(self, *, is_needed: bool) -> None:
        """Close the file; doing it twice does nothing.

        Args:
            is_needed: Whether it has changes that are not in the database. Else it is removed.
        """
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        if not is_needed:
            with suppress(OSError):
                os.unlink(self._path)


def _told(changes: Sequence[Update], before: Mapping[int, Update]) -> list[tuple[object, ...]]:
    """Return what is written of changes: the state alone where nothing else is new."""
    last_of = before.get
    return [
        change[:2]
        if (last := last_of(change[0])) is not None and last[2:] == change[2:]
        else change
        for change in changes
    ]


def read_tail(path: str, stamp: str) -> tuple[dict[int, Update], int]:
    """Return the last change of each row in a journal's tail, and the bytes that tell of them.

    Args:
        path: The path of the database.
        stamp: What the database is known by; the tail of another one has nothing for it.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        fd = os.open(tail_path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}, 0
    with os.fdopen(fd, "rb") as file:
        return _changes(file, stamp)


def _changes(lines: Iterable[bytes], stamp: str) -> tuple[dict[int, Update], int]:
    found: dict[int, Update] = {}
    size = 0
    for line in lines:
        # A cut line may go on with what stood there before, and be JSON all the same.
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if checksum != b"%08x" % crc32(text) or not line.endswith(b"\n"):
            break
        known, changes = json.loads(text)
        if known != stamp:
            break
        for number, state, *others in changes:
            found[number] = Update(number, state, *(others or found[number][2:]))
        size += len(line)
    return found, size
