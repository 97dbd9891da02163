"""Reads the heads of one exchange: skips interim ones, and makes a `Head` of the final one.

The parser finds heads. This module checks what any parser might let pass: another protocol, too
many fields or interim heads, a version that is not 1.x. It decides how the body is framed
(RFC 9112, section 6.3).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pooledhttp.http1 import errors
from pooledhttp.http1.framing import Framing, FramingError, read_framing, read_unrepeated
from pooledhttp.http1.odd_heads import EQUAL_LENGTHS
from pooledhttp.http1.response_head import (
    OPENING_BYTES,
    Head,
    is_opening,
    keep_alive_seconds,
    name_protocol,
)

if TYPE_CHECKING:
    from pooledhttp.http1.messages import ResponseLimits
    from pooledhttp.http1.parser import HeadParser
    from pooledhttp.http1.progress import ExchangeProgress

__all__ = ["HeadReader"]

#: The documented name (docs/odd-heads.md), whichever module reads heads.
logger = logging.getLogger("pooledhttp.http1.parser")


#: What `is_opening` finds in nearly all responses, before three digits.
_USUAL_START = b"HTTP/1.1 "


class HeadReader:
    """Reads the heads of one exchange. It has no slots: see `FastParser`.

    Args:
        method: The method of the request.
        parser: Finds the heads.
        progress: The facts of the exchange, for errors.
        limits: Bounds on what the server may send.
    """

    _interim_count = 0
    #: The first bytes of the response, as far as `feed` has checked them.
    _opening = b""
    #: What was odd in the heads so far.
    _repairs: tuple[str, ...] = ()

    def __init__(
        self, method: bytes, parser: HeadParser, progress: ExchangeProgress, limits: ResponseLimits
    ) -> None:
        self._method = method
        self._parser = parser
        if method == b"CONNECT":
            parser.asks_tunnel = True
        self._progress = progress
        self._limits = limits

    @property
    def has_interim(self) -> bool:
        """Whether an interim head has been read."""
        return self._interim_count > 0

    @property
    def rest(self) -> bytes:
        """The bytes that have arrived behind the final head."""
        return self._parser.rest

    def feed(self, data: bytes) -> None:
        """Take bytes, after a check that the peer speaks HTTP/1 at all.

        With the check, a wrong port or protocol is an error at once. A parser would wait for a
        blank line, which may never come.

        Raises:
            ConnectionBroken: `data` is empty: the stream has ended.
            BadResponse: The peer speaks another protocol.
        """
        if not data:
            raise errors.ended_before_response(self._progress)
        self._progress.got_bytes = True
        if data[:9] == _USUAL_START and data[9:12].isdigit() and not self._opening:
            self._opening = data[:12]
        elif len(self._opening) < OPENING_BYTES:
            self._check_opening(self._opening + data if self._opening else data)
        self._parser.feed(data)

    def _check_opening(self, start: bytes) -> None:
        self._opening = start[:OPENING_BYTES]
        if not is_opening(self._opening):
            raise errors.bad_response(self._progress, name_protocol(start))

    def next_final(self, *, stops_at_interim: bool = False) -> Head | None:
        """Return the final head, `None` if more bytes are needed. Interim heads are skipped.

        Args:
            stops_at_interim: Return `None` after an interim head, too.

        Raises:
            BadResponse: What came is not HTTP/1.x, or exceeds the limits.
            ConflictingLength: The head does not give exactly one length.
        """
        parser = self._parser
        while parser.next_head():
            if parser.repairs != self._repairs:
                self._note_repairs(*(each for each in parser.repairs if each not in self._repairs))
            if parser.status >= 200 or parser.status == 101:
                return self._make_head(parser)
            self._interim_count += 1
            most = self._limits.interim_responses
            if self._interim_count > most:
                raise errors.bad_response(self._progress, f"more than {most} interim responses")
            if stops_at_interim:
                break
        return None

    def _note_repairs(self, *names: str) -> None:
        self._repairs += names
        logger.debug(
            "%s sent an odd response head (%s): the connection will not be used again.",
            self._progress.origin,
            ", ".join(names),
        )

    def _make_head(self, parser: HeadParser) -> Head:
        """Turn what the parser has found into a `Head`, framing included."""
        status, version, fields = parser.status, parser.version, parser.fields
        by_name = parser.by_name
        self._check(parser)
        opens_tunnel = self._method == b"CONNECT" and 200 <= status < 300
        framing = _tunnel_framing(fields) if opens_tunnel else self._read_framing(parser)
        length, is_chunked = framing.length, framing.is_chunked
        # A head with both a length and chunks is doubtful, even if no body follows. A 204 must have
        # neither (RFC 9110, section 8.6): if it has, a body may follow all the same.
        is_doubtful = (
            (is_chunked and length is not None)
            or (status == 204 and bool(is_chunked or length))
            or self._repairs != ()
        )
        if status in (204, 304) or self._method == b"HEAD":
            length = 0
        elif is_chunked:
            length = None
        keep_alive = framing.keep_alive
        return Head(
            status,
            parser.reason.decode("latin-1").strip(" \t"),
            10 if version == b"1.0" else 11,
            tuple(fields),
            by_name,
            is_chunked,
            None if keep_alive is None else keep_alive_seconds(keep_alive),
            length,
            is_doubtful,
            opens_tunnel or status == 101,
            self._repairs,
            not framing.says_close and version >= b"1.1",
            parser.name,
        )

    def _read_framing(self, parser: HeadParser) -> Framing:
        """Read what the fields say of the body.

        Raises:
            ConflictingLength: They do not give exactly one length.
            BadResponse: They cannot be read otherwise.
        """
        fields, by_name = parser.fields, parser.by_name
        try:
            has_repeats = len(by_name) < len(fields)
            framing = read_framing(fields) if has_repeats else read_unrepeated(by_name)
        except FramingError as error:
            raise errors.head_refused(self._progress, str(error)) from None
        if framing.length is not None and (framing.repeats_length or parser.repeats_length):
            self._note_repeated_length()
        return framing

    def _check(self, parser: HeadParser) -> None:
        """Refuse what a parser may let pass."""
        fields, version = parser.fields, parser.version
        if len(fields) > (most := self._limits.max_fields):
            # "got more than" is the text of http.client, which programs look for.
            text = f"the head has more than {most} fields (got more than {most} headers)"
            text = f"{text}; max_response_fields is that limit"
            raise errors.bad_response(self._progress, text)
        if version[:1] != b"1":  # 2 and later do not look like this; 0.9 had no head
            raise errors.bad_response(self._progress, f"the version is {version.decode()}")
        if parser.status == 101 and b"upgrade" not in parser.by_name:
            raise errors.bad_response(self._progress, "status 101 without an Upgrade field")

    def _note_repeated_length(self) -> None:
        """Note a Content-Length that is given more than once, with equal numbers.

        Raises:
            ConflictingLength: `is_strict` is set.
        """
        if self._limits.is_strict:
            raise errors.conflicting_length(self._progress, "it is given more than once", "head")
        self._note_repairs(EQUAL_LENGTHS.name)


def _tunnel_framing(fields: list[tuple[bytes, bytes]]) -> Framing:
    """Read the fields of a 2xx to CONNECT: what frames a body is ignored (RFC 9110, 9.3.6)."""
    ignored = (b"content-length", b"transfer-encoding")
    return read_framing(field for field in fields if field[0].lower() not in ignored)
