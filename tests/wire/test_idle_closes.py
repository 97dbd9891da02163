"""Connections that die while they are idle, and the one safe replay."""

from __future__ import annotations

import io
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

import pooledhttp
from pooledhttp.events import ConnectionOpened, Event, Replayed
from pooledhttp.exceptions import ConnectionError
from tests.support.certificates import Authority
from tests.support.scripted import (
    PATIENCE_SECONDS,
    Handler,
    Peer,
    ScriptedServer,
    answering,
    respond,
)
from tests.wire.tools import names_origin, prompt


def goes_after(end: Callable[[Peer], None]) -> Handler:
    """Respond to one request and end the connection."""

    def handle(peer: Peer) -> None:
        seen = peer.read_request()
        peer.send(respond(seen.target.encode()))
        end(peer)

    return handle


def goes_when_asked_again(peer: Peer) -> None:
    """Respond to one request, and end the connection when the next one arrives, unread."""
    seen = peer.read_request()
    peer.send(respond(seen.target.encode()))
    peer.sock.recv(1)
    peer.reset()


ENDINGS = {
    "fin": lambda peer: peer.close(),
    "rst": lambda peer: peer.reset(),
    "silent-fin": lambda peer: peer.close(notify=False),
}


def get_many(
    server: ScriptedServer, count: int, verify: object = None
) -> pooledhttp.pool.PoolStats:
    """GET one after the other; each gets its own response and was executed once."""
    with pooledhttp.Session() as session:
        for number in range(count):
            answer = session.get(server.url(f"/{number}"), timeout=5, verify=verify)
            assert answer.content == b"/%d" % number
        stats = session.pool.stats()
    assert Counter(seen.target for seen in server.requests).most_common(1)[0][1] == 1
    assert len(server.requests) == count
    return stats


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_server_that_closes_after_each_answer(
    authority: Authority, end: Callable[[Peer], None], tls: bool
) -> None:
    """Closing while idle costs a new connection, no error, and no request is executed twice."""
    context = authority.server_context() if tls else None
    with ScriptedServer(goes_after(end), tls=context) as server:
        get_many(server, 60, authority.bundle)


@pytest.mark.long
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_thousand_gets_over_connections_that_close(
    authority: Authority, end: Callable[[Peer], None], tls: bool
) -> None:
    """The same, 1,000 times."""
    context = authority.server_context() if tls else None
    with ScriptedServer(goes_after(end), tls=context) as server:
        get_many(server, 1_000, authority.bundle)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_that_closes_when_the_next_request_arrives(
    authority: Authority, tls: bool
) -> None:
    """A close that crosses a request leads to one replay on a new connection."""
    context = authority.server_context() if tls else None
    events: list[Event] = []
    with ScriptedServer(goes_when_asked_again, tls=context) as server:
        with pooledhttp.Session(listeners=[events.append]) as session:
            for number in range(40):
                answer = session.get(server.url(f"/{number}"), timeout=5, verify=authority.bundle)
                assert answer.content == b"/%d" % number
    # The learned limit makes the pool dial rather than take an old connection, sooner or later.
    assert sum(isinstance(event, Replayed) for event in events) >= 1
    assert sum(isinstance(event, ConnectionOpened) for event in events) <= 40


# ---- the replay


