"""One HTTP/1.1 connection: the stream moves the bytes, other parts read them, this module waits.

A connection carries one exchange at a time (no pipelining). `is_reusable` tells whether it may
carry another. `states` has the table of its states.

There is "doubt" when the two sides could disagree on where the next response begins: after bytes
behind the end of a response, Content-Length beside Transfer-Encoding (RFC 9112, section 6.3), an
upload that was cut short, or a parse error. A connection in doubt is never reused. The parts that
read a response live for one exchange, so that no byte behind its end can reach the next one.

The errors that this module raises are urllib3's classes with facts (see `errors`), never h11's
and never a plain OSError.
"""

from __future__ import annotations

import ssl
from collections import deque
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, TypeVar

from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.http1.debug_output import print_head, print_sent
from pooledhttp.http1.errors import ExchangeErrors
from pooledhttp.http1.head_reader import HeadReader
from pooledhttp.http1.messages import ResponseLimits, WireRequest
from pooledhttp.http1.parsers import library_for
from pooledhttp.http1.request_body import PIECE_BYTES, RequestFraming, Upload
from pooledhttp.http1.response_body import RECV_BYTES, ResponseBody
from pooledhttp.http1.states import MOVES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pooledhttp.http1.bytestream import ByteStream
    from pooledhttp.http1.response_head import Head
    from pooledhttp.timing import TimeoutPlan

__all__ = ["RECV_BYTES", "Connection"]

#: Seconds to wait for `100 Continue` before the body is sent anyway. RFC 9110, section 10.1.1: a
#: client must not wait for ever, since old servers never send it; curl waits one second as well.
CONTINUE_SECONDS = 1.0

_DEFAULT_LIMITS = ResponseLimits()


