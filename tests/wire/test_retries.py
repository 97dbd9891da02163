"""Retries: as often as allowed, never for what must not run twice or cannot be sent again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp.events import Event, RequestFinished, RetryScheduled
from pooledhttp.exceptions import (
    BodyTimeout,
    ChunkedEncodingError,
    ConnectionError,
    ConnectTimeout,
    ReadTimeout,
    RetryError,
    SSLError,
    UnrewindableBodyError,
)
from tests.support.certificates import Authority
from tests.support.scripted import Handler, Peer, ScriptedServer, answering, chunked, once, respond
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import names_origin, prompt

OK = answering(respond(b"fine"))
QUICK = {"backoff_factor": 0, "status_forcelist": [503]}

#: Servers that stall are given up at once, after a timeout no busy machine comes near.
RUNTIME = SkippingRuntime()

Policy = Callable[..., urllib3.Retry]
POLICIES: dict[str, Policy] = {"urllib3": urllib3.Retry, "ours": pooledhttp.Retry}

policies = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)


def dies(peer: Peer) -> None:
    """Read the request and close."""
    peer.read_request()
    peer.close()


def dies_in_the_head(peer: Peer) -> None:
    """Begin a response and close."""
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.close()


def resets(peer: Peer) -> None:
    """Read the request and reset."""
    peer.read_request()
    peer.reset()


def stalls(peer: Peer) -> None:
    """Read the request and send nothing."""
    peer.read_request()
    RUNTIME.stay_silent(peer)


def truncates(peer: Peer) -> None:
    """Send half a body and close."""
    peer.read_request()
    peer.send(respond(b"half", length=8))
    peer.close()


def truncates_chunks(peer: Peer) -> None:
    """Send half a chunked body and close."""
    peer.read_request()
    peer.send(chunked([b"half"], end=False))
    peer.close()


def stalls_in_the_body(peer: Peer) -> None:
    """Send half a body and keep the connection open."""
    peer.read_request()
    peer.send(respond(b"half", length=8))
    RUNTIME.stay_silent(peer)


def speaks_rubbish(peer: Peer) -> None:
    """Send something that is not HTTP."""
    peer.read_request()
    peer.send(b"rubbish\r\n")
    peer.wait_closed()


BUSY = once(respond(b"busy", {"Connection": "close"}, status=503))

FAILURES: dict[str, Handler] = {
    "dies": dies,
    "dies-in-the-head": dies_in_the_head,
    "resets": resets,
    "stalls": stalls,
    "truncates": truncates,
    "truncates-chunks": truncates_chunks,
    "stalls-in-the-body": stalls_in_the_body,
    "rubbish": speaks_rubbish,
    "busy": BUSY,
}


def session_with(policy: urllib3.Retry, **how: Any) -> pooledhttp.Session:
    return pooledhttp.Session(retries=policy, runtime=RUNTIME, **how)


@policies
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_safe_methods_are_tried_again(policy: Policy, method: str, failure: Handler) -> None:
    """Two failures of any kind, then a response; a truncated body counts as a failure."""
    with ScriptedServer([failure, failure, OK]) as server:
        with session_with(policy(3, **QUICK)) as session, prompt():
            data = b"x" if method == "PUT" else None
            answer = session.request(method, server.url(), data=data, timeout=5)
        has_body_to_fail = method != "HEAD" or failure not in (
            truncates,
            truncates_chunks,
            stalls_in_the_body,
        )
        if has_body_to_fail:
            assert answer.content == (b"" if method == "HEAD" else b"fine")
            assert len(answer.raw.retries.history) == 2
            assert len(server.requests) == 3


@policies
@pytest.mark.parametrize(
    "settings", [{}, {"other": 3}, {"read": 3}, {"connect": 3}, {"status": 3}], ids=str
)
@pytest.mark.parametrize("failure", [f for f in FAILURES.values() if f is not BUSY])
def test_a_post_is_executed_once(
    policy: Policy, failure: Handler, settings: dict[str, int]
) -> None:
    """Once it may have been read, a POST is reported and never sent again."""
    with ScriptedServer([failure]) as server:
        with session_with(policy(3, **settings, **QUICK)) as session, prompt():
            with pytest.raises(pooledhttp.RequestException) as caught:
                session.post(server.url(), data=b"pay", timeout=5)
            names_origin(caught.value, server)
        assert len(server.requests) == 1
        assert server.unexpected == 0


@policies
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (truncates, ChunkedEncodingError),
        (truncates_chunks, ChunkedEncodingError),
        (stalls_in_the_body, BodyTimeout),
    ],
    ids=["truncates", "truncates-chunks", "stalls"],
)
@pytest.mark.parametrize("retries", [0, 3])
def test_a_body_that_is_not_read_again_fails_as_without_a_policy(
    policy: Policy, failure: Handler, error: type[Exception], retries: int
) -> None:
    """The policy lets no POST be sent again, so it changes nothing about the error."""
    with ScriptedServer(failure) as server:
        with session_with(policy(retries, **QUICK)) as session, prompt():
            with pytest.raises(error) as caught:
                session.post(server.url(), data=b"pay", timeout=5)
            assert caught.value.__cause__ is caught.value.args[0]
            names_origin(caught.value, server)
        assert len(server.requests) == 1


@policies
@pytest.mark.parametrize("allowed", [None, ["POST"]])
def test_a_post_the_caller_allows(policy: Policy, allowed: list[str] | None) -> None:
    """`allowed_methods` says that it may run twice."""
    with ScriptedServer([dies, OK]) as server:
        with session_with(policy(3, allowed_methods=allowed, **QUICK)) as session:
            assert session.post(server.url(), data=b"x", timeout=5).content == b"fine"
        assert [seen.body for seen in server.requests] == [b"x", b"x"]


@policies
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (dies, ConnectionError),
        (resets, ConnectionError),
        (stalls, ConnectionError),
        (truncates, ChunkedEncodingError),
        (truncates_chunks, ChunkedEncodingError),
        (stalls_in_the_body, BodyTimeout),
        (BUSY, RetryError),
    ],
    ids=["dies", "resets", "stalls", "truncates", "truncates-chunks", "stalls-in-body", "busy"],
)
def test_giving_up(policy: Policy, failure: Handler, error: type[Exception]) -> None:
    """The class is that of the last failure; urllib3's MaxRetryError with it is the cause."""
    with ScriptedServer([failure] * 3) as server:
        with session_with(policy(2, **QUICK)) as session, prompt():
            with pytest.raises(error) as caught:
                session.get(server.url("/path"), timeout=5)
        cause = caught.value.args[0]
        assert isinstance(cause, urllib3.exceptions.MaxRetryError)
        assert cause.reason is not None
        assert str(cause).startswith(f"HTTPConnectionPool(host='127.0.0.1', port={server.port}): ")
        assert "Max retries exceeded with url: /path" in str(cause)
        assert len(server.requests) == 3


