"""A response whose body has not been read yet, on an event loop.

    response = await session.get(url, stream=True)
    async with response:
        async for piece in response.aiter_content():
            ...

It is a `Response`, and has all that is known from the head. After `await response.aread()` the
body is there, and `content`, `text` and `json()` work as ever. Before that they raise, because
reading would block the loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, overload

from pooledhttp.message import LineSplitter, RawResponse, Response, attributes_of
from pooledhttp.runtime import current_runtime
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import EventedRuntime

__all__ = ["AsyncResponse"]

T = TypeVar("T")

#: Bytes per piece where the caller does not say: few turns of the loop, and little memory.
PIECE_BYTES = 64 * 1024


class _Writable(Protocol):
    """A file that is open for writing bytes, or anything with its `write`."""

    def write(self, data: bytes, /) -> object: ...


class AsyncResponse(Response):
    """A response of an `AsyncSession` with `stream=True`; read it, or close it."""

    _runtime: EventedRuntime
    _is_in_worker = False

    @classmethod
    def of(cls, response: Response, runtime: EventedRuntime) -> AsyncResponse:
        """Take over a response that synchronous code has received."""
        taken = cls.__new__(cls)
        # An adapter of another package may have made a response of its own class.
        is_ours = isinstance(response, Response)
        attributes_of(taken).update(attributes_of(response) if is_ours else vars(response))
        taken._runtime = runtime
        return taken

    # ---- reading

    async def aread(self) -> bytes:
        """Read the whole body, decoded; afterwards `content`, `text` and `json()` have it.

        Raises:
            RuntimeError: It was read as a stream, and not kept.
            RequestException: Reading failed; the class says how, as with `iter_content`.
        """
        if self._content is False:
            await self._run(lambda: self.content)
        return self.content

    @overload
    def aiter_content(
        self, chunk_size: int | None = PIECE_BYTES, decode_unicode: Literal[False] = False
    ) -> AsyncIterator[bytes]: ...
    @overload
    def aiter_content(
        self, chunk_size: int | None = PIECE_BYTES, decode_unicode: bool = False
    ) -> AsyncIterator[str | bytes]: ...
    def aiter_content(
        self, chunk_size: int | None = PIECE_BYTES, decode_unicode: bool = False
    ) -> AsyncIterator[Any]:
        """Iterate over the body, decoded, as it arrives.

        Args:
            chunk_size: Bytes per piece, at most; a decoded piece may have another size. A chunk of
                a chunked body is given as soon as it has come.
            decode_unicode: Whether to yield text, if `encoding` is known.

        Raises:
            TypeError: `chunk_size` is not an int.
            StreamConsumedError: The body was read as a stream already. Also a TypeError.
            RequestException: While iterating: reading failed, as with `iter_content`.
        """
        pieces: Any = self.iter_content(chunk_size, decode_unicode)
        return self._iterate(pieces)

    async def _iterate(self, pieces: Any) -> AsyncIterator[Any]:
        if self._content_consumed:  # it is there: nothing waits
            for piece in pieces:
                yield piece
            return
        while (piece := await self._run(next, pieces, None)) is not None:
            yield piece

    @overload
    def aiter_lines(
        self,
        chunk_size: int | None = PIECE_BYTES,
        decode_unicode: Literal[False] = False,
        delimiter: bytes | None = None,
    ) -> AsyncIterator[bytes]: ...
    @overload
    def aiter_lines(
        self,
        chunk_size: int | None = PIECE_BYTES,
        decode_unicode: bool = False,
        delimiter: str | bytes | None = None,
    ) -> AsyncIterator[str | bytes]: ...
    async def aiter_lines(
        self,
        chunk_size: int | None = PIECE_BYTES,
        decode_unicode: bool = False,
        delimiter: str | bytes | None = None,
    ) -> AsyncIterator[Any]:
        """Iterate over the lines of the body, without their ends; see `iter_lines`.

        Args:
            chunk_size: Bytes to read at a time.
            decode_unicode: Whether to yield text, if `encoding` is known.
            delimiter: What ends a line. None means what `splitlines` takes for an end.

        Raises:
            RequestException: While iterating: reading failed, as with `iter_content`.
        """
        splitter = LineSplitter(delimiter)
        async for piece in self.aiter_content(chunk_size, decode_unicode):
            for line in splitter.feed(piece):
                yield line
        for line in splitter.end():
            yield line

    async def awrite_to(self, file: _Writable, chunk_size: int = 1024 * 1024) -> int:
        """Write the body, decoded, to a file as it arrives; writing runs on a worker thread.

        Args:
            file: Open for writing bytes; anything with `write`.
            chunk_size: Bytes per piece, at most.

        Returns:
            How many bytes were written.

        Raises:
            OSError: Writing failed.
            RequestException: Reading failed, as with `iter_content`.
        """
        written = 0
        async for piece in self.aiter_content(chunk_size):
            await self._run_in_worker(file.write, piece)
            written += len(piece)
        return written

    # ---- the end

    async def aclose(self) -> None:
        """Give the connection back; it is closed if the body was not read to its end."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.aclose()

    # ---- inside

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        """Read by synchronous code: in a greenlet; on a worker thread if `raw` is not ours."""
        if self._unread() is not None or isinstance(self.raw, RawResponse):
            return await self._runtime.run(fn, *args)
        return await self._run_in_worker(self._read_blocking, fn, *args)

    async def _run_in_worker(self, fn: Callable[..., T], *args: Any) -> T:
        runtime = self._runtime

        def call() -> T:
            return runtime.call_blocking(lambda: fn(*args), Deadline.never(runtime.now))

        return await runtime.run(call)

    def _read_blocking(self, fn: Callable[..., T], *args: Any) -> T:
        self._is_in_worker = True
        try:
            return fn(*args)
        finally:
            self._is_in_worker = False

    def _read_whole(self) -> bytes:
        self._check_caller()
        return super()._read_whole()

    def _source(self) -> Any:
        self._check_caller()
        return super()._source()

    def _stream(self, chunk_size: int | None) -> Iterator[Any]:
        self._check_caller()  # at the first piece: `aiter_content` makes the iterator on the loop
        yield from super()._stream(chunk_size)

    def _check_caller(self) -> None:
        if not self._is_in_worker and current_runtime() is not self._runtime:
            raise RuntimeError(
                "The body of this response has not been read, and reading it here would block the"
                " event loop. Use `async for piece in response.aiter_content()`, or `await"
                " response.aread()` before `content`, `text` and `json()`."
            )
