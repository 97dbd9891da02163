"""Lists of URLs, as files hold them.

A line has a URL. White space around it does not count, nor does what follows a tab: a list of
failures has its reasons there. Blank lines and lines that begin with `#` do not count either. A
byte order mark before the first URL is skipped.

A list is read as bytes. Bytes that are not UTF-8 are percent-encoded one by one, so that the server
gets exactly what stands in the list.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

__all__ = ["UrlList", "items_of", "read_urls"]


class UrlList(Iterator[str]):
    """The URLs of a file, read once, a little at a time.

    A download that is stopped lists the rest of it among what is not done.

    Args:
        path: The file. Closed at its end, or by `close`.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file: BinaryIO = open(path, "rb")
        self.can_read_rest = self._file.seekable()
        self._urls = read_urls(self._file)

    def __next__(self) -> str:
        if self._file.closed:
            raise StopIteration
        url = next(self._urls, None)
        if url is None:
            self.close()
            raise StopIteration
        return url

    def count(self) -> int | None:
        """Return the number of URLs from here to the end; None for what can be read only once."""
        return sum(1 for _ in self.peek_rest()) if self.can_read_rest else None

    def peek_rest(self) -> Iterator[str]:
        """Yield the URLs from here to the end, and come back here."""
        if self._file.closed:
            return
        here = self._file.tell()
        try:
            yield from read_urls(self._file)
        finally:
            self._file.seek(here)

    @property
    def size(self) -> int:
        """The bytes of the file; 0 when they are not known."""
        return os.fstat(self._file.fileno()).st_size if self.can_read_rest else 0

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether the list is read from this file."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._file.fileno()))
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close the file. Doing it twice does nothing."""
        self._file.close()

    def __repr__(self) -> str:
        return f"<UrlList {self.path!r}>"


def items_of(source: Iterable[object]) -> Iterable[object]:
    """Return what a caller means by an input: the lines of an open file are a list."""
    return read_urls(source) if isinstance(source, io.IOBase) else source


def read_urls(lines: Iterable[bytes] | Iterable[str]) -> Iterator[str]:
    """Yield the URLs of a list.

    Args:
        lines: Its lines, as an open file yields them.
    """
    for line in lines:
        text = _decoded(line) if isinstance(line, bytes) else line
        url = text.lstrip("\ufeff").partition("\t")[0].strip()
        if url and not url.startswith("#"):
            yield url


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in line)
