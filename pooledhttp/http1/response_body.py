"""The body of one response, as its bytes arrive. Nothing here waits.

    feed(bytes)             what the stream has brought; `b""` for its end
    next_piece -> bytes     a piece; `b""` at the end
               -> None      more bytes are needed: read them and `feed` them
    take_all, take_into     the same for several pieces at once
    count                   bytes that the stream wrote into the caller's buffer

The length of the head, chunks or the end of the stream delimit the body (RFC 9112, section 6.3).
Bytes are decoded when they are fed, so the end of the body, or an error, is known together with the
last piece. A caller that reads exactly the bytes of the body, and not up to the `b""`, still gives
the connection back. An error is raised behind the pieces that came before it.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pooledhttp.http1 import errors
from pooledhttp.http1.chunks import ChunkDecoder
from pooledhttp.runtime import copy_without_tracebacks

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.progress import ExchangeProgress
    from pooledhttp.http1.response_head import Head

__all__ = ["RECV_BYTES", "ResponseBody"]

#: The most bytes of one `recv`, unless the caller has room for more: several TLS records (16 KiB
#: each).
RECV_BYTES = 64 * 1024

#: Framing bytes that a normal chunk has: its size in hex, a short extension, two line ends.
CHUNK_ALLOWANCE_BYTES = 16

#: The most of an early response that is kept while its request is still being sent.
EARLY_BODY_BYTES = 16 * 1024 * 1024


class ResponseBody:
    """Finds one body in the bytes of the stream. It has no slots: see `FastParser`.

    Args:
        head: The head of the response.
        rest: What has arrived behind it.
        progress: Counts the bytes of the body; its facts are for errors.
        limits: Limits of the framing.
    """

    _failure: Exception | None = None
    _chunks: ChunkDecoder | None = None
    #: Bytes of a chunked body beyond a normal amount of framing for the data so far.
    _overhead = 0
    #: What has arrived behind the end of the body.
    surplus: bytes
    #: Whether the end of the body has been found. It may be behind pieces not taken yet.
    has_ended = False

    def __init__(
        self, head: Head, rest: bytes, progress: ExchangeProgress, limits: ResponseLimits
    ) -> None:
        self._progress = progress
        self._limits = limits
        self.surplus = b""
        #: Decoded, and not yet taken. In a chunked body each ends a chunk, except perhaps the last.
        self.pieces: deque[bytes] = deque()
        length = head.body_length
        if rest and len(rest) == length:  # most small bodies come with their head
            self.pieces.append(rest)
            progress.body_seen, progress.body_left, self.has_ended = length, 0, True
            return
        progress.body_left = length
        self.has_ended = length == 0
        if length is None and head.is_chunked:
            self._chunks = ChunkDecoder(limits.head_bytes, limits.max_fields)
        if rest:
            self._feed(rest)

    # ---- what has been found

    @property
    def arrived_bytes(self) -> int:
        """How many bytes have been decoded and not yet taken."""
        return sum(map(len, self.pieces)) if self.pieces else 0

    @property
    def chunk_ended(self) -> bool:
        """Whether the piece that was taken last ended a chunk."""
        chunks = self._chunks
        return chunks is not None and (bool(self.pieces) or not chunks.is_in_chunk)

    def next_piece(self) -> bytes | None:
        """Return the next piece, `b""` at the end, `None` when more bytes are needed.

        Raises:
            BodyTruncated: The connection ended before the body did.
            BadResponse: Chunks are malformed or almost only framing, or the trailer is too large.
        """
        if self.pieces:
            return self.pieces.popleft()
        return self._end_or_failure()

    def take_all(self) -> bytes | None:
        """Return all pieces that have been decoded, as one; else the same as `next_piece`."""
        pieces = self.pieces
        if not pieces:
            return self._end_or_failure()
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return whole

    def take_into(self, view: memoryview) -> int:
        """Copy decoded pieces into `view`, as far as there is room; return how many bytes."""
        pieces, done = self.pieces, 0
        while pieces and done < len(view):
            piece = pieces.popleft()
            part = piece[: len(view) - done]
            view[done : done + len(part)] = part
            done += len(part)
            if len(part) < len(piece):
                pieces.appendleft(piece[len(part) :])
        return done

    def _end_or_failure(self) -> bytes | None:
        """Without pieces: raise the error, or return `b""` at the end and `None` before it."""
        if self._failure is not None:
            raise copy_without_tracebacks(self._failure)
        return b"" if self.has_ended else None

    def may_end_by(self, error: OSError) -> bool:
        """Whether an end of TLS without close_notify counts as the end of the body.

        The body may have been cut short. So this is allowed only if the settings say so, and if
        neither a length nor chunks tell where the body ends.
        """
        return (
            self._limits.allows_tls_truncation
            and isinstance(error, ssl.SSLEOFError)
            and self._progress.body_left is None
            and self._chunks is None
        )

    # ---- what arrives

    def feed(self, data: bytes) -> None:
        """Take bytes from the stream; `b""` for its end."""
        if self._failure is not None or (self.has_ended and not data):
            return
        if data:
            self._feed(data)
        elif self._chunks is not None:
            text = "peer closed connection without sending complete message body"
            self._failure = errors.body_truncated(
                self._progress, EOFError(f"{text} (incomplete chunked read)")
            )
        elif self._progress.body_left is None:
            self.has_ended = True
        else:
            self._failure = errors.body_truncated(
                self._progress, EOFError("the connection was closed")
            )

    def _feed(self, data: bytes) -> None:
        progress = self._progress
        if self.has_ended:
            self.surplus += data
        elif self._chunks is not None:
            self._feed_chunks(self._chunks, data)
        elif progress.body_left is None:
            progress.body_seen += len(data)
            self.pieces.append(data)
        else:
            length = progress.body_left
            if len(data) > length:
                data, self.surplus = data[:length], data[length:]
            self.pieces.append(data)
            self.count(len(data))

    def _feed_chunks(self, chunks: ChunkDecoder, data: bytes) -> None:
        """Decode chunks, and limit their framing.

        A server may send a chunked body that is almost only framing, such as an extension of a
        kilobyte for each byte of data, to waste the time of the reader. So framing bytes beyond a
        normal amount are limited.
        """
        progress = self._progress
        self._overhead += len(data)
        if self._overhead > self._limits.chunk_overhead_bytes + max(RECV_BYTES, len(data)):
            text = "the chunked body is almost only framing"
            self._failure = errors.bad_response(progress, text, "body")
            return
        pieces = chunks.feed(data)
        size = sum(map(len, pieces))
        progress.body_seen += size
        self._overhead = max(0, self._overhead - 3 * size - CHUNK_ALLOWANCE_BYTES * len(pieces))
        self.pieces += pieces
        if chunks.failure is not None:
            text = str(chunks.failure)
            self._failure = (
                errors.conflicting_length(progress, text, "body")
                if "Content-Length" in text
                else errors.bad_response(progress, text, "body")
            )
        elif chunks.has_ended:
            self.has_ended = True
            self.surplus = chunks.surplus

    def count(self, received: int) -> None:
        """Count bytes of a body of a known length, which arrived here or in the caller's buffer."""
        progress = self._progress
        progress.body_seen += received
        assert progress.body_left is not None
        progress.body_left -= received
        if not progress.body_left:
            self.has_ended = True

    def read_early_body(self, recv_now: Callable[[int], bytes | None]) -> bool:
        """Read what has arrived of the body of an early response, and keep it.

        Args:
            recv_now: Returns what has arrived, `None` for nothing yet.

        Returns:
            Whether more may follow: `False` when the body is complete or broken, or too large to
            keep more of it.
        """
        try:
            while not self.has_ended and self._failure is None:
                if self._progress.body_seen > EARLY_BODY_BYTES:
                    return False
                data = recv_now(RECV_BYTES)
                if data is None:
                    return True
                self.feed(data)
        except OSError:
            pass  # the next `recv` fails again, and the caller gets the error there
        return False
