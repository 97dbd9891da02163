"""Bulk fetching over real sockets, and what it takes from a session."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.bulk.retrying import Again
from pooledhttp.events import RequestHook
from pooledhttp.network import Address, Resolver, SocketOptions, StaticResolver
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from pooledhttp.transport import TransportManager
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.engines import engine
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond

__all__ = ["engine"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Try again at once."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)


def echo(seen: SeenRequest) -> bytes:
    return respond(seen.target.encode())


def workers() -> list[str]:
    return [each.name for each in threading.enumerate() if "pooledhttp-bulk" in each.name]


def test_each_url_gets_its_own_body_over_few_connections() -> None:
    """No more connections than allowed for the host, and none is left open."""
    before = open_descriptors()
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(300)]
        with bulk.fetch(urls, jobs=16, per_host=4) as results:
            for result in results:
                assert result.response is not None
                assert result.response.content == f"/{result.index}".encode()
                assert result.attempts == 1
            stats = results.stats().total
        server.wait_all_closed()
        assert len(server.connections) <= 4
        assert stats.created == len(server.connections)
        assert stats.acquired == 300 and stats.reused == 300 - stats.created
    assert workers() == []
    assert wait_until_closed(before) == {}


def test_it_works_over_tls_with_the_sessions_trust(tmp_path: Path) -> None:
    """`verify` comes from the session, which is not used itself."""
    authority = Authority(tmp_path)
    with ScriptedServer(answering(echo), tls=authority.server_context()) as server:
        urls = [server.url(f"/{number}") for number in range(20)]
        with pooledhttp.Session() as session:
            session.verify = authority.bundle
            assert all(result.ok for result in bulk.fetch(urls, session))
            assert session.pool.stats().total.created == 0
        untrusted = list(bulk.fetch(urls[:1]))
        assert isinstance(untrusted[0].error, pooledhttp.exceptions.SSLError)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_whatever_goes_wrong_is_the_items_own_result() -> None:
    """Refused, cut short, an error status, a URL that is none: the others are fetched."""

    def cut(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            if seen.target == "/cut":
                peer.send(respond(b"half", length=1000))
                peer.close()
                return
            peer.send(respond(b"x", status=404 if seen.target == "/missing" else 200))

    with ScriptedServer(cut) as server:
        urls = [
            server.url("/good"),
            f"http://127.0.0.1:{closed_port()}/",
            server.url("/cut"),
            server.url("/missing"),
            "no-url",
            "gopher://127.0.0.1/",
            server.url("/good"),
        ]
        results = list(bulk.fetch(urls, ordered=True))
    kinds = [type(result.error) for result in results]
    errors = pooledhttp.exceptions
    assert kinds == [
        type(None),
        errors.ConnectionError,
        errors.ChunkedEncodingError,
        type(None),
        errors.MissingSchema,
        errors.InvalidSchema,
        type(None),
    ]
    assert [result.ok for result in results] == [True, False, False, False, False, False, True]
    assert [result.url for result in results] == urls


def test_the_timeout_is_for_the_whole_item() -> None:
    """A server that trickles does not keep an item alive."""

    def trickle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(length=10_000))
        pause = threading.Event()
        while not pause.wait(0.05):
            peer.send(b"x")

    with ScriptedServer(trickle) as server:
        (result,) = bulk.fetch([server.url()], timeout=0.4)
    assert isinstance(result.error, (pooledhttp.exceptions.Timeout, pooledhttp.ConnectionError))
    assert 0.4 <= result.elapsed < 5


@pytest.mark.parametrize("stage", ["head", "body", "tls"])
def test_leaving_early_closes_connections_that_wait(stage: str) -> None:
    """Whatever each was waiting for; the server sees the ends of all."""
    before = open_descriptors()

    def stall(peer: Peer) -> None:
        if stage == "tls":
            peer.wait_closed()
            return
        seen = peer.read_request()
        if seen.target == "/0":
            peer.send(respond(b"first"))
            peer.wait_closed()
            return
        if stage == "body":
            peer.send(respond(b"begin", length=1000))
        peer.wait_closed()

    with ScriptedServer(stall) as server:
        scheme = "https" if stage == "tls" else "http"
        urls = [server.url(f"/{number}").replace("http", scheme) for number in range(20)]
        with bulk.fetch(urls, jobs=8, per_host=8) as results:
            if stage == "tls":
                results._read_on()
                server.wait_for(lambda: len(server.connections) == 8)
            else:
                assert next(results).url == urls[0]
                server.wait_for(lambda: len(server.requests) >= 8)
        assert workers() == []
        server.wait_all_closed()
    assert wait_until_closed(before) == {}


def test_a_session_gives_its_settings_and_keeps_its_state() -> None:
    """Its headers, cookies and the like are used; what servers set stays with the engine."""
    heard: list[str] = []

    def hook(response: Any, **settings: Any) -> None:
        heard.append(response.url)

    answer = respond(b"", [("Set-Cookie", "new=1")])
    with ScriptedServer(answering(answer)) as server, pooledhttp.Session() as session:
        session.headers["X-Own"] = "yes"
        session.params = {"p": "1"}
        session.auth = ("me", "secret")
        session.cookies.set("old", "2")
        session.hooks["response"].append(hook)
        (result,) = bulk.fetch([server.url("/a")], session)
        (seen,) = server.requests
        assert seen.target == "/a?p=1"
        assert seen.header("x-own") == "yes"
        assert (seen.header("authorization") or "").startswith("Basic ")
        assert seen.header("cookie") == "old=2"
        assert heard == [result.response.url]  # type: ignore[union-attr]
        assert session.cookies.get_dict() == {"old": "2"}
        assert session.pool.stats().total.created == 0


class Canned(BaseAdapter):
    """An adapter of the user's own, which knows its answer without asking."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.is_closed = False

    def send(self, request: Any, *args: Any, **settings: Any) -> Any:
        self.sent += 1
        response = pooledhttp.Response()
        response.status_code = 200
        response._content = b"canned"
        response.url = request.url
        response.request = request
        return response

    def close(self) -> None:
        self.is_closed = True


