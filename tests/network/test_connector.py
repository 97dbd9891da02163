"""Connecting: what fails says so in time and leaves nothing open."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pooledhttp.exceptions import DialError, DialTimeout, Fault, ProxyFault, ResolveError, TlsError
from pooledhttp.network import (
    Connector,
    KeepAlive,
    Proxy,
    Route,
    SocketOptions,
    StaticResolver,
    Stream,
    TlsSettings,
)
from pooledhttp.network.tls.handshake import TlsPeer, start_tls
from pooledhttp.network.tls.sessions import SessionStore
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.scripted import Handler, Peer, ScriptedServer
from tests.support.skipping import SkippingRuntime
from tests.support.stopwatch import Stopwatch

Soon = Callable[..., Deadline]


def say_nothing(peer: Peer) -> None:
    """A server that accepts and never says a word."""
    peer.sock.recv(65536)
    peer.wait_closed()


def test_plain_connection(connector: Connector, echo: Handler, soon: Soon) -> None:
    """A plain route leads to the server."""
    with ScriptedServer(echo) as server:
        stream = connector.connect(Route("http", "127.0.0.1", server.port), soon())
        stream.send(b"x", soon())
        assert stream.recv(1, soon()) == b"x"
        stream.close()


def test_refused_connection_names_the_address(
    connector: Connector, soon: Soon, refused_port: int, no_fd_leak: None
) -> None:
    """A refused connection tells the host, the port, and what the system said."""
    with pytest.raises(DialError, match="Failed to establish a new connection") as caught:
        connector.connect(Route("http", "127.0.0.1", refused_port), soon())
    text = str(caught.value)
    assert "Connection refused" in text and f"127.0.0.1 port {refused_port}" in text
    assert caught.value.origin == f"http://127.0.0.1:{refused_port}"


def test_black_hole_ends_at_the_deadline(
    connector: Connector, soon: Soon, black_hole: int, no_fd_leak: None
) -> None:
    """An address that never answers costs the connect timeout and no more."""
    with Stopwatch() as watch, pytest.raises(DialTimeout, match="timed out") as caught:
        connector.connect(Route("http", "127.0.0.1", black_hole), soon(0.1))
    assert watch.seconds < 0.6
    assert caught.value.phase == "connect"


def test_silent_tls_server_ends_at_the_deadline(no_fd_leak: None) -> None:
    """A server that accepts and says nothing costs the timeout, and the error says it was TLS."""
    runtime = SkippingRuntime(stands=True)
    with ScriptedServer(runtime.stay_silent) as server:
        with pytest.raises(DialTimeout) as caught:
            route = Route("https", "127.0.0.1", server.port)
            Connector(runtime).connect(route, Deadline.after(10, runtime.now))
        assert runtime.now() == pytest.approx(10)
        assert caught.value.phase == "tls"


def test_expired_deadline_connects_nowhere(
    connector: Connector, soon: Soon, black_hole: int
) -> None:
    """With no time left the answer is a timeout at once."""
    with pytest.raises(DialTimeout):
        connector.connect(Route("http", "127.0.0.1", black_hole), soon(0.0))


def test_unknown_name(runtime: Runtime, soon: Soon) -> None:
    """A name without addresses is told apart from a server that does not answer."""
    connector = Connector(runtime, resolver=StaticResolver({"empty.test": []}))
    for host in ("empty.test", "unknown.test"):
        with pytest.raises(ResolveError, match=f"Failed to resolve '{host}'"):
            connector.connect(Route("http", host, 80), soon())


@pytest.mark.parametrize("host", ["a" * 70 + ".test", "nul\0.test", ".."])
def test_impossible_name(connector: Connector, soon: Soon, host: str) -> None:
    """A name that cannot be encoded is a name that cannot be resolved."""
    with pytest.raises(ResolveError, match="Failed to resolve"):
        connector.connect(Route("http", host, 80), soon())


def test_impossible_port(connector: Connector, soon: Soon) -> None:
    """A port beyond 65535 is a failed dial, not a crash."""
    with pytest.raises(DialError):
        connector.connect(Route("http", "127.0.0.1", 70000), soon())


def test_plain_server_behind_https(connector: Connector, soon: Soon, no_fd_leak: None) -> None:
    """Speaking TLS to a plain HTTP server fails with a hint at the scheme."""

    def plain(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.wait_closed()

    with ScriptedServer(plain) as server, pytest.raises(TlsError, match="http://"):
        connector.connect(Route("https", "127.0.0.1", server.port), soon())


def test_reset_in_the_handshake(connector: Connector, soon: Soon, no_fd_leak: None) -> None:
    """A connection cut in the handshake counts as one that was never made."""

    def cut(peer: Peer) -> None:
        peer.sock.recv(10)
        peer.reset()

    with ScriptedServer(cut) as server, pytest.raises(DialError) as caught:
        connector.connect(Route("https", "127.0.0.1", server.port), soon())
    assert caught.value.phase == "tls"


def test_reset_before_the_handshake(runtime: Runtime, soon: Soon) -> None:
    """No descriptor stays open, even while somebody keeps the error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = open_descriptors()
        sock = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.close()
        sock.setblocking(False)
        stream = Stream(sock, runtime)
        assert runtime.wait(sock, True, False, soon())[0], "the reset is here"
        peer = TlsPeer("127.0.0.1", 443, TlsSettings(), None, SessionStore())
        try:
            start_tls(stream, peer, soon())
        except OSError as error:
            kept = error
        stream.close()
        assert isinstance(kept, ConnectionError)
        assert open_descriptors().keys() == before.keys()


