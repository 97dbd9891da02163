"""Sessions: order on the wire, subclasses, hooks, proxies of the environment, pickles."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.support.scripted import ScriptedServer, answering, respond


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Responds to everything with 200 and a body."""
    with ScriptedServer(answering(respond(b"ok", {"X-A": "1"}))) as running:
        yield running


def test_header_order_on_the_wire(http: Any, server: ScriptedServer) -> None:
    """The session's headers, then the request's, then those of the body; Host first."""
    with http.Session() as session:
        session.headers["X-Session"] = "1"
        session.headers["Accept"] = None
        session.post(server.url("/"), data=b"b", headers={"x-CALL": "2", "A": "3"}, timeout=20)
    names = server.requests[0].names()
    assert names == [
        *("Host", "User-Agent", "Accept-Encoding", "Connection"),
        *("X-Session", "x-CALL", "A", "Content-Length"),
    ]


def test_a_host_header_set_by_hand_is_sent_once(http: Any, server: ScriptedServer) -> None:
    """The caller's field is sent, and sent once."""
    http.get(server.url("/"), headers={"X-A": "1", "Host": "example.test"}, timeout=20)
    seen = server.requests[0]
    assert seen.names().count("Host") == 1
    assert seen.header("host") == "example.test"


def test_header_values_arrive_as_given(http: Any, server: ScriptedServer) -> None:
    """Bytes and strings, latin-1 and empty."""
    headers = {"A": b"bytes", "B": "gr\xfcn", "C": ""}
    http.get(server.url("/"), headers=headers, timeout=20)
    seen = server.requests[0]
    assert [seen.header(name) for name in "ABC"] == ["bytes", "gr\xfcn", ""]


def test_targets_are_not_changed(http: Any, server: ScriptedServer) -> None:
    """Parameters in order, quoting made regular, dot segments taken out, `//` kept."""
    with http.Session() as session:
        session.params = {"s": "1"}
        session.get(server.url("/a/../b%20c?x=%41#f"), params={"b": "ü", "a": None}, timeout=20)
        session.get(server.url("//double"), timeout=20)
    assert [seen.target for seen in server.requests] == [
        "/b%20c?x=A&s=1&b=%C3%BC",
        "//double?s=1",
    ]


def test_connections_are_reused_when_bodies_were_read(http: Any, server: ScriptedServer) -> None:
    """One connection for five requests of a session, streamed ones included."""
    with http.Session() as session:
        for _ in range(4):
            session.get(server.url("/"), timeout=20)
        reply = session.get(server.url("/"), stream=True, timeout=20)
        assert reply.raw.read() == b"ok"
        session.get(server.url("/"), timeout=20)
    assert len(server.connections) == 1


def test_a_hook_may_return_another_response(http: Any, server: ScriptedServer) -> None:
    """The return value of a hook replaces the response; None keeps it; all hooks run in order."""
    order = []

    def first(response: Any, **kwargs: Any) -> None:
        order.append(("first", kwargs["timeout"], response.status_code))

    def second(response: Any, **_: Any) -> Any:
        other = http.Response()
        other.status_code = 299
        other.url = response.url
        other._content = b"other"
        other.request = response.request
        order.append("second")
        response.close()
        return other

    def third(response: Any, **_: Any) -> None:
        order.append(("third", response.status_code))

    with http.Session() as session:
        session.hooks["response"].append(first)
        session.hooks["response"].extend([second, third])
        reply = session.get(server.url("/"), timeout=20)
    assert order == [("first", 20, 200), "second", ("third", 299)]
    assert (reply.status_code, reply.content) == (299, b"other")


def test_a_hook_may_ask_again_over_the_same_connection(http: Any, server: ScriptedServer) -> None:
    """`response.connection.send` after reading the body, as authentication schemes do."""

    def again(response: Any, **kwargs: Any) -> Any:
        if "X-Again" in response.request.headers:
            return None
        _ = response.content
        response.close()
        request = response.request.copy()
        request.headers["X-Again"] = "1"
        second = response.connection.send(request, **kwargs)
        second.history.append(response)
        second.request = request
        return second

    with http.Session() as session:
        reply = session.get(server.url("/"), hooks={"response": again}, timeout=20)
    assert reply.request.headers["X-Again"] == "1"
    assert reply.content == b"ok"
    assert len(server.requests) == 2
    assert len(server.connections) == 1


