"""The scripted server itself, since so much is judged by it."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, chunked, once, respond

GET = b"GET /x HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-b:2\r\n\r\n"


def _dial(server: ScriptedServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=10)


def test_requests_are_recorded_as_sent(no_fd_leak: None) -> None:
    """Names, values and their order are kept, and a body is read by its length."""
    with ScriptedServer(answering(respond(b"one"), respond(b"two"))) as server:
        with _dial(server) as sock:
            sock.sendall(GET)
            assert sock.recv(1000) == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
            sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            assert sock.recv(1000).endswith(b"two")
        server.wait_all_closed()
    first, second = server.requests
    assert (first.method, first.target, first.names()) == ("GET", "/x", ["Host", "X-B", "x-b"])
    assert first.header("x-B") == "1, 2"
    assert second.body == b"abc"


def test_chunked_bodies_in_both_directions() -> None:
    """A chunked upload is put together, a chunked response is written in chunks."""
    with ScriptedServer(once(chunked([b"ab", b"c"]))) as server, _dial(server) as sock:
        sock.sendall(
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n"
        )
        data = b"".join(iter(lambda: sock.recv(1000), b""))
        assert data.endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert server.requests[0].body == b"xyz"


def test_a_waiting_handler_does_not_hang_the_end() -> None:
    """Handlers blocked on their peer or a gate are released when the block ends."""

    def wait_for_more(peer: Peer) -> None:
        peer.read_request()

    with ScriptedServer(wait_for_more) as server, _dial(server):
        server.wait_for(lambda: server.open_count == 1)
    with ScriptedServer(lambda peer: gate.wait()) as server:
        gate = server.gate()
        with _dial(server):
            server.wait_for(lambda: server.open_count == 1)


def test_a_failed_assertion_in_a_handler_fails_the_test() -> None:
    """What a handler asserts counts, although it runs in another thread."""

    def wrong(peer: Peer) -> None:
        raise AssertionError("wrong")

    with (
        pytest.raises(AssertionError, match="wrong"),
        ScriptedServer(wrong) as server,
        _dial(server) as sock,
    ):
        sock.recv(1)


def test_connections_beyond_the_script_are_counted() -> None:
    """A script for one connection closes the second."""
    with ScriptedServer([once(respond(b"x"))]) as server:
        with _dial(server) as sock:
            sock.sendall(GET)
            assert sock.recv(1000).endswith(b"x")
        with _dial(server) as sock:
            assert sock.recv(1) == b""
        assert server.unexpected == 1


def test_resets_and_tls_ends(authority: Authority) -> None:
    """RST is an error for the client, and TLS ends with or without close_notify as scripted."""

    def reset_after_request(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with ScriptedServer(reset_after_request) as server, _dial(server) as sock:
        sock.sendall(GET)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    context = authority.client_context()
    script = [once(respond(b"x")), once(respond(b"x"), notify=False)]
    with ScriptedServer(script, tls=authority.server_context()) as server:
        for error in (None, ssl.SSLEOFError):
            with context.wrap_socket(_dial(server), server_hostname="localhost") as tls:
                tls.sendall(GET)
                assert tls.recv(1000)
                if error is None:
                    assert tls.recv(1000) == b""
                else:
                    tls.suppress_ragged_eofs = False
                    with pytest.raises(error):
                        tls.recv(1000)
