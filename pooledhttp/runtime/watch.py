"""What an event loop knows of one socket, and the code that waits for it.

A socket is registered with the loop when it is first waited for, and stays registered. A callback
that finds no code waiting removes it: the readiness of sockets is level-triggered, so the loop
would spin. For writing, a socket is registered during the wait only, because an idle socket can
nearly always be written.

A socket has one timer at most. The timer is left running when a wait is over. If it goes off during
a later wait, it is set again for the deadline of that wait. So a request with a timeout leaves the
timers of the loop alone.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable
from math import inf
from typing import Protocol

from pooledhttp.runtime.alarms import LONGEST_TIMER
from pooledhttp.runtime.driven import Driven
from pooledhttp.timing import Deadline, monotonic

__all__ = ["NOW", "Readers", "Watch"]

#: A deadline that has come: to look at sockets without waiting.
NOW = Deadline(-inf, monotonic)


class Readers(Protocol):
    """How the loop learns that a socket can be read; see `readers`."""

    def add(self, watch: Watch) -> None:
        """Register the socket of a watch."""

    def remove(self, watch: Watch) -> None:
        """Undo `add`, also when the socket or the loop was closed meanwhile."""


class Watch:
    """One socket: the code that waits for it, and what the loop knows of it.

    Only the thread of the loop uses it.
    """

    __slots__ = (
        "_loop",
        "_on_dropped",
        "_readers",
        "_timer",
        "deadline",
        "fd",
        "is_read_registered",
        "is_readable",
        "is_writable",
        "is_write_registered",
        "reader",
        "socket",
        "timer_for",
        "writer",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readers: Readers,
        fd: int,
        sock: socket.socket,
        on_dropped: Callable[[Watch], None],
    ) -> None:
        self._loop = loop
        self._readers = readers
        self._on_dropped = on_dropped
        self.fd = fd
        #: Weak: a socket that is dropped closes itself, and must not be kept open here.
        self.socket: Callable[[], socket.socket | None] = weakref.ref(sock, self._dropped)
        self.reader: Driven | None = None
        self.writer: Driven | None = None
        self.is_readable = self.is_writable = False
        self.is_read_registered = self.is_write_registered = False
        #: Of the wait that is going on, or of the last one.
        self.deadline = NOW
        #: The deadline for which the timer was set; infinite without a timer.
        self.timer_for = inf
        self._timer: asyncio.TimerHandle | None = None

    # -- called by waits

    def expect(self, driven: Driven, read: bool, write: bool) -> None:
        """Have `driven` woken when the socket is ready.

        Raises:
            RuntimeError: Another greenlet waits for the same already.
        """
        if (read and self.reader not in (None, driven)) or (
            write and self.writer not in (None, driven)
        ):
            raise RuntimeError(
                "Two tasks wait for the same connection. A streamed body can be read by one task"
                " at a time."
            )
        if read:
            self.reader = driven
            self.is_readable = False
            if not self.is_read_registered:
                self._readers.add(self)
                self.is_read_registered = True
        if write:
            self.writer = driven
            self.is_writable = False
            if not self.is_write_registered:
                self._loop.add_writer(self.fd, self._on_writable)
                self.is_write_registered = True

    def set_timer(self) -> None:
        """Have the code that waits woken at `deadline`, too."""
        if self._timer is not None:
            self._timer.cancel()
        self.timer_for = self.deadline.at
        seconds = min(self.deadline.remaining(), LONGEST_TIMER)
        self._timer = self._loop.call_later(seconds, self._on_time)

    def end_wait(self) -> None:
        """Note that no code waits any more."""
        self.reader = self.writer = None
        if self.is_write_registered:
            self.is_write_registered = False
            self._loop.remove_writer(self.fd)

    def stop_reading(self) -> None:
        """Have the loop forget that the socket can be read, until code waits for it again."""
        if self.is_read_registered:
            self.is_read_registered = False
            self._readers.remove(self)

    def remove(self) -> None:
        """Have the loop forget the socket. In the thread of the loop, or when the loop is over."""
        self.socket = _no_socket  # the weak reference refers to this object
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.stop_reading()
        if self.is_write_registered and not self._loop.is_closed():
            self._loop.remove_writer(self.fd)
        self.is_write_registered = False
        for waiting in (self.reader, self.writer):  # the next operation reports the outcome
            if waiting is not None:
                self.is_readable = self.is_writable = True
                waiting.wake_soon()

    # -- called by the loop

    def on_readable(self) -> None:
        """Wake the code that waits. `EpollReaders` has the same lines."""
        driven = self.reader
        if driven is None:
            self.stop_reading()
            return
        self.is_readable = True
        driven.wake()

    def _on_writable(self) -> None:
        driven = self.writer
        if driven is not None:
            self.is_writable = True
            driven.wake()

    def _on_time(self) -> None:
        self._timer = None
        self.timer_for = inf
        driven = self.reader or self.writer
        if driven is None:
            return
        if self.deadline.expired:
            driven.wake()
        elif self.deadline.at != inf:
            self.set_timer()

    def _dropped(self, reference: object) -> None:
        self._on_dropped(self)


def _no_socket() -> None:
    """What refers to the socket of a watch that was removed."""
