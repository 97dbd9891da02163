"""Bodies to send that must not be read on the event loop as they are.

async iterable            each piece is awaited by the task of the request
async iterator            the same; like a generator, it cannot be sent again
async file (`aiofiles`)   each `read` is awaited; it cannot be sent again either
file                      `read` runs on a worker thread, since a disk can be slow
in memory (`BytesIO`)     as it is
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import EventedRuntime

__all__ = ["as_body", "as_files"]

#: Bytes read from a file at a time.
PIECE_BYTES = 128 * 1024

_END: Any = object()

_IN_MEMORY = (io.BytesIO, io.StringIO)


def as_body(data: Any, runtime: EventedRuntime) -> Any:
    """Return a body that can be read by synchronous code without blocking the loop."""
    read = getattr(data, "read", None)
    if read is not None and inspect.iscoroutinefunction(read):
        return _AsyncIterator(_pieces_of(data), runtime)
    if hasattr(data, "__anext__"):
        return _AsyncIterator(aiter(data), runtime)
    if hasattr(data, "__aiter__"):
        return _AsyncPieces(data, runtime)
    if callable(read) and not isinstance(data, _IN_MEMORY):
        kind = _SizedFileOffLoop if hasattr(data, "__len__") else _FileOffLoop
        return kind(data, runtime)
    return data


def as_files(files: Any, runtime: EventedRuntime) -> Any:
    """Return `files` with every file in it as `as_body` returns it.

    What is not made of pairs is returned as well: the session inside says what files are.
    """
    if not files or isinstance(files, (str, bytes)) or not isinstance(files, Iterable):
        return files
    pairs = files.items() if isinstance(files, Mapping) else files
    return [_as_pair(pair, runtime) for pair in pairs]


def _as_pair(pair: Any, runtime: EventedRuntime) -> Any:
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        return pair
    return pair[0], _as_part(pair[1], runtime)


def _as_part(part: Any, runtime: EventedRuntime) -> Any:
    if isinstance(part, (tuple, list)) and len(part) > 1:
        return (part[0], _as_part(part[1], runtime), *part[2:])
    if inspect.iscoroutinefunction(getattr(part, "read", None)):
        return _AsyncPart(part, runtime)
    return as_body(part, runtime)


async def _next(pieces: AsyncIterator[bytes | str]) -> Any:
    return await anext(pieces, _END)


async def _pieces_of(file: Any) -> AsyncIterator[bytes | str]:
    while piece := await file.read(PIECE_BYTES):
        yield piece


class _AsyncPieces:
    """An async iterable, as an iterable for code that runs on a runtime.

    Iterating over it again iterates over the async iterable again.
    """

    def __init__(self, pieces: AsyncIterable[bytes | str], runtime: EventedRuntime) -> None:
        self._pieces = pieces
        self._runtime = runtime

    def __iter__(self) -> Iterator[bytes | str]:
        return _AsyncIterator(aiter(self._pieces), self._runtime)


class _AsyncIterator:
    """An async iterator, as an iterator for code that runs on a runtime.

    It has `__next__`, by which code that would send a body again knows that it cannot.
    """

    def __init__(self, pieces: AsyncIterator[bytes | str], runtime: EventedRuntime) -> None:
        self._pieces = pieces
        self._runtime = runtime

    def __iter__(self) -> Iterator[bytes | str]:
        return self

    def __next__(self) -> bytes | str:
        piece: bytes | str = self._runtime.await_here(_next(self._pieces))
        if piece is _END:
            raise StopIteration
        return piece


class _AsyncPart:
    """An async file in a form, which is read whole."""

    def __init__(self, file: Any, runtime: EventedRuntime) -> None:
        self._file = file
        self._runtime = runtime
        self.name = getattr(file, "name", None)

    def read(self) -> Any:
        """Read the file."""
        return self._runtime.await_here(self._file.read())


class _FileOffLoop:
    """A file whose `read` runs on a worker thread. All else is the file's own."""

    def __init__(self, file: Any, runtime: EventedRuntime) -> None:
        self._file = file
        self._runtime = runtime

    def read(self, size: int = -1) -> Any:
        """Read up to `size` bytes or characters; all for a negative number."""
        read = self._file.read
        return self._runtime.call_blocking(
            read if size < 0 else partial(read, size), Deadline.never(self._runtime.now)
        )

    def __iter__(self) -> Iterator[Any]:
        while piece := self.read(PIECE_BYTES):
            yield piece

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # special methods are those of the class
            raise AttributeError(name)
        return getattr(self._file, name)

    def __repr__(self) -> str:
        return repr(self._file)


class _SizedFileOffLoop(_FileOffLoop):
    """The same for a file that knows its length."""

    def __len__(self) -> int:
        return len(self._file)
