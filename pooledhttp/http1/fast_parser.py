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
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: ([^\0\x0b\x0c\r\n]*))?\r\n")
_CODING = b"transfer-encoding"
_CODING_LENGTH = len(_CODING)

#: No status line begins with these; h11 refuses them before the head is complete.
_NEVER_FIRST = [bytes([number]) for number in range(0x21)]


class FastParser:
    """Finds the heads of one exchange; see `HeadParser`.

    It has no slots: each exchange makes one, and attributes that have the value of the class need
    not be set.

    Args:
        errors: Makes the errors.
        limits: Bounds on what the server may send.
    """

    name = "httptools"
    repairs: tuple[str, ...] = ()
    status = 0
    reason = b""
    version = b""
    #: httptools refuses a head that repeats its length.
    repeats_length = False

    #: What has arrived since the end of the last head.
    rest = b""
    _pieces = 0
    #: Reads the rest of the exchange, once a head was not clean.
    _h11: H11Parser | None = None

    _has_coding = _is_odd = _is_headers_complete = False

    def __init__(self, errors: ExchangeErrors, limits: ResponseLimits) -> None:
        self._errors = errors
        self._limits = limits
        self.fields: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        if self._h11 is not None:
            self._h11.feed(data)
            return
        self.rest = self.rest + data if self.rest else data
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            self._use_h11()

    def next_head(self) -> bool:
        """Go to the next head; `False` if more bytes are needed; see `HeadParser`."""
        if self._h11 is None:
            arrived = self.rest
            # h11 ends a head at the first of "\n\r\n" and "\n\n"; a clean head has CRLF only.
            end = arrived.find(b"\n\r\n") + 3
            if end < 3 and self._may_become_clean(arrived):
                return False
            if self._parse(arrived[:end]):
                self.rest = arrived[end:]
                self._pieces = 0
                return True
            self._use_h11()
        return self._next_of_h11()

    def _use_h11(self) -> None:
        """Give what has arrived since the last head to h11, and leave the rest to it."""
        from pooledhttp.http1.h11_parser import H11Parser  # many programs never need it

        self._h11 = H11Parser(self._errors, self._limits)
        self._h11.feed(self.rest)
        self.rest = b""

    def _next_of_h11(self) -> bool:
        parser = self._h11
        assert parser is not None
        has_found = parser.next_head()
        self.name, self.repairs, self.rest = parser.name, parser.repairs, parser.rest
        self.status, self.reason, self.version = parser.status, parser.reason, parser.version
        self.fields, self.repeats_length = parser.fields, parser.repeats_length
        return has_found

    def _may_become_clean(self, start: bytes) -> bool:
        """Whether to wait for the rest of a head; h11 refuses some before they are complete."""
        return (
            len(start) <= self._limits.head_bytes
            and b"\n\n" not in start
            and start[:1] not in _NEVER_FIRST
        )

    def _parse(self, head: bytes) -> bool:
        """Have httptools read a whole head, if it is clean; `False` if it is not.

        What httptools checks less strictly than h11 is checked here.
        """
        lines = head.count(b"\r\n")
        start = _STATUS_LINE.match(head)
        if start is None or head.count(b"\n") != lines or head.count(b"\r") != lines:
            return False
        self.fields = []
        self._is_headers_complete = self._has_coding = False
        try:
            httptools.HttpResponseParser(self).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the bytes behind the head are not HTTP, and were not given to it
        except httptools.HttpParserError:
            return False
        self.version, status, reason = start.groups(b"")
        self.status, self.reason = int(status), reason
        return self._is_headers_complete and not self._is_odd

    # ---- called by httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field. White space behind a value is no part of it (RFC 9112, section 5)."""
        if len(name) == _CODING_LENGTH and name.lower() == _CODING:
            value = value.lower()  # as h11 does: codings are case-insensitive (section 7)
            if self._has_coding or value.rstrip(b" \t") != b"chunked":
                self._is_odd = True
            self._has_coding = True
        self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Note the end of the head."""
        self._is_headers_complete = True
