"""Proxies that break off: programs that change the proxy on a `ProxyError` do so with both."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer

TIMEOUT = 20
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_proxy_that_closes_without_a_response(
    http: ModuleType, end: str, method: str, retries: int
) -> None:
    """Plain http over a proxy: the proxy is the server of the connection."""

    def break_off(peer: Peer) -> None:
        peer.read_request()
        peer.close() if end == "close" else peer.reset()

    with ScriptedServer(break_off) as proxy, http.Session() as session:
        session.proxies = {"http": proxy.url()}
        session.mount("http://", http.adapters.HTTPAdapter(max_retries=retries))
        with pytest.raises(http.exceptions.ProxyError) as caught:
            session.request(method, "http://origin.test/x", timeout=TIMEOUT)
    assert isinstance(caught.value, http.exceptions.ConnectionError)


@pytest.mark.parametrize("is_reused", [False, True])
def test_a_tunnel_that_ends_without_a_response(
    http: ModuleType, authority: Authority, is_reused: bool
) -> None:
    """Whether the proxy or the origin has closed it cannot be told."""
    context = authority.server_context("origin.test")

    def tunnel(peer: Peer) -> None:
        peer.read_request()
        peer.send(ESTABLISHED)
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        reader = type(peer.reader)(peer.sock)
        if is_reused:
            reader.until(b"\r\n\r\n")
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        reader.until(b"\r\n\r\n")
        peer.close()

    with ScriptedServer(tunnel) as proxy, http.Session() as session:
        session.proxies = {"https": proxy.url()}
        session.verify = authority.bundle
        if is_reused:
            session.post("https://origin.test/x", timeout=TIMEOUT)
        with pytest.raises(http.exceptions.ProxyError):
            session.post("https://origin.test/x", timeout=TIMEOUT)
