"""One HTTP/1.1 connection: h11 decides, the stream moves the bytes.

The only module that knows h11. Everything above it speaks `WireRequest`, `Head` and bytes, so that
another parser can stand here later and pass the same tests.

A connection carries one exchange at a time (no pipelining) and says after each whether it may carry
another::

    IDLE -> SENDING -> AWAITING -> READING -> IDLE     a complete exchange; kept alive
                           |          '-----> CLOSED   its end says close, or leaves doubt
                           '--> SWITCHED ---> CLOSED   101, or 2xx to CONNECT: not HTTP any more
    any state ----------------------------> CLOSED

"Doubt" is anything after which the two sides could disagree where the next answer begins: bytes
behind the end of an answer, Content-Length beside Transfer-Encoding (RFC 9112, section 6.3), an
upload that was cut short, a parse error. h11 carries surplus bytes over into its next cycle, where
they would answer the next request; so a connection in doubt is never reused.

Errors that leave this module are urllib3's classes with facts (see `faults`), never h11's and never
OSError.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import h11
from urllib3.exceptions import HTTPError

from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.transport.faults import Faults, without_frames
from pooledhttp.transport.wire import PIECE_BYTES, Limits, WireRequest, body_pieces

if TYPE_CHECKING:
    from pooledhttp.timing import Deadline, TimeoutPlan

__all__ = ["ByteStream", "Connection", "Head", "State"]

#: Bytes asked of the stream at a time: a whole TLS record (16 KiB) several times over; more brings
#: nothing.
RECV_BYTES = 64 * 1024

#: Seconds to wait for `100 Continue` before the body is sent anyway. RFC 9110, section 10.1.1: a
#: client must not wait for ever, since old servers never answer; curl waits one second as well.
CONTINUE_SECONDS = 1.0

#: Framing bytes an honest chunk may cost: its size in hex, an extension of a word, two line ends.
CHUNK_ALLOWANCE_BYTES = 16

#: The lowest status of an early answer after which no more of a body is sent. Errors say that it is
#: not wanted here, redirects that it is wanted elsewhere.
FIRST_REFUSAL = 300

#: Seconds for which a server that has answered may take nothing of the rest of the body before it
#: counts as not wanted; and the bytes that are offered at a time meanwhile.
ANSWERED_SECONDS = 10.0
ANSWERED_BYTES = 16 * 1024

#: Bytes of an answer kept while the request is still being sent.
READ_AHEAD_BYTES = 16 * 1024 * 1024

_END = h11.EndOfMessage()
_NEED_DATA = h11.NEED_DATA


class ByteStream(Protocol):
    """What a connection needs of its stream; `network.Stream` in life, a script in tests."""

    sock: socket.socket

    def recv(self, max_bytes: int, deadline: Deadline) -> bytes:
        """Wait for bytes and return them, `b""` at the end of the stream."""

    def recv_now(self, max_bytes: int) -> bytes | None:
        """Return what has arrived: `b""` at the end of the stream, `None` for nothing yet."""

    def send(self, data: bytes | memoryview, deadline: Deadline) -> None:
        """Write all of `data`."""

    def send_until_answer(self, data: bytes | memoryview, deadline: Deadline) -> int:
        """Write until all is out or the peer answers while we are blocked; return the count."""

    def has_data_or_eof(self) -> bool:
        """Whether an idle stream is no longer idle, found out without waiting."""

    def remember_session(self) -> None:
        """Keep what shortens the next handshake, now that bytes of an answer have come."""

    def close(self) -> None:
        """Close at once."""

    def abandon(self) -> None:
        """Close without a byte to the peer."""


class State(Enum):
    """Where a connection is in its exchange."""

    #: Kept alive; nothing under way.
    IDLE = auto()
    #: A request is being written.
    SENDING = auto()
    #: The request is out, or cut short by an early answer; no final head yet.
    AWAITING = auto()
    #: The head is read; the body not yet to its end, or to an end that forbids reuse.
    READING = auto()
    #: No longer HTTP: a tunnel or another protocol.
    SWITCHED = auto()
    #: The socket is closed.
    CLOSED = auto()


#: The legal moves; any other is a bug of ours and raises.
MOVES: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.SENDING, State.CLOSED}),
    State.SENDING: frozenset({State.AWAITING, State.CLOSED}),
    State.AWAITING: frozenset({State.READING, State.SWITCHED, State.CLOSED}),
    State.READING: frozenset({State.IDLE, State.CLOSED}),
    State.SWITCHED: frozenset({State.CLOSED}),
    State.CLOSED: frozenset({State.CLOSED}),
}


@dataclass(slots=True)
class Head:
    """The status line and fields of a final answer.

    `keep_seconds` is the server's `Keep-Alive: timeout=` hint, `None` without one. `is_chunked`
    tells whether the body comes in chunks, whose ends a reader of a live stream wants to see.
    """

    status: int
    reason: str
    version: int
    headers: list[tuple[str, str]]
    is_chunked: bool
    keep_seconds: float | None


#: Told to h11 alone. Servers that answer 101 unasked (Docker's does) are to be heard, as by
#: http.client, and h11 lets 101 pass only where a change was asked for.
_MAY_SWITCH = (b"Upgrade", b"unasked")


def _head_bytes(request: WireRequest) -> bytes:
    """The head with its fields in the caller's order; h11, which has checked them, moves Host."""
    lines = [b"%s: %s\r\n" % field for field in request.headers]
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (request.method, request.target, b"".join(lines))