def test_end_in_the_handshake(connector: Connector, soon: Soon, no_fd_leak: None) -> None:
    """A server that hangs up in the handshake gives a TLS error."""

    def end(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.close()

    with ScriptedServer(end) as server, pytest.raises(TlsError):
        connector.connect(Route("https", "127.0.0.1", server.port), soon())


@pytest.mark.parametrize("step", ["connect", "handshake", "tunnel"])
def test_ctrl_c_leaves_nothing_open(
    runtime: Runtime,
    soon: Soon,
    black_hole: int,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A KeyboardInterrupt in any wait of connecting closes the socket."""

    def interrupt(*_: object) -> tuple[bool, bool]:
        raise KeyboardInterrupt

    def tunnel(stream: Stream, *_: object) -> None:
        raise KeyboardInterrupt

    with ScriptedServer(say_nothing) as server:
        route = Route("https", "127.0.0.1", server.port)
        if step == "connect":
            route = Route("http", "127.0.0.1", black_hole)
        elif step == "tunnel":
            route = Route("https", "o.test", 443, None, Proxy("http", "127.0.0.1", server.port))
        before = open_descriptors()
        connector = Connector(_Interrupted(runtime, step), tunnel=tunnel)
        with pytest.raises(KeyboardInterrupt):
            connector.connect(route, soon())
        server.wait_all_closed()
        assert not wait_until_closed(before)


class _Interrupted:
    """A runtime in whose waits Ctrl-C is pressed."""

    def __init__(self, inner: Runtime, step: str) -> None:
        self._inner = inner
        self._step = step

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def wait(self, *args: object) -> object:
        if self._step == "handshake":
            raise KeyboardInterrupt
        return self._inner.wait(*args)  # type: ignore[arg-type]

    def wait_any(self, *args: object) -> object:
        if self._step == "connect":
            raise KeyboardInterrupt
        return self._inner.wait_any(*args)  # type: ignore[arg-type]


def test_unix_socket(connector: Connector, soon: Soon, tmp_path: Path) -> None:
    """A Unix socket is reached by its path."""
    path = str(tmp_path / "server.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        stream = connector.connect(Route("http+unix", path, 0), soon())
        peer, _ = listener.accept()
        with peer:
            stream.send(b"hi", soon())
            assert peer.recv(10) == b"hi"
            peer.sendall(b"ho")
            assert stream.recv(10, soon()) == b"ho"
        assert stream.has_data_or_eof()
        stream.close()


def test_unix_socket_without_server(
    connector: Connector, soon: Soon, tmp_path: Path, no_fd_leak: None
) -> None:
    """A missing Unix socket, and a path too long for one, are failed dials that name the path."""
    for path in (str(tmp_path / "none.sock"), "/x" * 200):
        with pytest.raises(DialError, match="Failed to establish a new connection") as caught:
            connector.connect(Route("http+unix", path, 0), soon())
        assert path in str(caught.value)


def test_full_unix_socket_ends_at_the_deadline(
    connector: Connector, soon: Soon, tmp_path: Path, no_fd_leak: None
) -> None:
    """A Unix listener that accepts nobody costs the timeout; there is nothing to poll for."""
    path = str(tmp_path / "full.sock")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            filler.connect_ex(path)
        with pytest.raises(DialTimeout):
            connector.connect(Route("http+unix", path, 0), soon(0.1))


def test_socket_options(connector: Connector, echo: Handler, soon: Soon) -> None:
    """Source address, own options and keep-alive probes are on the socket."""
    options = SocketOptions(
        options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, 2, 1)),
        source_address=("127.0.0.1", 0),
        keepalive=KeepAlive(idle_seconds=33, interval_seconds=7, probes=4),
    )
    with ScriptedServer(echo) as server:
        stream = connector.connect(Route("http", "127.0.0.1", server.port, options=options), soon())
        sock = stream.sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
        assert sock.getsockname()[0] == "127.0.0.1"
        stream.close()


def test_foreign_source_address(
    connector: Connector, echo: Handler, soon: Soon, no_fd_leak: None
) -> None:
    """A source address this machine does not have is a failed dial."""
    options = SocketOptions(source_address=("192.0.2.1", 0))
    with ScriptedServer(echo) as server, pytest.raises(DialError, match="assign"):
        connector.connect(Route("http", "127.0.0.1", server.port, options=options), soon())


def test_ipv6_literal(connector: Connector, echo: Handler, soon: Soon) -> None:
    """An IPv6 address is dialled without a lookup, with or without a zone id."""
    with ScriptedServer(echo, host="::1") as server:
        for host in ("::1", "::1%lo", "::1%25lo"):
            stream = connector.connect(Route("http", host, server.port), soon())
            assert stream.sock.family == socket.AF_INET6
            stream.close()
    with pytest.raises(Fault):
        connector.connect(Route("http", "::1%nosuch0", 1), soon())


def test_unreachable_proxy(
    connector: Connector, soon: Soon, refused_port: int, black_hole: int, no_fd_leak: None
) -> None:
    """A proxy that cannot be reached is a proxy's fault, with the cause inside."""
    for port, cause in ((refused_port, DialError), (black_hole, DialTimeout)):
        proxy = Proxy("http", "127.0.0.1", port, "me", "secret")
        for route in (Route.forwarded(proxy), Route("https", "o.test", 443, None, proxy)):
            with pytest.raises(ProxyFault, match="Unable to connect to proxy") as caught:
                connector.connect(route, soon(0.1 if cause is DialTimeout else 10))
            assert type(caught.value.original_error) is cause
            assert "secret" not in str(caught.value)


def test_tunnel(
    runtime: Runtime, authority: Authority, echo: Handler, connect_proxy: Handler, soon: Soon
) -> None:
    """An https route over an http proxy runs TLS through the tunnel that the callable opens."""
    asked = []

    def tunnel(stream: Stream, proxy: Proxy, host: str, port: int, deadline: Deadline) -> None:
        asked.append((host, proxy.port))
        stream.send(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode(), deadline)
        stream.recv(4096, deadline)

    tls = authority.server_context("origin.test")
    with ScriptedServer(echo, tls=tls) as origin, ScriptedServer(connect_proxy) as middle:
        route = Route(
            "https",
            "origin.test",
            origin.port,
            TlsSettings(ca_certs=authority.bundle),
            Proxy("http", "127.0.0.1", middle.port),
        )
        stream = Connector(runtime, tunnel=tunnel).connect(route, soon())
        stream.send(b"x", soon())
        assert stream.recv(1, soon()) == b"x"
        stream.close()
        assert asked == [("origin.test", middle.port)]


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (OSError("Tunnel connection failed: 403 Forbidden"), ProxyFault),
        (TimeoutError("late"), DialTimeout),
        (ProxyFault("own", OSError("x")), ProxyFault),
    ],
)
def test_failed_tunnel(
    runtime: Runtime, soon: Soon, failure: Exception, fault: type[Fault], no_fd_leak: None
) -> None:
    """What a tunnel refuses is a proxy's fault, in phase "tunnel"; its timeout is a timeout."""

    def tunnel(*_: object) -> None:
        raise failure

    with ScriptedServer(say_nothing) as middle:
        route = Route("https", "o.test", 443, None, Proxy("http", "127.0.0.1", middle.port))
        with pytest.raises(fault) as caught:
            Connector(runtime, tunnel=tunnel).connect(route, soon())
        assert caught.value is failure or caught.value.phase == "tunnel"
        middle.wait_all_closed()


def test_many_failures_leave_no_descriptor(
    connector: Connector, authority: Authority, echo: Handler, soon: Soon, refused_port: int
) -> None:
    """A hundred failures of all kinds later, as many descriptors are open as before."""
    with ScriptedServer(echo, tls=authority.server_context("other.test")) as server:
        before = open_descriptors()
        for _ in range(25):
            for route in (
                Route("https", "127.0.0.1", server.port),
                Route("https", "127.0.0.1", server.port, TlsSettings(ca_certs=authority.bundle)),
                Route("https", "127.0.0.1", server.port, TlsSettings(ca_certs="/nowhere")),
                Route("http", "127.0.0.1", refused_port),
            ):
                with pytest.raises(Fault):
                    connector.connect(route, soon())
        server.wait_all_closed()
        # The server may still be accepting what we have closed.
        left = wait_until_closed(before)
        assert not left, f"descriptors left open: {left}"
