"""The half of a connection that reads responses: the final head, the body, and where it ends.

    Connection        writes the request, and has the states      connection
      ResponseSide    reads the response                           this module

It waits for bytes and feeds them to the parts that live for one exchange: `HeadReader`, and then
`ResponseBody`. The errors that it raises are urllib3's classes with facts (see `errors`), never
h11's and never a plain OSError.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

# Whose `debuglevel` is that of http.client: there, a test may have a mock.
from urllib3.connection import HTTPConnection

from pooledhttp.http1 import errors
from pooledhttp.http1.debug_output import print_head
from pooledhttp.http1.head_memo import HEAD_END, MOST_HEAD_BYTES
from pooledhttp.http1.head_reader import HeadReader
from pooledhttp.http1.messages import ResponseLimits
from pooledhttp.http1.parsers import library_for
from pooledhttp.http1.progress import ExchangeProgress
from pooledhttp.http1.response_body import RECV_BYTES, ResponseBody
from pooledhttp.http1.states import MOVES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pooledhttp.buffers import BufferPool, Piece
    from pooledhttp.http1.bytestream import ByteStream
    from pooledhttp.http1.head_memo import HeadMemos
    from pooledhttp.http1.response_head import Head
    from pooledhttp.timing import TimeoutPlan

__all__ = ["ResponseSide"]

_new, _init_body = object.__new__, ResponseBody.__init__
_AWAITING, _READING, _IDLE = State.AWAITING, State.READING, State.IDLE


class ResponseSide:
    """Reads the responses on one stream; see `Connection`, which also describes the arguments."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_has_doubt",
        "_head",
        "_library",
        "_limits",
        "_may_persist",
        "_memo",
        "_method",
        "_reader",
        "origin",
        "progress",
        "state",
        "stream",
    )

    def __init__(
        self, stream: ByteStream, origin: str, limits: ResponseLimits, memos: HeadMemos
    ) -> None:
        self.stream = stream
        self.origin = origin
        self.state = State.IDLE
        self.progress = ExchangeProgress(origin)
        self._limits = limits
        self._library = library_for(limits.parser)
        self._memo = memos.memo_for(self._library, limits)
        #: The method of the request.
        self._method = b""
        #: Reads the heads of the exchange; `None` before the first bytes of the response, and if
        #: the memo knows the head.
        self._reader: HeadReader | None = None
        #: The final head and its body, once the head has been read. A server may send them before
        #: the request is sent completely.
        self._head: Head | None = None
        self._body: ResponseBody | None = None
        self._has_doubt = False
        #: Whether the request was sent completely, and did not ask the server to close.
        self._may_persist = False

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.name} to {state.name}")
        self.state = state

    @property
    def is_complete(self) -> bool:
        """Whether the end of the current response body has been found."""
        body = self._body
        return body is not None and body.has_ended and not body.pieces

    @property
    def chunk_ended(self) -> bool:
        """Whether the piece that `receive` returned last ended a chunk."""
        return self._body is not None and self._body.chunk_ended

    # ---- the head of the response

    def read_head(self, plan: TimeoutPlan) -> Head:
        """Read to the end of the final head; interim responses are skipped.

        Raises:
            RecvTimeout: Nothing came for `plan.read` seconds, or the total timeout ended.
            ConnectionBroken: The connection ended before the head did.
            BadResponse: What came is not HTTP/1.x, or exceeds the limits.
            ConflictingLength: The head does not give exactly one length.
        """
        head = self._head
        if head is None and self.progress.got_bytes:
            self._parse_head()
            head = self._head
        while head is None:
            data = self._recv_head(plan)
            if self._reader is None:
                self._parse_first(data, False)
            else:
                self._parse_head(data)
            head = self._head
        body = self._body
        if HTTPConnection.debuglevel > 0:
            print_head(head)
        if body is None:
            self._move(State.SWITCHED)
            return head
        if self.state is not _AWAITING:
            self._move(State.READING)  # raises
        self.state = _READING
        if body.has_ended and not body.pieces:
            self._finish(head, body)
        return head

    def _recv_head(self, plan: TimeoutPlan) -> bytes:
        """Wait for bytes of a head, and return them; `b""` at the end of the stream."""
        wait = plan.total if plan.read is None else plan.total.sooner(plan.read)
        try:
            return self.stream.recv(RECV_BYTES, wait)
        except TimeoutError as error:
            raise errors.recv_timeout(self.progress, plan, "head") from error
        except OSError as error:
            raise errors.connection_broken(self.progress, error, "head") from error

    def _parse_head(self, data: bytes | None = None, *, stops_at_interim: bool = False) -> bool:
        """Parse what has been read; tell whether the final head has been found.

        Args:
            data: What has been read since the last call; `b""` for the end of the stream.
            stops_at_interim: Return after an interim head, too.
        """
        if self._head is not None:
            return True
        reader = self._reader
        if reader is None:
            return data is not None and self._parse_first(data, stops_at_interim)
        if data is not None:
            reader.feed(data)
        head = self._head = reader.next_final(stops_at_interim=stops_at_interim)
        if head is None:
            return False
        if not head.is_switch:
            self._body = ResponseBody(head, reader.rest, self.progress, self._limits)
        return True

    def _parse_first(self, data: bytes, stops_at_interim: bool) -> bool:
        """Do what `_parse_head` does, with the first bytes of the response.

        If they begin with a head that is known, no parser is needed.
        """
        progress, limits, method = self.progress, self._limits, self._method
        end = data.find(HEAD_END, 0, MOST_HEAD_BYTES)
        start = data[:end]
        if end > 0 and (known := self._memo.find(start, method)) is not None:
            progress.got_bytes = True
            self._head = known
            # As `ResponseBody(...)`: Python calls a class in a slower way than a function.
            body = self._body = _new(ResponseBody)
            _init_body(body, known, data[end + len(HEAD_END) :], progress, limits)
            return True
        parser = self._library.new_parser(progress, limits)
        reader = self._reader = HeadReader(method, parser, progress, limits)
        self._parse_head(data, stops_at_interim=stops_at_interim)
        head = self._head
        # A parser may end a head sooner, at a blank line without CR, and there may be interim ones.
        if head is not None and end > 0 and len(data) == end + len(HEAD_END) + len(reader.rest):
            self._memo.keep(start, method, head)
        return head is not None

    def leftover(self) -> bytes:
        """Return the bytes of the new protocol that have arrived behind the head."""
        return b"" if self._reader is None else self._reader.rest

    # ---- the body of the response

    @property
    def unread(self) -> int:
        """Bytes of the body that were not taken; if its length is not known, those that arrived."""
        arrived = 0 if self._body is None else self._body.arrived_bytes
        return arrived + (self.progress.body_left or 0)

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
            TlsError: TLS broke, by an alert or a damaged record.
            BadResponse: Chunks are malformed or almost only framing, or the trailer is too large.
        """
        return self._receive(ResponseBody.next_piece, plan)

    def take_whole(self) -> bytes | None:
        """Return the body if all of it, or of its rest, is there in one piece; `None` otherwise."""
        body, head = self._body, self._head
        if body is None or head is None or not body.has_ended or self.state is not _READING:
            return None
        pieces = body.pieces
        if len(pieces) != 1:
            return None
        whole = pieces.popleft()
        self._finish(head, body)
        return whole

    def receive_all(self, plan: TimeoutPlan) -> bytes:
        """Return all pieces that have arrived, as one; otherwise the same as `receive`."""
        return self._receive(ResponseBody.take_all, plan)

    def receive_pooled(self, buffers: BufferPool, plan: TimeoutPlan) -> Piece:
        """Do what `receive_all` does; a body of a known length is read into buffers of a pool."""
        body, head = self._body, self._head
        left = self.progress.body_left
        if body is None or head is None or body.pieces or not left or self.state is not _READING:
            return self._receive(ResponseBody.take_all, plan, buffers.size)
        try:
            most = min(left, buffers.size)
            piece = self.stream.read_pooled(buffers, most, plan.total, plan.read)
        except OSError as error:
            raise self._broken(error, plan) from error
        if piece:
            body.count(len(piece))
        else:
            body.feed(b"")
            body.next_piece()  # raises
        if body.has_ended:
            self._finish(head, body)
        return piece

    def _receive(
        self,
        take: Callable[[ResponseBody], bytes | None],
        plan: TimeoutPlan,
        max_bytes: int = RECV_BYTES,
    ) -> bytes:
        body, head = self._body, self._head
        if body is None or head is None or self.state is not _READING:
            return b""
        while (piece := take(body)) is None:
            left = self.progress.body_left
            if left is not None and left < max_bytes:
                # One more, to see whether the server sends too much. Over TLS a read for more would
                # look for another record, and might take in a part of one.
                max_bytes = left + 1
            try:
                data = self.stream.read(max_bytes, plan.total, plan.read)
            except TimeoutError as error:
                raise errors.recv_timeout(self.progress, plan, "body") from error
            except OSError as error:
                if not body.may_end_by(error):
                    raise errors.body_broken(self.progress, error) from error
                data = b""
            body.feed(data)
        if body.has_ended and not body.pieces:
            self._finish(head, body)
        return piece

    def receive_into(self, view: memoryview, plan: TimeoutPlan) -> int:
        """Fill `view` with bytes of a body of a known length; return how many.

        Fewer bytes than `len(view)` are returned at the end of the body, and before an error that
        the next call raises. Arguments and errors are those of `receive`.
        """
        body, head = self._body, self._head
        if body is None or head is None or self.state is not _READING:
            return 0
        done = body.take_into(view) if body.arrived_bytes else 0
        missing = min(len(view) - done, self.progress.body_left or 0)
        if missing:
            try:
                # Released even if the traceback of an error keeps it: see `filled_bytes`.
                with view[done : done + missing] as room:
                    count = self.stream.read_into(room, plan.total, plan.read)
            except OSError as error:
                raise self._broken(error, plan) from error
            if count:
                body.count(count)
            elif not done:
                body.feed(b"")
                body.next_piece()  # raises
            done += count
        if body.has_ended and not body.pieces:
            self._finish(head, body)
        return done

    def _broken(self, error: OSError, plan: TimeoutPlan) -> Exception:
        """Return what a failed read of a body of a known length is to the caller."""
        if isinstance(error, TimeoutError):
            return errors.recv_timeout(self.progress, plan, "body")
        return errors.body_broken(self.progress, error)

    def _finish(self, head: Head, body: ResponseBody) -> None:
        """Become idle again if the connection may carry another exchange.

        Otherwise the state stays READING, and the holder of the connection closes it.
        """
        if self._may_persist and head.allows_reuse and not (self._has_doubt or body.surplus):
            self.state = _IDLE  # from READING
            # It has the bytes that came with the head: 16 KiB over TLS, for as long as it is idle.
            self._reader = None
