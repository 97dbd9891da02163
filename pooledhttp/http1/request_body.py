"""Sends a large or streamed body, and watches for an early response.

An early response is one that comes before the request is sent completely. A server may send an
error, a redirect or a success, and stop reading the request. Then the caller gets that response,
not a broken pipe or a timeout. Another server may respond while it reads on. It must not block on a
full send buffer, so its response is read and kept while the body is sent.

`Upload` decides when to look for a response and when to stop. `RequestFraming` writes the body as
its head has announced it. The connection reads what has arrived.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Protocol

from pooledhttp.http1 import errors
from pooledhttp.http1.messages import Readable, WireRequest

if TYPE_CHECKING:
    from pooledhttp.http1.bytestream import ByteStream
    from pooledhttp.http1.progress import ExchangeProgress
    from pooledhttp.timing import TimeoutPlan

__all__ = ["PIECE_BYTES", "RequestFraming", "Sender", "Upload", "body_pieces"]

#: Bytes read from a file-like body at a time, and the most that one write hands to the socket. A
#: write of this size has its own write timeout, so a large upload that makes progress is never cut
#: off.
PIECE_BYTES = 128 * 1024

#: After an early response with this status or a higher one, no more of the body is sent: an error
#: or a redirect says that the server does not want it.
FIRST_REFUSAL = 300

#: After an early response: the seconds in which the server must read something, or else the rest of
#: the body is not sent; and the bytes of one write.
RESPONDED_SECONDS = 10.0
RESPONDED_BYTES = 16 * 1024


class Sender(Protocol):
    """What an upload needs of its connection."""

    stream: ByteStream
    progress: ExchangeProgress

    @property
    def early_status(self) -> int | None:
        """The status of an early response; `None` if none has come."""

    def frame(self, piece: Any) -> bytes | memoryview:
        """Return a piece of the body as it is written."""

    def frame_end(self) -> bytes:
        """Return the end of the body as it is written."""

    def has_early_response(self) -> bool:
        """Read what has arrived, without waiting; tell whether a final head has been read."""

    def read_early_body(self) -> bool:
        """Read what has arrived of the body of an early response; tell whether more may follow."""

    def survive_failed_write(self, error: OSError) -> None:
        """After a failed write, look for a response that has arrived; raise if there is none."""


_LENGTH_ADVICE = (
    " for declared Content-Length. Leave that field out, and do not change a file while it is sent"
)


class RequestFraming:
    """Frames the body of one request: by its length, or in chunks (RFC 9112, section 7.1).

    Args:
        length: The length that the head has announced; `None` for chunks.
        progress: The facts of the exchange, for errors.
    """

    __slots__ = ("_left", "_progress")

    def __init__(self, length: int | None, progress: ExchangeProgress) -> None:
        self._left = length
        self._progress = progress

    def frame(self, piece: Any) -> bytes | memoryview:
        """Return a piece of the body as it is written; without chunks it is not copied.

        Raises:
            RequestRefused: The body is longer than the head has announced.
            TypeError: The body iterator has yielded something else than bytes or text.
        """
        try:
            size = len(piece)
        except TypeError:
            raise TypeError(
                f"an iterator given as data must yield bytes or text, not {type(piece).__name__}"
            ) from None
        if self._left is None:
            return b"%x\r\n%b\r\n" % (size, piece) if size else b""
        if size > self._left:
            raise errors.request_refused(
                self._progress, ValueError(f"Too much data{_LENGTH_ADVICE}")
            )
        self._left -= size
        data: bytes | memoryview = piece
        return data

    def end(self) -> bytes:
        """Return the end of the body as it is written.

        Raises:
            RequestRefused: The body is shorter than the head has announced.
        """
        if self._left is None:
            return b"0\r\n\r\n"
        if self._left:
            raise errors.request_refused(
                self._progress, ValueError(f"Too little data{_LENGTH_ADVICE}")
            )
        return b""


class Upload:
    """Writes one body; stops when the server wants no more of it.

    Args:
        sender: The connection.
        plan: Its write timeout applies to each write.
    """

    __slots__ = ("_plan", "_sender")

    def __init__(self, sender: Sender, plan: TimeoutPlan) -> None:
        self._sender = sender
        self._plan = plan

    def send(self, request: WireRequest) -> bool:
        """Write the body, or as much of it as the server wants; tell whether it was all."""
        body: Any = request.body
        sender = self._sender
        is_streamed = not isinstance(body, bytes)
        request.is_body_started = is_streamed
        pieces: Iterable[Any] = body_pieces(body) if is_streamed else _slices(body)
        try:
            for number, piece in enumerate(pieces):
                # A streamed body may be endless, and its server may respond but read on. So look
                # for a response before each piece but the first.
                if is_streamed and number and self._must_stop():
                    return False
                if not self._write_framed(sender.frame(piece)):
                    return False
        except HTTPException as error:  # the body is a response of http.client, which broke off
            raise errors.body_source_broken(sender.progress, error) from error
        return self._write_framed(sender.frame_end())

    def send_rest(self, data: memoryview) -> bool:
        """Write the rest of a head, unless the server has responded and wants no more.

        Returns:
            Whether all was written.
        """
        return not self._must_stop() and self._write_framed(data)

    def _write_framed(self, data: bytes | memoryview) -> bool:
        """Write one framed piece of a body; `False` when the server wants no more of it."""
        sender, plan = self._sender, self._plan
        if plan.total.expired:  # the caller's body took too long to give this piece
            raise errors.send_timeout(sender.progress, plan)
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
                raise errors.send_timeout(sender.progress, plan) from error
            except OSError as error:
                sender.survive_failed_write(error)
                return False
            sender.progress.bytes_sent += count
            view = view[count:]
            if count < len(piece) and self._must_stop():
                return False
        return True

    def _must_stop(self) -> bool:
        """Read what has arrived, without waiting, and tell whether to stop sending.

        Stop after the head of an error or a redirect, or after any complete response. If a success
        has begun but is not complete, the server is responding while it reads, so go on.

        Raises:
            ConnectionBroken: The stream has ended without a response.
        """
        sender = self._sender
        if not sender.has_early_response():
            return False
        return (sender.early_status or 0) >= FIRST_REFUSAL or not sender.read_early_body()


def _slices(body: bytes) -> Iterable[memoryview]:
    """Cut a large body, without copying it, so that each write has its own timeout."""
    view = memoryview(body)
    return (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def body_pieces(body: Readable | Iterable[bytes | str]) -> Iterator[bytes]:
    """Yield a streamed body piece by piece, text encoded as UTF-8, without empty pieces.

    An empty piece would end a chunked body early (RFC 9112, section 7.1).

    Raises:
        TypeError: The body is nothing that can be sent.
    """
    read = getattr(body, "read", None)
    if read is None:
        if not (hasattr(body, "__iter__") or hasattr(body, "__getitem__")):
            advice = "; an AsyncSession sends such" if hasattr(body, "__aiter__") else ""
            raise TypeError(
                "data must be a mapping, pairs, text, bytes, a file or an iterable of bytes, not "
                f"{type(body).__name__}{advice}"
            )
        for item in body:
            piece = item.encode("utf-8") if isinstance(item, str) else item
            if piece:
                yield piece
        return
    size = PIECE_BYTES if not isinstance(body, io.TextIOBase) else PIECE_BYTES // 4
    while block := read(size):
        yield block.encode("utf-8") if isinstance(block, str) else block
