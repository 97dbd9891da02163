"""A Session against nginx set up in ways that make a difference on the wire."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pooledhttp
from pooledhttp import PoolConfig, Session
from tests.support.certificates import Authority
from tests.support.nginx import Nginx
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

# ---- client certificates


@pytest.fixture(scope="module")
def guarded(authority: Authority) -> Iterator[Nginx]:
    """An nginx that requires a client certificate of the authority."""
    rules = f"ssl_client_certificate {authority.bundle}; ssl_verify_client on;"
    with Nginx(authority, server=rules) as server:
        server.write("x", b"x")
        yield server


@pytest.fixture(scope="module")
def identity(authority: Authority) -> tuple[str, str]:
    """A client's certificate and its key in the clear."""
    return authority.write_certificate("client.example", stem="client")


@pytest.fixture(scope="module")
def encrypted_key(identity: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same key, encrypted with the password `open sesame`."""
    path = tmp_path_factory.mktemp("keys") / "encrypted.key"
    secret = ["-aes256", "-passout", "pass:open sesame"]
    subprocess.run(
        ["openssl", "pkey", "-in", identity[1], "-out", str(path), *secret],
        check=True,
        capture_output=True,
    )
    return str(path)


def test_a_client_certificate_is_shown(
    guarded: Nginx, identity: tuple[str, str], encrypted_key: str, tmp_path: Path
) -> None:
    """As a pair, in one file, with an encrypted key and its password, on the session."""
    both = tmp_path / "both.pem"
    both.write_bytes(Path(identity[0]).read_bytes() + Path(identity[1]).read_bytes())
    ways = [identity, str(both), (identity[0], encrypted_key, "open sesame")]
    guarded.clear_log()
    for way in ways:
        with Session() as session:
            session.verify, session.cert = guarded.authority.bundle, way
            for _ in range(2):
                assert session.get(guarded.url("/x"), timeout=10).content == b"x"
            assert session.pool.stats().total.created == 1
    log = guarded.log(requests=2 * len(ways))
    assert all(line["client"] for line in log)


def test_a_connection_made_with_a_certificate_serves_nobody_else(
    guarded: Nginx, identity: tuple[str, str]
) -> None:
    """A call without `cert=` on the same session is refused by nginx.

    It got its own connection, and the TLS session of the other was not resumed on it.
    """
    with Session() as session:
        session.verify = guarded.authority.bundle
        for _ in range(2):
            assert session.get(guarded.url("/x"), cert=identity, timeout=10).status_code == 200
            refused = session.get(guarded.url("/x"), timeout=10)
            assert (refused.status_code, "No required SSL" in refused.text) == (400, True)


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_key_that_cannot_be_opened(
    guarded: Nginx, identity: tuple[str, str], encrypted_key: str, password: str | None
) -> None:
    """A wrong or missing password is an SSLError that names the certificate; there is no prompt."""
    cert = (identity[0], encrypted_key, password) if password else (identity[0], encrypted_key)
    with Session() as session, pytest.raises(pooledhttp.exceptions.SSLError, match="client") as e:
        session.get(guarded.url("/x"), verify=guarded.authority.bundle, cert=cert, timeout=10)
    assert "sesame" not in str(e.value)


# ---- TLS


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_new_connections_resume_the_session(authority: Authority, version: str) -> None:
    """After the first, connections to nginx are made with a shortened handshake."""
    resumption = "ssl_session_cache shared:one:1m; ssl_session_tickets on;"
    with Nginx(authority, tls_versions=version, server=resumption) as server:
        server.write("x", b"x")
        with Session(pool=PoolConfig(max_requests=1)) as session:
            session.verify = authority.bundle
            for _ in range(6):
                assert session.get(server.url("/x"), timeout=10).content == b"x"
        log = server.log(requests=6)
    assert len({line["connection"] for line in log}) == 6
    assert {line["tls"] for line in log} == {version}
    assert [line["resumed"] for line in log] == [".", "r", "r", "r", "r", "r"]


def test_a_server_that_lost_its_ticket_keys(authority: Authority) -> None:
    """A ticket that the restarted server cannot read costs a full handshake, and no error."""
    with Nginx(authority) as server, Session(pool=PoolConfig(max_requests=1)) as session:
        server.write("x", b"x")
        session.verify = authority.bundle
        for _ in range(3):
            for _ in range(2):
                assert session.get(server.url("/x"), timeout=10).content == b"x"
            server.stop()
            server.start()


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1"])
def test_old_versions_of_tls_are_not_spoken(authority: Authority, version: str) -> None:
    """TLS 1.2 is the least; what to do is in the error."""
    old = f"ssl_protocols {version}; ssl_ciphers ALL:@SECLEVEL=0;"
    with Nginx(authority, tls_versions=version, server=old.partition(";")[2]) as server:
        with Session() as session, pytest.raises(pooledhttp.exceptions.SSLError):
            session.get(server.url("/"), verify=authority.bundle, timeout=10)


# ---- bodies


@pytest.fixture(scope="module")
def zipping(authority: Authority) -> Iterator[Nginx]:
    """An nginx that compresses on the fly, so that it cannot know the length, and serves .gz."""
    with Nginx(
        authority, server="gzip on; gzip_types *; gzip_min_length 1; gzip_static on;"
    ) as server:
        yield server


@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_bodies_compressed_on_the_fly(zipping: Nginx, size: int) -> None:
    """Gzip in chunks is undone, and its connection used again; undecoded on request."""
    body = (b"compress me %d " % size * size)[:size]
    zipping.write("plain", body)
    with Session() as session:
        session.verify = zipping.authority.bundle
        for _ in range(3):
            answer = session.get(zipping.url("/plain"), timeout=20)
            assert answer.content == body
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Transfer-Encoding"] == "chunked"
        raw = session.get(zipping.url("/plain"), stream=True, timeout=20).raw
        assert gzip.decompress(raw.read(decode_content=False)) == body
        identity = session.get(
            zipping.url("/plain"), headers={"Accept-Encoding": "identity"}, timeout=20
        )
        assert identity.content == body and "Content-Encoding" not in identity.headers
        assert session.pool.stats().total.created == 1


def test_a_file_compressed_beforehand(zipping: Nginx) -> None:
    """Gzip with a length is undone as well."""
    zipping.write("page", b"page" * 1000)
    zipping.write("page.gz", gzip.compress(b"page" * 1000))
    with Session() as session:
        answer = session.get(zipping.plain_url("/page"), timeout=20)
        assert answer.content == b"page" * 1000
        assert int(answer.headers["Content-Length"]) < 4000


def test_ranges_heads_and_conditions(nginx: Nginx) -> None:
    """After 206, 304 and HEAD the connection is reused for the next response."""
    nginx.write("x", bytes(range(256)))
    with Session() as session:
        url = nginx.plain_url("/x")
        for _ in range(3):
            full = session.get(url, timeout=10)
            part = session.get(url, headers={"Range": "bytes=10-19"}, timeout=10)
            assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
            unchanged = session.get(
                url, headers={"If-None-Match": full.headers["ETag"]}, timeout=10
            )
            assert (unchanged.status_code, unchanged.content) == (304, b"")
            head = session.head(url, timeout=10)
            assert (head.headers["Content-Length"], head.content) == ("256", b"")
        assert session.pool.stats().total.created == 1


def test_large_downloads_are_streamed(nginx: Nginx) -> None:
    """32 MB read piece by piece have the right digest, and give the connection back."""
    body = bytes(range(256)) * 128 * 1024
    nginx.write("large", body)
    with Session() as session:
        session.verify = nginx.authority.bundle
        for _ in range(2):
            digest = hashlib.sha256()
            with session.get(nginx.url("/large"), stream=True, timeout=20) as answer:
                for piece in answer.iter_content(70_000):
                    digest.update(piece)
            assert digest.digest() == hashlib.sha256(body).digest()
        assert session.pool.stats().total.created == 1


@pytest.mark.parametrize("is_chunked", [True, False])
def test_uploads_arrive_whole(authority: Authority, is_chunked: bool) -> None:
    """What nginx passes on of an upload is what was sent, with and without a length."""

    def digest(seen: SeenRequest) -> bytes:
        return respond(hashlib.sha256(seen.body).hexdigest().encode())

    body = bytes(range(256)) * 20_000
    with ScriptedServer(answering(digest)) as behind:
        rule = f"location /up {{ proxy_pass http://127.0.0.1:{behind.port}; }}"
        with Nginx(authority, server=rule) as server, Session() as session:
            session.verify = authority.bundle
            for _ in range(3):
                data = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
                answer = session.post(
                    server.url("/up"), data=data if is_chunked else body, timeout=20
                )
                assert answer.text == hashlib.sha256(body).hexdigest()
            assert session.pool.stats().total.created == 1


@pytest.mark.parametrize("tls", [True, False])
def test_an_upload_that_is_too_large_is_answered(authority: Authority, tls: bool) -> None:
    """nginx sends 413 and stops reading; the 413 is returned and the next request works."""
    rules = "client_max_body_size 1k; location /up { proxy_pass http://127.0.0.1:9; }"
    with Nginx(authority, server=rules) as server, Session() as session:
        session.verify = authority.bundle
        url = server.url if tls else server.plain_url
        body = b"x" * 20_000_000
        for data in (body, (body[:100_000] for _ in range(200))):
            assert session.post(url("/up"), data=data, timeout=10).status_code == 413
        assert session.get(url("/accept"), timeout=10).text == "accepted"


def test_a_server_of_http_1_0() -> None:
    """Responses that end with the connection, with and without a length, are read completely."""

    class Old(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/length":
                self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b"hello" * 1000)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with Session() as session:
            for path in ("/length", "/none", "/length"):
                answer = session.get(f"http://127.0.0.1:{server.server_port}{path}", timeout=10)
                assert (answer.content, answer.raw.version) == (b"hello" * 1000, 10)
            total = session.pool.stats().total
            assert (total.created, total.idle) == (3, 0)
        server.shutdown()
        thread.join()


# ---- keep-alive


def test_a_server_without_keep_alive(authority: Authority) -> None:
    """`keepalive_timeout 0`: each response ends its connection, on both sides."""
    with Nginx(authority, keepalive_timeout="0") as server, Session() as session:
        server.write("x", b"x")
        for _ in range(3):
            answer = session.get(server.plain_url("/x"), timeout=10)
            assert (answer.content, answer.headers["Connection"]) == (b"x", "close")
        assert session.pool.stats().total.created == 3
        server.wait_idle()


def test_posts_to_a_server_that_closes_early_are_executed_once(authority: Authority) -> None:
    """`keepalive_requests 3`: no POST is lost or doubled when connections end that often."""
    with Nginx(authority, keepalive_requests=3) as server, Session() as session:
        session.verify = authority.bundle
        for number in range(40):
            answer = session.post(
                server.url("/accept"), data=b"d", headers={"X-Token": str(number)}, timeout=10
            )
            assert answer.text == "accepted"
        assert [line["token"] for line in server.log(40)] == [str(one) for one in range(40)]
