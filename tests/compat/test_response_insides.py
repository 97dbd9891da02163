"""Programs reach through `response.raw` for the socket, the head and the bytes as they arrive."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

import pooledhttp
from tests.support.certificates import Authority
from tests.support.scripted import (
    Gate,
    Peer,
    ScriptedServer,
    answering,
    chunked,
    once,
    respond,
)

TIMEOUT = 20

SOCKETS: dict[str, Callable[[Any], Any]] = {
    "connection": lambda raw: raw.connection.sock,
    "_connection": lambda raw: raw._connection.sock,
    "_fp": lambda raw: raw._fp.fp.raw._sock,
    "_original_response": lambda raw: raw._original_response.fp.raw._sock,
}


@contextmanager
def stream_of(http: ModuleType, data: bytes) -> Iterator[Any]:
    """A streamed response of a server that sends `data` and closes."""
    with ScriptedServer(once(data)) as server, http.Session() as session:
        with session.get(server.url(), stream=True, timeout=TIMEOUT) as response:
            yield response


@contextmanager
def live_stream(http: ModuleType, head: bytes, *events: bytes) -> Iterator[Any]:
    """A streamed response whose server sends one event after the other, each when asked for."""
    gates: list[Gate] = []

    def send(peer: Peer) -> None:
        peer.read_request()
        peer.send(head)
        for gate, event in zip(gates, events, strict=True):
            gate.wait()
            peer.send(event)
        peer.wait_closed()

    with ScriptedServer(send) as server, http.Session() as session:
        gates.extend(server.gate() for _ in events)
        with session.get(server.url(), stream=True, timeout=TIMEOUT) as response:
            yield response, gates


@pytest.mark.parametrize("way", SOCKETS)
def test_the_socket_is_found(http: ModuleType, way: str) -> None:
    """It tells the peer's address while the body is unread."""
    with stream_of(http, respond(b"hello")) as response:
        sock = SOCKETS[way](response.raw)
        assert sock.getpeername()[0] == "127.0.0.1"
        assert sock.fileno() == response.raw.fileno()
        assert response.content == b"hello"


@pytest.mark.parametrize("way", SOCKETS)
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 200)], ids=["HEAD", "204", "empty"]
)
def test_the_socket_of_a_response_without_body_is_found(
    http: ModuleType, way: str, method: str, status: int
) -> None:
    """Until the body that is not there has been read."""
    with ScriptedServer(once(respond(status=status))) as server, http.Session() as session:
        with session.request(method, server.url(), stream=True, timeout=TIMEOUT) as response:
            assert SOCKETS[way](response.raw).getpeername()[0] == "127.0.0.1"
            assert response.content == b""
            assert response.raw._connection is None
            with pytest.raises(RuntimeError):
                response.raw.shutdown()


@pytest.mark.parametrize("way", SOCKETS)
def test_the_certificate_is_found(http: ModuleType, authority: Authority, way: str) -> None:
    """Over TLS the socket is the one that speaks TLS."""
    with ScriptedServer(once(respond(b"ok")), tls=authority.server_context()) as server:
        url = server.url(host="localhost")
        options = {"stream": True, "timeout": TIMEOUT, "verify": authority.bundle}
        with http.Session() as session, session.get(url, **options) as response:
            sock = SOCKETS[way](response.raw)
            assert sock.getpeercert(binary_form=True)
            assert sock.version().startswith("TLS")
            assert sock.cipher()


def test_there_is_no_connection_when_the_body_is_read(http: ModuleType) -> None:
    """It may serve another response by then."""
    with stream_of(http, respond(b"hello")) as response:
        assert response.content == b"hello"
        assert response.raw.connection is None
        assert response.raw._connection is None


