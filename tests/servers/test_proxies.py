"""Sessions through real proxies: squid plain and over TLS, dante and microsocks."""

from __future__ import annotations

import base64
import itertools
import socket
from collections.abc import Iterator

import pytest

import pooledhttp
from pooledhttp import Session
from pooledhttp.auth import HTTPBasicAuth
from pooledhttp.exceptions import ProxyError
from tests.support.certificates import Authority
from tests.support.nginx import Nginx
from tests.support.proxies import Dante, Microsocks, Squid
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

PROXY_AUTH = "Basic " + base64.b64encode(b"user:secret").decode()
ORIGIN_AUTH = "Basic " + base64.b64encode(b"origin:private").decode()


#: A port may be used again by a later test; an address of these never is, so that the log of a
#: proxy tells which lines are about which test.
_addresses = (f"127.1.1.{number}" for number in itertools.count(1))


@pytest.fixture(scope="session")
def tls_squid(authority: Authority) -> Iterator[Squid]:
    """A proxy that is itself reached by TLS, and knows one user."""
    with Squid("user", "secret", authority=authority) as server:
        yield server


@pytest.fixture
def session(authority: Authority) -> Iterator[Session]:
    """A session that trusts the test's authority."""
    with Session() as session:
        session.verify = authority.bundle
        yield session


def _both(url: str) -> dict[str, str]:
    return {"http": url, "https": url}


@pytest.fixture(params=["http", "https"])
def origin(request: pytest.FixtureRequest, authority: Authority) -> Iterator[ScriptedServer]:
    """An origin that records what it is sent, plain and by TLS, at an address of its own."""
    host = next(_addresses)
    context = authority.server_context(host) if request.param == "https" else None
    with ScriptedServer(answering(respond(b"origin")), tls=context, host=host) as server:
        yield server


@pytest.mark.parametrize("how", ["argument", "session", "environment"])
@pytest.mark.parametrize("over", ["squid_with_password", "tls_squid"])
def test_credentials_stay_where_they_belong(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    session: Session,
    origin: ScriptedServer,
    over: str,
    how: str,
) -> None:
    """The proxy's password is seen by the proxy alone; by TLS the origin's by the origin alone."""
    squid: Squid = request.getfixturevalue(over)
    url = squid.url_with("user", "secret")
    if how == "environment":
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("HTTPS_PROXY", url)
    elif how == "session":
        session.proxies = _both(url)
    target = origin.url("/")
    answer = session.get(
        target,
        auth=HTTPBasicAuth("origin", "private"),
        cookies={"c": "crumb"},
        proxies=_both(url) if how == "argument" else None,
        timeout=10,
    )
    assert answer.content == b"origin"
    seen = origin.requests[0]
    assert seen.header("authorization") == ORIGIN_AUTH
    assert seen.header("proxy-authorization") is None
    assert b"secret" not in seen.head and PROXY_AUTH.encode() not in seen.head
    session.close()
    (head,) = squid.log(f"{origin.host}:{origin.port}", 1)
    assert PROXY_AUTH.removeprefix("Basic ") in head
    if target.startswith("https"):
        assert head.startswith("CONNECT ")
        assert "crumb" not in head and ORIGIN_AUTH.removeprefix("Basic ") not in head


