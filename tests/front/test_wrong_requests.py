"""What is no request, or no part of one, fails with the class of requests and a text that helps."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import pooledhttp
from tests.support.scripted import ScriptedServer, answering, respond

#: The packages, as a program without types sees them.
ours: Any = pooledhttp
theirs: Any = requests


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ScriptedServer(answering(respond(b"ok"))) as server:
        yield server.url("/")


def sent(m: Any, url: str, **settings: Any) -> Any:
    with m.Session() as session:
        return session.send(m.Request("GET", url).prepare(), **settings)


def with_attribute(m: Any, url: str, name: str, value: Any) -> Any:
    with m.Session() as session:
        setattr(session, name, value)
        return session.get(url)


SEND = "send takes a PreparedRequest, such as session.prepare_request(Request('GET', url)), not "
HOOKS = "hooks must be a mapping, such as {'response': callback}, not "
PAIRS = "a mapping or (name, value) pairs are needed here"
NAME = "the name of a header must be a str, such as 'Accept', not "
A_FILE = "the file of the field 'f' must be a file, its content, or a tuple (filename, "

CASES: list[tuple[Callable[[Any, str], object], str]] = [
    (lambda m, url: m.Session().send(url), f"{SEND}a str; session.get(url) sends"),
    (lambda m, url: m.Session().send(None), f"{SEND}None"),
    (lambda m, url: m.Session().send(m.get(url)), f"{SEND}a Response"),
    (lambda m, _: m.Session().send(m.PreparedRequest()), "url must be a str, such as 'https://"),
    (lambda m, url: sent(m, url, timout=3), "'timout'. Did you mean 'timeout'?"),
    (lambda m, url: sent(m, url, retries=3), "'retries'. Pass it to Session(...) instead."),
    (lambda m, url: sent(m, url, headers={}), "'headers'. Pass it to Request(...), before it is"),
    (lambda m, url: sent(m, url, xyz=1), "It takes stream, timeout, verify, cert, proxies, allow"),
    (lambda m, url: m.Session().prepare_request(url), "takes a Request, such as Request('GET', u"),
    (lambda m, _: m.Session().prepare_request(None), "url), not None"),
    (
        lambda m, url: m.Session().prepare_request(m.Request("GET", url).prepare()),
        "not a PreparedRequest; send(request) sends it",
    ),
    (lambda m, url: m.Session().prepare_request(m.Request(url=url)), "such as 'GET', not None"),
    (lambda m, url: m.Request(5, url).prepare(), "method must be a str, such as 'GET', not 5"),
    (lambda m, _: m.PreparedRequest().prepare_method(5), "such as 'GET', not 5"),
    (lambda m, url: m.get(url, headers={1: "a"}), f"{NAME}1"),
    (lambda m, url: m.get(url, headers={None: "a"}), f"{NAME}None"),
    (lambda m, _: m.Session().headers.update({1: "a"}), f"{NAME}1"),
    (lambda m, url: m.get(url, headers="a: b"), "{'Accept': 'text/html'}, not a str"),
    (lambda m, url: m.get(url, headers=5), "{'Accept': 'text/html'}, not an int"),
    (lambda m, url: with_attribute(m, url, "hooks", [print]), f"{HOOKS}a list"),
    (lambda m, url: with_attribute(m, url, "hooks", print), f"{HOOKS}a builtin"),
    (lambda m, url: m.get(url, hooks=[print]), f"{HOOKS}a list"),
    (lambda m, _: m.PreparedRequest().prepare_hooks(5), f"{HOOKS}an int"),
    (lambda m, url: m.get(url, hooks={"response": lambda r, **_: r.text}), "or None to keep the"),
    (lambda m, url: m.get(url, auth=lambda request: None), "must return the request that it gets"),
    (lambda m, url: m.get(url, auth=("a", "b", "c")), "not a tuple of 3"),
    (lambda m, url: m.get(url, auth={"a": "b"}), "not a dict"),
    (lambda m, url: m.get(url, params=[(1, 2, 3)]), PAIRS),
    (lambda m, url: m.post(url, data=[{"a": 1}]), f": {PAIRS}"),
    (lambda m, url: m.post(url, files=["x"]), f": {PAIRS}"),
    (lambda m, url: m.post(url, files=io.BytesIO(b"a line\n")), f": {PAIRS}"),
    (lambda m, url: m.post(url, files={"f": Path("x")}), A_FILE),
    (lambda m, url: m.post(url, files={"f": ("n", Path("x"))}), "not a PosixPath"),
    (lambda m, url: m.post(url, files={"f": ("a", "b", "c", {}, 5)}), A_FILE),
    (lambda m, url: m.post(url, files={"f": ("a", "b", "c", "d")}), f": {PAIRS}"),
    (lambda m, url: m.post(url, files={1: "x"}), "must be str, such as 'file', not 1"),
    (lambda m, url: m.post(url, files={"f": (5, "x")}), "must be str, such as 'file', not 5"),
    (lambda m, url: m.adapters.HTTPAdapter().send(url), f"{SEND}a str; session.get(url) sends"),
    (lambda m, url: m.adapters.HTTPAdapter().send(m.Request("GET", url)), f"{SEND}a Request"),
    (lambda m, _: m.adapters.HTTPAdapter().send(m.PreparedRequest()), "No host specified: the req"),
    (lambda m, _: m.get("https://127.0.0.1:9/", verify=["a"]), "verify must be True, False, the p"),
    (lambda m, _: m.get("https://127.0.0.1:9/", cert={"a": 1}), "cert must be a path or a tuple"),
    (lambda m, url: m.get(url, proxies={"http": ["http://h"]}), "proxies must be URLs, such as"),
    (lambda m, _: m.Session().get_adapter(5), "url must be a str, such as 'https://"),
]


@pytest.mark.parametrize(("do", "says"), CASES, ids=range(len(CASES)))
def test_the_class_is_that_of_requests(
    do: Callable[[Any, str], object], says: str, url: str
) -> None:
    """An `except` that was written for requests catches the error, and the text says what to do."""
    with pytest.raises(Exception) as expected:  # it is what is looked for
        do(theirs, url)
    with pytest.raises(Exception) as caught:
        do(ours, url)
    assert says in str(caught.value)
    assert type(caught.value).__name__ == type(expected.value).__name__


@pytest.mark.parametrize(
    "link", ["mailto:a@example.com", "tel:+123", "tel:5", "javascript:void(0)", "data:,x", "urn:x"]
)
def test_a_link_that_leads_to_no_server(link: str) -> None:
    """The advice is not to add a scheme: it has one."""
    with pytest.raises(pooledhttp.exceptions.InvalidSchema) as caught:
        pooledhttp.get(link)
    assert repr(link) in str(caught.value)
    assert "http://" not in str(caught.value)


def notes_of(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error))


def test_a_hook_without_keyword_arguments(url: str) -> None:
    """The error is Python's own, with a note of how hooks are called."""
    with pytest.raises(TypeError) as caught:
        ours.get(url, hooks={"response": lambda response: None})
    assert "give it **kwargs" in notes_of(caught.value)


