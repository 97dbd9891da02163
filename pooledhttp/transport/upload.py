"""A large or streamed body on its way out, while the server may already be answering.

A server may answer before it has read all, and stop reading: an error, a redirect, or a success
that needs no more. What it says then is to be heard, not a broken pipe or a timeout; and a server
that answers as it reads must not be blocked by an answer that nobody takes in.

`Upload` decides when to look and when to stop. Framing, and reading what has come, are the
connection's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from pooledhttp.transport.wire import PIECE_BYTES, WireRequest, body_pieces

if TYPE_CHECKING:
    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.bytestream import ByteStream
    from pooledhttp.transport.faults import Faults

__all__ = ["Sender", "Upload"]

#: The lowest status of an early answer after which no more of a body is sent. Errors say that it is
#: not wanted here, redirects that it is wanted elsewhere.
FIRST_REFUSAL = 300

#: Seconds for which a server that has answered may take nothing of the rest of the body before it
#: counts as not wanted; and the bytes that are offered at a time meanwhile.
ANSWERED_SECONDS = 10.0
ANSWERED_BYTES = 16 * 1024


class Sender(Protocol):
    """What an upload needs of its connection."""

    stream: ByteStream
    faults: Faults

    @property
    def early_status(self) -> int | None:
        """The status of an answer that came before the request was out."""

    def frame(self, piece: Any) -> bytes:
        """A piece of the body as it is written, or its end for `None`."""

    def has_early_answer(self) -> bool:
        """Read what has arrived, without waiting; whether it holds the head of a final answer."""

    def read_ahead(self) -> bool:
        """Read the body of an early answer; `False` when there is no more to come or to keep."""

    def survive_failed_write(self, error: OSError) -> None:
        """Keep the answer that waits behind a failed write; raise if there is none."""


class Upload:
    """Writes one body; stops, in doubt, when the server turns it away.

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
            # A streamed body may be endless, and its server may answer and read on: look each time
            # there is more to send. Behind the last piece an answer is not early any more.
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
        if plan.total.expired:  # whoever makes the body has taken his time
            raise sender.faults.send_timeout(plan)
        view = memoryview(data)
        while view:
            limit, piece = plan.total.sooner(plan.write), view
            if sender.early_status is not None:
                limit, piece = limit.sooner(ANSWERED_SECONDS), view[:ANSWERED_BYTES]
            try:
                count = sender.stream.send_until_response(piece, limit)
            except TimeoutError as error:
                if sender.early_status is not None:
                    return False
                raise sender.faults.send_timeout(plan) from error
            except OSError as error:
                sender.survive_failed_write(error)
                return False
            sender.faults.bytes_sent += count
            view = view[count:]
            if count < len(piece) and self._is_turned_away():
                return False
        return True

    def _is_turned_away(self) -> bool:
        """Take in what has arrived, without waiting; whether it says to send no more.

        An error or a redirect says so, and so does an answer that is complete. A success that only
        begins before the request ends is the way of servers that work as they read: they get the
        rest.

        Raises:
            ConnectionBroken: The stream has ended without an answer.
        """
        sender = self._sender
        if not sender.has_early_answer():
            return False
        return (sender.early_status or 0) >= FIRST_REFUSAL or not sender.read_ahead()


def _slices(body: bytes) -> Iterable[memoryview]:
    """Cut a large body so that each write has its own timeout and none is copied whole."""
    view = memoryview(body)
    return (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))
