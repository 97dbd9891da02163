"""Servers that make it hard to continue a body, and the truth about what they serve.

The first segment of a path says how the server behaves:

    strong      a strong ETag, ranges, If-Range: what a good server does
    changing    the same, but the body and its ETag are new in every epoch
    deaf        a strong ETag, and Range is ignored
    backends    two back ends, each with an ETag and a body of its own, asked in turn
    careless    ranges without a look at If-Range, a new body in every epoch
    weak        a weak ETag, ranges
    bare        no validator at all
    chunked     a strong ETag, chunks, no length
    dated       Last-Modified only, ranges, If-Range

An *epoch* is what a test says it is; it begins a new one between two runs of the client.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = "strong changing deaf backends careless weak bare chunked dated".split()

_OLD = "Tue, 01 Jan 2019 00:00:00 GMT"


def body_of(path: str, version: str, size: int) -> bytes:
    """The bytes of one version of a path."""
    block = hashlib.sha256(f"{path} {version}".encode()).digest() * 32
    return (block * (size // len(block) + 1))[:size]


def size_of(path: str) -> int:
    """The length of every version of a path; a changing one keeps its length, to be nasty."""
    number = int(hashlib.sha256(path.encode()).hexdigest()[:8], 16)
    return (0, 1, 900, 5_000, 30_000, 70_000, 90_000, 140_000)[number % 8] + number % 97


class Site:
    """All servers in one, on one port.

    Args:
        pause: Seconds between two pieces of a body, so that a kill meets bodies under way.
    """

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.epoch = 0
        #: Every request as (path, Range header).
        self.requests: list[tuple[str, str | None]] = []
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.base = ""

    @contextmanager
    def serving(self) -> Iterator[Site]:
        """Serve for the length of a `with` block."""
        site = self

        class Handler(_Handler):
            pass

        Handler.site = site
        server = _Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.base = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self._end.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def is_right(self, path: str, content: bytes) -> bool:
        """Whether a file is one whole version of a path."""
        return any(
            content == body_of(path, version, size_of(path)) for version in self.versions(path)
        )

    def versions(self, path: str) -> list[str]:
        """Every version of a path that was ever served."""
        kind = path.split("/")[1]
        if kind in ("changing", "careless"):
            return [str(epoch) for epoch in range(self.epoch + 1)]
        return ["a", "b"] if kind == "backends" else ["only"]

    def version(self, path: str) -> str:
        """The version that the next request gets."""
        kind = path.split("/")[1]
        if kind in ("changing", "careless"):
            return str(self.epoch)
        if kind != "backends":
            return "only"
        with self._lock:
            turn = self._turns[path] = self._turns.get(path, 0) + 1
        return "ab"[turn % 2]

    def wait(self) -> bool:
        """Pause between two pieces; whether the server ends."""
        return self._end.wait(self.pause)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def do_GET(self) -> None:
        path, asked = self.path, self.headers.get("Range")
        self.site.requests.append((path, asked))
        kind = path.split("/")[1]
        version = self.site.version(path)
        body = body_of(path, version, size_of(path))
        etag = f'"{hashlib.sha256(f"{path} {version}".encode()).hexdigest()[:20]}"'
        begin = self._begin(kind, etag, len(body))
        if begin is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if kind == "dated":
            self.send_header("Last-Modified", _OLD)
        elif kind != "bare":
            self.send_header("ETag", f"W/{etag}" if kind == "weak" else etag)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        if kind == "chunked" and not begin:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self._send(body[begin:], in_chunks=kind == "chunked" and not begin)

    def _begin(self, kind: str, etag: str, size: int) -> int | None:
        """Where the body begins; None for a range that cannot be."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or kind in ("deaf", "bare"):
            return 0
        if kind != "careless" and condition not in (etag, _OLD if kind == "dated" else etag):
            return 0
        begin = int(asked.removeprefix("bytes=").partition("-")[0])
        return begin if begin < size else None

    def _send(self, body: bytes, *, in_chunks: bool) -> None:
        for at in range(0, len(body), 16_384):
            piece = body[at : at + 16_384]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if in_chunks else piece)
            if self.site.pause and len(body) > 60_000 and self.site.wait():
                return
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
