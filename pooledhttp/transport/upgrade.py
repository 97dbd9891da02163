"""A connection that is no longer HTTP: 101, or 2xx to CONNECT.

The bytes belong to the caller from here on. `raw.read` reads what the other protocol sends,
`raw._fp.fp.raw._sock` is the socket for those who speak it themselves; closing the response closes
the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.message import BodyFile
from pooledhttp.transport.connection import RECV_BYTES, Connection

if TYPE_CHECKING:
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan

__all__ = ["SwitchedReader"]


class SwitchedReader:
    """Reads and writes the bytes of a switched connection; owns its lease until closed.

    Args:
        connection: In state SWITCHED.
        lease: What holds the connection; never released, since nobody knows what state the peer is
            in.
        plan: Read and write timeouts, and the total.
    """

    def __init__(
        self, connection: Connection, lease: Lease[Route, Connection], plan: TimeoutPlan
    ) -> None:
        self._connection = connection
        self._lease: Lease[Route, Connection] | None = lease
        self._plan = plan
        self._rest = connection.leftover()

    def read(self, amt: int | None = -1, /) -> bytes:
        """Read what has arrived, at most `amt` bytes; all to the end for `None`.

        Raises:
            TimeoutError: Nothing came within the read timeout.
        """
        if amt is None or amt < 0:
            pieces = []
            while piece := self.read(RECV_BYTES):
                pieces.append(piece)
            return b"".join(pieces)
        if not self._rest and self._lease is not None and amt:
            deadline = self._plan.total.sooner(self._plan.read)
            self._lease.busy = True  # whoever waits for words of the peer has not forgotten it
            try:
                self._rest = self._connection.stream.recv(max(amt, RECV_BYTES), deadline)
            finally:
                if self._lease is not None:  # closed meanwhile by another thread
                    self._lease.busy = False
            if not self._rest:
                self.close()
        piece, self._rest = self._rest[:amt], self._rest[amt:]
        return piece

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what has arrived, at most `amt` bytes; see `read`."""
        return self.read(amt if amt >= 0 else RECV_BYTES)

    def peek(self, amt: int = 0, /) -> bytes:
        """Return what has arrived and leave it unread; see `read`."""
        if not self._rest:
            self._rest = self.read(RECV_BYTES) + self._rest
        return self._rest

    def read_ahead(self) -> None:
        """Do nothing: what comes is no body, and may never end."""

    def hurry(self, seconds: float) -> None:
        """Give what is still to be read and written `seconds` from now."""
        self._plan = self._plan.within(seconds)

    def read_piece(self, amt: int) -> bytes:
        """The same as `read`: there are no chunks."""
        return self.read(amt)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """Read into a buffer, as `io` wants it."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, data: bytes, /) -> int:
        """Write all of `data` to the peer."""
        if self._lease is not None:
            self._lease.touch()
        self._connection.stream.send(data, self._plan.total.sooner(self._plan.write))
        return len(data)

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def is_finished(self) -> bool:
        """Whether the connection is closed."""
        return self._lease is None

    @property
    def fp(self) -> BodyFile | None:
        """A file of the bytes, `None` once closed."""
        return None if self._lease is None else BodyFile(self, self._connection.stream.sock)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._connection.stream.sock.fileno()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._lease is None

    def isclosed(self) -> bool:
        """The same under http.client's name."""
        return self.closed

    def close(self) -> None:
        """Close the connection."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.discard("switched to another protocol")
