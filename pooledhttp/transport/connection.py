"""One HTTP/1.1 connection: h11 decides, the stream moves the bytes.

The only module that knows h11. Everything above it speaks `WireRequest`, `Head` and bytes, so that
another parser can stand here later and pass the same tests.

A connection carries one exchange at a time (no pipelining) and says after each whether it may carry
another. Beside it stand `states` (what it may do when), `heads` (what can be told of a head without
a parser), `upload` (a body on its way out while an answer comes in) and `faults` (its errors).

"Doubt" is anything after which the two sides could disagree where the next answer begins: bytes
behind the end of an answer, Content-Length beside Transfer-Encoding (RFC 9112, section 6.3), an
upload that was cut short, a parse error. h11 carries surplus bytes over into its next cycle, where
they would answer the next request; so a connection in doubt is never reused.

Errors that leave this module are urllib3's classes with facts (see `faults`), never h11's and never
OSError.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import h11
from urllib3.exceptions import HTTPError

from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.runtime import copy_without_tracebacks, remove_tracebacks
from pooledhttp.transport.faults import Faults
from pooledhttp.transport.heads import (
    OPENING_BYTES,
    Head,
    head_bytes,
    is_opening,
    keep_alive_seconds,
    name_protocol,
)
from pooledhttp.transport.states import MOVES, State
from pooledhttp.transport.upload import Upload
from pooledhttp.transport.wire import PIECE_BYTES, Limits, WireRequest

if TYPE_CHECKING:
    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.bytestream import ByteStream

__all__ = ["Connection"]

#: Bytes asked of the stream at a time: a whole TLS record (16 KiB) several times over; more brings
#: nothing.
RECV_BYTES = 64 * 1024

#: Seconds to wait for `100 Continue` before the body is sent anyway. RFC 9110, section 10.1.1: a
#: client must not wait for ever, since old servers never answer; curl waits one second as well.
CONTINUE_SECONDS = 1.0

#: Framing bytes an honest chunk may cost: its size in hex, an extension of a word, two line ends.
CHUNK_ALLOWANCE_BYTES = 16

#: Bytes of an answer kept while the request is still being sent.
READ_AHEAD_BYTES = 16 * 1024 * 1024

_END = h11.EndOfMessage()
_NEED_DATA = h11.NEED_DATA

#: Told to h11 alone. Servers that answer 101 unasked (Docker's does) are to be heard, as by
#: http.client, and h11 lets 101 pass only where a change was asked for.
_MAY_SWITCH = (b"Upgrade", b"unasked")


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
        "_h11",
        "_has_doubt",
        "_is_chunked",
        "_is_head",
        "_limits",
        "_opening",
        "_pending",
        "chunk_ended",
        "exchanges",
        "faults",
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
        self.faults = Faults(origin)
        self._begin_exchange(b"", "")

    def _begin_exchange(self, method: bytes, url: str) -> None:
        self.faults.begin(url, reused=self.exchanges > 1)
        self._is_head = method == b"HEAD"
        self._has_doubt = False
        self._is_chunked = False
        #: The first bytes of the answer, as far as they have been looked at.
        self._opening = b""
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
        return self.faults.got_bytes

    @property
    def bytes_sent(self) -> int:
        """Bytes of the current request that were handed to the socket."""
        return self.faults.bytes_sent

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
            raise self.faults.refused(error) from error
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
        head = head_bytes(request)
        if body is None:
            self._write(head + parser.send(_END), plan)
        elif isinstance(body, bytes) and len(body) <= PIECE_BYTES and not request.expects_continue:
            # Head and body in one write: two small ones would meet Nagle and delayed
            # acknowledgement.
            data = parser.send(h11.Data(data=body)) if body else b""
            self._write(head + data + parser.send(_END), plan)
        elif self._write(head, plan):
            if not request.expects_continue or self._is_told_to_continue(plan):
                Upload(self, plan).send(request)

    def _write(self, data: bytes, plan: TimeoutPlan) -> bool:
        """Hand `data`, a head and perhaps a small body, to the socket.

        Returns:
            `False` when the server has answered and takes no more of it: a head can be too large
            for a server as well.
        """
        try:
            count = self.stream.send_until_response(data, plan.total.sooner(plan.write))
        except TimeoutError as error:
            raise self.faults.send_timeout(plan) from error
        except OSError as error:
            self.survive_failed_write(error)
            return False
        self.faults.bytes_sent += count
        return count == len(data) or Upload(self, plan).send_rest(memoryview(data)[count:])

    def frame(self, piece: Any) -> bytes:
        """A piece of the body as it is written, or its end for `None`."""
        return self._h11.send(_END if piece is None else h11.Data(data=piece))

    @property
    def early_status(self) -> int | None:
        """The status of an answer that came before the request was out."""
        return None if self._early is None else int(self._early.status_code)

    def survive_failed_write(self, error: OSError) -> None:
        """Keep the answer that waits behind a failed write; raise if there is none.

        A server may answer and close without reading all (413). On a reused connection whose first
        write fails nothing is kept: what lies there was said before our request, so it is no answer
        to it.
        """
        is_stale = self.faults.reused and not self.faults.bytes_sent
        try:
            is_answered = not is_stale and self.has_early_answer()
        except ConnectionBroken:
            is_answered = False  # the failed write says more
        if not is_answered:
            raise self.faults.broken(error, "send") from error

    def has_early_answer(self) -> bool:
        """Read what has arrived, without waiting; `True` if it holds the head of a final answer."""
        while self._early is None:
            event = self._next_event("head")
            if event is _NEED_DATA:
                try:
                    data = self.stream.recv_now(RECV_BYTES)
                except OSError as error:
                    raise self.faults.broken(error, "send") from error
                if data is None:
                    return False
                self._feed_head(data)
            else:
                self._early = self._final_or_none(event)
        self._has_doubt = True
        return True

    def read_ahead(self) -> bool:
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
            self._ahead.append(copy_without_tracebacks(error))
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
                    raise self.faults.broken(error, "head") from error
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
            raise self.faults.recv_timeout(plan, "head") from error
        except OSError as error:
            raise self.faults.broken(error, "head") from error

    def _feed_head(self, data: bytes) -> None:
        """Give the parser bytes of a head, after a look whether the peer speaks HTTP/1 at all.

        The look makes a wrong port or protocol an error at once, where the parser would wait for a
        blank line.
        """
        if not data:
            raise self.faults.ended_before_answer()
        self.faults.got_bytes = True
        if len(self._opening) < OPENING_BYTES:
            start = self._opening + data
            if not is_opening(start[:OPENING_BYTES]):
                raise self.faults.bad_answer(name_protocol(start))
            self._opening = start[:OPENING_BYTES]
        self._h11.receive_data(data)

    def _final_or_none(self, event: object) -> h11.Response | h11.InformationalResponse | None:
        """The final head, or `None` for an interim one, which is counted."""
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise self.faults.ended_before_answer()
        if event.status_code == 101:
            if not any(name == b"upgrade" for name, _ in event.headers):
                raise self.faults.bad_answer("a change to no protocol")
            return event
        self._excess += 1
        if self._excess > self._limits.interim_responses:
            raise self.faults.bad_answer(
                f"more than {self._limits.interim_responses} interim responses"
            )
        return None

    def _describe(self, event: h11.Response | h11.InformationalResponse) -> Head:
        """Turn h11's event into a `Head`; note how the body is framed (RFC 9112, section 6.3)."""
        raw = event.headers.raw_items()
        if len(raw) > self._limits.head_fields:
            raise self.faults.bad_answer(
                f"the head has more than {self._limits.head_fields} fields"
            )
        if event.http_version[:1] != b"1":  # 2 and later do not look like this; 0.9 had no head
            raise self.faults.bad_answer(f"the version is {event.http_version.decode()}")
        length: int | None = None
        keep_seconds: float | None = None
        for name, value in event.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                self._is_chunked = True
            elif name == b"keep-alive":
                keep_seconds = keep_alive_seconds(value)
        self._excess = 0
        status = event.status_code
        if status in (204, 304) or self._is_head:
            self._body_left = 0
        elif not self._is_chunked:
            self._body_left = length
        if self._is_chunked and length is not None:
            self._has_doubt = True  # also where there is no body: whoever says both is not believed
        if status == 204 and (self._is_chunked or length):
            self._has_doubt = True  # it may have neither (RFC 9110, section 8.6): a body may follow
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
            raise copy_without_tracebacks(self._failure)
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
                raise self.faults.bad_answer("the trailer has too many fields", "body")
            self._finish()
            return b""
        raise self.faults.bad_answer("unexpected end inside the body", "body")

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
            self._failure = copy_without_tracebacks(error)

    def _fill(self, plan: TimeoutPlan) -> None:
        """Read more of the body.

        A chunked body may be almost only framing (extensions of a kilobyte around one byte of
        data), which is an attack on the reader's time: what framing exceeds what data explains is
        bounded.
        """
        try:
            data = self.stream.recv(RECV_BYTES, plan.total.sooner(plan.read))
        except TimeoutError as error:
            raise self.faults.recv_timeout(plan, "body") from error
        except OSError as error:  # a TLS end without close_notify too: it may have been cut short
            raise self.faults.truncated(error, self._body_seen, self._body_left) from error
        if self._is_chunked:
            self._excess += len(data)
            if self._excess > self._limits.chunk_overhead_bytes + RECV_BYTES:
                raise self.faults.bad_answer("the chunked body is almost only framing", "body")
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
            raise copy_without_tracebacks(event)
        return event

    def _next_event(self, phase: str) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError as error:
            # One of h11's frames has the error in a variable, and our readers further out.
            remove_tracebacks(error)
            text = str(error)
            if "closed connection" in text:
                if phase == "head":
                    raise self.faults.ended_before_answer() from error
                raise self.faults.truncated(error, self._body_seen, self._body_left) from error
            if "Content-Length" in text:
                raise self.faults.conflicting_length(text, phase) from error
            raise self.faults.bad_answer(text, phase) from error
