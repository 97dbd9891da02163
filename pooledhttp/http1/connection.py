"""One HTTP/1.1 connection: the stream moves the bytes, other parts read them, this module waits.

It writes requests. Its base class, `ResponseSide`, reads the responses.

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

from typing import TYPE_CHECKING, Any, TypeVar

from urllib3.connection import HTTPConnection

from pooledhttp.exceptions import ConnectionBroken
from pooledhttp.http1 import errors
from pooledhttp.http1.debug_output import print_sent
from pooledhttp.http1.head_memo import HeadMemos
from pooledhttp.http1.messages import ResponseLimits, WireRequest
from pooledhttp.http1.request_body import PIECE_BYTES, RequestFraming, Upload
from pooledhttp.http1.response_body import RECV_BYTES
from pooledhttp.http1.response_side import ResponseSide
from pooledhttp.http1.states import State
from pooledhttp.timing import monotonic

if TYPE_CHECKING:
    import re

    from pooledhttp.http1.bytestream import ByteStream
    from pooledhttp.http1.head_shape import HeadShape, HeadShapes
    from pooledhttp.http1.response_head import Head
    from pooledhttp.timing import TimeoutPlan

__all__ = ["RECV_BYTES", "Connection", "Whole"]

#: A whole response: its body; its head, as `HeadShape.find` returns it, and the shape of that; and
#: when it arrived, by `timing.monotonic`.
Whole = tuple[bytes, "re.Match[bytes]", "HeadShape", float]

#: The longest body that `exchange_whole` reads.
MOST_WHOLE_BYTES = 64 * 1024

#: Seconds to wait for `100 Continue` before the body is sent anyway. RFC 9110, section 10.1.1: a
#: client must not wait forever, since old servers never send it; curl waits one second as well.
CONTINUE_SECONDS = 1.0

_DEFAULT_LIMITS = ResponseLimits()
_IDLE, _SENDING, _AWAITING = State.IDLE, State.SENDING, State.AWAITING


class Connection(ResponseSide):
    """HTTP/1.1 over one stream, one exchange after another.

    Args:
        stream: The connected stream; the connection owns it from now on.
        origin: For error messages, without credentials.
        limits: Bounds on what the server may send; the defaults of `ResponseLimits` when `None`.
        memos: The response heads that other connections of the same owner have read. `None` shares
            them with no other connection.
    """

    __slots__ = ("_framing", "exchanges")

    def __init__(
        self,
        stream: ByteStream,
        origin: str,
        limits: ResponseLimits | None = None,
        memos: HeadMemos | None = None,
    ) -> None:
        super().__init__(stream, origin, limits or _DEFAULT_LIMITS, memos or HeadMemos())
        #: Exchanges begun on this connection, the one in progress included.
        self.exchanges = 0

    def __repr__(self) -> str:
        return (
            f"<Connection to {self.origin}, {self.state.name.lower()}, {self.exchanges} exchanges>"
        )

    # ---- state, reuse, close

    @property
    def got_bytes(self) -> bool:
        """Whether any byte of the current response has arrived."""
        return self.progress.got_bytes

    @property
    def bytes_sent(self) -> int:
        """Bytes of the current request that were handed to the socket."""
        return self.progress.bytes_sent

    @property
    def is_reusable(self) -> bool:
        """Whether the last exchange left nothing behind, so that another may follow."""
        return self.state is State.IDLE

    def is_alive(self) -> bool:
        """Whether an idle connection may carry a request. Does not wait.

        False if it has ended or failed. Also if there are bytes to read: the server has sent what
        no request asked for, so the two sides disagree.
        """
        return self.state is _IDLE and not self.stream.has_data_or_eof()

    def close(self) -> None:
        """Close the socket at once. Never raises, never waits, may be called again."""
        self.state = State.CLOSED
        self.stream.close()

    def abandon(self) -> None:
        """Close a descriptor inherited over `fork` without sending anything.

        What has arrived of a body can still be read. A read that needs more is an error: in the
        state CLOSED it would look like the end of the body.
        """
        if self.state is not State.READING:
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
        if self.state is not _IDLE:
            self._move(State.SENDING)  # raises
        self.state = _SENDING
        # Nothing is left of the last exchange. What reads the response is made when it is needed.
        self._reader = self._head = self._body = None
        self._has_doubt = self._may_persist = False
        self.progress.begin(request.url, self.exchanges > 0)
        self.exchanges += 1
        method = self._method = request.method
        checked, body = request.checked, request.body
        if not checked.is_for(request):
            self._library.check_head(request, self.progress)
        head = b"".join((method, b" ", request.target, b" HTTP/1.1\r\n", checked.block))
        if HTTPConnection.debuglevel > 0:
            print_sent(head)
        has_body = body is not None or checked.length != 0
        is_sent = self._send_with_body(request, head, plan) if has_body else self._write(head, plan)
        self._may_persist = is_sent and not checked.says_close
        self.state = _AWAITING  # from SENDING: an error has left this method before

    def exchange_whole(
        self, data: bytes, url: str, shapes: HeadShapes, plan: TimeoutPlan
    ) -> Whole | None:
        """Send a GET and read a small response that is like the last ones of the same host.

        It does what `send`, `read_head` and the reads of the body do, for a connection that has
        been used, and a request that does not ask to close it.

        Args:
            data: The request: a plain head.
            url: For error messages.
            shapes: The usual heads.
            plan: The timeouts.

        Returns:
            The response; the connection is idle again. `None` if it is another one, or its body
            broke off: `read_head` goes on with it.

        Raises:
            urllib3.exceptions.HTTPError: As `send` and `read_head` do.
        """
        if self.state is not _IDLE:
            self._move(State.SENDING)  # raises
        self.state = _SENDING
        self._reader = self._head = self._body = None
        self._has_doubt = self._may_persist = False
        self.progress.begin(url, True)
        self.exchanges += 1
        self._method = b"GET"
        self._may_persist = self._write(data, plan)
        self.state = _AWAITING
        if not self._may_persist:
            return None
        start = self._recv_head(plan)
        fits = shapes.find(start)
        if fits is not None:
            arrived_at = monotonic()
            found, shape = fits
            body_at = found.end()
            size = body_at + int(found["length"])
            missing = size - len(start)
            if 0 < missing <= MOST_WHOLE_BYTES:
                start = self._read_rest(start, missing, plan)
                missing = size - len(start)
            if not missing:
                self.progress.got_bytes = True
                self.state = _IDLE
                return start[body_at:], found, shape, arrived_at
        self._parse_first(start, False)
        return None

    def learn_shape(self, head: Head, shapes: HeadShapes) -> None:
        """Keep the shape of a head in response to a GET on this connection."""
        shapes.learn(head, self._library, self._limits)

    def _read_rest(self, start: bytes, missing: int, plan: TimeoutPlan) -> bytes:
        """Return a response that is read on, as far as it comes; a read after it tells why."""
        pieces, read, total, seconds = [start], self.stream.read, plan.total, plan.read
        try:
            while missing and (piece := read(missing, total, seconds)):
                pieces.append(piece)
                missing -= len(piece)
        except OSError as error:
            self.stream.fail_next_read(error)
        return b"".join(pieces)

    def _send_with_body(self, request: WireRequest, head: bytes, plan: TimeoutPlan) -> bool:
        """Write a head and what its framing announces; tell whether all was written."""
        body = request.body
        self._framing = RequestFraming(request.checked.length, self.progress)
        if body is None:
            return self._write(head + self.frame_end(), plan)
        if isinstance(body, bytes) and len(body) <= PIECE_BYTES and not request.expects_continue:
            # Head and body in one write: with two small writes, Nagle's algorithm could hold the
            # second back until the peer's delayed acknowledgement of the first.
            data = b"".join((head, self.frame(body), self.frame_end()))
            return self._write(data, plan)
        return (
            self._write(head, plan)
            and (not request.expects_continue or self._is_told_to_continue(plan))
            and Upload(self, plan).send(request)
        )

    def _write(self, data: bytes, plan: TimeoutPlan) -> bool:
        """Write a head, with a small body or without one.

        Returns:
            Whether all was written. `False` when the server has responded and wants no more, as it
            may do when the head is too large for it.
        """
        limit = plan.total if plan.write is None else plan.total.sooner(plan.write)
        try:
            count = self.stream.send_until_response(data, limit)
        except TimeoutError as error:
            raise errors.send_timeout(self.progress, plan) from error
        except OSError as error:
            self.survive_failed_write(error)
            return False
        self.progress.bytes_sent += count
        return count == len(data) or Upload(self, plan).send_rest(memoryview(data)[count:])

    def _is_told_to_continue(self, plan: TimeoutPlan) -> bool:
        """Wait a short time for `100 Continue`; `False` when a final response came instead."""
        wait = plan.total.sooner(plan.read).sooner(CONTINUE_SECONDS)
        while self._head is None and (self._reader is None or not self._reader.has_interim):
            try:
                data = self.stream.recv(RECV_BYTES, wait)
            except TimeoutError:
                return True
            except OSError as error:
                raise errors.connection_broken(self.progress, error, "head") from error
            self._parse_head(data, stops_at_interim=True)
        self._has_doubt = self._head is not None
        return self._head is None

    # ---- for `Upload`: an early response, which comes before the request is sent completely

    def frame(self, piece: Any) -> bytes | memoryview:
        """Return a piece of the body as it is written."""
        return _printed(self._framing.frame(piece))

    def frame_end(self) -> bytes:
        """Return the end of the body as it is written."""
        return _printed(self._framing.end())

    @property
    def early_status(self) -> int | None:
        """The status of an early response; `None` if none has come."""
        return None if self._head is None else self._head.status

    def has_early_response(self) -> bool:
        """Read what has arrived, without waiting; tell whether a final head has been read."""
        has_found = self._parse_head()
        while not has_found:
            try:
                data = self.stream.recv_now(RECV_BYTES)
            except OSError as error:
                raise errors.connection_broken(self.progress, error, "send") from error
            if data is None:
                return False
            has_found = self._parse_head(data)
        self._has_doubt = True
        return True

    def read_early_body(self) -> bool:
        """Read what has arrived of the body of an early response, and keep it for `receive`.

        Otherwise a server that responds as it reads could block on a full send buffer.

        Returns:
            Whether more may follow: `False` when the body is complete or broken, or too large to
            keep more of it.
        """
        return self._body is not None and self._body.read_early_body(self.stream.recv_now)

    def survive_failed_write(self, error: OSError) -> None:
        """After a failed write, look for a response that has arrived; raise if there is none.

        A server may respond (413, for example) and close without reading the whole request. If the
        first write on a reused connection fails, whatever has arrived was sent before our request,
        so it is no response to it and is not read.
        """
        is_stale = self.progress.reused and not self.progress.bytes_sent
        try:
            has_response = not is_stale and self.has_early_response()
        except ConnectionBroken:
            has_response = False  # the error of the write tells more, and is raised below
        if not has_response:
            raise errors.connection_broken(self.progress, error, "send") from error


T = TypeVar("T", bytes, bytes | memoryview)


def _printed(data: T) -> T:
    """Print bytes that are about to be written, if http.client's debug output is on."""
    if HTTPConnection.debuglevel > 0:
        print_sent(data)
    return data
