"""Each name that programs override or replace is called, also when that comes after a request.

A step whose result is known may be skipped, but only while it is the one that was defined here. So
each test makes a request first, then replaces one name, and counts its calls from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.scripted import ScriptedServer, answering, respond

OF_SESSION = (
    "request",
    "prepare_request",
    "merge_environment_settings",
    "send",
    "get_adapter",
    "resolve_redirects",
    "get_redirect_target",
)
OF_ADAPTER = (
    "send",
    "get_connection_with_tls_context",
    "build_connection_pool_key_attributes",
    "cert_verify",
    "request_url",
    "add_headers",
    "build_response",
)
OF_PREPARED = (
    "prepare",
    "prepare_method",
    "prepare_url",
    "prepare_headers",
    "prepare_cookies",
    "prepare_body",
    "prepare_content_length",
    "prepare_auth",
    "prepare_hooks",
    "register_hook",
)
#: Functions and classes that `sessions` calls by the names in it.
OF_SESSIONS = (
    "Request",
    "PreparedRequest",
    "merge_setting",
    "merge_hooks",
    "get_netrc_auth",
    "get_environ_proxies",
    "dispatch_hook",
    "preferred_clock",
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Responds to everything with 200 and a body."""
    with ScriptedServer(answering(respond(b"ok"))) as running:
        yield running


class Calls:
    """Counts the calls of what it wraps."""

    def __init__(self) -> None:
        self.count = 0

    def wrap(self, original: Any) -> Any:
        if isinstance(original, type):
            counted = {"__init__": self.wrap(original.__init__)}  # type: ignore[misc]
            return type(original.__name__, (original,), counted)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return original(*args, **kwargs)

        return wrapped


def names_and_kinds() -> Iterator[tuple[str, str, str]]:
    for name in OF_SESSION:
        for kind in ("subclass", "class", "instance"):
            yield "Session", name, kind
    for name in OF_ADAPTER:
        for kind in ("subclass", "class", "instance"):
            yield "HTTPAdapter", name, kind
    for name in OF_PREPARED:
        yield "PreparedRequest", name, "class"
    yield "Request", "__init__", "class"


@pytest.mark.parametrize(("owner", "name", "kind"), list(names_and_kinds()))
def test_a_replaced_method_is_called(
    http: ModuleType, server: ScriptedServer, owner: str, name: str, kind: str
) -> None:
    """Overridden in a subclass, patched on the class or set on the instance; then the original."""
    url, calls = server.url("/"), Calls()
    cls = getattr(http.adapters if owner == "HTTPAdapter" else http, owner)
    wrapped = calls.wrap(getattr(cls, name))
    used = type("Mine", (cls,), {name: wrapped}) if kind == "subclass" else cls
    with used() if owner == "Session" else http.Session() as session:
        if owner == "HTTPAdapter":
            session.mount("http://", used())
        session.get(url, timeout=20)
        first, calls.count = calls.count, 0
        with pytest.MonkeyPatch.context() as patch:
            if kind == "class":
                patch.setattr(cls, name, wrapped)
            elif kind == "instance":
                thing = session if owner == "Session" else session.get_adapter(url)
                patch.setattr(thing, name, calls.wrap(getattr(thing, name)), raising=False)
            assert session.get(url, timeout=20).content == b"ok"
            assert calls.count
        if kind == "subclass":
            assert first == calls.count
            return
        calls.count = 0
        assert session.get(url, timeout=20).content == b"ok"
        assert not calls.count


