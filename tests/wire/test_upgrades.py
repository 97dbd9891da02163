"""101, and 2xx to CONNECT: the socket belongs to the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

import pooledhttp
from pooledhttp import PoolConfig
from tests.support.scripted import Peer, ScriptedServer, answering, respond
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import prompt

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
ASK = {"Connection": "Upgrade", "Upgrade": "echo"}
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"

WAYS = {"upgrade": ("GET", ASK, SWITCH), "connect": ("CONNECT", {}, TUNNEL)}
ways = pytest.mark.parametrize(("method", "fields", "answer"), WAYS.values(), ids=WAYS)


def echoes(answer: bytes) -> Callable[[Peer], None]:
    """Switch, greet in the same packet, and echo what arrives."""

    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer + b"welcome")
        while data := peer.sock.recv(100):
            peer.send(data)

    return handle


@ways
def test_the_socket_is_handed_over(
    session: pooledhttp.Session, method: str, fields: dict[str, str], answer: bytes
) -> None:
    """Both ways, with the bytes that came behind the head."""
    with ScriptedServer([echoes(answer), answering(respond(b"x"))]) as server:
        response = session.request(method, server.url(), headers=fields, stream=True, timeout=5)
        reader = response.raw._fp
        assert response.raw.read(100) == b"welcome"
        assert reader.write(b"hello") == 5
        assert response.raw.read(100) == b"hello"
        sock = reader.fp.raw._sock
        assert sock.fileno() == response.raw.fileno()
        response.close()
        assert sock.fileno() == -1
        assert session.get(server.url(), timeout=5).content == b"x"
        session.close()


@ways
@pytest.mark.parametrize("timeout", [None, 5], ids=["no-timeout", "timeout"])
def test_the_socket_waits_for_a_program_on_threads(
    session: pooledhttp.Session,
    method: str,
    fields: dict[str, str],
    answer: bytes,
    timeout: float | None,
) -> None:
    """`recv` waits as long as the read timeout, until the program sets its own."""

    def answers_late(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)
        threading.Event().wait(0.05)
        peer.send(b"late")
        peer.wait_closed()

    with ScriptedServer(answers_late) as server:
        response = session.request(
            method, server.url(), headers=fields, stream=True, timeout=timeout
        )
        sock = response.raw._fp.fp.raw._sock
        assert sock.gettimeout() is None if timeout is None else 0 < sock.gettimeout() <= timeout
        assert sock.recv(100) == b"late"
        sock.settimeout(0.01)
        assert response.raw._fp.fp.raw._sock.gettimeout() == 0.01
        response.close()


@ways
def test_who_does_not_stream_is_not_kept_waiting(
    session: pooledhttp.Session, method: str, fields: dict[str, str], answer: bytes
) -> None:
    """A switch has no body to be read: the connection is closed and the status told."""
    with ScriptedServer(echoes(answer)) as server, prompt():
        response = session.request(method, server.url(), headers=fields, timeout=5)
        assert response.content == b""
        assert response.status_code in (101, 200)
        server.wait_all_closed()
        session.close()


@ways
def test_who_iterates_is_not_kept_waiting(
    session: pooledhttp.Session, method: str, fields: dict[str, str], answer: bytes
) -> None:
    """Nor is a caller that did not ask for the switch: there is no body to iterate over."""
    with ScriptedServer(echoes(answer)) as server, prompt():
        response = session.request(method, server.url(), headers=fields, stream=True, timeout=5)
        assert list(response.iter_content(10)) == []
        assert session.pool.stats().total.active == 0
        server.wait_all_closed()


@ways
def test_a_quiet_or_broken_peer_is_an_error_of_urllib3(
    method: str, fields: dict[str, str], answer: bytes
) -> None:
    """`raw` raises what it raises for bodies, and no bare `TimeoutError` or `OSError`."""
    runtime = SkippingRuntime()

    def quiet(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)
        runtime.stay_silent(peer)

    def breaks(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)
        peer.sock.recv(1)
        peer.reset()

    with ScriptedServer([quiet, breaks]) as server, pooledhttp.Session(runtime=runtime) as session:
        for error in (ReadTimeoutError, ProtocolError):
            response = session.request(method, server.url(), headers=fields, stream=True, timeout=5)
            response.raw._fp.write(b"?")
            with pytest.raises(error):
                response.raw.read(100)
            response.close()


@ways
def test_a_refused_switch_is_an_answer_as_any(
    session: pooledhttp.Session, method: str, fields: dict[str, str], answer: bytes
) -> None:
    """A refused upgrade has a body, and the connection is reused."""
    with ScriptedServer(answering(respond(b"no", status=403))) as server:
        for _ in range(2):
            response = session.request(method, server.url(), headers=fields, timeout=5)
            assert (response.status_code, response.content) == (403, b"no")
        assert len(server.connections) == 1
        session.close()


@ways
def test_a_dropped_switch_is_closed(
    session: pooledhttp.Session, method: str, fields: dict[str, str], answer: bytes
) -> None:
    """A switched response that is dropped gives its slot back."""
    with ScriptedServer(echoes(answer)) as server:
        with pytest.warns(ResourceWarning):
            session.request(method, server.url(), headers=fields, stream=True, timeout=5)
        server.wait_all_closed()
        assert session.pool.stats().total.active == 0
        session.close()


@ways
def test_a_policy_that_retries_reads_does_not_wait_for_a_switched_one(
    method: str, fields: dict[str, str], answer: bytes
) -> None:
    """The bytes of another protocol are no body that could be read ahead."""
    with (
        ScriptedServer(echoes(answer)) as server,
        pooledhttp.Session(retries=pooledhttp.Retry(3)) as session,
        prompt(),
    ):
        response = session.request(method, server.url(), headers=fields, timeout=5)
        assert response.content == b""
        assert len(server.connections) == 1


@ways
def test_waiting_for_the_other_protocol_is_no_leak(
    method: str, fields: dict[str, str], answer: bytes
) -> None:
    """A quiet peer is waited for longer than `leak_threshold`, and the socket is in use."""

    def quiet(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)
        threading.Event().wait(0.3)
        session.pool.manager.connections.sweep()
        peer.send(b"at last")
        peer.wait_closed()

    config = PoolConfig(leak_threshold=0.1)
    with ScriptedServer(quiet) as server, pooledhttp.Session(pool=config) as session:
        response = session.request(method, server.url(), headers=fields, stream=True, timeout=5)
        assert response.raw.read(100) == b"at last"
        assert session.pool.stats().total.leaks == 0
        response.close()