def test_without_a_password_the_proxy_refuses(
    session: Session, squid_with_password: Squid, nginx: Nginx
) -> None:
    """Forwarded: the proxy's 407 is the response. Tunnelled: an error that says what to do."""
    proxies = _both(squid_with_password.url)
    assert session.get(nginx.plain_url("/"), proxies=proxies, timeout=10).status_code == 407
    with pytest.raises(ProxyError, match=r"407.*user name and password into its URL"):
        session.get(nginx.url("/"), proxies=proxies, timeout=10)
    with pytest.raises(ProxyError) as caught:
        wrong = squid_with_password.url_with("user", "hunter2")
        session.get(nginx.url("/"), proxies=_both(wrong), timeout=10)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("over", ["squid", "tls_squid", "dante", "microsocks"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tunnels_are_kept_and_used_again(
    request: pytest.FixtureRequest, session: Session, nginx: Nginx, over: str, scheme: str
) -> None:
    """Ten GETs and three POSTs through a proxy are one connection, as without it."""
    url = _proxy_url(request, over)
    nginx.write("x", b"x" * 100_000)
    address = nginx.url if scheme == "https" else nginx.plain_url
    for _ in range(10):
        answer = session.get(address("/x"), proxies=_both(url), timeout=10)
        assert answer.content == b"x" * 100_000
    for _ in range(3):
        posted = session.post(address("/accept"), data=b"d", proxies=_both(url), timeout=10)
        assert posted.text == "accepted"
    assert session.pool.stats().total.created == 1
    session.close()
    nginx.wait_idle()


def _proxy_url(request: pytest.FixtureRequest, over: str) -> str:
    proxy = request.getfixturevalue(over)
    if over == "tls_squid":
        return str(proxy.url_with("user", "secret"))
    return proxy.url if isinstance(proxy, Squid) else str(proxy.url())


def test_one_connection_to_a_forwarding_proxy_serves_all_hosts(
    session: Session, squid: Squid, nginx: Nginx
) -> None:
    """Plain http to two names over one proxy shares a connection; https does not."""
    nginx.write("x", b"x")
    for host in ("127.0.0.1", "localhost", "127.0.0.1"):
        url = nginx.plain_url("/x", host=host)
        assert session.get(url, proxies=_both(squid.url), timeout=10).content == b"x"
    assert session.pool.stats().total.created == 1


def test_the_certificate_of_a_tls_proxy_is_verified(tls_squid: Squid, nginx: Nginx) -> None:
    """An unknown authority is refused for http and https targets, and so is a wrong name."""
    with Session() as session:
        for url in (nginx.plain_url("/unseen"), nginx.url("/unseen")):
            proxy = tls_squid.url_with("user", "secret")
            with pytest.raises(ProxyError, match="certificate verify failed"):
                session.get(url, proxies=_both(proxy), timeout=10)
            with pytest.raises(ProxyError, match="certificate verify failed"):
                session.get(
                    url,
                    proxies=_both(proxy.replace("localhost", "127.0.0.1")),
                    verify=nginx.authority.bundle,
                    timeout=10,
                )
    assert tls_squid.log("/unseen") == []


def test_the_origin_behind_a_proxy_is_verified(
    session: Session, squid: Squid, nginx: Nginx
) -> None:
    """A tunnel changes nothing about the name in the certificate."""
    with pytest.raises(pooledhttp.exceptions.SSLError):
        session.get(nginx.url("/", host="127.0.0.1"), proxies=_both(squid.url), timeout=10)


@pytest.mark.parametrize("over", ["squid", "tls_squid"])
def test_large_bodies_both_ways_through_a_tunnel(
    request: pytest.FixtureRequest, session: Session, nginx: Nginx, over: str
) -> None:
    """Megabytes pass through TLS, and through TLS in TLS, unchanged."""
    url = _proxy_url(request, over)
    body = bytes(range(256)) * 20_000
    nginx.write("large", body)
    assert session.get(nginx.url("/large"), proxies=_both(url), timeout=30).content == body
    answer = session.post(nginx.url("/accept"), data=body, proxies=_both(url), timeout=30)
    assert answer.text == "accepted"


def test_no_proxy_is_respected(
    monkeypatch: pytest.MonkeyPatch, session: Session, squid: Squid, nginx: Nginx
) -> None:
    """An exception by network, by name and by address goes around the proxy of the environment."""
    nginx.write("around", b"x")
    monkeypatch.setenv("http_proxy", squid.url)
    for exceptions, host in (
        ("10.0.0.0/8,127.0.0.0/8", "127.0.0.1"),
        ("localhost", "localhost"),
        (f"127.0.0.1:{nginx.ports[1]}", "127.0.0.1"),
    ):
        monkeypatch.setenv("no_proxy", exceptions)
        assert session.get(nginx.plain_url("/around", host=host), timeout=10).content == b"x"
    assert squid.log("/around") == []
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    assert session.get(nginx.plain_url("/around"), timeout=10).content == b"x"
    assert len(squid.log("/around", 1)) == 1


@pytest.mark.parametrize("over", ["dante", "microsocks"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(
    request: pytest.FixtureRequest,
    session: Session,
    nginx: Nginx,
    over: str,
    scheme: str,
) -> None:
    """Both servers, with and without a password, names looked up here and there."""
    proxy: Dante | Microsocks = request.getfixturevalue(over)
    nginx.write("x", b"x")
    for url in (nginx.url("/x"), nginx.plain_url("/x", host="localhost")):
        assert session.get(url, proxies=_both(proxy.url(scheme)), timeout=10).content == b"x"


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_socks_4(session: Session, dante: Dante, nginx: Nginx, scheme: str) -> None:
    """The older version still works; dante takes addresses only, also in 4a."""
    nginx.write("x", b"x")
    hosts = ("127.0.0.1", "localhost") if scheme == "socks4" else ("127.0.0.1",)
    for url in [nginx.plain_url("/x", host=host) for host in hosts]:
        assert session.get(url, proxies=_both(dante.url(scheme)), timeout=10).content == b"x"


def test_socks_with_a_wrong_password(
    session: Session, microsocks: Microsocks, nginx: Nginx
) -> None:
    """A clear error, without the password in it."""
    url = microsocks.url().replace("secret", "hunter2")
    with pytest.raises(pooledhttp.ConnectionError, match="user name and password") as caught:
        session.get(nginx.url("/"), proxies=_both(url), timeout=10)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("over", ["squid", "tls_squid", "dante", "microsocks"])
def test_a_target_nobody_listens_on(
    request: pytest.FixtureRequest, session: Session, over: str
) -> None:
    """What the proxy cannot reach is a ConnectionError that names the target."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(pooledhttp.ConnectionError, match=str(port)):
            session.get(
                f"https://localhost:{port}/",
                proxies=_both(_proxy_url(request, over)),
                timeout=10,
            )


def test_a_proxy_that_is_gone(session: Session, nginx: Nginx) -> None:
    """The error names the proxy without its password, and nothing reaches the origin."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:hunter2@127.0.0.1:{unused.getsockname()[1]}"
        for target in (nginx.url("/"), nginx.plain_url("/")):
            with pytest.raises(ProxyError, match="proxy") as caught:
                session.get(target, proxies=_both(url), timeout=10)
            assert "hunter2" not in str(caught.value)
    assert nginx.log() == []


def test_redirects_across_a_proxy_and_not(
    monkeypatch: pytest.MonkeyPatch, session: Session, squid_with_password: Squid
) -> None:
    """The hop that goes around the proxy carries none of its credentials."""
    monkeypatch.setenv("http_proxy", squid_with_password.url_with("user", "secret"))
    monkeypatch.setenv("no_proxy", "localhost")
    with ScriptedServer(answering(respond(b"direct"))) as direct:
        location = direct.url("/", host="localhost")

        def redirect(seen: SeenRequest) -> bytes:
            return respond(b"", {"Location": location}, status=302)

        with ScriptedServer(answering(redirect)) as first:
            assert session.get(first.url(), timeout=10).content == b"direct"
            assert "proxy-authorization" not in first.requests[0].head.decode().lower()
        assert direct.requests[0].header("proxy-authorization") is None
        session.close()
