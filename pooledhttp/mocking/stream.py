"""Connections without sockets: what is written is a request, what is read its reply."""

from __future__ import annotations

from math import inf
from typing import Any, Protocol

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.exceptions import DialError
from pooledhttp.mocking.exchanges import Fault, Reply, SentRequest, parse_request, place
from pooledhttp.network import Connector, Route
from pooledhttp.runtime import BlockingRuntime
from pooledhttp.timing import Deadline, monotonic

__all__ = ["JumpingRuntime", "MemoryConnector", "MockServer"]


class MockServer(Protocol):
    """What decides about replies."""

    def receive(self, sent: SentRequest) -> Reply:
        """Note a request, and return its reply."""

    def refuses(self, origin: str) -> bool:
        """Whether a dial to an origin is to fail, because that is its next reply."""


class JumpingRuntime(BlockingRuntime):
    """Threads whose sleep moves the clock instead of waiting."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        """Seconds, those that were skipped included."""
        return monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        self.slept += max(seconds, 0.0)


class MemoryConnector(Connector):
    """Makes streams that have no socket."""

    def __init__(self, clock: JumpingRuntime, server: MockServer) -> None:
        super().__init__(clock)
        self._clock = clock
        self._server = server

    def prepare(self, route: Route) -> None:
        """Read nothing, because no handshake follows."""

    def connect(self, route: Route, deadline: Deadline, *_: Any) -> Any:
        """Return a stream, unless the test refuses that."""
        if self._server.refuses(origin_of(route)):
            raise DialError(
                f"Failed to establish a new connection to {route.host} port {route.port}: refused"
                " by the test.",
                route,
                origin=route.origin,
            )
        return MemoryStream(origin_of(route), self._clock, self._server)


class MemoryStream:
    """The client's end of a connection: what is written is a request, what is read its reply."""

    sock: Any = None
    tls_version = None
    is_resumed = False

    def __init__(self, origin: str, clock: JumpingRuntime, server: MockServer) -> None:
        self._origin = origin
        self._clock = clock
        self._server = server
        self._written = bytearray()
        self._unread = b""
        self._fault: Fault | None = None
        self._is_closed = False

    def send_until_response(self, data: bytes | memoryview, deadline: Deadline) -> int:
        self._written += data
        return len(data)

    def send(self, data: bytes | memoryview, deadline: Deadline) -> None:
        self._written += data

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        if self._written and not self._unread:
            sent = parse_request(self._origin, bytes(self._written))
            if sent is None:  # `Expect: 100-continue`: the body comes when that wait is over
                return self._stall(deadline)
            self._written.clear()
            reply = self._server.receive(sent)
            self._unread, self._fault = reply.data, reply.fault
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        if data:
            return data
        if self._fault == "reset":
            raise ConnectionResetError("reset by the test")
        if self._fault in ("stall", "stall in body"):
            return self._stall(deadline)
        return b""

    def read(self, max_bytes: int, total: Deadline, seconds: float | None) -> bytes:
        return self.recv(max_bytes, total.sooner(seconds))

    def read_into(self, view: memoryview, total: Deadline, seconds: float | None) -> int:
        done = 0
        while done < len(view):
            try:
                data = self.recv(len(view) - done, total.sooner(seconds))
            except (OSError, AssertionError):
                if done:
                    break  # the next call raises it again
                raise
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def read_pooled(
        self, buffers: BufferPool, max_bytes: int, total: Deadline, seconds: float | None
    ) -> Piece:
        return self.read(max_bytes, total, seconds)

    def fail_next_read(self, error: OSError) -> None:
        pass  # a fault stays

    def recv_now(self, max_bytes: int) -> bytes | None:
        return None

    def has_data_or_eof(self) -> bool:
        return self._is_closed

    def remember_session(self) -> None:
        pass

    def close(self) -> None:
        self._is_closed = True

    abandon = close

    def _stall(self, deadline: Deadline) -> bytes:
        left = deadline.remaining()
        if left == inf:
            raise AssertionError(
                f"The server at {self._origin} stalls, and the request has no timeout: it would"
                " wait forever. Pass timeout= to the call or to the Session."
            )
        self._clock.sleep(left)
        raise TimeoutError("stalled by the test")


def origin_of(route: Route) -> str:
    return place(route.origin).rstrip("/")
