"""Request hooks: around each exchange, in order, in the caller's context, and never in its way."""

from __future__ import annotations

import contextvars
import http.client
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.events import (
    OutgoingRequest,
    RequestHook,
    RequestOutcome,
    add_request_hook,
    remove_request_hook,
)
from tests.support.scripted import Peer, ScriptedServer, answering, respond


class Recorder:
    """A hook that keeps what it was given."""

    def __init__(self) -> None:
        self.requests: list[OutgoingRequest] = []
        self.outcomes: list[RequestOutcome] = []

    def __call__(self, request: OutgoingRequest) -> Callable[[RequestOutcome], object]:
        self.requests.append(request)
        return self.outcomes.append

    @property
    def seen(self) -> list[tuple[int, int | None]]:
        pairs = zip(self.requests, self.outcomes, strict=True)
        return [(request.resends, outcome.status) for request, outcome in pairs]


def moved(path: str) -> bytes:
    return respond(status=302, headers={"Location": path})


def test_a_hook_sees_the_request_and_the_head() -> None:
    """Method, URL without credentials, fields, and then status, version, fields and time."""
    recorder = Recorder()
    with ScriptedServer(answering(respond(b"x", {"X-B": "c"}, status=404))) as server:
        with pooledhttp.Session(request_hooks=[recorder]) as session:
            url = server.url("/p?q=1#f").replace("://", "://user:pw@")
            session.post(url, data=b"body")
        (request,), (outcome,) = recorder.requests, recorder.outcomes
        assert (request.method, request.url) == ("POST", server.url("/p?q=1"))
        assert request.origin == server.url("").removesuffix("/")
        assert request.headers["content-length"] == "4"
        assert (outcome.status, outcome.version, outcome.error) == (404, "1.1", None)
        assert outcome.headers["x-b"] == "c"
        assert outcome.seconds > 0


def test_a_hook_may_change_fields_but_not_the_framing() -> None:
    """Added, changed and removed fields are what is sent; the caller's request stays as it was."""

    def hook(request: OutgoingRequest) -> None:
        request.headers.update({"X-New": "1", "x-a": "2", "Content-Length": "99", "Host": "else"})
        del request.headers["User-Agent"]

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pooledhttp.Session(request_hooks=[hook]) as session:
            response = session.post(server.url("/"), data=b"body", headers={"X-A": "1"})
        seen = server.requests[0]
        assert (seen.header("X-New"), seen.header("X-A"), seen.header("User-Agent")) == (
            "1",
            "2",
            None,
        )
        assert (seen.header("Content-Length"), seen.body) == ("4", b"body")
        assert "else" not in (seen.header("Host") or "")
        assert "X-New" not in response.request.headers


def test_hooks_are_nested_and_run_in_the_context_of_the_caller() -> None:
    """The first hook begins first and ends last; context variables are those of the caller."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    log: list[str] = []

    def named(name: str) -> RequestHook:
        def hook(_: OutgoingRequest) -> Callable[[RequestOutcome], object]:
            log.append(f"{name} {variable.get()}")
            return lambda outcome: log.append(f"/{name} {variable.get()}")

        return hook

    variable.set("mine")
    add_request_hook(shared := named("process"))
    try:
        with ScriptedServer(answering(respond(b"x"))) as server:
            with pooledhttp.Session(request_hooks=[named("a"), named("b")]) as session:
                session.get(server.url("/"))
    finally:
        remove_request_hook(shared)
    order = ["process", "a", "b", "/b", "/a", "/process"]
    assert log == [f"{name} mine" for name in order]
    with pytest.raises(ValueError):
        remove_request_hook(shared)


def test_each_redirect_and_retry_is_an_exchange_of_its_own() -> None:
    """Hooks run for each attempt, are told which one it is, and leave no field behind."""
    recorder = Recorder()

    def once(request: OutgoingRequest) -> None:
        if not request.resends:
            request.headers["X-First"] = "1"

    replies = [moved("/b"), respond(status=503), respond(b"x")]
    retries = pooledhttp.Retry(2, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(answering(*replies)) as server:
        with pooledhttp.Session(request_hooks=[recorder, once], retries=retries) as session:
            prepared = session.prepare_request(pooledhttp.Request("GET", server.url("/a")))
            for _ in range(2):
                session.send(prepared)
        assert recorder.seen == [(0, 302), (1, 503), (2, 200), (0, 200)]
        firsts = [seen.header("X-First") for seen in server.requests]
        assert firsts == ["1", None, None, "1"]


def test_a_replay_belongs_to_its_exchange() -> None:
    """A dead kept connection is no outcome; the outcome says that there was a replay."""
    recorder = Recorder()

    def dies_second(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"x"))
        peer.read_request()
        peer.close()

    with ScriptedServer([dies_second, answering(respond(b"y"))]) as server:
        with pooledhttp.Session(request_hooks=[recorder]) as session:
            assert [session.get(server.url("/")).text for _ in range(2)] == ["x", "y"]
    assert [outcome.is_replayed for outcome in recorder.outcomes] == [False, True]


def test_an_error_is_an_outcome() -> None:
    """A request without a response ends with the error of the exchange."""
    recorder = Recorder()
    with ScriptedServer(answering()) as server:
        url = server.url("/")
    with pooledhttp.Session(request_hooks=[recorder]) as session:
        with pytest.raises(pooledhttp.ConnectionError):
            session.get(url)
    (outcome,) = recorder.outcomes
    assert (outcome.status, type(outcome.error).__name__) == (None, "DialError")


@pytest.mark.parametrize("fails_after", [False, True])
def test_a_hook_that_fails_is_logged(fails_after: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The request, and the other hooks, go on."""
    recorder = Recorder()

    def fail(*_: object) -> Any:
        raise RuntimeError("a bug in the hook")

    hook = (lambda request: fail) if fails_after else fail
    with ScriptedServer(answering(respond(b"x"))) as server:
        with pooledhttp.Session(request_hooks=[hook, recorder]) as session:
            assert session.get(server.url("/")).content == b"x"
    assert recorder.seen == [(0, 200)]
    assert "a bug in the hook" in caplog.text


