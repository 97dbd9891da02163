"""The request as it is sent, and the limits on its response, as plain values.

`WireRequest` is a request ready for HTTP/1.1: method and target as bytes, the fields in the order
in which they are sent, and a body whose framing is decided. It knows no socket, pool or retry
policy. Its counterpart, `Head`, is in `response_head`.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterable
from typing import Literal, Protocol, get_args

from pooledhttp.http1.parser_choice import ParserChoice, checked_choice
from pooledhttp.records import check_whole_number, explain_misspelt_fields, field, record, replace

__all__ = ["Readable", "CheckedFields", "ResponseLimits", "TlsTruncation", "WireRequest"]

#: RFC 9110, section 9.2.2: sending these twice has the effect of sending them once.
IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})

#: What to do when a TLS connection ends without close_notify in a body without length and chunks:
#: raise an error, or take it as the end of the body.
TlsTruncation = Literal["error", "allow"]

#: Our default for the number of fields in a head, and the one of http.client. Programs change
#: `http.client._MAXHEADERS` because http.client has no setting for it. That works here as well.
_DEFAULT_FIELDS, _HTTP_CLIENT_DEFAULT = 512, 100

#: Visible ASCII: what may stand in a request line (RFC 9112, section 3.2).
_TARGET = re.compile(rb"[\x21-\x7e]+")


class Readable(Protocol):
    """A body that is read in pieces."""

    def read(self, size: int, /) -> bytes | str:
        """Return up to `size` bytes (or characters), empty at the end."""


@explain_misspelt_fields(by_name=False)
@record
class ResponseLimits:
    """What a server may send before its response counts as broken.

    Attributes:
        head_bytes: The status line and header fields together, in bytes. Real sites stay under 64
            KiB; the default leaves them room.
        head_fields: Header fields in one head, and in the trailer of a chunked body. `None` means
            512, or `http.client._MAXHEADERS` where a program has changed that.
        interim_responses: 1xx responses before the final one (RFC 9110, section 15.2, sets no
            limit).
        chunk_overhead_bytes: Framing bytes (chunk sizes, extensions) beyond a normal amount for
            the data between them.
        is_strict: Whether every head that breaks RFC 9112 is an error. Otherwise the kinds listed
            in `odd_heads` are repaired.
        allows_tls_truncation: Whether a body with neither length nor chunks may end without
            close_notify. Anyone on the network path can cut such a body short (RFC 9112,
            section 9.8).
        parser: The library that reads heads: see `parsers`.

    Raises:
        TypeError: A limit is no whole number.
        ValueError: A limit is less than 1, or for the last two counts less than 0.
    """

    head_bytes: int = 256 * 1024
    head_fields: int | None = None
    interim_responses: int = 32
    chunk_overhead_bytes: int = 64 * 1024
    is_strict: bool = False
    allows_tls_truncation: bool = False
    parser: ParserChoice = "auto"

    def __post_init__(self) -> None:
        check_whole_number("head_bytes", self.head_bytes)
        if self.head_fields is not None:
            check_whole_number("head_fields", self.head_fields)
        check_whole_number("interim_responses", self.interim_responses, 0)
        check_whole_number("chunk_overhead_bytes", self.chunk_overhead_bytes, 0)

    @classmethod
    def chosen(
        cls,
        strict: bool | None,
        tls_truncation: TlsTruncation | None,
        max_response_fields: int | None,
        parser: ParserChoice | None = None,
    ) -> ResponseLimits | None:
        """Make limits from the settings of a session or an adapter.

        Args:
            strict: Refuse heads that break RFC 9112; `None` is `False`.
            tls_truncation: See `TlsTruncation`; `None` is `"error"`.
            max_response_fields: The most header fields; `None` is the default of `head_fields`.
            parser: `"auto"`, `"h11"` or `"httptools"`; `None` is `"auto"`.

        Returns:
            The limits; `None` if they are the defaults.

        Raises:
            ValueError: A setting has a value that is not allowed.
        """
        if tls_truncation not in (None, *get_args(TlsTruncation)):
            raise ValueError(f'tls_truncation must be "error" or "allow", not {tls_truncation!r}')
        most = max_response_fields
        if most is not None and (not isinstance(most, int) or most < 1):
            raise ValueError(f"max_response_fields must be at least 1, or None, not {most!r}")
        choice = checked_choice(parser)
        allows_truncation = tls_truncation == "allow"
        if not (strict or allows_truncation or most is not None or choice != "auto"):
            return None
        return cls(
            head_fields=most,
            is_strict=bool(strict),
            allows_tls_truncation=allows_truncation,
            parser=choice,
        )

    def over(self, base: ResponseLimits) -> ResponseLimits:
        """Return `base` with the limits of this object that are not the defaults.

        A session or an adapter sets some limits only, by `chosen`; its pool has the others.
        """
        default = ResponseLimits()
        changed = {
            name: getattr(self, name)
            for name in ResponseLimits.__annotations__
            if getattr(self, name) != getattr(default, name)
        }
        return replace(base, **changed)

    @property
    def max_fields(self) -> int:
        """The most header fields; read for each head, as `http.client._MAXHEADERS` can change."""
        if self.head_fields is not None:
            return self.head_fields
        number: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
        return _DEFAULT_FIELDS if number == _HTTP_CLIENT_DEFAULT else number


class CheckedFields:
    """The fields of a request after the parser has checked them.

    Attributes:
        block: The fields as they are written, with the blank line.
        length: Bytes of the body that must follow; `None` for a body in chunks.
        says_close: Whether the request asks the server to close the connection.
    """

    __slots__ = ("_fields", "_method", "block", "length", "says_close")

    def __init__(self) -> None:
        self._method = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self.block = b""
        self.length: int | None = 0
        self.says_close = False

    def is_for(self, request: WireRequest) -> bool:
        """Whether the method and fields of a request were checked, and its target needs no check.

        The fields are compared, because a caller may change its list in place.
        """
        return (
            self._method == request.method
            and self._fields == request.headers
            and (
                request.target is request.plain_target
                or _TARGET.fullmatch(request.target) is not None
            )
        )

    def keep(
        self, request: WireRequest, block: bytes, length: int | None, *, says_close: bool
    ) -> None:
        """Keep the result of a check. Other threads may share this object."""
        self.block, self.length, self.says_close = block, length, says_close
        self._fields = [*request.headers]
        self._method = request.method  # last: `is_for` compares it first


@record(frozen=False)
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
        checked: What the parser has made of method and fields. Requests that have the same ones
            share it.
        plain_target: The target, if it is known to be plain.
        is_body_started: Whether reading a body that is not bytes has begun. Then it must be rewound
            before the request is sent again.
        was_replayed: Whether it was sent once more, because its reused connection was dead.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | Readable | Iterable[bytes | str] | None = None
    rewind: Callable[[], object] | None = None
    url: str = ""
    expects_continue: bool = False
    has_idempotency_key: bool = False
    checked: CheckedFields = field(default_factory=CheckedFields, repr=False, compare=False)
    plain_target: bytes = field(default=b"", repr=False, compare=False)
    is_body_started: bool = field(default=False, init=False)
    was_replayed: bool = field(default=False, init=False)

    def is_idempotent(self) -> bool:
        """Whether sending it twice has the effect of sending it once."""
        return self.method in IDEMPOTENT_METHODS or self.has_idempotency_key

    @property
    def can_be_sent(self) -> bool:
        """Whether the body is at its start, or can be put there."""
        return not self.is_body_started or self.rewind is not None

    def rewind_body(self) -> None:
        """Put the body back to its start.

        Raises:
            OSError: The file of the body cannot seek (any more).
            ValueError: The file of the body is closed.
        """
        if self.is_body_started and self.rewind is not None:
            self.rewind()
            self.is_body_started = False
