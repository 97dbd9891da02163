"""One connection on a scripted stream: framing, states, doubt, and the names of its errors."""

from __future__ import annotations

import gc
import ssl
from collections import deque
from types import FunctionType, ModuleType

import pytest

from pooledhttp.buffers import BufferPool
from pooledhttp.exceptions import (
    BadResponse,
    BodyTruncated,
    ConflictingLength,
    ConnectionBroken,
    RecvTimeout,
    RequestRefused,
    SendTimeout,
    TlsError,
)
from pooledhttp.http1.connection import Connection
from pooledhttp.http1.messages import ResponseLimits, WireRequest
from pooledhttp.http1.states import MOVES, State
from tests.http1.script import PLAN, ScriptedStream, get, post

pytestmark = pytest.mark.usefixtures("each_parser")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def connect(
    *pieces: bytes | Exception, limits: ResponseLimits | None = None, **how: object
) -> Connection:
    stream = ScriptedStream(pieces, **how)  # type: ignore[arg-type]
    return Connection(stream, "http://example.test:80", limits)  # type: ignore[arg-type]


def read_all(connection: Connection) -> bytes:
    body = b""
    while piece := connection.receive(PLAN):
        body += piece
    return body


def exchange(connection: Connection, request: WireRequest | None = None) -> tuple[int, bytes]:
    connection.send(request or get(), PLAN)
    head = connection.read_head(PLAN)
    return head.status, read_all(connection)


class TestStates:
    def test_every_move_of_the_table_is_legal_and_no_other(self) -> None:
        """A move that is not in the table raises."""
        for start in State:
            for end in State:
                connection = connect()
                connection.state = start
                if end in MOVES[start]:
                    connection._move(end)
                    assert connection.state is end
                else:
                    with pytest.raises(RuntimeError, match=f"from {start.name} to {end.name}"):
                        connection._move(end)

    def test_serves_one_exchange_after_another(self) -> None:
        """A complete response leaves the connection idle, ready for the next request."""
        connection = connect(OK, OK)
        assert exchange(connection) == (200, b"hello")
        assert connection.is_reusable
        assert exchange(connection) == (200, b"hello")
        assert connection.exchanges == 2

    def test_repr_tells_the_state(self) -> None:
        """It names the origin, the state and the count of exchanges."""
        assert repr(connect()) == "<Connection to http://example.test:80, idle, 0 exchanges>"

    def test_is_alive_while_idle_and_silent_only(self) -> None:
        """A byte on an idle connection makes it unfit."""
        connection = connect(OK)
        assert not connection.is_alive()
        exchange(connection)
        assert connection.is_alive()
        connection.close()
        assert not connection.is_alive()


