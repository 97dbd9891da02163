"""Plain GETs of a run: sent as the session sends them, and what makes the session send them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.auth import HTTPDigestAuth
from pooledhttp.bulk import direct
from pooledhttp.bulk.direct import DirectHost, DirectRequests
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.message import PreparedRequest
from pooledhttp.runtime import default_runtime
from pooledhttp.transport import WholeResponse
from tests.support.engines import engine
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

__all__ = ["engine"]


def serve(seen: SeenRequest) -> bytes:
    if seen.target == "/away":
        return respond(status=302, headers=[("Location", "/found"), ("Set-Cookie", "a=1; Path=/")])
    return respond(seen.target.encode())


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answering(serve)) as server:
        yield server


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of requests that were not left to the session."""
    targets: list[str] = []
    real = DirectHost.send

    def send(self: DirectHost, url: str, target: str, *args: Any, **settings: Any) -> Any:
        targets.append(target)
        return real(self, url, target, *args, **settings)

    def fetch(self: DirectHost, url: str, target: str, timeout: object) -> Any:
        found = fetch_small(self, url, target, timeout)
        if isinstance(found, WholeResponse):
            targets.append(target)
        return found

    fetch_small = DirectHost.fetch
    monkeypatch.setattr(DirectHost, "send", send)
    monkeypatch.setattr(DirectHost, "fetch", fetch)
    return targets


def plain(session: pooledhttp.Session) -> None:
    pass


def fields(session: pooledhttp.Session) -> None:
    session.headers["X-Mine"] = "1"
    session.headers["User-Agent"] = "me"
    session.headers["Cookie"] = "b=2"


def basic(session: pooledhttp.Session) -> None:
    session.auth = ("user", "word")


def cookies(session: pooledhttp.Session) -> None:
    session.cookies.set("a", "1")


def parameters(session: pooledhttp.Session) -> None:
    session.params = {"a": "1"}


def hooks(session: pooledhttp.Session) -> None:
    session.hooks["response"] = [lambda response, **_: response]


def signing(session: pooledhttp.Session) -> None:
    session.auth = HTTPDigestAuth("user", "word")


def calling(session: pooledhttp.Session) -> None:
    def sign(request: Any) -> Any:
        request.headers["X-Signed"] = request.url
        return request

    session.auth = sign


@pytest.mark.parametrize(
    ("settings", "is_direct"),
    [
        (plain, True),
        (fields, True),
        (basic, True),
        (cookies, False),
        (parameters, False),
        (hooks, False),
        (signing, False),
        (calling, False),
    ],
)
@pytest.mark.parametrize("is_download", [False, True])
def test_the_server_sees_the_same(
    server: ScriptedServer,
    sent: list[str],
    settings: Callable[[pooledhttp.Session], None],
    is_direct: bool,
    is_download: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Byte for byte; and what one URL has to do with the next one goes by the session."""
    urls = [server.url(f"/{number}") for number in range(3)]

    def run(folder: str) -> None:
        with pooledhttp.Session() as session:
            settings(session)
            if is_download:
                results: Any = bulk.download(urls, tmp_path / folder, session, jobs=1)
            else:
                results = bulk.fetch(urls, session, jobs=1)
            assert all(result.ok for result in results)

    run("direct")
    assert len(sent) == (3 if is_direct else 0)
    for name in ("send", "fetch"):
        monkeypatch.setattr(DirectRequests, name, lambda *args, **settings: None)
    run("session")
    heads = [seen.head for seen in server.requests]
    assert heads[:3] == heads[3:]


def test_only_urls_in_their_final_form_are_direct(server: ScriptedServer, sent: list[str]) -> None:
    """Others are quoted, without their fragment and password, by the session."""
    urls = [
        server.url(end)
        for end in ("/plain?q=1&r=%20", "/a b", "/ä", "/x#part", "?q", "/d/../e", "/ok")
    ]
    urls.append(server.url("/secret").replace("://", "://user:word@"))
    assert all(result.ok for result in bulk.fetch(urls, jobs=1))
    assert sent == ["/plain?q=1&r=%20", "/ok"]
    assert [seen.target for seen in server.requests] == [
        "/plain?q=1&r=%20", "/a%20b", "/%C3%A4", "/x", "/?q", "/e", "/ok", "/secret",
    ]  # fmt: skip
    assert server.requests[-1].header("Authorization")


def test_redirects_are_followed_and_cookies_kept(server: ScriptedServer, sent: list[str]) -> None:
    """With the history of the response; the cookies go along with later requests."""
    urls = [server.url("/away"), server.url("/next")]
    results = list(bulk.fetch(urls, jobs=1, ordered=True))
    response = results[0].response
    assert response is not None and response.content == b"/found"
    assert [hop.status_code for hop in response.history] == [302]
    assert sent == ["/away"]
    assert [seen.header("Cookie") for seen in server.requests] == [None, "a=1", "a=1"]


def test_what_is_replaced_while_a_run_goes_on_is_called(
    server: ScriptedServer, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the next request on, and no longer than it is there."""
    session = OwnSession(None, None, default_runtime())

    def get(target: str) -> None:
        assert session.get(server.url(target), None, 5.0, stream=False).ok
        session.leave()

    try:
        get("/1")
        for owner, name in [
            (pooledhttp.Session, "send"),
            (HTTPAdapter, "add_headers"),
            (PreparedRequest, "prepare_headers"),
        ]:
            real = getattr(owner, name)
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, lambda *args, real=real, **more: real(*args, **more))
                get(f"/{name}")
            get(f"/after-{name}")
    finally:
        session.close()
    assert sent == ["/1", "/after-send", "/after-add_headers", "/after-prepare_headers"]


def test_what_was_found_out_holds_for_a_second(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the environment and the files are asked again."""
    now = [10.0]
    monkeypatch.setattr(direct, "monotonic", lambda: now[0])
    session = OwnSession(None, None, default_runtime())
    found: list[str] = []
    real = session._direct._find

    def find(url: str, *more: Any) -> Any:
        found.append(url)
        return real(url, *more)

    monkeypatch.setattr(session._direct, "_find", find)
    try:
        for moment in (10.0, 10.9, 11.0, 11.5, 12.1):
            now[0] = moment
            session.get(server.url(f"/{moment}"), None, 5.0, stream=False)
            session.leave()
    finally:
        session.close()
    assert [url.rpartition("/")[2] for url in found] == ["10.0", "11.0", "12.1"]
