"""Adapters of one package on the other's Session: requests' on ours, ours on requests'.

On a session of the real requests our adapter uses the classes of requests: its `Response`, its
exceptions, also where a body breaks off while it is streamed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3
from urllib3.connectionpool import HTTPConnectionPool

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, once, respond
from tests.support.skipping import SkippingRuntime

TIMEOUT = 20


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Responds to everything with 200."""
    with ScriptedServer(answering(respond(b"ok"))) as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session of the real requests whose connections are ours."""
    with requests.Session() as theirs:
        theirs.mount("https://", HTTPAdapter())
        theirs.mount("http://", HTTPAdapter())
        yield theirs


class Canned(requests.adapters.BaseAdapter):
    """Responds without a network, as requests-file and many test doubles do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.is_closed = False

    def send(self, request: Any, **kwargs: Any) -> Any:
        self.calls.append((request, kwargs))
        reply = requests.Response()
        reply.status_code = 302 if request.url.endswith("/go") else 200
        if reply.status_code == 302:
            reply.headers["Location"] = "canned://host/there"
        reply.url = request.url
        reply.request = request
        reply.raw = io.BytesIO(b"canned " + request.method.encode())
        reply.connection = self  # type: ignore[attr-defined]
        return reply

    def close(self) -> None:
        self.is_closed = True


class TestTheirsOnOurs:
    """Adapters on `requests.adapters.BaseAdapter` mount on our Session."""

    def test_it_answers(self) -> None:
        """It is called with the fixed keywords; redirects lead back to it; close reaches it."""
        adapter = Canned()
        with pooledhttp.Session() as ours:
            ours.mount("canned://", adapter)
            reply = ours.get("canned://host/go", timeout=3, verify="/x", cert="/y")
        assert reply.content == b"canned GET"
        assert (reply.url, len(reply.history)) == ("canned://host/there", 1)
        assert adapter.is_closed
        for request, kwargs in adapter.calls:
            assert isinstance(request, pooledhttp.PreparedRequest)
            assert set(kwargs) == {"stream", "timeout", "verify", "cert", "proxies"}
            assert (kwargs["timeout"], kwargs["verify"], kwargs["cert"]) == (3, "/x", "/y")
        assert reply.elapsed.total_seconds() > 0

    @pytest.mark.parametrize(
        ("timeout", "pair"),
        [
            (pooledhttp.Timeout(connect=3, read=4), (3, 4)),
            (pooledhttp.Timeout(write=5), (None, None)),
            (pooledhttp.Timeout(total=3600), (3600, 3600)),
            (pooledhttp.Timeout(total=3600, connect=2), (2, 3600)),
        ],
    )
    def test_a_timeout_is_given_in_the_form_of_requests(
        self, timeout: pooledhttp.Timeout, pair: tuple[float | None, float | None]
    ) -> None:
        """`(connect, read)`, each at most what is left of the total."""
        adapter = Canned()
        with pooledhttp.Session() as ours:
            ours.mount("canned://", adapter)
            ours.get("canned://host/go", timeout=timeout)
        for _, kwargs in adapter.calls:
            for found, most in zip(kwargs["timeout"], pair, strict=True):
                assert found == most or (most == 3600 and 3000 < found < 3600)

    def test_a_total_that_is_over_is_a_short_timeout(self, server: ScriptedServer) -> None:
        """Adapters refuse zero."""
        adapter, runtime = Canned(), SkippingRuntime()
        with pooledhttp.Session(runtime=runtime) as ours:
            ours.mount("canned://", adapter)
            ours.hooks["response"].append(lambda *_, **__: runtime.sleep(9))
            ours.get("canned://host/go", timeout=pooledhttp.Timeout(total=5))
        assert 0 < adapter.calls[1][1]["timeout"][1] < 1

    def test_the_timeout_of_a_bulk_run(self, server: ScriptedServer) -> None:
        """A run has a timeout of ours, and may get a session of requests."""
        for session in (pooledhttp.Session(), requests.Session()):
            session.mount("http://", requests.adapters.HTTPAdapter())  # type: ignore[arg-type]
            (result,) = pooledhttp.bulk.fetch([server.url()], session=session)  # type: ignore[arg-type]
            assert result.response is not None, result.problem
            assert result.response.content == b"ok"

    def test_hooks_and_streaming(self) -> None:
        """Their response goes through our hooks and is read piece by piece."""
        seen: list[Any] = []
        with pooledhttp.Session() as ours:
            ours.mount("canned://", Canned())
            ours.hooks["response"].append(lambda reply, **_: seen.append(reply))
            reply = ours.get("canned://host/", stream=True)
            assert b"".join(reply.iter_content(3)) == b"canned GET"
        assert seen == [reply]

    def test_requests_own_adapter(self, server: ScriptedServer) -> None:
        """The real `HTTPAdapter` sends a request of ours over urllib3, cookies and all."""
        with ScriptedServer(answering(respond(b"x", {"Set-Cookie": "a=b"}))) as running:
            with pooledhttp.Session() as ours:
                ours.mount("http://", requests.adapters.HTTPAdapter())
                assert ours.get(running.url(), timeout=TIMEOUT).content == b"x"
                assert ours.cookies.get_dict() == {"a": "b"}
                ours.post(running.url(), json={"c": 1}, timeout=TIMEOUT)
        assert running.requests[1].header("cookie") == "a=b"
        assert running.requests[1].body == b'{"c": 1}'

    def test_a_field_name_that_is_no_token(self) -> None:
        """It is refused, unless it is put into the prepared request for requests' adapter."""
        with ScriptedServer(answering(respond(b"x"))) as running, pooledhttp.Session() as ours:
            with pytest.raises(pooledhttp.exceptions.InvalidHeader):
                ours.get(running.url(), headers={"a[b]": "1"})
            ours.mount("http://", requests.adapters.HTTPAdapter())
            prepared = ours.prepare_request(pooledhttp.Request("GET", running.url()))
            prepared.headers["a[b]"] = "1"
            assert ours.send(prepared, timeout=TIMEOUT).content == b"x"
        assert running.requests[0].header("a[b]") == "1"


