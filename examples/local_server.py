"""A small HTTP server on this machine, for the other examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Handler(BaseHTTPRequestHandler):
    """Responds to a path with its own name; a path that contains `missing` is a 404."""

    protocol_version = "HTTP/1.1"  # keeps connections open between requests
    disable_nagle_algorithm = True  # otherwise the body waits until the head is acknowledged

    def do_GET(self) -> None:
        """Respond with the path."""
        self._respond(404 if "missing" in self.path else 200, self.path.encode())

    def do_POST(self) -> None:
        """Respond with the body that was posted."""
        self._respond(201, self.rfile.read(int(self.headers["Content-Length"])))

    def _respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print no log lines."""


@contextmanager
def local_server() -> Iterator[str]:
    """Run the server while the `with` block runs; the block gets the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