def test_subclasses_are_asked_at_every_step(http: Any, server: ScriptedServer) -> None:
    """Every step of a request goes through `self`, in requests' order."""
    calls = []

    class Watching(http.Session):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.early = True
            super().__init__()

        def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            calls.append("request")
            extra = kwargs.pop("extra", None)
            reply = super().request(method, url, *args, **kwargs)
            reply.extra = extra
            return reply

        def prepare_request(self, request: Any) -> Any:
            calls.append("prepare_request")
            return super().prepare_request(request)

        def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("merge_environment_settings")
            return super().merge_environment_settings(*args, **kwargs)

        def get_adapter(self, url: str) -> Any:
            calls.append("get_adapter")
            return super().get_adapter(url)

        def send(self, request: Any, **kwargs: Any) -> Any:
            calls.append("send")
            return super().send(request, **kwargs)

    with Watching() as session:
        reply = session.get(server.url("/"), timeout=20, extra=7)
    assert reply.extra == 7
    assert calls == [
        *("request", "prepare_request", "merge_environment_settings", "send", "get_adapter"),
    ]


def test_adapters_are_found_by_the_longest_prefix(http: Any, server: ScriptedServer) -> None:
    """A mounted adapter sees exactly the arguments of the fixed signature."""
    seen = []

    class Recording(http.adapters.HTTPAdapter):  # type: ignore[name-defined, misc]
        def send(self, request: Any, **kwargs: Any) -> Any:
            seen.append(sorted(kwargs))
            return super().send(request, **kwargs)

    with http.Session() as session:
        session.mount(server.url("/special"), Recording())
        assert session.get(server.url("/special/a"), timeout=20).content == b"ok"
        session.get(server.url("/plain"), timeout=20)
    assert seen == [["cert", "proxies", "stream", "timeout", "verify"]]


