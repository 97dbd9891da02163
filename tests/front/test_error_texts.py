"""What an error says: what failed, for which origin, and what to do. Secrets stay out."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.exceptions import RequestException
from pooledhttp.network import StaticResolver
from tests.support.scripted import Peer, ScriptedServer, answering, once, respond


def failure(call: Callable[[], object]) -> str:
    with pytest.raises(RequestException) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        (b"", "head from {origin}."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "body from {origin}, after 3 bytes."),
    ],
)
def test_a_silent_server(sent: bytes, where: str) -> None:
    """The limit, the phase, the origin, how much came, and which limit to raise."""

    def silent(peer: Peer) -> None:
        peer.read_request()
        peer.send(sent)
        peer.wait_closed()

    with ScriptedServer(silent) as server:
        text = failure(lambda: pooledhttp.get(server.url(), timeout=0.2))
        origin = server.url("")
    assert text == (
        "Read timed out. (read timeout=0.2) while waiting for the response "
        f"{where.format(origin=origin)} Raise the read timeout if the server is only slow."
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ECONNREFUSED, "Check that the server runs and that the port is right."),
        (errno.ENETUNREACH, "this machine's network leads there."),
        (errno.EHOSTUNREACH, "this machine's network leads there."),
        (errno.EMFILE, "Close responses, set PoolConfig(max_total=...), or raise the limit of"),
        (errno.EADDRNOTAVAIL, "Check source_address."),
    ],
)
def test_a_failed_dial(number: int, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do depends on what the system says."""

    def create_connection(*args: object, **kwargs: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("urllib3.util.connection.create_connection", create_connection)
    text = failure(lambda: pooledhttp.get("http://127.0.0.1:9/", timeout=5))
    assert f"127.0.0.1 port 9: [Errno {number}] {os.strerror(number)}. " in text
    assert advice in text


def test_an_address_that_refuses_says_most() -> None:
    """The server's host can be reached, so the port is looked at first."""
    host = "two.test"
    for addresses, advice in (
        (["255.255.255.255"], "network leads there"),
        (["255.255.255.255", "127.0.0.1"], "Check that the server runs"),
    ):
        adapter = HTTPAdapter(resolver=StaticResolver({host: addresses}))
        with pooledhttp.Session() as session:
            session.mount("http://", adapter)
            assert advice in failure(lambda: session.get(f"http://{host}:1/"))


def test_a_reset() -> None:
    """The origin, and how far the exchange had come."""

    def reset(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with ScriptedServer(reset) as server:
        text = failure(lambda: pooledhttp.get(server.url()))
        origin = server.url("")
    words = f"Connection aborted. The connection to {origin} broke before the response came (Conn"
    assert text.startswith(words)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http:///x", "{origin} redirects to 'http:///x', which has no host."),
        ("http://[a/", "Failed to parse the address to which {origin} redirects: "),
        ("http+unix://%2Fs/x", "{origin} redirects to a Unix socket of this machine, "),
    ],
)
def test_a_redirect_that_is_not_followed(location: str, said: str) -> None:
    """The server that sent it is named."""
    response = respond(status=302, headers={"Location": location})
    with ScriptedServer(once(response)) as server:
        url = server.url().replace("//", "//user:secret@")
        text = failure(lambda: pooledhttp.get(url))
        origin = server.url("")
    assert text.startswith(said.format(origin=origin))
    assert "secret" not in text


def test_a_field_with_a_line_break() -> None:
    """The field is named, and its value is shown unless it is a credential."""
    for name, value, shown in (
        ("X-Trace", "7\n", r"'7\n'"),
        ("Authorization", "Bearer s3cret\n", "(not shown)"),
        ("cookie", "s3cret\n", "(not shown)"),
    ):
        text = failure(lambda: pooledhttp.get("http://127.0.0.1:1/", headers={name: value}))  # noqa: B023
        assert text.endswith(
            f"in header value: {shown}, in {name!r}. Remove line breaks, for example by strip()"
        )
        assert "s3cret" not in text


def test_a_url_that_cannot_be_parsed() -> None:
    """What to look at is said; a password is not shown."""
    text = failure(lambda: pooledhttp.get("http://me:s3cret@host:99999/"))
    assert re.fullmatch(r"Failed to parse: http://host:99999/\. Check its host and port", text)


@pytest.mark.parametrize(
    ("timeout", "said"),
    [
        (
            0.05,
            r" \(connect timeout=0\.05\)\. Raise the connect timeout if the server is only slow\.",
        ),
        (pooledhttp.Timeout(total=0.05), r" \(total timeout\)\. Of the total went: "),
    ],
)
def test_no_connection_in_time(timeout: object, said: str) -> None:
    """The limit that ended is named, and only if it was the connect timeout, to raise that one."""
    with ScriptedServer(lambda peer: peer.wait_closed()) as server:
        url = server.url().replace("http:", "https:")
        text = failure(lambda: pooledhttp.get(url, timeout=timeout))  # type: ignore[arg-type]
        where = url.removesuffix("/")
    assert re.search(f"{where} timed out in the TLS handshake with 127.0.0.1{said}", text)


