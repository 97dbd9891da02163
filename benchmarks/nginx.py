"""A real nginx on loopback, for the time of a run: plain, TLS 1.2, TLS 1.3, and no resumption.

It listens on all addresses of the loopback network, so that 127.0.0.1, 127.0.0.2 and so on are as
many origins. Its certificate is for `localhost` and of an authority made for the run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "running_nginx"]

_CONFIG = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log {folder}/errors warn;
events {{ worker_connections {files}; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    client_body_buffer_size 64k;
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    root {folder}/www;
    ssl_certificate {folder}/chain.pem;
    ssl_certificate_key {folder}/key.pem;
    {more}
{servers}
}}
"""

_SERVER = """
    server {{
        listen {port} {kind} backlog=4096;
        {more}
        location = /accept {{ return 200 "accepted"; }}
        # Reads the whole body before it responds: /accept responds at once, and ends an upload.
        location = /take {{
            proxy_pass http://127.0.0.1:{plain}/accept;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
    }}
"""

_KINDS = {
    "plain": ("", ""),
    "tls12": ("ssl", "ssl_protocols TLSv1.2;"),
    "tls13": ("ssl", "ssl_protocols TLSv1.3;"),
    "full": ("ssl", "ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;"),
}


@dataclass(frozen=True)
class Place:
    """Where nginx is.

    Attributes:
        ports: By kind of server: plain, tls12, tls13, full (TLS 1.3 without resumption).
        bundle: The file of the authority that clients have to trust.
        folder: For files that clients write.
    """

    ports: dict[str, int]
    bundle: str
    folder: str

    def url(self, kind: str, path: str = "/small", host: str = "localhost") -> str:
        """Return a URL on one of the servers."""
        scheme = "http" if kind == "plain" else "https"
        return f"{scheme}://{host}:{self.ports[kind]}{path}"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _write_certificates(folder: Path, hosts: Sequence[str]) -> None:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", *hosts, key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "chain.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))


@contextmanager
def running_nginx(hosts: Sequence[str] = (), more: str = "") -> Iterator[Place]:
    """Run nginx with its files: `/small` of 1 KiB, `/64k` and `/large` of 10 MiB.

    Args:
        hosts: Further names and addresses that the certificate is for.
        more: Further lines of the configuration, for all servers.
    """
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        sys.exit(
            "nginx is missing. Debian and Ubuntu: apt-get install nginx-light; macOS: brew install "
            "nginx; others: https://nginx.org/en/docs/install.html"
        )
    with tempfile.TemporaryDirectory(prefix="pooledhttp-benchmarks-") as name:
        folder = Path(name)
        (folder / "www").mkdir()
        for file, size in {"small": 1024, "64k": 65536, "large": 10 << 20}.items():
            (folder / "www" / file).write_bytes(os.urandom(size))
        _write_certificates(folder, hosts)
        ports = dict(zip(_KINDS, _free_ports(len(_KINDS)), strict=True))
        servers = "".join(
            _SERVER.format(port=ports[kind], kind=tls, more=more, plain=ports["plain"])
            for kind, (tls, more) in _KINDS.items()
        )
        user = "user root;" if os.geteuid() == 0 else ""
        text = _CONFIG.format(folder=folder, servers=servers, user=user, files=18000, more=more)
        (folder / "nginx.conf").write_text(text)
        command = [program, "-p", name, "-e", f"{name}/errors", "-c", f"{name}/nginx.conf"]
        process = subprocess.Popen(command)
        try:
            _wait_for(process, ports["plain"], folder / "errors")
            yield Place(ports, f"{name}/ca.pem", name)
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"nginx did not start:\n{errors.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("nginx does not listen after ten seconds")
