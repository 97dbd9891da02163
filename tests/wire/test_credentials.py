"""Redirects, and what is not sent when they lead to another origin."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp.auth import HTTPDigestAuth
from pooledhttp.exceptions import (
    ConnectionError,
    InvalidSchema,
    InvalidURL,
    TooManyRedirects,
    UnrewindableBodyError,
)
from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond
from tests.wire.tools import prompt


def to(location: str, status: int = 302, *more: tuple[str, str]) -> bytes:
    """A redirect."""
    return respond(b"moved", [("Location", location), *more], status=status)


@pytest.fixture
def elsewhere() -> Iterator[ScriptedServer]:
    """Another origin."""
    with ScriptedServer(answering(respond(b"there"))) as server:
        yield server


SECRETS: dict[str, dict[str, Any]] = {
    "auth": {"auth": ("user", "hunter2")},
    "header": {"headers": {"Authorization": "Bearer hunter2"}},
    "header-case": {"headers": {"aUTHORIZATION": "Bearer hunter2"}},
    "header-bytes": {"headers": {b"Authorization": b"Bearer hunter2"}},
    "cookie-header": {"headers": {"Cookie": "a=hunter2"}},
    "cookie-header-case": {"headers": {"cookie": "a=hunter2"}},
    "cookies": {"cookies": {"a": "hunter2"}},
    "proxy-header": {"headers": {"Proxy-Authorization": "Basic hunter2"}},
}


def leaked(seen: SeenRequest) -> bool:
    """Whether a secret is in a request, as it is or in base64."""
    return b"hunter2" in seen.head or b"odW50ZXIy" in seen.head


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("how", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["other-port", "other-host"])
def test_secrets_stay_with_their_origin(
    session: pooledhttp.Session,
    elsewhere: ScriptedServer,
    status: int,
    how: dict[str, Any],
    host: str,
) -> None:
    """No credential follows a redirect to another origin, with any status."""
    target = elsewhere.url("/there", host=host)
    with ScriptedServer(answering(to(target, status))) as server:
        assert session.get(server.url(), timeout=5, **how).content == b"there"
        assert leaked(server.requests[0])
        # Cookies know no ports: RFC 6265, section 8.5. Those of one call stay with its origin.
        assert not leaked(elsewhere.requests[0])
        session.close()


@pytest.mark.parametrize("how", list(SECRETS.values())[:4], ids=list(SECRETS)[:4])
def test_secrets_go_on_to_the_same_origin(session: pooledhttp.Session, how: dict[str, Any]) -> None:
    """Within an origin credentials follow."""
    with ScriptedServer(answering(to("/there"), respond(b"x"))) as server:
        session.get(server.url(), timeout=5, **how)
        assert all(leaked(seen) for seen in server.requests)
        session.close()


def test_secrets_do_not_return_by_a_detour(session: pooledhttp.Session) -> None:
    """A secret that was removed on a redirect is not sent again when it leads back."""
    with ScriptedServer(answering(lambda seen: to(first.url("/back")))) as second:
        with ScriptedServer(answering(to(second.url("/")), respond(b"x"))) as first:
            session.get(first.url(), timeout=5, headers={"Authorization": "Bearer hunter2"})
            assert leaked(first.requests[0])
            assert not leaked(second.requests[0])
            assert not leaked(first.requests[1])
            session.close()


def test_credentials_of_a_url_stay(session: pooledhttp.Session, elsewhere: ScriptedServer) -> None:
    """User information of a URL is sent as a field to its host and to no other."""
    with ScriptedServer(answering(to(elsewhere.url("/")))) as server:
        answer = session.get(server.url().replace("//", "//user:hunter2@"), timeout=5)
        assert leaked(server.requests[0])
        assert b"hunter2" not in server.requests[0].head
        assert not leaked(elsewhere.requests[0])
        assert "hunter2" not in answer.url
        session.close()


def test_a_redirect_with_credentials_of_its_own(session: pooledhttp.Session) -> None:
    """User information in a Location goes there only, and not into `Referer` or `Host`."""
    with ScriptedServer(answering(respond(b"x"))) as there:
        location = there.url("/").replace("//", "//user:hunter2@")
        with ScriptedServer(answering(to(location))) as server:
            session.get(server.url(), timeout=5)
            assert b"hunter2" not in there.requests[0].head
            assert there.requests[0].header("Host") == f"127.0.0.1:{there.port}"
            session.close()


def test_downgrade_strips(session: pooledhttp.Session, authority: Authority) -> None:
    """From https to http, even on one host, nothing follows (CVE-2018-18074)."""
    with ScriptedServer(answering(respond(b"x"))) as plain:
        secure = ScriptedServer(answering(to(plain.url("/"))), tls=authority.server_context())
        with secure:
            session.get(secure.url(), auth=("u", "hunter2"), verify=authority.bundle, timeout=5)
            assert leaked(secure.requests[0])
            assert not leaked(plain.requests[0])
            session.close()


def test_secure_cookies_stay_off_plain_http(
    session: pooledhttp.Session, authority: Authority
) -> None:
    """A `Secure` cookie set over TLS is not sent to a plain server on the same host."""
    with ScriptedServer(answering(respond(b"x"))) as plain:
        sets = to(plain.url("/"), 302, ("Set-Cookie", "a=hunter2; Secure"))
        with ScriptedServer(answering(sets), tls=authority.server_context()) as secure:
            session.get(secure.url(), verify=authority.bundle, timeout=5)
            assert not leaked(plain.requests[0])
            session.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{trusted}@127.0.0.1:{evil}/",
        "http://127.0.0.1:{trusted}%40x@127.0.0.1:{evil}/",
        "http://user@127.0.0.1:{trusted}:x@127.0.0.1:{evil}/",
    ],
)
def test_netrc_goes_by_the_real_host(
    session: pooledhttp.Session,
    elsewhere: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
) -> None:
    """User information that looks like a host gets no password from netrc (CVE-2024-47081)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine trusted.example login u password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in (
        url,
        "http://trusted.example:80@127.0.0.1:{evil}/",
        "http://trusted.example:@127.0.0.1:{evil}/",
    ):
        try:
            session.get(name.format(trusted=1, evil=elsewhere.port), timeout=5)
        except InvalidURL:
            pass
    assert not any(leaked(seen) for seen in elsewhere.requests)


