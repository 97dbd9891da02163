"""`response.raw`: a urllib3 `HTTPResponse` over our own body reader.

Code built on requests looks deep into `raw`, so it is the real class, with everything read through
the replaceable `_fp`: a library may wrap it to watch the bytes go by, or put a `BytesIO` there to
have the body read again. What differs from a response that urllib3 made itself:

- The parser has taken chunks apart already. `chunked` tells how the body comes, and `stream` keeps
  the ends of chunks visible by asking the reader for pieces; urllib3's own reading of chunks is
  never used.
- A compressed body that is cut short is an error (see `decoding`).
- The connection is not ours to give back: the reader does it at the end of the body. `close` and
  `release_conn` close the reader; a response that is merely dropped does nothing, so that the
  pool can tell a leak.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPHeaderDict
from urllib3.exceptions import DecodeError
from urllib3.exceptions import HTTPError as TransportError
from urllib3.response import ContentDecoder, HTTPResponse
from urllib3.util.response import is_fp_closed

from pooledhttp.message.decoding import Decoder, make_decoder
from pooledhttp.message.insides import ConnectionAttribute, HeldConnection, OriginalResponse
from pooledhttp.message.reader import Reader
from pooledhttp.originals import Originals

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

__all__ = [
    "MAX_DRAIN_BYTES",
    "OriginalResponse",
    "RawResponse",
    "Reader",
    "drain",
]

#: How much of an unwanted body is read so that its connection can be used again. Reading
#: more costs more than a new connection, and a server could make it endless.
MAX_DRAIN_BYTES = 64 * 1024
#: The longest that such a body is waited for, which is longer than a new connection takes.
MAX_DRAIN_SECONDS = 1.0
#: Such a body is always waited for so long: many servers send it apart from its head, and the
#: network may hold back the second of two small packets for 40 ms (Nagle, delayed ACK).
MIN_DRAIN_SECONDS = 0.1
_DRAIN_PIECE_BYTES = 16 * 1024


class _Refusal(ContentDecoder):
    """Stands for a decoder that could not be made, and says why when it is needed."""

    has_unconsumed_tail = False

    def __init__(self, error: DecodeError) -> None:
        self._error = error

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Refuse any byte; a body of none needs no decoding."""
        if data:
            raise self._error
        return b""

    def flush(self) -> bytes:
        """Return nothing: there is nothing left to give."""
        return b""


