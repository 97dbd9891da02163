"""Connects to the address of a host that accepts first (RFC 8305, "Happy Eyeballs").

Addresses are tried in the order of the resolver, with IPv6 and IPv4 in turn. Each attempt begins
250 ms after the one before it, or at once if that one has failed. Earlier attempts go on meanwhile.
The first socket that connects is used, and the others are closed. So broken IPv6 costs a quarter of
a second, and not the minutes of the kernel's timeout. There are no threads: all sockets are
non-blocking, and one call waits for all of them.

    to try ──start──> in flight ──writable, no error──> won
                          └──error──> failed (next one starts at once)
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pooledhttp.network.addresses import Address
from pooledhttp.network.dial import Attempt
from pooledhttp.network.stream import close_socket
from pooledhttp.runtime import Interest, remove_tracebacks

if TYPE_CHECKING:
    from pooledhttp.network.route import SocketOptions
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["AllFailed", "interleave", "race"]

#: RFC 8305, section 5: the recommended delay between attempts.
ATTEMPT_DELAY = 0.25


class AllFailed(OSError):
    """All attempts to connect have failed.

    Attributes:
        failures: The addresses and their errors, in the order in which they failed.
    """

    def __init__(self, failures: Sequence[tuple[Address, OSError]]) -> None:
        last = failures[-1][1] if failures else OSError("there is no address")
        super().__init__(*last.args)
        self.failures = tuple(failures)

    def __reduce__(self) -> tuple[type[AllFailed], tuple[object]]:
        return AllFailed, (self.failures,)  # OSError would rebuild it from its two arguments


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Order addresses so that their families alternate, the family of the first one first."""
    if len(addresses) < 2:
        return list(addresses)
    by_family: dict[int, deque[Address]] = {}
    for address in addresses:
        by_family.setdefault(address.family, deque()).append(address)
    ordered: list[Address] = []
    while len(ordered) < len(addresses):
        for queue in by_family.values():
            if queue:
                ordered.append(queue.popleft())
    return ordered


def race(
    addresses: Sequence[Address],
    options: SocketOptions,
    runtime: Runtime,
    deadline: Deadline,
    delay: float = ATTEMPT_DELAY,
) -> socket.socket:
    """Connect to the address that accepts first.

    Args:
        addresses: In order of preference.
        options: Socket settings.
        runtime: How to wait.
        deadline: Shared by all attempts.
        delay: Seconds between the starts of two attempts.

    Raises:
        AllFailed: Every attempt has failed.
        TimeoutError: No address accepted in time.
    """
    attempts = _Race(interleave(addresses), options, runtime)
    try:
        return attempts.run(deadline, delay)
    finally:
        attempts.close_all()


class _Race:
    """The attempts of one dial."""

    def __init__(
        self, addresses: Sequence[Address], options: SocketOptions, runtime: Runtime
    ) -> None:
        self._to_try = deque(addresses)
        self._options = options
        self._runtime = runtime
        self._in_flight: list[Attempt] = []
        self._failures: list[tuple[Address, OSError]] = []

    def run(self, deadline: Deadline, delay: float) -> socket.socket:
        while self._to_try or self._in_flight:
            if self._to_try:
                self._start(deadline)
            step = deadline.sooner(delay) if self._to_try else deadline
            winner = self._wait(step)
            if winner is not None:
                return winner
            if deadline.expired and self._in_flight:
                raise TimeoutError("no address accepted in time")
        raise AllFailed(self._failures)

    def _start(self, deadline: Deadline) -> None:
        address = self._to_try.popleft()
        try:
            self._in_flight.append(Attempt(address, self._options, self._runtime, deadline))
        except TimeoutError as error:
            if deadline.expired:
                raise
            self._note(address, error)
        except OSError as error:
            self._note(address, error)
        except (OverflowError, ValueError) as error:  # an impossible port or scope
            self._note(address, OSError(str(error)))

    def _note(self, address: Address, failure: OSError) -> None:
        # The frames of its traceback refer to this object.
        self._failures.append((address, remove_tracebacks(failure)))

    def _wait(self, step: Deadline) -> socket.socket | None:
        """Wait until a socket connects or fails, or it is time for the next address.

        Returns:
            The socket that has connected; None if there is none yet.
        """
        for attempt in self._in_flight:
            if attempt.is_connected:
                return self._won(attempt)
        if not self._in_flight:
            return None
        interests = [Interest(attempt.sock, False, True) for attempt in self._in_flight]
        ready = [self._in_flight[index] for index in self._runtime.wait_any(interests, step)]
        for attempt in ready:
            try:
                attempt.finish()
            except OSError as error:
                self._note(attempt.address, error)
                self._in_flight.remove(attempt)
                close_socket(attempt.sock, self._runtime)
            else:
                return self._won(attempt)
        return None

    def _won(self, attempt: Attempt) -> socket.socket:
        self._in_flight.remove(attempt)
        return attempt.sock

    def close_all(self) -> None:
        while self._in_flight:
            close_socket(self._in_flight.pop().sock, self._runtime)
