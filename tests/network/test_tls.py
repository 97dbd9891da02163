"""Verification: what is accepted, what is refused, and that nobody's context is altered."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from urllib3.util.ssl_ import create_urllib3_context

from pooledhttp.exceptions import Fault, TlsError
from pooledhttp.network import Connector, Route, Stream, TlsSettings
from pooledhttp.network.tls.contexts import MAX_CONTEXTS, _contexts
from pooledhttp.network.tls.verification import credentials_for
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.scripted import Handler, ScriptedServer

Soon = Callable[..., Deadline]
Dial = Callable[..., Stream]


@pytest.fixture
def dial(connector: Connector, soon: Soon) -> Dial:
    """Connects to a server under settings, and closes at once."""

    def connect(server: ScriptedServer, host: str = "127.0.0.1", **settings: object) -> Stream:
        route = Route("https", host, server.port, TlsSettings(**settings))  # type: ignore[arg-type]
        stream = connector.connect(route, soon())
        # The server's answer shows that it, too, holds the handshake for done.
        try:
            stream.send(b"x", soon())
            assert stream.recv(1, soon()) == b"x"
        finally:
            stream.close()
        return stream

    return connect


@pytest.fixture
def server(authority: Authority, echo: Handler) -> ScriptedServer:
    """A server with a certificate for localhost and the loopback addresses."""
    with ScriptedServer(echo, tls=authority.server_context()) as running:
        yield running


@pytest.fixture
def misnamed(authority: Authority, echo: Handler) -> ScriptedServer:
    """A server with a valid certificate for another name."""
    with ScriptedServer(echo, tls=authority.server_context("right.test")) as running:
        yield running


def state(context: ssl.SSLContext) -> tuple[object, ...]:
    """What of a context anybody could have altered."""
    return *rules(context), context.cert_store_stats()


def rules(context: ssl.SSLContext) -> tuple[object, ...]:
    """The same without the certificates it trusts."""
    return (
        context.verify_mode,
        context.check_hostname,
        context.options,
        context.verify_flags,
        context.minimum_version,
        context.maximum_version,
        context.get_ciphers(),
    )


def test_certifi_is_trusted_by_default(server: ScriptedServer, dial: Dial) -> None:
    """A certificate of an unknown authority is refused, and the error says what was trusted."""
    with pytest.raises(TlsError, match="certificate verify failed") as caught:
        dial(server)
    text = str(caught.value)
    assert "certifi" in text and "verify='/path" in text
    assert "SSLError(" in text and "[SSL: CERTIFICATE_VERIFY_FAILED]" in text
    assert isinstance(caught.value.args[0], ssl.SSLCertVerificationError)


def test_bundle_by_path(server: ScriptedServer, dial: Dial, authority: Authority) -> None:
    """The authority's file makes its certificates good, by address and by name."""
    dial(server, ca_certs=authority.bundle)
    dial(server, "localhost", ca_certs=authority.bundle)


def test_bundle_as_data(server: ScriptedServer, dial: Dial, authority: Authority) -> None:
    """The authority's certificate itself does as well, as text, PEM bytes or DER."""
    pem = authority.ca.cert_pem.bytes()
    for data in (pem, pem.decode(), ssl.PEM_cert_to_DER_cert(pem.decode())):
        dial(server, ca_cert_data=data)