def test_hooks_of_an_adapter_and_of_a_real_session() -> None:
    """An adapter brings hooks of its own, also to a session of requests."""
    import requests

    recorder = Recorder()
    with ScriptedServer(answering(respond(b"x"))) as server, requests.Session() as session:
        adapter: Any = HTTPAdapter(request_hooks=[recorder])
        session.mount("http://", adapter)
        session.get(server.url("/"))
    assert recorder.seen == [(0, 200)]


@pytest.mark.parametrize("hooks", [5, [5]])
def test_wrong_hooks_are_refused(hooks: Any) -> None:
    """The mistake is found where the session is made."""
    with pytest.raises(TypeError, match="request_hooks must be"):
        pooledhttp.Session(request_hooks=hooks)
    with pytest.raises(TypeError, match="request_hooks must be"):
        HTTPAdapter(request_hooks=hooks)


# ---- programs that patch http.client


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A tracer as they are written: it patches two methods of http.client's connection."""
    putrequest, getresponse = (
        http.client.HTTPConnection.putrequest,
        http.client.HTTPConnection.getresponse,
    )
    seen: list[str] = []

    def traced_put(self: Any, method: str, url: str, *args: Any, **options: Any) -> None:
        scheme = "https" if isinstance(self, http.client.HTTPSConnection) else "http"
        seen.append(f"{method} {scheme}://{self.host}:{self.port}{url}")
        putrequest(self, method, url, *args, **options)
        self.putheader("X-Trace", "1")
        self.putheader("baggage", "a=1")

    def traced_get(self: Any, *args: Any, **options: Any) -> Any:
        try:
            response = getresponse(self, *args, **options)
        except Exception as error:
            seen.append(type(error).__name__)
            raise
        seen.append(f"{response.status} {response.reason} {response.getheader('X-B')}")
        return response

    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", traced_put)
    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", traced_get)
    yield seen


def test_a_patched_http_client_sees_each_request(spans: list[str]) -> None:
    """Its methods run with the real host, status and fields, and its fields are sent."""
    reply = respond(b"x", {"X-B": "c"}, reason="Fine")
    with ScriptedServer(answering(moved("/b"), reply)) as server, pooledhttp.Session() as session:
        response = session.get(server.url("/a?q=1"), headers={"Baggage": "b=2"})
        assert response.content == b"x"
        assert spans == [
            f"GET {server.url('/a?q=1')}",
            "302 OK None",
            f"GET {server.url('/b')}",
            "200 Fine c",
        ]
        sent = [(seen.header("X-Trace"), seen.header("Baggage")) for seen in server.requests]
        assert sent == [("1", "b=2,a=1")] * 2


def test_a_patched_http_client_sees_errors(spans: list[str]) -> None:
    """The error of the exchange is raised by its getresponse, and to the caller as usual."""
    with ScriptedServer(answering()) as server:
        url = server.url("/")
    with pytest.raises(pooledhttp.ConnectionError) as caught:
        pooledhttp.get(url)
    assert spans == [f"GET {url}", "DialError"]
    assert "http_client_hook" not in str(caught.traceback)
