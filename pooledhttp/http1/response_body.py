"""The body of one response, piece by piece, as the parser finds it. Nothing here waits.

    next_piece -> bytes         a piece; `b""` at the end
               -> None          more bytes are needed: read them and `feed` them
    look_ahead                  parse what has arrived, to find the end together with the last piece
    read_ahead                  read what has arrived of an early response

Why look ahead: a caller that reads exactly the bytes of the body, and not up to the `b""`, must
still give the connection back. A piece, an end or an error that is found ahead of its turn is kept
until `next_piece` comes to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from pooledhttp.http1.parser import END, NEED_DATA, SWITCHED, Parser, Piece, Signal
from pooledhttp.runtime import copy_without_tracebacks

if TYPE_CHECKING:
    from pooledhttp.http1.errors import ExchangeErrors
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.response_head import Head

__all__ = ["RECV_BYTES", "ResponseBody"]

#: The most bytes of one `recv`: several TLS records (16 KiB each). A larger number gains nothing.
RECV_BYTES = 64 * 1024

#: Framing bytes that a normal chunk has: its size in hex, a short extension, two line ends.
CHUNK_ALLOWANCE_BYTES = 16

#: The most of an early response that is kept while its request is still being sent.
READ_AHEAD_BYTES = 16 * 1024 * 1024


class ResponseBody:
    """Takes one body from the parser.

    Args:
        head: The head of the response.
        parser: The parser of the connection.
        errors: Makes the errors, and counts the bytes of the body.
        limits: Limits of the framing.
    """

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_errors",
        "_failure",
        "_is_chunked",
        "_limits",
        "_parser",
        "_surplus",
        "chunk_ended",
        "is_complete",
    )

    def __init__(
        self, head: Head, parser: Parser, errors: ExchangeErrors, limits: ResponseLimits
    ) -> None:
        self._parser = parser
        self._errors = errors
        self._limits = limits
        self._is_chunked = head.is_chunked
        errors.body_left = head.body_length
        #: Bytes of a chunked body beyond a normal amount of framing for the data so far.
        self._surplus = 0
        #: What was found ahead of its turn: pieces, the end, or an error.
        self._ahead: deque[Piece | Signal | HTTPError] | None = None
        self._ahead_bytes = 0
        self._failure: Exception | None = None
        #: Whether the piece that was returned last ended a chunk.
        self.chunk_ended = False
        #: Whether the end has been found.
        self.is_complete = False

    def next_piece(self) -> bytes | None:
        """Return the next piece, `b""` at the end, `None` when more bytes are needed.

        Raises:
            BodyTruncated: The connection ended before the body did.
            BadResponse: Chunks are malformed or almost only framing, or the trailer is too large.
        """
        if self._failure is not None:
            raise copy_without_tracebacks(self._failure)
        if self.is_complete:
            return b""
        found = self._next_kept() if self._ahead else self._parser.next_piece()
        return None if found is NEED_DATA else self._take(found)

    def feed(self, data: bytes) -> None:
        """Take bytes from the stream; `b""` for its end.

        A server may send a chunked body that is almost only framing, such as an extension of a
        kilobyte for each byte of data, to waste the time of the reader. So framing bytes beyond a
        normal amount are limited.
        """
        if self._is_chunked:
            self._surplus += len(data)
            if self._surplus > self._limits.chunk_overhead_bytes + RECV_BYTES:
                raise self._errors.bad_response("the chunked body is almost only framing", "body")
        self._parser.feed(data)

    def look_ahead(self) -> None:
        """Parse what has arrived: note the end of the body, or keep the next piece or error."""
        try:
            found = self._next_kept() if self._ahead else self._parser.next_piece()
        except Exception as error:  # raised by the next call, after the data that came before it
            self._failure = copy_without_tracebacks(error)
            return
        if found is END:
            self.is_complete = True
        elif found is not NEED_DATA:
            self._kept().appendleft(found)

    def read_ahead(self, recv_now: Callable[[int], bytes | None]) -> bool:
        """Read what has arrived of the body of an early response, and keep it.

        Args:
            recv_now: Returns what has arrived, `None` for nothing yet.

        Returns:
            Whether more may follow: `False` when the body is complete or broken, or too large to
            keep more of it.
        """
        ahead = self._kept()
        try:
            while self._ahead_bytes <= READ_AHEAD_BYTES:
                found = self._parser.next_piece()
                if found is NEED_DATA:
                    data = recv_now(RECV_BYTES)
                    if data is None:
                        return True
                    self._ahead_bytes += len(data)
                    self._parser.feed(data)
                elif found is SWITCHED:
                    return False
                else:
                    ahead.append(found)
                    if found is END:
                        return False
        except OSError:
            pass  # the next `recv` fails again, and the caller gets the error there
        except HTTPError as error:
            ahead.append(copy_without_tracebacks(error))
        return False

    def _kept(self) -> deque[Piece | Signal | HTTPError]:
        if self._ahead is None:
            self._ahead = deque()
        return self._ahead

    def _next_kept(self) -> Piece | Signal:
        """Return the next item that was found ahead of its turn; raise it if it is an error."""
        found = self._kept().popleft()
        if isinstance(found, HTTPError):
            raise copy_without_tracebacks(found)
        return found

    def _take(self, found: Piece | Signal) -> bytes:
        if found is END:
            self.is_complete = True
            return b""
        if type(found) is not Piece:
            raise self._errors.bad_response("unexpected end inside the body", "body")
        data, self.chunk_ended = found
        errors = self._errors
        errors.body_seen += len(data)
        if self._is_chunked:
            self._surplus = max(0, self._surplus - 3 * len(data) - CHUNK_ALLOWANCE_BYTES)
        elif errors.body_left is not None:
            errors.body_left -= len(data)
        if self.chunk_ended or errors.body_left == 0:
            self.look_ahead()
        return data
