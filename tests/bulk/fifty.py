"""Fifty origins, each with a fault of its own, that count what is at them at once.

python -m tests.bulk.fifty          the servers; prints their ports, and counts at the end
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from dataclasses import dataclass, field

__all__ = ["KINDS", "kind_of"]

#: How many origins of each kind. `dead` does not listen.
KINDS = {"healthy": 30, "slow": 8, "limited": 4, "busy": 4, "resetting": 2, "dead": 1, "silent": 1}

_BODY = b"x" * 1024
_SLOW_SECONDS = 0.05
_BEARS = 3


def kind_of(number: int) -> str:
    """Return the kind of an origin."""
    for kind, count in KINDS.items():
        if number < count:
            return kind
        number -= count
    raise IndexError(number)


@dataclass
class Counts:
    """What is at an origin, or at all of them."""

    now: int = 0
    most: int = 0
    served: int = 0
    connections: int = 0
    refused: int = 0

    def enter(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)


@dataclass
class Site:
    """All origins."""

    total: Counts = field(default_factory=Counts)
    origins: list[Counts] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._kind = kind_of(number)
        self._counts = site.origins[number]
        self._data = b""
        self._is_served = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._counts.connections += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._data.endswith(b"\r\n\r\n"):
            return
        self._data = b""
        self._is_served = True
        self._site.total.enter()
        self._counts.enter()
        if self._kind == "slow":
            asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._reply, 200)
        elif self._kind == "limited":
            status = 200 if self._counts.now <= _BEARS else 429
            asyncio.get_running_loop().call_later(0.005, self._reply, status)
        elif self._kind == "busy":
            self._reply(503 if self._site.chance.random() < 0.02 else 200)
        elif self._kind == "resetting" and self._site.chance.random() < 0.1:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif self._kind != "silent":
            self._reply(200)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._is_served:
            self._is_served = False
            self._site.total.now -= 1
            self._counts.now -= 1

    def _reply(self, status: int) -> None:
        self._leave()
        if status == 200:
            self._counts.served += 1
        else:
            self._counts.refused += 1
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(_BODY)}\r\n\r\n".encode()
        self._transport.write(head + _BODY)


async def main() -> None:
    """Serve until standard input ends."""
    site = Site()
    loop = asyncio.get_running_loop()
    ports: list[int] = []
    dead: list[socket.socket] = []
    for number in range(sum(KINDS.values())):
        site.origins.append(Counts())
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        ports.append(sock.getsockname()[1])
        if kind_of(number) == "dead":
            dead.append(sock)  # bound, so that no other process gets the port, and not listening
        else:
            await loop.create_server(
                lambda number=number: Peer(site, number), sock=sock, backlog=256
            )  # type: ignore[misc]
    print(json.dumps(ports), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps([vars(site.total), [vars(each) for each in site.origins]]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
