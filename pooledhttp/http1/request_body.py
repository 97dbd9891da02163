"""A large or streamed body on its way out, while the server may already respond.

A server may respond before it has read all, and stop reading: with an error, a redirect, or a
success that needs no more. The caller gets that response, not a broken pipe or a timeout. A server
that responds as it reads must not block on a full send buffer, so its response is read meanwhile.

`Upload` decides when to look for a response and when to stop. The connection frames the body and
reads what has come.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from pooledhttp.http1.messages import Readable, WireRequest

if TYPE_CHECKING:
    from pooledhttp.http1.bytestream import ByteStream
    from pooledhttp.http1.errors import ExchangeErrors
    from pooledhttp.timing import TimeoutPlan

__all__ = ["PIECE_BYTES", "Sender", "Upload", "body_pieces"]

#: Bytes read from a file-like body at a time, and the most that one write hands to the socket. A
#: write of this size has its own write timeout, so a large upload that makes progress is never cut
#: off.
PIECE_BYTES = 128 * 1024

#: The lowest status of an early response after which no more of a body is sent. Errors say that it
#: is not wanted here, redirects that it is wanted elsewhere.
FIRST_REFUSAL = 300

#: How long, in seconds, a server that has responded may take no bytes before the rest of the body
#: counts as not wanted; and how many bytes are offered at a time meanwhile.
RESPONDED_SECONDS = 10.0
RESPONDED_BYTES = 16 * 1024


class Sender(Protocol):
    """What an upload needs of its connection."""

    stream: ByteStream
    errors: ExchangeErrors

    @property
    def early_status(self) -> int | None:
        """The status of a response that came before the request was sent."""

    def frame(self, piece: Any) -> bytes:
        """Return a piece of the body as it is written, or its end for `None`."""

    def has_early_response(self) -> bool:
        """Read what has arrived, without waiting; tell whether it holds a final response head."""

    def read_ahead(self) -> bool:
        """Read the body of an early response; `False` when no more will come or can be kept."""

    def survive_failed_write(self, error: OSError) -> None:
        """Keep the response that waits behind a failed write; raise if there is none."""


class Upload:
    """Writes one body; stops when the server turns it away.

    Args:
        sender: The connection.
        plan: Its write timeout is that of each block.
    """

    __slots__ = ("_plan", "_sender")

    def __init__(self, sender: Sender, plan: TimeoutPlan) -> None:
        self._sender = sender
        self._plan = plan

    def send(self, request: WireRequest) -> None:
        """Write the body, or as much of it as the server wants."""
        body: Any = request.body
        sender = self._sender
        is_streamed = not isinstance(body, bytes)
        request.is_body_started = is_streamed
        pieces: Iterable[Any] = body_pieces(body) if is_streamed else _slices(body)
        for number, piece in enumerate(pieces):
            # A streamed body may be endless, and its server may respond and read on: look whenever
            # there is more to send. Behind the last piece a response is not early any more.
            if is_streamed and number and self._is_turned_away():
                return
            if not self._write_block(sender.frame(piece)):
                return
        self._write_block(sender.frame(None))

    def send_rest(self, data: memoryview) -> bool:
        """Write the rest of a head that the server has interrupted; `False` if it wants no more."""
        return not self._is_turned_away() and self._write_block(data)

    def _write_block(self, data: bytes | memoryview) -> bool:
        """Write one block of a body; `False` when the server has turned it away."""
        sender, plan = self._sender, self._plan
        if plan.total.expired:  # the body iterator was slow
            raise sender.errors.send_timeout(plan)
        view = memoryview(data)
        while view:
            limit, piece = plan.total.sooner(plan.write), view
            if sender.early_status is not None:
                limit, piece = limit.sooner(RESPONDED_SECONDS), view[:RESPONDED_BYTES]
            try:
                count = sender.stream.send_until_response(piece, limit)
            except TimeoutError as error:
                if sender.early_status is not None:
                    return False
                raise sender.errors.send_timeout(plan) from error
            except OSError as error:
                sender.survive_failed_write(error)
                return False
            sender.errors.bytes_sent += count
            view = view[count:]
            if count < len(piece) and self._is_turned_away():
                return False
        return True

    def _is_turned_away(self) -> bool:
        """Read what has arrived, without waiting, and tell whether it says to send no more.

        An error or a redirect says so, and so does a complete response. A success that only begins
        before the request ends comes from a server that works as it reads: it gets the rest.

        Raises:
            ConnectionBroken: The stream has ended without a response.
        """
        sender = self._sender
        if not sender.has_early_response():
            return False
        return (sender.early_status or 0) >= FIRST_REFUSAL or not sender.read_ahead()


def _slices(body: bytes) -> Iterable[memoryview]:
    """Cut a large body so that each write has its own timeout and none is copied whole."""
    view = memoryview(body)
    return (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def body_pieces(body: Readable | Iterable[bytes | str]) -> Iterator[bytes]:
    """Yield a streamed body piece by piece, text encoded as UTF-8, without empty pieces.

    An empty piece would end a chunked body early (RFC 9112, section 7.1).
    """
    read = getattr(body, "read", None)
    if read is None:
        for item in body:  # type: ignore[union-attr]
            piece = item.encode("utf-8") if isinstance(item, str) else item
            if piece:
                yield piece
        return
    size = PIECE_BYTES if not isinstance(body, io.TextIOBase) else PIECE_BYTES // 4
    while block := read(size):
        yield block.encode("utf-8") if isinstance(block, str) else block
