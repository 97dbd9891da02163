"""What a runtime is: the few ways in which code may wait, and nothing else.

A wait takes a `Deadline` and tells by its result whether the deadline came first; only
`call_blocking` raises, since it has a result of its own to give. No lock may be held across a wait:
on a runtime of greenlets another piece of code runs in the same thread meanwhile.

What may be called from where:

    set                                          anywhere: threads, finalizers, signal handlers
    forget, close_socket, now, current, waiter   any thread
    the rest                                     code that runs on this runtime
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pooledhttp.timing import Deadline

__all__ = ["Interest", "Runtime", "Task", "Waiter", "check_runtime"]

T = TypeVar("T")


class Interest(NamedTuple):
    """One socket to be watched by `Runtime.wait_any`, and for what."""

    sock: socket.socket
    read: bool
    write: bool


class Waiter(Protocol):
    """A flag that is raised once and can be waited for."""

    def set(self) -> None:
        """Raise the flag. Never blocks, never fails; a second time changes nothing."""

    def wait(self, deadline: Deadline) -> bool:
        """Wait for the flag.

        Returns:
            True when it is up, False when the deadline came first. A flag raised at the moment of
            the deadline may be missed: look at `is_set` under the lock that guards what it means.
        """

    @property
    def is_set(self) -> bool:
        """Whether the flag is up."""


class Task(Protocol):
    """Something started by `Runtime.spawn`."""

    @property
    def done(self) -> bool:
        """Whether it has ended, with or without an error."""

    def join(self, deadline: Deadline) -> bool:
        """Wait for its end; False when the deadline came first."""


class Runtime(Protocol):
    """How the code of a session waits; see the module's text for what may be called from where."""

    name: str

    def now(self) -> float:
        """Return seconds on the runtime's monotonic clock."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass; zero or less lets others run, if there are any."""

    def waiter(self) -> Waiter:
        """Make a flag that any thread may raise and code on this runtime may wait for."""

    def wait(
        self, sock: socket.socket, read: bool, write: bool, deadline: Deadline
    ) -> tuple[bool, bool]:
        """Wait until a socket can be read or written.

        Returns:
            Whether it can be read and written, as far as that was asked for; both False when the
            deadline came first. An error or a hangup counts as everything that was asked for, and
            so does a closed socket: the next operation tells what it is.
        """

    def wait_any(self, interests: Sequence[Interest], deadline: Deadline) -> list[int]:
        """Wait until one of several sockets is ready.

        Returns:
            The indexes in `interests` of those that are, in order; empty when the deadline came
            first.
        """

    def call_blocking(self, fn: Callable[[], T], deadline: Deadline) -> T:
        """Run something that blocks and knows no deadline, perhaps on another thread.

        Raises:
            TimeoutError: The deadline came first. `fn` is abandoned: it may still run to its end,
                and what it returns or raises then is dropped.
        """

    def spawn(self, fn: Callable[[], None], name: str) -> Task:
        """Run `fn` beside the caller. It does not keep the interpreter alive."""

    def forget(self, sock: socket.socket) -> None:
        """Drop all that is kept for a socket that is about to be detached."""

    def close_socket(self, sock: socket.socket) -> None:
        """Close a socket, and drop all that is kept for it. Never waits; may raise OSError."""

    def current(self) -> object:
        """Return a key that is the same for all code of one thread, or of one greenlet."""


def check_runtime(runtime: object) -> None:
    """Check a `runtime` argument, which may be None.

    Raises:
        TypeError: It has not the methods of a `Runtime`.
    """
    if not (runtime is None or callable(getattr(runtime, "wait_any", None))):
        raise TypeError(f"runtime must have the methods of Runtime, not be {runtime!r}")