class TestReuse:
    @pytest.mark.parametrize(
        ("head", "why"),
        [
            (OK.replace(b"Content", b"Connection: close\r\nContent", 1), "it says so"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0"),
            (OK + b"HTTP/1.1 200 OK\r\n", "bytes behind the end"),
            (OK[:-5].replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length")
             + b"5\r\nhello\r\n0\r\n\r\n", "two framings"),
        ],
    )  # fmt: skip
    def test_a_connection_in_doubt_is_not_reused(self, head: bytes, why: str) -> None:
        """The response is returned; the connection is not used again."""
        connection = connect(head)
        assert exchange(connection) == (200, b"hello")
        assert connection.is_complete
        assert not connection.is_reusable

    def test_surplus_bytes_are_no_response_to_the_next_request(self) -> None:
        """Bytes that the parser kept from before are not taken for a response."""
        connection = connect(OK + OK)
        exchange(connection)
        with pytest.raises(RuntimeError):
            connection.send(get(), PLAN)

    @pytest.mark.parametrize(
        ("status", "is_reusable"), [(b"204 No Content", False), (b"304 Not Modified", True)]
    )
    def test_responses_without_a_body_end_with_their_head(
        self, status: bytes, is_reusable: bool
    ) -> None:
        """RFC 9110, section 6.4.1: whatever Content-Length says. A 204 may not have one."""
        connection = connect(b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\n\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.is_complete
        assert connection.is_reusable is is_reusable

    def test_responses_to_head_have_no_body(self) -> None:
        """The length is that of the body a GET would get."""
        connection = connect(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        assert exchange(connection, get(method=b"HEAD")) == (200, b"")
        assert connection.is_reusable

    def test_a_body_behind_a_response_to_head_leaves_doubt(self) -> None:
        """The body that a server sends to HEAD is not taken for the next response."""
        connection = connect(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        assert exchange(connection, get(method=b"HEAD")) == (200, b"")
        assert not connection.is_reusable


class TestBodies:
    def test_a_body_without_framing_ends_with_the_connection(self) -> None:
        """RFC 9112, section 6.3, rule 8."""
        connection = connect(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", b"")
        assert exchange(connection) == (200, b"hello")
        assert not connection.is_reusable

    def test_the_end_of_chunks_is_visible(self) -> None:
        """A live stream is read chunk by chunk."""
        connection = connect(CHUNKED, b"3\r\nabc\r\n", b"4\r\nd", b"efg\r\n0\r\n\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert (connection.receive(PLAN), connection.chunk_ended) == (b"abc", True)
        assert (connection.receive(PLAN), connection.chunk_ended) == (b"d", False)
        assert (connection.receive(PLAN), connection.chunk_ended) == (b"efg", True)
        assert connection.is_complete
        assert connection.receive(PLAN) == b""
        assert connection.is_reusable

    def test_data_before_broken_framing_is_delivered_first(self) -> None:
        """The error is raised after the data that came before it."""
        connection = connect(CHUNKED + b"3\r\nabc\r\nxyz\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.receive(PLAN) == b"abc"
        with pytest.raises(BadResponse):
            connection.receive(PLAN)
        with pytest.raises(BadResponse):
            connection.receive(PLAN)

    @pytest.mark.parametrize(
        "pieces",
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b""),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                ConnectionResetError(104, "reset"),
            ),
            (CHUNKED + b"5\r\nhel", b""),
            (CHUNKED + b"5\r\nhello\r\n", b""),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", ssl.SSLEOFError(8, "EOF")),
        ],
    )
    def test_a_body_cut_short_is_an_error(self, pieces: tuple[bytes | Exception, ...]) -> None:
        """Also where only TLS can tell: an attacker can cause an end without close_notify."""
        with pytest.raises(BodyTruncated) as caught:
            exchange(connect(*pieces))
        assert caught.value.origin == "http://example.test:80"
        assert caught.value.phase == "body"

    def test_truncation_counts_bytes(self) -> None:
        """The error says how many came, and how many are missing where that is known."""
        with pytest.raises(BodyTruncated, match=r"IncompleteRead\(3 bytes read, 2 more expected\)"):
            exchange(connect(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b""))

    def test_a_body_that_is_almost_only_framing_is_refused(self) -> None:
        """A kilobyte of extension around each byte of data is an attack."""
        chunk = b"1;" + b"x" * 1000 + b"\r\na\r\n"
        connection = connect(CHUNKED, *[chunk * 60] * 10)
        with pytest.raises(BadResponse, match="only framing"):
            exchange(connection)

    def test_a_body_of_known_length_is_written_into_a_buffer(self) -> None:
        """What came with the head, and then what the stream brings, but nothing behind the end."""
        connection = connect(OK[:-3], b"l", b"lo")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.unread == 5
        buffer = bytearray(7)
        with memoryview(buffer) as view:
            assert connection.receive_into(view, PLAN) == 3
            assert connection.receive_into(view[3:], PLAN) == 2
            assert connection.receive_into(view, PLAN) == 0
        assert buffer == b"hello\0\0"
        assert connection.is_reusable

    def test_a_buffer_gets_what_came_before_a_truncation(self) -> None:
        """The error counts the bytes, and is raised by the next call."""
        connection = connect(OK[:-3], b"l", b"")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        view = memoryview(bytearray(7))
        assert connection.receive_into(view, PLAN) == 3
        with pytest.raises(BodyTruncated, match=r"3 bytes read, 2 more expected"):
            connection.receive_into(view, PLAN)

    def test_all_chunks_that_arrived_are_one_piece_if_asked(self) -> None:
        """A caller that wants the whole body does not see each chunk."""
        connection = connect(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n", b"1\r\nd\r\n0\r\n\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.receive_all(PLAN) == b"abc"
        assert connection.receive_all(PLAN) == b"d"
        assert connection.is_reusable

    def test_a_caller_with_room_gets_more_in_one_read(self) -> None:
        """The stream is asked for as much as the caller takes, and chunks are joined."""
        connection = connect(CHUNKED + b"1\r\na\r\n", b"2\r\nbc\r\n3\r\ndef\r\n", b"0\r\n\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        received = [connection.receive_pooled(BufferPool(1 << 20), PLAN) for _ in range(3)]
        assert received == [b"a", b"bcdef", b""]
        assert connection.stream.most_asked == 1 << 20  # type: ignore[attr-defined]
        assert connection.is_reusable

    def test_a_large_read_is_not_taken_for_framing(self) -> None:
        """What has been read and not been decoded may be the data of a chunk."""
        limits = ResponseLimits(chunk_overhead_bytes=100)
        body = b"x" * 300_000
        connection = connect(CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), limits=limits)
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.receive_pooled(BufferPool(1 << 20), PLAN) == body

    def test_a_body_of_a_known_length_comes_in_buffers(self) -> None:
        """The head's read has its beginning; each further read fills a buffer of the pool."""
        pool = BufferPool(4)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        connection = connect(head + b"a", b"bcdefg", b"h", b"ijk")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        received = []
        while piece := connection.receive_pooled(pool, PLAN):
            received.append((bytes(piece), type(piece)))
            pool.release(piece)
        assert received == [
            (b"a", bytes), (b"bcde", memoryview), (b"fg", memoryview), (b"h", bytes),
            (b"ij", memoryview),
        ]  # fmt: skip
        assert connection.stream.pieces == deque([b"k"])  # type: ignore[attr-defined]

    @pytest.mark.parametrize("end, error", [(b"", BodyTruncated), (TimeoutError(), RecvTimeout)])
    def test_a_body_in_buffers_may_break_off(
        self, end: bytes | Exception, error: type[Exception]
    ) -> None:
        """The error is that of the other reads, and counts the bytes."""
        connection = connect(OK[:-3], b"l", end)
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        pool = BufferPool(100)
        assert [bytes(connection.receive_pooled(pool, PLAN)) for _ in range(2)] == [b"he", b"l"]
        with pytest.raises(error, match=r"3 bytes"):
            connection.receive_pooled(pool, PLAN)

    def test_chunks_that_arrived_are_taken_one_by_one(self) -> None:
        """All but the last, which may end the body, and none beyond a size."""
        connection = connect(CHUNKED + b"1\r\na\r\n1\r\nb\r\n3\r\ncde\r\n1\r\nf\r\n", b"0\r\n\r\n")
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert list(connection.arrived_chunks(1)) == [b"a", b"b"]
        assert connection.receive(PLAN) == b"cde"
        assert list(connection.arrived_chunks(1)) == []
        assert connection.receive(PLAN) == b"f"
        assert connection.receive(PLAN) == b""
        assert connection.is_reusable

    def test_small_honest_chunks_pass(self) -> None:
        """One byte a chunk costs six bytes: slow, but no attack."""
        connection = connect(CHUNKED, *[b"1\r\na\r\n" * 10_000] * 3, b"0\r\n\r\n")
        assert exchange(connection) == (200, b"a" * 30_000)

    def test_trailers_are_read_and_bounded(self) -> None:
        """Fields behind the last chunk belong to the message; a thousand of them do not."""
        assert exchange(connect(CHUNKED + b"0\r\nX-Sum: 1\r\n\r\n")) == (200, b"")
        with pytest.raises(BadResponse):
            exchange(connect(CHUNKED + b"0\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"))


class TestHeads:
    def test_names_keep_their_case_and_order(self) -> None:
        """Repeated names too."""
        fields = b"Set-Cookie: a=1\r\nX-A: 2\r\nset-cookie: b=2\r\nContent-Length: 0\r\n"
        connection = connect(b"HTTP/1.1 200 Fine\r\n" + fields + b"\r\n")
        connection.send(get(), PLAN)
        head = connection.read_head(PLAN)
        assert head.reason == "Fine"
        assert head.headers[:3] == [("Set-Cookie", "a=1"), ("X-A", "2"), ("set-cookie", "b=2")]

    def test_interim_responses_are_passed_over(self) -> None:
        """100, 102 and 103 are not the final response."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        assert exchange(connect(interim + OK)) == (200, b"hello")

    def test_endless_interim_responses_are_refused(self) -> None:
        """The bound is a setting."""
        with pytest.raises(BadResponse, match="interim"):
            exchange(connect(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 100))

    def test_large_heads_of_real_sites_pass(self) -> None:
        """64 KiB and 150 fields at least."""
        fields = b"".join(b"X-%d: " % i + b"v" * 500 + b"\r\n" for i in range(160))
        assert exchange(connect(OK.replace(b"Content", fields + b"Content", 1))) == (200, b"hello")

    def test_oversized_heads_are_refused(self) -> None:
        """By bytes, also while they never end, and by fields."""
        endless = [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"v" * 60_000 + b"\r\n"] * 100]
        with pytest.raises(BadResponse):
            exchange(connect(*endless))
        with pytest.raises(BadResponse, match="fields"):
            exchange(connect(OK.replace(b"Content", b"X: 1\r\n" * 1000 + b"Content", 1)))

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        ],
    )
    def test_lengths_that_cannot_be_trusted(self, head: bytes) -> None:
        """A wrong guess at one of two lengths would mix up responses."""
        with pytest.raises(ConflictingLength, match="Content-Length"):
            exchange(connect(head + b"hello"))

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS"),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03", "it speaks HTTP/2"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "it speaks SSH"),
            (b"220 mail.example.test ESMTP\r\n", "its response begins with"),
            (b"HTTP/1.1 abc\r\n\r\n", "valid HTTP"),
            (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "valid HTTP"),
            (b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", "valid HTTP"),
            (b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n", "valid HTTP"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "valid HTTP"),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "valid HTTP"),
        ],
    )
    def test_what_is_not_http_is_named(self, said: bytes, text: str) -> None:
        """At once, not when a timeout or a limit is reached."""
        with pytest.raises(BadResponse, match=text):
            exchange(connect(said))

    @pytest.mark.parametrize(
        "lines",
        [
            OK.replace(b"\r\n", b"\n"),
            OK.replace(b" OK", b""),
            OK.replace(b"Content", b"X: a\r\n  b\r\nContent", 1),
        ],
    )
    def test_harmless_liberties_pass(self, lines: bytes) -> None:
        """Bare LF, no reason phrase, a folded line (RFC 9112, sections 2.2, 4 and 5.2)."""
        assert exchange(connect(lines)) == (200, b"hello")

    def test_keep_alive_hints_are_read(self) -> None:
        """The server says for how long it keeps an idle connection."""
        connection = connect(
            OK.replace(b"Content", b"Keep-Alive: timeout=5, max=100\r\nContent", 1)
        )
        connection.send(get(), PLAN)
        assert connection.read_head(PLAN).keep_seconds == 5.0

    @pytest.mark.parametrize(
        ("pieces", "text"),
        [
            ((b"",), "without response"),
            ((b"HTTP/1.1 200 OK\r\nContent-", b""), "within its response head"),
            ((ConnectionResetError(104, "Connection reset by peer"),), "reset by peer"),
            ((ssl.SSLEOFError(8, "EOF occurred"),), "EOF occurred"),
        ],
    )
    def test_a_connection_that_dies_without_a_response(
        self, pieces: tuple[bytes | Exception, ...], text: str
    ) -> None:
        """The facts of the error tell a caller whether trying again is safe."""
        connection = connect(*pieces)
        with pytest.raises(ConnectionBroken, match=text) as caught:
            exchange(connection)
        assert caught.value.args[0] == "Connection aborted."
        assert not caught.value.reused
        assert caught.value.bytes_sent == len(connection.stream.sent)  # type: ignore[attr-defined]
        assert connection.got_bytes is (
            b"HTTP" in pieces[0] if isinstance(pieces[0], bytes) else False
        )

    def test_a_tls_alert_is_a_tls_error(self) -> None:
        """TLS 1.3 reports a missing client certificate with the first read."""
        with pytest.raises(TlsError, match="certificate required"):
            exchange(connect(ssl.SSLError(1, "tlsv13 alert certificate required")))

    def test_silence_is_a_read_timeout(self) -> None:
        """The error says which phase and which origin."""
        with pytest.raises(RecvTimeout, match="Read timed out.*head.*example.test") as caught:
            exchange(connect())
        assert caught.value.phase == "head"


class TestUploads:
    def test_a_small_request_is_one_write(self) -> None:
        """Two would meet Nagle's algorithm and delayed acknowledgement."""
        connection = connect(OK)
        assert exchange(connection, post(b"x" * 1000)) == (200, b"hello")
        assert connection.stream.writes == 1  # type: ignore[attr-defined]

    def test_fields_are_checked_again_when_they_change(self) -> None:
        """The fields checked last are kept; a changed list, also changed in place, is not them."""
        connection = connect(OK, OK, OK)
        request = get()
        exchange(connection, request)
        exchange(connection, request)
        request.target = b"/other"
        exchange(connection, request)
        sent = bytes(connection.stream.sent)  # type: ignore[attr-defined]
        lines = [b"GET / HTTP/1.1", b"GET / HTTP/1.1", b"GET /other HTTP/1.1"]
        assert [part.split(b"\r\n")[0] for part in sent.split(b"\r\n\r\n")[:-1]] == lines
        request.headers.append((b"X", b"a\0"))
        with pytest.raises(RequestRefused):
            connection.send(request, PLAN)

    def test_a_request_that_says_close_is_the_last_one(self) -> None:
        """RFC 9112, section 9.6: the connection is not used again."""
        connection, request = connect(OK), get()
        request.headers.append((b"Connection", b"close"))
        assert exchange(connection, request) == (200, b"hello")
        assert not connection.is_reusable

    def test_streams_go_out_in_one_chunk_an_item(self) -> None:
        """Empty items are left out: they would end the body."""
        connection = connect()
        chunked = (b"Transfer-Encoding", b"chunked")
        connection.send(post(iter([b"ab", b"", "ü", b"c"]), chunked), PLAN)
        body = bytes(connection.stream.sent).partition(b"\r\n\r\n")[2]  # type: ignore[attr-defined]
        assert body == b"2\r\nab\r\n2\r\n\xc3\xbc\r\n1\r\nc\r\n0\r\n\r\n"

    @pytest.mark.parametrize("count", [9, 11])
    def test_a_body_of_another_length_than_promised_is_refused(self, count: int) -> None:
        """The rest would be read as the next request."""
        with pytest.raises(RequestRefused):
            connect().send(post(iter([b"x" * count]), (b"Content-Length", b"10")), PLAN)

    @pytest.mark.parametrize(
        "field", [(b"X y", b"1"), (b"X", b"1\r\nEvil: 1"), (b"X", b"a\x00"), (b"", b"1")]
    )
    def test_malformed_fields_never_reach_the_wire(self, field: tuple[bytes, bytes]) -> None:
        """Not one byte of the request."""
        connection = connect(OK)
        request = get()
        request.headers.append(field)
        with pytest.raises(RequestRefused):
            exchange(connection, request)
        assert not connection.stream.sent  # type: ignore[attr-defined]

    def test_a_response_before_the_end_of_the_upload_is_returned(self) -> None:
        """413, while the server does not read and our write is blocked."""
        too_large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        connection = connect(too_large, accepts=100_000)
        assert exchange(connection, post(b"x" * 1_000_000)) == (413, b"")
        assert not connection.is_reusable

    def test_a_response_behind_a_broken_pipe_is_returned(self) -> None:
        """413 and close: the write fails, and the response is there."""
        too_large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        connection = connect(too_large, accepts=100_000, write_error=BrokenPipeError(32, "pipe"))
        assert exchange(connection, post(b"x" * 1_000_000)) == (413, b"")

    def test_a_broken_pipe_without_a_response_is_an_error(self) -> None:
        """The error says how many bytes were sent."""
        connection = connect(accepts=100_000, write_error=BrokenPipeError(32, "pipe"))
        with pytest.raises(ConnectionBroken) as caught:
            exchange(connection, post(b"x" * 1_000_000))
        assert caught.value.phase == "send"
        assert caught.value.bytes_sent > 0

    def test_an_endless_upload_stops_at_a_response(self) -> None:
        """The server responds and reads on: the generator is not read forever."""

        def endless() -> object:
            while True:
                yield b"x" * 1000

        connection = connect(OK)
        assert exchange(connection, post(endless(), (b"Transfer-Encoding", b"chunked"))) == (
            200,
            b"hello",
        )
        assert not connection.is_reusable

    def test_interim_responses_do_not_stop_an_upload(self) -> None:
        """The body is sent whole after 100 Continue."""
        connection = connect(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(post(iter([b"a", b"b"]), (b"Transfer-Encoding", b"chunked")), PLAN)
        connection.stream.pieces.append(OK)  # type: ignore[attr-defined]
        assert connection.read_head(PLAN).status == 200
        assert b"".join(connection.stream.sent.split(b"\r\n")[-7:]) == b"1a1b0"  # type: ignore[attr-defined]

    def test_a_stalled_upload_times_out(self) -> None:
        """The error is a timeout and a broken connection."""
        connection = connect(accepts=100)
        with pytest.raises(SendTimeout, match="stopped reading"):
            exchange(connection, post(b"x" * 1_000_000))

    def test_errors_of_the_callers_iterator_come_through(self) -> None:
        """An error of the caller is not translated."""

        def broken() -> object:
            yield b"a"
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            connect().send(post(broken(), (b"Transfer-Encoding", b"chunked")), PLAN)

    def test_expect_waits_for_continue(self) -> None:
        """The body follows 100 Continue."""
        connection = connect(b"HTTP/1.1 100 Continue\r\n\r\n", OK)
        fields = ((b"Content-Length", b"4"), (b"Expect", b"100-continue"))
        assert exchange(connection, post(b"body", *fields, expects_continue=True)) == (
            200,
            b"hello",
        )
        assert connection.stream.sent.endswith(b"\r\n\r\nbody")  # type: ignore[attr-defined]
        assert connection.is_reusable

    def test_expect_sends_no_body_after_a_refusal(self) -> None:
        """417 or 413 instead of 100: the body is not sent."""
        connection = connect(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        fields = ((b"Content-Length", b"4"), (b"Expect", b"100-continue"))
        assert exchange(connection, post(b"body", *fields, expects_continue=True)) == (417, b"")
        assert b"body" not in connection.stream.sent  # type: ignore[attr-defined]
        assert not connection.is_reusable


class TestSwitching:
    def test_101_hands_the_bytes_over(self) -> None:
        """What comes behind the head belongs to the other protocol."""
        connection = connect(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst")
        request = get()
        request.headers += [(b"Upgrade", b"x"), (b"Connection", b"upgrade")]
        connection.send(request, PLAN)
        assert connection.read_head(PLAN).status == 101
        assert connection.state is State.SWITCHED
        assert connection.leftover() == b"first"

    def test_connect_hands_the_bytes_over(self) -> None:
        """2xx to CONNECT opens a tunnel; another status is an ordinary response."""
        connection = connect(b"HTTP/1.1 200 Established\r\n\r\n")
        connection.send(get(b"a.test:443", method=b"CONNECT"), PLAN)
        connection.read_head(PLAN)
        assert connection.state is State.SWITCHED
        refused = connect(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        assert exchange(refused, get(b"a.test:443", method=b"CONNECT")) == (407, b"")


def test_an_idle_connection_keeps_no_bytes_of_its_last_response() -> None:
    """A body that came with its head is dropped: there may be thousands of idle connections."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n"
    connection = connect(head + b"x" * 16_000)
    assert exchange(connection) == (200, b"x" * 16_000)
    seen: set[int] = {id(connection.stream)}
    ahead: list[object] = [connection]
    while ahead:
        found = ahead.pop()
        if id(found) not in seen and not isinstance(found, type | ModuleType | FunctionType):
            seen.add(id(found))
            assert not (isinstance(found, bytes | bytearray) and len(found) > 1000)
            ahead += gc.get_referents(found)