def test_a_type_error_inside_a_hook(url: str) -> None:
    """It gets no note: the hook was called as it should be."""

    def hook(response: Any, **_: Any) -> None:
        len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError) as caught:
        ours.get(url, hooks={"response": hook})
    assert "kwargs" not in notes_of(caught.value)


def test_a_class_as_auth(url: str) -> None:
    """The note says to make an object of it."""
    with pytest.raises(TypeError) as caught:
        ours.get(url, auth=ours.auth.HTTPDigestAuth)
    assert "such as HTTPDigestAuth('user', 'password')" in notes_of(caught.value)


def test_an_async_body_on_a_plain_session(url: str) -> None:
    """The text says which session sends it."""

    async def body() -> Any:
        yield b"x"

    with pytest.raises(TypeError, match="not async_generator; an AsyncSession sends such"):
        ours.post(url, data=body())


class _Odd:
    """A request of another kind, with the attributes that an adapter of its own reads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.hooks: dict[str, Any] = {}


class _Echo(pooledhttp.adapters.BaseAdapter):
    def send(self, request: Any, *_: Any, **__: Any) -> Any:
        response = pooledhttp.Response()
        response.status_code, response.url, response._content = 200, request.url, b""
        response._content_consumed = True
        return response

    def close(self) -> None:
        pass


def test_objects_like_requests_are_sent() -> None:
    """What an adapter of the caller's can send, the session sends: no class is asked for."""
    with pooledhttp.Session() as session:
        session.mount("odd://", _Echo())
        assert session.send(_Odd("odd://x/")).url == "odd://x/"  # type: ignore[arg-type]


def test_objects_like_requests_are_prepared(url: str) -> None:
    """An object with the attributes of a `Request` is prepared as one."""

    class Like:
        method, headers, files, data, json = "get", {"A": "b"}, None, None, None
        params: Any = None
        auth = cookies = hooks = None

    Like.url = url  # type: ignore[attr-defined]
    prepared = ours.Session().prepare_request(Like())
    assert (prepared.method, prepared.url, prepared.headers["A"]) == ("GET", url, "b")