def test_netrc_on_redirects(
    session: pooledhttp.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hop gets its own host's entry, and none where there is none."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(answering(respond(b"x"))) as there:
        with ScriptedServer(answering(to(there.url("/")))) as server:
            session.get(server.url(host="localhost"), timeout=5)
            assert leaked(server.requests[0])
            assert not leaked(there.requests[0])
            session.close()


def test_digest_answers_no_other_host(session: pooledhttp.Session) -> None:
    """A challenge by the target of a redirect does not get the password of the first host."""
    challenge = respond(
        b"", {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}, status=401
    )
    with ScriptedServer(answering(challenge)) as there:
        with ScriptedServer(answering(to(there.url("/")))) as server:
            answer = session.get(server.url(), auth=HTTPDigestAuth("user", "hunter2"), timeout=5)
            assert answer.status_code == 401
            assert all(seen.header("Authorization") is None for seen in there.requests)
            session.close()


@pytest.mark.parametrize("body", ["endless", "stalled", "cut", "wrongly-encoded"])
def test_the_body_of_a_challenge_is_not_waited_for(
    session: pooledhttp.Session, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """A digest challenge gets its reply whatever its body is, on a new connection if needed."""
    monkeypatch.setattr("pooledhttp.message.raw.MAX_DRAIN_SECONDS", 0.05)
    head = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=r, nonce=n\r\n"

    def challenges(peer: Peer) -> None:
        peer.read_request()
        if body == "endless":
            peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        length = b"Content-Length: 3\r\n\r\n" + (b"xyz" if body == "wrongly-encoded" else b"x")
        peer.send(head + b"Content-Encoding: gzip\r\n" + length)
        if body == "cut":
            peer.close()
        else:
            peer.read_request()
            peer.send(respond(b"in"))

    with ScriptedServer([challenges, answering(respond(b"in"))]) as server, prompt():
        answer = session.get(server.url(), auth=HTTPDigestAuth("user", "hunter2"), timeout=5)
        assert (answer.content, [one.status_code for one in answer.history]) == (b"in", [401])
        session.close()


# ---- where redirects lead


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://[::1/", InvalidURL),
        ("http://127.0.0.1:99999/", InvalidURL),
        ("http://127.0.0.1:x/", InvalidURL),
        ("http://evil.example\\@127.0.0.1/", InvalidURL),
        ("http://exa mple/", InvalidURL),
        ("http://.example/", InvalidURL),
        ("ftp://127.0.0.1/", InvalidSchema),
        ("file:///etc/passwd", InvalidSchema),
        ("gopher://127.0.0.1/", InvalidSchema),
        ("javascript:alert(1)", InvalidSchema),
        ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", InvalidURL),
    ],
)
def test_redirects_that_lead_nowhere(
    session: pooledhttp.Session, location: str, error: type[Exception]
) -> None:
    """An invalid address, or one of another scheme, is a clear error."""
    with ScriptedServer(answering(to(location))) as server:
        with prompt(), pytest.raises(error):
            session.get(server.url(), timeout=5)
        assert session.pool.stats().total.active == 0
        assert session.get(server.url(), timeout=5, allow_redirects=False).status_code == 302
        session.close()


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("there", "/a/there"),
        ("/there", "/there"),
        ("?q=1", "/a/b?q=1"),
        ("../there", "/there"),
        ("/a b", "/a%20b"),
        ("/%7Euser", "/~user"),
        ("/d\u00e9j\u00e0", "/d%C3%A9j%C3%A0"),
        ("/a#frag", "/a"),
        ("//127.0.0.1:{port}/x", "/x"),
        ("HTTP://127.0.0.1:{port}/x", "/x"),
        ("http://127.0.0.1:{port}", "/"),
        ("http://127.0.0.1:{port}?q", "/?q"),
        ("/a%0d%0aX-Evil:1", "/a%0d%0aX-Evil:1"),
    ],
)
def test_redirects_that_lead_somewhere(
    session: pooledhttp.Session, location: str, target: str
) -> None:
    """Relative, empty, international, upper-case: each leads where a browser would go."""
    location = location.encode().decode("latin-1")
    with ScriptedServer(
        answering(lambda seen: to(location.format(port=server.port)), respond(b"x"))
    ) as server:
        assert session.get(server.url("/a/b"), timeout=5).content == b"x"
        assert server.requests[1].target.lower() == target.lower()
        session.close()


