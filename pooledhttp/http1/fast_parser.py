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
    from pooledhttp.http1.h11_parser import H11Parser
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.progress import ExchangeProgress

__all__ = ["FastParser", "is_httptools_original"]

#: A head in more pieces is left to h11. Joining and searching them here would take a time that
#: grows with their square; h11's buffer does not.
MAX_PIECES = 16

#: The status line that every clean head begins with. In a reason phrase h11 refuses these bytes;
#: llhttp refuses them in values.
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: ([^\0\x0b\x0c\r\n]*))?")
#: Status lines that were read before, with version, status and reason phrase. Servers send few
#: different ones; all are dropped when there are more.
_known_lines: dict[bytes, tuple[bytes, int, bytes]] = {}
MAX_KNOWN_LINES = 256
_CODING = b"transfer-encoding"
_END = b"\r\n\r\n"

#: A C class, so its methods cannot be replaced; a program may have replaced it before this import.
_PARSER: object = httptools.HttpResponseParser
if httptools.HttpResponseParser.__module__ != "httptools.parser.parser":
    _PARSER = None

#: No status line begins with these; h11 refuses them before the head is complete.
_NEVER_FIRST = [bytes([number]) for number in range(0x21)]


def is_httptools_original() -> bool:
    """Whether no program has replaced the parser of httptools."""
    return httptools.HttpResponseParser is _PARSER


class FastParser:
    """Finds the heads of one exchange; see `HeadParser`.

    It has no slots: each exchange makes one, and attributes that have the value of the class need
    not be set.

    Args:
        progress: The facts of the exchange, for errors.
        limits: Bounds on what the server may send.
    """

    name = "httptools"
    repairs: tuple[str, ...] = ()
    status = 0
    reason = b""
    version = b""
    fields: list[tuple[bytes, bytes]]
    by_name: dict[bytes, bytes]
    asks_tunnel = False
    #: httptools refuses a head that repeats its length.
    repeats_length = False

    #: What has arrived since the end of the last head.
    rest = b""
    _pieces = 0
    #: Reads the rest of the exchange, once a head was not clean.
    _h11: H11Parser | None = None

    _is_headers_complete = False

    def __init__(self, progress: ExchangeProgress, limits: ResponseLimits) -> None:
        self._progress = progress
        self._limits = limits

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
            head, end, behind = self.rest.partition(_END)
            if not end and self._may_become_clean(head):
                return False
            is_small = len(head) + len(end) <= self._limits.head_bytes
            if end and is_small and self._parse(head):
                self.rest = behind
                self._pieces = 0
                return True
            self._use_h11()
        return self._next_of_h11()

    def _use_h11(self) -> None:
        """Give what has arrived since the last head to h11, and leave the rest to it."""
        from pooledhttp.http1.h11_parser import H11Parser  # many programs never need it

        self._h11 = H11Parser(self._progress, self._limits)
        self._h11.asks_tunnel = self.asks_tunnel
        self._h11.feed(self.rest)
        self.rest = b""

    def _next_of_h11(self) -> bool:
        parser = self._h11
        assert parser is not None
        if not parser.next_head():
            return False
        self.name, self.repairs, self.rest = parser.name, parser.repairs, parser.rest
        self.status, self.reason, self.version = parser.status, parser.reason, parser.version
        self.fields, self.by_name = parser.fields, parser.by_name
        self.repeats_length = parser.repeats_length
        return True

    def _may_become_clean(self, start: bytes) -> bool:
        """Whether to wait for the rest of a head; h11 refuses some before they are complete."""
        return (
            len(start) <= self._limits.head_bytes
            # h11 ends a head here, too; a clean head has CRLF only.
            and b"\n\n" not in start
            and b"\n\r\n" not in start
            and start[:1] not in _NEVER_FIRST
        )

    def _parse(self, head: bytes) -> bool:
        """Have httptools read a head without its blank line; `False` if the head is not clean.

        What httptools checks less strictly than h11 is checked here.
        """
        start = _read_status_line(head.partition(b"\r")[0])
        # httptools takes a bare LF for the end of some lines, but no CR that is not before LF.
        if start is None or head.count(b"\n") != head.count(b"\r"):
            return False
        self.version, self.status, self.reason = start
        self.fields, self.by_name = [], {}
        self._is_headers_complete = False
        try:
            httptools.HttpResponseParser(self).feed_data(head + _END)
        except httptools.HttpParserUpgrade:
            pass  # the bytes behind the head are not HTTP, and were not given to it
        except httptools.HttpParserError:
            return False
        return self._is_headers_complete and (
            _CODING not in self.by_name or self._has_plain_coding()
        )

    def _has_plain_coding(self) -> bool:
        """Whether there is one transfer coding, `chunked`; its name is put into lower case."""
        fields = self.fields
        codings = [at for at, (name, _) in enumerate(fields) if name.lower() == _CODING]
        if len(codings) > 1 or self.by_name[_CODING].lower() != b"chunked":
            return False
        # As h11 does: codings are case-insensitive (RFC 9112, section 7).
        self.by_name[_CODING] = b"chunked"
        fields[codings[0]] = fields[codings[0]][0], b"chunked"
        return True

    # ---- called by httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field. White space behind a value is no part of it (RFC 9112, section 5)."""
        value = value.rstrip(b" \t")
        self.fields.append((name, value))
        self.by_name[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note the end of the head."""
        self._is_headers_complete = True


def _read_status_line(line: bytes) -> tuple[bytes, int, bytes] | None:
    """Return version, status and reason phrase of a clean status line; `None` for another."""
    known = _known_lines.get(line)
    if known is None:
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            return None
        version, status, reason = found.groups(b"")
        known = version, int(status), reason
        if len(_known_lines) >= MAX_KNOWN_LINES:
            _known_lines.clear()
        _known_lines[line] = known
    return known
