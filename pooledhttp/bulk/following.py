"""A list that grows while it is read.

A run that follows a list takes what is there, goes on with what is appended, and never waits for
it inside the list: `is_ready` says whether there is a next item. The list ends when its file is
removed, renamed or replaced. A line counts when its end is there. A file that has become shorter
was written again: it is read from its start, as `tail -f` does. The run knows which jobs it
has done.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator

from pooledhttp.bulk.formats import FORMATS, UTF8_MARK, Item, decoded, form_of, format_of
from pooledhttp.bulk.inputs import FileSource

__all__ = ["FollowedList"]

#: What a line means by itself. A table has its names in the first line, and cells with line ends.
_FORMATS = ("txt", "jsonl")

_CHUNK_BYTES = 64 * 1024


class FollowedList(FileSource):
    """The items of a file that other programs append to.

    Args:
        path: The file.
        format: `"txt"` or `"jsonl"`; None for what the name of the file tells.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is a table, compressed, in UTF-16, or no regular file.
    """

    can_read_rest = True
    size = 0

    def __init__(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        self.path = os.fspath(path)
        self._format = format or format_of(self.path)
        if self._format not in _FORMATS or self.path.lower().endswith(".gz"):
            raise ValueError(f"only .txt and .jsonl can be followed, not {self.path}")
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe is to wait for its writer
            raise ValueError(f"{self.path} is no regular file, so it cannot be followed")
        self._file = open(path, "rb", buffering=0)
        form = form_of(self._file.read(4) or b"")
        self._file.seek(0)
        if form != "utf-8":
            self._file.close()
            what = "compressed" if form == "gzip" else "in UTF-16"
            raise ValueError(f"{self.path} is {what}; only UTF-8 can be followed")
        self._buffer = b""
        self._items: deque[Item] = deque()
        self._has_ended = False

    @property
    def is_ready(self) -> bool:
        """Whether `next` has something to say at once: an item, or that the list has ended."""
        return bool(self._items) or self._has_ended or self._read_on()

    def __next__(self) -> Item:
        if self._items:
            return self._items.popleft()
        raise StopIteration

    def peek_rest(self) -> Iterator[Item]:
        """Yield the items from here to what is the end now, and stay here."""
        while not self._file.closed and self._read_chunk():
            self._take_lines(is_last=False)  # chunk by chunk: a long buffer is slow to add to
        self._take_lines(is_last=True)
        yield from list(self._items)

    def count(self) -> None:
        """Return None: more may come."""

    def _read_on(self) -> bool:
        """Read what was appended; returns whether there is something to say."""
        if self._file.closed:
            self._has_ended = True
            return True
        has_gone = not self.is_file(self.path)  # asked first: what came before is read below
        while not self._items and self._read_chunk():
            self._take_lines(is_last=False)
        if self._items or not has_gone:
            return bool(self._items)
        self._take_lines(is_last=True)
        self._has_ended = True
        self.close()
        return True

    def _read_chunk(self) -> bool:
        at = self._file.tell()
        is_start = at == 0
        if os.fstat(self._file.fileno()).st_size < at:
            self._file.seek(0)
            self._buffer = b""
            is_start = True
        chunk = self._file.read(_CHUNK_BYTES) or b""
        self._buffer += chunk.removeprefix(UTF8_MARK) if is_start else chunk
        return bool(chunk)

    def _take_lines(self, *, is_last: bool) -> None:
        """Make items of the lines that are complete."""
        end = len(self._buffer) if is_last else self._buffer.rfind(b"\n") + 1
        lines, self._buffer = self._buffer[:end], self._buffer[end:]
        if lines:
            self._items.extend(FORMATS[self._format](map(decoded, lines.splitlines(keepends=True))))
