"""The bytes that go out: the same request line, the same fields in the same order, the same body.

Servers, caches and signatures depend on these bytes. What differs on purpose is in
`docs/coming-from-requests.md` and in the last tests of this file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

import pooledhttp
from tests.support.scripted import ScriptedServer, answering, respond

TIMEOUT = 20

Call = Callable[[Any, str], Any]


def pieces() -> Iterator[bytes]:
    """A body of unknown length."""
    yield b"a"
    yield b""
    yield b"bc"


class Unsized:
    """A file-like body that does not tell its length."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(b"unsized")

    def read(self, amount: int = -1) -> bytes:
        return self._inner.read(amount)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._inner)


def on_session(http: Any, url: str) -> Any:
    """A call whose fields come from a session and from the call."""
    with http.Session() as session:
        session.headers.update({"Z": "1", "accept": "x/y", "Gone": "1"})
        session.params = {"s": "1"}
        session.auth = ("a", "b")
        session.cookies.set("k", "v")
        fields = {"Y": "2", "gone": None}
        return session.get(url + "/q", params={"t": "2"}, headers=fields, timeout=TIMEOUT)


def call(method: str, path: str = "/x", **arguments: Any) -> Call:
    """A call of `http.request`; arguments that are callables are called for each run."""

    def run(http: Any, url: str) -> Any:
        given = {k: v() if callable(v) else v for k, v in arguments.items()}
        return http.request(method, url + path, timeout=TIMEOUT, **given)

    return run


CALLS: dict[str, Call] = {
    "get": call("get"),
    "no path": call("get", ""),
    "query without path": call("get", "?a=b"),
    "head": call("head"),
    "options": call("options"),
    "options of all": call("options", "/*"),
    "delete": call("delete"),
    "own method": call("propfind"),
    "params": call("get", "/p?x=1", params={"a": "1 2", "b": ["x", "y"], "n": None, "ü": "é"}),
    "params as text": call("get", "/p", params="q=a b&ü"),
    "params as bytes": call("get", "/p", params=b"q=1"),
    "no params": call("get", "/p?", params={}),
    "put of nothing": call("put"),
    "patch": call("patch", data=b"zz"),
    "form": call("post", data={"a": "b c", "d": ["1", "2"]}),
    "form of pairs": call("post", data=[("a", "1"), ("a", "2")]),
    "text": call("post", data="ü"),
    "bytes": call("post", data=b"\x00"),
    "empty text": call("post", data=""),
    "json": call("post", json={"a": [1, 2.5, None, "ü"]}),
    "empty json": call("post", json={}),
    "json list": call("post", json=[]),
    "json number": call("post", json=0),
    "body of a get": call("get", data=b"body"),
    "json of a get": call("get", json={"a": 1}),
    "file": call("post", data=lambda: io.BytesIO(b"file")),
    "empty file": call("post", data=lambda: io.BytesIO(b"")),
    "text file": call("post", data=lambda: io.StringIO("text")),
    "unsized file": call("post", data=Unsized),
    "generator": call("post", data=pieces),
    "multipart": call("post", data={"f": "v"}, files={"up": ("n.txt", b"data", "text/plain")}),
    "multipart, ü": call("post", files={"up": ("ü.txt", b"data")}),
    "multipart, fields": call("post", files=[("up", ("n", "data", "text/plain", {"X-Part": "1"}))]),
    "host": call("get", headers={"A": "1", "Host": "other.test", "B": "2"}),
    "host as bytes": call("get", headers={"Host": b"other.test"}),
    "host and chunks": call("post", data=pieces, headers={"Host": "other.test"}),
    "own fields": call("get", headers={"X-B": "2", "x-a": "1", "USER-AGENT": "me"}),
    "fields as bytes": call("get", headers={b"X-B": b"2", "X-C": "é", "X-D": "é".encode()}),
    "fields taken away": call("get", headers={"Accept": None, "Connection": None}),
    "accept-encoding taken away": call("get", headers={"Accept-Encoding": None}),
    "user-agent skipped": call("get", headers={"User-Agent": "@@@SKIP_HEADER@@@"}),
    "identity": call("get", headers={"Accept-Encoding": "identity"}),
    "connection: close": call("get", headers={"Connection": "close"}),
    "own content-type": call("post", data={"a": "b"}, headers={"content-type": "text/x"}),
    "own type of json": call("post", json={"a": 1}, headers={"Content-Type": "x/y+json"}),
    "wrong length": call("post", data=b"abc", headers={"Content-Length": "99"}),
    "empty field": call("get", headers={"X-Empty": ""}),
    "tab in a field": call("get", headers={"X-Tab": "a\tb"}),
    "cookies": call("get", cookies={"a": "b", "c": "d e"}),
    "cookies and a field": call("get", headers={"Cookie": "x=y"}, cookies={"a": "b"}),
    "auth": call("get", auth=("user", "pä")),
    "session": on_session,
    "long path": call("get", "/" + "a" * 5000),
}

