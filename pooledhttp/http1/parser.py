"""h11, behind the words of this package. No other module imports it.

h11 checks the head of a request, frames its body, reads the head of a response, and decides what
state both sides are in and where a body ends. Here its events become `Head`, `Piece` and `Signal`,
and its errors become ours. A second parser would have the methods of `Parser`, and nothing else of
the package would change.

h11 carries surplus bytes over into its next cycle, where they would be taken for the response to
the next request. So `finish` starts a cycle only when no bytes are left over.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import h11

from pooledhttp.http1.request_encoding import head_bytes
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

_END = h11.EndOfMessage()

#: Shown to h11 alone. Some servers respond 101 unasked (Docker's does); http.client accepts that,
#: and h11 lets 101 pass only after a request for a change of protocol.
_MAY_SWITCH = (b"Upgrade", b"unasked")


class Signal(Enum):
    """What the parser found when it is neither a final head nor a piece of a body."""

    #: More bytes are needed.
    NEED_DATA = auto()
    #: An interim response (1xx) was read and counted.
    INTERIM = auto()
    #: The body has ended.
    END = auto()
    #: What follows is not HTTP.
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

    __slots__ = ("_errors", "_h11", "_interim_count", "_is_head", "_limits", "_opening")

    def __init__(self, errors: ExchangeErrors, limits: ResponseLimits) -> None:
        self._errors = errors
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes)

    # ---- the request

    def begin(self, request: WireRequest) -> bytes:
        """Check the head of the next request and return its bytes.

        Raises:
            RequestRefused: It cannot be written as HTTP/1.1.
        """
        self._is_head = request.method == b"HEAD"
        self._interim_count = 0
        #: The first bytes of the response, as far as they have been looked at.
        self._opening = b""
        fields = [*request.headers, _MAY_SWITCH]
        try:
            self._h11.send(
                h11.Request(method=request.method, target=request.target, headers=fields)
            )
        except h11.LocalProtocolError as error:
            raise self._errors.refused(error) from error
        return head_bytes(request)

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
        """Whether the request announced `Expect: 100-continue` and nothing has come yet."""
        return self._h11.client_is_waiting_for_100_continue

    # ---- the response

    def feed(self, data: bytes) -> None:
        """Take bytes of a body; `b""` for the end of the stream."""
        self._h11.receive_data(data)

    def feed_head(self, data: bytes) -> None:
        """Take bytes of a head, after a check that the peer speaks HTTP/1 at all.

        The check makes a wrong port or protocol an error at once. h11 would wait for a blank line.

        Raises:
            ConnectionBroken: `data` is empty: the stream has ended.
            BadAnswer: The peer speaks another protocol.
        """
        if not data:
            raise self._errors.ended_before_response()
        self._errors.got_bytes = True
        if len(self._opening) < OPENING_BYTES:
            start = self._opening + data
            if not is_opening(start[:OPENING_BYTES]):
                raise self._errors.bad_response(name_protocol(start))
            self._opening = start[:OPENING_BYTES]
        self._h11.receive_data(data)

    def next_head(self) -> Head | Signal:
        """Return the final head; `NEED_DATA`, or `INTERIM` for one that was passed over."""
        event = self._next_event("head")
        if event is h11.NEED_DATA:
            return NEED_DATA
        # `type` rather than `isinstance`: h11's events are ABCs, for which a miss is slow.
        if type(event) is h11.Response:
            return self._describe(event)
        if not isinstance(event, h11.InformationalResponse):
            raise self._errors.ended_before_response()
        if event.status_code == 101:
            if not any(name == b"upgrade" for name, _ in event.headers):
                raise self._errors.bad_response("a change to no protocol")
            return self._describe(event)
        self._interim_count += 1
        most = self._limits.interim_responses
        if self._interim_count > most:
            raise self._errors.bad_response(f"more than {most} interim responses")
        return INTERIM

    def _describe(self, event: h11.Response | h11.InformationalResponse) -> Head:
        """Turn h11's event into a `Head`, framing included (RFC 9112, section 6.3)."""
        raw = event.headers.raw_items()
        if len(raw) > self._limits.head_fields:
            raise self._errors.bad_response(
                f"the head has more than {self._limits.head_fields} fields"
            )
        if event.http_version[:1] != b"1":  # 2 and later do not look like this; 0.9 had no head
            raise self._errors.bad_response(f"the version is {event.http_version.decode()}")
        length: int | None = None
        keep_seconds: float | None = None
        is_chunked = False
        for name, value in event.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"keep-alive":
                keep_seconds = keep_alive_seconds(value)
        status = event.status_code
        # A head that gives both lengths is not trusted, also where no body follows. 204 may have
        # neither (RFC 9110, section 8.6): a body may follow after all.
        is_doubtful = (is_chunked and length is not None) or (
            status == 204 and bool(is_chunked or length)
        )
        if status in (204, 304) or self._is_head:
            length = 0
        elif is_chunked:
            length = None
        return Head(
            status,
            event.reason.decode("latin-1"),
            10 if event.http_version == b"1.0" else 11,
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw],
            is_chunked,
            keep_seconds,
            length,
            is_doubtful,
            self._h11.their_state is h11.SWITCHED_PROTOCOL,
        )

    def next_piece(self) -> Piece | Signal:
        """Return the next piece of the body; `NEED_DATA`, `END`, or `SWITCHED` after a 101."""
        event = self._next_event("body")
        if event is h11.NEED_DATA:
            return NEED_DATA
        if type(event) is h11.Data:
            return Piece(bytes(event.data), event.chunk_end)
        if type(event) is h11.EndOfMessage:
            if len(event.headers) > self._limits.head_fields:
                raise self._errors.bad_response("the trailer has too many fields", "body")
            return END
        if event is h11.PAUSED:
            return SWITCHED
        raise self._errors.bad_response("unexpected end inside the body", "body")

    def finish(self) -> bool:
        """Make ready for the next request, if both sides are done and no byte is left over."""
        parser = self._h11
        is_done = parser.our_state is h11.DONE and parser.their_state is h11.DONE
        if not is_done or any(parser.trailing_data):
            return False
        parser.start_next_cycle()
        return True

    def leftover(self) -> bytes:
        """Return the bytes behind what was parsed."""
        return self._h11.trailing_data[0]

    def _next_event(self, phase: str) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            # One of h11's frames has the error in a variable, and our readers further out: without
            # its frames it keeps none of them alive.
            remove_tracebacks(error)
            text = str(error)
            if "closed connection" in text:
                if phase == "head":
                    raise self._errors.ended_before_response() from error
                raise self._errors.truncated(error) from error
            if "Content-Length" in text:
                raise self._errors.conflicting_length(text, phase) from error
            raise self._errors.bad_response(text, phase) from error
