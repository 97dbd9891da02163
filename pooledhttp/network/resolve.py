"""From a host name to addresses, on threads of our own.

`getaddrinfo` blocks and cannot be told to stop, so it runs on daemon threads that nobody joins: a
caller whose deadline comes leaves, and neither the next lookup nor the interpreter's exit waits for
what he left behind. Callers who ask for the same name share one lookup (a *flight*).

    caller -> flight of that name (new or joined) -> line -> thread -> result for all who wait

    A flight's lookup counts against `max_threads` while it is fresh. One that has run for
    `SLOW_AFTER` seconds is stuck, as far as others are concerned: it counts no longer, so that a
    few names whose servers are silent do not stand in the way of all others; `HARD_LIMIT` bounds
    the threads in all. A caller who joins a stuck flight may start a second lookup, as the first
    packet may just have been lost; whichever ends first serves everybody.

A thread that finds nothing in line stays for a few seconds, since starting one costs as much CPU as
several lookups in /etc/hosts: the next lookup is handed to it under the lock. Threads are started
only when none is idle, so idle and running ones together stay below `HARD_LIMIT` too. Nothing is
cached: how long an address is good is known to the system's resolver, not to us.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from urllib3.util import connection as urllib3_connection

from pooledhttp.runtime import default_runtime, register_fork_reset
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime, Waiter

__all__ = ["Address", "Resolver", "StaticResolver", "SystemResolver", "default_resolver", "literal"]

MAX_THREADS = 16
MAX_PER_NAME = 2
#: Lookups that are answered at all are nearly always answered within this many seconds.
SLOW_AFTER = 0.25
HARD_LIMIT = 64
#: How long a thread with nothing to do stays: across the pauses of a script, no longer.
LINGER_SECONDS = 5.0
#: Threads that stay; more of them are needed only by a burst of new names, which can start them.
MAX_IDLE = 4


class Address(NamedTuple):
    """One place to dial.

    Attributes:
        family: `socket.AF_INET` or `socket.AF_INET6`.
        sockaddr: What `connect` takes.
    """

    family: int
    sockaddr: tuple[object, ...]


class Resolver(Protocol):
    """What turns names into addresses. One of your own may wait through `runtime` only."""

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`.

        Raises:
            OSError: There is no such name, or nobody could tell (`socket.gaierror`).
            TimeoutError: The deadline came first.
        """


def literal(host: str, port: int) -> Address | None:
    """The address that `host` is, when it is one; looking up a name takes a resolver.

    Args:
        host: Name, IPv4 address, or IPv6 address without brackets; a zone id is understood.
        port: TCP port.
    """
    if ":" in host:
        bare, _, zone = host.partition("%")
        # The URL form of a zone id is "%25eth0" (RFC 6874).
        zone = zone.removeprefix("25") if zone.startswith("25") and len(zone) > 2 else zone
        try:
            socket.inet_pton(socket.AF_INET6, bare)
            return Address(socket.AF_INET6, (bare, port, 0, _scope(zone)))
        except (OSError, ValueError):
            return None
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return None
    return Address(socket.AF_INET, (host, port))


def _scope(zone: str) -> int:
    if not zone:
        return 0
    return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


