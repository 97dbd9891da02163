"""TLS that fails, breaks off, shows a wrong certificate, or is verified on other terms."""

from __future__ import annotations

import datetime
import socket
import ssl
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.exceptions import InsecureRequestWarning

import pooledhttp
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    SSLError,
)
from tests.support.certificates import Authority
from tests.support.records import RecordPeer
from tests.support.scripted import Handler, Peer, ScriptedServer, answering, chunked, respond
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import first_then_new, names_origin, prompt

OK = answering(respond(b"x"))

FAR = datetime.timedelta(days=30)
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name under .example is this machine."""
    real = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        local = str(host).rstrip(".").endswith(".example")
        return real("127.0.0.1" if local else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def url_of(server: ScriptedServer, host: str) -> str:
    return f"https://{host}:{server.port}/"


# ---- certificates


@pytest.mark.parametrize(
    ("issued_for", "asked_for", "is_right"),
    [
        (["a.example"], "a.example", True),
        (["a.example"], "A.EXAMPLE", True),
        (["a.example"], "a.example.", None),
        (["a.example"], "b.example", False),
        (["a.example"], "x.a.example", False),
        (["*.example"], "a.example", None),
        (["*.a.example"], "x.a.example", True),
        (["*.a.example"], "a.example", False),
        (["*.a.example"], "x.y.a.example", False),
        (["*.a.example"], "xa.example", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.2"], "127.0.0.1", False),
        (["localhost"], "127.0.0.1", False),
        (["127.0.0.1"], "localhost", False),
        (["a.example", "127.0.0.1"], "127.0.0.1", True),
    ],
)
def test_names(
    session: pooledhttp.Session,
    authority: Authority,
    names: None,
    issued_for: list[str],
    asked_for: str,
    is_right: bool | None,
) -> None:
    """A certificate is valid for its names only; otherwise nothing of a request is sent."""
    with ScriptedServer(OK, tls=authority.server_context(*issued_for)) as server:
        url = url_of(server, asked_for)
        if is_right:
            assert session.get(url, verify=authority.bundle, timeout=5).ok
        elif is_right is False:
            with prompt(), pytest.raises(SSLError) as caught:
                session.get(url, verify=authority.bundle, timeout=5)
            names_origin(caught.value, server)
            assert asked_for.lower() in str(caught.value).lower()
            assert server.requests == []
        session.close()


def server_with(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize("kind", ["expired", "not-yet", "other-authority", "common-name-only"])
def test_certificates_that_prove_nothing(
    session: pooledhttp.Session, authority: Authority, kind: str
) -> None:
    """Expired, not yet valid, of another authority, or with the name in the wrong field."""
    issue = authority.ca.issue_cert
    certificate = {
        "expired": lambda: issue("127.0.0.1", not_before=NOW - FAR, not_after=NOW - FAR / 2),
        "not-yet": lambda: issue("127.0.0.1", not_before=NOW + FAR / 2, not_after=NOW + FAR),
        "other-authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "common-name-only": lambda: issue("x.example", common_name="127.0.0.1"),
    }[kind]()
    with ScriptedServer(OK, tls=server_with(certificate)) as server:
        for _ in range(2):
            with prompt(), pytest.raises(SSLError) as caught:
                session.get(server.url(), verify=authority.bundle, timeout=5)
            names_origin(caught.value, server)
        assert server.requests == []
        session.close()


def test_the_name_asked_for_is_in_the_hello(
    session: pooledhttp.Session, authority: Authority, names: None
) -> None:
    """SNI carries the host of the URL, never an address."""
    context = authority.new_server_context("a.example", "127.0.0.1")
    asked: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)
    with ScriptedServer(OK, tls=context) as server:
        session.get(url_of(server, "a.example"), verify=authority.bundle, timeout=5)
        session.get(url_of(server, "127.0.0.1"), verify=authority.bundle, timeout=5)
        session.close()
    assert asked == ["a.example", None]


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused(
    session: pooledhttp.Session, authority: Authority, version: str
) -> None:
    """TLS 1.2 is the least."""
    context = authority.new_server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion[version]
    with ScriptedServer(OK, tls=context) as server:
        with prompt(), pytest.raises(SSLError) as caught:
            session.get(server.url(), verify=authority.bundle, timeout=5)
        names_origin(caught.value, server)
        session.close()


# ---- whose terms


@pytest.mark.parametrize("first", [False, "bundle"])
def test_terms_are_never_mixed(
    session: pooledhttp.Session, authority: Authority, first: Any
) -> None:
    """A connection made with one `verify` is not reused with another (CVE-2024-35195)."""
    context = authority.server_context("other.example") if first is False else None
    with ScriptedServer(OK, tls=context or authority.server_context()) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)
            terms = [False, authority.bundle] if first is False else [authority.bundle, False]
            assert session.get(server.url(), verify=terms[0], timeout=5).ok
            for _ in range(3):
                if first is False:
                    with pytest.raises(SSLError):
                        session.get(server.url(), verify=terms[1], timeout=5)
                    with pytest.raises(SSLError):
                        session.get(server.url(), timeout=5)
                assert session.get(server.url(), verify=terms[0], timeout=5).ok
            assert session.get(server.url(), verify=False, timeout=5).ok
        session.close()
        assert len({seen.connection for seen in server.requests}) == (1 if first is False else 2)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("verify_first", [True, False])
def test_a_ticket_proves_nothing_elsewhere(
    session: pooledhttp.Session, authority: Authority, names: None, version: str, verify_first: bool
) -> None:
    """A session of host A is not resumed for host B on the same address, nor on other terms."""
    context = authority.new_server_context("a.example")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with ScriptedServer(OK, tls=context) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        right = authority.bundle if verify_first else False
        for _ in range(3):
            assert session.get(url_of(server, "a.example"), verify=right, timeout=5).ok
            session.close()
        for _ in range(3):
            with pytest.raises(SSLError):
                session.get(url_of(server, "b.example"), verify=authority.bundle, timeout=5)
        assert session.get(url_of(server, "b.example"), verify=False, timeout=5).ok
        with pytest.raises(SSLError):
            session.get(url_of(server, "b.example"), verify=authority.bundle, timeout=5)
        session.close()


def test_unverified_warns(session: pooledhttp.Session, authority: Authority) -> None:
    """`verify=False` says what it does, naming the host."""
    with ScriptedServer(OK, tls=authority.server_context("other.example")) as server:
        with pytest.warns(InsecureRequestWarning, match=r"127\.0\.0\.1"):
            assert session.get(server.url(), verify=False, timeout=5).ok
        session.close()


def test_trust_in_a_context(session: pooledhttp.Session, authority: Authority) -> None:
    """`verify=` an SSLContext is taken as it is."""
    with ScriptedServer(OK, tls=authority.server_context()) as server:
        assert session.get(server.url(), verify=authority.client_context(), timeout=5).ok
        with pytest.raises(SSLError):
            session.get(server.url(), verify=ssl.create_default_context(), timeout=5)
        session.close()


@pytest.mark.parametrize("verify", ["/nowhere/ca.pem", Path("/nowhere")])
def test_a_bundle_that_is_not_there(session: pooledhttp.Session, verify: Any) -> None:
    """A path that does not exist is an error with the path in it, not another bundle."""
    with pytest.raises(OSError, match="/nowhere"):
        session.get("https://127.0.0.1:1/", verify=verify, timeout=5)


def test_a_bundle_that_is_rubbish(session: pooledhttp.Session, tmp_path: Path) -> None:
    """A file without certificates is an error that names it."""
    bundle = tmp_path / "rubbish.pem"
    bundle.write_text("rubbish")
    with ScriptedServer(OK) as server:
        with prompt(), pytest.raises((SSLError, OSError), match=r"rubbish\.pem") as raised:
            session.get(url_of(server, "127.0.0.1"), verify=str(bundle), timeout=5)
        session.close()
    assert "cannot be used: no certificates could be read from" in str(raised.value)


def test_a_client_certificate_that_is_rubbish(
    session: pooledhttp.Session, authority: Authority, tmp_path: Path
) -> None:
    """A file without a certificate, or a directory, is an error that names it, and no handshake."""
    (tmp_path / "rubbish.pem").write_text("rubbish")
    (tmp_path / "folder").mkdir()
    for name in ("rubbish.pem", "folder"):
        with ScriptedServer(OK) as server:
            with prompt(), pytest.raises((SSLError, OSError)) as raised:
                session.get(
                    url_of(server, "127.0.0.1"),
                    cert=str(tmp_path / name),
                    verify=authority.bundle,
                    timeout=5,
                )
            session.close()
        assert f"cannot be used: the client certificate {tmp_path / name}" in str(raised.value)


def test_a_bundle_that_changed(authority: Authority, tmp_path: Path) -> None:
    """A CA file is read again when it was replaced, for new connections."""
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    with ScriptedServer(OK, tls=authority.server_context()) as server:
        with pooledhttp.Session() as session:
            with pytest.raises(SSLError):
                session.get(server.url(), verify=str(bundle), timeout=5)
            bundle.unlink()
            authority.ca.cert_pem.write_to_path(str(bundle))
            assert session.get(server.url(), verify=str(bundle), timeout=5).ok


def test_a_replaced_bundle_ends_what_the_old_one_verified(
    session: pooledhttp.Session, authority: Authority, tmp_path: Path
) -> None:
    """No kept connection stands for a file that would not verify its server any more."""
    bundle = tmp_path / "ca.pem"
    authority.ca.cert_pem.write_to_path(str(bundle))
    with ScriptedServer(OK, tls=authority.server_context()) as server:
        for _ in range(2):
            assert session.get(server.url(), verify=str(bundle), timeout=5).ok
        assert len(server.connections) == 1
        bundle.unlink()
        trustme.CA().cert_pem.write_to_path(str(bundle))
        with pytest.raises(SSLError):
            session.get(server.url(), verify=str(bundle), timeout=5)
        assert len(server.requests) == 2
        session.close()


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.long)])
def test_new_connections_read_no_ca_file_again(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Parsing a bundle costs more than a handshake: each is loaded once, also by many threads."""
    bundles = [tmp_path / "one.pem", tmp_path / "two.pem"]
    for bundle in bundles:
        authority.ca.cert_pem.write_to_path(str(bundle))
    loaded: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def load_and_note(context: ssl.SSLContext, cafile: Any = None, *more: Any) -> None:
        loaded.append(cafile)
        load(context, cafile, *more)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load_and_note)
    closing = answering(respond(b"x", headers=[("Connection", "close")]))
    with (
        ScriptedServer(closing, tls=authority.server_context()) as server,
        pooledhttp.Session() as session,
        ThreadPoolExecutor(4) as workers,
    ):

        def get(number: int) -> bool:
            bundle = str(bundles[number % 2])
            return bool(session.get(server.url(), verify=bundle, timeout=30).ok)

        assert all(workers.map(get, range(count)))
        assert session.pool.stats().total.created == count
    assert sorted(map(str, loaded)) == [str(bundle) for bundle in bundles]


