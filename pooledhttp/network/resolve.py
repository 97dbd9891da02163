"""Looks names up by the operating system, on threads of its own.

`getaddrinfo` blocks and cannot be interrupted. So it runs on daemon threads that are never joined.
A caller whose deadline comes stops waiting, and its lookup goes on; neither the next lookup nor the
exit of the interpreter waits for it. Callers that ask for the same name share one lookup (a
*flight*).

    caller   puts a call into the inbox, wakes or starts a worker, waits for the result
    worker   takes calls out of the inbox, looks a name up, gives the result to its callers

An exception can be raised in the caller at any point: Ctrl-C, a signal handler, a timeout that
another thread raises. So the caller takes no lock, and each of its steps is one operation on a
dict, a list or an attribute. If a step is not reached, its work is done later: callers check every
`SLOW_AFTER` seconds what has to be done. Only workers take the lock.

A lookup counts against `max_threads` until it has run for `SLOW_AFTER` seconds. Then it is slow,
and does not count any more, so that a few names whose servers do not reply cannot block all others.
`HARD_LIMIT` is the most threads in all. A caller that joins a flight with a slow lookup may start a
second one, because perhaps only the first packet was lost. The one that ends first serves all
callers.

A worker without work stays for a few seconds, because starting a thread costs as much CPU as
several lookups in /etc/hosts. Nothing is cached: the resolver of the system knows how long an
address is valid, and we do not.

If no thread can be started, because of a limit or because the interpreter is ending, the name is
looked up in the thread of the caller. Then the deadline does not apply.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from urllib3.util import connection as urllib3_connection

from pooledhttp.network.addresses import Address, literal
from pooledhttp.runtime import default_runtime, new_lock, register_fork_reset
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime, Waiter

__all__ = ["SystemResolver", "default_resolver"]

MAX_THREADS = 16
MAX_PER_NAME = 2
#: Nearly all lookups that get a reply end within this many seconds.
SLOW_AFTER = 0.25
HARD_LIMIT = 64
#: How long a thread without work stays: longer than the usual pauses of a script.
LINGER_SECONDS = 5.0
#: How many threads stay. Only a burst of new names needs more, and starts them.
MAX_IDLE = 4

_FAMILIES = (socket.AF_INET, socket.AF_INET6)

#: Host, port and address family.
_Key = tuple[str, int, int]


class _Call:
    """One caller that waits for a name."""

    __slots__ = ("addresses", "error", "flight", "is_over", "key", "waiter")

    def __init__(self, key: _Key, waiter: Waiter) -> None:
        self.key = key
        self.waiter = waiter
        self.flight: _Flight | None = None
        self.addresses: list[Address] = []
        self.error: BaseException | None = None
        self.is_over = False

    def result(self) -> list[Address]:
        """Return the addresses, or raise the error of the lookup."""
        error, self.error = self.error, None
        if error is None:
            return self.addresses
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


class _Flight:
    """A name that is looked up, its lookups and its callers. Only workers change it."""

    __slots__ = ("calls", "key", "lookups")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.lookups: list[_Lookup] = []
        self.calls: dict[_Call, None] = {}


class _Lookup:
    """One call of `getaddrinfo`."""

    __slots__ = ("flight", "started_at")

    def __init__(self, flight: _Flight, started_at: float) -> None:
        self.flight = flight
        self.started_at = started_at

    def is_slow(self, now: float) -> bool:
        """Whether it has run for so long that it does not count any more."""
        return now - self.started_at >= SLOW_AFTER


class SystemResolver:
    """Calls `socket.getaddrinfo` on a limited number of threads. A program may replace it.

    Args:
        max_threads: Lookups at a time that are not slow.
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
        """Start with no thread and no lookup: a child has neither, and the lock may stay taken."""
        # Callers add and remove calls; workers remove them.
        self._inbox: dict[_Call, None] = {}
        # What idle workers wait for; a caller removes one and sets it.
        self._idle: list[Waiter] = []
        # When a caller began to start a worker; None once it runs.
        self._starting_since: float | None = None
        # Workers change these under their lock; callers read copies.
        self._lock = new_lock()
        self._flights: dict[_Key, _Flight] = {}
        self._running: set[_Lookup] = set()
        self._workers: set[int] = set()

    # ------------------------------------------------------------------ the caller's side

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`; see `Resolver`.

        Raises:
            TimeoutError: The deadline came first.
            socket.gaierror: The name does not exist, or no name server has replied.
        """
        # urllib3 is asked for the family, because programs switch IPv6 off there.
        key = host, port, int(urllib3_connection.allowed_gai_family())
        # A finalizer may run in a worker: it must not wait for a worker, perhaps for itself.
        if sys.is_finalizing() or threading.get_ident() in self._workers:
            return _ask(*key)
        if literal(host, port) is not None:  # does not block; a replaced getaddrinfo must see it
            return _ask(*key)
        call = _Call(key, runtime.waiter())
        try:
            self._inbox[call] = None
            while not call.is_over:
                # Callers check from time to time whether a lookup has become slow, because no other
                # thread does.
                if self._needs_worker(runtime.now()) and not self._wake_worker():
                    return _ask(*key)
                if not call.waiter.wait(deadline.sooner(SLOW_AFTER)) and deadline.expired:
                    break
        finally:
            self._inbox.pop(call, None)
            flight = call.flight
            if flight is not None:
                flight.calls.pop(call, None)
        if not call.is_over:
            raise TimeoutError("the name server sent no reply in time")
        return call.result()

    def _needs_worker(self, now: float) -> bool:
        """Return whether a worker that is woken now would begin a lookup, for any caller."""
        if not self._inbox or not self._has_room(now):
            return False
        flights = (self._flights.get(call.key) for call in tuple(self._inbox))
        return any(flight is None or self._needs_another(flight, now) for flight in flights)

    def _needs_another(self, flight: _Flight, now: float) -> bool:
        lookups = tuple(flight.lookups)
        return len(lookups) < self._max_per_name and all(one.is_slow(now) for one in lookups)

    def _has_room(self, now: float) -> bool:
        running = tuple(self._running)
        if len(running) < self._max_threads:
            return True
        fresh = sum(not lookup.is_slow(now) for lookup in running)
        return fresh < self._max_threads and len(running) < HARD_LIMIT

    def _wake_worker(self) -> bool:
        """Wake an idle worker or start one; False if no thread can be started."""
        try:
            # The one that worked last, so that the others end sooner.
            idle = self._idle.pop()
        except IndexError:
            return self._start_worker()
        idle.set()
        return True

    def _start_worker(self) -> bool:
        now, since = default_runtime().now(), self._starting_since
        if since is not None and now - since < SLOW_AFTER:
            return True  # that worker finds the call, and starts others if they are needed
        self._starting_since = now
        try:
            threading.Thread(target=self._serve, name="pooledhttp-resolve", daemon=True).start()
        except RuntimeError:  # a limit, or the interpreter is ending
            self._starting_since = None
            return False
        return True

    # ------------------------------------------------------------------ the worker's side

    def _serve(self) -> None:
        """Run one lookup after the other, in a thread of our own."""
        self._starting_since = None
        self._workers.add(threading.get_ident())
        try:
            while True:
                lookup = self._next_or_linger()
                if lookup is None:
                    return
                if self._needs_worker(default_runtime().now()):
                    self._wake_worker()
                self._run(lookup)
                del lookup  # an idle worker must not keep it alive
        finally:
            self._workers.discard(threading.get_ident())

    def _next_or_linger(self) -> _Lookup | None:
        """Wait for a lookup to run; None if this worker is to end."""
        while True:
            with self._lock:
                lookup = self._next_locked(default_runtime().now())
                if lookup is not None or len(self._idle) >= MAX_IDLE:
                    return lookup
                # It waits by the runtime for threads, whatever runtime the callers have.
                waiter = default_runtime().waiter()
                self._idle.append(waiter)
            waiter.wait(Deadline.after(self._linger_seconds, default_runtime().now))
            with self._lock:
                if waiter in self._idle:
                    self._idle.remove(waiter)
                    return None

    def _next_locked(self, now: float) -> _Lookup | None:
        """Give calls to their flights, and begin at most one lookup."""
        begun: _Lookup | None = None
        has_room = self._has_room(now)
        for call in tuple(self._inbox):
            flight = self._flights.get(call.key)
            if flight is None or self._needs_another(flight, now):
                if begun is not None or not has_room:
                    continue  # for the next worker
                if flight is None:
                    flight = self._flights[call.key] = _Flight(call.key)
                begun = _Lookup(flight, now)
                flight.lookups.append(begun)
                self._running.add(begun)
            flight.calls[call] = None
            call.flight = flight
            self._inbox.pop(call, None)
        return begun

    def _run(self, lookup: _Lookup) -> None:
        addresses: list[Address] = []
        failure: BaseException | None = None
        try:
            addresses = _ask(*lookup.flight.key)
        except BaseException as error:  # the callers get it
            failure = error
        for call in self._finish(lookup):
            call.addresses, call.error = addresses, failure
            call.is_over = True
            call.waiter.set()

    def _finish(self, lookup: _Lookup) -> list[_Call]:
        """End a lookup; return the calls that it serves."""
        flight = lookup.flight
        with self._lock:
            self._running.discard(lookup)
            flight.lookups.remove(lookup)
            if self._flights.get(flight.key) is not flight:
                return []  # another lookup was faster
            del self._flights[flight.key]
            # Calls that came while this lookup ran, and that no worker has seen.
            late = [call for call in tuple(self._inbox) if call.key == flight.key]
            for call in late:
                self._inbox.pop(call, None)
            served = [*tuple(flight.calls), *late]
            flight.calls = {}
            return served


def _ask(host: str, port: int, family: int) -> list[Address]:
    name: str | bytes = host
    if sys.is_finalizing() and host.isascii():
        name = host.encode()  # a str needs the codec "idna", which cannot be imported any more
    found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    unique = dict.fromkeys(
        Address(int(each[0]), tuple(each[4])) for each in found if each[0] in _FAMILIES
    )
    return list(unique)


_default = SystemResolver()


def default_resolver() -> SystemResolver:
    """Return the resolver of this process, whose limits apply to all sessions together."""
    return _default
