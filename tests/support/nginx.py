"""A real nginx: TLS with a private CA, a log that names connections, and its own count of them."""

from __future__ import annotations

import http.client
import json
import os
import re
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority
from tests.support.programs import ServerProgram, poll, require_program

_CONFIG = """
{user}
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log {folder}/error-output warn;
events {{ worker_connections 4096; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    log_format seen escape=json '{{"connection": $connection, "turn": $connection_requests, '
        '"method": "$request_method", "uri": "$request_uri", "status": $status, '
        '"body_bytes": $body_bytes_sent, "tls": "$ssl_protocol", "resumed": "$ssl_session_reused", '
        '"client": "$ssl_client_s_dn", "token": "$http_x_token"}}';
    access_log {folder}/access.log seen;
    keepalive_timeout {keepalive_timeout};
    keepalive_requests {keepalive_requests};
    root {folder}/www;
    server {{
        listen 127.0.0.1:{tls_port} ssl backlog=1024;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols {tls_versions};
        {server}
        location = /accept {{ return 200 "accepted"; }}
    }}
    server {{
        listen 127.0.0.1:{plain_port} backlog=1024;
        {server}
        location = /accept {{ return 200 "accepted"; }}
    }}
    server {{
        listen 127.0.0.1:{status_port};
        access_log off;
        keepalive_timeout 0;
        location / {{ stub_status; }}
    }}
}}
"""


class Nginx(ServerProgram):
    """nginx with and without TLS, serving `folder/www`; a POST to `/accept` gets 200.

    Args:
        authority: Issues the server's certificate, which is for `localhost` alone.
        keepalive_timeout: How long nginx keeps an idle connection, as nginx writes times.
        keepalive_requests: After how many requests nginx closes a connection.
        tls_versions: As `ssl_protocols` has them.
        server: More directives for both servers; `ssl_verify_client on;` and the like.
        workers: Processes; with one, connection numbers are never used twice.
    """

    name = "nginx"
    ports_needed = 3

    def __init__(
        self,
        authority: Authority,
        *,
        keepalive_timeout: str = "65s",
        keepalive_requests: int = 100_000,
        tls_versions: str = "TLSv1.2 TLSv1.3",
        server: str = "",
        workers: int = 1,
    ) -> None:
        self._program = require_program("nginx", "nginx-light")
        super().__init__()
        self.root = self.folder / "www"
        self.root.mkdir()
        self.authority = authority
        chain, key = authority.write_certificate("localhost", stem="nginx")
        self._settings = {
            "keepalive_timeout": keepalive_timeout,
            "keepalive_requests": keepalive_requests,
            "tls_versions": tls_versions,
            "server": server,
            "workers": workers,
            "chain": chain,
            "key": key,
            # Workers of nginx started by root run as `nobody`, which may not read a private key.
            "user": "user root;" if os.geteuid() == 0 else "",
        }

    def configure(self) -> None:
        """Write nginx.conf."""
        tls, plain, status = self.ports
        text = _CONFIG.format(
            folder=self.folder,
            tls_port=tls,
            plain_port=plain,
            status_port=status,
            **self._settings,
        )
        (self.folder / "nginx.conf").write_text(text)

    def command(self) -> list[str]:
        """Nginx in the foreground, without a look at the machine's own configuration."""
        first_log = str(self.folder / "error-output")
        return [self._program, "-p", str(self.folder), "-e", first_log, "-c", "nginx.conf"]

    def write(self, name: str, data: bytes) -> Path:
        """Put a file under the document root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def url(self, path: str = "/", *, host: str = "localhost") -> str:
        """The https URL of a path."""
        return f"https://{host}:{self.ports[0]}{path}"

    def plain_url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        """The http URL of a path."""
        return f"http://{host}:{self.ports[1]}{path}"

    def log(self, requests: int | None = None) -> list[dict[str, Any]]:
        """The access log, one dict per request.

        Args:
            requests: Wait until so many are logged: nginx writes a line after it has sent the
                response, so the client can be faster. None takes what is there.
        """
        path = self.folder / "access.log"
        if requests is not None:
            poll(lambda: path.read_bytes().count(b"\n") >= requests, f"{requests} lines in the log")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def clear_log(self) -> None:
        """Forget the requests so far."""
        os.truncate(self.folder / "access.log", 0)

    def active(self) -> int:
        """Connections nginx has open now, besides the one that asks."""
        asking = http.client.HTTPConnection("127.0.0.1", self.ports[2], timeout=10)
        try:
            asking.request("GET", "/")
            text = asking.getresponse().read().decode()
        finally:
            asking.close()
        found = re.search(r"Active connections:\s*(\d+)", text)
        assert found, text
        return int(found[1]) - 1

    def wait_idle(self) -> None:
        """Wait until nginx sees no connection any more."""
        poll(lambda: self.active() == 0, "end of all connections to nginx")