def test_bundle_as_directory(
    server: ScriptedServer, dial: Dial, authority: Authority, tmp_path: Path
) -> None:
    """A hashed directory of authorities is a bundle, too."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program")
    shutil.copy(authority.bundle, tmp_path / "ca.pem")
    subprocess.run([openssl, "rehash", str(tmp_path)], check=True)
    dial(server, ca_cert_dir=str(tmp_path))


def test_wrong_name_is_refused(misnamed: ScriptedServer, dial: Dial, authority: Authority) -> None:
    """A valid certificate of another name is refused; the error names the host dialled."""
    for host in ("localhost", "127.0.0.1"):
        with pytest.raises(TlsError, match="mismatch") as caught:
            dial(misnamed, host, ca_certs=authority.bundle)
        assert host in str(caught.value)


def test_no_verification(misnamed: ScriptedServer, dial: Dial) -> None:
    """With verify=False anything goes."""
    dial(misnamed, verify=False)


def test_no_verification_stays_with_its_route(misnamed: ScriptedServer, dial: Dial) -> None:
    """An unverified connection weakens none after it."""
    for _ in range(3):
        dial(misnamed, verify=False)
        with pytest.raises(TlsError):
            dial(misnamed)


def test_another_name_is_asserted(
    misnamed: ScriptedServer, server: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """`assert_hostname` is what the certificate has to say in place of the host's name."""
    dial(misnamed, ca_certs=authority.bundle, assert_hostname="right.test")
    with pytest.raises(TlsError, match=r"right\.test"):
        dial(server, ca_certs=authority.bundle, assert_hostname="right.test")
    dial(misnamed, ca_certs=authority.bundle, assert_hostname=False)
    with pytest.raises(TlsError):
        dial(misnamed, assert_hostname=False)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_fingerprint(
    misnamed: ScriptedServer,
    dial: Dial,
    authority: Authority,
    connector: Connector,
    soon: Soon,
    algorithm: str,
) -> None:
    """A fingerprint pins the certificate, whatever its name; another one is refused."""
    route = Route("https", "127.0.0.1", misnamed.port, TlsSettings(verify=False))
    stream = connector.connect(route, soon())
    certificate = stream.getpeercert(True)
    stream.close()
    digest = hashlib.new(algorithm, certificate).hexdigest()
    colons = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper()
    for verify in (True, False):
        for text in (digest, colons):
            dial(misnamed, verify=verify, ca_certs=authority.bundle, assert_fingerprint=text)
        wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
        with pytest.raises(TlsError, match="Fingerprints did not match"):
            dial(misnamed, verify=verify, ca_certs=authority.bundle, assert_fingerprint=wrong)
    with pytest.raises(TlsError):  # a pin does not make an unknown authority a known one
        dial(misnamed, assert_fingerprint=digest)


def test_nonsense_fingerprint(server: ScriptedServer, dial: Dial) -> None:
    """A fingerprint of no known length is an error, not a pass."""
    with pytest.raises(TlsError, match="assert_fingerprint"):
        dial(server, verify=False, assert_fingerprint="abc")