def test_reading_a_bundle_takes_no_time_from_connecting(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No server can help it, so the connect timeout begins afterwards."""
    bundle = tmp_path / "another.pem"
    bundle.write_bytes(Path(authority.bundle).read_bytes())
    runtime, load = SkippingRuntime(stands=True), ssl.SSLContext.load_verify_locations

    def slow(context: ssl.SSLContext, *files: Any, **more: Any) -> None:
        runtime.sleep(5)
        load(context, *files, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", slow)
    with ScriptedServer(answering(respond(b"x")), tls=authority.server_context()) as server:
        with pooledhttp.Session(runtime=runtime) as session:
            url = server.url(host="localhost")
            assert session.get(url, verify=str(bundle), timeout=(1, 1)).content == b"x"
    assert runtime.now() == 5


def test_files_that_went_away(
    session: pooledhttp.Session, authority: Authority, tmp_path: Path
) -> None:
    """A bundle or certificate that was deleted is an error, also while a connection is kept."""
    bundle = tmp_path / "ca.pem"
    authority.ca.cert_pem.write_to_path(str(bundle))
    pair = authority.write_certificate("client", stem="fleeting")
    with ScriptedServer(OK, tls=wants_certificate(authority)) as server:

        def ask() -> bool:
            answer = session.get(server.url(), verify=str(bundle), cert=pair, timeout=5)
            return answer.ok

        assert ask() and ask()
        Path(pair[1]).unlink()
        with pytest.raises(OSError, match="fleeting"):
            ask()
        pair = authority.write_certificate("client", stem="fleeting")
        assert ask()
        bundle.unlink()
        with pytest.raises(OSError, match=r"ca\.pem"):
            ask()
        session.close()


# ---- client certificates


def wants_certificate(authority: Authority) -> ssl.SSLContext:
    context = authority.new_server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    return context


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_client_certificates(
    session: pooledhttp.Session, authority: Authority, version: str
) -> None:
    """With a certificate the server responds; without, the error says that TLS was refused."""
    context = wants_certificate(authority)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    pair = authority.write_certificate("client", stem="client")
    with ScriptedServer(OK, tls=context) as server:
        assert session.get(server.url(), verify=authority.bundle, cert=pair, timeout=5).ok
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.get(server.url(), verify=authority.bundle, timeout=5)
        names_origin(caught.value, server)
        assert len(server.requests) == 1
        session.close()


def test_an_encrypted_key(authority: Authority, tmp_path: Path) -> None:
    """`cert=(file, key, password)`."""
    from cryptography.hazmat.primitives import serialization

    chain, key = authority.write_certificate("client", stem="locked")
    plain = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    with ScriptedServer(OK, tls=wants_certificate(authority)) as server:
        with pooledhttp.Session() as session:
            cert = (chain, str(locked), "hunter2")
            assert session.get(server.url(), verify=authority.bundle, cert=cert, timeout=5).ok
            with prompt(), pytest.raises((SSLError, OSError)):
                wrong = (chain, str(locked), "wrong")
                session.get(server.url(), verify=authority.bundle, cert=wrong, timeout=5)


@pytest.mark.parametrize("cert", ["/nowhere.pem", ("/nowhere.pem", "/nokey.pem")])
def test_a_client_certificate_that_is_not_there(session: pooledhttp.Session, cert: Any) -> None:
    """The path is named."""
    with pytest.raises(OSError, match="/nowhere.pem"):
        session.get("https://127.0.0.1:1/", cert=cert, verify=False, timeout=5)


# ---- handshakes that break off


def hello_then(*sends: bytes, rst: bool = False) -> Handler:
    """Read the client's hello, say something, and close."""

    def handle(peer: Peer) -> None:
        peer.sock.recv(4096)
        for data in sends:
            peer.send(data)
        if rst:
            peer.reset()
        else:
            peer.close()

    return handle


@pytest.mark.parametrize(
    "handler",
    [
        lambda peer: peer.close(),
        lambda peer: peer.reset(),
        hello_then(),
        hello_then(rst=True),
        hello_then(bytes.fromhex("15030300020228")),
        hello_then(bytes.fromhex("15030300020250")),
        hello_then(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        hello_then(b"SSH-2.0-x\r\n"),
        hello_then(bytes(500)),
        hello_then(b"\x16\x03\x03\xff\xff" + bytes(65535)),
        hello_then(b"\x16\x03\x03\x00\x10" + bytes(8)),
    ],
    ids=[
        "fin",
        "rst",
        "hello-fin",
        "hello-rst",
        "alert-40",
        "alert-80",
        "plain-http",
        "ssh",
        "zeros",
        "huge-record",
        "half-a-record",
    ],
)
def test_broken_handshakes(session: pooledhttp.Session, handler: Handler) -> None:
    """Any bytes in place of a handshake are a ConnectionError at once."""
    with ScriptedServer(handler) as server:
        with prompt(), pytest.raises(ConnectionError) as caught:
            session.get(url_of(server, "127.0.0.1"), timeout=5)
        names_origin(caught.value, server)
        assert session.pool.stats().total.active == 0
        session.close()


# ---- data


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "notify", "is_whole"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", True, True),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", False, False),
        (respond(b"hello"), False, True),
        (respond(b"hello", length=6), True, False),
        (respond(b"hello", length=6), False, False),
        (chunked([b"hello"]), False, True),
        (chunked([b"hello"], end=False), True, False),
        (chunked([b"hello"], end=False), False, False),
    ],
    ids=[
        "to-the-end",
        "to-the-end-cut",
        "length",
        "length-short",
        "length-cut",
        "chunked",
        "chunked-short",
        "chunked-cut",
    ],
)
def test_ends(
    session: pooledhttp.Session,
    authority: Authority,
    answer: bytes,
    notify: bool,
    is_whole: bool,
    stream: bool,
) -> None:
    """An end without close_notify may be an attack: a body that it could cut short is an error."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        peer.close(notify=notify)

    with ScriptedServer(handle, tls=authority.server_context()) as server:
        try:
            got = session.get(server.url(), verify=authority.bundle, stream=stream, timeout=5)
            assert b"".join(got.iter_content(3)) == b"hello"
            assert is_whole
        except (ChunkedEncodingError, SSLError) as error:
            assert not is_whole
            names_origin(error, server)
        session.close()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tickets_do_not_spoil_reuse(
    session: pooledhttp.Session, authority: Authority, version: str
) -> None:
    """Session tickets that arrive while a connection is idle are no data."""
    context = authority.new_server_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with ScriptedServer(OK, tls=context) as server:
        for _ in range(20):
            session.get(server.url(), verify=authority.bundle, timeout=5)
        assert len(server.connections) == 1
        session.close()


def test_data_on_an_idle_tls_connection(session: pooledhttp.Session, authority: Authority) -> None:
    """Unexpected bytes on an idle connection close it, over TLS too."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"x"))
        gate.wait()
        peer.send(respond(b"poison"))
        sent.open()
        peer.wait_closed()

    with ScriptedServer(first_then_new(handle), tls=authority.server_context()) as server:
        gate, sent = server.gate(), server.gate()
        session.get(server.url(), verify=authority.bundle, timeout=5)
        gate.open()
        sent.wait()
        again = session.get(server.url(), verify=authority.bundle, timeout=5)
        assert again.content == b"over a new connection"
        session.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("count", [2, 9, -1])
