"""The body of one response, piece by piece, as the parser finds it. Nothing here waits.

    next_piece -> bytes         a piece; `b""` at the end
               -> None          more bytes are needed: read them and `feed` them

The end is looked for together with the last piece, where the framing allows it: a reader who takes
no more than the body holds still gives the connection back. What is found too early, or goes wrong
too early, is kept and comes in its turn.
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

#: Bytes asked of the stream at a time: several TLS records (16 KiB each). A larger number gains
#: nothing.
RECV_BYTES = 64 * 1024

#: Framing bytes an honest chunk may cost: its size in hex, a short extension, two line ends.
CHUNK_ALLOWANCE_BYTES = 16

#: The most of an early response that is kept while its request is still being sent.
READ_AHEAD_BYTES = 16 * 1024 * 1024


class ResponseBody:
    """Takes one body from the parser.

    Args:
        head: What came before it.
        parser: Parses it.
        errors: Makes its errors; is told how much of the body has come.
        limits: Bounds on its framing.
    """

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_errors",
        "_excess",
        "_failure",
        "_is_chunked",
        "_limits",
        "_parser",
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
        #: Framing bytes that the data does not explain.
        self._excess = 0
        #: What was found before its turn: pieces, the end, or an error.
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
            BadResponse: Broken chunks, almost only framing, or an oversized trailer.
        """
        if self._failure is not None:
            raise copy_without_tracebacks(self._failure)
        if self.is_complete:
            return b""
        found = self._next_kept() if self._ahead else self._parser.next_piece()
        return None if found is NEED_DATA else self._take(found)

    def feed(self, data: bytes) -> None:
        """Take bytes from the stream; `b""` for its end.

        A chunked body may be almost only framing (extensions of a kilobyte around one byte of
        data), which is an attack on the reader's time. So the framing bytes that the data does not
        explain are bounded.
        """
        if self._is_chunked:
            self._excess += len(data)
            if self._excess > self._limits.chunk_overhead_bytes + RECV_BYTES:
                raise self._errors.bad_response("the chunked body is almost only framing", "body")
        self._parser.feed(data)

    def look_ahead(self) -> None:
        """Find out whether the end of the body is already here; keep what else is."""
        try:
            found = self._next_kept() if self._ahead else self._parser.next_piece()
        except Exception as error:  # raised in its turn, behind the data that came before it
            self._failure = copy_without_tracebacks(error)
            return
        if found is END:
            self.is_complete = True
        elif found is not NEED_DATA:
            self._put_aside().appendleft(found)

    def read_ahead(self, recv_now: Callable[[int], bytes | None]) -> bool:
        """Read the body of an early response, so that its server does not block on it.

        Args:
            recv_now: Returns what has arrived, `None` for nothing yet.

        Returns:
            `False` when it is complete or broken, or too large to keep more of it.
        """
        ahead = self._put_aside()
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
            pass  # the reader of the body meets it again
        except HTTPError as error:
            ahead.append(copy_without_tracebacks(error))
        return False

    def _put_aside(self) -> deque[Piece | Signal | HTTPError]:
        if self._ahead is None:
            self._ahead = deque()
        return self._ahead

    def _next_kept(self) -> Piece | Signal:
        """Return the next part of the body that was found before its turn."""
        found = self._put_aside().popleft()
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
            self._excess = max(0, self._excess - 3 * len(data) - CHUNK_ALLOWANCE_BYTES)
        elif errors.body_left is not None:
            errors.body_left -= len(data)
        if self.chunk_ended or errors.body_left == 0:
            self.look_ahead()
        return data
