"""The input of a run: lists in files, and items that the caller passes.

A source may be asked what has not been read yet, because a run that is stopped lists it among what
is not done.
"""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, TextIO

from pooledhttp.bulk.formats import FORMATS, Item, format_of, read_items, read_urls
from pooledhttp.bulk.jobs import Job

__all__ = [
    "FileSource",
    "OpenList",
    "Source",
    "Sources",
    "UrlList",
    "is_iterable_of_items",
    "items_of",
]


class Source(Iterator[Item]):
    """Items that can be read once, and looked at again."""

    #: Whether `peek_rest` knows what comes; not of a pipe, say.
    can_read_rest: bool

    #: The bytes of the list; 0 when they are not known.
    size: int

    @property
    def is_ready(self) -> bool:
        """Whether `next` need not wait for more input; asked again later if not."""
        return True

    @abstractmethod
    def peek_rest(self) -> Iterator[Item]:
        """Yield the items from here to the end, and stay here."""

    @abstractmethod
    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether items are read from this file."""

    @abstractmethod
    def close(self) -> None:
        """Close the files. Doing it twice does nothing."""

    def count(self) -> int | None:
        """Return the number of items from here to the end; None for what can be read only once."""
        return sum(1 for _ in self.peek_rest()) if self.can_read_rest else None


class FileSource(Source):
    """A list in a file that is open; a subclass says how it is read."""

    path: str
    _file: BinaryIO | io.FileIO

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
        return f"<{type(self).__name__} {self.path!r}>"


class UrlList(FileSource):
    """The items of a file, read once, a little at a time.

    Args:
        path: The file. Closed at its end, or by `close`.
        format: `"txt"`, `"csv"`, `"tsv"` or `"jsonl"`; None for what the name of the file tells.
            Whether it is compressed by gzip is seen in the file itself.

    Raises:
        OSError: It cannot be opened.
        ValueError: There is no such format.
    """

    def __init__(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        self.path = os.fspath(path)
        self._format = _checked(format or format_of(self.path))
        self._file = open(path, "rb")
        self.can_read_rest = self._file.seekable()
        self.size = os.fstat(self._file.fileno()).st_size if self.can_read_rest else 0
        self._items = read_items(self._file, self._format)
        self._taken = 0

    def __next__(self) -> Item:
        if self._file.closed:
            raise StopIteration
        item = next(self._items, None)
        if item is None:
            self.close()
            raise StopIteration
        self._taken += 1
        return item

    def peek_rest(self) -> Iterator[Item]:
        """Yield the items from here to the end, and stay here."""
        if self._file.closed:
            return
        again = io.BufferedReader(_FromStart(self._file.fileno(), self.path), 1 << 16)
        yield from islice(read_items(again, self._format), self._taken, None)


class OpenList(Source):
    """The items of an open file that can be read once: standard input, a pipe.

    Args:
        stream: The file, in bytes or in text. It is not closed.
        format: As for `UrlList`.
    """

    can_read_rest = False
    size = 0

    def __init__(self, stream: BinaryIO | TextIO, format: str | None = None) -> None:
        reader = FORMATS[_checked(format or "txt")]
        if isinstance(stream, io.TextIOBase):
            self._items = reader(line.lstrip("\ufeff") for line in stream)
        else:
            self._items = read_items(stream, format or "txt")  # type: ignore[arg-type]

    def __next__(self) -> Item:
        return next(self._items)

    def peek_rest(self) -> Iterator[Item]:
        """Yield nothing: it is not known."""
        return iter(())

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Return False: no path is known."""
        return False

    def close(self) -> None:
        """Do nothing."""


class Sources(Source):
    """Items that are given, and then those of several lists.

    Args:
        given: URLs and jobs.
        lists: The lists, read one after the other.
        method: The method of those that are only a URL.
    """

    def __init__(
        self, given: Sequence[Item], lists: Sequence[Source] = (), method: str = "GET"
    ) -> None:
        self._method = method
        self._given = given
        self._lists = lists
        self._taken = 0
        self._items = chain(given, *lists)
        self.can_read_rest = all(each.can_read_rest for each in lists)
        self.size = sum(map(len, map(str, given))) + sum(each.size for each in lists)

    @property
    def is_ready(self) -> bool:
        """Whether the URLs that are given are not all taken, or each list is ready."""
        return self._taken < len(self._given) or all(each.is_ready for each in self._lists)

    def __next__(self) -> Item:
        item = next(self._items)
        self._taken += 1
        return self._with_method(item)

    def count(self) -> int | None:
        """Return the number of items from here to the end; None if a list does not know its own."""
        total = len(self._given[self._taken :])
        for each in self._lists:
            number = each.count()
            if number is None:
                return None
            total += number
        return total

    def peek_rest(self) -> Iterator[Item]:
        """Yield the items from here to the end, and stay here."""
        yield from map(self._with_method, self._given[self._taken :])
        for each in self._lists:
            yield from map(self._with_method, each.peek_rest())

    def _with_method(self, item: Item) -> Item:
        if self._method != "GET" and isinstance(item, str):
            return Job(item, self._method)
        return item

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether one of the lists is read from this file."""
        return any(each.is_file(path) for each in self._lists)

    def close(self) -> None:
        """Close the lists. Doing it twice does nothing."""
        for each in self._lists:
            each.close()


def is_iterable_of_items(source: object) -> bool:
    """Whether an input is an iterable, and not a single URL or job."""
    if isinstance(source, (str, bytes, Job)):
        return False
    return hasattr(source, "__iter__") or hasattr(source, "__getitem__")


def items_of(source: Iterable[object]) -> Iterable[object]:
    """Return what a caller means by an input: the lines of an open file are a list."""
    return read_urls(source) if isinstance(source, io.IOBase) else source


def _checked(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    return format


class _FromStart(io.RawIOBase):
    """Reads an open file from its start, without moving the place where others read on."""

    def __init__(self, fd: int, name: str) -> None:
        self.name = name  # for errors
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = os.pread(self._fd, len(view), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