@pytest.mark.parametrize("location", ["/loop", "http://127.0.0.1:{port}/loop"])
def test_endless_redirects(session: pooledhttp.Session, location: str) -> None:
    """A loop ends by TooManyRedirects, over one connection, which is free afterwards."""
    session.max_redirects = 5
    with ScriptedServer(answering(lambda seen: to(location.format(port=server.port)))) as server:
        with prompt(), pytest.raises(TooManyRedirects) as caught:
            session.get(server.url(), timeout=5)
        assert caught.value.response is not None
        assert len(server.requests) == 6
        assert len(server.connections) == 1
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (lambda: b"bytes", b"bytes"),
        (lambda: io.BytesIO(b"file"), b"file"),
        (lambda: iter([b"a", b"b"]), None),
    ],
    ids=["bytes", "file", "generator"],
)
def test_a_redirected_body(
    session: pooledhttp.Session, status: int, body: Any, whole: bytes | None
) -> None:
    """307 and 308 send the whole body again, or say that they cannot."""
    with ScriptedServer(answering(to("/there", status), respond(b"x"))) as server:
        if whole is not None:
            assert session.post(server.url(), data=body(), timeout=5).content == b"x"
            assert [seen.body for seen in server.requests] == [whole, whole]
        else:
            with pytest.raises(UnrewindableBodyError):
                session.post(server.url(), data=body(), timeout=5)
            assert len(server.requests) == 1
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "PUT", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
def test_methods_and_bodies_of_hops(
    session: pooledhttp.Session, status: int, method: str, then: str
) -> None:
    """A hop that became a GET has no body and no fields that describe one (CVE-2023-45803)."""
    hop_answer = respond(b"", {"Location": "/there"}, status=status)
    with ScriptedServer(answering(hop_answer, respond(b""))) as server:
        data = b"secret body" if method != "HEAD" else None
        session.request(method, server.url(), data=data, timeout=5, allow_redirects=True)
        hop = server.requests[1]
        assert hop.method == then
        if then == "GET":
            assert hop.body == b""
            for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
                assert hop.header(name) is None
        session.close()


def test_a_hop_that_breaks_in_its_body_is_followed(session: pooledhttp.Session) -> None:
    """A truncated body of a redirect does not stop the redirect."""

    def breaks(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"ha", {"Location": "/there"}, status=302, length=10))
        peer.close()

    with ScriptedServer([breaks, answering(respond(b"x"))]) as server:
        assert session.get(server.url(), timeout=5).content == b"x"
        session.close()


@pytest.mark.parametrize("verify", [True, False, "bundle"])
def test_verify_holds_on_redirects(
    session: pooledhttp.Session, authority: Authority, verify: Any
) -> None:
    """A hop to https is verified as the call said."""
    verify = authority.bundle if verify == "bundle" else verify
    with ScriptedServer(answering(respond(b"x")), tls=authority.server_context()) as secure:
        with ScriptedServer(answering(to(secure.url("/")))) as server:
            if verify is True:
                with pytest.raises(ConnectionError):
                    session.get(server.url(), verify=verify, timeout=5)
                assert secure.requests == []
            else:
                with pytest.warns() if verify is False else _quiet():
                    assert session.get(server.url(), verify=verify, timeout=5).ok
            session.close()


class _quiet:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_cookies_set_on_the_way(session: pooledhttp.Session) -> None:
    """A cookie of one hop is sent on the next, and kept in the session."""
    with ScriptedServer(
        answering(to("/there", 302, ("Set-Cookie", "a=b")), respond(b"x"))
    ) as server:
        session.get(server.url(), timeout=5)
        assert server.requests[1].header("Cookie") == "a=b"
        assert session.cookies["a"] == "b"
        session.close()


@pytest.mark.parametrize(
    "cookie",
    ["a=b; Domain=example.com", "a=b; Domain=com", "a=b; Domain=127.0.0.2"],
)
def test_cookies_for_others_are_refused(session: pooledhttp.Session, cookie: str) -> None:
    """A server sets cookies for itself only."""
    with ScriptedServer(answering(respond(b"x", {"Set-Cookie": cookie}))) as server:
        session.get(server.url(), timeout=5)
        assert len(session.cookies) == 0
        session.close()
