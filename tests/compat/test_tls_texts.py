"""Programs look for parts of the text of a TLS failure: both packages have them."""

from __future__ import annotations

import pickle
import socket
from types import ModuleType

import pytest

from tests.support.certificates import Authority
from tests.support.scripted import Peer, ScriptedServer, answering, respond

TIMEOUT = 20


def once_anything_came(peer: Peer) -> None:
    """Respond to the first bytes, whatever they are, in plain HTTP."""
    peer.sock.recv(1)
    peer.send(respond(b"", status=400))
    peer.wait_closed()


def test_text_of_a_certificate_that_is_not_trusted(http: ModuleType, authority: Authority) -> None:
    """It names urllib3's class and has OpenSSL's words."""
    with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as server:
        with pytest.raises(http.exceptions.SSLError) as caught:
            http.get(server.url(host="localhost"), timeout=TIMEOUT)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert "SSLError(" in str(error)
        assert "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: " in str(error)


def test_text_of_a_certificate_of_another_name(http: ModuleType, authority: Authority) -> None:
    """The name is verified by OpenSSL, and its words say so."""
    context = authority.server_context("other.test")
    with ScriptedServer(answering(respond(b"ok")), tls=context) as server:
        with pytest.raises(http.exceptions.SSLError, match=r"\[SSL: CERTIFICATE_VERIFY_FAILED\]"):
            url = server.url(host="localhost")
            http.get(url, timeout=TIMEOUT, verify=authority.bundle)


def test_text_of_a_port_without_tls(http: ModuleType) -> None:
    """A handshake that fails for another reason names the class too."""
    with ScriptedServer(once_anything_came) as server:
        with pytest.raises(http.exceptions.SSLError) as caught:
            http.get(server.url().replace("http:", "https:"), timeout=TIMEOUT)
    assert "SSLError(" in str(caught.value)
    assert "[SSL: " in str(caught.value)


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("breaks", [bytes.fromhex("15030300020250"), b"rubbish in the clear"])
def test_tls_that_breaks_inside_a_body(
    http: ModuleType, authority: Authority, framing: str, stream: bool, breaks: bytes
) -> None:
    """It is an SSLError that says what OpenSSL met, not a body that ended early."""
    head, body = {
        "length": (b"Content-Length: 1000\r\n\r\n", b"abc"),
        "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"),
        "end": (b"\r\n", b"abc"),
    }[framing]

    def damages(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + head + body)
        with socket.socket(fileno=peer.sock.detach()) as plain:
            plain.settimeout(TIMEOUT)  # a detached socket has lost its own
            plain.sendall(breaks)
            plain.recv(65536)

    with ScriptedServer(damages, tls=authority.server_context()) as server:
        with http.Session() as session:
            session.verify = authority.bundle
            with pytest.raises(http.exceptions.SSLError, match=r"\[SSL: ") as caught:
                response = session.get(server.url(host="localhost"), timeout=TIMEOUT, stream=stream)
                for _ in response.iter_content(8192):
                    pass
    assert type(caught.value) is http.exceptions.SSLError


@pytest.mark.parametrize("cert", ["", b"", False, 0, (), ("", ""), ("", None), None], ids=repr)
def test_a_client_certificate_that_is_not_configured(
    http: ModuleType, authority: Authority, cert: object
) -> None:
    """Programs hand on an empty setting; it means no certificate."""
    with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as server:
        url = server.url(host="localhost")
        kwargs = {"cert": cert, "verify": authority.bundle, "timeout": TIMEOUT}
        assert http.get(url, **kwargs).content == b"ok"
        with http.Session() as session:
            session.cert = cert
            assert session.get(url, verify=authority.bundle, timeout=TIMEOUT).content == b"ok"


@pytest.mark.parametrize("path", ["/no/such/bundle", "nul\0in/path", "/" + "x" * 5000])
@pytest.mark.parametrize("name", ["verify", "cert"])
def test_files_that_cannot_exist(http: ModuleType, name: str, path: str) -> None:
    """A path that the system refuses is one of a missing file."""
    with pytest.raises(OSError, match="invalid path") as caught:
        http.get("https://127.0.0.1:1/", timeout=TIMEOUT, **{name: path})
    assert not isinstance(caught.value, http.RequestException)
