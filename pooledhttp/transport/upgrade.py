"""A connection that no longer speaks HTTP: after 101, or 2xx to CONNECT.

Its bytes belong to the caller. `raw.read` reads what the other protocol sends, and
`raw._fp.fp.raw._sock` is the socket for a caller that speaks that protocol. Closing the response
closes the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from pooledhttp.http1 import RECV_BYTES, Connection, Head, body_broken, recv_timeout
from pooledhttp.message import BodyFile
from pooledhttp.runtime import BlockingRuntime
from pooledhttp.transport import reasons

if TYPE_CHECKING:
    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan

__all__ = ["SwitchedReader"]


class SwitchedReader:
    """Reads and writes the bytes of a switched connection; owns its lease until closed.

    Args:
        connection: In state SWITCHED.
        lease: Holds the connection. It is never released: the state of the peer is unknown.
        plan: Read and write timeouts, and the total.
        head: The head that ended HTTP.
    """

    def __init__(
        self,
        connection: Connection,
        lease: Lease[Route, Connection],
        plan: TimeoutPlan,
        head: Head,
    ) -> None:
        self._connection = connection
        self.head = head
        self._lease: Lease[Route, Connection] | None = lease
        self._plan = plan
        self._buffer = connection.leftover()
        self._is_handed_over = False

    def read(self, amt: int | None = -1, /) -> bytes:
        """Wait for bytes and return at most `amt`; with `None` or a negative `amt` read to the end.

        Raises:
            RecvTimeout: Nothing came within the read timeout.
            BodyTruncated: The connection broke.
            TlsError: TLS broke, by an alert or a damaged record.
        """
        if amt is None or amt < 0:
            pieces = []
            while piece := self.read(RECV_BYTES):
                pieces.append(piece)
            return b"".join(pieces)
        lease = self._lease
        if not self._buffer and lease is not None and amt:
            with lease.in_use():
                self._buffer = self._receive(max(amt, RECV_BYTES))
            if not self._buffer:
                self.close()
        piece, self._buffer = self._buffer[:amt], self._buffer[amt:]
        return piece

    def _receive(self, most: int) -> bytes:
        progress, plan = self._connection.progress, self._plan
        try:
            return self._connection.stream.recv(most, plan.total.sooner(plan.read))
        except TimeoutError as error:
            raise recv_timeout(progress, plan, "body") from error
        except OSError as error:
            raise body_broken(progress, error) from error

    def read1(self, amt: int = -1, /) -> bytes:
        """Wait for bytes and return at most `amt` of them; see `read`."""
        return self.read(amt if amt >= 0 else RECV_BYTES)

    def peek(self, amt: int = 0, /) -> bytes:
        """Wait for bytes and return them without consuming them; see `read`."""
        if not self._buffer:
            self._buffer = self.read(RECV_BYTES) + self._buffer
        return self._buffer

    def read_pooled(self, buffers: BufferPool) -> Piece:
        """Wait for bytes and return them, without a buffer; see `read`."""
        return self.read(buffers.size)

    def read_ahead(self) -> None:
        """Do nothing: the bytes of the other protocol are no body, and may never end."""

    def limit_remaining_time(self, seconds: float) -> None:
        """Allow at most `seconds` from now for all further reads and writes."""
        self._plan = self._plan.within(seconds)

    def read_piece(self, amt: int) -> bytes:
        """Do the same as `read`: there are no chunks."""
        return self.read(amt)

    def arrived_chunks(self, amt: int) -> Iterator[bytes]:
        """Yield nothing: there are no chunks."""
        return iter(())

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Read into `buffer`; return how many bytes were read."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, data: bytes, /) -> int:
        """Write all of `data` to the peer; return its length.

        Raises:
            TimeoutError: The peer took no bytes within the write timeout.
        """
        if self._lease is not None:
            self._lease.touch()
        self._connection.stream.send(data, self._plan.total.sooner(self._plan.write))
        return len(data)

    def readable(self) -> bool:
        """Return `True`."""
        return True

    def writable(self) -> bool:
        """Return `True`."""
        return True

    @property
    def parser(self) -> str:
        """The library that has read the head."""
        return self.head.parser

    @property
    def is_finished(self) -> bool:
        """Whether the connection is closed."""
        return self._lease is None

    @property
    def fp(self) -> BodyFile | None:
        """A file of the bytes, `None` once closed."""
        if self._lease is None:
            return None
        sock = self._connection.stream.socket_for_users
        if not self._is_handed_over:
            self._is_handed_over = True
            self._let_block(sock)
        return BodyFile(self, sock)

    def _let_block(self, sock: Any) -> None:
        """Let a program on threads call `sock.recv`: it waits as long as the read timeout.

        An event loop needs the socket as it is. The reads here wait before they read, and so work
        with both.
        """
        runtime = getattr(self._connection.stream, "runtime", None)
        if isinstance(runtime, BlockingRuntime) and isinstance(sock, socket.socket):
            deadline = self._plan.total.sooner(self._plan.read)
            sock.settimeout(None if deadline.at == inf else deadline.remaining())

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._connection.stream.sock.fileno()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._lease is None

    def isclosed(self) -> bool:
        """Return `closed`, under http.client's name."""
        return self.closed

    def release(self) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.discard(reasons.SWITCHED)
