"""A response head as a value, and checks of its first bytes that need no parser.

`HeadReader` makes a `Head`, and the rest of the package sees only that. So a `Head` also says how
the body is framed, and whether there is doubt about it (see `connection`).
"""

from __future__ import annotations

import re

from pooledhttp.records import field, record

__all__ = ["OPENING_BYTES", "Head", "is_opening", "keep_alive_seconds", "name_protocol"]

#: How a response begins (RFC 9112, section 4); and a sample, whose end completes a start that is
#: too short to match.
_OPENING = re.compile(rb"HTTP/1\.[0-9] [0-9]{3}")
_SAMPLE = b"HTTP/1.1 200"
#: The same, with several spaces or tabs before the status: see `odd_heads`.
_ODD_OPENING = re.compile(rb"HTTP/1\.[0-9][ \t]+[0-9]{0,3}")
OPENING_BYTES = len(_SAMPLE)


@record(frozen=False)
class Head:
    """The status line and fields of a final response, and the framing of its body.

    It is never changed: responses with the same head may share it (see `head_memo`).

    Attributes:
        status: The status code.
        reason: The reason phrase.
        version: 10 or 11.
        fields: Name and value pairs as the server wrote them, in its order, repeats included.
        by_name: The fields by lower-case name. Of repeated ones it has the last.
        is_chunked: Whether the body comes in chunks. A reader of a live stream stops at their ends.
        keep_seconds: The server's `Keep-Alive: timeout=` hint; `None` without one.
        body_length: Bytes of the body, 0 for none; `None` when chunks or the end of the connection
            delimit it (RFC 9112, section 6.3).
        is_doubtful: Whether two readers could disagree on where the body ends, or the head was
            repaired; then the connection is not used again.
        is_switch: Whether another protocol follows instead of a body.
        repairs: What was odd in this head, or in interim heads before it: names of rows of
            `odd_heads`.
        keeps_alive: Whether the server may keep the connection open: the version is 1.1 or later,
            and `Connection` does not contain `close` (RFC 9112, section 9.3).
        parser: The library that has read this head: `"h11"` or `"httptools"`.
        allows_reuse: Whether another response may follow this one: `keeps_alive`, an end of the
            body that is not the end of the connection, and no doubt.
    """

    status: int
    reason: str
    version: int
    fields: tuple[tuple[bytes, bytes], ...]
    by_name: dict[bytes, bytes]
    is_chunked: bool
    keep_seconds: float | None
    body_length: int | None = None
    is_doubtful: bool = False
    is_switch: bool = False
    repairs: tuple[str, ...] = ()
    keeps_alive: bool = True
    parser: str = "h11"
    allows_reuse: bool = field(init=False)

    def __post_init__(self) -> None:
        is_delimited = self.body_length is not None or self.is_chunked
        self.allows_reuse = self.keeps_alive and is_delimited and not self.is_doubtful

    def with_fields(
        self,
        fields: tuple[tuple[bytes, bytes], ...],
        by_name: dict[bytes, bytes],
        body_length: int | None,
    ) -> Head:
        """Return the same head with other fields, none of which changes anything else in it."""
        twin: Head = Head.__new__(Head)  # `__init__` would take twice as long
        twin.status = self.status
        twin.reason = self.reason
        twin.version = self.version
        twin.fields = fields
        twin.by_name = by_name
        twin.is_chunked = self.is_chunked
        twin.keep_seconds = self.keep_seconds
        twin.body_length = body_length
        twin.is_doubtful = self.is_doubtful
        twin.is_switch = self.is_switch
        twin.repairs = self.repairs
        twin.keeps_alive = self.keeps_alive
        twin.parser = self.parser
        twin.allows_reuse = self.allows_reuse
        return twin

    @property
    def headers(self) -> list[tuple[str, str]]:
        """A new list of the fields as text."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.fields]


def is_opening(start: bytes) -> bool:
    """Tell whether the first bytes of a response can be those of a status line.

    It is asked as soon as any bytes have arrived: a peer that speaks another protocol may send too
    few for a whole status line.

    Args:
        start: At most `OPENING_BYTES` bytes.
    """
    if _OPENING.fullmatch(start + _SAMPLE[len(start) :]):
        return True
    return _ODD_OPENING.fullmatch(start) is not None


def name_protocol(data: bytes) -> str:
    """Describe, for an error message, what a peer speaks that does not speak HTTP/1."""
    if data[0] in (0x15, 0x16) and data[1:2] in (b"\x03", b""):
        return "it speaks TLS; use https:// or another port"
    if data[3:4] == b"\x04" and data[5:9] == bytes(4):
        return "it speaks HTTP/2 and no HTTP/1.1"
    if data.startswith(b"SSH-"):
        return "it speaks SSH; check the port"
    return f"its response begins with {data[:20]!r}; check the host and the port"


def keep_alive_seconds(value: bytes) -> float | None:
    """Read `timeout=N` from a Keep-Alive field; `None` when it has none that makes sense."""
    for part in value.lower().split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.strip() == b"timeout" and number.strip().isdigit() and len(number) < 10:
            return float(number)
    return None
