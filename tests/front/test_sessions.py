"""`Session`: merging, and a request's way through it, to an adapter that keeps what it gets."""

from __future__ import annotations

import inspect
import io
import pickle
import ssl
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3

import pooledhttp
from pooledhttp import sessions
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.timing import Timeout


class Recorder(BaseAdapter):
    """Responds with 200, or with the next of `responses`, and keeps requests and arguments."""

    def __init__(self, *responses: tuple[int, dict[str, str], bytes]) -> None:
        super().__init__()
        self.responses = list(responses)
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.closed = 0

    def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.calls.append((request, kwargs))
        status, headers, body = self.responses.pop(0) if self.responses else (200, {}, b"body")
        raw = urllib3.HTTPResponse(
            io.BytesIO(body), headers=headers, status=status, preload_content=False
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        self.closed += 1

    @property
    def sent(self) -> dict[str, Any]:
        """The arguments of the last call."""
        return self.calls[-1][1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def session(recorder: Recorder) -> pooledhttp.Session:
    made = pooledhttp.Session()
    made.mount("http://", recorder)
    made.mount("https://", recorder)
    return made


def test_the_signatures_are_those_of_requests() -> None:
    """Positional order and names can be relied on; ours are keywords behind them."""
    for name in ("request", "get", "post", "put", "head", "send", "merge_environment_settings"):
        ours = inspect.signature(getattr(pooledhttp.Session, name)).parameters
        theirs = inspect.signature(getattr(requests.Session, name)).parameters
        assert [(one.name, one.default) for one in ours.values()] == [
            (one.name, one.default) for one in theirs.values()
        ]
    assert pooledhttp.Session.__attrs__ == requests.Session.__attrs__
    extras = list(inspect.signature(pooledhttp.Session).parameters.values())
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in extras)
    ours_hop = inspect.signature(pooledhttp.Session.resolve_redirects).parameters
    theirs_hop = inspect.signature(requests.Session.resolve_redirects).parameters
    assert list(ours_hop) == list(theirs_hop)


def test_attributes_begin_as_in_requests() -> None:
    """Every promised attribute is there, with an equal value."""
    ours, theirs = pooledhttp.Session(), requests.Session()
    for name in set(requests.Session.__attrs__) - {"adapters", "cookies", "headers"}:
        assert getattr(ours, name) == getattr(theirs, name)
    assert list(ours.adapters) == list(theirs.adapters)
    assert list(ours.headers.items()) == list(theirs.headers.items())


CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"headers": {"accept": None, "X": "y"}}, {"params": {"a": 1}}),
    ({"params": {"a": None, "c": 3}, "cookies": {"c": "2"}}, {"params": {"a": 1, "b": 2}}),
    ({"auth": ("u", "p"), "cookies": {"s": "call"}}, {"auth": ("x", "y")}),
    ({"data": {"k": "v"}}, {"auth": ("x", "y"), "headers": {"Z": "1", "accept-encoding": "br"}}),
    ({"json": {"k": "v"}, "headers": {"Content-Type": "x/y"}}, {"headers": {}}),
    ({"params": "raw=1"}, {"params": {"a": 1}}),
    ({"params": [("q", 1)]}, {"params": {"a": 1}}),
]


@pytest.mark.parametrize(("call", "kept"), CALLS, ids=repr)
def test_requests_are_prepared_as_by_requests(call: dict[str, Any], kept: dict[str, Any]) -> None:
    """Settings of the call and the session are merged alike."""
    prepared = []
    for package in (pooledhttp, requests):
        session: Any = package.Session()
        session.trust_env = False
        session.cookies.update({"s": "session"})
        for name, value in kept.items():
            if name == "headers":
                session.headers.update(value)
            else:
                setattr(session, name, value)
        request: Any = package.Request("POST", "http://h/p", **call)  # type: ignore[attr-defined]
        prepared.append(session.prepare_request(request))
    ours, theirs = prepared
    assert ours.url == theirs.url and ours.body == theirs.body
    assert list(ours.headers.items()) == list(theirs.headers.items())


