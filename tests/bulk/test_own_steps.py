"""Sessions that override steps of a request: a run's requests go through them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.own_steps import has_own_steps
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

URLS = 40


class ByRequest:
    """Signs as the classes of requests-oauthlib do: in `request`, with fields that it is given."""

    def request(self, method: str, url: str, headers: Any = None, **settings: Any) -> Any:
        headers = headers or {}
        headers["X-Signed"] = url
        return super().request(method, url, headers=headers, **settings)  # type: ignore[misc]


class BySend:
    """Signs what is prepared, redirects included."""

    def send(self, request: Any, **settings: Any) -> Any:
        request.headers["X-Signed"] = request.url
        return super().send(request, **settings)  # type: ignore[misc]


class ByPreparing:
    """Signs by what a session of its class has."""

    key = "X-Signed"

    def prepare_request(self, request: Any) -> Any:
        prepared = super().prepare_request(request)  # type: ignore[misc]
        prepared.headers[self.key] = prepared.url
        return prepared


class ByAdapter:
    """Chooses the adapter by itself."""

    def get_adapter(self, url: str) -> Any:
        adapter = super().get_adapter(url)  # type: ignore[misc]
        return _Signing(adapter)


class _Signing:
    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def send(self, request: Any, **settings: Any) -> Any:
        request.headers["X-Signed"] = request.url
        return self.adapter.send(request, **settings)


KINDS: dict[str, Callable[[], Any]] = {
    f"{base.__module__.partition('.')[0]}-{way.__name__}": type(way.__name__, (way, base), {})
    for base in (pooledhttp.Session, requests.Session)
    for way in (ByRequest, BySend, ByPreparing, ByAdapter)
}


def wrapped() -> Any:
    """A session whose `request` was replaced on the object itself."""
    session = pooledhttp.Session()
    send = session.request

    def request(method: str, url: str, **settings: Any) -> Any:
        settings["headers"] = {**(settings.get("headers") or {}), "X-Signed": url}
        return send(method, url, **settings)

    session.request = request  # type: ignore[method-assign, assignment]
    return session


KINDS["wrapped"] = wrapped


@pytest.fixture(params=KINDS)
def session(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session that signs its requests."""
    with KINDS[request.param]() as made:
        yield made


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """It sends what was signed, after a redirect for some."""

    def answer(seen: SeenRequest) -> bytes:
        number = int(seen.target.rpartition("/")[2])
        if seen.target.startswith("/from/"):
            return respond(b"", {"Location": f"/{number}"}, status=302)
        return respond((seen.header("X-Signed") or "not signed").encode())

    with ScriptedServer(answering(answer)) as running:
        yield running


def test_each_request_of_a_run_is_signed(
    session: Any, server: ScriptedServer, tmp_path: Path
) -> None:
    """In memory and to files; on threads, and the results say why."""
    urls = [server.url(f"/{number}") for number in range(URLS)]
    headers = dict(session.headers)
    with bulk.fetch(urls, session, jobs=8) as results:
        assert results.engine == "threads"
        assert "the session" in str(results.engine_reason)
        signed = {result.url: result.response.text for result in results if result.response}
    assert signed == {url: url for url in urls}
    with bulk.download(urls, tmp_path, session, jobs=8) as files:
        for result in files:
            assert result.ok and result.path is not None, result.problem
            assert result.path.read_text() == result.url
    assert dict(session.headers) == headers
    assert session.get(urls[0]).text == urls[0], "the session of the caller is as it was"


def test_who_insists_on_the_loop_gets_an_error(session: Any) -> None:
    """As for all that may block."""
    pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")
    with pytest.raises(ValueError, match="the session"):
        bulk.fetch([], session, engine="loop")


@pytest.mark.parametrize("base", [pooledhttp.Session, requests.Session])
def test_redirects_go_through_it(base: type, server: ScriptedServer) -> None:
    """Each hop."""
    session = type("Session", (BySend, base), {})()
    urls = [server.url(f"/from/{number}") for number in range(10)]
    with session, bulk.fetch(urls, session) as results:
        texts = {result.url: result.response.text for result in results if result.response}
    assert texts == {url: url.replace("/from", "") for url in urls}


def test_what_a_session_refers_to_is_shared(server: ScriptedServer) -> None:
    """A client that keeps tokens sees all requests, and the run has cookies of its own."""

    class Counting(pooledhttp.Session):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []
            self.threads: set[str] = set()

        def request(self, method: Any, url: Any, **settings: Any) -> Any:
            self.seen.append(url)
            self.threads.add(threading.current_thread().name)
            self.cookies.set("a", "b", domain="127.0.0.1")
            return super().request(method, url, **settings)

    urls = [server.url(f"/{number}") for number in range(10)]
    with Counting() as session:
        with bulk.fetch(urls, session, jobs=2) as results:
            assert all(result.ok for result in results)
        assert sorted(session.seen) == sorted(urls)
        assert "MainThread" not in session.threads
        assert not len(session.cookies)
        total = session.pool.stats().total
        assert total.created == 0, "the connections are those of the run"


def test_limits_of_the_run_hold(server: ScriptedServer) -> None:
    """The copy sends over the adapters of the run: one request at a time."""
    session = type("Session", (ByRequest, pooledhttp.Session), {})()
    urls = [server.url(f"/{number}") for number in range(20)]
    with session, bulk.fetch(urls, session, jobs=8, per_host=1) as results:
        assert all(result.ok for result in results)
        assert results.stats().total.created == 1


@pytest.mark.parametrize(
    "made",
    [
        pooledhttp.Session,
        requests.Session,
        type("Other", (pooledhttp.Session,), {"colour": "blue", "close": lambda self: None}),
        object,
        HTTPAdapter,
    ],
)
def test_others_have_no_steps_of_their_own(made: Callable[[], object]) -> None:
    """Other methods and attributes do not matter."""
    assert not has_own_steps(made())