@policies
def test_no_policy_at_all(policy: Policy) -> None:
    """Without retries the error is not wrapped."""
    with ScriptedServer(stalls) as server, session_with(policy(0, read=False)) as session:
        with pytest.raises(ReadTimeout):
            session.get(server.url(), timeout=5)
    with ScriptedServer(dies) as server, pooledhttp.Session() as session:
        with pytest.raises(ConnectionError, match="Connection aborted"):
            session.get(server.url(), timeout=5)
        assert len(server.requests) == 1


@policies
def test_refused_connections_are_tried_again(policy: Policy) -> None:
    """A request that was never sent may be retried, also a POST."""
    events: list[Event] = []
    with ScriptedServer(OK) as server:
        server.refuse()
        with session_with(policy(3, backoff_factor=0), listeners=[events.append]) as session:
            with prompt(), pytest.raises(ConnectionError, match="Max retries"):
                session.post(server.url(), data=b"x", timeout=5)
    assert sum(isinstance(event, RetryScheduled) for event in events) == 3


@policies
def test_tls_failures_are_not_a_reason_to_weaken(policy: Policy, authority: Authority) -> None:
    """Each attempt verifies; the last failure is an SSLError."""
    context = authority.server_context("other.example")
    with ScriptedServer(OK, tls=context) as server:
        with session_with(policy(1, **QUICK)) as session, pytest.raises(SSLError):
            session.get(server.url(), verify=authority.bundle, timeout=5)
        assert server.requests == []