def test_a_part_of_a_record_on_an_idle_connection(
    session: pooledhttp.Session, authority: Authority, method: str, count: int
) -> None:
    """With its rest it would be read as the response to the next request, which goes elsewhere."""

    def handle(peer: Peer) -> None:
        tls = RecordPeer.over(peer.sock, authority.server_context())
        peer.send(tls.handshake())
        asked = tls.read().split(b"\r\n")[0].decode()
        if peer.number:
            executed.append(asked)
            tls.send(respond(b"over a new connection"))
        else:
            tls.send(respond(b"x"))
            gate.wait()
            record = tls.encrypt(respond(b"poison"))
            peer.send(record[:count])
            sent.open()
            executed.append(tls.read().split(b"\r\n")[0].decode())
            peer.send(record[count:])
        peer.wait_closed()

    executed: list[str] = []
    with ScriptedServer(handle) as server:
        gate, sent = server.gate(), server.gate()
        url = server.url().replace("http:", "https:")
        session.get(url, verify=authority.bundle, timeout=5)
        gate.open()
        sent.wait()
        again = session.request(method, url, verify=authority.bundle, timeout=5)
        assert again.content == b"over a new connection"
        assert executed == [f"{method} / HTTP/1.1"]
        assert session.pool.stats().total.active == 0
        session.close()