def test_adapters_of_the_users_own_are_used_and_left_open() -> None:
    """Only that prefix goes to it."""
    canned = Canned()
    with ScriptedServer(answering(echo)) as server, pooledhttp.Session() as session:
        session.mount("http://canned.test", canned)
        first, second = bulk.fetch(["http://canned.test/", server.url("/x")], session, ordered=True)
        assert first.response is not None and first.response.content == b"canned"
        assert second.response is not None and second.response.content == b"/x"
        assert canned.sent == 1
        assert not canned.is_closed
        assert session.get_adapter("http://canned.test/") is canned


def test_retries_of_the_session_are_made_and_counted() -> None:
    """Given to the session or to a plain adapter."""

    def flaky() -> Callable[[SeenRequest], bytes]:
        turns = iter([503, 503, 200])
        return lambda seen: respond(b"x", status=next(turns))

    policy = pooledhttp.Retry(total=3, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(answering(flaky())) as server, pooledhttp.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=policy))
        (result,) = bulk.fetch([server.url()], session)
        assert result.ok and result.attempts == 3
    with ScriptedServer(answering(flaky())) as server:
        (result,) = bulk.fetch([server.url()], pooledhttp.Session(retries=policy))
        assert result.ok and result.attempts == 3


def test_listeners_of_the_session_hear_of_the_engines_connections() -> None:
    """So that a program that watches its connections sees these, too."""
    events: list[Any] = []
    with ScriptedServer(answering(echo)) as server:
        list(bulk.fetch([server.url()], pooledhttp.Session(listeners=[events.append])))
    assert "ConnectionOpened" in [type(event).__name__ for event in events]


def test_jobs_say_what_is_sent() -> None:
    """Method, body, headers and parameters of one job do not touch another."""
    with ScriptedServer(answering(echo)) as server:
        jobs = [
            bulk.Job(server.url("/a"), method="POST", data={"k": "v"}, key="form"),
            bulk.Job(server.url("/b"), method="PUT", json=[1], headers={"X-One": "1"}),
            server.url("/c"),
        ]
        results = list(bulk.fetch(jobs, ordered=True))
        seen = {each.target: each for each in server.requests}
    assert seen["/a"].body == b"k=v" and seen["/a"].method == "POST"
    assert seen["/b"].body == b"[1]" and seen["/b"].header("x-one") == "1"
    assert seen["/c"].method == "GET" and seen["/c"].header("x-one") is None
    assert [result.key for result in results] == ["form", None, None]


def test_bodies_are_streamed_to_files(tmp_path: Path) -> None:
    """The file is under its name when the result comes; an error page makes no file."""

    def answer(seen: SeenRequest) -> bytes:
        if seen.target == "/gone.bin":
            return respond(b"gone", status=410)
        return respond(seen.target.encode() * 50_000)

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(path) for path in ("/a.bin", "/d/a.bin", "/gone.bin")]
        results = list(bulk.fetch(urls, sink=bulk.to_files(tmp_path / "out"), ordered=True))
        stats_connections = len(server.connections)
    assert results[0].saved == tmp_path / "out" / "a.bin"
    assert results[0].saved.read_bytes() == b"/a.bin" * 50_000
    assert results[1].saved.read_bytes() == b"/d/a.bin" * 50_000
    assert results[2].saved is None and results[2].problem == "HTTP 410 OK"
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert stats_connections <= 3


def test_a_single_string_is_no_list() -> None:
    """It would be taken apart into letters."""
    with pytest.raises(TypeError, match="list"):
        bulk.fetch("http://a/")  # type: ignore[arg-type]


def test_a_file_of_certificates_that_cannot_be_used_is_tried_once(
    tmp_path: Path, authority: Authority
) -> None:
    """It is the same at the next attempt: each URL fails at once, and names it."""
    (tmp_path / "rubbish.pem").write_text("rubbish")
    tls = authority.server_context()
    for setting in ("verify", "cert"):
        session = pooledhttp.Session()
        session.verify = authority.bundle
        setattr(session, setting, str(tmp_path / "rubbish.pem"))
        with ScriptedServer(answering(echo), tls=tls) as server:
            urls = [server.url(f"/{number}") for number in range(3)]
            results = list(bulk.fetch(urls, session=session))
        assert [result.attempts for result in results] == [1, 1, 1]
        assert all("rubbish.pem" in str(result.error) for result in results)


