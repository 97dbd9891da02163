"""A runtime whose waits can all be ended at once, by another thread.

A bulk run that is closed early must not leave its workers to finish requests whose results are not
wanted; some of them wait for a server that sends nothing. Everything in the layers below waits
through its `Runtime`, so that is where a worker can be reached. `HaltableRuntime` wraps another
runtime. Once `halt` is called, every present and every later wait raises `Halted`.
The code that waits sees what it sees at Ctrl-C: a `BaseException` out of a wait, on which it ends
its lease and closes its connection.

A wait for a response, the most frequent one, is ended by shutting its socket down for reading,
which makes it readable: nothing but the socket itself is polled. Waits for several sockets, or
until one can be written, have one socket more to wait for, an end of a pair that becomes readable
on `halt` and stays so. Other waits are ended through their waiter. Work given to `call_blocking` (a
name lookup) cannot be reached; its caller is stopped as soon as it returns or its deadline passes.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from pooledhttp.runtime import Interest, Runtime, Task, Waiter
from pooledhttp.timing import Deadline

__all__ = ["Haltable", "HaltableRuntime", "Halted"]

T = TypeVar("T")


class Halted(BaseException):
    """Raised by a wait after `halt`: the work is not wanted any more."""


class Haltable(Runtime, Protocol):
    """A `Runtime` whose waits can be ended."""

    @property
    def is_halted(self) -> bool:
        """Whether its waits were ended."""

    def check(self) -> None:
        """Raise what ends later waits, if they were ended."""


class _HaltableWaiter:
    """A waiter that `halt` wakes too."""

    __slots__ = ("_inner", "_runtime")

    def __init__(self, runtime: HaltableRuntime, inner: Waiter) -> None:
        self._runtime = runtime
        self._inner = inner

    @property
    def is_set(self) -> bool:
        return self._inner.is_set

    def set(self) -> None:
        self._inner.set()

    def wait(self, deadline: Deadline) -> bool:
        waiting = self._runtime._waiting
        waiting.add(self._inner)
        try:
            self._runtime.check()
            was_set = self._inner.wait(deadline)
            self._runtime.check()
            return was_set
        finally:
            waiting.discard(self._inner)


class HaltableRuntime:
    """A `Runtime` over another one, for work that may be stopped.

    Args:
        inner: The runtime that does the waiting.
    """

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner
        self.name = inner.name
        self.now = inner.now
        self.spawn = inner.spawn
        self.forget = inner.forget
        self.close_socket = inner.close_socket
        self.current = inner.current
        self._is_halted = False
        # Added to and discarded from by any thread. Each of these, and the copy that `halt` takes,
        # is one step of the interpreter, so there is no lock that a finalizer calling `halt` could
        # find held.
        self._waiting: set[Waiter] = set()
        #: Sockets that are waited for until they can be read.
        self._reading: set[socket.socket] = set()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._wake_interest = Interest(self._wake_reader, True, False)

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self._is_halted

    def halt(self) -> None:
        """End all waits, now and from now on. Never blocks; may be called from anywhere."""
        if self._is_halted:
            return
        self._is_halted = True
        # Closing the other end makes this one readable for good.
        self._wake_writer.close()
        for waiter in list(self._waiting):
            waiter.set()
        for sock in list(self._reading):
            # Not `sock.shutdown`: that of a TLS socket ends its TLS, which its thread may be using.
            with contextlib.suppress(OSError):
                socket.SocketType.shutdown(sock, socket.SHUT_RD)

    def close(self) -> None:
        """Close the pair of sockets. Only when halted, and when nothing waits any more."""
        self.halt()
        if self._wake_reader.fileno() >= 0:
            self._inner.forget(self._wake_reader)
            self._wake_reader.close()

    def check(self) -> None:
        """Raise `Halted` if `halt` was called."""
        if self._is_halted:
            raise Halted

    def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        self.waiter().wait(Deadline.after(seconds, self.now))

    def waiter(self) -> Waiter:
        """Return a waiter that `halt` wakes, too."""
        return _HaltableWaiter(self, self._inner.waiter())

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Wait until a socket is ready; returns for what."""
        if not write and isinstance(sock, socket.SocketType):
            return self._wait_to_read(sock, deadline)
        ready = self.wait_any((Interest(sock, read, write),), deadline)
        if not ready:
            return False, False
        if read and write:
            return self._inner.wait(sock, True, True, Deadline.after(0.0, self.now))
        return read, write

    def _wait_to_read(self, sock: socket.socket, deadline: Deadline) -> tuple[bool, bool]:
        self._reading.add(sock)  # before the check: `halt` sets the flag before it looks
        try:
            self.check()
            ready = self._inner.wait(sock, True, False, deadline)
            self.check()
            return ready
        finally:
            self._reading.discard(sock)

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        """Wait until one of several sockets is ready; returns which."""
        self.check()
        ready = self._inner.wait_any((*interests, self._wake_interest), deadline)
        self.check()
        return ready

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Call a function that blocks, and return its value."""
        self.check()
        value = self._inner.call_blocking(fn, deadline)
        self.check()
        return value


def _is_a_runtime(runtime: HaltableRuntime, task: Task) -> Haltable:
    """For the type checker alone: what the session is given is a `Runtime`."""
    return runtime
