"""Proxies of every kind: what is sent to them, what they refuse, and what they never see."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp.exceptions import (
    ConnectionError,
    InvalidProxyURL,
    ProxyError,
    SSLError,
)
from tests.support.certificates import Authority
from tests.support.relay import relay
from tests.support.scripted import (
    Handler,
    Peer,
    ScriptedServer,
    answering,
    once,
    respond,
)
from tests.wire.tools import names_origin, prompt

OK = answering(lambda seen: respond(b"origin " + seen.target.encode()))


def connects(peer: Peer) -> None:
    """An HTTP proxy that opens tunnels."""
    seen = peer.read_head()
    _, _, port = seen.target.rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port))) as onward:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        relay(peer.sock, onward)


def forwards(body: bytes = b"forwarded") -> Handler:
    """An HTTP proxy that responds itself."""
    return answering(lambda seen: respond(body))


@pytest.fixture
def secure(authority: Authority) -> Iterator[ScriptedServer]:
    """An origin over TLS."""
    with ScriptedServer(OK, tls=authority.server_context()) as server:
        yield server


def proxy_url(server: ScriptedServer, scheme: str = "http", who: str = "") -> str:
    return f"{scheme}://{who}127.0.0.1:{server.port}"


# ---- forward


def test_forwarding(session: pooledhttp.Session) -> None:
    """Plain http goes to the proxy with the whole URL, over one connection for all origins."""
    with ScriptedServer(forwards()) as proxy:
        proxies = {"http": proxy_url(proxy, who="user:hunter2@")}
        for host in ("a.example", "b.example:81", "a.example"):
            url = f"http://u:p@{host}/path?q#fragment"
            assert session.get(url, proxies=proxies, timeout=5).content == b"forwarded"
        assert len(proxy.connections) == 1
        first = proxy.requests[0]
        assert first.target == "http://a.example/path?q"
        assert first.header("Host") == "a.example"
        assert proxy.requests[1].header("Host") == "b.example:81"
        assert first.header("Proxy-Authorization") == "Basic dXNlcjpodW50ZXIy"
        assert first.header("Authorization") == "Basic dTpw"
        session.close()


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_answers_of_a_forward_proxy(session: pooledhttp.Session, status: int) -> None:
    """The proxy's own response to a forwarded request is returned to the caller."""
    with ScriptedServer(answering(respond(b"no", status=status))) as proxy:
        answer = session.get("http://a.example/", proxies={"http": proxy_url(proxy)}, timeout=5)
        assert (answer.status_code, answer.content) == (status, b"no")
        session.close()


