"""What goes over the wire and what comes back, as plain values.

`WireRequest` is a request made ready for HTTP/1.1: method and target as bytes, the header fields in
the order in which they are to be sent, and a body whose framing is already decided. `WireResponse`
is the head of an answer and the reader of its body. Neither knows a socket, a pool or a retry
policy; `connection.py` moves them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pooledhttp.message import Reader

__all__ = ["Limits", "WireRequest", "WireResponse", "Readable", "body_pieces"]

#: Bytes read from a file-like body at a time, and the most that one write hands to the socket. A
#: write of this size has its own write timeout, so a large upload that makes progress is never cut
#: off.
PIECE_BYTES = 128 * 1024

#: RFC 9110, section 9.2.2: doing these twice does what doing them once does.
IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


class Readable(Protocol):
    """A body that is read in pieces."""

    def read(self, size: int, /) -> bytes | str:
        """Return up to `size` bytes (or characters), empty at the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server may send before it counts as broken.

    Args:
        head_bytes: The status line and header fields together, in bytes. Real sites stay under 64
            KiB; the default leaves them room.
        head_fields: Header fields in one head, and in the trailer of a chunked body.
        interim_responses: 1xx responses before the final one (RFC 9110, section 15.2, sets no bound
            itself).
        chunk_overhead_bytes: Framing bytes (chunk sizes, extensions) above what the data can
            explain.
    """

    head_bytes: int = 256 * 1024
    head_fields: int = 512
    interim_responses: int = 32
    chunk_overhead_bytes: int = 64 * 1024


@dataclass(slots=True)
class WireRequest:
    """One request as it is sent.

    Args:
        method: The method, upper or lower case as the caller wants it.
        target: The request target (RFC 9112, section 3.2): a path, or a whole URL for a forward
            proxy.
        headers: Name and value pairs in wire order, `Host` among them.
        body: `None`, bytes, something with `read`, or an iterable of bytes or str.
        rewind: Puts the body back to where it began; `None` when sending it once uses it up.
        url: For error messages, without credentials.
        expects_continue: Wait for `100 Continue` before the body (RFC 9110, section 10.1.1).
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | Readable | Iterable[bytes | str] | None = None
    rewind: Callable[[], object] | None = None
    url: str = ""
    expects_continue: bool = False
    has_idempotency_key: bool = False
    #: Set as soon as a body that is not plain bytes was touched: from then on it must be rewound to
    #: be sent again.
    is_body_started: bool = field(default=False, init=False)

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does what once does, by method or `Idempotency-Key`."""
        return self.method in IDEMPOTENT_METHODS or self.has_idempotency_key

    @property
    def can_be_sent(self) -> bool:
        """Whether the body is at its start, or can be put there."""
        return not self.is_body_started or self.rewind is not None

    def rewind_body(self) -> None:
        """Put the body back to its start.

        Raises:
            OSError, ValueError: The file under it cannot go back (any more).
        """
        if self.is_body_started and self.rewind is not None:
            self.rewind()
            self.is_body_started = False


@dataclass(slots=True)
class WireResponse:
    """The head of an answer, and what reads its body.

    `headers` keeps the names as the server wrote them, in its order, repeats included. `version` is
    10 or 11.
    """

    status: int
    reason: str
    version: int
    headers: list[tuple[str, str]]
    is_chunked: bool
    reader: Reader


def body_pieces(body: Readable | Iterable[bytes | str]) -> Iterator[bytes]:
    """Yield a streamed body piece by piece, text encoded as UTF-8; empty pieces are left out.

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
