"""Routes: what makes two connections interchangeable."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import ssl

import pytest

from pooledhttp.network import KeepAlive, Proxy, Route, SocketOptions, TlsSettings

PROXY = Proxy("http", "proxy.test", 3128, "me", "secret", (("Proxy-Authorization", "Basic x"),))


def test_equal_settings_share_a_route() -> None:
    """Routes with equal facts are equal, hash equally and are one key of a dict."""
    one = Route("https", "a.test", 443, TlsSettings(ca_certs="/ca.pem"))
    two = Route("https", "a.test", 443, TlsSettings(ca_certs="/ca.pem"))
    assert one == two and hash(one) == hash(two) and {one: 1}[two] == 1


@pytest.mark.parametrize(
    "other",
    [
        Route("http", "a.test", 443),
        Route("https", "b.test", 443),
        Route("https", "a.test", 444),
        Route("https", "a.test", 443, TlsSettings(verify=False)),
        Route("https", "a.test", 443, TlsSettings(ca_certs="/ca.pem")),
        Route("https", "a.test", 443, TlsSettings(cert_file="/me.pem")),
        Route("https", "a.test", 443, TlsSettings(cert_file="/me.pem", key_password="x")),
        Route("https", "a.test", 443, TlsSettings(assert_hostname="b.test")),
        Route("https", "a.test", 443, TlsSettings(assert_hostname=False)),
        Route("https", "a.test", 443, TlsSettings(assert_fingerprint="00" * 32)),
        Route("https", "a.test", 443, TlsSettings(server_hostname="b.test")),
        Route("https", "a.test", 443, TlsSettings(ssl_context=ssl.create_default_context())),
        Route("https", "a.test", 443, None, PROXY),
        Route("https", "a.test", 443, None, dataclasses.replace(PROXY, password="other")),
        Route("https", "a.test", 443, options=SocketOptions(source_address=("127.0.0.1", 0))),
        Route("https", "a.test", 443, options=SocketOptions(keepalive=KeepAlive())),
    ],
)
def test_any_different_setting_is_another_route(other: Route) -> None:
    """A connection made on other terms is never found under this route."""
    route = Route("https", "a.test", 443)
    assert route != other
    assert other in {other} and route not in {other}


def test_https_without_settings_is_verified() -> None:
    """Leaving the TLS settings out of an https route means the defaults, not none."""
    assert Route("https", "a.test", 443).tls == TlsSettings()
    assert Route("http", "a.test", 80).tls is None


@pytest.mark.parametrize(
    ("route", "origin"),
    [
        (Route("https", "a.test", 443), "https://a.test:443"),
        (Route("http", "::1", 8080), "http://[::1]:8080"),
        (Route("http+unix", "/run/x.sock", 0), "http+unix://%2Frun%2Fx.sock"),
        (Route("https", "a.test", 443, None, PROXY), "https://a.test:443"),
        (Route.forwarded(PROXY), "http://proxy.test:3128"),
    ],
)
def test_origin_names_the_peer(route: Route, origin: str) -> None:
    """The origin can be shown to people: no credentials, IPv6 in brackets."""
    assert route.origin == str(route) == origin


def test_secrets_are_not_shown() -> None:
    """Neither the repr of a proxy nor that of TLS settings shows a password."""
    route = Route("https", "a.test", 443, TlsSettings(key_password="hush"), PROXY)
    assert "secret" not in repr(route) and "Basic" not in repr(route) and "hush" not in repr(route)


def test_ways_through_a_proxy() -> None:
    """http is forwarded by an HTTP proxy, https is tunnelled, and SOCKS does neither."""
    forwarded = Route.forwarded(PROXY)
    assert forwarded.is_forwarded
    assert not Route("https", "a.test", 443, None, PROXY).is_forwarded
    for scheme in ("socks4", "socks4a", "socks5", "socks5h"):
        over_socks = Route("https", "a.test", 443, None, Proxy(scheme, "p", 1080))
        assert not over_socks.is_forwarded
    assert Route.forwarded(PROXY) == Route.forwarded(PROXY)


def test_a_route_pickles() -> None:
    """A copy made in another process hashes as that process hashes."""
    route = Route("https", "a.test", 443, TlsSettings(ca_certs="/x"), PROXY)
    copy = pickle.loads(pickle.dumps(route))
    assert copy == route and hash(copy) == hash(route) and copy.proxy.password == "secret"


def test_nagle_is_off_by_default() -> None:
    """Requests are not held back until the peer acknowledges."""
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in SocketOptions().options
