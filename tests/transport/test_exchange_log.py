"""The log `pooledhttp.transport`: what it says, what it hides, and its silence."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

import pooledhttp
from pooledhttp.transport.exchange_log import mask_secrets
from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, chunked, respond

LOG = "pooledhttp.transport"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log at DEBUG."""
    with caplog.at_level(logging.DEBUG, LOG):
        yield caplog


def lines(log: pytest.LogCaptureFixture, server: ScriptedServer) -> list[str]:
    """What was logged, with times and the origin replaced."""
    origin = server.url("").removesuffix("/")
    texts = [record.getMessage() for record in log.records if record.name == LOG]
    return [re.sub(r"[\d.]+ ms", "T ms", text).replace(origin, "ORIGIN") for text in texts]


def test_each_request_has_a_line(log: pytest.LogCaptureFixture) -> None:
    """A line for the connection, and one for each request with status, length, time and reuse."""
    replies = [respond(b"hello"), chunked([b"a"]), respond(status=404)]
    with ScriptedServer(answering(*replies)) as server, pooledhttp.Session() as session:
        for path in ("/a?page=2", "/b", "/c"):
            session.get(server.url(path))
        assert lines(log, server) == [
            "ORIGIN connected in T ms",
            'ORIGIN "GET /a?page=2 HTTP/1.1" 200 5 bytes in T ms (new)',
            'ORIGIN "GET /b HTTP/1.1" 200 chunked in T ms (reused)',
            'ORIGIN "GET /c HTTP/1.1" 404 0 bytes in T ms (reused)',
        ]


def test_a_connection_over_tls_names_its_version(
    log: pytest.LogCaptureFixture, authority: Authority
) -> None:
    """The version of TLS is shown, and whether the handshake was a resumed one."""
    close = {"Connection": "close"}
    context = authority.server_context("127.0.0.1")
    with ScriptedServer(answering(respond(b"x", close)), tls=context) as server:
        with pooledhttp.Session() as session:
            session.verify = str(authority.bundle)
            for _ in range(2):
                session.get(server.url("/"))
        opened = [line for line in lines(log, server) if "connected" in line]
        assert opened == [
            "ORIGIN connected in T ms (TLSv1.3)",
            "ORIGIN connected in T ms (TLSv1.3, resumed)",
        ]


def test_a_failure_and_a_replay_have_lines(log: pytest.LogCaptureFixture) -> None:
    """A dead kept connection is a replay; a second death is a failure with its class."""

    def dies_second(peer: Peer) -> None:
        if peer is server.connections[0]:
            peer.read_request()
            peer.send(respond(b"x"))
        peer.read_request()
        peer.close()

    with ScriptedServer(dies_second) as server, pooledhttp.Session() as session:
        session.get(server.url("/"))
        with pytest.raises(pooledhttp.ConnectionError):
            session.get(server.url("/"))
        assert lines(log, server)[2:] == [
            "ORIGIN closed a kept connection; GET is sent again on a new one",
            "ORIGIN connected in T ms",
            'ORIGIN "GET / HTTP/1.1" failed after T ms: ConnectionBroken',
        ]


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Credentials of the URL, header fields and secrets of the query stay out of every log."""
    with ScriptedServer(answering(respond(b"x"))) as server, pooledhttp.Session() as session:
        url = server.url("/x?access_token=SECRET&page=1").replace("://", "://user:SECRET@")
        with caplog.at_level(logging.DEBUG):
            session.get(url, headers={"X-Key": "SECRET"}, cookies={"c": "SECRET"})
        assert "SECRET" not in caplog.text
        assert "/x?access_token=***&page=1" in caplog.text


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/a", "/a"),
        ("/a?key=1&keys=2", "/a?key=***&keys=2"),
        ("/a?API-Key=1", "/a?API-Key=***"),
        ("/a?x=1&X-Amz-Signature=ab&X-Amz-Date=2", "/a?x=1&X-Amz-Signature=***&X-Amz-Date=2"),
        ("/a?password=&code=1", "/a?password=&code=***"),
        ("http://h/a?sig=1;sid=2", "http://h/a?sig=***;sid=***"),
    ],
)
def test_secrets_of_a_query_are_masked(target: str, shown: str) -> None:
    """Values go whose names tell of a secret, in any case; the names and other values stay."""
    assert mask_secrets(target) == shown


def test_nothing_is_formatted_while_the_log_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off means that no line is made, not that it is made and dropped."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a line was made")

    for name in ("log_opened", "log_response", "log_failed", "log_replay"):
        monkeypatch.setattr(f"pooledhttp.transport.transport.{name}", fail)
    with ScriptedServer(answering(respond(b"x"))) as server, pooledhttp.Session() as session:
        assert session.get(server.url("/")).content == b"x"