@pytest.mark.parametrize("name", OF_SESSIONS)
def test_a_name_replaced_in_the_module_is_called(
    http: ModuleType, server: ScriptedServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests replace what `sessions` calls."""
    url, calls = server.url("/"), Calls()
    with http.Session() as session:
        session.get(url, timeout=20)
        monkeypatch.setattr(http.sessions, name, calls.wrap(getattr(http.sessions, name)))
        assert session.get(url, timeout=20).content == b"ok"
        assert calls.count
        monkeypatch.undo()
        calls.count = 0
        session.get(url, timeout=20)
        assert not calls.count


@pytest.mark.parametrize(
    ("module", "name"), [("models", "get_cookie_header"), ("sessions", "RequestsCookieJar")]
)
def test_the_cookies_of_a_request_are_asked_for_where_that_is_replaced(
    http: ModuleType,
    server: ScriptedServer,
    module: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when the session has no cookies: what is replaced may have some."""
    calls, place = Calls(), getattr(http, module)
    with http.Session() as session:
        session.get(server.url("/"), timeout=20)
        if name == "RequestsCookieJar":
            original = place.RequestsCookieJar.__init__
            monkeypatch.setattr(place.RequestsCookieJar, "__init__", calls.wrap(original))
        else:
            monkeypatch.setattr(place, name, calls.wrap(getattr(place, name)))
        assert session.get(server.url("/"), timeout=20).content == b"ok"
    assert calls.count


def test_settings_that_are_changed_between_requests_count(
    http: ModuleType, server: ScriptedServer
) -> None:
    """In place or by another object: fields and their order, hooks, mounts, and what is sent on."""
    seen: list[Any] = []
    with http.Session() as session:
        session.get(server.url("/"), timeout=20)
        accept = session.headers.pop("Accept")
        session.headers.update({"X-Mine": "1", "accept": accept, "User-Agent": None})
        session.hooks["response"].append(lambda response, **how: seen.append(how["stream"]))
        session.stream = True
        session.get(server.url("/"), timeout=20).close()
        session.headers = {"X-Other": "2"}
        session.hooks = None
        session.get(server.url("/"), timeout=20).close()
        session.adapters.pop("http://")
        with pytest.raises(http.exceptions.InvalidSchema):
            session.get(server.url("/"), timeout=20)
    second, third = server.requests[-2:]
    names = [name.lower() for name, _ in second.headers]
    assert [name for name in names if name in ("x-mine", "accept")] == ["x-mine", "accept"]
    assert seen == [True]
    assert third.header("X-Other") == "2" and third.header("X-Mine") is None


@pytest.mark.parametrize("name", ["content", "is_redirect"])
def test_a_replaced_property_of_a_response_is_read(
    http: ModuleType, server: ScriptedServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that watches responses replaces a property of the class."""
    url, calls = server.url("/"), Calls()
    original = getattr(http.Response, name).fget
    with http.Session() as session:
        session.get(url, timeout=20)
        monkeypatch.setattr(http.Response, name, property(calls.wrap(original)))
        session.get(url, timeout=20)
        assert calls.count


def test_a_path_of_its_own_is_sent(http: ModuleType, server: ScriptedServer) -> None:
    """A replaced `path_url` decides what the request line says."""
    with http.Session() as session, pytest.MonkeyPatch.context() as patch:
        session.get(server.url("/known"), timeout=20)
        patch.setattr(http.PreparedRequest, "path_url", property(lambda self: "/own"))
        session.get(server.url("/known"), timeout=20)
    assert [seen.target for seen in server.requests[-2:]] == ["/known", "/own"]


def test_a_patched_iter_content_has_the_body(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that throttles or counts replaces `iter_content`; `content` is read through it."""
    calls = Calls()
    with http.Session() as session:
        session.get(server.url("/"), timeout=20)
        wrapped = calls.wrap(http.Response.iter_content)
        monkeypatch.setattr(http.Response, "iter_content", wrapped)
        assert session.get(server.url("/"), timeout=20).content == b"ok"
    assert calls.count


def test_a_replaced_requote_uri_has_the_last_word(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the whole URL with its parameters, also one that was prepared before."""
    url = server.url("/a%7Eb")
    with http.Session() as session:
        session.get(url, timeout=20)
        with monkeypatch.context() as patch:
            patch.setattr(http.models, "requote_uri", lambda text: text + "&mine")
            session.get(url, timeout=20)
            session.get(url, params={"x": "y"}, timeout=20)
        session.get(url, timeout=20)
        seen = [request.target for request in server.requests[-4:]]
        assert seen == ["/a~b", "/a%7Eb&mine", "/a%7Eb?x=y&mine", "/a~b"]


def test_another_module_for_json_is_used(
    http: ModuleType, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs put a faster one into `requests.models.complexjson`."""

    class Fast:
        class FastError(ValueError):
            pass

        @staticmethod
        def dumps(value: object, **_: object) -> bytes:
            return repr(value).encode()

        @staticmethod
        def loads(text: str, **_: object) -> object:
            if text == "ok":
                return "loaded"
            raise Fast.FastError

    with http.Session() as session:
        session.post(server.url(), json=[1, 2], timeout=20)
        with monkeypatch.context() as patch:
            patch.setattr(http.models, "complexjson", Fast)
            response = session.post(server.url(), json=[1, 2], timeout=20)
            assert response.json() == "loaded"
            response._content = b"other"
            with pytest.raises(Fast.FastError):
                response.json()
        session.post(server.url(), json=[1, 2], timeout=20)
        with pytest.raises(http.JSONDecodeError):
            response.json()
        assert [request.body for request in server.requests[-2:]] == [b"[1, 2]", b"[1, 2]"]
