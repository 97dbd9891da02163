"""Names looked up by the operating system, on threads of our own.

`getaddrinfo` blocks and cannot be told to stop, so it runs on daemon threads that are never joined:
a caller whose deadline comes leaves, and neither the next lookup nor the interpreter's exit waits
for the lookup that was left behind. Callers that ask for the same name share one lookup (a
*flight*).

    caller   puts a call into the inbox, wakes or starts a worker, waits for the outcome
    worker   takes calls out of the inbox, looks a name up, gives the outcome to its callers

An exception can reach the caller at any point: Ctrl-C, a signal handler, a timeout that another
thread throws. So the caller takes no lock, and each of its steps is one operation on a dict, a list
or an attribute. What a step that was not reached would have done is done at the next look: callers
look every `SLOW_AFTER` seconds. The lock is taken by workers alone.

A flight's lookup counts against `max_threads` while it is fresh. One that has run for `SLOW_AFTER`
seconds is stuck, as far as others are concerned: it counts no longer, so that a few names whose
servers are silent do not stand in the way of all others; `HARD_LIMIT` bounds the threads in all. A
caller that joins a stuck flight may start a second lookup, as the first packet may just have been
lost; the one that ends first serves all callers.

A worker that finds nothing to do stays for a few seconds, since starting a thread costs as much CPU
as several lookups in /etc/hosts. Nothing is cached: how long an address is good is known to the
system's resolver, not to us.

Where no thread can be started, because of a limit or because the interpreter is ending, the name is
looked up in the thread of the caller. The deadline does not bound that.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from urllib3.util import connection as urllib3_connection

from pooledhttp.network.addresses import Address, literal
from pooledhttp.runtime import default_runtime, register_fork_reset
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime, Waiter

__all__ = ["SystemResolver", "default_resolver"]

MAX_THREADS = 16
MAX_PER_NAME = 2
#: Lookups that end at all nearly always end within this many seconds.
SLOW_AFTER = 0.25
HARD_LIMIT = 64
#: How long a thread with nothing to do stays: across the pauses of a script, no longer.
LINGER_SECONDS = 5.0
#: Threads that stay; more of them are needed only by a burst of new names, which can start them.
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
        """Return the addresses, or raise what the lookup raised."""
        error, self.error = self.error, None
        if error is None:
            return self.addresses
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


class _Flight:
    """A name being looked up, its lookups and its callers. Changed by workers alone."""

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
        """Whether it has run for so long that it no longer counts."""
        return now - self.started_at >= SLOW_AFTER


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
        # Callers put in and take out; workers take out.
        self._inbox: dict[_Call, None] = {}
        # Workers that wait for work; a caller takes one out and wakes it.
        self._idle: list[Waiter] = []
        # When a caller began to start a worker that does not run yet.
        self._starting_since: float | None = None
        # Changed by workers under their lock; callers read copies.
        self._lock = threading.Lock()
        self._flights: dict[_Key, _Flight] = {}
        self._running: set[_Lookup] = set()
        self._workers: set[int] = set()

    # ------------------------------------------------------------------ the caller's side

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`; see `Resolver`."""
        # urllib3 is asked for the family because that is where people switch IPv6 off.
        key = host, port, int(urllib3_connection.allowed_gai_family())
        # A finalizer may run in a worker, where waiting for a worker could wait for itself.
        if sys.is_finalizing() or threading.get_ident() in self._workers:
            return _ask(*key)
        if literal(host, port) is not None:  # a replaced getaddrinfo sees it; nothing is waited for
            return _ask(*key)
        call = _Call(key, runtime.waiter())
        try:
            self._inbox[call] = None
            while not call.is_over:
                # Looking from time to time is what notices that a lookup has become slow: there is
                # no thread that could.
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
        """Tell whether a worker that is woken now would begin a lookup, for any caller."""
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
        """Wake an idle worker or start one; False when no thread can be started."""
        try:
            # The worker that was busy last, so that the others leave sooner.
            idle = self._idle.pop()
        except IndexError:
            return self._start_worker()
        idle.set()
        return True

    def _start_worker(self) -> bool:
        now, since = default_runtime().now(), self._starting_since
        if since is not None and now - since < SLOW_AFTER:
            return True  # that worker will find the call, and start others if they are needed
        self._starting_since = now
        try:
            threading.Thread(target=self._serve, name="pooledhttp-resolve", daemon=True).start()
        except RuntimeError:  # a limit, or the interpreter is ending
            self._starting_since = None
            return False
        return True

    # ------------------------------------------------------------------ the worker's side

    def _serve(self) -> None:
        """Run one lookup after the other; what a thread of ours does."""
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
                del lookup  # an idle worker keeps nothing alive
        finally:
            self._workers.discard(threading.get_ident())

    def _next_or_linger(self) -> _Lookup | None:
        """Wait for a lookup to do; None when this worker is to end."""
        while True:
            with self._lock:
                lookup = self._next_locked(default_runtime().now())
                if lookup is not None or len(self._idle) >= MAX_IDLE:
                    return lookup
                # A thread waits here in any runtime, greenlets for example.
                bell = default_runtime().waiter()
                self._idle.append(bell)
            bell.wait(Deadline.after(self._linger_seconds, default_runtime().now))
            with self._lock:
                if bell in self._idle:
                    self._idle.remove(bell)
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
        except BaseException as error:  # it belongs to the callers, not to this thread
            failure = error
        for call in self._finish(lookup):
            call.addresses, call.error = addresses, failure
            call.is_over = True
            call.waiter.set()

    def _finish(self, lookup: _Lookup) -> list[_Call]:
        """End a lookup; returns the calls that it serves."""
        flight = lookup.flight
        with self._lock:
            self._running.discard(lookup)
            flight.lookups.remove(lookup)
            if self._flights.get(flight.key) is not flight:
                return []  # another lookup was faster
            del self._flights[flight.key]
            # Calls that came while this lookup ran, and that no worker has looked at.
            late = [call for call in tuple(self._inbox) if call.key == flight.key]
            for call in late:
                self._inbox.pop(call, None)
            served = [*tuple(flight.calls), *late]
            flight.calls = {}
            return served


def _ask(host: str, port: int, family: int) -> list[Address]:
    name: str | bytes = host
    if sys.is_finalizing() and host.isascii():
        name = host.encode()  # text takes the codec "idna", which can no longer be imported
    found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    unique = dict.fromkeys(
        Address(int(each[0]), tuple(each[4])) for each in found if each[0] in _FAMILIES
    )
    return list(unique)


_default = SystemResolver()


def default_resolver() -> SystemResolver:
    """Return the resolver of this process, whose bounds hold for all sessions together."""
    return _default