class RawResponse(HTTPResponse):
    """A urllib3 response whose body comes from the pool's connection.

    Args:
        reader: The body.
        headers: Name and value pairs as they came, repeats included.
        status: Status code.
        reason: Reason phrase.
        version: 10 or 11.
        request_method: The method of the request.
        request_url: Its target.
        is_chunked: Whether the body comes in chunks.
        retries: The policy in its state after this request, with its history.
    """

    def __init__(
        self,
        reader: Reader,
        headers: list[tuple[str, str]],
        status: int,
        reason: str,
        version: int = 11,
        *,
        request_method: str,
        request_url: str | None = None,
        is_chunked: bool = False,
        retries: Retry | None = None,
    ) -> None:
        super().__init__(
            body=reader,  # type: ignore[arg-type]
            headers=HTTPHeaderDict(headers),
            status=status,
            version=version,
            version_string="HTTP/1.0" if version == 10 else "HTTP/1.1",
            reason=reason,
            preload_content=False,
            decode_content=False,
            original_response=OriginalResponse(
                headers, reader, status, reason, version, request_method
            ),  # type: ignore[arg-type]
            request_method=request_method,
            request_url=request_url,
            retries=retries,
        )
        # Read by code that wants a connection; `ConnectionAttribute` makes it then.
        del self._connection
        #: When the head was there, by `timing.monotonic`; the body may have been read since.
        self.arrived_at = 0.0
        #: Whether what follows is no body but another protocol.
        self.is_switched = status == 101 or (request_method == "CONNECT" and 200 <= status < 300)
        self._reader = reader
        self._is_chunked = is_chunked

    @property
    def parser(self) -> str:
        """The library that has read the head of this response: `"h11"` or `"httptools"`."""
        return self._reader.parser

    def note_read(self, size: int) -> None:
        """Count `size` bytes of the body, which were read from the reader directly."""
        self._fp_bytes_read += size
        if self.length_remaining is not None:
            self.length_remaining -= size

    # ---- decoding

    #: urllib3 has it since 2.8. Here it tells "no decoder needed" from "not looked yet".
    _decoder_initialized = False

    def _init_decoder(self) -> None:
        if self._decoder_initialized:
            return
        if self._decoder is None:
            try:
                self._decoder = make_decoder(self.headers.get("content-encoding", ""))
            except DecodeError as error:
                # A caller that wants the raw bytes, or none, needs no decoder.
                self._decoder = _Refusal(error)
        self._decoder_initialized = True

    def resume_with(self, decoder: ContentDecoder, *, has_decoded: bool) -> None:
        """Go on with a decoder that was given the whole body.

        Args:
            decoder: Says again why it failed.
            has_decoded: Whether it has decoded anything.
        """
        self._decoder = decoder
        self._decoder_initialized = True
        self._has_decoded_content = has_decoded

    # ---- reading

    def read(
        self,
        amt: int | None = None,
        decode_content: bool | None = None,
        cache_content: bool = False,
    ) -> bytes:
        """Read `amt` bytes, decoded if asked for; all of them for `None` or a negative number.

        Raises:
            DecodeError: A compressed body is damaged, or ended before its compression did.
            ProtocolError: The body ended early, or its framing is broken.
            ReadTimeoutError: Nothing came in time.
        """
        if amt and amt > 0 and self._is_read_as_it_comes(decode_content):
            # All of urllib3's steps would do nothing, for each piece of a large body.
            if data := self._reader.read(amt):
                self._uncached_read_occurred = True
                self.note_read(len(data))
                return data
        try:
            data = super().read(amt, decode_content, cache_content)
        except TransportError as error:
            # What came before is given first, where the next read will say again what went wrong.
            rest = len(self._decoded_buffer)
            if amt is None or amt < 0 or not rest or not self._will_fail_again(error):
                raise
            return self._decoded_buffer.get(rest)
        if not data or amt is None or amt < 0:
            self._check_end_of_coding()
        return data

    def _check_end_of_coding(self) -> None:
        """At the end of the body, ask the decoder whether it may end there.

        urllib3 asks only where the last read brings nothing while it still has decoded bytes.
        """
        decoder = self._decoder
        if decoder is not None and self._has_decoded_content and not len(self._decoded_buffer):
            if is_fp_closed(self._fp) and not decoder.has_unconsumed_tail:
                decoder.flush()

    def _is_read_as_it_comes(self, decode_content: bool | None) -> bool:
        """Whether a read returns the next bytes of the reader, and no step of it is replaced."""
        source: object = self._fp
        if source is not self._reader or self._has_decoded_content or self._reader.closed:
            return False
        if self.decode_content if decode_content is None else decode_content:
            self._init_decoder()
            if self._decoder is not None:
                return False
        return _STEPS.are_used_by(self) and _URLLIB3_STEPS.are_in(HTTPResponse)

    def _will_fail_again(self, error: TransportError) -> bool:
        """Whether the next read raises an error again.

        A decoder does. So does a reader that has failed: its connection is gone, and yet it is not
        at its end.
        """
        if isinstance(error, DecodeError):
            return isinstance(self._decoder, Decoder)
        source: object = self._fp
        return source is self._reader and self._reader.is_finished and not self._reader.closed

    def stream(
        self, amt: int | None = 2**16, decode_content: bool | None = None
    ) -> Generator[bytes]:
        """Yield the body in pieces of up to `amt` bytes, chunks as they come."""
        source: object = self._fp
        if not self._is_chunked or source is not self._reader:
            yield from self._stream_pieces(amt, decode_content)
            return
        yield from self._stream_chunks(amt, decode_content)

    def read_chunked(
        self, amt: int | None = None, decode_content: bool | None = None
    ) -> Generator[bytes]:
        """As `stream`, for a body that comes in chunks.

        Raises:
            ResponseNotChunked: It does not.
        """
        source: object = self._fp
        if self._is_chunked and source is self._reader:
            yield from self._stream_chunks(amt, decode_content)
        elif self._is_chunked:
            yield from self._stream_pieces(amt if amt and amt > 0 else 2**16, decode_content)
        else:
            yield from super().read_chunked(amt, decode_content)

    def _stream_pieces(self, amt: int | None, decode_content: bool | None) -> Generator[bytes]:
        """As urllib3's `stream` where a body has no chunks: `_fp` may be a library's by now."""
        self.chunked = False
        is_at_end = False
        for piece in super().stream(amt, decode_content):
            is_at_end = is_fp_closed(self._fp)  # before the caller has it, and may close it
            yield piece
        if is_at_end:
            self._check_end_of_coding()

    def _stream_chunks(self, amt: int | None, decode_content: bool | None) -> Generator[bytes]:
        """As urllib3's `read_chunked`, over a reader that has the framing taken off already.

        No `amt`, or a negative one, takes chunks as they come, in pieces of a size that is ours.
        An `amt` of 0 takes nothing.
        """
        if amt == 0:
            return
        amt = amt if amt and amt > 0 else 2**16
        self._init_decoder()
        if decode_content is None:
            decode_content = self.decode_content
        if len(self._decoded_buffer):
            yield self._decoded_buffer.get_all()
        if not (decode_content and self._decoder) and not self._has_decoded_content:
            yield from self._stream_chunks_as_they_come(amt)
            return
        while True:
            if decode_content and self._decoder is not None and self._decoder.has_unconsumed_tail:
                piece = b""
            else:
                piece = self._read_piece(amt)
                if not piece:
                    break
            decoded = self._decode(piece, decode_content, flush_decoder=False, max_length=amt)
            if decoded:
                yield decoded
        if decode_content and (rest := self._flush_decoder()):
            yield rest

    def _stream_chunks_as_they_come(self, amt: int) -> Generator[bytes]:
        """Yield chunks without decoding them; there can be millions."""
        while piece := self._read_piece(amt):
            yield piece
            for piece in self._reader.arrived_chunks(amt):
                self._fp_bytes_read += len(piece)
                yield piece

    def _read_piece(self, amt: int) -> bytes:
        reader = self._reader
        if is_fp_closed(reader):
            return b""
        with self._error_catcher():
            piece = reader.read_piece(amt)
        self._uncached_read_occurred = True
        self._fp_bytes_read += len(piece)
        return piece

    # ---- the connection

    def release_conn(self) -> None:
        """Close the connection, unless the body is read and it has gone back already.

        A body that was not read to its end cannot be read after that: reading it is an error.
        """
        if not self._reader.is_finished:
            self._reader.release()

    def limit_remaining_time(self, seconds: float) -> None:
        """Allow at most `seconds` from now for the rest of the body."""
        self._reader.limit_remaining_time(seconds)

    def drain_conn(self) -> None:
        """Read the rest of a small body, so that the connection can serve again.

        A large or slow one, which would take longer than a new connection, one that knows no end,
        and one that is broken are closed.
        """
        try:
            is_read = drain(self) is not None
        except (TransportError, OSError):  # as urllib3: the caller does not want this body
            is_read = False
        if not is_read:
            self.close()

    def close(self) -> None:
        """Close the body, and with it the connection if the body was not read to its end."""
        if self.__dict__.get("_finalizing"):
            # io.IOBase closes what is dropped. A dropped body is left to its lease, which counts
            # the leak.
            return
        self._reader.close()
        super().close()

    _connection: Any = ConnectionAttribute()

    @property
    def connection(self) -> HeldConnection | None:  # type: ignore[override]
        """An object that has the socket as `sock`, while the body is unread."""
        held: HeldConnection | None = self._connection
        return held

    def shutdown(self) -> None:
        """End the reading side of the connection: a read that waits in another thread ends.

        To its reader the body breaks off there, and the connection is closed.

        Raises:
            RuntimeError: The body was read or closed, and holds no connection any more.
        """
        held = None if self._reader.is_finished else self.connection
        sock = None if held is None else held.sock
        if sock is None:
            raise RuntimeError("this response holds no connection any more, so no read can wait")
        sock.shutdown(0)  # SHUT_RD; this package does without the module `socket`

    def fileno(self) -> int:
        """Return the descriptor of the socket, while the body holds its connection.

        Raises:
            OSError: It does not hold one.
        """
        if self._fp is None or isinstance(self._fp, io.BytesIO):
            raise OSError("this response holds no socket")
        return super().fileno()


