"""Each method that subclasses of an adapter override has the same effect in both packages.

The adapters here are the ones people write for requests, and run once on each package. Where the
effect of a setting is none, because what the call says overrules it, that is part of the contract
too: a keyword that switched verification off only here would be a hole.
"""

from __future__ import annotations

import hashlib
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, respond

TIMEOUT = 20


def with_keywords(http: Any, **keywords: Any) -> Any:
    """An adapter whose `init_poolmanager` adds keywords and calls up."""

    class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, **kwargs, **keywords)

    return Adapter()


def mounted(http: Any, adapter: Any) -> Any:
    """A session that sends everything through `adapter`."""
    session = http.Session()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def fetch(http: Any, adapter: Any, url: str, **settings: Any) -> Any:
    """A response of `url` through `adapter`."""
    with mounted(http, adapter) as session:
        return session.get(url, timeout=TIMEOUT, **settings)


def autospec() -> Any:
    """A mock that has only what the class of urllib3 has."""
    return mock.Mock(return_value=mock.create_autospec(urllib3.ProxyManager, instance=True))


class ForeignContext:
    """A context that is none of `ssl`'s, and shows the certificate that it was made with."""

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        inner = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if certificate is not None:
            inner.load_cert_chain(*certificate)
        self.__dict__.update(inner=inner, wrapped=0)

    def wrap_socket(self, *args: Any, **keywords: Any) -> Any:
        """Start TLS, and count it."""
        self.__dict__["wrapped"] += 1
        return self.inner.wrap_socket(*args, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name == "wrap_bio":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)


