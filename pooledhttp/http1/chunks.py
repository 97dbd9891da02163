"""Decodes a chunked body (RFC 9112, section 7.1). Pure; nothing waits.

    feed(bytes) -> the data of the chunks in them, a list of pieces

Every piece ends a chunk, except the last one while `is_in_chunk` is true: then the rest of that
chunk has not arrived. What cannot be decoded yet, such as half a size line, is kept for the next
call. After the end of the body, `surplus` is what came behind it.

It is strict: a chunk has a size in hexadecimal digits, perhaps an extension, and CRLF behind its
size and behind its data. It accepts what h11 accepts: SP and HTAB behind the size, any byte but LF
in an extension, and bare LF in the trailer. Beyond that, it accepts SP and HTAB between the size
and an extension, as RFC 9112 (section 7.1.1) requires; such an extension has no CR and no NUL.

One call of `feed` decodes all that has arrived, in one loop, because a body can consist of millions
of chunks of one byte.
"""

from __future__ import annotations

import re

from pooledhttp.http1.errors import TOO_LONG
from pooledhttp.http1.framing import FramingError, read_framing
from pooledhttp.syntax import TOKEN

__all__ = ["ChunkDecoder", "ChunkError"]

#: Twenty digits are more than any real chunk needs; without a bound, the number could be endless.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*|[ \t]*(?:;[^\0\r\n]*)?)\r\n")
#: The start of a line that may yet become a size line.
_SIZE_START = re.compile(rb"[0-9A-Fa-f]{1,20}(?:;[^\n]*|[ \t]*(?:;[^\0\r\n]*)?\r?)")
#: A whole trailer: fields, perhaps folded, and a blank line. Its lines may end in bare LF.
_BLANK_LINE = re.compile(rb"\n\r?\n")
_TRAILER_LINE = re.compile(
    rb"(" + TOKEN.encode("ascii") + rb"):[ \t]*([^\0\s]+(?:[ \t]+[^\0\s]+)*)?[ \t]*"
)
_CRLF = b"\r\n"


class ChunkError(ValueError):
    """The bytes are not a chunked body."""


class ChunkDecoder:
    """Decodes one chunked body.

    Args:
        max_line_bytes: The most bytes of an unfinished size line, or of a trailer.
        max_fields: The most fields in the trailer.
    """

    __slots__ = (
        "_in_trailer",
        "_left",
        "_max_fields",
        "_max_line_bytes",
        "_searched",
        "_unfinished",
        "_unfinished_bytes",
        "failure",
        "has_ended",
        "surplus",
    )

    def __init__(self, max_line_bytes: int, max_fields: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._max_fields = max_fields
        #: The beginning of a size line or trailer, in the pieces in which it came. They are joined
        #: when a line may be complete: joining them each time would take a time that grows with
        #: their square.
        self._unfinished: list[bytes] = []
        self._unfinished_bytes = 0
        #: How much of an unfinished trailer has no blank line.
        self._searched = 0
        #: Bytes of the open chunk that have not arrived, its CRLF included; 0 between two chunks.
        self._left = 0
        self._in_trailer = False
        #: Whether the end of the body was found.
        self.has_ended = False
        #: What came behind the end.
        self.surplus = b""
        #: Why the body could not be decoded further; the pieces before the failure are good.
        self.failure: ChunkError | None = None

    @property
    def is_in_chunk(self) -> bool:
        """Whether the last piece is only the beginning of its chunk."""
        return self._left > 2

    def feed(self, data: bytes) -> list[bytes]:
        """Decode the next bytes, and return the data of the chunks in them.

        It raises nothing: an error is in `failure`, and belongs behind the pieces returned.
        """
        pieces: list[bytes] = []
        if self._unfinished:
            if b"\n" not in data:
                self._keep_unfinished(data)
                return pieces
            data = b"".join([*self._unfinished, data])
            self._unfinished.clear()
            self._unfinished_bytes = 0
        try:
            at = self._decode(data, pieces)
        except ChunkError as error:
            self.failure = error.with_traceback(None)
            return pieces
        if self.has_ended:
            self.surplus = data[at:]
        elif at < len(data):
            self._keep_unfinished(data[at:])
        return pieces

    def _keep_unfinished(self, data: bytes) -> None:
        self._unfinished.append(data)
        self._unfinished_bytes += len(data)
        if self._unfinished_bytes > self._max_line_bytes:
            self.failure = ChunkError(TOO_LONG)

    def _decode(self, data: bytes, pieces: list[bytes]) -> int:
        """Decode from the start of `data`; return where the undecoded rest begins."""
        if self._in_trailer:
            return self._read_trailer(data, 0)
        at, size = 0, len(data)
        if self._left:
            at = self._resume_chunk(data, pieces)
        match, add = _SIZE_LINE.match, pieces.append
        while at < size:
            line = match(data, at)
            if line is None:
                _check_start(data, at)
                return at
            at = line.end()
            length = int(line[1], 16)
            if not length:
                self._in_trailer = True
                return self._read_trailer(data, at)
            end = at + length
            if data[end : end + 2] == b"\r\n":
                add(data[at:end])
                at = end + 2
            else:  # the chunk has not arrived completely, or it is malformed
                self._left = length + 2
                at += self._resume_chunk(data[at:], pieces)
        return at

    def _resume_chunk(self, data: bytes, pieces: list[bytes]) -> int:
        """Take the rest of the open chunk, or what has arrived of it; return how much was taken."""
        piece = data[: max(self._left - 2, 0)]
        if piece:
            pieces.append(piece)
            self._left -= len(piece)
        at = len(piece)
        if self._left <= 2:
            found = data[at : at + self._left]
            if not b"\r\n"[2 - self._left :].startswith(found):
                raise ChunkError(f"malformed chunk footer: {found!r} (expected {_CRLF!r})")
            self._left -= len(found)
            at += len(found)
        return at

    def _read_trailer(self, data: bytes, at: int) -> int:
        """Check the trailer and drop it; return where it ends, or `at` if it is not complete."""
        if data.startswith((b"\r\n", b"\n"), at):
            self.has_ended = True
            return data.index(b"\n", at) + 1
        found = _BLANK_LINE.search(data, max(at, self._searched))
        if found is None:
            self._searched = max(0, len(data) - at - 2)
            return at
        self._check_trailer(data[at : found.start()])
        self.has_ended = True
        return found.end()

    def _check_trailer(self, data: bytes) -> None:
        lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
        found = [(_TRAILER_LINE.fullmatch(line), line) for line in _unfolded(lines)]
        for field, line in found:
            if field is None:
                raise ChunkError(f"illegal header line: {line[:100]!r}")
        if len(found) > self._max_fields:
            raise ChunkError("the trailer has too many fields")
        try:
            read_framing((field[1], field[2] or b"") for field, _ in found if field is not None)
        except FramingError as error:
            raise ChunkError(str(error)) from None


def _check_start(data: bytes, at: int) -> None:
    """Check that what has arrived of a size line can be the beginning of one."""
    if _SIZE_START.fullmatch(data, at) is None:
        line = data[at:].partition(b"\n")[0]
        raise ChunkError(f"illegal chunk header: {line[:100]!r}")


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Join each line with those that continue it (RFC 9112, section 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and whole:
            whole[-1] += b" " + line.lstrip(b" \t")
        else:
            whole.append(line)
    return whole
