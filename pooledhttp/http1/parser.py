"""Wraps h11. No other module imports it.

h11 checks the head of a request, frames its body, reads the head of a response, and decides what
state both sides are in and where a body ends. This module turns its events into `Head`, `Piece` and
`Signal`, and its errors into ours. Another parser would need the methods of `Parser`; nothing else
in the package would change.

If h11 refuses a head, `head_repair` may repair it. Then a new h11 reads the repaired head and the
rest of the exchange. The connection is doubtful and is not used again.

h11 carries surplus bytes over into its next cycle, where it would take them for the response to the
next request. So `finish` starts a cycle only when no bytes are left over.
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import h11

from pooledhttp.http1.head_repair import RepairedHead, repair_head, says_length_twice
from pooledhttp.http1.odd_heads import EQUAL_LENGTHS
from pooledhttp.http1.request_encoding import field_block
from pooledhttp.http1.response_head import (
    OPENING_BYTES,
    Head,
    is_opening,
    keep_alive_seconds,
    name_protocol,
)
from pooledhttp.runtime import remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.http1.errors import ExchangeErrors
    from pooledhttp.http1.messages import ResponseLimits, WireRequest

__all__ = ["END", "INTERIM", "NEED_DATA", "SWITCHED", "Parser", "Piece", "Signal"]

logger = logging.getLogger(__name__)

_END = h11.EndOfMessage()

#: Given to h11 with each request, and never sent. Some servers, such as Docker's, respond 101 to a
#: request without `Upgrade`. http.client accepts that; h11 does so only after an `Upgrade` field.
_MAY_SWITCH = (b"Upgrade", b"unasked")
#: The fields by which h11 decides how a body is framed, and what follows the exchange.
_DECISIVE = frozenset(
    (b"host", b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade")
)
#: Given to the h11 that reads a repaired head: it needs a request, with a host. Never sent.
_ANY_HOST = (b"Host", b"")


class Signal(Enum):
    """What the parser has found, if it is neither a final head nor a piece of a body."""

    #: More bytes are needed.
    NEED_DATA = auto()
    #: An interim response (1xx) was read and counted.
    INTERIM = auto()
    #: The body has ended.
    END = auto()
    #: The bytes that follow are not HTTP.
    SWITCHED = auto()


NEED_DATA: Final = Signal.NEED_DATA
INTERIM: Final = Signal.INTERIM
END: Final = Signal.END
SWITCHED: Final = Signal.SWITCHED


class Piece(NamedTuple):
    """A piece of a body, and whether it ended a chunk."""

    data: bytes
    ends_chunk: bool


class Parser:
    """The HTTP/1.1 state of one connection.

    Args:
        errors: Makes the errors of the exchange in progress.
        limits: Bounds on what the server may send.
    """

    __slots__ = (
        "_arrived",
        "_errors",
        "_h11",
        "_interim_count",
        "_limits",
        "_method",
        "_opening",
        "_reader",
        "_repaired",
        "_repairs",
    )

    def __init__(self, errors: ExchangeErrors, limits: ResponseLimits) -> None:
        self._errors = errors
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes)
        #: The h11 that reads the response. A repair replaces it by a new one, and then the
        #: connection is not used again.
        self._reader = self._h11
        #: The names of what was repaired in the heads of this exchange.
        self._repairs: tuple[str, ...] = ()

    # ---- the request

    def begin(self, request: WireRequest) -> bytes:
        """Check the head of the next request and return its bytes.

        Raises:
            RequestRefused: It cannot be written as HTTP/1.1.
        """
        self._method = request.method
        self._interim_count = 0
        #: What has arrived of the response since the end of its last interim head.
        self._arrived: list[bytes] = []
        #: The repair of the present head, if it was repaired.
        self._repaired: RepairedHead | None = None
        #: The first bytes of the response, as far as `feed_head` has checked them.
        self._opening = b""
        checked = request.checked
        try:
            if checked.event is None:
                _check(request)
            self._h11.send(checked.event)
        except h11.LocalProtocolError as error:
            raise self._errors.refused(error) from error
        return b"%s %s HTTP/1.1\r\n%s" % (request.method, request.target, checked.block)

    def frame(self, piece: Any) -> bytes:
        """Return a piece of the body as it is written, or the end of the body for `None`.

        Raises:
            RequestRefused: The body does not match its Content-Length.
        """
        try:
            return self._h11.send(_END if piece is None else h11.Data(data=piece)) or b""
        except h11.LocalProtocolError as error:
            raise self._errors.refused(error) from error

    @property
    def waits_for_continue(self) -> bool:
        """Whether the request has `Expect: 100-continue`, and no response has come yet."""
        return self._reader.client_is_waiting_for_100_continue

    # ---- the response

    def feed(self, data: bytes) -> None:
        """Take bytes of a body from the stream; `b""` for the end of the stream."""
        self._reader.receive_data(data)

    def feed_head(self, data: bytes) -> None:
        """Take bytes of a head, after a check that the peer speaks HTTP/1 at all.

        With the check, a wrong port or protocol is an error at once. h11 would wait for a blank
        line, which may never come.

        Raises:
            ConnectionBroken: `data` is empty: the stream has ended.
            BadResponse: The peer speaks another protocol.
        """
        if not data:
            raise self._errors.ended_before_response()
        self._errors.got_bytes = True
        if len(self._opening) < OPENING_BYTES:
            start = self._opening + data
            if not is_opening(start[:OPENING_BYTES]):
                raise self._errors.bad_response(name_protocol(start))
            self._opening = start[:OPENING_BYTES]
        self._arrived.append(data)
        self._reader.receive_data(data)

    def next_head(self) -> Head | Signal:
        """Return the final head, `NEED_DATA`, or `INTERIM` after a head with a 1xx status."""
        event: object
        try:
            event = self._reader.next_event()
        except h11.RemoteProtocolError as error:
            event = self._read_repaired(error)
        if event is h11.NEED_DATA:
            return NEED_DATA
        # `type` rather than `isinstance`: h11's events are ABCs, for which a miss is slow.
        if type(event) is h11.Response:
            return self._describe(event)
        if not isinstance(event, h11.InformationalResponse):
            raise self._errors.ended_before_response()
        if event.status_code == 101:
            if not any(name == b"upgrade" for name, _ in event.headers):
                raise self._errors.bad_response("status 101 without an Upgrade field")
            return self._describe(event)
        self._interim_count += 1
        most = self._limits.interim_responses
        if self._interim_count > most:
            raise self._errors.bad_response(f"more than {most} interim responses")
        self._arrived = [self._reader.trailing_data[0]]
        self._repaired = None
        return INTERIM

    # ---- heads that h11 refuses

    def _read_repaired(self, error: h11.RemoteProtocolError) -> object:
        """Repair the head that was refused with `error`, and have a new h11 read it."""
        # The traceback would keep h11's frames alive, and those of our callers, which hold the
        # response. One of h11's frames refers to the error itself, so that would be a cycle.
        remove_tracebacks(error)
        rest = self._reader.trailing_data[0]
        arrived = b"".join(self._arrived)
        head = arrived[: len(arrived) - len(rest)]
        limits = self._limits
        # `head` is empty if h11 has taken nothing from its buffer: the head is too large, or the
        # stream has ended before it was complete. Then there is nothing to repair.
        repaired = None if limits.is_strict or not head else repair_head(head, limits.max_fields)
        if repaired is None:
            raise self._translated(error, "head") from error
        fresh = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes)
        fresh.send(h11.Request(method=self._method, target=b"/", headers=[_ANY_HOST, _MAY_SWITCH]))
        fresh.send(_END)
        fresh.receive_data(repaired.data + rest)
        self._reader = fresh
        self._repaired = repaired
        self._note_repair(repaired.deviations)
        return self._next_event("head")

    def _note_repair(self, deviations: tuple[str, ...]) -> None:
        self._repairs = tuple(dict.fromkeys(self._repairs + deviations))
        logger.debug(
            "%s sent an odd response head (%s): the connection will not be used again.",
            self._errors.origin,
            ", ".join(deviations),
        )

    # ---- the head as a value

    def _describe(self, event: h11.Response | h11.InformationalResponse) -> Head:
        """Turn h11's event into a `Head`, framing included (RFC 9112, section 6.3)."""
        raw = event.headers.raw_items()
        if len(raw) > (most := self._limits.max_fields):
            raise self._errors.bad_response(f"the head has more than {most} fields")
        version, reason = event.http_version, event.reason
        if version[:1] != b"1":  # 2 and later do not look like this; 0.9 had no head
            raise self._errors.bad_response(f"the version is {version.decode()}")
        length: int | None = None
        keep_seconds: float | None = None
        is_chunked = False
        # Not over `event.headers`, which calls `__getitem__` for each field.
        for name, value in raw:
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"keep-alive":
                keep_seconds = keep_alive_seconds(value)
        if length is not None:
            arrived = self._arrived
            if says_length_twice(arrived[0] if len(arrived) == 1 else b"".join(arrived)):
                self._note_repeated_length()
        if self._repaired is not None:
            raw = self._repaired.with_real_values(raw)
            reason = self._repaired.reason or reason
        status = event.status_code
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
        return Head(
            status,
            reason.decode("latin-1").strip(" \t"),
            10 if version == b"1.0" else 11,
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw],
            is_chunked,
            keep_seconds,
            length,
            is_doubtful,
            self._reader.their_state is h11.SWITCHED_PROTOCOL,
            self._repairs,
        )

    def _note_repeated_length(self) -> None:
        """Note a Content-Length that is given more than once. h11 accepts equal ones.

        Raises:
            ConflictingLength: `is_strict` is set.
        """
        if self._limits.is_strict:
            raise self._errors.conflicting_length("it is given more than once", "head")
        self._note_repair((EQUAL_LENGTHS.name,))

    def next_piece(self) -> Piece | Signal:
        """Return the next piece of the body; `NEED_DATA`, `END`, or `SWITCHED` after a 101."""
        event = self._next_event("body")
        if event is h11.NEED_DATA:
            return NEED_DATA
        if type(event) is h11.Data:
            return Piece(bytes(event.data), event.chunk_end)
        if type(event) is h11.EndOfMessage:
            if len(event.headers) > self._limits.max_fields:
                raise self._errors.bad_response("the trailer has too many fields", "body")
            return END
        if event is h11.PAUSED:
            return SWITCHED
        raise self._errors.bad_response("unexpected end inside the body", "body")

    def finish(self) -> bool:
        """Prepare for the next request, if both sides are done and no byte is left over.

        Returns:
            Whether that was possible.
        """
        parser = self._h11
        is_done = parser.our_state is h11.DONE and parser.their_state is h11.DONE
        if not is_done or any(parser.trailing_data):
            return False
        parser.start_next_cycle()
        return True

    def leftover(self) -> bytes:
        """Return the bytes behind what was parsed."""
        return self._reader.trailing_data[0]

    def _next_event(self, phase: str) -> object:
        try:
            return self._reader.next_event()
        except h11.RemoteProtocolError as error:
            remove_tracebacks(error)  # see `_read_repaired`
            raise self._translated(error, phase) from error

    def _translated(self, error: h11.RemoteProtocolError, phase: str) -> Exception:
        """Return our error for an error of h11. h11 tells the cases apart only in its text."""
        text = str(error)
        if "closed connection" in text:
            if phase == "head":
                return self._errors.ended_before_response()
            return self._errors.truncated(error)
        if "Content-Length" in text:
            return self._errors.conflicting_length(text, phase)
        return self._errors.bad_response(text, phase)


def _check(request: WireRequest) -> None:
    """Have h11 check the head of a request, and keep what an exchange needs of it.

    Raises:
        h11.LocalProtocolError: It cannot be written as HTTP/1.1.
    """
    method, fields = request.method, [*request.headers, _MAY_SWITCH]
    h11.Request(method=method, target=request.target, headers=fields)
    decisive = [field for field in fields if field[0].lower() in _DECISIVE]
    request.checked.block = field_block(request)
    # Last: other threads look at this attribute to see whether the others are there.
    request.checked.event = h11.Request(method=method, target=b"/", headers=decisive)