class Connection:
    """HTTP/1.1 over one stream, one exchange after another.

    Args:
        stream: The connected stream; the connection owns it from now on.
        origin: For error messages, without credentials.
        limits: Bounds on what the server may send; the defaults of `ResponseLimits` when `None`.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_framing",
        "_has_doubt",
        "_head",
        "_library",
        "_limits",
        "_may_persist",
        "_reader",
        "errors",
        "exchanges",
        "origin",
        "state",
        "stream",
    )

    def __init__(
        self, stream: ByteStream, origin: str, limits: ResponseLimits | None = None
    ) -> None:
        self.stream = stream
        self.origin = origin
        self.state = State.IDLE
        #: Exchanges begun on this connection, the one in progress included.
        self.exchanges = 0
        self._limits = limits or _DEFAULT_LIMITS
        self._library = library_for(self._limits.parser)
        self.errors = ExchangeErrors(origin)
        self._has_doubt = self._may_persist = False
        self._head: Head | None = None
        self._body: ResponseBody | None = None

    def _begin_exchange(self, request: WireRequest) -> None:
        self.errors.begin(request.url, reused=self.exchanges > 1)
        parser = self._library.new_parser(self.errors, self._limits)
        self._reader = HeadReader(request.method, parser, self.errors, self._limits)
        self._has_doubt = False
        #: Whether the request was sent completely, and did not ask the server to close.
        self._may_persist = False
        #: The final head and its body, once the head has been read. A server may send them before
        #: the request is sent completely.
        self._head = None
        self._body = None

    def __repr__(self) -> str:
        return (
            f"<Connection to {self.origin}, {self.state.name.lower()}, {self.exchanges} exchanges>"
        )

    # ---- state, reuse, close

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def got_bytes(self) -> bool:
        """Whether any byte of the current response has arrived."""
        return self.errors.got_bytes

    @property
    def bytes_sent(self) -> int:
        """Bytes of the current request that were handed to the socket."""
        return self.errors.bytes_sent

    @property
    def parser(self) -> str:
        """The library that has read the present head."""
        return "" if self._head is None else self._head.parser

    @property
    def is_complete(self) -> bool:
        """Whether the end of the current response body has been found."""
        return self._body is not None and self._body.is_complete

    @property
    def chunk_ended(self) -> bool:
        """Whether the piece that `receive` returned last ended a chunk."""
        return self._body is not None and self._body.chunk_ended

    @property
    def is_reusable(self) -> bool:
        """Whether the last exchange left nothing behind, so that another may follow."""
        return self.state is State.IDLE

    def is_alive(self) -> bool:
        """Whether an idle connection may carry a request. Does not wait.

        False if it has ended or failed. Also if there are bytes to read: the server has sent what
        no request asked for, so the two sides disagree.
        """
        return self.state is State.IDLE and not self.stream.has_data_or_eof()

    def close(self) -> None:
        """Close the socket at once. Never raises, never waits, may be called again."""
        self.state = State.CLOSED
        self.stream.close()

    def abandon(self) -> None:
        """Close a descriptor inherited over `fork` without sending anything."""
        self.state = State.CLOSED
        self.stream.abandon()

    # ---- the request

    def send(self, request: WireRequest, plan: TimeoutPlan) -> None:
        """Write a request with its body; stop early if the server responds and wants no more of it.

        Raises:
            RequestRefused: It cannot be written as HTTP/1.1: a malformed field, or a body that does
                not match its Content-Length.
            SendTimeout: The peer read nothing for `plan.write` seconds, or the total timeout ended.
            ConnectionBroken: The connection ended while writing, and no response was waiting.
        """
        self._move(State.SENDING)
        self.exchanges += 1
        self._begin_exchange(request)
        checked, body = request.checked, request.body
        if not checked.is_for(request):
            self._library.check_head(request, self.errors)
        self._framing = RequestFraming(checked.length, self.errors)
        head = b"%s %s HTTP/1.1\r\n%s" % (request.method, request.target, checked.block)
        if HTTPConnection.debuglevel > 0:
            print_sent(head)
        if body is None:
            is_sent = self._write(head + self.frame_end(), plan)
        elif isinstance(body, bytes) and len(body) <= PIECE_BYTES and not request.expects_continue:
            # Head and body in one write: with two small writes, Nagle's algorithm could hold the
            # second back until the peer's delayed acknowledgement of the first.
            data = b"".join((head, self.frame(body), self.frame_end()))
            is_sent = self._write(data, plan)
        else:
            is_sent = (
                self._write(head, plan)
                and (not request.expects_continue or self._is_told_to_continue(plan))
                and Upload(self, plan).send(request)
            )
        self._may_persist = is_sent and not checked.says_close
        self._move(State.AWAITING)

    def _write(self, data: bytes, plan: TimeoutPlan) -> bool:
        """Write a head, with a small body or without one.

        Returns:
            Whether all was written. `False` when the server has responded and wants no more, as it
            may do when the head is too large for it.
        """
        try:
            count = self.stream.send_until_response(data, plan.total.sooner(plan.write))
        except TimeoutError as error:
            raise self.errors.send_timeout(plan) from error
        except OSError as error:
            self.survive_failed_write(error)
            return False
        self.errors.bytes_sent += count
        return count == len(data) or Upload(self, plan).send_rest(memoryview(data)[count:])

    def _is_told_to_continue(self, plan: TimeoutPlan) -> bool:
        """Wait a short time for `100 Continue`; `False` when a final response came instead."""
        wait = plan.total.sooner(plan.read).sooner(CONTINUE_SECONDS)
        while not self._parse_head(stops_at_interim=True) and not self._reader.has_interim:
            try:
                data = self.stream.recv(RECV_BYTES, wait)
            except TimeoutError:
                return True
            except OSError as error:
                raise self.errors.broken(error, "head") from error
            self._reader.feed(data)
        self._has_doubt = self._head is not None
        return self._head is None

    # ---- for `Upload`: an early response, which comes before the request is sent completely

    def frame(self, piece: Any) -> bytes | memoryview:
        """Return a piece of the body as it is written."""
        return _shown(self._framing.frame(piece))

    def frame_end(self) -> bytes:
        """Return the end of the body as it is written."""
        return _shown(self._framing.end())

    @property
    def early_status(self) -> int | None:
        """The status of an early response; `None` if none has come."""
        return None if self._head is None else self._head.status

    def has_early_response(self) -> bool:
        """Read what has arrived, without waiting; tell whether a final head has been read."""
        while not self._parse_head():
            try:
                data = self.stream.recv_now(RECV_BYTES)
            except OSError as error:
                raise self.errors.broken(error, "send") from error
            if data is None:
                return False
            self._reader.feed(data)
        self._has_doubt = True
        return True

    def read_ahead(self) -> bool:
        """Read what has arrived of the body of an early response, and keep it for `receive`.

        Otherwise a server that responds as it reads could block on a full send buffer.

        Returns:
            Whether more may follow: `False` when the body is complete or broken, or too large to
            keep more of it.
        """
        return self._body is not None and self._body.read_ahead(self.stream.recv_now)

    def survive_failed_write(self, error: OSError) -> None:
        """After a failed write, look for a response that has arrived; raise if there is none.

        A server may respond (413, for example) and close without reading the whole request. If the
        first write on a reused connection fails, whatever has arrived was sent before our request,
        so it is no response to it and is not read.
        """
        is_stale = self.errors.reused and not self.errors.bytes_sent
        try:
            has_response = not is_stale and self.has_early_response()
        except ConnectionBroken:
            has_response = False  # the error of the write tells more, and is raised below
        if not has_response:
            raise self.errors.broken(error, "send") from error

    # ---- the head of the response

    def read_head(self, plan: TimeoutPlan) -> Head:
        """Read to the end of the final head; interim responses are skipped.

        Raises:
            RecvTimeout: Nothing came for `plan.read` seconds, or the total timeout ended.
            ConnectionBroken: The connection ended before the head did.
            BadResponse: What came is not HTTP/1.x, or exceeds the limits.
            ConflictingLength: The head does not give exactly one length.
        """
        while not self._parse_head():
            try:
                data = self.stream.recv(RECV_BYTES, plan.total.sooner(plan.read))
            except TimeoutError as error:
                raise self.errors.recv_timeout(plan, "head") from error
            except OSError as error:
                raise self.errors.broken(error, "head") from error
            self._reader.feed(data)
        head, body = self._head, self._body
        assert head is not None
        if HTTPConnection.debuglevel > 0:
            print_head(head)
        if head.is_switch:
            self._move(State.SWITCHED)
            return head
        self._move(State.READING)
        if body is not None and body.is_complete:
            self._finish(head, body)
        return head

    def _parse_head(self, *, stops_at_interim: bool = False) -> bool:
        """Parse what has been read; tell whether the final head has been found."""
        if self._head is None:
            head = self._head = self._reader.next_final(stops_at_interim=stops_at_interim)
            if head is None:
                return False
            if not head.is_switch:
                self._body = ResponseBody(head, self._reader.rest, self.errors, self._limits)
        return True

    # ---- the body of the response

    @property
    def unread(self) -> int:
        """Bytes of the body that were not taken; if its length is not known, those that arrived."""
        arrived = 0 if self._body is None else self._body.arrived_bytes
        return arrived + (self.errors.body_left or 0)

    def arrived_chunks(self, max_bytes: int) -> Iterator[bytes]:
        """Yield chunks that have arrived, except the last, as long as nothing else is received.

        Each is taken when it is yielded. The last one is left to `receive`, which tells whether it
        is complete, and whether it ends the body.

        Args:
            max_bytes: Stop before a larger one.
        """
        pieces: deque[bytes] = deque() if self._body is None else self._body.pieces
        while len(pieces) > 1 and len(pieces[0]) <= max_bytes and self.state is State.READING:
            yield pieces.popleft()

    def receive(self, plan: TimeoutPlan) -> bytes:
        """Return the next piece of the body, `b""` at its end.

        Args:
            plan: The read timeout applies to each wait. The total timeout includes the reading.

        Raises:
            RecvTimeout: Nothing came for `plan.read` seconds, or the total timeout ended.
            BodyTruncated: The connection ended before the body did.
            BadResponse: Chunks are malformed or almost only framing, or the trailer is too large.
        """
        return self._receive(ResponseBody.next_piece, plan)

    def receive_all(self, plan: TimeoutPlan) -> bytes:
        """Return all pieces that have arrived, as one; otherwise the same as `receive`."""
        return self._receive(ResponseBody.take_all, plan)

    def _receive(self, take: Callable[[ResponseBody], bytes | None], plan: TimeoutPlan) -> bytes:
        body, head = self._body, self._head
        if body is None or head is None or self.state is not State.READING:
            return b""
        while (piece := take(body)) is None:
            try:
                data = self.stream.read(RECV_BYTES, plan.total, plan.read)
            except TimeoutError as error:
                raise self.errors.recv_timeout(plan, "body") from error
            except OSError as error:
                if not self._is_end_of_body(error):
                    raise self.errors.truncated(error) from error
                data = b""
            body.feed(data)
        if body.is_complete:
            self._finish(head, body)
        return piece

    def receive_into(self, view: memoryview, plan: TimeoutPlan) -> int:
        """Fill `view` with bytes of a body of a known length; return how many.

        Fewer bytes than `len(view)` are returned at the end of the body, and before an error that
        the next call raises. Arguments and errors are those of `receive`.
        """
        body, head = self._body, self._head
        if body is None or head is None or self.state is not State.READING:
            return 0
        done = body.take_into(view) if body.arrived_bytes else 0
        missing = min(len(view) - done, self.errors.body_left or 0)
        if missing:
            try:
                # Released even if the traceback of an error keeps it: see `filled_bytes`.
                with view[done : done + missing] as room:
                    count = self.stream.read_into(room, plan.total, plan.read)
            except TimeoutError as error:
                raise self.errors.recv_timeout(plan, "body") from error
            except OSError as error:
                raise self.errors.truncated(error) from error
            if count:
                body.count(count)
            elif not done:
                body.feed(b"")
                body.next_piece()  # raises
            done += count
        if body.is_complete:
            self._finish(head, body)
        return done

    def _is_end_of_body(self, error: OSError) -> bool:
        """Tell whether `error`, an end of TLS without close_notify, counts as the end of the body.

        The body may have been cut short. So this is allowed only if the settings say so, and if
        neither a length nor chunks tell where the body ends.
        """
        head = self._head
        return (
            self._limits.allows_tls_truncation
            and isinstance(error, ssl.SSLEOFError)
            and head is not None
            and head.body_length is None
            and not head.is_chunked
        )

    def _finish(self, head: Head, body: ResponseBody) -> None:
        """Become idle again if the connection may carry another exchange.

        Otherwise the state stays READING, and the holder of the connection closes it.
        """
        is_delimited = head.body_length is not None or head.is_chunked
        is_doubtful = self._has_doubt or head.is_doubtful or body.has_surplus
        if self._may_persist and head.keeps_alive and is_delimited and not is_doubtful:
            self._move(State.IDLE)
            # It has the bytes that came with the head: 16 KiB over TLS, for as long as it is idle.
            del self._reader

    def leftover(self) -> bytes:
        """Return the bytes of the new protocol that have arrived behind the head."""
        return self._reader.rest


T = TypeVar("T", bytes, bytes | memoryview)


def _shown(data: T) -> T:
    """Print bytes that are about to be written, if http.client's debug output is on."""
    if HTTPConnection.debuglevel > 0:
        print_sent(data)
    return data
