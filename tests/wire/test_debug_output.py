"""`http.client.HTTPConnection.debuglevel = 1` prints what it prints under requests."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import pytest
import requests

import pooledhttp
from tests.support.scripted import ScriptedServer, answering, respond


@pytest.fixture(autouse=True)
def _debuglevel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)


def pieces() -> Iterator[bytes]:
    yield b"one"
    yield b"three"


@pytest.mark.parametrize(
    "call",
    [
        {"method": "GET"},
        {"method": "POST", "data": b"body"},
        {"method": "POST", "data": {"a": "1"}},
        {"method": "POST", "data": pieces},
    ],
    ids=["get", "bytes", "form", "chunks"],
)
def test_the_same_lines_as_requests(
    call: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each write, the status line and each field of the response, in the same form."""
    shown = []
    with ScriptedServer(answering(respond(b"x", {"X-A": "b"}, reason="Fine"))) as server:
        for library in (requests, pooledhttp):
            options = {name: value() if callable(value) else value for name, value in call.items()}
            library.request(url=server.url("/p?q=1"), **options)  # type: ignore[attr-defined]
            shown.append(capsys.readouterr().out.splitlines())
    assert shown[0] == shown[1]
    assert any(line.startswith("send: b'") for line in shown[1])


def test_it_can_be_turned_off_between_two_requests(
    session: pooledhttp.Session,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The switch is read for each request, also on a kept connection."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        session.get(server.url("/"))
        assert "reply: 'HTTP/1.1 200 OK\\r\\n'" in capsys.readouterr().out
        monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 0)
        session.get(server.url("/"))
        assert capsys.readouterr().out == ""
