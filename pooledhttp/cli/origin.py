"""A small HTTPS server behind an emulated round trip, as a process of its own.

```
client ---> relay ---> server      the relay holds every byte for half a round trip, both ways,
       <---       <---             and a connection's first one for a whole one more
```

On loopback a TCP handshake takes no time, so the time it would take over a distance is added to the
first byte of each connection. The relay sees TLS records only and cannot tell a handshake from a
request, as a distance cannot.

This file is run by its path, in an isolated interpreter, and so uses the standard library only. It
is a process of its own so that it does not share an interpreter with the client. It prints its port
on standard output and ends when its standard input ends, so it does not outlive its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections import deque
from typing import cast

__all__ = ["Relay", "Server", "serve"]


class Server(asyncio.Protocol):
    """Responds to every GET with a file of one size, and closes the connection if asked to."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Respond to each request whose head is complete."""
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._seen[:end])
            del self._seen[: end + 4]
            self._respond(head)

    def _respond(self, head: bytes) -> None:
        is_last = b"connection: close" in head.lower()
        target = head.split(b" ", 2)[1]
        body = (target + b"\n") * (self._size // (len(target) + 1) + 1)
        fields = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        if is_last:
            fields += b"Connection: close\r\n"
        self._transport.write(fields % self._size + b"\r\n" + body[: self._size])
        if is_last:
            self._transport.close()


class _Delay:
    """One direction of a connection: bytes that go in come out later, in order."""

    def __init__(self, seconds: float, not_before: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._not_before = not_before
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._exit: asyncio.Transport | None = None

    def opens_to(self, transport: asyncio.Transport) -> None:
        """Set the transport that the bytes come out to."""
        self._exit = transport
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._release)

    def put(self, data: bytes | None) -> None:
        """Add bytes; `None` is the end."""
        due = max(self._loop.time(), self._not_before) + self._seconds
        self._waiting.append((due, data))
        if len(self._waiting) == 1 and self._exit is not None:
            self._loop.call_at(due, self._release)

    def _release(self) -> None:
        assert self._exit is not None
        now = self._loop.time() + 1e-6
        while self._waiting and self._waiting[0][0] <= now:
            data = self._waiting.popleft()[1]
            if self._exit.is_closing():
                continue
            if data is None:
                self._exit.close()
            else:
                self._exit.write(data)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._release)


class _Side(asyncio.Protocol):
    """One side of a relayed connection: it reads into one delay, and the other writes to it."""

    def __init__(self, relay: Relay, inward: _Delay, outward: _Delay) -> None:
        self._relay = relay
        self._inward = inward
        self._outward = outward

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._relay.open_sides += 1
        self._outward.opens_to(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._inward.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.open_sides -= 1
        self._inward.put(None)


class Relay:
    """Accepts connections for a server and delays their bytes.

    Args:
        port: The server's port on this machine.
        round_trip: Seconds to the server and back.
    """

    def __init__(self, port: int, round_trip: float) -> None:
        self._port = port
        self._round_trip = round_trip
        self._dials: set[asyncio.Task[object]] = set()
        #: Connections on either side; two for each that is relayed.
        self.open_sides = 0

    def __call__(self) -> asyncio.Protocol:
        """Return the client's side of a new connection, and start on the server's side."""
        loop = asyncio.get_running_loop()
        there = _Delay(self._round_trip / 2, loop.time() + self._round_trip)
        back = _Delay(self._round_trip / 2, 0.0)
        dial = loop.create_task(
            loop.create_connection(lambda: _Side(self, back, there), "127.0.0.1", self._port)
        )
        self._dials.add(cast("asyncio.Task[object]", dial))
        dial.add_done_callback(self._dials.discard)
        return _Side(self, there, back)


async def serve(certificate: str, round_trip: float, size: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Server(size), "127.0.0.1", 0, ssl=context)
    relay = Relay(server.sockets[0].getsockname()[1], round_trip)
    front = await loop.create_server(relay, "127.0.0.1", 0, backlog=512)
    print(front.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    front.close()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("certificate")
    parser.add_argument("round_trip", type=float)
    parser.add_argument("size", type=int)
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.certificate, given.round_trip, given.size))
    except KeyboardInterrupt:
        pass  # Ctrl-C goes to the whole group; the parent reports it
