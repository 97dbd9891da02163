"""SOCKS 4, 4a, 5 and 5h, by a tiny server of our own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from pooledhttp.exceptions import DialTimeout, ProxyFault, ResolveError
from pooledhttp.network import Connector, Proxy, Route, StaticResolver, TlsSettings
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.scripted import Handler, Peer, ScriptedServer
from tests.support.skipping import SkippingRuntime

pytest.importorskip("socksio")

Soon = Callable[..., Deadline]
Asked = list[tuple[str, str, int]]
SocksServer = Callable[..., Handler]


@pytest.fixture
def connector(runtime: Runtime) -> Connector:
    """A connector that knows two names."""
    table = {"o.test": ["::1", "127.0.0.1"], "six.test": ["::1"]}
    return Connector(runtime, resolver=StaticResolver(table))


@pytest.mark.parametrize("drip", [False, True])
@pytest.mark.parametrize(
    ("scheme", "host", "asked_for"),
    [
        ("socks4", "o.test", "127.0.0.1"),
        ("socks4", "127.0.0.1", "127.0.0.1"),
        ("socks4a", "far.test", "far.test"),
        ("socks4a", "127.0.0.1", "127.0.0.1"),
        ("socks4a", "::1", "::1"),
        ("socks5", "o.test", "127.0.0.1"),
        ("socks5", "six.test", "::1"),
        ("socks5h", "far.test", "far.test"),
        ("socks5h", "127.0.0.1", "127.0.0.1"),
        ("socks5h", "::1", "::1"),
        ("socks4a", "far.test.", "far.test"),
        ("socks5h", "far.test.", "far.test"),
        ("socks5", "o.test.", "127.0.0.1"),
        ("socks4", "o.test.", "127.0.0.1"),
    ],
)
def test_target_as_the_scheme_wants_it(
    connector: Connector,
    socks_server: SocksServer,
    echo: Handler,
    soon: Soon,
    scheme: str,
    host: str,
    asked_for: str,
    drip: bool,
) -> None:
    """Names are looked up here or by the proxy, as the scheme says; replies may come in pieces."""
    asked: Asked = []
    with ScriptedServer(echo) as origin, ScriptedServer(socks_server(asked, drip=drip)) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port)
        stream = connector.connect(Route("http", host, origin.port, None, way), soon())
        stream.send(b"hello", soon())
        assert stream.recv(10, soon()) == b"hello"
        stream.close()
        assert asked == [("", asked_for, origin.port)]


def test_tls_through_socks(
    connector: Connector, socks_server: SocksServer, echo: Handler, authority: Authority, soon: Soon
) -> None:
    """https over SOCKS is verified against the origin's name."""
    tls = authority.server_context("far.test")
    with ScriptedServer(echo, tls=tls) as origin, ScriptedServer(socks_server([])) as proxy:
        way = Proxy("socks5h", "127.0.0.1", proxy.port)
        settings = TlsSettings(ca_certs=authority.bundle)
        route = Route("https", "far.test", origin.port, settings, way)
        stream = connector.connect(route, soon())
        stream.send(b"x", soon())
        assert stream.recv(1, soon()) == b"x"
        stream.close()


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_who_we_are(
    connector: Connector, socks_server: SocksServer, echo: Handler, soon: Soon, scheme: str
) -> None:
    """User name and password are shown to a proxy that asks."""
    asked: Asked = []
    user = ("me", "pass word") if scheme == "socks5" else None
    handler = socks_server(asked, user=user)
    with ScriptedServer(echo) as origin, ScriptedServer(handler) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port, "me", "pass word")
        connector.connect(Route("http", "127.0.0.1", origin.port, None, way), soon()).close()
        assert [who for who, _, _ in asked] == ["me"]


def test_wrong_password(
    connector: Connector, socks_server: SocksServer, soon: Soon, no_fd_leak: None
) -> None:
    """Refused or missing credentials are told apart, and are not in the message."""
    with ScriptedServer(socks_server([], user=("me", "right"))) as proxy:
        for credentials, hint in ((("me", "wr0ng!"), "not accept"), ((None, None), "URL")):
            way = Proxy("socks5", "127.0.0.1", proxy.port, *credentials)
            with pytest.raises(ProxyFault, match=hint) as caught:
                connector.connect(Route("http", "127.0.0.1", 80, None, way), soon())
            assert "wr0ng!" not in str(caught.value)
            assert caught.value.phase == "tunnel"


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
def test_refusal(
    connector: Connector, socks_server: SocksServer, soon: Soon, scheme: str, no_fd_leak: None
) -> None:
    """A proxy that says no is quoted."""
    with ScriptedServer(socks_server([], refuse=True)) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port)
        with pytest.raises(ProxyFault, match=r"refused|rejected"):
            connector.connect(Route("http", "far.test", 80, None, way), soon())


