"""Passing bytes between two sockets, for servers that stand between a client and an origin."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

__all__ = ["relay"]

#: What is held back per direction before no more is read; a proxy has no endless memory.
RELAY_BYTES = 262144
#: Longest time that nothing moves; reached only when a test is failing.
PATIENCE_SECONDS = 20.0
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Lane:
    """One direction of a relay."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.held = b""
        self.is_open = True
        self.is_over = False

    def move(self) -> None:
        """Move what can be moved without waiting."""
        with contextlib.suppress(*_WOULD_BLOCK):
            while self.is_open and len(self.held) < RELAY_BYTES:
                data = self.source.recv(65536)
                self.held += data
                self.is_open = bool(data)
        with contextlib.suppress(*_WOULD_BLOCK):
            while self.held:
                self.held = self.held[self.target.send(self.held[:16384]) :]
        if not self.is_open and not self.held and not self.is_over:
            self.is_over = True
            with contextlib.suppress(OSError):
                # The class's own: an SSLSocket would drop its TLS and go on in the clear.
                socket.socket.shutdown(self.target, socket.SHUT_WR)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until both sides have ended, or one has failed.

    In one thread, as a TLS socket must not be used by two at a time: it would mix up its records.
    """
    with contextlib.suppress(OSError):
        other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.settimeout(0)
        other.settimeout(0)
        lanes = (_Lane(one, other), _Lane(other, one))
        while True:
            for lane in lanes:
                lane.move()
            if all(lane.is_over for lane in lanes):
                return
            reads = [x.source for x in lanes if x.is_open and len(x.held) < RELAY_BYTES]
            writes = [x.target for x in lanes if x.held]
            select.select(reads, writes, [], PATIENCE_SECONDS)
