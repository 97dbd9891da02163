"""Adapters return a pool and errors name one: programs take it for a pool of urllib3.

They ask `isinstance`, read its address for a message, and set how it makes its connections. A guard
against requests to inner addresses does that, so that a setting without effect would be a hole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, respond

TIMEOUT = 20
SHORT = 0.1

#: Given an adapter's pool for `https` or `http`, what is set on it.
Change = Callable[[Any], None]


def adapter_changing(http: Any, change: Change) -> Any:
    """An adapter that changes each pool it finds, as the guards that people write do."""

    class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc]
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            change(pool)
            return pool

    return Adapter()


@contextlib.contextmanager
def mounted(http: Any, adapter: Any) -> Iterator[Any]:
    """A session that sends everything through `adapter`."""
    with http.Session() as session:
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        yield session


def stalling(sent: bytes) -> Callable[[Peer], None]:
    """A handler that sends a part of a response, and no more."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(sent)
        peer.sock.recv(1)

    return handle


def recorder(base: type[HTTPConnection], made: list[str]) -> Any:
    """A class of connections that notes each connect."""

    def connect(self: Any) -> None:
        made.append(self.host)
        base.connect(self)

    return type("Recorder", (base,), {"connect": connect})


class TestInErrors:
    """The pool that an error names."""

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_of_a_refused_connection(self, http: Any, scheme: str) -> None:
        """It is of the class for the scheme, and has the address."""
        with pytest.raises(http.exceptions.ConnectionError) as caught:
            http.get(f"{scheme}://127.0.0.1:1/", timeout=TIMEOUT)
        pool = caught.value.args[0].pool
        assert isinstance(pool, HTTPConnectionPool)
        assert isinstance(pool, HTTPSConnectionPool) == (scheme == "https")
        assert (pool.scheme, pool.host, pool.port, pool.proxy) == (scheme, "127.0.0.1", 1, None)

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
    @pytest.mark.parametrize("retries", [0, 1])
    def test_of_a_read_that_took_too_long(self, http: Any, sent: bytes, retries: int) -> None:
        """In the head, in the body, and as the last of several."""
        policy = Retry(total=retries, read=None if retries else False, backoff_factor=0)
        with ScriptedServer(stalling(sent)) as running, http.Session() as session:
            session.mount("http://", http.adapters.HTTPAdapter(max_retries=policy))
            with pytest.raises(http.exceptions.RequestException) as caught:
                session.get(running.url(), timeout=(TIMEOUT, SHORT))
        error = caught.value.args[0]
        reason = getattr(error, "reason", error)
        assert isinstance(reason, urllib3.exceptions.ReadTimeoutError)
        for pool in (error.pool, reason.pool):
            assert isinstance(pool, HTTPConnectionPool)
            assert not isinstance(pool, HTTPSConnectionPool)
            assert (pool.host, pool.port) == ("127.0.0.1", running.port)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_of_a_proxy_that_refused(self, http: Any, scheme: str) -> None:
        """The proxy of the pool reads like urllib3's URL of it."""
        proxies = {scheme: "http://127.0.0.1:1"}
        with pytest.raises(http.exceptions.ProxyError) as caught:
            http.get(f"{scheme}://inner.invalid/", proxies=proxies, timeout=TIMEOUT)
        proxy = caught.value.args[0].pool.proxy
        assert str(proxy) == proxy.url == "http://127.0.0.1:1"
        assert proxy.netloc == "127.0.0.1:1"
        assert (proxy.scheme, proxy.auth, proxy.host, proxy.port) == ("http", None, "127.0.0.1", 1)


