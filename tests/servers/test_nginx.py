"""A Session and the bulk fetch against a real nginx, judged by what nginx itself saw."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

import pooledhttp
from pooledhttp import Session
from tests.support.commands import run_command
from tests.support.nginx import Nginx

FILES = 500


def _bodies() -> dict[str, bytes]:
    """Files of many sizes, empty and larger than any buffer among them; the same in every run."""
    draw = random.Random(2)
    sizes = [0, 1, 300_000, *(draw.randrange(1, 20_000) for _ in range(FILES - 3))]
    return {f"file-{number:03}.bin": draw.randbytes(size) for number, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def bodies(nginx_process: Nginx) -> dict[str, bytes]:
    """Five hundred files under nginx's root, by name."""
    files = _bodies()
    for name, data in files.items():
        nginx_process.write(name, data)
    return files


def _connections(nginx: Nginx, requests: int) -> set[int]:
    return {line["connection"] for line in nginx.log(requests=requests)}


def test_gets_over_tls_share_one_connection(
    nginx: Nginx, bodies: dict[str, bytes], no_fd_leak: None
) -> None:
    """A private CA in `verify` is enough, bodies are right, and one connection serves all."""
    names = list(bodies)[:50]
    with Session() as session:
        session.verify = nginx.authority.bundle
        for name in names:
            assert session.get(nginx.url(f"/{name}"), timeout=20).content == bodies[name]
        assert nginx.active() == 1
    nginx.wait_idle()
    assert len(_connections(nginx, len(names))) == 1
    assert {line["tls"] for line in nginx.log()} == {"TLSv1.3"}


def test_an_unknown_ca_and_a_wrong_name_are_refused(nginx: Nginx, no_fd_leak: None) -> None:
    """Verification is on by default, and the error names the origin."""
    origin = f"localhost port {nginx.ports[0]}"
    with Session() as session:
        with pytest.raises(pooledhttp.exceptions.SSLError, match=origin):
            session.get(nginx.url("/"), timeout=20)
        session.verify = nginx.authority.bundle
        with pytest.raises(pooledhttp.exceptions.SSLError):
            session.get(nginx.url("/", host="127.0.0.1"), timeout=20)
    nginx.wait_idle()


def test_a_server_that_closes_after_some_requests_is_no_error(
    nginx: Nginx, bodies: dict[str, bytes]
) -> None:
    """`keepalive_requests 7`: connections end as announced, requests do not notice."""
    with Nginx(nginx.authority, keepalive_requests=7) as limited, Session() as session:
        limited.write("x", b"x")
        session.verify = limited.authority.bundle
        for _ in range(70):
            assert session.get(limited.url("/x"), timeout=20).content == b"x"
        assert len(_connections(limited, 70)) == 10


def test_a_restart_between_requests_is_no_error(nginx: Nginx) -> None:
    """Connections that died with the server while idle are replaced without an error."""
    with Nginx(nginx.authority) as restarted, Session() as session:
        restarted.write("x", b"x")
        session.verify = restarted.authority.bundle
        for _ in range(5):
            assert session.get(restarted.url("/x"), timeout=20).content == b"x"
            restarted.stop()
            restarted.start()
        assert session.post(restarted.url("/accept"), data=b"d", timeout=20).text == "accepted"
        assert len(restarted.log(requests=6)) == 6


@pytest.mark.parametrize("per_host", [2, 6])
def test_the_fetch_command_brings_every_file(
    nginx: Nginx, bodies: dict[str, bytes], tmp_path: Path, per_host: int
) -> None:
    """500 lines: every SHA-256 right, no more connections than allowed, none left open."""
    listing = tmp_path / "urls.txt"
    listing.write_text("".join(nginx.url(f"/{name}\n") for name in bodies))
    out = tmp_path / "out"
    done = run_command(
        *("fetch", "-i", str(listing), "-d", str(out), "--ca", nginx.authority.bundle),
        *("--per-host", str(per_host), "--jobs", "32", "--timeout", "60"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    nginx.wait_idle()
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in bodies.items()}
    fetched = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.bin")
    }
    assert fetched == expected
    assert len(nginx.log(requests=FILES)) == FILES
    assert 1 <= len(_connections(nginx, FILES)) <= per_host


def test_the_fetch_command_reports_what_failed(
    nginx: Nginx, bodies: dict[str, bytes], tmp_path: Path
) -> None:
    """One missing file among the good ones: exit status 1, and the failure list names it."""
    missing = nginx.url("/missing.bin")
    listing = "".join(nginx.url(f"/{name}\n") for name in list(bodies)[:20]) + missing + "\n"
    (tmp_path / "urls.txt").write_text(listing)
    out = tmp_path / "out"
    done = run_command(
        *("fetch", "-i", str(tmp_path / "urls.txt"), "-d", str(out)),
        *("--ca", nginx.authority.bundle),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(list(out.rglob("file-*.bin"))) == 20
    failures = (out / "failures.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in failures if not line.startswith("#")] == [missing]
    nginx.wait_idle()
