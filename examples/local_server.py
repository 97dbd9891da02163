"""A small web server on this machine, for the examples beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Handler(BaseHTTPRequestHandler):
    """Answers every path with its own name, and a missing one with 404."""

    protocol_version = "HTTP/1.1"  # keeps connections open between requests
    disable_nagle_algorithm = True  # else a body waits until its head is acknowledged

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(404 if "missing" in self.path else 200, self.path.encode())

    def do_POST(self) -> None:
        """Answer a POST with what was posted."""
        self._answer(201, self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def local_server() -> Iterator[str]:
    """Serve for the length of a `with` block, which gets the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