@policies
def test_connect_timeouts_count(policy: Policy) -> None:
    """A handshake that stalls is tried again, then a ConnectTimeout."""
    with ScriptedServer(RUNTIME.stay_silent) as server:
        with session_with(policy(1, **QUICK)) as session, prompt():
            with pytest.raises(ConnectTimeout):
                session.get(f"https://127.0.0.1:{server.port}/", timeout=5)
        assert len(server.connections) == 2


def generator() -> Iterator[bytes]:
    yield b"first"
    yield b"second"


@policies
@pytest.mark.parametrize("failure", [dies, BUSY], ids=["dies", "busy"])
@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (lambda: b"bytes", b"bytes"),
        (lambda: io.BytesIO(b"a file"), b"a file"),
        (generator, None),
    ],
    ids=["bytes", "file", "generator"],
)
def test_the_whole_body_or_none(
    policy: Policy, failure: Handler, body: Any, whole: bytes | None
) -> None:
    """A body is sent again from its start; one that is used up is not sent again as nothing."""
    with ScriptedServer([failure, OK]) as server:
        with session_with(policy(3, **QUICK)) as session, prompt():
            if whole is not None:
                assert session.put(server.url(), data=body(), timeout=5).content == b"fine"
            else:
                with pytest.raises(UnrewindableBodyError, match="cannot be read from the start"):
                    session.put(server.url(), data=body(), timeout=5)
        assert [seen.body for seen in server.requests] == (
            [whole, whole] if whole else [b"firstsecond"]
        )


@policies
def test_a_streamed_answer_is_not_read_ahead(policy: Policy) -> None:
    """With `stream=True` a truncation is an error for the reader."""
    with ScriptedServer([truncates]) as server, session_with(policy(3, **QUICK)) as session:
        answer = session.get(server.url(), stream=True, timeout=5)
        with pytest.raises(ChunkedEncodingError):
            answer.content  # noqa: B018
        assert len(server.requests) == 1


@policies
def test_the_connection_of_a_refused_answer_is_used_again(policy: Policy) -> None:
    """The body of a 503 is drained, so that the next attempt needs no dial."""
    busy, fine = respond(b"busy" * 100, status=503), respond(b"fine")
    with ScriptedServer(answering(busy, busy, fine)) as server:
        with session_with(policy(3, **QUICK)) as session:
            assert session.get(server.url(), timeout=5).content == b"fine"
        assert len(server.connections) == 1


@policies
def test_the_last_answer_can_be_wanted(policy: Policy) -> None:
    """`raise_on_status=False` gives the last 503, body and all."""
    with ScriptedServer(answering(respond(b"busy", status=503))) as server:
        with session_with(policy(2, raise_on_status=False, **QUICK)) as session:
            answer = session.get(server.url(), timeout=5)
        assert (answer.status_code, answer.content) == (503, b"busy")
        assert len(server.requests) == 3


@policies
def test_a_total_of_none_leaves_it_to_the_other_counts(policy: Policy) -> None:
    """`total=None, read=2` retries a truncated body, too."""
    with ScriptedServer([truncates, dies, OK]) as server:
        with session_with(policy(None, read=2, connect=0)) as session, prompt():
            assert session.get(server.url(), timeout=5).content == b"fine"