class _Refusing:
    """A resolver that refuses each host, as a guard against inner addresses does."""

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        raise PermissionError(f"{host} is not allowed")


def _guarded(how: str, resolver: Resolver) -> pooledhttp.Session:
    if how == "manager":
        return pooledhttp.Session(pool=TransportManager(resolver=resolver))
    if how == "view":
        return pooledhttp.Session(pool=_guarded("manager", resolver).pool)
    session = pooledhttp.Session()
    pool = None if how == "adapter" else TransportManager(resolver=resolver)
    session.mount(
        "http://", HTTPAdapter(resolver=resolver if how == "adapter" else None, pool=pool)
    )
    return session


@pytest.mark.parametrize("how", ["adapter", "adapter's pool", "manager", "view"])
def test_names_are_looked_up_by_the_sessions_resolver(how: str) -> None:
    """Wherever it was given: it may be what keeps requests away from inner addresses."""
    names = StaticResolver({"inner.test": ["127.0.0.1"]})
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}", host="inner.test") for number in range(3)]
        found = list(bulk.fetch(urls, session=_guarded(how, names), ordered=True))
        assert [result.ok for result in found] == [True] * 3
        refused = list(bulk.fetch(urls, session=_guarded(how, _Refusing()), engine="threads"))
        assert len(server.requests) == 3
        assert all("is not allowed" in str(result.error) for result in refused)


@pytest.mark.parametrize("how", ["adapter", "manager", "keywords"])
def test_sockets_have_the_sessions_options(how: str) -> None:
    """Such as the address that requests come from."""
    options = SocketOptions(source_address=("127.0.0.2", 0))
    session = pooledhttp.Session()
    if how == "manager":
        session = pooledhttp.Session(pool=TransportManager(socket_options=options))
    elif how == "adapter":
        session.mount("http://", HTTPAdapter(socket_options=options))
    else:
        adapter = HTTPAdapter()
        adapter.init_poolmanager(10, 10, source_address=("127.0.0.2", 0))
        session.mount("http://", adapter)
    seen: list[str] = []

    def handle(peer: Peer) -> None:
        seen.append(peer.sock.getpeername()[0])
        answering(echo)(peer)

    with ScriptedServer(handle) as server:
        assert all(result.ok for result in bulk.fetch([server.url("/a")], session=session))
    assert seen == ["127.0.0.2"]


def test_responses_are_read_within_the_adapters_limits() -> None:
    """And request hooks of the adapter and of the session see each request."""
    seen: list[str] = []

    def hook(name: str) -> RequestHook:
        return lambda request: seen.append(name)

    many = [(f"X-{number}", "x") for number in range(20)]
    session = pooledhttp.Session(request_hooks=[hook("session")])
    session.mount("http://", HTTPAdapter(max_response_fields=10, request_hooks=[hook("adapter")]))
    with ScriptedServer(answering(respond(b"x", many))) as server:
        (result,) = bulk.fetch([server.url("/a")], session=session, retries=0)
    assert result.error is not None and "fields" in str(result.error)
    assert sorted(seen) == ["adapter", "session"]


@pytest.mark.parametrize("how", ["adapter", "adapter's pool", "manager", "hooks"])
def test_workers_have_the_resolver_or_are_refused(how: str) -> None:
    """A pool stays in this process, so its resolver would be missing there, without a word."""
    names = StaticResolver({"inner.test": ["127.0.0.1"]})
    session = _guarded("adapter" if how == "hooks" else how, names)
    if how == "hooks":
        session.mount("http://", HTTPAdapter(request_hooks=[lambda request: None]))
    with ThreadPoolExecutor(2) as executor, ScriptedServer(answering(echo)) as server:
        urls = [server.url("/a", host="inner.test")]
        if how == "adapter":
            (result,) = bulk.fetch(urls, session=session, executor=executor)
            assert result.ok
        else:
            with pytest.raises(ValueError, match="would be missing in workers"):
                bulk.fetch(urls, session=session, executor=executor)


@pytest.mark.parametrize("name", ["send", "add_headers", "cert_verify", "build_response"])
def test_a_method_that_was_replaced_on_an_adapter_is_called(name: str) -> None:
    """On threads, as that of a class of its own; workers would not have it."""
    session = pooledhttp.Session()
    adapter, called = session.adapters["http://"], []
    original = getattr(adapter, name)

    def replaced(*values: Any, **named: Any) -> Any:
        called.append(name)
        return original(*values, **named)

    setattr(adapter, name, replaced)
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(3)]
        with bulk.fetch(urls, session=session) as results:
            assert [result.ok for result in results] == [True] * 3
            assert results.engine == "threads"
        assert called == [name] * 3
        with (
            ThreadPoolExecutor(2) as executor,
            pytest.raises(ValueError, match="would be missing in workers"),
        ):
            bulk.fetch(urls, session=session, executor=executor)
    session.close()