class StaticResolver:
    """Answers from a table first, from another resolver for the rest.

    Args:
        table: Addresses (IP literals) by name.
        fallback: Asked for names that are not in the table. None refuses them.
    """

    def __init__(self, table: dict[str, Sequence[str]], fallback: Resolver | None = None) -> None:
        self._table = {name.lower(): tuple(found) for name, found in table.items()}
        self._fallback = fallback

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`; see `Resolver`."""
        found = self._table.get(host.lower())
        if found is not None:
            return [address for one in found if (address := literal(one, port)) is not None]
        if self._fallback is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._fallback.resolve(host, port, deadline, runtime)


class _Flight:
    """A name being looked up, and who waits for it."""

    __slots__ = ("addresses", "error", "family", "host", "is_over", "lookups", "port", "waiters")

    def __init__(self, host: str, port: int, family: int) -> None:
        self.host = host
        self.port = port
        self.family = family
        self.lookups: list[_Lookup] = []
        self.waiters: list[Waiter] = []
        self.addresses: list[Address] = []
        self.error: BaseException | None = None
        self.is_over = False

    def result(self) -> list[Address]:
        if self.error is not None:
            raise self.error
        return self.addresses


class _Lookup:
    """One call of `getaddrinfo`, in line or running."""

    __slots__ = ("flight", "started_at")

    def __init__(self, flight: _Flight) -> None:
        self.flight = flight
        self.started_at: float | None = None


class _Idle:
    """A thread that waits for a lookup, which is put here before the bell is rung."""

    __slots__ = ("bell", "lookup")

    def __init__(self) -> None:
        # A thread waits here whatever the callers are, greenlets for example.
        self.bell = default_runtime().waiter()
        self.lookup: _Lookup | None = None


class SystemResolver:
    """Asks `socket.getaddrinfo`, found at the time of the call, on a bounded number of threads.

    Args:
        max_threads: Fresh lookups at a time.
        max_per_name: Lookups of one name at a time.
        linger_seconds: How long a thread waits for its next lookup.
    """

    def __init__(
        self,
        max_threads: int = MAX_THREADS,
        max_per_name: int = MAX_PER_NAME,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._max_threads = max_threads
        self._max_per_name = max_per_name
        self._linger_seconds = linger_seconds
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start with no thread and no lookup: the child has neither, and the lock may be held."""
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._flights: dict[tuple[str, int, int], _Flight] = {}
        self._line: deque[_Lookup] = deque()
        self._running: set[_Lookup] = set()
        self._idle: list[_Idle] = []

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`; see `Resolver`."""
        # urllib3 is asked for the family because that is where people switch IPv6 off.
        family = int(urllib3_connection.allowed_gai_family())
        waiter = runtime.waiter()
        flight = self._join(host, port, family, waiter, runtime.now())
        try:
            while not flight.is_over:
                # Looking up from time to time is what notices that a lookup has become slow: there
                # is no thread that could.
                self._start_threads(runtime.now())
                if not waiter.wait(deadline.sooner(SLOW_AFTER)) and deadline.expired:
                    break
        finally:
            self._leave(flight, waiter)
        if not flight.is_over:
            raise TimeoutError("the name server gave no answer in time")
        return flight.result()

    def _join(self, host: str, port: int, family: int, waiter: Waiter, now: float) -> _Flight:
        key = (host, port, family)
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = _Flight(host, port, family)
            flight.waiters.append(waiter)
            all_stuck = all(_is_slow(lookup, now) for lookup in flight.lookups)
            if all_stuck and len(flight.lookups) < self._max_per_name:
                lookup = _Lookup(flight)
                flight.lookups.append(lookup)
                self._line.append(lookup)
            return flight

    def _leave(self, flight: _Flight, waiter: Waiter) -> None:
        with self._lock:
            flight.waiters.remove(waiter)
            if flight.waiters or flight.is_over:
                return
            # Nobody wants what has not begun yet; what runs cannot be stopped.
            for lookup in [one for one in flight.lookups if one.started_at is None]:
                self._line.remove(lookup)
                flight.lookups.remove(lookup)
            if not flight.lookups:
                self._flights.pop((flight.host, flight.port, flight.family), None)

    def _start_threads(self, now: float) -> None:
        """Have all lookups run that there is room for."""
        while True:
            with self._lock:
                lookup = self._next_locked(now)
                if lookup is None:
                    return
                # The thread that was busy last: the others' time to leave comes the sooner.
                idle = self._idle.pop() if self._idle else None
                if idle is not None:
                    idle.lookup = lookup
            if idle is not None:
                idle.bell.set()
            else:
                self._start_thread(lookup)

    def _start_thread(self, lookup: _Lookup) -> None:
        thread = threading.Thread(
            target=self._run, args=(lookup,), name="pooledhttp-resolve", daemon=True
        )
        try:
            thread.start()
        except BaseException as exc:
            self._finish(lookup, [], exc)
            raise

    def _next_locked(self, now: float) -> _Lookup | None:
        """Take the first lookup in line, if there is room for it."""
        if not self._line or len(self._running) >= HARD_LIMIT:
            return None
        if len(self._running) >= self._max_threads:
            fresh = sum(not _is_slow(lookup, now) for lookup in self._running)
            if fresh >= self._max_threads:
                return None
        lookup = self._line.popleft()
        lookup.started_at = now
        self._running.add(lookup)
        return lookup

    def _run(self, lookup: _Lookup) -> None:
        """Serve one lookup after the other, on a thread of its own."""
        current: _Lookup | None = lookup
        while current is not None:
            flight = current.flight
            addresses: list[Address] = []
            error: BaseException | None = None
            began_at = current.started_at or 0.0
            try:
                addresses = _ask(flight.host, flight.port, flight.family)
            except BaseException as exc:  # it belongs to those who wait, not to this thread
                error = exc
            self._finish(current, addresses, error)
            # Whoever is idle keeps nothing alive.
            del flight, addresses, error
            current = self._take_or_linger(began_at)

    def _take_or_linger(self, now: float) -> _Lookup | None:
        """The next lookup for this thread; None when it should end."""
        with self._lock:
            lookup = self._next_locked(now)
            if lookup is not None or len(self._idle) >= MAX_IDLE:
                return lookup
            idle = _Idle()
            self._idle.append(idle)
        idle.bell.wait(Deadline.after(self._linger_seconds, default_runtime().now))
        with self._lock:
            if idle.lookup is None:
                self._idle.remove(idle)
            return idle.lookup

    def _finish(
        self, lookup: _Lookup, addresses: list[Address], error: BaseException | None
    ) -> None:
        flight = lookup.flight
        with self._lock:
            self._running.discard(lookup)
            if lookup in flight.lookups:
                flight.lookups.remove(lookup)
            if flight.is_over:
                return
            flight.addresses, flight.error, flight.is_over = addresses, error, True
            for other in [one for one in flight.lookups if one.started_at is None]:
                self._line.remove(other)
            self._flights.pop((flight.host, flight.port, flight.family), None)
            waiters = list(flight.waiters)
        for waiter in waiters:
            waiter.set()


def _is_slow(lookup: _Lookup, now: float) -> bool:
    return lookup.started_at is not None and now - lookup.started_at >= SLOW_AFTER


def _ask(host: str, port: int, family: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    unique = dict.fromkeys(
        Address(int(each[0]), tuple(each[4])) for each in found if each[0] in _FAMILIES
    )
    return list(unique)


_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_default = SystemResolver()


def default_resolver() -> SystemResolver:
    """The resolver of this process, so that its bounds hold for all sessions together."""
    return _default