@pytest.mark.parametrize(
    ("call", "session"),
    [
        (None, None), (None, 1), (1, None), (1, 2), ({"a": 1}, {"a": 2, "b": 3}), ({}, {"a": None}),
        ({"a": None}, {"a": 1}), ([("a", 1)], {"b": 1}), ("x", {"b": 1}), ({"A": 1}, {"a": 2}),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["OrderedDict", "CaseInsensitiveDict"])
def test_settings_are_merged_as_by_requests(call: Any, session: Any, kind: str) -> None:
    """`merge_setting` gives what that of requests gives."""
    ours = sessions.merge_setting(call, session, dict_class=getattr(sessions, kind))
    theirs = requests.sessions.merge_setting(
        call, session, dict_class=getattr(requests.sessions, kind)
    )
    assert ours == theirs


def test_hooks_of_the_call_replace_those_of_the_session() -> None:
    """An empty list on one side means the other side."""
    for call, kept in (({"response": []}, {"response": [1]}), ({"response": [1]}, None)):
        assert sessions.merge_hooks(call, kept) == {"response": [1]}
    assert sessions.merge_hooks({"response": [1]}, {"response": [2]}) == {"response": [1]}


def test_the_adapter_gets_what_requests_gives_it(
    session: pooledhttp.Session, recorder: Recorder
) -> None:
    """Five keywords from a call; from a bare send the timeout only if it was given."""
    session.get("http://h/")
    expected = {"timeout": None, "proxies": {}, "stream": False, "verify": True, "cert": None}
    assert recorder.sent == expected
    session.send(session.prepare_request(pooledhttp.Request("GET", "http://h/")), odd=1)
    assert recorder.sent == {**{k: v for k, v in expected.items() if k != "timeout"}, "odd": 1}


@pytest.mark.parametrize("extra", [{"odd": 1}, {}])
@pytest.mark.parametrize("missing", ["verify", None])
def test_settings_of_a_subclass_reach_its_send(
    recorder: Recorder, extra: dict[str, Any], missing: str | None
) -> None:
    """Whatever `merge_environment_settings` returns: more than the four settings, or fewer."""

    class Own(pooledhttp.Session):
        def merge_environment_settings(self, *args: Any) -> dict[str, Any]:
            merged = {**super().merge_environment_settings(*args), **extra}
            merged.pop(missing, None)  # type: ignore[arg-type]
            return merged

        def send(self, request: Any, **kwargs: Any) -> Any:
            sent.append(kwargs)
            return super().send(request, **kwargs)

    sent: list[dict[str, Any]] = []
    with Own() as session:
        session.mount("http://", recorder)
        session.get("http://h/")
    names = {"timeout", "allow_redirects", "stream", "verify", "cert", "proxies", *extra}
    assert [set(kwargs) for kwargs in sent] == [names - {missing}]
    assert recorder.sent["verify"] is True
    assert {name: recorder.sent[name] for name in extra} == extra


def test_a_replaced_search_for_proxies_is_asked(
    session: pooledhttp.Session, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment names none: a program puts its own search there."""
    session.get("http://h/")
    own = {"http": "http://own:1"}
    monkeypatch.setattr("pooledhttp.sessions.get_environ_proxies", lambda url, no_proxy: own)
    session.get("http://h/")
    assert recorder.sent["proxies"] == own


def test_a_session_can_have_a_timeout(recorder: Recorder) -> None:
    """It serves calls without one; a call's own replaces it."""
    session = pooledhttp.Session(timeout=5)
    session.mount("http://", recorder)
    session.timeout = "an attribute of a subclass"  # type: ignore[attr-defined]
    session.get("http://h/")
    assert recorder.sent["timeout"] == 5
    session.get("http://h/", timeout=(1, 2))
    assert recorder.sent["timeout"] == (1, 2)


def test_a_total_is_started_once_and_carried_along(session: pooledhttp.Session) -> None:
    """The running copy equals the caller's, reaches hooks, and is the same one on every hop."""
    recorder = Recorder((302, {"location": "/next"}, b""), (200, {}, b""))
    session.mount("http://", recorder)
    given = pooledhttp.Timeout(total=9)
    assert isinstance(given, Timeout)
    seen: list[Any] = []
    session.get("http://h/", timeout=given, hooks={"response": lambda r, **kw: seen.append(kw)})
    first, second = (kwargs["timeout"] for _, kwargs in recorder.calls)
    assert first == given and first.deadline is not None and second is first
    assert given.deadline is None and seen[0]["timeout"] is first
    unlimited = Timeout(read=1)
    session.get("http://h/", timeout=unlimited)
    assert recorder.sent["timeout"] is unlimited


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_gives_way(
    monkeypatch: pytest.MonkeyPatch, session: pooledhttp.Session, recorder: Recorder, variable: str
) -> None:
    """A path, a context or False beats the variable; True and silence do not."""
    monkeypatch.setenv(variable, "/bundle")
    for silent in (None, True):
        session.get("https://h/", verify=silent)
        assert recorder.sent["verify"] == "/bundle"
    for verify in (False, "/own", ssl.create_default_context()):
        session.get("https://h/", verify=verify)
        assert recorder.sent["verify"] == verify
    for verify in (False, "/own"):
        session.verify = verify
        session.get("https://h/")
        assert recorder.sent["verify"] == verify
        session.get("https://h/", verify=True)
        assert recorder.sent["verify"] == "/bundle"
    session.verify = True
    merged = session.merge_environment_settings("https://h/", {}, None, True, None)
    assert merged["verify"] == "/bundle"
    session.trust_env = False
    session.get("https://h/")
    assert recorder.sent["verify"] is True


def test_an_override_of_the_merging_is_respected(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """A subclass that switches verification decides, whatever the call says."""

    class Lax(pooledhttp.Session):
        def merge_environment_settings(self, *args: Any) -> dict[str, Any]:
            return {**super().merge_environment_settings(*args), "verify": False}

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/bundle")
    session = Lax()
    session.mount("https://", recorder)
    session.get("https://h/", verify=True)
    assert recorder.sent["verify"] is False


def test_proxies_of_the_environment_fill_gaps(
    monkeypatch: pytest.MonkeyPatch, session: pooledhttp.Session, recorder: Recorder
) -> None:
    """They are read for each request, and the caller's table does not change."""
    mine: dict[str, str] = {}
    session.get("http://h/", proxies=mine)
    assert recorder.sent["proxies"] == {}
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    session.get("http://h/", proxies=mine)
    assert recorder.sent["proxies"] == {"http": "http://proxy:1"} and mine == {}
    session.get("http://h/", proxies={"http": "http://own:2"})
    assert recorder.sent["proxies"] == {"http": "http://own:2"}
    monkeypatch.setenv("no_proxy", "h")
    session.get("http://h/")
    assert recorder.sent["proxies"] == {}


def test_netrc_is_asked_by_name(
    monkeypatch: pytest.MonkeyPatch, session: pooledhttp.Session, recorder: Recorder
) -> None:
    """Replacing `sessions.get_netrc_auth` takes effect; other credentials come first."""
    monkeypatch.setattr(sessions, "get_netrc_auth", lambda url: ("n", "p"))
    session.get("http://h/")
    assert recorder.calls[-1][0].headers["Authorization"] == "Basic bjpw"
    session.get("http://h/", auth=("u", "p"))
    assert recorder.calls[-1][0].headers["Authorization"] == "Basic dTpw"
    session.trust_env = False
    session.get("http://h/")
    assert "Authorization" not in recorder.calls[-1][0].headers


def test_only_prepared_requests_are_sent(session: pooledhttp.Session) -> None:
    """A plain request is refused with the words of requests."""
    with pytest.raises(ValueError, match=r"^You can only send PreparedRequests\.$"):
        session.send(pooledhttp.Request("GET", "http://h/"))  # type: ignore[arg-type]


def test_the_longest_prefix_decides() -> None:
    """Order of mounting and of equal lengths is that of requests."""
    ours: Any = pooledhttp.Session()
    theirs: Any = requests.Session()
    for prefix in (
        "http://git",
        "http://github.com/a/",
        "http://github",
        "http://gittip",
        "HTTP://X",
    ):
        ours.mount(prefix, HTTPAdapter())
        theirs.mount(prefix, requests.adapters.HTTPAdapter())
    assert list(ours.adapters) == list(theirs.adapters)
    assert ours.get_adapter("HTTP://GitHub.com/A/b") is ours.adapters["http://github.com/a/"]
    with pytest.raises(pooledhttp.exceptions.InvalidSchema, match="No connection adapters"):
        ours.get("ftp://user:secret@h/")
    assert ours.get_adapter(url="https://x") is ours.adapters["https://"]


def test_an_adapter_that_can_is_told_its_session(session: pooledhttp.Session) -> None:
    """`attach` is called on mounting, where there is one."""

    class Joining(Recorder):
        def attach(self, owner: Any) -> None:
            self.owner = owner

    adapter = Joining()
    session.mount("http://x", adapter)
    assert adapter.owner is session


def test_a_call_without_limits_in_a_session_that_has_some(recorder: Recorder) -> None:
    """None takes those of the session, as if it were not given; a value without limits has none."""
    session = pooledhttp.Session(timeout=5)
    session.mount("http://", recorder)
    session.get("http://h/", timeout=None)
    assert recorder.sent["timeout"] == 5
    none = pooledhttp.Timeout(total=None)
    session.get("http://h/", timeout=none)
    assert recorder.sent["timeout"] == none


def test_the_default_adapters_share_one_pool() -> None:
    """`session.pool` is what both use, and a subclass may call something else `pool`."""
    session = pooledhttp.Session()
    assert session.adapters["https://"].pool is session.adapters["http://"].pool is session.pool

    class Mine(pooledhttp.Session):
        def __init__(self) -> None:
            self.pool = "before"  # type: ignore[assignment]
            super().__init__()

    mine = Mine()
    assert mine.pool == "before" and mine.adapters["http://"].pool is mine.adapters["https://"].pool
    del mine.pool
    assert mine.pool is mine.adapters["http://"].pool
    with pytest.raises(AttributeError):
        del mine.pool


def test_settings_are_not_taken_for_the_pool() -> None:
    """They had no effect, and the next look at the numbers failed."""
    with pooledhttp.Session() as session:
        with pytest.raises(AttributeError, match=r"use session\.pool\.resize\(config\)"):
            session.pool = pooledhttp.PoolConfig(max_per_host=3)  # type: ignore[assignment]
        assert session.pool.config.max_per_host is None


def test_closing_closes_the_adapters(recorder: Recorder) -> None:
    """A session is a context manager, and can be closed twice."""
    with pooledhttp.Session() as session:
        session.mount("http://", recorder)
    session.close()
    assert recorder.closed == 2


def test_cookies_are_kept(session: pooledhttp.Session) -> None:
    """What a response sets goes into the session; what a call brings does not."""
    recorder = Recorder()
    session.mount("http://", recorder)
    session.cookies["own"] = "1"
    session.get("http://h/", cookies={"call": "2"})
    assert recorder.calls[-1][0].headers["Cookie"] == "own=1; call=2"
    assert session.cookies.get_dict() == {"own": "1"}


def test_a_hook_may_return_another_response(session: pooledhttp.Session) -> None:
    """What the hook returns is what the caller gets, and its arguments are those of the adapter."""
    other = pooledhttp.Response()
    other._content, other.status_code = b"other", 200

    def swap(response: Any, **kwargs: Any) -> Any:
        assert set(kwargs) == {"timeout", "proxies", "stream", "verify", "cert"}
        return other

    assert session.get("http://h/", hooks={"response": swap}) is other


@pytest.mark.parametrize("stream", [False, True])
def test_a_hook_that_raises_leaves_no_connection_behind(
    session: pooledhttp.Session, stream: bool
) -> None:
    """The response is closed, unless the error shows it to the caller, who may want to read it."""
    seen: list[Any] = []

    def refuse(response: Any, **kwargs: Any) -> None:
        seen.append(response)
        raise KeyError("no")

    with pytest.raises(KeyError):
        session.get("http://h/", hooks={"response": refuse}, stream=stream)
    assert seen[0].raw.closed
    session.mount("http://", Recorder((404, {}, b"why")))
    with pytest.raises(pooledhttp.HTTPError) as caught:
        session.get(
            "http://h/", hooks={"response": lambda r, **kw: r.raise_for_status()}, stream=stream
        )
    assert caught.value.response is not None and caught.value.response.text == "why"
    assert caught.value.response.raw.closed


def test_elapsed_is_measured(session: pooledhttp.Session) -> None:
    """Every response says how long it took."""
    assert session.get("http://h/").elapsed.total_seconds() > 0


def test_stream_leaves_the_body_unread(session: pooledhttp.Session) -> None:
    """Of the call, or of the session."""
    assert session.get("http://h/", stream=True)._content is False
    session.stream = True
    assert session.get("http://h/")._content is False
    assert session.get("http://h/", stream=False)._content == b"body"


def test_a_session_is_pickled_with_its_settings() -> None:
    """Attributes of requests, and ours where they mean something elsewhere."""
    session = pooledhttp.Session(
        timeout=Timeout(total=3),
        retries=2,
        replay="off",
        pool=pooledhttp.PoolConfig(max_per_host=3),
        listeners=[lambda event: None],
    )
    session.headers["X"] = "y"
    session.cookies["a"] = "b"
    again = pickle.loads(pickle.dumps(session))
    assert again.headers == session.headers and again.cookies.get_dict() == {"a": "b"}
    assert again._extras.timeout == Timeout(total=3) and again._extras.replay == "off"
    assert again._extras.pool == pooledhttp.PoolConfig(max_per_host=3)
    assert again.get_adapter("http://h/").max_retries.total == 2
    assert again.adapters["https://"].pool is again.pool
    assert pickle.loads(pickle.dumps(pooledhttp.Session(pool=session.pool)))._extras.pool is None


def test_replay_has_three_settings() -> None:
    """Another word is refused when the session is made."""
    with pytest.raises(ValueError, match="replay"):
        pooledhttp.Session(replay="sometimes")


def test_subclasses_see_every_step(recorder: Recorder) -> None:
    """Unknown keywords reach an overridden `request`; each step is called on the object."""
    steps: list[str] = []

    class Traced(pooledhttp.Session):
        def request(self, method: Any, url: Any, withhold: bool = False, **kwargs: Any) -> Any:  # type: ignore[override]
            steps.append(f"request {withhold}")
            return super().request(method, url, **kwargs)

        def prepare_request(self, request: Any) -> Any:
            steps.append("prepare")
            return super().prepare_request(request)

        def send(self, request: Any, **kwargs: Any) -> Any:
            steps.append("send")
            return super().send(request, **kwargs)

        def get_adapter(self, url: str) -> Any:
            steps.append("adapter")
            return recorder

    Traced().post("http://h/", withhold=True)
    assert steps == ["request True", "prepare", "send", "adapter"]


def test_the_functions_open_and_close_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is looked up in its module at every call."""
    made: list[Any] = []

    class Mine(pooledhttp.Session):
        def __init__(self) -> None:
            super().__init__()
            self.recorder = Recorder()
            self.mount("http://", self.recorder)
            made.append(self)

    monkeypatch.setattr(sessions, "Session", Mine)
    calls: list[tuple[Callable[..., Any], str]] = [
        (getattr(pooledhttp, name), name.upper())
        for name in ("get", "options", "head", "post", "put", "patch", "delete")
    ]
    for function, method in calls:
        function("http://h/")
        request, _ = made[-1].recorder.calls[-1]
        assert request.method == method and made[-1].recorder.closed == 1
    assert pooledhttp.request(b"GET", "http://h/").ok  # type: ignore[arg-type,unused-ignore]


def test_timeout_is_an_error_and_a_setting() -> None:
    """The name catches, and with limits as keywords it makes settings."""
    assert pooledhttp.Timeout is pooledhttp.exceptions.Timeout
    assert pooledhttp.Timeout(total=1, read=2) == Timeout(total=1, read=2)
    error = pooledhttp.Timeout("late", request=None)
    assert isinstance(error, pooledhttp.RequestException) and error.args == ("late",)
    late = pickle.loads(pickle.dumps(pooledhttp.ReadTimeout("x")))
    assert isinstance(late, pooledhttp.Timeout) and late.args == ("x",)


def test_compatibility_is_checked() -> None:
    """Known versions pass, others raise AssertionError."""
    pooledhttp.check_compatibility("2.8.0", None, "3.4.1")
    for versions in (("1.26.20", None, "3.0"), ("3.0.0", None, "3.0"), ("2.8.0", None, "4.0.0")):
        with pytest.raises(AssertionError):
            pooledhttp.check_compatibility(*versions)


def test_heavy_rooms_are_loaded_when_used() -> None:
    """A plain import leaves them out; asking for the attribute brings them."""
    script = (
        "import sys, pooledhttp\n"
        "assert not {'pooledhttp.bulk', 'pooledhttp.monitoring', 'asyncio', 'charset_normalizer'}"
        " & set(sys.modules)\n"
        "assert pooledhttp.bulk.fetch\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost:8000/x", "http://localhost:8000/x"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("www.example.com:80/x", "http://www.example.com:80/x"),
        ("user:secret@host/x", None),
    ],
)
def test_a_host_and_port_is_no_url(url: str, meant: str | None) -> None:
    """The message says what was forgotten, and shows no password."""
    with pytest.raises(pooledhttp.exceptions.InvalidSchema) as caught:
        pooledhttp.get(url)
    assert "the URL has no scheme" in str(caught.value)
    assert meant is None or f"Perhaps you meant {meant}?" in str(caught.value)
    assert "secret" not in str(caught.value)