@pytest.fixture
def stale() -> Iterator[tuple[ScriptedServer, list[bytes]]]:
    """A server whose first connection reads its second request and closes without a response."""
    executed: list[bytes] = []

    def dies(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        executed.append(peer.read_request().body)
        peer.close()

    def serves(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            executed.append(seen.body)
            peer.send(respond(b"fresh"))

    with ScriptedServer([dies, serves]) as server:
        yield server, executed


def generator() -> Iterator[bytes]:
    yield b"spent"


class Pipe(io.RawIOBase):
    """A file that cannot go back."""

    def __init__(self) -> None:
        self._left = [b"piped"]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._left.pop() if self._left else b""


Stale = tuple[ScriptedServer, list[bytes]]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_idempotent_requests_are_replayed_once(stale: Stale, method: str) -> None:
    """A request that may run twice survives the death of its reused connection."""
    server, executed = stale
    with pooledhttp.Session() as session:
        session.get(server.url())
        assert session.request(method, server.url(), timeout=5).status_code == 200
    assert len(executed) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK", "get"])
def test_unsafe_requests_are_not(stale: Stale, method: str) -> None:
    """What must not run twice fails instead: with the origin in the message, at once."""
    server, executed = stale
    with pooledhttp.Session() as session:
        session.get(server.url())
        request = session.prepare_request(pooledhttp.Request("POST", server.url(), data=b"pay"))
        request.method = method
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.send(request, timeout=5)
        names_origin(caught.value, server)
        assert executed == [b"pay"]
        assert session.post(server.url(), data=b"again", timeout=5).content == b"fresh"
    assert executed == [b"pay", b"again"]


@pytest.mark.parametrize(
    "leaves",
    [bytes.fromhex("15030300020228"), bytes.fromhex("15030300020100"), b"rubbish in the clear"],
    ids=["fatal-alert", "close-alert", "rubbish"],
)
def test_a_tls_connection_that_ends_by_an_alert(
    session: pooledhttp.Session, authority: Authority, leaves: bytes
) -> None:
    """An alert of a TLS server that closes a reused connection leads to the replay."""

    def blurts(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        with socket.socket(fileno=peer.sock.detach()) as plain:
            plain.settimeout(PATIENCE_SECONDS)  # a detached socket has lost its own
            plain.recv(65536)
            plain.sendall(leaves)

    context = authority.server_context()
    with ScriptedServer([blurts, answering(respond(b"fresh"))], tls=context) as server:
        session.verify = authority.bundle
        session.get(server.url(), timeout=5)
        with prompt():
            assert session.get(server.url(), timeout=5).content == b"fresh"
        session.close()


def test_an_idempotency_key_makes_a_post_safe(stale: Stale) -> None:
    """The server said it recognises a repeated POST by its key."""
    server, executed = stale
    with pooledhttp.Session() as session:
        session.get(server.url())
        answer = session.post(
            server.url(), data=b"pay", headers={"Idempotency-Key": "1"}, timeout=5
        )
        assert answer.content == b"fresh"
    assert executed == [b"pay", b"pay"]


@pytest.mark.parametrize(
    ("replay", "method", "runs"), [("always", "POST", 2), ("off", "GET", 1), ("off", "POST", 1)]
)
def test_replay_can_be_chosen(stale: Stale, replay: str, method: str, runs: int) -> None:
    """`replay="always"` repeats a POST too, `"off"` nothing."""
    server, executed = stale
    with pooledhttp.Session(replay=replay) as session:
        session.get(server.url())
        if runs == 2:
            assert session.request(method, server.url(), data=b"x", timeout=5).ok
        else:
            with pytest.raises(ConnectionError):
                session.request(method, server.url(), data=b"x", timeout=5)
    assert executed == [b"x"] * runs


@pytest.mark.parametrize(
    ("body", "runs"),
    [
        (lambda: io.BytesIO(b"file"), [b"file", b"file"]),
        (lambda: [b"a", b"b"], [b"ab", b"ab"]),
        (lambda: b"bytes", [b"bytes", b"bytes"]),
        (lambda: "text", [b"text", b"text"]),
        (generator, [b"spent"]),
        (Pipe, [b"piped"]),
    ],
    ids=["file", "list", "bytes", "text", "generator", "pipe"],
)
def test_a_replay_sends_the_whole_body_or_is_not_made(
    stale: Stale, body: Callable[[], object], runs: list[bytes]
) -> None:
    """A body that is used up is never sent again as an empty one."""
    server, executed = stale
    with pooledhttp.Session() as session:
        session.get(server.url())
        request = session.prepare_request(pooledhttp.Request("PUT", server.url()))
        request.body = body()
        request.headers.pop("Content-Length", None)
        if len(runs) == 2:
            assert session.send(request, timeout=5).content == b"fresh"
        else:
            with pytest.raises(ConnectionError):
                session.send(request, timeout=5)
    assert executed == runs


def test_a_file_is_replayed_from_where_it_stood(stale: Stale) -> None:
    """The position the caller chose is the start."""
    server, executed = stale
    with pooledhttp.Session() as session:
        session.get(server.url())
        upload = io.BytesIO(b"skipped|sent")
        upload.seek(8)
        assert session.put(server.url(), data=upload, timeout=5).content == b"fresh"
    assert executed == [b"sent", b"sent"]


def test_the_replay_is_made_once(session: pooledhttp.Session) -> None:
    """A server that closes every connection gets two requests, and the caller an error."""

    def dies(peer: Peer) -> None:
        peer.read_request()
        peer.close()

    with ScriptedServer([goes_when_asked_again, dies]) as server:
        session.get(server.url())
        with pytest.raises(ConnectionError):
            session.get(server.url(), timeout=5)
        session.close()
        assert len(server.requests) == 2
        assert server.unexpected == 0


def test_no_replay_once_a_byte_of_the_answer_came(session: pooledhttp.Session) -> None:
    """A response that began and broke off is an error, and the request is not sent again."""

    def breaks_off(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        peer.close()

    with ScriptedServer([breaks_off]) as server:
        session.get(server.url())
        with pytest.raises(ConnectionError):
            session.get(server.url(), timeout=5)
        assert server.unexpected == 0
        session.close()


def test_no_replay_on_a_new_connection(session: pooledhttp.Session) -> None:
    """A new connection that is closed without a response is a failure, not a stale one."""

    def dies(peer: Peer) -> None:
        peer.read_request()
        peer.close()

    with ScriptedServer([dies]) as server:
        with pytest.raises(ConnectionError):
            session.get(server.url(), timeout=5)
        assert server.unexpected == 0
        session.close()


def test_a_408_sent_to_an_idle_connection_is_no_answer(session: pooledhttp.Session) -> None:
    """Servers say 408 before they close an idle connection; it belongs to no request."""

    def times_out(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        gate.wait()
        peer.send(
            respond(b"", status=408, reason="Request Timeout", headers={"Connection": "close"})
        )
        peer.close()
        done.open()

    with ScriptedServer([times_out, answering(respond(b"fresh"))]) as server:
        gate, done = server.gate(), server.gate()
        session.get(server.url())
        gate.open()
        done.wait()
        assert session.post(server.url(), data=b"x", timeout=5).content == b"fresh"
        session.close()


def test_keep_alive_hint_spares_a_post_the_edge(session: pooledhttp.Session) -> None:
    """With `Keep-Alive: timeout=1` a POST does not meet the close of the server."""

    def hinting(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            peer.send(respond(seen.body, {"Keep-Alive": "timeout=0"}))

    with ScriptedServer(hinting) as server:
        for _ in range(3):
            assert session.post(server.url(), data=b"x", timeout=5).content == b"x"
        session.close()
        assert len(server.connections) == 3


# ---- 408 Request Timeout

TIMED_OUT = respond(
    b"too slow", status=408, reason="Request Timeout", headers={"Connection": "close"}
)


def crosses(answer: bytes) -> list[Handler]:
    """A server that sends `answer` to the second request on its first connection, and closes."""

    def times_out(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        peer.sock.recv(1)
        peer.send(answer)
        peer.wait_closed()
        peer.close()

    return [times_out, answering(respond(b"fresh"))]


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GET", lambda: None),
        ("HEAD", lambda: None),
        ("DELETE", lambda: None),
        ("PUT", lambda: b"bytes"),
        ("PUT", lambda: io.BytesIO(b"file")),
        ("PUT", lambda: io.BytesIO(b"f" * 10_000_000)),
    ],
    ids=["get", "head", "delete", "put", "put-file", "put-big-file"],
)
def test_a_408_that_crosses_a_request_is_a_stale_connection(
    method: str, body: Callable[[], object]
) -> None:
    """The server timed the idle connection out as we wrote: the request goes over a new one."""
    events: list[Event] = []
    with ScriptedServer(crosses(TIMED_OUT)) as server:
        with pooledhttp.Session(listeners=[events.append]) as session:
            session.get(server.url())
            answer = session.request(method, server.url(), data=body(), timeout=5)
            assert answer.status_code == 200
            assert not answer.raw.retries.history
            stats = session.pool.stats()
        assert sum(isinstance(event, Replayed) for event in events) == 1
        assert stats.total.replays == 1
        assert [seen.method for seen in server.connections[1].requests] == [method]


def test_a_listener_that_is_added_later_hears_of_replays() -> None:
    """The transport and the pool share one list of listeners, also while it is empty."""
    events: list[Event] = []
    with ScriptedServer(crosses(TIMED_OUT)) as server, pooledhttp.Session() as session:
        session.get(server.url())
        session.pool.manager.listeners.add(events.append)
        assert session.get(server.url(), timeout=5).status_code == 200
    assert sum(isinstance(event, Replayed) for event in events) == 1


@pytest.mark.parametrize(
    ("method", "body", "answer"),
    [
        ("POST", lambda: b"pay", TIMED_OUT),
        ("PUT", generator, TIMED_OUT),
        ("GET", lambda: None, respond(b"too slow", status=408)),
        ("GET", lambda: None, TIMED_OUT.replace(b"408", b"503")),
    ],
    ids=["unsafe", "spent-body", "no-close", "another-status"],
)
def test_other_408s_are_answers(
    session: pooledhttp.Session, method: str, body: Callable[[], object], answer: bytes
) -> None:
    """The 408 is the response if no replay is possible, or the connection stays open."""
    with ScriptedServer(crosses(answer)) as server:
        session.get(server.url())
        got = session.request(method, server.url(), data=body(), timeout=5)
        assert (got.status_code, got.content) == (int(answer[9:12]), b"too slow")
        session.close()
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("replay", "method", "status"), [("always", "POST", 200), ("off", "GET", 408)]
)
def test_the_choice_of_replay_holds_for_408(replay: str, method: str, status: int) -> None:
    """`replay="always"` sends a POST again, `"off"` nothing."""
    with ScriptedServer(crosses(TIMED_OUT)) as server:
        with pooledhttp.Session(replay=replay) as session:
            session.get(server.url())
            assert session.request(method, server.url(), timeout=5).status_code == status


def test_a_408_on_a_new_connection_is_an_answer(session: pooledhttp.Session) -> None:
    """A new connection is not stale, so the caller gets the 408, also a second one."""

    def times_out(peer: Peer) -> None:
        peer.read_request()
        peer.send(TIMED_OUT)
        peer.close()

    with ScriptedServer([crosses(TIMED_OUT)[0], times_out, times_out]) as server:
        session.get(server.url())
        assert session.get(server.url(), timeout=5).status_code == 408
        assert len(server.connections) == 2
        assert session.get(server.url(), timeout=5).status_code == 408
        session.close()
        assert server.unexpected == 0
