"""Requests going out: early responses, framing, `Expect`, and what must never reach the wire."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError

import pooledhttp
from pooledhttp.exceptions import (
    ConnectionError,
    InvalidURL,
    RequestException,
    WriteTimeout,
)
from tests.support.scripted import (
    Peer,
    ScriptedServer,
    SeenRequest,
    answering,
    read_chunks,
    respond,
)
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import first_then_new, names_origin, prompt

BIG = b"u" * 20_000_000

TOO_LARGE = respond(b"too large", {"Connection": "close"}, status=413, reason="Content Too Large")

BODIES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: BIG,
    "file": lambda: io.BytesIO(BIG),
    "generator": lambda: (BIG[:100_000] for _ in range(200)),
}


def answers_and_closes(peer: Peer) -> None:
    """Refuse by the head alone, and close with the body unread: the client meets a reset."""
    peer.read_head()
    peer.send(TOO_LARGE)
    peer.close()


def answers_and_stays(peer: Peer) -> None:
    """Refuse by the head alone, and read no further: the client's send blocks."""
    peer.read_head()
    peer.send(TOO_LARGE)
    peer.server.gate().wait()


def answers_and_drains(peer: Peer) -> None:
    """Refuse by the head alone, and read the rest politely."""
    peer.read_head()
    peer.send(TOO_LARGE)
    peer.wait_closed()


def answers_before_the_request(peer: Peer) -> None:
    """Refuse the connection itself."""
    peer.send(respond(b"busy", {"Connection": "close"}, status=503))
    peer.wait_closed()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("handler", [answers_and_stays, answers_and_drains])
def test_an_early_answer_is_returned(
    session: pooledhttp.Session, handler: Callable[[Peer], None], body: Any
) -> None:
    """A 413 that arrives during the upload is the response: no broken pipe, no timeout."""
    with ScriptedServer(first_then_new(handler)) as server:
        with prompt():
            answer = session.post(server.url(), data=body(), timeout=5)
        assert (answer.status_code, answer.content) == (413, b"too large")
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_early_answer_then_close(session: pooledhttp.Session, body: Any) -> None:
    """The response before a close is returned if the kernel kept it, else a clear error."""
    with ScriptedServer(first_then_new(answers_and_closes)) as server:
        with prompt():
            try:
                assert session.post(server.url(), data=body(), timeout=5).status_code == 413
            except ConnectionError as error:
                names_origin(error, server)
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()


