"""Asking the operating system which sockets are ready.

`poll` where there is one: it has no limit on descriptor numbers, and unlike `epoll` it needs no
descriptor of its own. `select` elsewhere (Windows). `poll_one` and `poll_any` make one object per
call: that costs less than finding one kept for this thread, which would have to be told of every
closed socket. A connection, which is read again and again, keeps one of its own (`reading_poll`).

`poll` counts in whole milliseconds. They are rounded up: rounded down, the last part of a
millisecond would be a busy loop.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from math import ceil, inf
from types import BuiltinFunctionType
from typing import Protocol

from pooledhttp.runtime.base import Interest
from pooledhttp.timing import Deadline

__all__ = [
    "HAS_POLL",
    "Poll",
    "poll_any",
    "poll_one",
    "poll_until",
    "reading_poll",
    "select_any",
    "select_one",
]

HAS_POLL = hasattr(select, "poll")

if HAS_POLL:
    # Not POLLPRI: a byte of urgent data would make the socket look readable for good, while recv()
    # has nothing to give.
    _IN = select.POLLIN
    _OUT = select.POLLOUT
    #: The system reports these unasked.
    _TROUBLE = select.POLLERR | select.POLLHUP | select.POLLNVAL

#: poll() takes a C int. Longer waits (24 days) are asked for again.
_MOST_MS = 2**31 - 1
_MOST_SECONDS = _MOST_MS / 1000


def poll_one(sock: socket.socket, read: bool, write: bool, deadline: Deadline) -> tuple[bool, bool]:
    """Wait for one socket; see `Runtime.wait`."""
    fd = sock.fileno()
    if fd < 0:
        return read, write
    poller = select.poll()
    if not write:  # nearly every wait of a request is for the response
        poller.register(fd, _IN)
        if deadline.at == inf:  # the line of `_poll`, without the call
            return bool(poller.poll()), False
        return bool(poll_until(poller, deadline)), False
    poller.register(fd, _IN | _OUT if read else _OUT)
    events = poll_until(poller, deadline)
    if not events:
        return False, False
    mask = events[0][1]
    return read and bool(mask & (_IN | _TROUBLE)), bool(mask & (_OUT | _TROUBLE))


def poll_any(interests: Sequence[Interest], deadline: Deadline) -> list[int]:
    """Wait for one of several sockets; see `Runtime.wait_any`."""
    wanted = [(each.sock.fileno(), _mask(each)) for each in interests]
    closed = [index for index, (fd, _) in enumerate(wanted) if fd < 0]
    if closed:
        return closed
    masks: dict[int, int] = {}  # one socket may be there twice
    for fd, mask in wanted:
        masks[fd] = masks.get(fd, 0) | mask
    poller = select.poll()
    for fd, mask in masks.items():
        poller.register(fd, mask)
    ready = dict(poll_until(poller, deadline))
    return [i for i, (fd, mask) in enumerate(wanted) if ready.get(fd, 0) & (mask | _TROUBLE)]


def _mask(interest: Interest) -> int:
    return (_IN if interest.read else 0) | (_OUT if interest.write else 0)


class Poll(Protocol):
    """A `select.poll` object."""

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait up to `timeout` milliseconds, `None` forever; return the events."""


def reading_poll(sock: socket.socket) -> Poll | None:
    """Make a poll object for the reads of one socket; `None` if it could not be kept.

    gevent and others put a class in the place of `select.poll`, whose objects belong to one thread.
    """
    fd = sock.fileno()
    if fd < 0 or not HAS_POLL or type(select.poll) is not BuiltinFunctionType:
        return None
    kept = select.poll()
    kept.register(fd, _IN)
    return kept  # type: ignore[no-any-return]


def poll_until(poller: Poll, deadline: Deadline) -> list[tuple[int, int]]:
    """Wait until one of the sockets of a poll object is ready; return its events."""
    # A signal handler that returns does not end the wait: poll() goes on with what time is left.
    if deadline.at == inf:
        return poller.poll()
    left = deadline.remaining()
    while left > _MOST_SECONDS:
        if events := poller.poll(_MOST_MS):
            return events
        left = deadline.remaining()
    return poller.poll(ceil(left * 1000))


def select_one(
    sock: socket.socket, read: bool, write: bool, deadline: Deadline
) -> tuple[bool, bool]:
    """As `poll_one`, by select()."""
    if sock.fileno() < 0:
        return read, write
    readable, writable = _select([sock] if read else [], [sock] if write else [], deadline)
    return bool(readable), bool(writable)


def select_any(interests: Sequence[Interest], deadline: Deadline) -> list[int]:
    """As `poll_any`, by select()."""
    closed = [index for index, each in enumerate(interests) if each.sock.fileno() < 0]
    if closed:
        return closed
    reads = [each.sock for each in interests if each.read]
    writes = [each.sock for each in interests if each.write]
    readable, writable = _select(reads, writes, deadline)
    return [
        index
        for index, each in enumerate(interests)
        if (each.read and each.sock in readable) or (each.write and each.sock in writable)
    ]


def _select(
    reads: list[socket.socket], writes: list[socket.socket], deadline: Deadline
) -> tuple[list[socket.socket], list[socket.socket]]:
    left = deadline.remaining()
    timeout = None if left == inf else min(left, _MOST_SECONDS)
    # Windows reports a refused connection as exceptional, not as writable.
    readable, writable, troubled = select.select(reads, writes, writes, timeout)
    return readable, writable + troubled
