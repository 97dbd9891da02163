"""The body of an answer as a file, and the end of its lease.

`BodyReader` is what urllib3's `HTTPResponse` has as `_fp`. It pulls pieces from the connection and
decides, once, what becomes of the lease::

    end of the body, connection idle again -> release       back to the pool
    end of the body, connection to be closed -> discard
    closed before its end, or an error -> discard            its rest would answer the next request

A reader that is dropped without any of these drops its lease too, and the lease tells the pool that
it was leaked. Reader, lease and connection point one way only, so that happens at once, without the
cyclic collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.message import BodyFile
from pooledhttp.runtime import copy_without_tracebacks
from pooledhttp.transport.connection import Connection
from pooledhttp.transport.faults import explain_total
from pooledhttp.transport.heads import Head

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan

__all__ = ["BodyReader"]


class BodyReader:
    """Reads one body; ends its lease at the end, on an error, or when closed.

    Args:
        connection: In state READING, or already complete for an answer without a body.
        lease: What holds the connection.
        plan: Read timeout per piece and the total, which runs on while the caller reads.
        head: What came before the body. Whether the body is chunked is whether `read_piece` stops
            at the ends of chunks.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_failure",
        "_head",
        "_is_chunked",
        "_lease",
        "_plan",
        "_rest",
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
        self._head = head
        self._is_chunked = head.is_chunked
        self._rest = memoryview(b"")
        self._failure: Exception | None = None
        if connection.is_complete:
            self._settle(connection, lease)

    # ---- the lease

    def _settle(self, connection: Connection, lease: Lease[Route, Connection]) -> None:
        """Give the connection back at the end of the body, or close it if it cannot serve again."""
        self._connection = self._lease = None
        if connection.is_reusable:
            lease.release(self._head.keep_seconds)
        else:
            lease.discard("not kept alive")

    def hurry(self, seconds: float) -> None:
        """Have all of what is left within `seconds` from now, or not at all."""
        self._plan = self._plan.within(seconds)

    def _give_up(self, reason: str) -> None:
        lease, self._connection, self._lease = self._lease, None, None
        if lease is not None:
            lease.discard(reason)

    @property
    def is_finished(self) -> bool:
        """Whether the connection has been given back, whatever is still buffered here."""
        return self._lease is None

    # ---- reading

    def _pull(self) -> bytes:
        """Get the next piece from the connection, `b""` at the end."""
        if self._failure is not None:
            raise copy_without_tracebacks(self._failure)
        connection, lease = self._connection, self._lease
        if connection is None or lease is None:
            return b""
        lease.busy = True
        spent = self._plan.spent
        if spent is not None:
            spent.begin("reading the body")
        try:
            piece = connection.receive(self._plan)
        except Exception as error:
            self._failure = copy_without_tracebacks(explain_total(error, self._plan))
            self._give_up("failed in the body")
            raise
        except BaseException:
            self._give_up("interrupted")
            raise
        lease.busy = False
        if spent is not None:
            spent.begin(None)
        if connection.is_complete:
            self._settle(connection, lease)
        return piece

    def read(self, amt: int | None = None, /) -> bytes:
        """Read `amt` bytes, fewer only at the end; all that is left for `None` or below zero."""
        if amt is None or amt < 0:
            pieces = [bytes(self._rest)] if self._rest else []
            self._rest = memoryview(b"")
            while piece := self._pull():
                pieces.append(piece)
            return b"".join(pieces)
        if amt <= len(self._rest) or amt == 0:
            return self._take(amt)
        return self._gather(amt, to_chunk_end=False)

    def read_ahead(self) -> None:
        """Read the whole body and keep it for whoever reads it; the connection goes back."""
        self._rest = memoryview(self.read())

    def read_piece(self, amt: int) -> bytes:
        """Read up to `amt` bytes, but not past the end of a chunk.

        So a live stream is seen as it arrives. A body that is not chunked is read as by `read`.
        """
        return self._gather(amt, to_chunk_end=True) if self._is_chunked else self.read(amt)

    def _gather(self, amt: int, *, to_chunk_end: bool) -> bytes:
        """Read up to `amt` bytes. What came before a failure is given; the failure comes next."""
        pieces: list[bytes] = []
        try:
            while amt > 0 and (piece := self._next(amt)):
                pieces.append(piece)
                amt -= len(piece)
                connection = self._connection
                if to_chunk_end and not self._rest:
                    if connection is None or connection.chunk_ended:
                        break
        except Exception:
            if not pieces:
                raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what one look at the connection brings, at most `amt` bytes."""
        return self._next(amt if amt >= 0 else 64 * 1024)

    def peek(self, amt: int = 0, /) -> bytes:
        """Return what one look at the connection brings, and leave it unread."""
        if not self._rest:
            self._rest = memoryview(self._pull())
        return bytes(self._rest)

    def _next(self, amt: int) -> bytes:
        if not self._rest:
            piece = self._pull()
            if len(piece) <= amt:
                return piece
            self._rest = memoryview(piece)
        return self._take(amt)

    def _take(self, amt: int) -> bytes:
        taken = bytes(self._rest[:amt])
        self._rest = self._rest[amt:]
        return taken

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Read into a buffer, as `io` wants it."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    # ---- what http.client's response tells

    @property
    def status(self) -> int:
        """The status code."""
        return self._head.status

    @property
    def reason(self) -> str:
        """The words after it."""
        return self._head.reason

    @property
    def version(self) -> int:
        """10 or 11."""
        return self._head.version

    def getheaders(self) -> list[tuple[str, str]]:
        """The fields in their order."""
        return list(self._head.headers)

    # ---- the file

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """End the lease; a body not read to its end costs its connection."""
        self._rest = memoryview(b"")
        self._give_up("closed before the end of the body")

    @property
    def closed(self) -> bool:
        """Whether nothing is left to read, as http.client's response closes itself at its end."""
        return self._lease is None and not self._rest and self._failure is None

    def isclosed(self) -> bool:
        """The same under http.client's name."""
        return self.closed

    @property
    def fp(self) -> BodyFile | None:
        """A file of the body while the connection is held, `None` afterwards."""
        connection = self._connection
        return None if connection is None else BodyFile(self, connection.stream.sock)

    def fileno(self) -> int:
        """The descriptor of the socket; `OSError` when the connection has been given back."""
        connection = self._connection
        if connection is None:
            raise OSError("the connection of this body has been given back")
        return connection.stream.sock.fileno()