@pytest.mark.parametrize("name", ["connection", "_connection"])
def test_closing_the_connection_ends_the_body(http: ModuleType, name: str) -> None:
    """A program that wants no more closes it."""
    with live_stream(http, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") as (response, _):
        getattr(response.raw, name).close()
        response.close()


@pytest.mark.parametrize("reader", ["_fp", "_original_response"])
def test_events_are_read_as_they_arrive(http: ModuleType, reader: str) -> None:
    """`read1` of the buffered file returns what is there, and waits only for the first byte."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with live_stream(http, head, b"data: 1\n\n", b"data: 2\n\n") as (response, gates):
        file = getattr(response.raw, reader).fp
        for gate, event in zip(gates, (b"data: 1\n\n", b"data: 2\n\n"), strict=True):
            gate.open()
            assert file.read1(1024) == event


@pytest.mark.parametrize("reader", ["_fp", "_original_response"])
@pytest.mark.parametrize("data", [respond(b"one\ntwo"), chunked([b"on", b"e\ntwo"])])
def test_lines_are_read(http: ModuleType, reader: str, data: bytes) -> None:
    """As from any file, also across chunks."""
    with stream_of(http, data) as response:
        file = getattr(response.raw, reader)
        assert file.readline() == b"one\n"
        assert list(file) == [b"two"]
        assert file.readline() == b""


def test_a_timeout_that_a_program_sets_ends_with_the_body() -> None:
    """It holds for the rest of this body, and not for the next request of the connection."""
    with ScriptedServer(answering(respond(b"hello"))) as server, pooledhttp.Session() as session:
        for _ in range(2):
            with session.get(server.url(), stream=True, timeout=TIMEOUT) as response:
                sock = response.raw.connection.sock
                assert sock.gettimeout() == 0
                sock.settimeout(TIMEOUT)
                assert response.content == b"hello"
        assert len(server.connections) == 1


def test_events_can_be_looked_at_before_they_are_read(http: ModuleType) -> None:
    """`peek` takes nothing away from whatever reads next."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with live_stream(http, head, b"one\ntwo\n") as (response, gates):
        gates[0].open()
        file = response.raw._fp.fp
        assert file.peek(1) == b"one\ntwo\n"
        assert file.peek() == b"one\ntwo\n"
        assert file.readline() == b"one\n"
        assert response.raw._fp.peek() == b"two\n"
        assert response.raw.read(4) == b"two\n"


def test_a_chunked_body_is_read_without_its_framing() -> None:
    """There the file gives the body, where http.client's gives the sizes of the chunks too."""
    with stream_of(pooledhttp, chunked([b"data: 1\n\n", b"data: 2\n\n"])) as response:
        file = response.raw._fp.fp
        assert file.peek()
        found = b""
        while piece := file.read1(1024):
            found += piece
        assert found == b"data: 1\n\ndata: 2\n\n"


def test_whether_the_body_is_chunked(http: ModuleType) -> None:
    """Programs choose `read_chunked` or `stream` by it, and both work."""
    data = chunked([b"one", b"two"])
    with stream_of(http, data) as response:
        assert response.raw.chunked
        assert response.raw.supports_chunked_reads()
        assert list(response.raw.read_chunked()) == [b"one", b"two"]
    with stream_of(http, data) as response:
        assert list(response.raw.stream(1024)) == [b"one", b"two"]
    with stream_of(http, respond(b"onetwo")) as response:
        assert not response.raw.chunked
        assert b"".join(response.raw.stream(4)) == b"onetwo"


def test_a_wrapped_reader_of_a_chunked_body_is_read() -> None:
    """A library that watches the bytes wraps `_fp`; all of them pass through it."""

    class Watching:
        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self.seen = b""

        def read(self, amt: int | None = None) -> bytes:
            piece: bytes = self._inner.read(amt)
            self.seen += piece
            return piece

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    for read in (
        lambda raw: b"".join(raw.stream(4)),
        lambda raw: raw.read(),
    ):
        with stream_of(pooledhttp, chunked([b"one", b"two"])) as response:
            watching = response.raw._fp = Watching(response.raw._fp)
            assert read(response.raw) == watching.seen == b"onetwo"


def test_the_head_of_the_original_response(http: ModuleType) -> None:
    """It is asked as http.client's: names in any case, repeats joined, a default."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nhi"
    with stream_of(http, head) as response:
        original = response.raw._original_response
        assert original.getheader("x-a") == "1, 2"
        assert original.getheader("X-None") is None
        assert original.getheader("X-None", "default") == "default"
        assert original.getheaders() == [("Content-Length", "2"), ("X-A", "1"), ("X-A", "2")]
        assert original.headers.get_all("X-A") == original.msg.get_all("X-A") == ["1", "2"]
        assert original.info().get_all("X-A") == ["1", "2"]
        assert original.getcode() == original.status == 200


@pytest.mark.filterwarnings("ignore:A lease for")
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (respond(b"hello"), (5, False, False)),
        (respond(b"hello", {"Connection": "close"}), (5, False, True)),
        (respond(b"hello", length=None), (None, False, True)),
        (chunked([b"hello"]), (None, True, False)),
    ],
    ids=["length", "closes", "no-length", "chunked"],
)
def test_the_body_is_read_through_the_original_response(
    http: ModuleType, data: bytes, found: tuple[object, ...]
) -> None:
    """There it is http.client's response, which tells the framing and reads the body."""
    with stream_of(http, data) as response:
        original = response.raw._original_response
        assert (original.length, bool(original.chunked), bool(original.will_close)) == found
        assert not original.isclosed()
        assert original.read(2) + original.read() == b"hello"
        assert original.isclosed()


def test_what_was_made_keeps_nothing_alive() -> None:
    """A dropped response is reclaimed at once, whatever of it was looked at."""
    gc.disable()
    try:
        with ScriptedServer(once(respond(b"hello"))) as server, pooledhttp.Session() as session:
            response = session.get(server.url(), stream=True, timeout=TIMEOUT)
            for find in SOCKETS.values():
                find(response.raw)
            dropped = weakref.ref(response.raw)
            with pytest.warns(ResourceWarning, match="dropped without being ended"):
                del response
            assert dropped() is None
    finally:
        gc.enable()


STOPS: dict[str, Callable[[Any], None]] = {
    "raw.shutdown": lambda raw: raw.shutdown(),
    "socket, reading side": lambda raw: raw._connection.sock.shutdown(socket.SHUT_RD),
    "socket": lambda raw: raw.connection.sock.shutdown(socket.SHUT_RDWR),
}


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize(
    "data",
    [respond(b"first", length=100), chunked([b"first"], end=False)],
    ids=["length", "chunks"],
)
def test_another_thread_stops_a_stream(
    http: ModuleType, authority: Authority, data: bytes, how: str, has_tls: bool
) -> None:
    """The read that waits ends, as at a body that breaks off."""

    def send(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)
        peer.wait_closed()

    tls = authority.server_context() if has_tls else None
    with ScriptedServer(send, tls=tls) as server, http.Session() as session:
        options = {"stream": True, "timeout": TIMEOUT, "verify": authority.bundle}
        with session.get(server.url(host="localhost"), **options) as response:
            pieces = response.iter_content(5)
            assert next(pieces) == b"first"
            stopping = threading.Thread(target=STOPS[how], args=(response.raw,))
            stopping.start()
            with pytest.raises(http.exceptions.ChunkedEncodingError):
                next(pieces)
            stopping.join()


def test_there_is_nothing_to_stop_when_the_body_is_read(http: ModuleType) -> None:
    """The connection may serve another request by then."""
    with stream_of(http, respond(b"hello")) as response:
        assert response.content == b"hello"
        with pytest.raises(RuntimeError):
            response.raw.shutdown()