PATHS = (
    *("/%2f", "/%2F", "/a b", "/ü", "//double", "/a//b", "/%zz", "/%7Euser", "/a/../b", "/./a"),
    *("/a;p=1?q=1;2", "/?a=%20b+c", "/?q='x'", '/"<>', "/[x]", "/{y}", "/|", "/^`", "/a%", "/a%2"),
    *("/%c3%bc", "/?x=ü#ü", "/\\back", "/a?b?c", "/?", "/a#", "/a?#", "/:@!$&()*+,=", "/%25"),
    *("/é?é", "/a\tb", "/..", "/...", "/a/.", "/%41", "/%2e%2e/x", "/\u2028", "/ ", "/a\u00a0"),
)


def sent(http: Any, how: Call, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Heads and bodies that a server gets, with the port left out."""
    monkeypatch.setattr("urllib3.filepost.choose_boundary", lambda: "boundary")
    with ScriptedServer(answering(respond(b"ok"))) as server:
        how(http, f"http://127.0.0.1:{server.port}")
        port = str(server.port).encode()
        return [(seen.head.replace(port, b"PORT"), seen.body) for seen in server.requests]


@pytest.mark.parametrize("name", CALLS)
def test_calls_send_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Request line, fields in their order, body."""
    expected = sent(requests, CALLS[name], monkeypatch)
    assert sent(pooledhttp, CALLS[name], monkeypatch) == expected
    assert expected


@pytest.mark.parametrize("path", PATHS)
def test_urls_make_the_same_target(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent-encoding, case, dots and slashes are those of requests."""
    expected = sent(requests, call("get", path), monkeypatch)
    assert sent(pooledhttp, call("get", path), monkeypatch) == expected


def test_a_field_taken_away_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library underneath puts a `User-Agent` of its own there."""
    [(head, _)] = sent(pooledhttp, call("get", headers={"User-Agent": None}), monkeypatch)
    assert b"agent" not in head.lower()


def test_one_framing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a length and chunks only the one that is true goes out."""
    given = call("post", data=b"abc", headers={"Transfer-Encoding": "chunked"})
    [(head, body)] = sent(pooledhttp, given, monkeypatch)
    assert (b"Content-Length: 3\r\n" in head, b"Transfer-Encoding" in head) == (True, False)
    assert body == b"abc"
    known = call("post", data=pieces, headers={"Content-Length": "3"})
    [(head, body)] = sent(pooledhttp, known, monkeypatch)
    assert (b"Content-Length: 3\r\n" in head, b"Transfer-Encoding" in head) == (True, False)
    assert body == b"abc"


def test_text_in_memory_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A length in characters would cut the body short."""
    how = call("post", data=lambda: io.StringIO("tü"))
    [(head, body)] = sent(pooledhttp, how, monkeypatch)
    assert (b"Content-Length: 3\r\n" in head, body) == (True, "tü".encode())


def test_white_space_behind_a_value_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the value, and the value is sent."""
    [(head, _)] = sent(pooledhttp, call("get", headers={"X-Key": "key  "}), monkeypatch)
    assert b"X-Key: key\r\n" in head