def test_old_protocols_are_refused(dial: Dial, authority: Authority, echo: Handler) -> None:
    """TLS 1.2 is spoken, and a newest or oldest version can be set."""
    tls = authority.new_server_context()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with ScriptedServer(echo, tls=tls) as old:
        assert dial(old, ca_certs=authority.bundle).is_closed
        with pytest.raises(TlsError):
            dial(old, ca_certs=authority.bundle, minimum_version=ssl.TLSVersion.TLSv1_3)
    settings = TlsSettings(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert credentials_for(TlsSettings()).context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert credentials_for(settings).context.maximum_version == ssl.TLSVersion.TLSv1_2


def test_server_name_is_sent(dial: Dial, authority: Authority, echo: Handler) -> None:
    """Names go into SNI, addresses do not; another name can be sent, and is then checked."""
    seen: list[str | None] = []
    tls = authority.new_server_context("localhost", "127.0.0.1", "other.test")
    tls.sni_callback = lambda sock, name, context: seen.append(name)
    with ScriptedServer(echo, tls=tls) as server:
        for settings in ({}, {"server_hostname": "other.test"}):
            dial(server, "localhost", ca_certs=authority.bundle, **settings)
        dial(server, "127.0.0.1", ca_certs=authority.bundle)
    assert seen == ["localhost", "other.test", None]


def test_alpn(authority: Authority, echo: Handler, connector: Connector, soon: Soon) -> None:
    """http/1.1 is offered, and nothing else."""
    tls = authority.new_server_context()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with ScriptedServer(echo, tls=tls) as server:
        settings = TlsSettings(ca_certs=authority.bundle)
        stream = connector.connect(Route("https", "127.0.0.1", server.port, settings), soon())
        assert stream.alpn == "http/1.1"
        stream.close()


@pytest.fixture
def demanding(authority: Authority, echo: Handler) -> ScriptedServer:
    """A server that wants a client certificate."""
    tls = authority.new_server_context()
    authority.ca.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    with ScriptedServer(echo, tls=tls) as running:
        yield running


def encrypted(key: str, password: str, folder: Path) -> str:
    """Encrypt a key file; returns the new one's path."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program")
    target = str(folder / "locked.key")
    subprocess.run(
        [openssl, "pkey", "-in", key, "-aes256", "-passout", f"pass:{password}", "-out", target],
        check=True,
        capture_output=True,
    )
    return target


def test_client_certificate(
    demanding: ScriptedServer, dial: Dial, authority: Authority, tmp_path: Path
) -> None:
    """A certificate of ours is shown, from two files or one, and from an encrypted key."""
    chain, key = authority.write_certificate("me.test", stem="client")
    dial(demanding, ca_certs=authority.bundle, cert_file=chain, key_file=key)
    both = tmp_path / "both.pem"
    both.write_bytes(Path(key).read_bytes() + Path(chain).read_bytes())
    dial(demanding, ca_certs=authority.bundle, cert_file=str(both))
    locked = encrypted(key, "pw", tmp_path)
    dial(demanding, ca_certs=authority.bundle, cert_file=chain, key_file=locked, key_password="pw")


def test_unusable_client_certificates(
    demanding: ScriptedServer, dial: Dial, authority: Authority, tmp_path: Path
) -> None:
    """A missing, mismatched, or locked key is a TLS error that names the file; none asks a tty."""
    chain, key = authority.write_certificate("me.test", stem="client")
    _, other = authority.write_certificate("you.test", stem="other")
    locked = encrypted(key, "pw", tmp_path)
    for settings in (
        {"cert_file": str(tmp_path / "none.pem")},
        {"cert_file": chain, "key_file": other},
        {"cert_file": chain, "key_file": locked},
        {"cert_file": chain, "key_file": locked, "key_password": "wrong"},
    ):
        with pytest.raises(TlsError, match=r"\.pem|\.key|No such file"):
            dial(demanding, ca_certs=authority.bundle, **settings)
    with pytest.raises((Fault, OSError)):
        dial(demanding, ca_certs=authority.bundle)


def test_missing_bundle_is_named(server: ScriptedServer, dial: Dial, tmp_path: Path) -> None:
    """A bundle that is missing or empty gives an error with its path."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(tmp_path / "none.pem"), str(empty)):
        with pytest.raises(TlsError) as caught:
            dial(server, ca_certs=path)
        assert path in str(caught.value)


# ----------------------------------------------------------------------- shared contexts


def test_equal_settings_share_a_context(authority: Authority) -> None:
    """Reading a bundle is done once per process, and assertions do not matter to a context."""
    one = credentials_for(TlsSettings(ca_certs=authority.bundle)).context
    assert credentials_for(TlsSettings(ca_certs=authority.bundle)).context is one
    assert credentials_for(TlsSettings(ca_certs=authority.bundle, verify=False)).context is not one
    assert credentials_for(TlsSettings()).context is credentials_for(TlsSettings()).context


def test_replaced_bundle_gives_a_new_context(
    server: ScriptedServer, dial: Dial, authority: Authority, tmp_path: Path
) -> None:
    """When the file changes on disk, the next connection trusts what is in it now."""
    path = tmp_path / "bundle.pem"
    shutil.copy(authority.bundle, path)
    dial(server, ca_certs=str(path))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "new.pem"))
    os.replace(tmp_path / "new.pem", path)
    with pytest.raises(TlsError):
        dial(server, ca_certs=str(path))


def test_contexts_are_bounded(authority: Authority) -> None:
    """However many settings there are, a fixed number of contexts is kept."""
    for number in range(MAX_CONTEXTS + 10):
        credentials_for(TlsSettings(verify=False, key_password=str(number)))
    assert len(_contexts._contexts) <= MAX_CONTEXTS


# ------------------------------------------------------------------ contexts of a caller


