"""TLS to a proxy, and TLS inside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pooledhttp.exceptions import DialTimeout, ProxyFault, TlsError
from pooledhttp.network import Connector, Proxy, Route, Stream, TlsSettings
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.scripted import Handler, Peer, ScriptedServer
from tests.support.skipping import SkippingRuntime

Soon = Callable[..., Deadline]


def tunnel(stream: Stream, proxy: Proxy, host: str, port: int, deadline: Deadline) -> None:
    """The least of CONNECT."""
    stream.send(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode(), deadline)
    assert stream.recv(4096, deadline).startswith(b"HTTP/1.1 200")


@pytest.fixture
def connector(runtime: Runtime) -> Connector:
    """A connector that can tunnel."""
    return Connector(runtime, tunnel=tunnel)


def test_forwarding_proxy_is_spoken_to_by_tls(
    connector: Connector, authority: Authority, echo: Handler, soon: Soon
) -> None:
    """A plain route over an https proxy is TLS up to the proxy."""
    with ScriptedServer(echo, tls=authority.server_context()) as middle:
        trust = TlsSettings(ca_certs=authority.bundle)
        proxy = Proxy("https", "localhost", middle.port, tls=trust)
        stream = connector.connect(Route.forwarded(proxy), soon())
        stream.send(b"x", soon())
        assert stream.recv(1, soon()) == b"x" and stream.is_tls
        stream.close()


def test_unverified_proxy_is_refused(
    connector: Connector, authority: Authority, echo: Handler, soon: Soon, no_fd_leak: None
) -> None:
    """A proxy whose certificate is not trusted gets to see nothing."""
    with ScriptedServer(echo, tls=authority.server_context()) as middle:
        proxy = Proxy("https", "localhost", middle.port)
        for route in (Route.forwarded(proxy), Route("https", "o.test", 443, None, proxy)):
            with pytest.raises(ProxyFault) as caught:
                connector.connect(route, soon())
            assert isinstance(caught.value.original_error, TlsError)
        assert not middle.requests


def test_origin_behind_an_https_proxy_is_verified(
    connector: Connector,
    authority: Authority,
    echo: Handler,
    connect_proxy: Handler,
    soon: Soon,
    no_fd_leak: None,
) -> None:
    """Inside the proxy's TLS the origin's certificate is checked as ever, and sessions resume."""
    trust = TlsSettings(ca_certs=authority.bundle)
    origin_tls = authority.server_context("o.test")
    with (
        ScriptedServer(echo, tls=origin_tls) as origin,
        ScriptedServer(connect_proxy, tls=authority.server_context()) as middle,
    ):
        proxy = Proxy("https", "localhost", middle.port, tls=trust)
        with pytest.raises(TlsError, match="mismatch"):
            connector.connect(Route("https", "p.test", origin.port, trust, proxy), soon())
        resumed = []
        for _ in range(2):
            stream = connector.connect(Route("https", "o.test", origin.port, trust, proxy), soon())
            stream.send(b"x", soon())
            assert stream.recv(1, soon()) == b"x"
            stream.remember_session()
            resumed.append(stream.is_resumed)
            stream.close()
        assert resumed == [False, True]


def test_silent_origin_behind_an_https_proxy(authority: Authority, no_fd_leak: None) -> None:
    """A handshake inside TLS that gets no answer ends at the deadline."""
    runtime = SkippingRuntime(stands=True)

    def passes_nothing_on(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        runtime.stay_silent(peer)

    with ScriptedServer(passes_nothing_on, tls=authority.server_context()) as middle:
        proxy = Proxy("https", "localhost", middle.port, tls=TlsSettings(verify=False))
        route = Route("https", "o.test", 443, None, proxy)
        with pytest.raises(DialTimeout) as caught:
            Connector(runtime, tunnel=tunnel).connect(route, Deadline.after(10, runtime.now))
        assert caught.value.phase == "tls"
        assert runtime.now() == pytest.approx(10)
