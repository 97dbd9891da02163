"""The body of a response as a file.

`BodyReader` is what urllib3's `HTTPResponse` has as `_fp`. Its base class has the connection and
its lease, and ends the lease:

    LeasedBody      the lease, its end, the facts of the head        leased_body
      BodyReader    reads, and keeps what was read and not taken     this module
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import maxsize
from typing import TYPE_CHECKING

from pooledhttp.http1 import RECV_BYTES, Connection
from pooledhttp.message import BodyFile, read_line
from pooledhttp.transport import reasons
from pooledhttp.transport.filling import filled_bytes
from pooledhttp.transport.leased_body import NOTHING, LeasedBody

if TYPE_CHECKING:
    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease

__all__ = ["BodyReader"]

#: A read of so many bytes or fewer takes what has arrived, and keeps the rest for the next one: a
#: read from the connection costs more than these bytes do. A larger one gets a buffer of its own.
SMALL_BYTES = RECV_BYTES // 2


class BodyReader(LeasedBody):
    """Reads one body; see `LeasedBody`, which also describes the arguments.

    If the body is chunked, `read_piece` stops at the ends of chunks.
    """

    __slots__ = ()

    def _pull(self, *, all_arrived: bool = False) -> bytes:
        """Get the next piece from the connection, or all that have arrived; `b""` at the end."""
        receive = Connection.receive_all if all_arrived else Connection.receive
        return self._call(receive) or b""

    def read(self, amt: int | None = None, /) -> bytes:
        """Read `amt` bytes, fewer only at the end; the whole rest if it is `None` or negative."""
        if amt is None or amt < 0:
            return self._read_rest()
        if amt <= len(self._buffer) or amt == 0:
            return self._take(amt)
        if amt > SMALL_BYTES and self._is_length_missing():
            return self._read_sized(amt, is_partial_good=True)
        return self._gather(amt, to_chunk_end=False)

    def _is_length_missing(self) -> bool:
        """Whether a known number of bytes has not arrived yet."""
        connection = self._connection
        return connection is not None and bool(connection.progress.body_left)

    def _read_rest(self) -> bytes:
        connection, lease = self._connection, self._lease
        if connection is not None and lease is not None and not self._buffer:
            # Most small bodies come with their head. Nothing waits here, so there is no time to
            # count and no call to mark; see `_call`.
            try:
                whole = connection.take_whole()
                if whole is not None:
                    self._end_lease(connection, lease)
                    return whole
            except BaseException:
                self._discard(reasons.INTERRUPTED)
                raise
        if self._is_length_missing():
            return self._read_sized(maxsize, is_partial_good=False)
        pieces = [bytes(self._buffer)] if self._buffer else []
        self._buffer = NOTHING
        while piece := self._call(Connection.receive_all):
            pieces.append(piece)
            if self._lease is None:
                break
        self._is_end_unread = False
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_sized(self, amt: int, *, is_partial_good: bool) -> bytes:
        """Read up to `amt` bytes of a body whose length is known, without joining pieces.

        Args:
            amt: The most bytes.
            is_partial_good: Return what came before an error; the next call raises the error.
        """
        connection = self._connection
        unread = 0 if connection is None else connection.unread
        size = min(amt, len(self._buffer) + unread)
        return filled_bytes(size, self._fill, is_partial_good=is_partial_good)

    def _fill(self, view: memoryview) -> int:
        """Write what is buffered, or else what the connection brings; return how many bytes."""
        if not self._buffer:
            return self._call(Connection.receive_into, view) or 0
        part = self._buffer[: len(view)]
        view[: len(part)] = part
        self._buffer = self._buffer[len(part) :]
        return len(part)

    def read_ahead(self) -> None:
        """Read the whole body and keep it for the caller; the connection goes back to the pool."""
        self._buffer = memoryview(self.read())
        self._is_end_unread = not self._buffer

    def read_piece(self, amt: int) -> bytes:
        """Read up to `amt` bytes, but not past the end of a chunk.

        So a caller sees each chunk of a live stream as it arrives. If the body is not chunked, this
        is `read`.
        """
        return self._gather(amt, to_chunk_end=True) if self.head.is_chunked else self.read(amt)

    def arrived_chunks(self, amt: int) -> Iterator[bytes]:
        """Yield chunks of at most `amt` bytes that have arrived completely; wait for none.

        Not all of them: the last one is always left to `read_piece`.
        """
        if self._connection is not None and self.head.is_chunked and not self._buffer:
            yield from self._connection.arrived_chunks(amt)

    def _gather(self, amt: int, *, to_chunk_end: bool) -> bytes:
        """Read up to `amt` bytes. An error after some bytes is raised by the next call."""
        pieces: list[bytes] = []
        try:
            while amt > 0 and (piece := self._next(amt, all_arrived=not to_chunk_end)):
                pieces.append(piece)
                amt -= len(piece)
                connection = self._connection
                if to_chunk_end and not self._buffer:
                    if connection is None or connection.chunk_ended:
                        break
        except Exception:
            if not pieces:
                raise
        if pieces and self._lease is None and self.head.body_length is None:
            # As in http.client, a body that the end of the connection delimits is open until a
            # read brings nothing. A chunked one is open until a read wants more than there is,
            # or has to look for the end of a chunk.
            if not self.head.is_chunked:
                self._is_end_unread = True
            elif to_chunk_end:
                self._is_end_unread = False
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what one `recv` brings, at most `amt` bytes."""
        return self._next(amt if amt >= 0 else 64 * 1024)

    def read_pooled(self, buffers: BufferPool) -> Piece:
        """Read what has arrived, chunks joined; wait only for the first byte.

        Args:
            buffers: One of them gets the bytes of a body of a known length. At most so many bytes
                are read as a buffer has.
        """
        if not self._buffer:
            piece = self._call(Connection.receive_pooled, buffers) or b""
            if len(piece) <= buffers.size:
                return piece
            self._buffer = memoryview(piece)
        return self._take(buffers.size)

    def peek(self, amt: int = 0, /) -> bytes:
        """Return buffered bytes, or else what one `recv` brings, without consuming them."""
        if not self._buffer:
            self._buffer = memoryview(self._pull())
        return bytes(self._buffer)

    def readline(self, limit: int = -1, /) -> bytes:
        """Read up to and with the next line feed, at most `limit` bytes."""
        return read_line(self, limit)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the lines of the body."""
        return iter(self.readline, b"")

    def _next(self, amt: int, *, all_arrived: bool = False) -> bytes:
        if not self._buffer:
            piece = self._pull(all_arrived=all_arrived)
            if len(piece) <= amt:
                return piece
            self._buffer = memoryview(piece)
        return self._take(amt)

    def _take(self, amt: int) -> bytes:
        taken = bytes(self._buffer[:amt])
        self._buffer = self._buffer[amt:]
        return taken

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Read into `buffer`; return how many bytes were read, fewer only at the end."""
        if not self._is_length_missing():
            piece = self.read(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)
        done = 0
        with memoryview(buffer) as whole, whole.cast("B") as view:
            while done < len(view) and (count := self._fill(view[done:])):
                done += count
        return done

    def readable(self) -> bool:
        """Return `True`."""
        return True

    @property
    def fp(self) -> BodyFile | None:
        """A file of the body while it is unread, also if it has no bytes; `None` afterwards."""
        connection = self._connection
        if connection is None and self._is_end_unread:
            connection = getattr(self, "_served_by", None)
        if connection is None:
            return None
        if type(self) is BodyReader:
            # The program may change the socket. Only such a reader has to undo that at its end:
            # the others do not pay for a check.
            self.__class__ = _ShownReader
        return BodyFile(self, connection.stream.socket_for_users)


class _ShownReader(BodyReader):
    """A reader whose socket a program has seen, and perhaps given another timeout.

    The next request needs it non-blocking: else its read timeout would not hold.
    """

    __slots__ = ()

    def _end_lease(self, connection: Connection, lease: Lease[Route, Connection]) -> None:
        sock = connection.stream.sock
        if sock.fileno() >= 0:
            sock.setblocking(False)
        super()._end_lease(connection, lease)
