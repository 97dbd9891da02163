"""A runtime that passes over silences, so that a timeout takes no time to come."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from math import inf

from pooledhttp.runtime import BlockingRuntime, Interest
from pooledhttp.timing import Deadline, monotonic
from tests.support.scripted import Peer

__all__ = ["SkippingRuntime"]

#: How long a wait may go on before it is seen that a peer has fallen silent.
LOOK_SECONDS = 0.005


class SkippingRuntime(BlockingRuntime):
    """Threads whose clock jumps to the deadline of a wait in which the peer will say nothing more.

    So a timeout takes no time, and can be as long as a busy machine needs for everything else.

        def stalls(peer: Peer) -> None:
            peer.read_request()
            runtime.stay_silent(peer)
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._silent: set[object] = set()

    def now(self) -> float:  # type: ignore[override]
        """Seconds, those passed over included."""
        return monotonic() + self._ahead

    def stay_silent(self, peer: Peer) -> None:
        """Called by a handler that has nothing more to say: waits until the client closes."""
        address = peer.sock.getpeername()
        self._silent.add(address)
        try:
            peer.wait_closed()
        finally:
            self._silent.discard(address)

    def wait(  # type: ignore[override]
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """As promised by `Runtime`."""
        while True:
            is_in_vain = self._is_silent(sock)  # before looking: what it said before is there
            ready = BlockingRuntime.wait(sock, read, write, self._next_look(deadline))
            if any(ready) or self._is_over(deadline, is_in_vain):
                return ready

    def wait_any(  # type: ignore[override]
        self, interests: Sequence[Interest], deadline: Deadline
    ) -> list[int]:
        """As promised by `Runtime`."""
        while True:
            is_in_vain = all(self._is_silent(each.sock) for each in interests)
            ready = BlockingRuntime.wait_any(interests, self._next_look(deadline))
            if ready or self._is_over(deadline, is_in_vain):
                return ready

    def _is_silent(self, sock: socket.socket) -> bool:
        return bool(self._silent) and sock.getsockname() in self._silent

    def _next_look(self, deadline: Deadline) -> Deadline:
        return Deadline.after(min(deadline.remaining(), LOOK_SECONDS), monotonic)

    def _is_over(self, deadline: Deadline, is_in_vain: bool) -> bool:
        if is_in_vain and deadline.at != inf:
            self._ahead += deadline.remaining()
        return deadline.expired
