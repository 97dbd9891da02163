"""A runtime that skips silences, so that a timeout ends without a wait."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from math import inf

from pooledhttp.runtime import BlockingRuntime, Interest
from pooledhttp.timing import Deadline, monotonic
from tests.support.scripted import PATIENCE_SECONDS, Peer

__all__ = ["SkippingRuntime"]

#: How long a wait may go on before it is seen that a peer has fallen silent.
LOOK_SECONDS = 0.005


class SkippingRuntime(BlockingRuntime):
    """Threads whose clock jumps where a peer lets them wait: no real time passes.

    A timeout then takes no time, and can be as long as a busy machine needs for everything else.

        def stalls(peer: Peer) -> None:
            peer.read_request()
            runtime.stay_silent(peer)

    Args:
        stands: Whether time passes only by jumps; sleeping is a jump then, and
            what a test measures is exact.
    """

    def __init__(self, *, stands: bool = False) -> None:
        self._stands = stands
        self._ahead = 0.0
        self._held: dict[object, tuple[float, threading.Event]] = {}

    def now(self) -> float:  # type: ignore[override]
        """Seconds, including those that were skipped."""
        return self._ahead if self._stands else monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        """As promised by `Runtime`."""
        if self._stands:
            self._ahead += max(seconds, 0.0)
        else:
            super().sleep(seconds)

    def stay_silent(self, peer: Peer) -> None:
        """Called by a handler that sends no more: waits until the client closes."""
        with self._holding(peer, inf):
            peer.wait_closed()

    def stay_deaf(self, peer: Peer) -> None:
        """The same without reading on; waits until the server ends."""
        with self._holding(peer, inf):
            peer.server.gate().wait()

    def take_time(self, peer: Peer, seconds: float) -> None:
        """Called by a handler that lets the client wait that long for the next bytes."""
        with self._holding(peer, seconds) as seen:
            assert seen.wait(PATIENCE_SECONDS), "nobody waited"

    @contextlib.contextmanager
    def _holding(self, peer: Peer, seconds: float) -> Iterator[threading.Event]:
        address, seen = peer.sock.getpeername(), threading.Event()
        self._held[address] = seconds, seen
        try:
            yield seen
        finally:
            del self._held[address]

    def wait(  # type: ignore[override]
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """As promised by `Runtime`."""
        while True:
            held = self._held_on(sock)  # before looking: what the peer said before is there
            ready = BlockingRuntime.wait(sock, read, write, self._next_look(deadline))
            if any(ready) or self._is_over(deadline, held):
                return ready

    def wait_any(  # type: ignore[override]
        self, interests: Sequence[Interest], deadline: Deadline
    ) -> list[int]:
        """As promised by `Runtime`; with several sockets, time passes as it does."""
        while True:
            held = self._held_on(interests[0].sock) if len(interests) == 1 else None
            ready = BlockingRuntime.wait_any(interests, self._next_look(deadline))
            if ready or self._is_over(deadline, held):
                return ready

    def _held_on(self, sock: socket.socket) -> tuple[float, threading.Event] | None:
        return self._held.get(sock.getsockname()) if self._held else None

    def _next_look(self, deadline: Deadline) -> Deadline:
        return Deadline.after(min(deadline.remaining(), LOOK_SECONDS), monotonic)

    def _is_over(self, deadline: Deadline, held: tuple[float, threading.Event] | None) -> bool:
        if held is not None and not held[1].is_set():
            seconds = min(held[0], deadline.remaining())
            if seconds != inf:
                self._ahead += seconds
            if held[0] != inf:
                held[1].set()
        return deadline.expired