def fields(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"SSH-2.0-x\r\n", "it speaks SSH; check the port"),
        (b"<html>", "its response begins with b'<html>'; check the host and the port"),
        (b"HTTP/1.1 200 OK\r\nA: ", "did not finish its response head (RemoteDisconnected: "),
        (fields(*["A: b"] * 513), "(got more than 512 headers); max_response_fields is that limit"),
        (fields("Transfer-Encoding: x"), "its Transfer-Encoding has more than `chunked`"),
        (fields("Content-Length: x"), "so nothing of it is used. The server has to be mended."),
        (fields("A" * 300_000), "a line of it, or its whole head, is too long."),
        (fields("A: b\0"), r"illegal header line: b'A: b\x00'."),
    ],
    ids=range(8),
)
def test_a_server_that_does_not_speak_http(sent: bytes, said: str) -> None:
    """The origin, what is wrong in the words of people, and where there is a remedy, that."""

    def broken(peer: Peer) -> None:
        peer.read_request()
        with suppress(OSError):  # the client closes before it has all of a head that is too long
            peer.send(sent)
        peer.close()

    with ScriptedServer(broken) as server:
        text = failure(lambda: pooledhttp.get(server.url()))
        assert server.url("") in text
    assert said in text


def test_a_chain_of_redirects() -> None:
    """How many were followed, by which server, and what usually causes it."""
    response = respond(status=302, headers={"Location": "/login"})
    with ScriptedServer(answering(response)) as server, pooledhttp.Session() as session:
        session.max_redirects = 2
        text = failure(lambda: session.get(server.url()))
        origin = server.url("")
    assert text.startswith(f"Exceeded 2 redirects. {origin} redirects to '/login' now; ")


def test_a_body_that_was_streamed() -> None:
    """What to call instead."""
    with ScriptedServer(once(respond(b"x"))) as server:
        response = pooledhttp.get(server.url(), stream=True)
        assert list(response.iter_content(1)) == [b"x"]
        text = failure(lambda: list(response.iter_content(1)))
        assert text.startswith(f"The body of the response from {server.url()} was read as a stream")
    assert text.endswith("Use response.content instead, or send the request again.")


@pytest.mark.parametrize(("length", "said"), [("2", "Too much data"), ("4", "Too little data")])
def test_a_length_that_is_not_true(length: str, said: str) -> None:
    """The field to leave out."""
    headers = {"Content-Length": length}
    with ScriptedServer(lambda peer: peer.wait_closed()) as server:
        text = failure(lambda: pooledhttp.post(server.url(), data=iter([b"abc"]), headers=headers))
    assert f"{said} for declared Content-Length. Leave that field out, " in text


def test_a_proxy_that_refuses() -> None:
    """What it said, and whom to ask; the target, too."""
    with ScriptedServer(once(respond(status=403))) as server:
        proxies = {"https": server.url("")}
        text = failure(lambda: pooledhttp.get("https://example.com/", proxies=proxies))
    assert "did not open a tunnel to example.com:443: Tunnel connection failed: 403 " in text
    assert "Ask the proxy's operator whether it may connect there, or set `no_proxy`." in text


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"proxies": {"https": "http://"}}, OSError, "missing the host: 'http://'. Look at prox"),
        ({"auth": "me:pw"}, TypeError, "auth must be a (user, password) tuple or a callable that"),
    ],
    ids=range(2),
)
def test_settings_that_cannot_be_used(settings: Any, kind: type[Exception], said: str) -> None:
    """Which argument, or which variable, to look at."""
    with pytest.raises(kind, match=re.escape(said)):
        pooledhttp.get("https://127.0.0.1:1/", **settings)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pooledhttp.Session(timout=3), "'timout'. Did you mean 'timeout'?"),
        (lambda: pooledhttp.Session(max_retries=3), "'max_retries'. Did you mean 'retries'?"),
        (lambda: pooledhttp.Session(headers={}), "Set the attribute 'headers' of the new object"),
        (lambda: pooledhttp.Session(xyz=1), "Session() got an unexpected keyword argument 'xyz'"),
        (lambda: pooledhttp.PoolConfig(max_per_hosts=3), "Did you mean 'max_per_host'?"),
    ],
    ids=range(5),
)
def test_a_misspelt_argument(make: Any, said: str) -> None:
    """The one that was meant, if one is near."""
    with pytest.raises(TypeError, match=re.escape(said)):
        make()


def test_a_redirect_to_a_scheme_without_an_adapter() -> None:
    """Which server redirects there, without the password in its URL."""
    with ScriptedServer(once(respond(b"", {"Location": "ftp://h/x"}, status=302))) as server:
        url = server.url().replace("://", "://me:secret@")
        text = failure(lambda: pooledhttp.get(url))
    assert "No connection adapters were found for 'ftp://h/x'" in text
    assert text.endswith(f" {server.url('').rstrip('/')} redirects there.") and "secret" not in text
