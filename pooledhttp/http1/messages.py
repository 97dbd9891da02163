"""What is sent, and the bounds on what may come back, as plain values.

`WireRequest` is a request ready for HTTP/1.1: method and target as bytes, the fields in the order
in which they are sent, and a body whose framing is decided. It knows no socket, pool or retry
policy. Its counterpart, `Head`, is in `response_head`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Readable", "ResponseLimits", "WireRequest"]

#: RFC 9110, section 9.2.2: sending these twice has the effect of sending them once.
IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


class Readable(Protocol):
    """A body that is read in pieces."""

    def read(self, size: int, /) -> bytes | str:
        """Return up to `size` bytes (or characters), empty at the end."""


@dataclass(frozen=True, slots=True)
class ResponseLimits:
    """How much a server may send before its response counts as broken.

    Attributes:
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

    Attributes:
        method: The method, upper or lower case as the caller wants it.
        target: The request target (RFC 9112, section 3.2): a path, or a whole URL for a forward
            proxy.
        headers: Name and value pairs in wire order, `Host` among them.
        body: `None`, bytes, something with `read`, or an iterable of bytes or str.
        rewind: Puts the body back to where it began. `None` when the body can be sent only once.
        url: For error messages, without credentials.
        expects_continue: Wait for `100 Continue` before the body (RFC 9110, section 10.1.1).
        has_idempotency_key: Whether the request has an `Idempotency-Key` field.
        is_body_started: Whether a body that is not plain bytes was touched: then it must be rewound
            before it is sent again.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | Readable | Iterable[bytes | str] | None = None
    rewind: Callable[[], object] | None = None
    url: str = ""
    expects_continue: bool = False
    has_idempotency_key: bool = False
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
            OSError: The file under it cannot seek (any more).
            ValueError: The file under it is closed.
        """
        if self.is_body_started and self.rewind is not None:
            self.rewind()
            self.is_body_started = False