class TestKeywords:
    """What `init_poolmanager` is given drives the transport."""

    def test_a_context_is_trusted(
        self, http: Any, secure: ScriptedServer, authority: Authority
    ) -> None:
        """What the context trusts is trusted, without `verify=` in the call."""
        adapter = with_keywords(http, ssl_context=authority.client_context())
        assert fetch(http, adapter, secure.url()).content == b"ok"
        with pytest.raises(http.exceptions.SSLError):
            fetch(http, http.adapters.HTTPAdapter(), secure.url())

    def test_a_context_of_another_library(self, http: Any, authority: Authority) -> None:
        """It wraps sockets and nothing else, as urllib3's for pyOpenSSL."""
        asking = authority.new_server_context()
        asking.verify_mode = ssl.CERT_REQUIRED
        asking.load_verify_locations(authority.bundle)
        context = ForeignContext(authority.write_certificate("me", stem="client-in-foreign"))
        adapter = with_keywords(http, ssl_context=context)
        with ScriptedServer(answering(respond(b"ok")), tls=asking) as running:
            with mounted(http, adapter) as session:
                for _ in range(2):
                    reply = session.get(running.url(), verify=authority.bundle, timeout=TIMEOUT)
                    assert reply.content == b"ok"
            with mounted(http, with_keywords(http, ssl_context=ForeignContext())) as session:
                with pytest.raises(http.exceptions.SSLError):
                    session.get(running.url(), timeout=TIMEOUT)
        assert context.wrapped == 1

    def test_a_context_of_another_library_for_a_proxy(
        self, http: Any, authority: Authority
    ) -> None:
        """The proxy is verified by it, before it is asked for a tunnel."""
        context = ForeignContext()
        context.load_verify_locations(authority.bundle)

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc]
            def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
                return super().proxy_manager_for(proxy, proxy_ssl_context=context, **keywords)

        refusal = respond(status=407, reason="Proxy Authentication Required")
        with ScriptedServer(answering(refusal), tls=authority.server_context()) as proxy:
            with pytest.raises(http.exceptions.ConnectionError):
                proxies = {"https": f"https://localhost:{proxy.port}"}
                fetch(http, Adapter(), "https://inner.invalid/", proxies=proxies)
        assert context.wrapped == 1
        assert [request.method for request in proxy.requests] == ["CONNECT"]

    def test_a_contexts_limits_hold(self, http: Any, authority: Authority) -> None:
        """The versions of TLS that the context allows are those that are spoken."""
        old = authority.new_server_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        context = authority.client_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with ScriptedServer(answering(respond()), tls=old) as running:
            with pytest.raises(http.exceptions.SSLError):
                fetch(http, with_keywords(http, ssl_context=context), running.url())

    def test_a_contexts_certificate_is_shown(self, http: Any, authority: Authority) -> None:
        """A context may carry the client's certificate."""
        asking = authority.new_server_context()
        asking.verify_mode = ssl.CERT_REQUIRED
        asking.load_verify_locations(authority.bundle)
        context = authority.client_context()
        context.load_cert_chain(*authority.write_certificate("me", stem="client-in-context"))
        with ScriptedServer(answering(respond(b"ok")), tls=asking) as running:
            adapter = with_keywords(http, ssl_context=context)
            assert fetch(http, adapter, running.url()).content == b"ok"
            with pytest.raises(http.exceptions.ConnectionError):
                fetch(http, http.adapters.HTTPAdapter(), running.url(), verify=authority.bundle)

    @pytest.mark.parametrize(
        "keyword",
        [
            {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
            {"ssl_version": ssl.PROTOCOL_TLS_CLIENT, "ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
        ],
    )
    def test_a_minimum_version(self, http: Any, authority: Authority, keyword: Any) -> None:
        """A server below it is refused."""
        old = authority.new_server_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with ScriptedServer(answering(respond(b"ok")), tls=old) as running:
            with pytest.raises(http.exceptions.SSLError):
                fetch(http, with_keywords(http, **keyword), running.url(), verify=authority.bundle)
            fetch(http, http.adapters.HTTPAdapter(), running.url(), verify=authority.bundle)

    def test_a_maximum_version(self, http: Any, authority: Authority) -> None:
        """A server above it is refused."""
        new = authority.new_server_context()
        new.minimum_version = ssl.TLSVersion.TLSv1_3
        adapter = with_keywords(http, ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
        with ScriptedServer(answering(respond(b"ok")), tls=new) as running:
            with pytest.raises(http.exceptions.SSLError):
                fetch(http, adapter, running.url(), verify=authority.bundle)

    def test_a_source_address(self, http: Any) -> None:
        """The server is called from there."""
        called_from: list[str] = []

        def handle(peer: Peer) -> None:
            called_from.append(peer.sock.getpeername()[0])
            answering(respond(b"ok"))(peer)

        with ScriptedServer(handle) as running:
            fetch(http, with_keywords(http, source_address=("127.0.0.2", 0)), running.url())
        assert called_from == ["127.0.0.2"]

    def test_socket_options(self, http: Any, server: ScriptedServer) -> None:
        """They replace the usual ones."""
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        with mounted(http, with_keywords(http, socket_options=options)) as session:
            with session.get(server.url(), stream=True, timeout=TIMEOUT) as reply:
                twin = socket.socket(fileno=socket.dup(reply.raw.fileno()))
                with twin:
                    assert twin.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                    assert twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0

    @pytest.mark.parametrize(("name", "is_right"), [("far.test", True), ("near.test", False)])
    def test_assert_hostname(
        self, http: Any, authority: Authority, name: str, is_right: bool
    ) -> None:
        """The certificate has to be for that name, not for the host of the URL."""
        adapter = with_keywords(http, assert_hostname=name)
        context = authority.server_context("far.test")
        with ScriptedServer(answering(respond(b"ok")), tls=context) as running:
            if is_right:
                fetch(http, adapter, running.url(), verify=authority.bundle)
            else:
                with pytest.raises(http.exceptions.SSLError):
                    fetch(http, adapter, running.url(), verify=authority.bundle)

    def test_assert_hostname_off(self, http: Any, authority: Authority) -> None:
        """`False` takes a certificate for any name, of a known authority still."""
        adapter = with_keywords(http, assert_hostname=False)
        context = authority.server_context("far.test")
        with ScriptedServer(answering(respond(b"ok")), tls=context) as running:
            fetch(http, adapter, running.url(), verify=authority.bundle)
            with pytest.raises(http.exceptions.SSLError):
                fetch(http, with_keywords(http, assert_hostname=False), running.url())

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    @pytest.mark.parametrize("verify", [True, False])
    def test_assert_fingerprint(
        self, http: Any, secure: ScriptedServer, authority: Authority, verify: bool
    ) -> None:
        """The fingerprint of the certificate is checked; its authority does not matter."""
        pem = ssl.get_server_certificate(("127.0.0.1", secure.port))
        right = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        settings = {"verify": authority.bundle if verify else False}
        fetch(http, with_keywords(http, assert_fingerprint=right), secure.url(), **settings)
        wrong = with_keywords(http, assert_fingerprint="00" * 32)
        with pytest.raises(http.exceptions.SSLError):
            fetch(http, wrong, secure.url(), **settings)

    @pytest.mark.parametrize("reqs", ["CERT_NONE", ssl.CERT_NONE])
    def test_the_call_overrules_cert_reqs(
        self, http: Any, secure: ScriptedServer, reqs: Any
    ) -> None:
        """`verify=True` of the call overrides `cert_reqs`."""
        with pytest.raises(http.exceptions.SSLError):
            fetch(http, with_keywords(http, cert_reqs=reqs), secure.url())

    def test_the_call_overrules_ca_certs(
        self, http: Any, secure: ScriptedServer, authority: Authority
    ) -> None:
        """`verify=True` means the bundle of the package, `verify=path` that one."""
        with pytest.raises(http.exceptions.SSLError):
            fetch(http, with_keywords(http, ca_certs=authority.bundle), secure.url())
        adapter = with_keywords(http, ca_certs="/nowhere")
        fetch(http, adapter, secure.url(), verify=authority.bundle)

    def test_sizes_are_kept(self, http: Any) -> None:
        """`connection_pool_kw` tells what the pools are made with."""
        adapter = http.adapters.HTTPAdapter(pool_connections=3, pool_maxsize=7, pool_block=True)
        told = adapter.poolmanager.connection_pool_kw
        assert (told["maxsize"], told["block"]) == (7, True)
        assert (adapter._pool_connections, adapter._pool_maxsize, adapter._pool_block) == (
            3,
            7,
            True,
        )

    def test_keywords_reach_proxies_only_by_proxy_manager_for(
        self, http: Any, secure: ScriptedServer, authority: Authority
    ) -> None:
        """Settings for proxied connections are given where their manager is made."""
        seen: list[dict[str, Any]] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
                kwargs["ssl_context"] = authority.client_context()
                seen.append(kwargs)
                return super().proxy_manager_for(proxy, **kwargs)

        with ScriptedServer(tunnelling) as proxy:
            reply = fetch(http, Adapter(), secure.url(), proxies={"https": proxy.url("")})
        assert reply.content == b"ok"
        assert seen


def only_pool(adapter: Any) -> Any:
    """The one pool in an adapter's manager."""
    pools = adapter.poolmanager.pools
    (key,) = pools.keys()
    return pools[key]


def tunnelling(peer: Peer) -> None:
    """Respond to CONNECT, then relay bytes until one side closes."""
    head = peer.read_head()
    assert head.method == "CONNECT"
    host, _, port = head.target.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as there:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pass_on(peer.sock, there)


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes both ways until one side ends."""
    ways = {one: other, other: one}
    while True:
        for ready in select.select(list(ways), [], [], TIMEOUT)[0]:
            data = ready.recv(65536)
            if not data:
                return
            ways[ready].sendall(data)


class TestOwnPools:
    """A subclass may bring urllib3's pools, and is sent through them."""

    def test_an_own_manager(self, http: Any, server: ScriptedServer) -> None:
        """`self.poolmanager` set in `init_poolmanager`, without calling up."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def init_poolmanager(self, connections: int, maxsize: int, block: bool = False) -> None:
                self.poolmanager = urllib3.PoolManager(
                    num_pools=connections, maxsize=maxsize, block=block
                )

        adapter = Adapter()
        session = mounted(http, adapter)
        for _ in range(2):
            assert session.get(server.url("/a?b"), timeout=TIMEOUT).content == b"ok"
        pool = only_pool(adapter)
        assert (pool.num_connections, pool.num_requests) == (1, 2)
        session.close()
        assert len(adapter.poolmanager.pools) == 0

    def test_a_manager_set_later(self, http: Any, server: ScriptedServer) -> None:
        """Assigned to an adapter that was used already."""
        adapter = http.adapters.HTTPAdapter()
        session = mounted(http, adapter)
        session.get(server.url(), timeout=TIMEOUT)
        adapter.poolmanager = urllib3.PoolManager()
        session.get(server.url(), timeout=TIMEOUT)
        assert only_pool(adapter).num_requests == 1
        session.close()

    def test_errors_of_own_pools_are_translated(self, http: Any) -> None:
        """The error is of requests' class, with urllib3's error inside."""
        adapter = http.adapters.HTTPAdapter(max_retries=1)
        adapter.poolmanager = urllib3.PoolManager()
        with pytest.raises(http.exceptions.ConnectionError) as caught:
            fetch(http, adapter, "http://127.0.0.1:1/")
        assert isinstance(caught.value.args[0], urllib3.exceptions.MaxRetryError)
        assert isinstance(caught.value.args[0].reason, urllib3.exceptions.NewConnectionError)
        assert caught.value.request.url == "http://127.0.0.1:1/"

    def test_a_pool_over_a_unix_socket(self, http: Any, tmp_path: Path) -> None:
        """As docker and requests-unixsocket do it."""
        path = str(tmp_path / "socket")

        class Connection(HTTPConnection):
            def connect(self) -> None:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(TIMEOUT)
                self.sock.connect(path)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
                return Pool("localhost")

            def request_url(self, request: Any, proxies: Any) -> Any:
                return request.path_url

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with ScriptedServer(answering(respond(b"over unix"))) as behind:

                def serve() -> None:
                    sock, _ = listener.accept()
                    there = socket.create_connection(("127.0.0.1", behind.port), TIMEOUT)
                    with sock, there:
                        pass_on(sock, there)

                thread = threading.Thread(target=serve)
                thread.start()
                session = mounted(http, Adapter())
                session.mount("http+docker://", Adapter())
                with session.get("http+docker://host/path?q", stream=True) as reply:
                    assert reply.raw.read() == b"over unix"
                reply.raw.close()
                session.close()
        thread.join(TIMEOUT)
        assert behind.requests[0].target == "/path?q"


class TestMethods:
    """Overridden methods have their effect."""

    def test_pool_key_attributes(self, http: Any, secure: ScriptedServer) -> None:
        """Where the connection leads, and on which terms, can be changed before it is looked up."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def build_connection_pool_key_attributes(
                self, request: Any, verify: Any, cert: Any = None
            ) -> Any:
                place, terms = super().build_connection_pool_key_attributes(request, verify, cert)
                place.update(host="127.0.0.1", port=secure.port)
                return place, terms

        with pytest.raises(http.exceptions.SSLError):
            fetch(http, Adapter(), "https://elsewhere.test/")
        assert secure.requests == []

    def test_pool_key_attributes_tls(
        self, http: Any, secure: ScriptedServer, authority: Authority
    ) -> None:
        """A context put among the attributes is used."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def build_connection_pool_key_attributes(
                self, request: Any, verify: Any, cert: Any = None
            ) -> Any:
                place, terms = super().build_connection_pool_key_attributes(request, verify, cert)
                terms["ssl_context"] = authority.client_context()
                return place, terms

        assert fetch(http, Adapter(), secure.url()).content == b"ok"

    def test_get_connection_with_tls_context(self, http: Any, server: ScriptedServer) -> None:
        """Its arguments are those of the call; what it returns is used."""
        seen: list[Any] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def get_connection_with_tls_context(
                self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
            ) -> Any:
                seen.append((request.url, verify, dict(proxies), cert))
                request = request.copy()
                request.url = server.url()
                return super().get_connection_with_tls_context(request, verify, proxies, cert)

        reply = fetch(http, Adapter(), "http://elsewhere.test/x", verify="/some/path")
        assert reply.content == b"ok"
        assert seen == [("http://elsewhere.test/x", "/some/path", {}, None)]
        assert server.requests[0].target == "/x"
        assert reply.url == "http://elsewhere.test/x"

    def test_on_the_instance(self, http: Any, server: ScriptedServer) -> None:
        """A method set on one adapter counts for that one, also when it was used before."""
        adapter = http.adapters.HTTPAdapter()
        session = mounted(http, adapter)
        session.get(server.url(), timeout=TIMEOUT)
        with ScriptedServer(answering(respond(b"other"))) as other:
            pool = urllib3.HTTPConnectionPool("127.0.0.1", other.port)
            adapter.get_connection_with_tls_context = lambda *args, **kwargs: pool
            assert session.get(server.url(), timeout=TIMEOUT).content == b"other"
            pool.close()
        session.close()

    def test_get_connection_alone_is_not_asked(self, http: Any, server: ScriptedServer) -> None:
        """The deprecated method of old adapters has no effect, and warns its caller."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def get_connection(self, url: Any, proxies: Any = None) -> Any:
                raise AssertionError("asked")

        assert fetch(http, Adapter(), server.url()).content == b"ok"
        with pytest.warns(DeprecationWarning):
            conn = http.adapters.HTTPAdapter().get_connection(server.url())
        assert (conn.host, conn.port) == ("127.0.0.1", server.port)

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_cert_verify(self, http: Any, secure: ScriptedServer, authority: Authority) -> None:
        """What it puts on the pool decides, call by call."""
        asked: list[Any] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
                asked.append((url, verify, cert))
                super().cert_verify(conn, url, authority.bundle, cert)

        assert fetch(http, Adapter(), secure.url()).content == b"ok"
        assert asked == [(secure.url(), True, None)]

    def test_add_headers(self, http: Any, server: ScriptedServer) -> None:
        """It is called with what is sent, and may add to it."""
        seen: list[Any] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def add_headers(self, request: Any, **kwargs: Any) -> None:
                seen.append(sorted(kwargs))
                request.headers["X-Added"] = "yes"

        reply = fetch(http, Adapter(), server.url())
        assert server.requests[0].header("x-added") == "yes"
        assert reply.request.headers["X-Added"] == "yes"
        assert seen == [["cert", "proxies", "stream", "timeout", "verify"]]

    def test_proxy_headers(self, http: Any, secure: ScriptedServer, authority: Authority) -> None:
        """They go to the proxy: on CONNECT, not through it."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def proxy_headers(self, proxy: str) -> dict[str, str]:
                return {**super().proxy_headers(proxy), "X-Proxy": "only"}

        with ScriptedServer(tunnelling) as proxy:
            way = proxy.url("").replace("//", "//user:pass@")
            fetch(http, Adapter(), secure.url(), proxies={"https": way}, verify=authority.bundle)
        assert proxy.requests[0].header("x-proxy") == "only"
        assert proxy.requests[0].header("proxy-authorization") == "Basic dXNlcjpwYXNz"
        assert secure.requests[0].header("x-proxy") is None
        assert secure.requests[0].header("proxy-authorization") is None

    def test_proxy_headers_of_plain_http(self, http: Any, server: ScriptedServer) -> None:
        """Where the proxy reads the request itself, they are in it."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def proxy_headers(self, proxy: str) -> dict[str, str]:
                return {"X-Proxy": "yes"}

        fetch(http, Adapter(), "http://elsewhere.test/x", proxies={"http": server.url("")})
        assert server.requests[0].target == "http://elsewhere.test/x"
        assert server.requests[0].header("x-proxy") == "yes"

    def test_an_own_proxy_manager(self, http: Any, server: ScriptedServer) -> None:
        """What `proxy_manager_for` returns is used, and remembered where it puts it."""
        made: list[Any] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
                made.append(urllib3.ProxyManager(proxy, proxy_headers={"X-Mine": "1"}))
                return made[-1]

        fetch(http, Adapter(), "http://elsewhere.test/x", proxies={"http": server.url("")})
        assert server.requests[0].header("x-mine") == "1"
        assert len(made) == 1

    def test_proxy_managers_are_remembered(self, http: Any, server: ScriptedServer) -> None:
        """One for each proxy, emptied by `close`."""
        adapter = http.adapters.HTTPAdapter()
        manager = adapter.proxy_manager_for("http://127.0.0.1:8")
        assert adapter.proxy_manager == {"http://127.0.0.1:8": manager}
        assert adapter.proxy_manager_for("http://127.0.0.1:8") is manager
        cleared: list[str] = []
        manager.clear = lambda: cleared.append("proxy")
        adapter.poolmanager.clear = lambda: cleared.append("direct")
        adapter.close()
        assert sorted(cleared) == ["direct", "proxy"]

    @pytest.mark.parametrize("kind", [mock.Mock, mock.MagicMock, autospec])
    @pytest.mark.parametrize(
        ("owner", "name"),
        [("urllib3.poolmanager", "ProxyManager"), ("adapters", "proxy_from_url")],
    )
    def test_a_mock_is_a_proxy_manager(self, http: Any, owner: str, name: str, kind: Any) -> None:
        """Tests of adapters put a mock there, and look at what it is called with."""
        place = f"{http.__name__}.{owner}" if owner == "adapters" else owner
        with mock.patch(f"{place}.{name}", kind()) as made:
            adapter = http.adapters.HTTPAdapter()
            manager = adapter.proxy_manager_for("http://127.0.0.1:8", ssl_version="TLSv1")
        assert manager is made.return_value
        assert made.call_args.kwargs["ssl_version"] == "TLSv1"
        assert adapter.proxy_manager == {"http://127.0.0.1:8": manager}

    @pytest.mark.parametrize("kind", [mock.Mock, mock.MagicMock, autospec])
    def test_a_mock_is_the_pool_manager(self, http: Any, kind: Any) -> None:
        """A mock in the place of urllib3's class is made once, and becomes the manager."""
        with mock.patch(f"{http.__name__}.adapters.PoolManager", kind()) as made:
            adapter = http.adapters.HTTPAdapter()
        assert adapter.poolmanager is made.return_value
        assert made.call_count == 1

    def test_build_response(self, http: Any, server: ScriptedServer) -> None:
        """A response can be made into another class of response."""

        class Response(http.Response):  # type: ignore[misc, name-defined]
            from_cache = False

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def build_response(self, req: Any, resp: Any) -> Any:
                assert resp.headers["x-y"] == "z"
                reply = super().build_response(req, resp)
                reply.__class__ = Response
                reply.from_cache = True
                return reply

        with ScriptedServer(answering(respond(b"body", {"X-Y": "z"}))) as running:
            reply = fetch(http, Adapter(), running.url())
        assert (type(reply), reply.from_cache, reply.content) == (Response, True, b"body")

    def test_build_response_of_anything(self, http: Any) -> None:
        """An arbitrary adapter makes a response of urllib3's, without having sent a thing."""
        request = http.Request("GET", "http://a.test/x").prepare()
        raw = urllib3.HTTPResponse(
            b"caf\xe9",
            urllib3.HTTPHeaderDict([("A", "1"), ("a", "2"), ("Content-Type", "text/plain")]),
            203,
            reason="Fine",
            preload_content=False,
        )
        reply = http.adapters.HTTPAdapter().build_response(request, raw)
        assert (reply.status_code, reply.reason, reply.url) == (203, "Fine", "http://a.test/x")
        assert (reply.headers["A"], reply.encoding) == ("1, 2", "ISO-8859-1")
        assert reply.request is request

    def test_send(self, http: Any, server: ScriptedServer) -> None:
        """Called with keywords, and calling up in any way."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                assert (args, set(kwargs)) == (
                    (),
                    {"stream", "timeout", "verify", "cert", "proxies"},
                )
                kwargs["timeout"] = kwargs["timeout"] or 3
                return http.adapters.HTTPAdapter.send(
                    self,
                    request,
                    kwargs["stream"],
                    kwargs["timeout"],
                    kwargs["verify"],
                    kwargs["cert"],
                    kwargs["proxies"],
                )

        assert fetch(http, Adapter(), server.url()).content == b"ok"

    def test_request_url(self, http: Any, server: ScriptedServer) -> None:
        """What it returns is the request target."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def request_url(self, request: Any, proxies: Any) -> str:
                return "/v2" + str(super().request_url(request, proxies))

        fetch(http, Adapter(), server.url("/a?b=c"))
        assert server.requests[0].target == "/v2/a?b=c"

    def test_settings_changed_before_a_call(self, http: Any, authority: Authority) -> None:
        """As toolbelt's HostHeaderSSLAdapter: `connection_pool_kw` is read for each connection."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def send(self, request: Any, **kwargs: Any) -> Any:
                settings = self.poolmanager.connection_pool_kw
                if "host" in request.headers:
                    settings["assert_hostname"] = request.headers["host"]
                else:
                    settings.pop("assert_hostname", None)
                return super().send(request, **kwargs)

        context = authority.server_context("far.test")
        with ScriptedServer(answering(respond(b"ok")), tls=context) as running:
            session = mounted(http, Adapter())
            session.verify = authority.bundle
            far = {"Host": "far.test"}
            assert session.get(running.url(), headers=far, timeout=TIMEOUT).content == b"ok"
            for headers in ({}, {"Host": "near.test"}):
                with pytest.raises(http.exceptions.SSLError):
                    session.get(running.url(), headers=headers, timeout=TIMEOUT)
            assert session.get(running.url(), headers=far, timeout=TIMEOUT).content == b"ok"
            session.close()

    def test_arguments_set_before_and_none_handed_up(
        self, http: Any, server: ScriptedServer
    ) -> None:
        """A subclass sets what its override needs, then calls `super().__init__()` bare."""

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            __attrs__: Any = [*http.adapters.HTTPAdapter.__attrs__, "source"]

            def __init__(self, source: str) -> None:
                self.source = source
                super().__init__()

            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                kwargs["source_address"] = (self.source, 0)
                super().init_poolmanager(*args, **kwargs)

        adapter = Adapter("127.0.0.3")
        copy = Adapter.__new__(Adapter)
        copy.__setstate__(adapter.__getstate__())
        for one in (adapter, copy):
            assert one.poolmanager.connection_pool_kw["source_address"] == ("127.0.0.3", 0)
            assert fetch(http, one, server.url()).content == b"ok"

    def test_close_is_the_sessions(self, http: Any) -> None:
        """A session closes its adapters through their own `close`."""
        closed: list[str] = []

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
            def close(self) -> None:
                closed.append("own")
                super().close()

        mounted(http, Adapter()).close()
        assert closed == ["own", "own"]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_one_unverified_call_weakens_no_other(
    http: Any, secure: ScriptedServer, authority: Authority
) -> None:
    """Neither `verify=False` nor another bundle leaves a trace in what is shared."""
    with mounted(http, http.adapters.HTTPAdapter()) as session:
        assert session.get(secure.url(), verify=False, timeout=TIMEOUT).content == b"ok"
        with pytest.raises(http.exceptions.SSLError):
            session.get(secure.url(), timeout=TIMEOUT)
        session.get(secure.url(), verify=authority.bundle, timeout=TIMEOUT)
        with pytest.raises(http.exceptions.SSLError):
            session.get(secure.url(), timeout=TIMEOUT)