def test_environment_proxies(
    http: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are read for every request; `no_proxy` and `trust_env` apply."""
    url = "http://unknown.invalid/path?q=1#f"
    with http.Session() as session:
        monkeypatch.setenv("http_proxy", server.url("").replace("//", "//u:p@"))
        assert session.get(url, timeout=20).content == b"ok"
        seen = server.requests[-1]
        assert seen.target == "http://unknown.invalid/path?q=1"
        assert seen.header("host") == "unknown.invalid"
        assert seen.header("proxy-authorization") == "Basic dTpw"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        session.get(server.url("/direct"), timeout=20)
        assert server.requests[-1].target == "/direct"
        assert server.requests[-1].header("proxy-authorization") is None
        monkeypatch.delenv("no_proxy")
        session.trust_env = False
        session.get(server.url("/direct2"), timeout=20)
        assert server.requests[-1].target == "/direct2"


@pytest.mark.parametrize(("given", "found"), [({}, {"http": "http://p:1"}), (None, {})])
def test_merging_without_proxies_leaves_the_environment_out(
    http: Any, monkeypatch: pytest.MonkeyPatch, given: Any, found: Any
) -> None:
    """An empty mapping takes the proxies of the environment; `None` does not."""
    monkeypatch.setenv("http_proxy", "http://p:1")
    with http.Session() as session:
        merged = session.merge_environment_settings("http://h/", given, None, None, None)
    assert merged["proxies"] == found


@pytest.mark.parametrize("params", [5, 1.5, io.StringIO("a=b"), object()])
def test_params_that_are_no_query(http: Any, params: Any) -> None:
    """A query is not made of the text that `repr` would give."""
    with pytest.raises(TypeError):
        http.Request("GET", "http://h/", params=params).prepare()


def test_a_proxy_given_in_the_call_beats_the_environment(
    http: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`proxies=` overrides the variables."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    reply = http.get("http://a.invalid/", proxies={"http": server.url("")}, timeout=20)
    assert reply.content == b"ok"


@pytest.mark.parametrize("sizes", [{"pool_maxsize": -1}, {"pool_connections": -1}])
def test_negative_sizes_of_a_pool(http: Any, server: ScriptedServer, sizes: dict[str, int]) -> None:
    """They are taken, as sizes without a limit."""
    with http.Session() as session:
        session.mount("http://", http.adapters.HTTPAdapter(**sizes))
        assert [session.get(server.url("/"), timeout=20).content for _ in range(2)] == [b"ok"] * 2


def test_sessions_survive_pickling(http: Any, server: ScriptedServer) -> None:
    """Settings, cookies and mounted adapters are there, and the copy works."""
    session = http.Session()
    session.headers["X-S"] = "1"
    session.cookies.set("c", "v")
    session.auth = ("u", "p")
    session.verify = "/some/path"
    session.mount("http://x", http.adapters.HTTPAdapter(max_retries=3, pool_maxsize=7))
    session.get(server.url("/"), timeout=20)
    with pickle.loads(pickle.dumps(session)) as copy:
        assert list(copy.adapters) == list(session.adapters)
        assert copy.adapters["http://x"].max_retries.total == 3
        assert (copy.auth, copy.verify) == (("u", "p"), "/some/path")
        copy.get(server.url("/"), timeout=20)
    session.close()
    assert server.requests[-1].header("x-s") == "1"
    assert server.requests[-1].header("cookie") == "c=v"


def test_responses_survive_pickling(http: Any, server: ScriptedServer) -> None:
    """With the body read, the request kept, and no raw."""
    reply = http.get(server.url("/"), stream=True, timeout=20)
    copy = pickle.loads(pickle.dumps(reply))
    assert (copy.content, copy.status_code, copy.headers) == (b"ok", 200, reply.headers)
    assert copy.request.url == reply.request.url
    assert copy.raw is None
    assert reply.content == b"ok"


def test_exceptions_survive_pickling(http: Any) -> None:
    """With their class, and something to say."""
    with pytest.raises(http.ConnectionError) as caught:
        http.get("http://127.0.0.1:1/", timeout=20)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert "Connection refused" in str(copy)


def test_a_response_without_cookies_asks_nothing_of_its_request(http: Any) -> None:
    """Tests make responses for requests that are mocks."""
    jar = http.cookies.RequestsCookieJar()
    jar.extract_cookies(Mock(info=Message), http.cookies.MockRequest(Mock(url="throwaway")))
    assert len(jar) == 0


@pytest.mark.parametrize("cookies", [[], [object()], "a=b"], ids=range(3))
def test_cookies_that_are_neither_a_jar_nor_a_mapping(http: Any, cookies: Any) -> None:
    """They are not sent; tests of programs set a list for "there are some"."""
    with http.Session() as session:
        session.cookies = cookies
        request = http.Request("GET", "http://h.test/", cookies={"own": "1"})
        assert session.prepare_request(request).headers["Cookie"] == "own=1"


def test_a_jar_with_an_update_of_its_own(http: Any) -> None:
    """Cookies are merged into it by that method."""

    class Jar(CookieJar):
        def update(self, other: Any) -> None:
            self.merged = list(other)

    jar, others = Jar(), http.cookies.cookiejar_from_dict({"a": "1"})
    assert http.cookies.merge_cookies(jar, others) is jar
    assert [cookie.name for cookie in jar.merged] == ["a"] and not list(jar)


class _Url:
    """A URL of another library, such as yarl: its text is the URL."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def test_a_url_that_is_an_object(
    http: Any, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent, with the cookies for its host, also where there is a netrc file."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with http.Session() as session:
        session.cookies.set("a", "1", domain="127.0.0.1", path="/")
        url: Any = _Url(server.url("/x?b=c"))
        for _ in range(2):
            assert session.get(url, params={"d": "e"}, timeout=20).content == b"ok"
        http.get(_Url(server.url("/x?b=c")), timeout=20)
    first, second, third = server.requests
    assert first.target == second.target == "/x?b=c&d=e" and third.target == "/x?b=c"
    assert first.header("Cookie") == second.header("Cookie") == "a=1"
    assert [seen.header("Authorization") for seen in server.requests] == [None, None, None]
