"""Which steps a request takes: the slow ones only where something asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond
from tests.support.steps import steps_of

#: Steps whose result is kept, or that a plain GET does not need.
SLOW = {
    "manager": "adapters:HTTPAdapter.get_connection_with_tls_context",
    "destination": "transport.facade_settings:FacadeSettings._make_route",
    "fields": "http1.request_encoding:build_request",
    "check": "http1.h11_parser:check_head",
    "raw": "message.raw:RawResponse.__init__",
    "headers": "message.arrival:Arrival.make_headers",
    "elapsed": "message.response:Response._make_elapsed",
    "response": "adapters:HTTPAdapter.build_response",
    "redirects": "sessions:SessionRedirectMixin.resolve_redirects",
    "cookies": "cookies:extract_cookies_to_jar",
    "selection": "cookie_rules.selection:header_for",
    "policy": "cookie_rules.policy:SitePolicy.return_ok_domain",
    "url": "message.urls:_parse",
    "failure": "retry.attempts:Attempts._failed",
}


def answer(seen: SeenRequest) -> bytes:
    """Set a cookie, redirect or just respond, by the path."""
    if seen.target == "/cookie":
        return respond(b"body", {"Set-Cookie": "a=b; Path=/c"})
    if seen.target == "/redirect":
        return respond(b"", {"Location": "/"}, status=302)
    return respond(b"body")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answering(answer)) as running:
        yield running


class Overriding(HTTPAdapter):
    def build_response(self, req: Any, resp: Any) -> Any:
        return super().build_response(req, resp)


def of_a_get(server: ScriptedServer, path: str = "/", **how: Any) -> Callable[[Any], object]:
    return lambda session: session.get(server.url(path), timeout=20, **how).content


@pytest.mark.parametrize(
    ("path", "how", "asked"),
    [
        ("/", {}, set()),
        ("/", {"params": {"a": "1"}}, set()),
        ("/", {"headers": {"X": "1"}}, set()),
        ("/", {"auth": ("me", "secret")}, set()),
        ("/", {"cookies": {"a": "1"}}, {"selection"}),
        ("/cookie", {}, {"cookies", "selection"}),
        ("/redirect", {}, {"redirects", "headers", "raw"}),  # the body is drained from `raw`
    ],
)
def test_a_request_takes_the_slow_steps_it_asks_for(
    server: ScriptedServer, path: str, how: dict[str, Any], asked: set[str]
) -> None:
    """Of a request like one before, no other slow step runs."""
    with pooledhttp.Session(parser="h11") as session:
        call = of_a_get(server, path, **how)
        call(session)
        steps = steps_of(lambda: call(session))
    assert {name for name, step in SLOW.items() if step in steps} == asked


@pytest.mark.parametrize(
    ("read", "asked"),
    [
        (lambda response: response.raw, {"raw"}),
        (lambda response: response.headers, {"headers"}),
        (lambda response: response.encoding, set()),
        (lambda response: response.elapsed, {"elapsed"}),
        (lambda response: response.request.headers, set()),
        (lambda response: response.history, set()),
        (lambda response: response.cookies, set()),
    ],
)
def test_an_attribute_is_made_when_it_is_read(
    server: ScriptedServer, read: Callable[[Any], object], asked: set[str]
) -> None:
    """And no other one with it."""
    with pooledhttp.Session() as session:
        session.get(server.url("/"), timeout=20)
        steps = steps_of(lambda: read(session.get(server.url("/"), timeout=20)))
    assert {name for name, step in SLOW.items() if step in steps} == asked


def test_an_overridden_step_takes_the_whole_way(server: ScriptedServer) -> None:
    """An adapter that builds responses itself gets `raw`, and its method is called."""
    with pooledhttp.Session() as session:
        session.mount("http://", Overriding())
        session.get(server.url("/"), timeout=20)
        steps = steps_of(lambda: session.get(server.url("/"), timeout=20))
    assert SLOW["response"] in steps and SLOW["raw"] in steps


def test_changed_settings_of_a_session_are_seen(server: ScriptedServer) -> None:
    """Mutable settings are read for each request, whatever is kept of the one before."""
    with pooledhttp.Session() as session:
        session.get(server.url("/"), timeout=20)
        session.headers["X-Mine"] = "1"
        session.params["q"] = "2"
        session.cookies.set("c", "3")
        session.auth = ("me", "secret")
        session.get(server.url("/"), timeout=20)
        session.headers["X-Mine"] = "4"
        del session.params["q"]
        session.cookies.clear()
        session.auth = None
        session.get(server.url("/"), timeout=20)
    first, second = server.requests[-2:]
    assert (first.target, second.target) == ("/?q=2", "/")
    assert (first.header("X-Mine"), second.header("X-Mine")) == ("1", "4")
    assert (first.header("Cookie"), second.header("Cookie")) == ("c=3", None)
    assert first.header("Authorization") is not None and second.header("Authorization") is None


def test_the_request_of_a_response_has_what_was_sent(server: ScriptedServer) -> None:
    """Its fields are its own: changing them changes no later request."""
    with pooledhttp.Session() as session:
        first = session.get(server.url("/"), timeout=20)
        first.request.headers["X-Later"] = "1"
        session.get(server.url("/"), timeout=20)
    assert server.requests[-1].header("X-Later") is None


def test_cookies_of_a_response_are_read_by_the_request_that_was_sent(
    server: ScriptedServer,
) -> None:
    """Whatever becomes of the request, and of the jar of the session, before they are looked at."""
    with pooledhttp.Session() as session:
        response = session.get(server.url("/cookie"), timeout=20)
        response.request.url = "http://other.example/"
        response.request.headers["Host"] = "other.example"
        session.cookies.clear()
        (cookie,) = response.cookies
    assert (cookie.name, cookie.value, cookie.domain) == ("a", "b", "127.0.0.1")


def test_cookies_of_a_response_without_an_age_are_read_once(server: ScriptedServer) -> None:
    """The session stores them; those of the response are made when they are looked at."""
    with pooledhttp.Session() as session:
        session.get(server.url("/cookie"), timeout=20)
        steps = steps_of(lambda: session.get(server.url("/cookie"), timeout=20))
        both = steps_of(lambda: session.get(server.url("/cookie"), timeout=20).cookies)
    assert (steps[SLOW["cookies"]], both[SLOW["cookies"]]) == (1, 2)