@pytest.mark.parametrize(
    ("part", "body"),
    [("target", None), ("fields", None), ("fields", b"small"), ("fields", BIG[:200_000])],
    ids=["target", "fields", "and-a-small-body", "and-a-large-body"],
)
def test_an_early_answer_to_a_large_head(
    session: pooledhttp.Session, part: str, body: bytes | None
) -> None:
    """A server reads a part of a head and responds; the send of the rest blocks."""

    def refuses_the_head(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(respond(b"too large", status=431))
        peer.server.gate().wait()

    large = "y" * 6_000_000  # more than the buffers on both sides
    path, fields = ("/", {"X": large}) if part == "fields" else (f"/{large}", {})
    with ScriptedServer(first_then_new(refuses_the_head)) as server:
        with prompt():
            answer = session.post(server.url(path), data=body, headers=fields, timeout=30)
        assert (answer.status_code, answer.content) == (431, b"too large")
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()


def test_an_early_answer_to_a_small_body(session: pooledhttp.Session) -> None:
    """An upload that fits into the buffers gets its response in each of many rounds."""
    with ScriptedServer(answers_and_drains) as server:
        for _ in range(20):
            answer = session.post(server.url(), data=b"x" * 50_000, timeout=5)
            assert answer.status_code == 413
        session.close()


def test_an_answer_before_the_request(session: pooledhttp.Session) -> None:
    """A response that arrives before the request is sent is returned."""
    with ScriptedServer(answers_before_the_request) as server, prompt():
        assert session.post(server.url(), data=BIG, timeout=5).status_code in (503,)
        session.close()


def test_a_server_that_dies_in_the_upload(session: pooledhttp.Session) -> None:
    """A reset during the upload, without a response, is a ConnectionError in time."""

    def dies(peer: Peer) -> None:
        peer.read_head()
        peer.reset()

    with ScriptedServer([dies]) as server:
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.post(server.url(), data=BIG, timeout=5)
        names_origin(caught.value, server)
        assert server.unexpected == 0
        session.close()


def test_an_endless_upload_hears_the_answer(session: pooledhttp.Session) -> None:
    """An endless generator stops when the server has responded, even if the server reads on."""

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    with ScriptedServer(answers_and_drains) as server, prompt():
        assert session.post(server.url(), data=endless(), timeout=5).status_code == 413
        session.close()


# ---- success that begins early


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_server_that_answers_while_it_reads(session: pooledhttp.Session, body: Any) -> None:
    """A success that begins before the upload ends does not cut it short."""

    def works_as_it_reads(peer: Peer) -> None:
        head = peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if head.header("content-length"):
            left, size = len(BIG), 0
            while left > 0:
                size += len(peer.reader.exactly(min(left, 1_000_000)))
                left -= 1_000_000
                peer.send(b"1\r\n.\r\n")
        else:
            size = sum(map(len, read_chunks(peer.reader)))
        peer.send(b"%x\r\n%d\r\n0\r\n\r\n" % (len(str(size)), size))
        peer.wait_closed()

    with ScriptedServer(works_as_it_reads) as server, prompt(5):
        answer = session.post(server.url(), data=body(), timeout=5)
        assert answer.content.lstrip(b".") == str(len(BIG)).encode()
        session.close()


def test_a_server_that_says_back_what_it_reads(session: pooledhttp.Session) -> None:
    """Both directions at once, larger than all buffers between: neither side blocks the other."""
    data = BIG[:8_000_000]

    def echoes(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
        for _ in range(0, len(data), 100_000):
            peer.send(peer.reader.exactly(100_000))
        peer.wait_closed()

    with ScriptedServer(echoes) as server, prompt(5):
        assert session.post(server.url(), data=data, timeout=5).content == data
        session.close()


def test_success_then_deafness() -> None:
    """A server that has responded and stops reading is not waited for beyond the write timeout."""
    runtime = SkippingRuntime()

    def succeeds_and_stays(peer: Peer) -> None:
        peer.read_head()
        peer.send(respond(b"enough"))
        runtime.stay_deaf(peer)

    with ScriptedServer(succeeds_and_stays) as server, prompt():
        with pooledhttp.Session(runtime=runtime) as session:
            assert session.post(server.url(), data=BIG, timeout=5).content == b"enough"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 O"], ids=["nothing", "half-a-head"])
def test_an_end_without_an_answer_in_the_upload(
    session: pooledhttp.Session, body: Any, says: bytes
) -> None:
    """A server that ends its side and neither reads nor closes will send no response."""

    def ends_its_side(peer: Peer) -> None:
        peer.read_head()
        peer.send(says)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.server.gate().wait()

    with ScriptedServer(ends_its_side) as server, prompt():
        with pytest.raises(ConnectionError) as caught:
            session.post(server.url(), data=body(), timeout=5)
        names_origin(caught.value, server)
        session.close()


# ---- Expect


def test_expect_waits_for_continue(session: pooledhttp.Session) -> None:
    """With `Expect: 100-continue` the body is sent after the server's 100."""

    def handle(peer: Peer) -> None:
        head = peer.read_head()
        peer.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        peer.sock.setblocking(True)
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.reader.exactly(int(head.header("content-length") or 0)) == b"body"
        peer.send(respond(b"done"))
        peer.wait_closed()

    with ScriptedServer(handle) as server, prompt():
        answer = session.post(
            server.url(), data=b"body", headers={"Expect": "100-continue"}, timeout=5
        )
        assert answer.content == b"done"
        session.close()


@pytest.mark.parametrize("status", [413, 417, 401, 200])
def test_expect_refused_sends_no_body(session: pooledhttp.Session, status: int) -> None:
    """A final response instead of 100: the body is not sent, and the connection is closed."""
    seen: list[bytes] = []

    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(respond(b"no", status=status))
        seen.append(peer.wait_closed())

    with ScriptedServer(first_then_new(handle)) as server, prompt():
        answer = session.post(
            server.url(), data=b"body", headers={"Expect": "100-continue"}, timeout=5
        )
        assert answer.status_code == status
        assert session.get(server.url(), timeout=5).content == b"over a new connection"
        session.close()
    assert seen == [b""]


def test_expect_unheard_goes_on() -> None:
    """A server that never says 100 gets the body after a second."""
    runtime = SkippingRuntime(stands=True)

    def handle(peer: Peer) -> None:
        head = peer.read_head()
        runtime.take_time(peer, 0.9)
        peer.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        peer.sock.setblocking(True)
        runtime.take_time(peer, 0.1)
        peer.send(respond(peer.reader.exactly(int(head.header("content-length") or 0))))
        peer.wait_closed()

    with ScriptedServer(handle) as server, pooledhttp.Session(runtime=runtime) as session:
        headers = {"Expect": "100-continue"}
        answer = session.post(server.url(), data=b"body", headers=headers, timeout=5)
        assert answer.content == b"body"
        assert runtime.now() == pytest.approx(1.0)


# ---- framing of requests


def sent(session: pooledhttp.Session, method: str = "POST", **how: Any) -> SeenRequest:
    """What the server saw of one request."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        session.request(method, server.url(), timeout=5, **how)
        session.close()
        return server.requests[0]


@pytest.mark.parametrize(
    ("headers", "data", "framing"),
    [
        ({"Transfer-Encoding": "chunked"}, b"abc", {"content-length": "3"}),
        ({"Transfer-Encoding": "gzip"}, b"abc", {"content-length": "3"}),
        ({"transfer-encoding": "identity"}, b"abc", {"content-length": "3"}),
        ({"Transfer-Encoding": "chunked", "Content-Length": "9"}, b"abc", {"content-length": "3"}),
        ({"Transfer-Encoding": "chunked"}, iter([b"abc"]), {"transfer-encoding": "chunked"}),
        ({"Content-Length": "3"}, iter([b"abc"]), {"content-length": "3"}),
        ({"Transfer-Encoding": "chunked"}, None, {"content-length": "0"}),
        ({"Content-Length": "0"}, None, {"content-length": "0"}),
        ({}, b"", {"content-length": "0"}),
        ({}, "", {"content-length": "0"}),
        ({}, iter([]), {"transfer-encoding": "chunked"}),
        ({}, iter([b"", b"abc", b""]), {"transfer-encoding": "chunked"}),
        ({}, io.BytesIO(b"abc"), {"content-length": "3"}),
        ({}, "d\u00e9j\u00e0", {"content-length": "6"}),
    ],
)
def test_one_framing_goes_out(
    session: pooledhttp.Session, headers: dict[str, str], data: Any, framing: dict[str, str]
) -> None:
    """Exactly one of Content-Length and Transfer-Encoding, and it is true."""
    seen = sent(session, headers=headers, data=data)
    found = {
        name.lower(): value
        for name, value in seen.headers
        if name.lower() in ("content-length", "transfer-encoding")
    }
    assert found == framing
    assert seen.body in (b"abc", b"", "déjà".encode())


@pytest.mark.parametrize(
    ("length", "data"),
    [("2", iter([b"abc"])), ("4", iter([b"abc"])), ("nine", iter([b"abc"])), ("-1", iter([b"a"]))],
    ids=["short", "long", "word", "negative"],
)
def test_a_length_that_does_not_fit_is_refused(
    session: pooledhttp.Session, length: str, data: Any
) -> None:
    """A body of another length than announced never becomes the next request."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        with prompt(), pytest.raises(RequestException):
            session.post(server.url(), data=data, headers={"Content-Length": length}, timeout=2)
        assert session.get(server.url(), timeout=5).content == b"x"
        assert all(seen.method == "GET" for seen in server.requests)
        session.close()


def test_a_generator_that_fails(session: pooledhttp.Session) -> None:
    """The caller's own error comes out, and what was sent of the body is no complete request."""

    def fails() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("mine")

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pytest.raises(LookupError, match="mine"):
            session.post(server.url(), data=fails(), timeout=5)
        assert session.pool.stats().total.active == 0
        assert session.get(server.url(), timeout=5).content == b"x"
        assert [seen.method for seen in server.requests] == ["GET"]
        session.close()


def test_a_body_from_another_response_that_breaks_off(session: pooledhttp.Session) -> None:
    """What http.client raises there is a ConnectionError here, as in requests."""

    def breaks_off() -> Iterator[bytes]:
        yield b"one"
        raise IncompleteRead(b"", 5)

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pytest.raises(ConnectionError, match="could not be read") as caught:
            session.post(server.url(), data=breaks_off(), timeout=5)
        assert isinstance(caught.value.args[0], ProtocolError)
        assert session.pool.stats().total.active == 0


def test_a_generator_that_outlasts_the_total(session: pooledhttp.Session) -> None:
    """The total also ends the request between two pieces, and it is never completed."""

    def dawdles() -> Iterator[bytes]:
        pause = threading.Event()
        for _ in range(100):
            yield b"x"
            pause.wait(0.02)

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pytest.raises(WriteTimeout, match="total timeout"), prompt(1):
            session.post(server.url(), data=dawdles(), timeout=pooledhttp.Timeout(total=0.1))
        assert session.pool.stats().total.active == 0
        session.close()
    assert server.requests == []


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
def test_buffers_as_bodies(session: pooledhttp.Session, kind: Any) -> None:
    """What supports the buffer protocol is sent as bytes when put on a prepared request."""
    with ScriptedServer(answering(lambda seen: respond(seen.body))) as server:
        request = session.prepare_request(pooledhttp.Request("POST", server.url(), data=b"1234"))
        request.body = kind(b"abcd")
        assert session.send(request, timeout=5).content == b"abcd"
        session.close()


# ---- injection


BAD_TEXT = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\0b", "a\r\n\r\nGET /evil HTTP/1.1"]


def prepared(
    session: pooledhttp.Session, start: str, /, **attributes: Any
) -> pooledhttp.PreparedRequest:
    """A request whose attributes were set by hand, past all checks of preparing."""
    request = session.prepare_request(pooledhttp.Request("GET", start))
    for name, value in attributes.items():
        setattr(request, name, value)
    return request


def refused(session: pooledhttp.Session, send: Callable[[str], Any]) -> None:
    """Nothing of it reaches the wire, the error is requests' and the session goes on."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        with prompt(), pytest.raises((RequestException, ValueError)) as caught:
            send(server.url())
        assert isinstance(caught.value, RequestException)
        assert server.requests == []
        assert session.get(server.url(), timeout=5).ok
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("text", BAD_TEXT)
@pytest.mark.parametrize("kind", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize("name", ["X-Mine", "Host", "Cookie", "Authorization", "Content-Type"])
def test_header_values(session: pooledhttp.Session, name: str, kind: Any, text: str) -> None:
    """No line break or NUL in a field's value, prepared or set by hand."""
    value = kind(text)
    refused(session, lambda url: session.get(url, headers={name: value}, timeout=2))

    def by_hand(url: str) -> Any:
        request = prepared(session, url)
        request.headers[name] = value
        return session.send(request, timeout=2)

    refused(session, by_hand)


@pytest.mark.parametrize(
    "value", ["a b", "a\tb", "a/b", "a?b", "a#b", "user@a", "a\\b", "a, b", b"a b"]
)
def test_a_host_field_is_a_host(session: pooledhttp.Session, value: Any) -> None:
    """What ends or divides a host is refused in `Host`: servers in line may read it differently."""
    refused(session, lambda url: session.get(url, headers={"Host": value}, timeout=2))


@pytest.mark.parametrize(
    "name", [*BAD_TEXT, "", "a b", "a:b", ":a", " a", "a ", "a\t", "d\u00e9j\u00e0", "a(b)"]
)
def test_header_names(session: pooledhttp.Session, name: str) -> None:
    """A field's name is a token."""
    refused(session, lambda url: session.get(url, headers={name: "x"}, timeout=2))

    def by_hand(url: str) -> Any:
        request = prepared(session, url)
        request.headers[name] = "x"
        return session.send(request, timeout=2)

    refused(session, by_hand)


@pytest.mark.parametrize(
    "method", ["GET /evil HTTP/1.1\r\nX:", "G ET", "GET\r\n", "", "G\0T", "GÉT", "GET:"]
)
def test_methods(session: pooledhttp.Session, method: str) -> None:
    """A method is a token."""
    refused(session, lambda url: session.request(method, url, timeout=2))
    refused(session, lambda url: session.send(prepared(session, url, method=method), timeout=2))


@pytest.mark.parametrize("text", BAD_TEXT)
def test_cookies(session: pooledhttp.Session, text: str) -> None:
    """No line break or NUL by way of a cookie."""
    refused(session, lambda url: session.get(url, cookies={"a": text}, timeout=2))
    refused(session, lambda url: session.get(url, cookies={text: "a"}, timeout=2))


TARGETS = [
    "/a b",
    "/a\r\nX-Evil: 1",
    "/a HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
    "/a\nb",
    "/a\tb",
    "/a\0b",
    "/a\x7fb",
    "/d\u00e9j\u00e0",
    "/a#fragment\r\nb",
    "/?q=a b\r\nX-Evil: 1",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("by_hand", [False, True], ids=["prepared", "by-hand"])
def test_targets(session: pooledhttp.Session, target: str, by_hand: bool) -> None:
    """Spaces and control characters in a path are encoded or refused, never sent."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        try:
            if by_hand:
                url = server.url(target)
                session.send(prepared(session, server.url(), url=url), timeout=2)
            else:
                session.get(server.url(target), timeout=2)
        except InvalidURL:
            pass
        for seen in server.requests:
            assert seen.header("x-evil") is None
            assert seen.version == "HTTP/1.1"
            assert all(33 <= ord(letter) < 127 for letter in seen.target)
        assert len(server.requests) <= 1
        session.close()


@pytest.mark.parametrize("text", BAD_TEXT)
def test_params_auth_and_agents(session: pooledhttp.Session, text: str) -> None:
    """Line breaks in encoded values do not reach the wire."""
    seen = sent(session, "GET", params={"q": text}, auth=("user", text))
    assert seen.header("x-evil") is None
    assert seen.version == "HTTP/1.1"
    assert "\r" not in seen.target and "\n" not in seen.target


@pytest.mark.parametrize("text", BAD_TEXT[:3])
def test_multipart_names(session: pooledhttp.Session, text: str) -> None:
    """File and field names of a form do not break out of their header."""
    seen = sent(session, files={text: (text, b"x", "text/plain")}, data={text: "1"})
    for line in seen.body.split(b"\r\n"):
        assert not line.startswith(b"X-Evil")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x ", "x"),
        ("x\t", "x"),
        (b"x  ", "x"),
        ("a  b", "a  b"),
        ("", ""),
        ("\u00e9", "\u00e9"),
        (b"\xc3\xa9", "\xc3\xa9"),
    ],
    ids=ascii,
)
def test_values_that_users_set(session: pooledhttp.Session, value: Any, expected: str) -> None:
    """Trailing white space is dropped, as it means nothing; the rest goes out as it is."""
    assert sent(session, "GET", headers={"X-Mine": value}).header("X-Mine") == expected


def test_order_and_case_of_fields(session: pooledhttp.Session) -> None:
    """Fields go out as the caller wrote them."""
    seen = sent(session, headers={"x-B": "1", "X-a": "2", "x-C": "3"}, data=b"x")
    mine = [name for name in seen.names() if name.lower().startswith("x-")]
    assert mine == ["x-B", "X-a", "x-C"]
    assert seen.names().count("Host") == 1


def test_host_of_the_users_choice(session: pooledhttp.Session) -> None:
    """A `Host` that was set goes out once."""
    seen = sent(session, "GET", headers={"Host": "elsewhere.example"})
    assert [value for name, value in seen.headers if name.lower() == "host"] == [
        "elsewhere.example"
    ]