class Connection:
    """HTTP/1.1 over one stream, one exchange after another.

    Args:
        stream: The connected stream; the connection owns it from now on.
        origin: For error messages, without credentials.
        limits: Bounds on what the server may send; the defaults of `Limits` when `None`.
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_body_left",
        "_body_seen",
        "_early",
        "_excess",
        "_failure",
        "_faults",
        "_h11",
        "_has_doubt",
        "_is_chunked",
        "_is_head",
        "_limits",
        "_pending",
        "chunk_ended",
        "exchanges",
        "is_complete",
        "origin",
        "state",
        "stream",
    )

    def __init__(self, stream: ByteStream, origin: str, limits: Limits | None = None) -> None:
        self.stream = stream
        self.origin = origin
        self.state = State.IDLE
        #: Exchanges begun on this connection, the one under way included.
        self.exchanges = 0
        self._limits = limits or Limits()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=self._limits.head_bytes)
        self._faults = Faults(origin)
        self._begin_exchange(b"", "")

    def _begin_exchange(self, method: bytes, url: str) -> None:
        self._faults.begin(url, reused=self.exchanges > 1)
        self._is_head = method == b"HEAD"
        self._has_doubt = False
        self._is_chunked = False
        #: Whether the end of the current body has been seen.
        self.is_complete = False
        #: Whether the piece that `receive` returned last ended a chunk.
        self.chunk_ended = False
        self._body_left: int | None = None
        self._body_seen = 0
        #: Interim responses while a head is read, framing bytes in excess while a body is.
        self._excess = 0
        #: What was read ahead: an answer's head during the upload, an event of the body, or an
        #: error in it.
        self._early: h11.Response | h11.InformationalResponse | None = None
        self._pending: object | None = None
        self._ahead: deque[object] | None = None
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        return (
            f"<Connection to {self.origin}, {self.state.name.lower()}, {self.exchanges} exchanges>"
        )

    # ---- life

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def got_bytes(self) -> bool:
        """Whether any byte of the current answer has arrived."""
        return self._faults.got_bytes

    @property
    def bytes_sent(self) -> int:
        """Bytes of the current request that were handed to the socket."""
        return self._faults.bytes_sent

    @property
    def is_reusable(self) -> bool:
        """Whether the last exchange left nothing behind, so that another may follow."""
        return self.state is State.IDLE

    def is_alive(self) -> bool:
        """Whether an idle connection may carry a request: nothing to read, no end, no error.

        Takes no time. Bytes on an idle connection mean that the two sides disagree, so it is not
        used again.
        """
        return self.state is State.IDLE and not self.stream.has_data_or_eof()

    def close(self) -> None:
        """Close the socket at once; never raises, never waits, may be called again."""
        self.state = State.CLOSED
        self.stream.close()

    def abandon(self) -> None:
        """Let go of a socket inherited over `fork` without a byte to the peer."""
        self.state = State.CLOSED
        self.stream.abandon()

    # ---- the request

    def send(self, request: WireRequest, plan: TimeoutPlan) -> None:
        """Write a request, its body included, unless the server answers before the body is out.

        Raises:
            RequestRefused: h11 will not write such a request: a malformed field, or a body that
                does not match its Content-Length.
            SendTimeout: The peer took nothing for `plan.write` seconds, or the total ran out.
            ConnectionBroken: The connection ended while writing, and no answer was waiting.
        """
        self._move(State.SENDING)
        self.exchanges += 1
        self._begin_exchange(request.method, request.url)
        try:
            self._send(request, plan)
        except h11.LocalProtocolError as error:
            raise self._faults.refused(error) from error
        self._move(State.AWAITING)

    def _send(self, request: WireRequest, plan: TimeoutPlan) -> None:
        parser = self._h11
        body = request.body
        parser.send(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=[*request.headers, _MAY_SWITCH],
            )
        )
        head = _head_bytes(request)
        if body is None:
            self._write(head + parser.send(_END), plan)
        elif isinstance(body, bytes) and len(body) <= PIECE_BYTES and not request.expects_continue:
            # Head and body in one write: two small ones would meet Nagle and delayed
            # acknowledgement.
            data = parser.send(h11.Data(data=body)) if body else b""
            self._write(head + data + parser.send(_END), plan)
        else:
            self._write(head, plan)
            if not request.expects_continue or self._is_told_to_continue(plan):
                self._send_body(request, plan)

    def _send_body(self, request: WireRequest, plan: TimeoutPlan) -> None:
        """Write a large or streamed body; stops, in doubt, when the server turns it away."""
        body: Any = request.body
        is_streamed = not isinstance(body, bytes)
        request.is_body_started = is_streamed
        pieces: Iterable[Any] = body_pieces(body) if is_streamed else _slices(body)
        for number, piece in enumerate(pieces):
            # A streamed body may be endless, and its server may answer and read on: look each time
            # there is more to send. Behind the last piece an answer is not early any more.
            if is_streamed and number and self._is_turned_away():
                return
            if not self._write_block(self._h11.send(h11.Data(data=piece)), plan):
                return
        self._write_block(self._h11.send(_END), plan)

    def _write(self, data: bytes, plan: TimeoutPlan) -> None:
        """Hand all of `data`, a head and perhaps a small body, to the socket."""
        try:
            self.stream.send(data, plan.total.sooner(plan.write))
        except TimeoutError as error:
            raise self._faults.send_timeout(plan) from error
        except OSError as error:
            self._survive_failed_write(error)
        else:
            self._faults.bytes_sent += len(data)

    def _write_block(self, data: bytes, plan: TimeoutPlan) -> bool:
        """Write one block of a body; `False` when the server has turned it away."""
        view = memoryview(data)
        while view:
            limit, piece = plan.total.sooner(plan.write), view
            if self._early is not None:
                limit, piece = limit.sooner(ANSWERED_SECONDS), view[:ANSWERED_BYTES]
            try:
                count = self.stream.send_until_answer(piece, limit)
            except TimeoutError as error:
                if self._early is not None:
                    return False
                raise self._faults.send_timeout(plan) from error
            except OSError as error:
                self._survive_failed_write(error)
                return False
            self._faults.bytes_sent += count
            view = view[count:]
            if count < len(piece) and self._is_turned_away():
                return False
        return True

    def _survive_failed_write(self, error: OSError) -> None:
        """Keep the answer that waits behind a failed write; raise if there is none.

        A server may answer and close without reading all (413). On a reused connection whose first
        write fails nothing is kept: what lies there was said before our request, so it is no answer
        to it.
        """
        is_stale = self._faults.reused and not self._faults.bytes_sent
        try:
            is_answered = not is_stale and self._has_early_answer()
        except ConnectionBroken:
            is_answered = False  # the failed write says more
        if not is_answered:
            raise self._faults.broken(error, "send") from error

    def _is_turned_away(self) -> bool:
        """Take in what has arrived, without waiting; whether it says to send no more.

        An error or a redirect says so, and so does an answer that is complete. A success that only
        begins before the request ends is the way of servers that work as they read: they get the
        rest.

        Raises:
            ConnectionBroken: The stream has ended without an answer.
        """
        if not self._has_early_answer():
            return False
        return int(self._early.status_code) >= FIRST_REFUSAL or not self._read_ahead()  # type: ignore[union-attr]

    def _has_early_answer(self) -> bool:
        """Read what has arrived, without waiting; `True` if it holds the head of a final answer."""
        while self._early is None:
            event = self._next_event("head")
            if event is _NEED_DATA:
                try:
                    data = self.stream.recv_now(RECV_BYTES)
                except OSError as error:
                    raise self._faults.broken(error, "send") from error
                if data is None:
                    return False
                self._feed_head(data)
            else:
                self._early = self._final_or_none(event)
        self._has_doubt = True
        return True

    def _read_ahead(self) -> bool:
        """Read the body of an early answer, lest its server be blocked by it.

        Returns:
            `False` when it is complete or broken, or has become too much to keep.
        """
        if self._ahead is None:
            self._ahead = deque()
        try:
            while self._excess <= READ_AHEAD_BYTES:
                event = self._next_event("body")
                if event is _NEED_DATA:
                    data = self.stream.recv_now(RECV_BYTES)
                    if data is None:
                        return True
                    self._excess += len(data)
                    self._h11.receive_data(data)
                elif event is h11.PAUSED:
                    return False  # 101: what follows is no body
                else:
                    self._ahead.append(event)
                    if isinstance(event, h11.EndOfMessage):
                        return False
        except OSError:
            pass  # whoever reads the body meets it again
        except HTTPError as error:
            self._ahead.append(without_frames(error))
        return False

    def _is_told_to_continue(self, plan: TimeoutPlan) -> bool:
        """Wait a short time for `100 Continue`; `False` when a final answer came instead."""
        wait = plan.total.sooner(plan.read).sooner(CONTINUE_SECONDS)
        while self._h11.client_is_waiting_for_100_continue:
            event = self._next_event("head")
            if event is _NEED_DATA:
                try:
                    data = self.stream.recv(RECV_BYTES, wait)
                except TimeoutError:
                    return True
                except OSError as error:
                    raise self._faults.broken(error, "head") from error
                self._feed_head(data)
            else:
                self._early = self._final_or_none(event)
        self._has_doubt = self._early is not None
        return self._early is None

    # ---- the head of the answer

    def read_head(self, plan: TimeoutPlan) -> Head:
        """Read to the end of the final answer's head; interim answers are passed over.

        Raises:
            RecvTimeout: Nothing came for `plan.read` seconds, or the total ran out.
            ConnectionBroken: The connection ended before the head did.
            BadAnswer: What came is not HTTP/1.x, or exceeds the limits.
            ConflictingLength: The head names more than one length.
        """
        event = self._early
        while event is None:
            found = self._next_event("head")
            if found is _NEED_DATA:
                self._feed_head(self._recv(plan))
            else:
                event = self._final_or_none(found)
        head = self._describe(event)
        if self._h11.their_state is h11.SWITCHED_PROTOCOL:
            self._move(State.SWITCHED)
            return head
        self._move(State.READING)
        if self._body_left == 0:
            self._look_ahead()
        return head

    def _recv(self, plan: TimeoutPlan) -> bytes:
        try:
            return self.stream.recv(RECV_BYTES, plan.total.sooner(plan.read))
        except TimeoutError as error:
            raise self._faults.recv_timeout(plan, "head") from error
        except OSError as error:
            raise self._faults.broken(error, "head") from error

    def _feed_head(self, data: bytes) -> None:
        """Give the parser bytes of a head, after a look whether the peer speaks HTTP/1 at all.

        The look makes a wrong port or protocol an error at once, where the parser would wait for a
        blank line.
        """
        if not data:
            raise self._faults.ended_before_answer()
        if not self._faults.got_bytes:
            self._faults.got_bytes = True
            if not b"HTTP/".startswith(data[:5]):
                raise self._faults.bad_answer(_name_protocol(data))
        self._h11.receive_data(data)

    def _final_or_none(self, event: object) -> h11.Response | h11.InformationalResponse | None:
        """The final head, or `None` for an interim one, which is counted."""
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise self._faults.ended_before_answer()
        if event.status_code == 101:
            if not any(name == b"upgrade" for name, _ in event.headers):
                raise self._faults.bad_answer("a change to no protocol")
            return event
        self._excess += 1
        if self._excess > self._limits.interim_responses:
            raise self._faults.bad_answer(
                f"more than {self._limits.interim_responses} interim responses"
            )
        return None

    def _describe(self, event: h11.Response | h11.InformationalResponse) -> Head:
        """Turn h11's event into a `Head`; note how the body is framed (RFC 9112, section 6.3)."""
        raw = event.headers.raw_items()
        if len(raw) > self._limits.head_fields:
            raise self._faults.bad_answer(
                f"the head has more than {self._limits.head_fields} fields"
            )
        if event.http_version[:1] != b"1":  # 2 and later do not look like this; 0.9 had no head
            raise self._faults.bad_answer(f"the version is {event.http_version.decode()}")
        length: int | None = None
        keep_seconds: float | None = None
        for name, value in event.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                self._is_chunked = True
            elif name == b"keep-alive":
                keep_seconds = _keep_alive_seconds(value)
        self._excess = 0
        status = event.status_code
        if status in (204, 304) or self._is_head:
            self._body_left = 0
        elif not self._is_chunked:
            self._body_left = length
        if self._is_chunked and length is not None:
            self._has_doubt = True  # also where there is no body: whoever says both is not believed
        return Head(
            status,
            event.reason.decode("latin-1"),
            10 if event.http_version == b"1.0" else 11,
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw],
            self._is_chunked,
            keep_seconds,
        )

    # ---- the body of the answer

    def receive(self, plan: TimeoutPlan) -> bytes:
        """Return the next piece of the body, `b""` at its end.

        The end is noticed together with the last piece where the framing allows it, so that a
        reader who takes no more than the body holds still gives the connection back.

        Raises:
            RecvTimeout: Nothing came for `plan.read` seconds, or the total ran out.
            BodyTruncated: The connection ended before the body did.
            BadAnswer: Broken chunks, almost only framing, or an oversized trailer.
        """
        if self._failure is not None:
            raise without_frames(self._failure)
        if self.is_complete or self.state is not State.READING:
            return b""
        event, self._pending = self._pending or self._next_body_event(), None
        while event is _NEED_DATA:
            self._fill(plan)
            event = self._next_event("body")
        return self._take(event)

    def _take(self, event: object) -> bytes:
        if isinstance(event, h11.Data):
            data = bytes(event.data)
            self._body_seen += len(data)
            self.chunk_ended = event.chunk_end
            if self._is_chunked:
                self._excess = max(0, self._excess - 3 * len(data) - CHUNK_ALLOWANCE_BYTES)
            elif self._body_left is not None:
                self._body_left -= len(data)
            if event.chunk_end or self._body_left == 0:
                self._look_ahead()
            return data
        if isinstance(event, h11.EndOfMessage):
            if len(event.headers) > self._limits.head_fields:
                raise self._faults.bad_answer("the trailer has too many fields", "body")
            self._finish()
            return b""
        raise self._faults.bad_answer("unexpected end inside the body", "body")

    def _look_ahead(self) -> None:
        """See whether the end of the body is already here.

        Anything else waits for the next `receive`.
        """
        try:
            event = self._next_body_event()
            if isinstance(event, h11.EndOfMessage):
                self._take(event)
            elif event is not _NEED_DATA:
                self._pending = event
        except Exception as error:  # to be raised in its turn, behind the data that came before it
            self._failure = without_frames(error)

    def _fill(self, plan: TimeoutPlan) -> None:
        """Read more of the body.

        A chunked body may be almost only framing (extensions of a kilobyte around one byte of
        data), which is an attack on the reader's time: what framing exceeds what data explains is
        bounded.
        """
        try:
            data = self.stream.recv(RECV_BYTES, plan.total.sooner(plan.read))
        except TimeoutError as error:
            raise self._faults.recv_timeout(plan, "body") from error
        except OSError as error:  # a TLS end without close_notify too: it may have been cut short
            raise self._faults.truncated(error, self._body_seen, self._body_left) from error
        if self._is_chunked:
            self._excess += len(data)
            if self._excess > self._limits.chunk_overhead_bytes + RECV_BYTES:
                raise self._faults.bad_answer("the chunked body is almost only framing", "body")
        self._h11.receive_data(data)

    def _finish(self) -> None:
        """The body is complete: be idle again if the connection may carry another exchange.

        Otherwise the state stays READING, and whoever holds the connection closes it.
        """
        self.is_complete = True
        parser = self._h11
        has_trailing = any(parser.trailing_data)
        is_done = parser.our_state is h11.DONE and parser.their_state is h11.DONE
        if is_done and not has_trailing and not self._has_doubt:
            parser.start_next_cycle()
            self._move(State.IDLE)

    def leftover(self) -> bytes:
        """Bytes behind the head of a switched connection; they belong to the new protocol."""
        return self._h11.trailing_data[0]

    # ---- the parser

    def _next_body_event(self) -> object:
        """The next event of the body, first of what was read while the request was sent."""
        if not self._ahead:
            return self._next_event("body")
        event = self._ahead.popleft()
        if isinstance(event, HTTPError):
            raise without_frames(event)
        return event

    def _next_event(self, phase: str) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            # One of h11's frames has the error in a variable, and our readers further out.
            error.__traceback__ = None
            text = str(error)
            if "closed connection" in text:
                if phase == "head":
                    raise self._faults.ended_before_answer() from error
                raise self._faults.truncated(error, self._body_seen, self._body_left) from error
            if "Content-Length" in text:
                raise self._faults.conflicting_length(text, phase) from error
            raise self._faults.bad_answer(text, phase) from error


def _slices(body: bytes) -> Iterable[memoryview]:
    """Cut a large body so that each write has its own timeout and none is copied whole."""
    view = memoryview(body)
    return (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def _name_protocol(data: bytes) -> str:
    """Say what a peer speaks that does not speak HTTP/1."""
    if data[0] in (0x15, 0x16) and data[1:2] in (b"\x03", b""):
        return "it speaks TLS; use https:// or another port"
    if data[3:4] == b"\x04" and data[5:9] == bytes(4):
        return "it speaks HTTP/2"
    if data.startswith(b"SSH-"):
        return "it speaks SSH"
    return f"its answer begins with {data[:20]!r}"


def _keep_alive_seconds(value: bytes) -> float | None:
    """Read `timeout=N` out of a Keep-Alive field; `None` when it has none that makes sense."""
    for part in value.lower().split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.strip() == b"timeout" and number.strip().isdigit() and len(number) < 10:
            return float(number)
    return None