class TestChanged:
    """What is set on the pool decides how its connections are made."""

    @pytest.mark.parametrize("is_secure", [False, True])
    def test_its_class_of_connections(
        self, http: Any, authority: Authority, is_secure: bool
    ) -> None:
        """`ConnectionCls` is used, and TLS is verified as the call says."""
        made: list[str] = []

        def change(pool: Any) -> None:
            base = HTTPSConnection if isinstance(pool, HTTPSConnectionPool) else HTTPConnection
            if not made:
                assert pool.ConnectionCls is base
            pool.ConnectionCls = recorder(base, made)

        tls = authority.server_context() if is_secure else None
        with ScriptedServer(answering(respond(b"ok")), tls=tls) as running:
            with mounted(http, adapter_changing(http, change)) as session:
                for _ in range(2):
                    reply = session.get(running.url(), verify=authority.bundle, timeout=TIMEOUT)
                    assert reply.content == b"ok"
                assert made == [running.host]
                if is_secure:
                    with pytest.raises(http.exceptions.SSLError):
                        session.get(running.url(), timeout=TIMEOUT)

    def test_by_its_manager(self, http: Any, server: ScriptedServer) -> None:
        """A manager that changes each pool it makes."""
        made: list[str] = []

        class Manager(urllib3.PoolManager):
            def _new_pool(self, *args: Any, **kwargs: Any) -> Any:
                pool = super()._new_pool(*args, **kwargs)
                pool.ConnectionCls = recorder(HTTPConnection, made)
                return pool

        class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc]
            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                super().init_poolmanager(*args, **kwargs)
                self.poolmanager._new_pool = partial(Manager._new_pool, self.poolmanager)
                self.poolmanager.__class__ = Manager

        with mounted(http, Adapter()) as session:
            assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
        assert made == ["127.0.0.1"]

    def test_its_keywords(self, http: Any) -> None:
        """`conn_kw`: what each connection is made with."""
        called_from: list[str] = []

        def handle(peer: Peer) -> None:
            called_from.append(peer.sock.getpeername()[0])
            answering(respond(b"ok"))(peer)

        def change(pool: Any) -> None:
            pool.conn_kw["source_address"] = ("127.0.0.2", 0)

        with ScriptedServer(handle) as running:
            with mounted(http, adapter_changing(http, change)) as session:
                session.get(running.url(), timeout=TIMEOUT)
        assert called_from == ["127.0.0.2"]

    def test_the_name_in_its_keywords(self, http: Any, authority: Authority) -> None:
        """The address is pinned, and the name decides about the certificate."""

        def change(pool: Any) -> None:
            pool.conn_kw["server_hostname"] = "pinned.example"
            pool.assert_hostname = "pinned.example"

        tls = authority.server_context("pinned.example")
        with ScriptedServer(answering(respond(b"ok")), tls=tls) as running:
            url = f"https://127.0.0.1:{running.port}/"
            with mounted(http, adapter_changing(http, change)) as session:
                assert session.get(url, verify=authority.bundle, timeout=TIMEOUT).content == b"ok"
            with http.Session() as session, pytest.raises(http.exceptions.SSLError):
                session.get(url, verify=authority.bundle, timeout=TIMEOUT)

    def test_its_way_to_make_connections(self, http: Any, server: ScriptedServer) -> None:
        """`_new_conn` wrapped; what it returns is kept for the next request."""
        made: list[Any] = []

        def change(pool: Any) -> None:
            if not made:
                make = pool._new_conn

                def note() -> Any:
                    made.append(make())
                    return made[-1]

                pool._new_conn = note

        with mounted(http, adapter_changing(http, change)) as session:
            for _ in range(2):
                assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
        assert [(conn.host, conn.port) for conn in made] == [("127.0.0.1", server.port)]

    def test_its_urlopen(self, http: Any, server: ScriptedServer) -> None:
        """Wrapped, to change what is sent."""
        seen: list[str] = []

        def change(pool: Any) -> None:
            if getattr(pool.urlopen, "is_wrapped", False):
                return
            send = pool.urlopen

            def urlopen(*args: Any, **keywords: Any) -> Any:
                seen.append(f"{keywords['method']} {keywords['url']}")
                keywords["headers"] = {"X-Added": "yes"}
                return send(*args, **keywords)

            urlopen.is_wrapped = True  # type: ignore[attr-defined]
            pool.urlopen = urlopen

        with mounted(http, adapter_changing(http, change)) as session:
            for _ in range(2):
                assert session.get(server.url("/a"), timeout=TIMEOUT).content == b"ok"
        assert seen == ["GET /a"] * 2
        assert [request.header("x-added") for request in server.requests] == ["yes"] * 2

    def test_over_a_proxy(self, http: Any, server: ScriptedServer) -> None:
        """The changed class connects to the proxy."""
        made: list[str] = []

        def change(pool: Any) -> None:
            pool.ConnectionCls = recorder(HTTPConnection, made)

        proxies = {"http": f"http://127.0.0.1:{server.port}"}
        with mounted(http, adapter_changing(http, change)) as session:
            reply = session.get("http://inner.invalid/", proxies=proxies, timeout=TIMEOUT)
        assert reply.content == b"ok" and len(made) == 1
        assert server.requests[0].target == "http://inner.invalid/"


def test_a_pool_that_is_only_looked_at(http: Any, server: ScriptedServer) -> None:
    """Reading changes nothing: later requests use the connection of the first."""

    def look(pool: Any) -> None:
        assert pool.ConnectionCls is HTTPConnection
        assert pool.conn_kw.get("server_hostname") is None
        assert pool.proxy_config is None and not pool.is_same_host("https://other.invalid/")

    with mounted(http, adapter_changing(http, look)) as session:
        for _ in range(2):
            assert session.get(server.url(), timeout=TIMEOUT).content == b"ok"
    assert {request.connection for request in server.requests} == {server.requests[0].connection}
