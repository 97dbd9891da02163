"""Reads clean response heads by httptools, the Python binding of llhttp (extra `fast`).

    clean head   -> httptools
    anything else -> h11, from the first byte of that head, for the rest of the exchange

So what is accepted, and repaired, is the same as with h11 alone. A head is clean if httptools
accepts it and it also passes the checks here: llhttp accepts some heads that h11 refuses, such as
`HTTP/2.0`, or a bare LF in some places. docs/security.md lists them. llhttp's lenient modes are
off.

httptools gets exactly one head, never a byte behind it, so it decides nothing about bodies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from pooledhttp.http1.parser import ParsedHead

if TYPE_CHECKING:
    from pooledhttp.http1.errors import ExchangeErrors
    from pooledhttp.http1.h11_parser import H11Parser
    from pooledhttp.http1.messages import ResponseLimits

__all__ = ["FastParser"]

#: A head in more pieces is left to h11. Joining and searching them here would take a time that
#: grows with their square; h11's buffer does not.
MAX_PIECES = 16

#: The status line that every clean head begins with. In a reason phrase h11 refuses these bytes;
#: llhttp refuses them in values.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\0\x0b\x0c\r\n]*)?\r\n")
_CODING = b"transfer-encoding"
_CODING_LENGTH = len(_CODING)

#: No status line begins with these; h11 refuses them before the head is complete.
_NEVER_FIRST = [bytes([number]) for number in range(0x21)]


class FastParser:
    """Finds the heads of one exchange; see `HeadParser`.

    Args:
        errors: Makes the errors.
        limits: Bounds on what the server may send.
    """

    __slots__ = (
        "_arrived",
        "_errors",
        "_fields",
        "_h11",
        "_has_coding",
        "_is_headers_complete",
        "_is_odd",
        "_limits",
        "_pieces",
        "_reason",
    )

    def __init__(self, errors: ExchangeErrors, limits: ResponseLimits) -> None:
        self._errors = errors
        self._limits = limits
        #: What has arrived since the end of the last head.
        self._arrived = b""
        self._pieces = 0
        #: Reads the rest of the exchange, once a head was not clean.
        self._h11: H11Parser | None = None

    @property
    def name(self) -> str:
        """The library that has read the last head."""
        return "httptools" if self._h11 is None else self._h11.name

    @property
    def repairs(self) -> tuple[str, ...]:
        """What was repaired: only h11's heads are."""
        return () if self._h11 is None else self._h11.repairs

    @property
    def rest(self) -> bytes:
        """The bytes that have arrived behind the head that was returned last."""
        return self._arrived if self._h11 is None else self._h11.rest

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        if self._h11 is not None:
            self._h11.feed(data)
            return
        self._arrived = self._arrived + data if self._arrived else data
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            self._use_h11()

    def next_head(self) -> ParsedHead | None:
        """Return the next head, `None` if more bytes are needed; see `HeadParser`."""
        if self._h11 is None:
            arrived = self._arrived
            # h11 ends a head at the first of "\n\r\n" and "\n\n"; a clean head has CRLF only.
            end = arrived.find(b"\n\r\n") + 3
            if end < 3 and self._may_become_clean(arrived):
                return None
            head = arrived[:end]
            if self._is_clean(head) and (found := self._parse(head)) is not None:
                self._arrived = arrived[end:]
                self._pieces = 0
                return found
            self._use_h11()
        return self._h11.next_head() if self._h11 is not None else None

    def _use_h11(self) -> None:
        """Give what has arrived since the last head to h11, and leave the rest to it."""
        from pooledhttp.http1.h11_parser import H11Parser  # many programs never need it

        self._h11 = H11Parser(self._errors, self._limits)
        arrived, self._arrived = self._arrived, b""
        self._h11.feed(arrived)

    def _may_become_clean(self, start: bytes) -> bool:
        """Whether to wait for the rest of a head; h11 refuses some before they are complete."""
        return (
            len(start) <= self._limits.head_bytes
            and b"\n\n" not in start
            and start[:1] not in _NEVER_FIRST
        )

    def _is_clean(self, head: bytes) -> bool:
        """Whether httptools may read the head: what it checks less strictly than h11 is checked."""
        lines = head.count(b"\r\n")
        return (
            _STATUS_LINE.match(head) is not None
            and head.count(b"\n") == lines
            and head.count(b"\r") == lines
        )

    def _parse(self, head: bytes) -> ParsedHead | None:
        """Have httptools read a whole head; `None` if it refuses it."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._is_headers_complete = self._has_coding = self._is_odd = False
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the bytes behind the head are not HTTP, and were not given to it
        except httptools.HttpParserError:
            return None
        if self._is_odd or not self._is_headers_complete:
            return None
        return ParsedHead(
            parser.get_status_code(),
            self._reason,
            parser.get_http_version().encode("ascii"),
            self._fields,
            head,
        )

    # ---- called by httptools

    def on_status(self, reason: bytes) -> None:
        """Take the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field. White space behind a value is no part of it (RFC 9112, section 5)."""
        if len(name) == _CODING_LENGTH and name.lower() == _CODING:
            value = value.lower()  # as h11 does: codings are case-insensitive (section 7)
            if self._has_coding or value.rstrip(b" \t") != b"chunked":
                self._is_odd = True
            self._has_coding = True
        self._fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Note the end of the head."""
        self._is_headers_complete = True