def test_a_forward_connection_that_went_stale(session: pooledhttp.Session) -> None:
    """The safe replay works through a proxy, and a POST is not repeated."""

    def goes(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        peer.read_request()
        peer.close()

    with ScriptedServer([goes, forwards(), goes]) as proxy:
        proxies = {"http": proxy_url(proxy)}
        session.get("http://a.example/", proxies=proxies, timeout=5)
        assert session.get("http://b.example/", proxies=proxies, timeout=5).content == b"forwarded"
        session.close()
        session.get("http://a.example/", proxies=proxies, timeout=5)
        with pytest.raises(ConnectionError):
            session.post("http://a.example/", data=b"x", proxies=proxies, timeout=5)
        assert [seen.method for seen in proxy.requests].count("POST") <= 1
        session.close()


# ---- tunnels


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
def test_tunnels(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer, proxy_scheme: str
) -> None:
    """CONNECT, then TLS with the origin: the tunnel is reused, and the proxy sees no plain text."""
    tls = authority.server_context() if proxy_scheme == "https" else None
    with ScriptedServer(connects, tls=tls) as proxy:
        proxies = {"https": proxy_url(proxy, proxy_scheme, "user:hunter2@")}
        session.verify = authority.bundle
        if proxy_scheme == "https":
            _trust_proxy(session, authority)
        for number in range(3):
            answer = session.get(
                secure.url(f"/{number}"), proxies=proxies, auth=("me", "secret"), timeout=5
            )
            assert answer.content == b"origin /%d" % number
        assert len(proxy.connections) == 1
        (asked,) = proxy.requests
        assert asked.method == "CONNECT"
        assert asked.target == f"127.0.0.1:{secure.port}"
        assert asked.header("Host") == asked.target
        assert asked.header("Proxy-Authorization") == "Basic dXNlcjpodW50ZXIy"
        assert asked.header("Authorization") is None
        assert all(seen.header("Proxy-Authorization") is None for seen in secure.requests)
        session.close()


def _trust_proxy(session: pooledhttp.Session, authority: Authority) -> None:
    """Let the session verify an https proxy by the test's authority."""

    class Trusting(pooledhttp.adapters.HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            return super().proxy_manager_for(
                proxy, proxy_ssl_context=authority.client_context(), **kwargs
            )

    session.mount("https://", Trusting())
    session.mount("http://", Trusting())


def test_the_socket_of_tls_in_tls_is_that_of_the_origin(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """It has the origin's certificate and the peer's address, and moves no bytes."""
    with ScriptedServer(connects, tls=authority.server_context()) as proxy:
        _trust_proxy(session, authority)
        proxies = {"https": proxy_url(proxy, "https", "")}
        session.verify = authority.bundle
        with session.get(secure.url(), proxies=proxies, timeout=5, stream=True) as response:
            sock = response.raw.connection.sock
            assert sock.getpeername()[1] == proxy.port and sock.fileno() > 0
            assert sock.getpeercert() and sock.version().startswith("TLS") and sock.cipher()
            inner = response.raw._reader._connection.stream._object
            assert sock.getpeercert(binary_form=True) == inner.getpeercert(binary_form=True)
            with pytest.raises(io.UnsupportedOperation):
                sock.recv(1)
            with pytest.raises(AttributeError):
                sock.no_such_method()
        session.close()


def test_an_unverified_https_proxy_is_refused(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """The proxy's own certificate is checked, and nothing is sent to one that fails."""
    with ScriptedServer(connects, tls=authority.server_context("other.example")) as proxy:
        with prompt(), pytest.raises((ProxyError, SSLError)):
            session.get(
                secure.url(), proxies={"https": proxy_url(proxy, "https", "u:p@")}, timeout=5
            )
        assert proxy.requests == []
        session.close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verify_false_does_not_hold_for_a_proxy_with_credentials(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """Whatever stands in the place of the proxy would read them."""
    with ScriptedServer(connects, tls=authority.server_context("other.example")) as proxy:
        proxies = {"https": proxy_url(proxy, "https", "u:p@")}
        with prompt(), pytest.raises((ProxyError, SSLError)):
            session.get(secure.url(), proxies=proxies, verify=False, timeout=5)
        assert proxy.requests == []
        session.close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("kind", ["off", "path", "context"])
def test_an_adapter_says_how_its_proxy_is_verified(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer, kind: str
) -> None:
    """`proxy_verify` holds for the proxy, `verify` for the origin."""
    name = "other.example" if kind == "off" else "127.0.0.1"
    choices = {"off": False, "path": authority.bundle, "context": authority.client_context()}
    chosen: Any = choices[kind]
    session.mount("https://", pooledhttp.adapters.HTTPAdapter(proxy_verify=chosen))
    with ScriptedServer(connects, tls=authority.server_context(name)) as proxy:
        proxies = {"https": proxy_url(proxy, "https", "u:p@")}
        response = session.get(secure.url("/x"), proxies=proxies, verify=False, timeout=5)
        assert response.content == b"origin /x"
        session.close()


def test_the_origin_behind_a_tunnel_is_verified(
    session: pooledhttp.Session, authority: Authority
) -> None:
    """A proxy that leads to another server is detected."""
    with ScriptedServer(OK, tls=authority.server_context("other.example")) as origin:
        with ScriptedServer(connects) as proxy:
            with prompt(), pytest.raises(SSLError) as caught:
                session.get(
                    origin.url(),
                    proxies={"https": proxy_url(proxy)},
                    verify=authority.bundle,
                    timeout=5,
                )
            names_origin(caught.value, origin)
            assert origin.requests == []
            session.close()


def says(data: bytes, *, then: Callable[[Peer], Any] = Peer.wait_closed) -> Handler:
    """A proxy with this response to CONNECT."""

    def handle(peer: Peer) -> None:
        peer.read_head()
        if data:
            peer.send(data)
        then(peer)

    return handle


REFUSALS: dict[str, Handler] = {
    "407": says(respond(b"who?", {"Proxy-Authenticate": "Basic realm=x"}, status=407)),
    "403": says(respond(b"no", status=403)),
    "502": says(respond(b"no", status=502)),
    "302": says(respond(b"", {"Location": "https://evil.example/"}, status=302)),
    "100-then-403": says(b"HTTP/1.1 100 Continue\r\n\r\n" + respond(b"", status=403)),
    "101": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "fin": says(b"", then=Peer.close),
    "rst": says(b"", then=Peer.reset),
    "half-a-head": says(b"HTTP/1.1 200 OK\r\nX: ", then=Peer.close),
    "rubbish": says(b"rubbish\r\n\r\n"),
    "tls": says(bytes.fromhex("15030300020228")),
    "403-of-two-lengths": says(b"HTTP/1.1 403 No\r\nContent-Length: 5, 6\r\n\r\nhello"),
    "407-of-no-length": says(b"HTTP/1.1 407 Who\r\nContent-Length: none\r\n\r\n"),
    "200-with-a-body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"),
    "200-with-a-response": says(
        b"HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n" + respond(b"not from the origin")
    ),
    "bytes-behind-the-head": says(b"HTTP/1.1 200 OK\r\n\r\nmore"),
    "200-then-fin": says(b"HTTP/1.1 200 OK\r\n\r\n", then=Peer.close),
    "endless-head": says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
    "endless-interims": says(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("handler", REFUSALS.values(), ids=REFUSALS)
def test_refused_tunnels(session: pooledhttp.Session, handler: Handler) -> None:
    """No tunnel is a ProxyError (or the TLS that failed in it), at once, with its reason."""
    with ScriptedServer(handler) as proxy:
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.get("https://a.example/", proxies={"https": proxy_url(proxy)}, timeout=5)
        assert "a.example" in str(caught.value) or str(proxy.port) in str(caught.value)
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: none",
        "Transfer-Encoding: gzip, chunked",
    ],
)
def test_a_tunnel_whose_answer_claims_a_body(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer, fields: str
) -> None:
    """A 2xx to CONNECT has no body, whatever its head says (RFC 9110, section 9.3.6)."""

    def handle(peer: Peer) -> None:
        port = int(peer.read_head().target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            peer.send(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode())
            relay(peer.sock, onward)

    with ScriptedServer(handle) as proxy, prompt():
        answer = session.get(
            secure.url("/x"),
            proxies={"https": proxy_url(proxy)},
            verify=authority.bundle,
            timeout=5,
        )
        assert answer.content == b"origin /x"
        session.close()


def test_407_in_other_words_says_nothing_of_passwords(session: pooledhttp.Session) -> None:
    """The advice goes by the status, not by what else the refusal holds."""
    refusal = b"HTTP/1.1 502 not 407\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer(says(refusal)) as proxy:
        with pytest.raises(ProxyError, match="502") as caught:
            session.get("https://a.example/", proxies={"https": proxy_url(proxy)}, timeout=5)
        assert "password" not in str(caught.value)
        session.close()


def test_credentials_for_a_proxy_go_out_once(session: pooledhttp.Session) -> None:
    """Credentials of the proxy URL replace the caller's field, in any case of its name."""
    with ScriptedServer(forwards()) as proxy:
        session.get(
            "http://a.example/",
            headers={"proxy-authorization": "Basic b3RoZXI="},
            proxies={"http": proxy_url(proxy, who="user:hunter2@")},
            timeout=5,
        )
        names = [name.lower() for name, _ in proxy.requests[0].headers]
        assert names.count("proxy-authorization") == 1
        session.close()


def test_407_says_what_to_do(session: pooledhttp.Session) -> None:
    """A ProxyError with status and advice, without credentials."""
    with ScriptedServer(REFUSALS["407"]) as proxy:
        with pytest.raises(ProxyError, match=r"407.*user name and password") as caught:
            session.get(
                "https://a.example/",
                proxies={"https": proxy_url(proxy, who="user:hunter2@")},
                timeout=5,
            )
        assert "hunter2" not in str(caught.value)
        session.close()


@pytest.mark.parametrize("target", ["http", "https"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h", "socks4", "socks4a"])
def test_a_proxy_nobody_runs(session: pooledhttp.Session, scheme: str, target: str) -> None:
    """Refused by the proxy's own host: a ConnectionError (ProxyError over HTTP) that names it."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    with prompt(), pytest.raises(ConnectionError, match=str(port)) as caught:
        session.get(
            f"{target}://127.0.0.1:1/",
            proxies={"all": f"{scheme}://u:hunter2@127.0.0.1:{port}"},
            timeout=5,
        )
    assert isinstance(caught.value, ProxyError) or scheme.startswith("socks")
    assert "hunter2" not in str(caught.value)


def test_tunnels_are_shared_by_proxy_and_terms_only(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """Another proxy, other credentials or no proxy: never the same connection."""
    with ScriptedServer(connects) as one, ScriptedServer(connects) as other:
        ways = [
            {"https": proxy_url(one)},
            {"https": proxy_url(one, who="a:b@")},
            {"https": proxy_url(other)},
            {},
        ]
        for proxies in ways * 2:
            session.get(secure.url(), proxies=proxies, verify=authority.bundle, timeout=5)
        assert len(secure.connections) == 4
        assert len(one.connections) == 2
        session.close()


def test_redirects_change_proxies(session: pooledhttp.Session, authority: Authority) -> None:
    """Credentials of the http proxy do not reach the https origin, nor a direct one."""
    with ScriptedServer(OK, tls=authority.server_context()) as origin:
        hop = respond(b"", {"Location": origin.url("/")}, status=302)
        with ScriptedServer(answering(hop)) as proxy:
            proxies = {"http": proxy_url(proxy, who="user:hunter2@")}
            answer = session.get(
                "http://a.example/", proxies=proxies, verify=authority.bundle, timeout=5
            )
            assert answer.content == b"origin /"
            assert proxy.requests[0].header("Proxy-Authorization")
            assert origin.requests[0].header("Proxy-Authorization") is None
            session.close()


@pytest.mark.parametrize("key", ["http", "all", "http://127.0.0.1", "all://127.0.0.1"])
@pytest.mark.parametrize("again", ["next", "history", "hook", "copy"])
def test_the_request_of_a_redirect_has_no_credentials_of_the_proxy(
    session: pooledhttp.Session, key: str, again: str
) -> None:
    """A program may send it once more, without the proxy: then the origin would get them."""
    hop = respond(b"", {"Location": "/there"}, status=302)
    with (
        ScriptedServer(OK) as origin,
        ScriptedServer(answering(hop, respond(b"by proxy"))) as proxy,
    ):
        proxies = {key: proxy_url(proxy, who="user:hunter2@")}
        hop_requests: list[pooledhttp.PreparedRequest] = []
        answer = session.get(
            origin.url("/"),
            proxies=proxies,
            allow_redirects=again != "next",
            hooks={"response": lambda r, **_: hop_requests.append(r.request)},
            timeout=5,
        )
        found = {
            "next": answer.next,
            "history": answer.request,
            "hook": hop_requests[-1],
            "copy": answer.request.copy(),
        }[again]
        assert found is not None
        assert session.send(found, timeout=5).status_code == 200
        assert origin.requests[-1].header("Proxy-Authorization") is None
        if again != "next":
            assert [seen.header("Proxy-Authorization") for seen in proxy.requests] == [
                "Basic dXNlcjpodW50ZXIy",
                "Basic dXNlcjpodW50ZXIy",
            ]
        else:
            session.send(found, proxies=proxies, timeout=5)
            assert proxy.requests[-1].header("Proxy-Authorization") == "Basic dXNlcjpodW50ZXIy"
        session.close()


def test_a_field_for_the_proxy_of_a_subclass_stays() -> None:
    """What an overridden `rebuild_proxies` sets of its own is sent."""

    class Own(pooledhttp.Session):
        def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
            table = super().rebuild_proxies(prepared_request, proxies)
            prepared_request.headers["Proxy-Authorization"] = "Own token"
            return table

    hop = respond(b"", {"Location": "/there"}, status=302)
    with ScriptedServer(answering(hop, respond(b"ok"))) as proxy, Own() as own:
        own.get("http://a.example/", proxies={"http": proxy_url(proxy)}, timeout=5)
        assert proxy.requests[1].header("Proxy-Authorization") == "Own token"


def test_an_https_redirect_over_a_proxy_with_credentials(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """On a redirect to https the proxy's password stays in CONNECT (CVE-2023-32681)."""
    with ScriptedServer(
        answering(respond(b"", {"Location": secure.url("/")}, status=302))
    ) as first:
        with ScriptedServer(connects) as proxy:
            answer = session.get(
                first.url(),
                proxies={"https": proxy_url(proxy, who="user:hunter2@")},
                verify=authority.bundle,
                timeout=5,
            )
            assert answer.content == b"origin /"
            assert proxy.requests[0].header("Proxy-Authorization")
            assert secure.requests[0].header("Proxy-Authorization") is None
            session.close()


def test_a_field_for_the_proxy_does_not_reach_the_origin(
    session: pooledhttp.Session, authority: Authority, secure: ScriptedServer
) -> None:
    """`Proxy-Authorization` set by hand stays out of a tunnel, where no proxy could read it."""
    fields = {"proxy-authorization": "Basic hunter2"}
    with ScriptedServer(connects) as proxy, ScriptedServer(forwards()) as plain:
        proxies = {"https": proxy_url(proxy), "http": proxy_url(plain)}
        session.get(
            secure.url(), proxies=proxies, headers=fields, verify=authority.bundle, timeout=5
        )
        assert secure.requests[0].header("Proxy-Authorization") is None
        session.get("http://a.example/", proxies=proxies, headers=fields, timeout=5)
        assert plain.requests[0].header("Proxy-Authorization") == "Basic hunter2"
        session.close()


# ---- the environment


def test_a_redirect_to_an_exception_goes_past_the_proxy(
    session: pooledhttp.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`no_proxy` holds for redirects, too, against the environment's proxy but no other."""
    with ScriptedServer(OK) as origin:
        hop = respond(b"", {"Location": origin.url("/in")}, status=302)
        with ScriptedServer(answering(hop, respond(b"forwarded"))) as proxy:
            monkeypatch.setenv("http_proxy", proxy_url(proxy, who="user:hunter2@"))
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert session.get("http://a.example/", timeout=5).content == b"origin /in"
            assert origin.requests[0].header("Proxy-Authorization") is None
            session.close()
        with ScriptedServer(answering(hop, respond(b"forwarded"))) as proxy:
            monkeypatch.setenv("http_proxy", proxy_url(proxy))
            session.proxies = {"http": proxy_url(proxy)}
            assert session.get("http://a.example/", timeout=5).content == b"forwarded"
            session.close()


def test_proxies_of_the_environment(
    session: pooledhttp.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`http_proxy` and `no_proxy` are applied, and read again for each request."""
    with ScriptedServer(forwards()) as proxy, ScriptedServer(OK) as origin:
        monkeypatch.setenv("http_proxy", proxy_url(proxy))
        assert session.get("http://a.example/", timeout=5).content == b"forwarded"
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        assert session.get(origin.url("/x"), timeout=5).content == b"origin /x"
        monkeypatch.delenv("http_proxy")
        monkeypatch.delenv("no_proxy")
        assert session.get(origin.url("/y"), timeout=5).content == b"origin /y"
        session.close()


def test_a_header_does_not_make_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTP_PROXY` in a CGI script is the client's `Proxy` field: it is ignored (httpoxy)."""
    with ScriptedServer(forwards()) as proxy, ScriptedServer(OK) as origin:
        monkeypatch.setenv("REQUEST_METHOD", "GET")
        monkeypatch.setenv("HTTP_PROXY", proxy_url(proxy))
        with pooledhttp.Session() as session:
            assert session.get(origin.url("/x"), timeout=5).content == b"origin /x"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://", InvalidProxyURL),
        ("http:///x", InvalidProxyURL),
        ("http://a:99999", (InvalidProxyURL, pooledhttp.RequestException)),
        ("ftp://127.0.0.1:1", pooledhttp.RequestException),
        ("gopher://127.0.0.1:1", pooledhttp.RequestException),
        ("http://a b:1", pooledhttp.RequestException),
        ("http://a\r\nb:1", pooledhttp.RequestException),
        ("socks://127.0.0.1:1", InvalidProxyURL),
        ("socks9://127.0.0.1:1", InvalidProxyURL),
    ],
)
@pytest.mark.parametrize("target", ["http", "https"])
def test_bad_proxy_urls(session: pooledhttp.Session, url: str, target: str, error: Any) -> None:
    """An invalid proxy URL raises the class that requests raises."""
    with prompt(), pytest.raises(error) as caught:
        session.get(f"{target}://127.0.0.1:1/", proxies={"all": url}, timeout=2)
    assert isinstance(caught.value, pooledhttp.RequestException)


# ---- SOCKS


def socks5(
    *,
    user: bytes | None = None,
    reply: bytes | None = None,
    asked: list[tuple[int, bytes]] | None = None,
    cut: bytes | None = None,
    bound: bytes = b"\x01" + bytes(4),
) -> Handler:
    """A SOCKS5 server: with a password, a refusal, or a cut in the middle, as told."""

    def handle(peer: Peer) -> None:
        take = peer.reader.exactly
        _, count = take(2)
        methods = take(count)
        if cut is not None:
            peer.send(cut)
            peer.close()
            return
        if user is None:
            peer.send(b"\x05\x00")
        elif 2 not in methods:
            peer.send(b"\x05\xff")
            return
        else:
            peer.send(b"\x05\x02")
            take(1)
            name = take(take(1)[0])
            password = take(take(1)[0])
            peer.send(b"\x01" + (b"\0" if (name, password) == (user, b"hunter2") else b"\1"))
        _, _, _, kind = take(4)
        address = {1: lambda: take(4), 4: lambda: take(16), 3: lambda: take(take(1)[0])}[kind]()
        port = int.from_bytes(take(2))
        if asked is not None:
            asked.append((kind, address))
        if reply is not None:
            peer.send(reply)
            return
        with socket.create_connection(("127.0.0.1", port)) as onward:
            peer.send(b"\x05\0\0" + bound + bytes(2))
            relay(peer.sock, onward)

    return handle


@pytest.mark.parametrize(
    "bound",
    [b"\x04" + bytes(16), b"\x03\x09localhost", b"\x03\x00", b"\x03\xff" + b"\xfe" * 255],
    ids=["ipv6", "name", "empty", "nonsense"],
)
def test_where_a_socks5_proxy_is_bound_does_not_matter(
    session: pooledhttp.Session, bound: bytes
) -> None:
    """Only the length of the address in the reply matters."""
    with ScriptedServer(OK) as origin, ScriptedServer(socks5(bound=bound)) as proxy:
        proxies = {"http": proxy_url(proxy, "socks5h")}
        assert session.get(origin.url("/x"), proxies=proxies, timeout=5).content == b"origin /x"
        session.close()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("user", [None, b"user"], ids=["open", "password"])
def test_socks5(
    session: pooledhttp.Session, authority: Authority, scheme: str, tls: bool, user: bytes | None
) -> None:
    """Names are looked up here or there as the scheme says; the tunnel is kept and reused."""
    asked: list[tuple[int, bytes]] = []
    context = authority.server_context() if tls else None
    with ScriptedServer(OK, tls=context) as origin:
        with ScriptedServer(socks5(user=user, asked=asked)) as proxy:
            proxies = {"all": proxy_url(proxy, scheme, "user:hunter2@" if user else "")}
            for number in range(3):
                answer = session.get(
                    origin.url(f"/{number}", host="localhost"),
                    proxies=proxies,
                    verify=authority.bundle,
                    timeout=5,
                )
                assert answer.content == b"origin /%d" % number
            assert len(proxy.connections) == 1
            session.close()
    (one,) = asked
    assert one == ((3, b"localhost") if scheme == "socks5h" else (1, bytes([127, 0, 0, 1])))


def refusal(code: int) -> bytes:
    return bytes((5, code, 0, 1)) + bytes(6)


@pytest.mark.parametrize(
    "handler",
    [
        *(socks5(reply=refusal(code)) for code in (1, 2, 3, 4, 5, 6, 7, 8, 99)),
        socks5(user=b"other"),
        socks5(cut=b""),
        socks5(cut=b"\x05"),
        socks5(cut=b"\x04\x00"),
        socks5(cut=b"\x05\xff"),
        socks5(cut=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        socks5(reply=b"\x05"),
        socks5(reply=b"\x05\0\0\x03\xff"),
        socks5(reply=b"\x05\0\0\x07" + bytes(6)),
        lambda peer: peer.close(),
        lambda peer: peer.reset(),
    ],
)
def test_socks5_that_fails(session: pooledhttp.Session, handler: Handler) -> None:
    """A refusal, a wrong password or rubbish is a ConnectionError at once, without the password."""
    with ScriptedServer(handler) as proxy:
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.get(
                "http://a.example/",
                proxies={"http": proxy_url(proxy, "socks5h", "user:hunter2@")},
                timeout=5,
            )
        assert "hunter2" not in str(caught.value)
        assert session.pool.stats().total.active == 0
        session.close()


SOCKS_FAILURES = {
    "refused": socks5(reply=refusal(5)),
    "no method": socks5(user=b"other"),
    "wrong password": socks5(user=b"u"),
    "not SOCKS": socks5(cut=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "cut short": socks5(reply=b"\x05\0\0\x03\xff"),
    "closed": lambda peer: peer.close(),
    "reset": lambda peer: peer.reset(),
}


@pytest.mark.parametrize("policy", [urllib3.Retry, pooledhttp.Retry], ids=["urllib3", "ours"])
@pytest.mark.parametrize("failure", SOCKS_FAILURES)
def test_a_socks_proxy_that_fails_is_a_failure_to_connect(
    policy: Callable[..., urllib3.Retry], failure: str
) -> None:
    """`Retry(connect=...)` bounds the attempts, also of a POST; `read` and `other` do not."""
    retries = policy(total=None, connect=2, read=0, other=0)
    with (
        ScriptedServer(SOCKS_FAILURES[failure]) as proxy,
        pooledhttp.Session(retries=retries) as session,
    ):
        who = "u:wrong@" if failure == "wrong password" else ""
        with pytest.raises(ProxyError):
            session.post(
                "http://a.example/", proxies={"all": proxy_url(proxy, "socks5h", who)}, timeout=5
            )
        assert len(proxy.connections) == 3
        assert session.pool.stats().total.active == 0


def test_a_socks_proxy_that_fails_once_is_tried_again() -> None:
    """The request is sent once, over the second connection to the proxy."""
    with (
        ScriptedServer(OK) as origin,
        ScriptedServer([socks5(reply=refusal(1)), socks5()]) as proxy,
        pooledhttp.Session(retries=urllib3.Retry(total=None, connect=1)) as session,
    ):
        proxies = {"all": proxy_url(proxy, "socks5h")}
        response = session.post(origin.url("/x"), data=b"once", proxies=proxies, timeout=5)
        assert response.content == b"origin /x"
        assert [seen.body for seen in origin.requests] == [b"once"]
        session.close()


@pytest.mark.parametrize(
    ("url", "method", "how", "tries"),
    [
        ("http://a.example/", "POST", {}, 1),
        ("http://a.example/", "POST", {"allowed_methods": None}, 3),
        ("http://a.example/", "GET", {}, 3),
        ("https://a.example/", "POST", {}, 3),
        ("https://a.example/", "POST", {"other": 1}, 2),
    ],
)
def test_retries_over_an_http_proxy_that_closes(
    url: str, method: str, how: dict[str, Any], tries: int
) -> None:
    """A forwarded POST may have run, one that waited for its tunnel was never sent."""
    with (
        ScriptedServer(once(b"")) as proxy,
        pooledhttp.Session(retries=urllib3.Retry(2, **how)) as session,
    ):
        with pytest.raises(ProxyError):
            session.request(method, url, data=b"x", proxies={"all": proxy_url(proxy)}, timeout=5)
        assert len(proxy.connections) == tries
        assert session.pool.stats().total.active == 0


@pytest.mark.parametrize("host", ["a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 60, "x"])
def test_socks5h_long_names(session: pooledhttp.Session, host: str) -> None:
    """A name of up to 255 bytes goes to the proxy whole, never cut."""
    asked: list[tuple[int, bytes]] = []
    with ScriptedServer(socks5(reply=refusal(4), asked=asked)) as proxy:
        with prompt(), pytest.raises(ConnectionError):
            session.get(f"http://{host}/", proxies={"http": proxy_url(proxy, "socks5h")}, timeout=5)
        session.close()
    assert asked == [(3, host.encode())]


def socks4(peer: Peer) -> None:
    """A SOCKS4(a) server."""
    take = peer.reader.exactly
    _, _, high, low = take(4)
    address = take(4)
    peer.reader.until(b"\0")
    if address[:3] == b"\0\0\0" and address[3]:
        peer.reader.until(b"\0")
    with socket.create_connection(("127.0.0.1", high << 8 | low)) as onward:
        peer.send(b"\0\x5a" + bytes(6))
        relay(peer.sock, onward)


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_socks4(session: pooledhttp.Session, scheme: str) -> None:
    """Both kinds of SOCKS 4."""
    with ScriptedServer(OK) as origin, ScriptedServer(socks4) as proxy:
        answer = session.get(
            origin.url("/x", host="localhost"),
            proxies={"http": proxy_url(proxy, scheme)},
            timeout=5,
        )
        assert answer.content == b"origin /x"
        session.close()