@pytest.mark.parametrize("value", ["soon", "-1", "1e9999", "99999999999999999999", "", "nan"])
def test_an_unreadable_retry_after(value: str) -> None:
    """An invalid `Retry-After` neither fails a request nor makes it sleep forever."""
    busy = respond(b"", {"Retry-After": value}, status=503)
    policy = pooledhttp.Retry(1, max_retry_after=0.01, **QUICK)
    with ScriptedServer(answering(busy, respond(b"fine"))) as server:
        with session_with(policy) as session, prompt():
            assert session.get(server.url(), timeout=5).content == b"fine"


def test_a_broken_connection_after_reuse_takes_no_retry() -> None:
    """The replay of a stale connection is no retry: the history stays empty."""

    def goes(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        peer.sock.recv(1)
        peer.reset()

    with ScriptedServer([goes, OK]) as server:
        with session_with(pooledhttp.Retry(3)) as session:
            session.get(server.url(), timeout=5)
            answer = session.get(server.url(), timeout=5)
        assert answer.content == b"fine"
        assert answer.raw.retries.history == ()


def test_finished_requests_are_told() -> None:
    """A listener gets one event for each request: how it ended and how long it took."""
    events: list[Event] = []
    with ScriptedServer([BUSY, dies]) as server:
        with pooledhttp.Session(listeners=[events.append]) as session:
            session.get(server.url(), timeout=5)
            with pytest.raises(ConnectionError):
                session.post(server.url(), data=b"x", timeout=5)
    finished = [event for event in events if isinstance(event, RequestFinished)]
    assert [(e.method, e.status, e.error) for e in finished] == [
        ("GET", 503, None),
        ("POST", None, "ConnectionError"),
    ]
    assert {event.origin for event in finished} == {f"http://127.0.0.1:{server.port}"}
    assert all(0 < event.seconds < 5 for event in finished)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_refused_answer_without_end_is_not_waited_for(announced: bool, stream: bool) -> None:
    """Its connection is closed, where a small body is read to keep it."""

    def endless(peer: Peer) -> None:
        peer.read_request()
        framing = "Content-Length: 9999999" if announced else "Transfer-Encoding: chunked"
        peer.send(f"HTTP/1.1 503 Busy\r\n{framing}\r\n\r\n".encode())
        piece = b"x" * 1000 if announced else b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        for _ in range(0 if announced else 100_000):
            peer.send(piece)
        peer.wait_closed()

    with (
        ScriptedServer([endless, OK]) as server,
        pooledhttp.Session(retries=pooledhttp.Retry(1, **QUICK)) as session,
        prompt(),
    ):
        assert session.get(server.url(), timeout=30, stream=stream).content == b"fine"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_refused_answer_that_stalls_is_not_waited_for_long(stream: bool) -> None:
    """The body of a refused response is not waited for, even without a timeout."""

    def stalls_in_the_body(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"half", status=503, length=8))
        RUNTIME.stay_silent(peer)

    with (
        ScriptedServer([stalls_in_the_body, OK]) as server,
        session_with(pooledhttp.Retry(1, **QUICK)) as session,
        prompt(),
    ):
        assert session.get(server.url(), stream=stream).content == b"fine"


def test_a_file_that_cannot_go_back_leaves_the_error_of_the_connection() -> None:
    """A body that cannot be rewound is not replayed; the error is that of the connection."""

    class OneWay(io.BytesIO):
        is_sent = False

        def read(self, size: int | None = -1) -> bytes:
            self.is_sent = True
            return super().read(size)

        def seek(self, position: int, whence: int = 0) -> int:
            if self.is_sent:
                raise ValueError("closed meanwhile")
            return super().seek(position, whence)

    def answers_once(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"first"))
        dies(peer)

    with ScriptedServer(answers_once) as server, pooledhttp.Session() as session, prompt():
        assert session.get(server.url(), timeout=5).content == b"first"
        with pytest.raises(ConnectionError, match="without response"):
            session.put(server.url(), data=OneWay(b"x" * 10), timeout=5)
