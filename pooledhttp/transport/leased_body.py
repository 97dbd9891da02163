"""A body while it holds a connection, and how it releases it.

A reader pulls pieces from the connection and ends the lease, once::

    end of the body, connection idle again     -> release    back to the pool
    end of the body, connection not reusable   -> discard
    closed before the end, or an error         -> discard    the rest of the body would be read as
                                                             the next response

If a reader is dropped before any of these, its lease is dropped too, and reports a leak to the
pool. References go one way only, from the reader to the lease and the connection. So the
interpreter frees them at once, without the cyclic collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from pooledhttp.http1 import Head, State, explain_timeout, read_after_release
from pooledhttp.runtime import copy_without_tracebacks
from pooledhttp.transport import reasons

if TYPE_CHECKING:
    from collections.abc import Callable

    from pooledhttp.buffers import BufferPool
    from pooledhttp.http1 import Connection
    from pooledhttp.network import Route
    from pooledhttp.pool import Lease
    from pooledhttp.timing import TimeoutPlan

__all__ = ["NOTHING", "LeasedBody"]

T = TypeVar("T")

_IDLE = State.IDLE

#: A buffer with nothing in it.
NOTHING = memoryview(b"")


class LeasedBody:
    """The body of a response and the lease of its connection; `BodyReader` reads it.

    Args:
        connection: In state READING, or already complete for a response without a body.
        lease: Holds the connection.
        plan: The read timeout applies to each piece. The total timeout includes the reading.
        head: The head that came before the body.
    """

    __slots__ = (
        "__weakref__", "_buffer", "_connection", "_failure", "_is_end_unread", "_lease", "_plan",
        "_served_by", "head",
    )  # fmt: skip

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
        #: What was read and not taken yet.
        self._buffer = NOTHING
        #: The error that ended the body; later reads raise it again.
        self._failure: Exception | None = None
        # A body of no bytes is open until its first read, as in http.client: `io.TextIOWrapper` and
        # the like refuse a closed file.
        length = head.body_length
        self._is_end_unread = length == 0 or (length is None and connection.is_complete)
        if self._is_end_unread:
            #: The connection of a body of no bytes, for programs that ask for the peer's address.
            #: It is in the pool. Bodies with bytes do not have this attribute.
            self._served_by = connection
            self._end_lease(connection, lease)

    @classmethod
    def at_end(cls, head: Head, plan: TimeoutPlan) -> Self:
        """Return a body that was read to its end; its lease is not its concern any more."""
        body = cls.__new__(cls)
        body._connection = body._lease = body._failure = None
        body._plan = plan
        body.head = head
        body._buffer = NOTHING
        body._is_end_unread = False
        return body

    # ---- the lease

    def _end_lease(self, connection: Connection, lease: Lease[Route, Connection]) -> None:
        """Release the connection at the end of the body, or close it if it cannot be reused."""
        self._connection = self._lease = None
        if connection.state is _IDLE:
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

    def _call(self, receive: Callable[..., T], *arguments: memoryview | BufferPool) -> T | None:
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
            # As in http.client: the last chunk is looked at by a read that wants more bytes.
            self._is_end_unread = self.head.is_chunked and bool(found)
        return found

    def close(self) -> None:
        """End the lease; close the connection if the body was not read to its end."""
        self._buffer = NOTHING
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

    def fileno(self) -> int:
        """Return the descriptor of the socket.

        Raises:
            OSError: The lease has ended.
        """
        connection = self._connection
        if connection is None:
            raise OSError("The body has released its connection: it has no file descriptor.")
        return connection.stream.sock.fileno()

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
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.head.is_chunked

    @property
    def length(self) -> int | None:
        """Bytes that are not read yet; `None` if their number is not known."""
        if self.head.body_length is None:
            return None
        connection = self._connection
        return len(self._buffer) + (0 if connection is None else connection.unread)

    @property
    def will_close(self) -> bool:
        """Whether the server closes the connection at the end of the body."""
        return not self.head.allows_reuse

    @property
    def parser(self) -> str:
        """The library that has read the head."""
        return self.head.parser

    def getheaders(self) -> list[tuple[str, str]]:
        """Return the fields in their order."""
        return self.head.headers
