"""A turnstile before the handshakes of one origin.

A handshake costs the server some milliseconds of CPU. When hundreds of threads start at once, doing
them all at once makes each as slow as the last; the turnstile lets some through and has the others
wait in line, first come, first served.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pooledhttp.runtime import register_fork_reset

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime, Waiter
    from pooledhttp.timing import Deadline

__all__ = ["Turnstile"]

#: More at a time than a browser opens to one origin; enough to keep the link to a far one busy.
MAX_HANDSHAKES = 32


class _Gate:
    """One origin: who is inside and who waits."""

    __slots__ = ("inside", "line")

    def __init__(self) -> None:
        self.inside = 0
        self.line: deque[Waiter] = deque()


class _Turn:
    """One passage. A class, as a generator that does the same costs a connection more."""

    __slots__ = ("_deadline", "_gate", "_key", "_turnstile")

    def __init__(self, turnstile: Turnstile, key: Hashable, deadline: Deadline) -> None:
        self._turnstile = turnstile
        self._key = key
        self._deadline = deadline

    def __enter__(self) -> None:
        self._gate = self._turnstile._enter(self._key, self._deadline)

    def __exit__(self, *_: object) -> None:
        self._turnstile._leave(self._key, self._gate)


class Turnstile:
    """Lets a bounded number pass at a time, per key.

    Args:
        runtime: How to wait.
        limit: How many may be inside. None for any number.
    """

    def __init__(self, runtime: Runtime, limit: int | None = MAX_HANDSHAKES) -> None:
        self._runtime = runtime
        self._limit = limit
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start with none inside and a lock of our own, in a forked child."""
        self._lock = threading.Lock()
        # Guarded by the lock; an origin is here only while somebody is inside.
        self._gates: dict[Hashable, _Gate] = {}

    def passing(self, key: Hashable, deadline: Deadline) -> AbstractContextManager[None]:
        """Be inside for the length of a `with` block.

        Raises:
            TimeoutError: On entering: the turn did not come in time.
        """
        return nullcontext() if self._limit is None else _Turn(self, key, deadline)

    def _enter(self, key: Hashable, deadline: Deadline) -> _Gate:
        with self._lock:
            gate = self._gates.get(key)
            if gate is None:
                gate = self._gates[key] = _Gate()
            if self._limit is None or gate.inside < self._limit:
                gate.inside += 1
                return gate
            waiter = self._runtime.waiter()
            gate.line.append(waiter)
        has_turn = False
        try:
            has_turn = waiter.wait(deadline)
        finally:
            if not has_turn:
                self._give_up(key, gate, waiter)
        if not has_turn:
            raise TimeoutError("other handshakes with this origin took all the time")
        return gate

    def _give_up(self, key: Hashable, gate: _Gate, waiter: Waiter) -> None:
        with self._lock:
            if waiter in gate.line:
                gate.line.remove(waiter)
                return
        self._leave(key, gate)  # the turn came while we were leaving: it goes to the next

    def _leave(self, key: Hashable, gate: _Gate) -> None:
        with self._lock:
            if gate.line:
                gate.line.popleft().set()  # the place is handed over; the count stays
                return
            gate.inside -= 1
            if not gate.inside and self._gates.get(key) is gate:
                del self._gates[key]