#: What a read goes through. A program that has replaced one of these has it called.
_STEPS = Originals(
    RawResponse, "_raw_read", "_fp_read", "_error_catcher", "_init_decoder", "_decode"
)
_URLLIB3_STEPS = Originals(HTTPResponse, "read")


def drain(raw: Any, head_seconds: float = MAX_DRAIN_SECONDS) -> bytes | None:
    """Read what is left of a small body, without decoding it.

    Our own response is given little time for it: a redirect is followed also where its body
    trickles, or never comes.

    Args:
        raw: What the body is read from: a urllib3 response, or just something with `read`.
        head_seconds: How long the head took. The body is given as long, within the bounds of
            `MIN_DRAIN_SECONDS` and `MAX_DRAIN_SECONDS`: a connection that lets it wait longer is
            worth less than a new one.

    Returns:
        The bytes; None if there are too many of them, and the connection is to be closed.

    Raises:
        Exception: Reading failed.
    """
    announced = getattr(raw, "length_remaining", None)
    if isinstance(announced, int) and announced > MAX_DRAIN_BYTES:
        return None
    if isinstance(raw, RawResponse):
        raw.limit_remaining_time(min(max(head_seconds, MIN_DRAIN_SECONDS), MAX_DRAIN_SECONDS))
    options = {"decode_content": False} if hasattr(raw, "stream") else {}
    pieces: list[bytes] = []
    total = 0
    while total <= MAX_DRAIN_BYTES:
        piece = raw.read(_DRAIN_PIECE_BYTES, **options)
        if not piece or not isinstance(piece, (bytes, str)):
            return b"".join(pieces)
        if isinstance(piece, str):  # a file in text mode stands in for a response
            piece = piece.encode("utf-8")
        pieces.append(piece)
        total += len(piece)
    return None
