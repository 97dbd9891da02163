"""The body of a response as a file, and the end of its lease.

`BodyReader` is what urllib3's `HTTPResponse` has as `_fp`. It pulls pieces from the connection and
ends the lease, once::

    end of the body, connection idle again     -> release    back to the pool
    end of the body, connection not reusable   -> discard
    closed before the end, or an error         -> discard    the rest of the body would be read as
                                                             the next response

If a reader is dropped before any of these, its lease is dropped too, and tells the pool of a leak.
References go one way only, from the reader to the lease and the connection. So the interpreter
frees them at once, without the cyclic collector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import maxsize
from typing import TYPE_CHECKING, TypeVar

from pooledhttp.http1 import Connection, Head, State, explain_timeout, read_after_release
from pooledhttp.message import BodyFile
from pooledhttp.runtime import copy_without_tracebacks
from pooledhttp.transport import reasons
from pooledhttp.transport.filling import filled_bytes

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan

__all__ = ["BodyReader"]

T = TypeVar("T")

#: A buffer with nothing in it.
_NOTHING = memoryview(b"")


class BodyReader:
    """Reads one body; ends its lease at the end, on an error, or when closed.

    Args:
        connection: In state READING, or already complete for a response without a body.
        lease: Holds the connection.
        plan: The read timeout applies to each piece. The total timeout includes the reading.
        head: The head that came before the body. If the body is chunked, `read_piece` stops at the
            ends of chunks.
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_connection",
        "_failure",
        "_is_end_unread",
        "_lease",
        "_plan",
        "head",
    )

    def __init__(
        self,
        connection: Connection,
        lease: Lease[Route, Connection],
        plan: TimeoutPlan,
        head: Head,
    ) -> None:
        self._connection: Connection | None = connection
        self._lease: Lease[Route, Connection] | None = lease
        self._plan = plan
        self.head = head
        self._buffer = _NOTHING
        self._failure: Exception | None = None
        # A body of no bytes is open until its first read, as in http.client: `io.TextIOWrapper` and
        # the like refuse a closed file.
        length = head.body_length
        self._is_end_unread = length == 0 or (length is None and connection.is_complete)
        if self._is_end_unread:
            self._end_lease(connection, lease)

    # ---- the lease

    def _end_lease(self, connection: Connection, lease: Lease[Route, Connection]) -> None:
        """Release the connection at the end of the body, or close it if it cannot be reused."""
        self._connection = self._lease = None
        if connection.state is State.IDLE:
            lease.release(self.head.keep_seconds)
        else:
            lease.discard(reasons.ODD_HEAD if self.head.repairs else reasons.NOT_KEPT_ALIVE)

    def limit_remaining_time(self, seconds: float) -> None:
        """Allow at most `seconds` from now for the rest of the body."""
        self._plan = self._plan.within(seconds)

    def _discard(self, reason: str) -> None:
        lease, self._connection, self._lease = self._lease, None, None
        if lease is not None:
            lease.discard(reasons.ODD_HEAD if self.head.repairs else reason)

    @property
    def is_finished(self) -> bool:
        """Whether the lease has ended; bytes may still be buffered here."""
        return self._lease is None

    # ---- reading

    def _pull(self, *, all_arrived: bool = False) -> bytes:
        """Get the next piece from the connection, or all that have arrived; `b""` at the end."""
        receive = Connection.receive_all if all_arrived else Connection.receive
        return self._call(receive) or b""

    def _call(self, receive: Callable[..., T], *arguments: memoryview) -> T | None:
        """Call a method of the connection; end the lease at the end of the body and on an error.

        Returns:
            What the method returns; `None` after the end of the lease.
        """
        if self._failure is not None:
            raise copy_without_tracebacks(self._failure)
        connection, lease = self._connection, self._lease
        if connection is None or lease is None:
            self._is_end_unread = False
            return None
        spent = self._plan.spent
        if spent is not None:
            spent.begin("reading the body")
        try:
            if lease.slot is None or (watch := lease.slot.watch) is None:  # as `in_use`
                found = receive(connection, *arguments, self._plan)
            else:
                with watch:
                    found = receive(connection, *arguments, self._plan)
        except Exception as error:
            self._failure = copy_without_tracebacks(explain_timeout(error, self._plan))
            self._discard(reasons.BODY_FAILED)
            raise
        except BaseException:
            self._discard(reasons.INTERRUPTED)
            raise
        if spent is not None:
            spent.begin(None)
        if connection.is_complete:
            self._end_lease(connection, lease)
        return found

    def read(self, amt: int | None = None, /) -> bytes:
        """Read `amt` bytes, fewer only at the end; the whole rest if it is `None` or negative."""
        if amt is None or amt < 0:
            return self._read_rest()
        if amt <= len(self._buffer) or amt == 0:
            return self._take(amt)
        if self._is_length_missing():
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
                self._discard("interrupted")
                raise
        if self._is_length_missing():
            return self._read_sized(maxsize, is_partial_good=False)
        pieces = [bytes(self._buffer)] if self._buffer else []
        self._buffer = _NOTHING
        while piece := self._call(Connection.receive_all):
            pieces.append(piece)
            if self._lease is None:
                break
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
            # read brings nothing. The other bodies are closed with their last byte.
            self._is_end_unread = not self.head.is_chunked
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what one `recv` brings, at most `amt` bytes."""
        return self._next(amt if amt >= 0 else 64 * 1024)

    def peek(self, amt: int = 0, /) -> bytes:
        """Return buffered bytes, or else what one `recv` brings, without consuming them."""
        if not self._buffer:
            self._buffer = memoryview(self._pull())
        return bytes(self._buffer)

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

    # ---- what http.client's response has

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self.head.reason

    @property
    def version(self) -> int:
        """10 or 11."""
        return self.head.version

    @property
    def parser(self) -> str:
        """The library that has read the head."""
        return self.head.parser

    def getheaders(self) -> list[tuple[str, str]]:
        """Return the fields in their order."""
        return self.head.headers

    # ---- the file

    def readable(self) -> bool:
        """Return `True`."""
        return True

    def close(self) -> None:
        """End the lease; close the connection if the body was not read to its end."""
        self._buffer = _NOTHING
        self._is_end_unread = False
        self._discard(reasons.CLOSED_EARLY)

    def release(self) -> None:
        """End the lease as `close` does; a later read says that the body was not read."""
        connection = self._connection
        self.close()
        if connection is not None and self._failure is None:
            self._failure = read_after_release(connection.progress)

    @property
    def closed(self) -> bool:
        """Whether nothing is left to read, because http.client's response closes at its end."""
        is_over = self._lease is None and not self._buffer and self._failure is None
        return is_over and not self._is_end_unread

    def isclosed(self) -> bool:
        """Return `closed`, under http.client's name."""
        return self.closed

    @property
    def fp(self) -> BodyFile | None:
        """A file of the body while the connection is held, `None` afterwards."""
        connection = self._connection
        return None if connection is None else BodyFile(self, connection.stream.socket_for_users)

    def fileno(self) -> int:
        """Return the descriptor of the socket.

        Raises:
            OSError: The lease has ended.
        """
        connection = self._connection
        if connection is None:
            raise OSError("The body has given its connection back: it has no file descriptor.")
        return connection.stream.sock.fileno()
