"""A small HTTP origin for benchmarks: it sends the same response to every request.

It runs in a process of its own, so that its cost does not count as the client's:

    python -m benchmarks.origin SIZE [--cookie] [--chunked] [--changing]     prints its port

With `--cookie` each response sets a cookie; with `--chunked` the body comes in chunks of one byte;
with `--changing` Date and ETag differ from response to response, and the length stays the same.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["running_origin"]


def response_bytes(size: int, cookie: bool, is_chunked: bool = False) -> bytes:
    """Build the one response: a JSON document of `size` bytes."""
    if is_chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    body = b'{"text": "%s"}' % (b"x" * max(size - 12, 0))
    lines = [
        b"HTTP/1.1 200 OK",
        b"Server: origin",
        b"Date: Sun, 22 Nov 2026 10:00:00 GMT",
        b"Content-Type: application/json; charset=utf-8",
        b"Content-Length: %d" % len(body),
    ]
    if cookie:
        lines.append(b"Set-Cookie: token=abc; Path=/")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Origin(asyncio.Protocol):
    """Responds to every head it sees; bodies are counted off by their Content-Length."""

    response = b""
    is_changing = False
    #: Responses sent so far, by all connections.
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.seen = b""
        self.body_left = 0

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while True:
            taken = min(self.body_left, len(self.seen))
            self.seen = self.seen[taken:]
            self.body_left -= taken
            head, end, rest = self.seen.partition(b"\r\n\r\n")
            if self.body_left or not end:
                return
            self.seen = rest
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    self.body_left = int(value)
            self.transport.write(self.changed() if self.is_changing else self.response)

    def changed(self) -> bytes:
        """Return the response with the time and the tag of a later one."""
        Origin.count += 1
        number = Origin.count
        time = b"%02d:%02d:%02d" % (number // 3600 % 24, number // 60 % 60, number % 60)
        return self.response.replace(b"10:00:00", time, 1).replace(
            b"Content-Type", b'ETag: "%08x"\r\nContent-Type' % number, 1
        )


async def serve() -> None:
    """Serve until the process is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running_origin(size: int, *options: str) -> Iterator[str]:
    """Run an origin in a process of its own; give its URL."""
    command = [sys.executable, "-m", "benchmarks.origin", str(size), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/path"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    Origin.response = response_bytes(
        int(sys.argv[1]), "--cookie" in sys.argv, "--chunked" in sys.argv
    )
    Origin.is_changing = "--changing" in sys.argv
    asyncio.run(serve())
