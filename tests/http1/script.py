"""A stream that plays a script: what a server would send, cut into pieces, without a socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.http1.messages import WireRequest
from pooledhttp.timing import Deadline, TimeoutPlan

#: No limits: nothing in these tests waits.
PLAN = TimeoutPlan(None, None, None, None, Deadline.never())


class ScriptedStream:
    """Gives out `pieces` one `recv` at a time; an exception among them is raised, `b""` is the end.

    Args:
        pieces: What the server sends.
        accepts: Bytes taken before every write is blocked; `None` for no bound.
        write_error: Raised by every write once `accepts` bytes were taken.
    """

    sock = None

    def __init__(
        self,
        pieces: Iterable[bytes | Exception] = (),
        *,
        accepts: int | None = None,
        write_error: OSError | None = None,
    ) -> None:
        self.pieces = deque(pieces)
        self.accepts = accepts
        self.write_error = write_error
        self.sent = bytearray()
        self.writes = 0
        self.is_closed = False
        #: The most bytes that one read has asked for.
        self.most_asked = 0

    def _next(self) -> bytes:
        piece = self.pieces.popleft()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        self.most_asked = max(self.most_asked, max_bytes)
        if not self.pieces:
            raise TimeoutError
        return self._next()

    def read(self, max_bytes: int, total: Deadline, seconds: float | None) -> bytes:
        return self.recv(max_bytes, total)

    def read_into(self, view: memoryview, total: Deadline, seconds: float | None) -> int:
        data = self.recv(len(view), total)
        if len(data) > len(view):
            self.pieces.appendleft(data[len(view) :])
            data = data[: len(view)]
        view[: len(data)] = data
        return len(data)

    def read_pooled(
        self, buffers: BufferPool, max_bytes: int, total: Deadline, seconds: float | None
    ) -> Piece:
        return buffers.fill(lambda view: self.read_into(view, total, seconds), max_bytes)

    def recv_now(self, max_bytes: int) -> bytes | None:
        return self._next() if self.pieces else None

    def fail_next_read(self, error: OSError) -> None:
        self.pieces.appendleft(error)

    def send(self, data: bytes, deadline: Deadline) -> None:
        if self.send_until_response(data, deadline) < len(data):
            raise TimeoutError

    def send_until_response(self, data: bytes, deadline: Deadline) -> int:
        self.writes += 1
        room = len(data) if self.accepts is None else min(len(data), self.accepts - len(self.sent))
        self.sent += data[:room]
        if room < len(data) and self.write_error is not None:
            raise self.write_error
        if room < len(data) and not self.pieces:
            raise TimeoutError
        return room

    def has_data_or_eof(self) -> bool:
        return bool(self.pieces)

    def remember_session(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    abandon = close


def get(target: bytes = b"/", method: bytes = b"GET", **more: object) -> WireRequest:
    """A request without a body."""
    return WireRequest(method, target, [(b"Host", b"example.test")], **more)  # type: ignore[arg-type]


def post(body: object, *framing: tuple[bytes, bytes], **more: object) -> WireRequest:
    """A request with one, framed as told or by its length."""
    fields = list(framing) or [(b"Content-Length", b"%d" % len(body))]  # type: ignore[arg-type]
    return WireRequest(b"POST", b"/", [(b"Host", b"example.test"), *fields], body=body, **more)  # type: ignore[arg-type]