#: Two bodies whose last record is as large as a record can be: a read looks behind it.
FULL = {
    "length": (b"Content-Length: 32768", b"x" * 32_768),
    "chunked": (b"Transfer-Encoding: chunked", b"7ff3\r\n" + b"x" * 0x7FF3 + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("kind", FULL)
@pytest.mark.parametrize("size", [None, 512, 8192, 65536])
@pytest.mark.parametrize("count", [0, 2, 20])
def test_a_part_of_a_record_behind_a_body(
    session: pooledhttp.Session, authority: Authority, kind: str, size: int | None, count: int
) -> None:
    """A read of the body may have taken it in; the connection serves no other request."""
    fields, body = FULL[kind]
    assert len(body) == 32_768

    def handle(peer: Peer) -> None:
        tls = RecordPeer.over(peer.sock, authority.server_context())
        peer.send(tls.handshake())
        tls.read()
        if not peer.number:
            tls.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")
            records = tls.encrypt(body[:16_384]) + tls.encrypt(body[16_384:])
            poison = tls.encrypt(respond(b"poison")) if count else b""
            read.wait()
            peer.send(records + poison[:count])
            sent.open()
            tls.read()
            peer.send(poison[count:])
        tls.send(respond(b"good"))
        peer.wait_closed()

    with ScriptedServer(handle) as server:
        read, sent = server.gate(), server.gate()
        url = server.url().replace("http:", "https:")
        first = session.get(url, verify=authority.bundle, timeout=5, stream=True)
        read.open()
        sent.wait()
        whole = first.content if size is None else b"".join(first.iter_content(size))
        assert len(whole) == (32_768 if kind == "length" else 0x7FF3)
        assert session.get(url, verify=authority.bundle, timeout=5).content == b"good"
        if count or kind == "length":
            assert len(server.connections) == (2 if count else 1)
        session.close()


def test_large_bodies_both_ways(session: pooledhttp.Session, authority: Authority) -> None:
    """Many records up and down, in odd pieces."""
    data = bytes(range(256)) * 8_000

    def echo(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            peer.send(chunked([seen.body[at : at + 33_333] for at in range(0, len(data), 33_333)]))

    with ScriptedServer(echo, tls=authority.server_context()) as server:
        for body in (data, iter([data[:1_000_001], data[1_000_001:]])):
            got = session.post(server.url(), data=body, verify=authority.bundle, timeout=5)
            assert got.content == data
        session.close()


@pytest.fixture
def fingerprints(authority: Authority) -> Iterator[tuple[ScriptedServer, str]]:
    """A server, and the SHA-256 of its certificate."""
    import hashlib

    certificate = authority.ca.issue_cert("127.0.0.1")
    pem = certificate.cert_chain_pems[0].bytes().decode()
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    with ScriptedServer(OK, tls=server_with(certificate)) as server:
        yield server, digest


@pytest.mark.parametrize("is_right", [True, False])
def test_fingerprints(
    fingerprints: tuple[ScriptedServer, str], authority: Authority, is_right: bool
) -> None:
    """`assert_fingerprint` pins the certificate, on every handshake, resumed or not."""
    server, digest = fingerprints

    class Pinned(pooledhttp.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(
                *args, assert_fingerprint=digest if is_right else "00" * 32, **kwargs
            )

    with pooledhttp.Session() as session:
        session.mount("https://", Pinned())
        for _ in range(3):
            if is_right:
                assert session.get(server.url(), verify=authority.bundle, timeout=5).ok
                session.close()
            else:
                with pytest.raises(SSLError):
                    session.get(server.url(), verify=authority.bundle, timeout=5)