@pytest.mark.parametrize(
    ("scheme", "replies", "told"),
    [
        ("socks5", [b"\x05\x00", b"\x05\x05"], r"connection refused \(code 0x05\)"),
        ("socks5", [b"\x05\x00", b"\x05\x04\x00\x00"], "host unreachable"),
        ("socks5", [b"\x05\x00", b"\x05\xf2\x00\x01" + bytes(6)], r"refused \(code 0xf2\)"),
        ("socks4", [b"\x00\x5c" + bytes(6)], "it cannot reach identd"),
        ("socks4", [b"\x00\x01"], r"refused \(code 0x01\)"),
    ],
)
def test_the_code_of_a_refusal_is_told(
    connector: Connector,
    soon: Soon,
    scheme: str,
    replies: list[bytes],
    told: str,
    no_fd_leak: None,
) -> None:
    """Nothing behind the code is waited for, and a code of the proxy's own is told as well."""

    def handle(peer: Peer) -> None:
        for reply in replies:
            peer.sock.recv(100)
            peer.send(reply)
        peer.wait_closed()

    with ScriptedServer(handle) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port)
        with pytest.raises(ProxyFault, match=told):
            connector.connect(Route("http", "127.0.0.1", 80, None, way), soon())


def test_names_socks_4_cannot_reach(connector: Connector, soon: Soon, no_fd_leak: None) -> None:
    """A name with IPv6 addresses only, or none, is not resolved for SOCKS 4; nothing is asked."""
    asked: list[bytes] = []
    with ScriptedServer(lambda peer: asked.append(peer.wait_closed())) as server:
        way = Proxy("socks4", "127.0.0.1", server.port)
        for host in ("six.test", "none.test"):
            with pytest.raises(ResolveError):
                connector.connect(Route("http", host, 80, None, way), soon())
        server.wait_all_closed()
    assert set(asked) <= {b""}


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\x63", b"\x05", b"", b"\x04\x00"]
)
@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_not_a_socks_server(
    connector: Connector, soon: Soon, answer: bytes, scheme: str, no_fd_leak: None
) -> None:
    """What does not speak SOCKS is a proxy's fault."""

    def handle(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.send(answer)
        peer.close()

    with ScriptedServer(handle) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port)
        with pytest.raises(ProxyFault):
            connector.connect(Route("http", "127.0.0.1", 80, None, way), soon())


def test_silent_proxy_ends_at_the_deadline(no_fd_leak: None) -> None:
    """A SOCKS server that says nothing costs the timeout."""
    runtime = SkippingRuntime(stands=True)
    with ScriptedServer(runtime.stay_silent) as proxy:
        route = Route("http", "127.0.0.1", 80, None, Proxy("socks5", "127.0.0.1", proxy.port))
        with pytest.raises(DialTimeout) as caught:
            Connector(runtime).connect(route, Deadline.after(10, runtime.now))
        assert runtime.now() == pytest.approx(10)
        assert caught.value.phase == "tunnel"


@pytest.mark.parametrize(
    ("scheme", "host", "user"),
    [
        ("socks5h", "x" * 300, None),
        ("socks5", "127.0.0.1", "u" * 256),
        ("socks4", "127.0.0.1", "a\0b"),
        ("socks4a", "a\0b", None),
    ],
)
def test_what_socks_cannot_carry(
    connector: Connector,
    socks_server: SocksServer,
    soon: Soon,
    scheme: str,
    host: str,
    user: str | None,
    no_fd_leak: None,
) -> None:
    """Texts that are too long, or would break out of their field, are refused here."""
    asked: Asked = []
    handler = socks_server(asked, user=("", "") if scheme == "socks5" else None)
    with ScriptedServer(handler) as proxy:
        way = Proxy(scheme, "127.0.0.1", proxy.port, user, None)
        with pytest.raises(ProxyFault):
            connector.connect(Route("http", host, 80, None, way), soon())
        assert not asked


def test_missing_library_is_named(
    connector: Connector,
    socks_server: SocksServer,
    soon: Soon,
    monkeypatch: pytest.MonkeyPatch,
    no_fd_leak: None,
) -> None:
    """Without socksio the error says what to install."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    with ScriptedServer(socks_server([])) as proxy:
        way = Proxy("socks5", "127.0.0.1", proxy.port)
        with pytest.raises(ProxyFault, match=r"pip install socksio"):
            connector.connect(Route("http", "127.0.0.1", 80, None, way), soon())