class TestOursOnTheirs:
    """Our adapter on a session of requests."""

    def test_responses_are_theirs(self, session: requests.Session, server: ScriptedServer) -> None:
        """Built as `requests.Response`, over one connection."""
        for _ in range(3):
            reply = session.get(server.url("/a?b"), timeout=TIMEOUT)
            assert type(reply) is requests.Response
            assert (reply.content, reply.text, reply.ok) == (b"ok", "ok", True)
            assert isinstance(reply.request, requests.PreparedRequest)
            assert reply.connection is session.get_adapter(server.url())  # type: ignore[attr-defined]
        assert len(server.connections) == 1
        assert pickle.loads(pickle.dumps(reply)).content == b"ok"

    def test_redirects_cookies_and_auth(self, session: requests.Session) -> None:
        """All that requests does above the adapter goes on working."""

        def answer(seen: SeenRequest) -> bytes:
            if seen.target == "/go":
                fields = {"Location": "/digest", "Set-Cookie": "a=b"}
                return respond(b"moved", fields, status=302, reason="Found")
            if seen.header("authorization") is None:
                challenge = 'Digest realm="r", nonce="n", qop="auth"'
                return respond(b"", {"WWW-Authenticate": challenge}, status=401, reason="No")
            return respond(b"in")

        with ScriptedServer(answering(answer)) as running:
            auth = requests.auth.HTTPDigestAuth("user", "pass")
            reply = session.get(running.url("/go"), auth=auth, timeout=TIMEOUT)
        assert (reply.content, reply.status_code) == (b"in", 200)
        assert session.cookies.get_dict() == {"a": "b"}
        assert len(running.connections) == 1

    def test_refused(self, session: requests.Session) -> None:
        """`requests.ConnectionError`, with urllib3's error within."""
        with pytest.raises(requests.ConnectionError) as caught:
            session.get("http://127.0.0.1:1/", timeout=TIMEOUT)
        assert isinstance(caught.value.args[0].reason, urllib3.exceptions.NewConnectionError)
        assert caught.value.request is not None
        assert type(caught.value).__module__ == "requests.exceptions"

    def test_read_timeout(self, session: requests.Session) -> None:
        """`requests.ReadTimeout` for a head that does not come."""
        with ScriptedServer(lambda peer: peer.wait_closed() and None) as running:
            with pytest.raises(requests.ReadTimeout):
                session.get(running.url(), timeout=0.2)

    def test_not_trusted(self, session: requests.Session, authority: Authority) -> None:
        """It is `requests.exceptions.SSLError`, or a response if the bundle is right."""
        with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as running:
            with pytest.raises(requests.exceptions.SSLError):
                session.get(running.url(), timeout=TIMEOUT)
            session.get(running.url(), verify=authority.bundle, timeout=TIMEOUT)

    def test_proxy(self, session: requests.Session) -> None:
        """`requests.exceptions.ProxyError` for a proxy that is not there."""
        with pytest.raises(requests.exceptions.ProxyError):
            session.get("http://a.test/", proxies={"http": "http://127.0.0.1:1"}, timeout=TIMEOUT)

    def test_bad_url(self, session: requests.Session) -> None:
        """`InvalidURL` and `InvalidProxyURL` of theirs."""
        with pytest.raises(requests.exceptions.InvalidProxyURL):
            session.get("http://a.test/", proxies={"http": "http://"}, timeout=TIMEOUT)

    @pytest.mark.parametrize(
        ("sends", "error"),
        [
            (respond(b"half", length=10), requests.exceptions.ChunkedEncodingError),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
                requests.exceptions.ChunkedEncodingError,
            ),
            (
                respond(b"not gzip", {"Content-Encoding": "gzip"}),
                requests.exceptions.ContentDecodingError,
            ),
        ],
    )
    @pytest.mark.parametrize("is_streamed", [True, False])
    def test_while_reading(
        self, session: requests.Session, sends: bytes, error: Any, is_streamed: bool
    ) -> None:
        """A failure in the body is an exception of requests, too."""
        with ScriptedServer(once(sends)) as running:
            with pytest.raises(error) as caught:
                with session.get(running.url(), stream=is_streamed, timeout=TIMEOUT) as reply:
                    list(reply.iter_content(2))
        assert type(caught.value).__module__ == "requests.exceptions"

    def test_timeout_while_reading(self) -> None:
        """A body that stops coming is a `requests.ConnectionError`, as there."""
        runtime = SkippingRuntime()

        def handle(peer: Peer) -> None:
            peer.read_request()
            peer.send(respond(b"half", length=10))
            runtime.stay_silent(peer)

        with ScriptedServer(handle) as running, requests.Session() as session:
            session.mount("http://", HTTPAdapter(runtime=runtime))
            with session.get(running.url(), stream=True, timeout=5) as reply:
                with pytest.raises(requests.ConnectionError, match="timed out"):
                    list(reply.iter_content(2))

    def test_pool_timeout(self) -> None:
        """A class of ours gets a counterpart in their tree, under the same bases."""
        with requests.Session() as session, ScriptedServer(answering(respond(b"x"))) as running:
            config = pooledhttp.PoolConfig(max_total=1, acquire_timeout=0.1)
            session.mount("http://", HTTPAdapter(pool=config))
            with session.get(running.url(), stream=True, timeout=TIMEOUT):
                with pytest.raises(requests.ConnectionError) as caught:
                    session.get(running.url())
        assert isinstance(caught.value, requests.Timeout)
        assert type(caught.value).__name__ == "PoolTimeout"
        assert isinstance(caught.value.args[0], pooledhttp.PoolTimeout)

    def test_retries(self, session: requests.Session) -> None:
        """`RetryError` of requests when the retries of urllib3's policy run out."""
        retries = urllib3.Retry(1, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", HTTPAdapter(max_retries=retries))
        with ScriptedServer(answering(respond(status=503, reason="Busy"))) as running:
            with pytest.raises(requests.exceptions.RetryError):
                session.get(running.url(), timeout=TIMEOUT)
        assert len(running.requests) == 2

    def test_sessions_pickle(self, session: requests.Session, server: ScriptedServer) -> None:
        """With our adapter in them."""
        with pickle.loads(pickle.dumps(session)) as copy:
            assert isinstance(copy.get_adapter("http://x"), HTTPAdapter)
            assert copy.get(server.url(), timeout=TIMEOUT).content == b"ok"


class TestPatchedUrllib3:
    """While a recorder or mock has patched urllib3, every request goes through it."""

    def test_urlopen(
        self, http: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`HTTPConnectionPool.urlopen` replaced, as pook and many tests do it."""
        body = io.BytesIO(b"mocked")
        answer = urllib3.HTTPResponse(body, status=200, preload_content=False)
        with http.Session() as session:
            assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
            with monkeypatch.context() as patch:
                patch.setattr(HTTPConnectionPool, "urlopen", lambda *args, **kwargs: answer)
                assert session.get(server.url(), timeout=TIMEOUT).content == b"mocked"
            assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
        assert len(server.requests) == 2

    def test_connections(
        self, http: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`ConnectionCls` replaced, as vcrpy does it; the settings of TLS are kept."""
        made: list[str] = []

        class Recorder(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                made.append(self.host)
                super().connect()

        pools = urllib3.connectionpool.HTTPSConnectionPool
        monkeypatch.setattr(pools, "ConnectionCls", Recorder)
        with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as running:
            with http.Session() as session:
                reply = session.get(running.url(), verify=authority.bundle, timeout=TIMEOUT)
                assert reply.content == b"ok"
                with pytest.raises(http.exceptions.SSLError):
                    session.get(running.url(), timeout=TIMEOUT)
        assert made[0] == "127.0.0.1"
