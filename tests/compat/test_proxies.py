"""Proxies that break off, and https proxies with settings of TLS of their own.

Programs that change the proxy on a `ProxyError` do so with both.
"""

from __future__ import annotations

import hashlib
import ssl
from types import ModuleType
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, respond

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


def _through(
    http: ModuleType, proxy: ScriptedServer, url: str, verify: Any = None, **keywords: Any
) -> Any:
    """Send a GET over an https proxy, with keywords for its manager.

    Args:
        http: requests or pooledhttp.
        proxy: The proxy.
        url: Where to.
        verify: Of the request; None skips what requests does about verification.
        keywords: Of `proxy_manager_for`.
    """

    class Adapter(http.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def proxy_manager_for(self, proxy: str, **given: Any) -> Any:
            return super().proxy_manager_for(proxy, **given, **keywords)

        if verify is None:

            def cert_verify(self, *args: Any, **given: Any) -> None:
                pass

            def get_connection_with_tls_context(
                self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
            ) -> Any:
                scheme = request.url.partition("://")[0]
                return self.proxy_manager_for(proxies[scheme]).connection_from_url(request.url)

    with http.Session() as session:
        session.mount("https://", Adapter())
        session.mount("http://", Adapter())
        proxies = dict.fromkeys(("http", "https"), f"https://me:secret@localhost:{proxy.port}")
        settings = {} if verify is None else {"verify": verify}
        return session.get(url, proxies=proxies, timeout=TIMEOUT, **settings)


def _lax() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TestHttpsProxies:
    """How an adapter's settings for an https proxy decide what is verified."""

    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    @pytest.mark.parametrize("url", ["http://inner.invalid/", "https://inner.invalid/"])
    def test_contexts_that_verify_nothing(
        self, http: ModuleType, authority: Authority, url: str
    ) -> None:
        """An adapter that leaves all to its contexts, as yt-dlp's, reaches a self-signed proxy."""
        refusal = respond(status=407, reason="Proxy Authentication Required")
        with ScriptedServer(answering(refusal), tls=authority.server_context()) as proxy:
            contexts = {"ssl_context": _lax(), "proxy_ssl_context": _lax()}
            try:
                assert _through(http, proxy, url, **contexts).status_code == 407
            except http.exceptions.ProxyError:
                assert url.startswith("https")
            assert len(proxy.requests) == 1

    @pytest.mark.parametrize("url", ["http://inner.invalid/", "https://inner.invalid/"])
    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_a_context_of_the_proxy_that_verifies(
        self, http: ModuleType, authority: Authority, url: str
    ) -> None:
        """`verify=False` of the request is not said of the proxy."""
        context = ssl.create_default_context()
        with ScriptedServer(answering(respond()), tls=authority.server_context()) as proxy:
            with pytest.raises(http.exceptions.ConnectionError):
                _through(http, proxy, url, verify=False, proxy_ssl_context=context)
            assert not proxy.requests

    def test_a_fingerprint_of_the_proxy(self, http: ModuleType, authority: Authority) -> None:
        """A proxy with another certificate is not asked for a tunnel."""
        refusal = respond(status=407, reason="Proxy Authentication Required")
        with ScriptedServer(answering(refusal), tls=authority.server_context()) as proxy:
            certificate = ssl.get_server_certificate(("localhost", proxy.port))
            right = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
            for fingerprint, asked in ((right, 1), ("00" * 32, 0)):
                before = len(proxy.requests)
                with pytest.raises(http.exceptions.ConnectionError):
                    _through(
                        http, proxy, "https://inner.invalid/", verify=authority.bundle,
                        proxy_assert_fingerprint=fingerprint,
                    )  # fmt: skip
                assert len(proxy.requests) - before == asked

    @pytest.mark.parametrize(
        ("name", "asked"), [("other.example", 0), ("localhost", 1), (False, 1)]
    )
    def test_a_name_of_the_proxy(
        self, http: ModuleType, authority: Authority, name: Any, asked: int
    ) -> None:
        """The certificate of the proxy must have this name; False does not look at the name."""
        refusal = respond(status=407, reason="Proxy Authentication Required")
        with ScriptedServer(answering(refusal), tls=authority.server_context()) as proxy:
            with pytest.raises(http.exceptions.ConnectionError):
                _through(
                    http, proxy, "https://inner.invalid/", verify=authority.bundle,
                    proxy_assert_hostname=name,
                )  # fmt: skip
            assert len(proxy.requests) == asked