def test_callers_context_is_used_and_not_altered(
    server: ScriptedServer, misnamed: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """Whatever is asked for beside a caller's context, the context stays as it was."""
    given = ssl.create_default_context(cafile=authority.bundle)
    before = state(given)
    dial(server, ssl_context=given)
    dial(server, ssl_context=given, context_rules=True)
    with pytest.raises(TlsError):
        dial(misnamed, ssl_context=given)
    dial(misnamed, ssl_context=given, verify=False)
    dial(misnamed, ssl_context=given, assert_hostname=False)
    dial(misnamed, ssl_context=given, assert_hostname="right.test")
    dial(misnamed, ssl_context=given, assert_hostname="right.test", context_rules=True)
    with pytest.raises(TlsError):
        dial(server, ssl_context=given, assert_hostname="right.test")
    with pytest.raises(TlsError, match="Fingerprints"):
        dial(server, ssl_context=given, assert_fingerprint="00" * 32)
    dial(server, ssl_context=given, ca_certs=authority.bundle)
    with pytest.raises(TlsError):
        dial(misnamed, ssl_context=given)
    assert state(given) == before


def test_lax_context_is_made_strict_where_verification_is_asked(
    server: ScriptedServer, misnamed: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """A context that verifies nothing does not undo verify=True; given as `verify`, it rules."""
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    before = rules(lax)
    with pytest.raises(TlsError):
        dial(server, ssl_context=lax)
    dial(server, ssl_context=lax, ca_certs=authority.bundle)
    with pytest.raises(TlsError, match="mismatch"):
        dial(misnamed, ssl_context=lax, ca_certs=authority.bundle)
    dial(misnamed, ssl_context=lax, context_rules=True)
    assert rules(lax) == before


def test_empty_context_trusts_the_bundle_beside_it(
    server: ScriptedServer, misnamed: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """A context made for its protocol settings trusts what the settings name, as in urllib3."""
    given = create_urllib3_context(ciphers="ECDHE+AESGCM", ssl_maximum_version=771)
    before = rules(given)
    for _ in range(2):
        dial(server, ssl_context=given, ca_certs=authority.bundle)
    with pytest.raises(TlsError):
        dial(server, ssl_context=given)
    with pytest.raises(TlsError):
        dial(misnamed, ssl_context=given, ca_certs=authority.bundle)
    for settings in ({"ca_certs": authority.bundle}, {}):
        context = credentials_for(TlsSettings(ssl_context=given, **settings)).context
        assert context.maximum_version == ssl.TLSVersion.TLSv1_2
        names = [cipher["name"] for cipher in context.get_ciphers()]
        assert all("GCM" in name for name in names if not name.startswith("TLS_"))
    assert rules(given) == before
    assert given.cert_store_stats()["x509"] == 1


def test_empty_context_shows_its_client_certificate(
    demanding: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """What was loaded into a context without trust is shown to servers the bundle vouches for."""
    for check in (True, False):
        given = create_urllib3_context()
        given.check_hostname = check
        authority.ca.issue_cert("me.test").configure_cert(given)
        for _ in range(2):
            dial(demanding, ssl_context=given, ca_certs=authority.bundle)


def test_callers_client_certificate_is_shown(
    demanding: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """A client certificate loaded into the caller's context serves, verified or not."""
    given = ssl.create_default_context(cafile=authority.bundle)
    authority.ca.issue_cert("me.test").configure_cert(given)
    for settings in ({}, {"verify": False}, {"assert_hostname": False}, {"context_rules": True}):
        dial(demanding, ssl_context=given, **settings)


def test_context_of_another_make(
    server: ScriptedServer, misnamed: ScriptedServer, dial: Dial, authority: Authority
) -> None:
    """A context that wraps sockets in its own way (truststore's does) is used through buffers."""

    class Foreign(ssl.SSLContext):
        def wrap_socket(self, *args: object, **kwargs: object) -> ssl.SSLSocket:
            raise AssertionError("a non-blocking socket is not to be wrapped by this one")

    given = Foreign(ssl.PROTOCOL_TLS_CLIENT)
    given.load_verify_locations(authority.bundle)
    before = state(given)
    dial(server, ssl_context=given)
    with pytest.raises(TlsError):
        dial(misnamed, ssl_context=given)
    dial(misnamed, ssl_context=given, verify=False)
    assert state(given) == before


def test_silent_end_hidden_by_a_context_is_still_seen(
    authority: Authority, connector: Connector, soon: Soon
) -> None:
    """A context that passes an end without farewell for a good one does not get its way."""
    given = ssl.create_default_context(cafile=authority.bundle)
    given.options |= ssl.OP_IGNORE_UNEXPECTED_EOF

    def cut(peer: object) -> None:
        peer.sock.sendall(b"half")  # type: ignore[attr-defined]
        peer.close(notify=False)  # type: ignore[attr-defined]

    with ScriptedServer(cut, tls=authority.server_context()) as server:
        settings = TlsSettings(ssl_context=given)
        stream = connector.connect(Route("https", "127.0.0.1", server.port, settings), soon())
        assert stream.recv(10, soon()) == b"half"
        with pytest.raises(ssl.SSLEOFError):
            stream.recv(10, soon())
        stream.close()
