"""Makes non-blocking sockets, sets their options, and connects them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from pooledhttp.network.addresses import Address
from pooledhttp.network.overrides import (
    CreateConnection,
    default_socket_options,
    is_connect_replaced,
)
from pooledhttp.network.route import DEFAULT_OPTIONS
from pooledhttp.network.stream import close_socket
from pooledhttp.timing import Deadline

if TYPE_CHECKING:
    from pooledhttp.network.route import KeepAlive, SocketOptions
    from pooledhttp.runtime import Runtime

__all__ = ["Attempt", "connect_by", "connect_unix"]

#: `connect` has begun and is not finished.
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EINTR)
#: First and longest pause, in seconds, between two tries at a Unix socket whose queue is full.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class Attempt:
    """One attempt to connect to an address.

    Args:
        address: The address.
        options: Set before connecting: the size of the receive buffer, for example, decides what
            the handshake of TCP offers.
        runtime: How a replaced `connect` blocks. The system's `connect` only begins.
        deadline: Limits a replaced `connect`.

    Raises:
        OSError: The socket could not be made, or connecting failed at once.
    """

    __slots__ = ("address", "is_connected", "sock")

    def __init__(
        self, address: Address, options: SocketOptions, runtime: Runtime, deadline: Deadline
    ) -> None:
        self.address = address
        self.is_connected = False
        self.sock = _prepared(address.family, options)
        if is_connect_replaced(self.sock):
            connect_by_replacement(self.sock, address.sockaddr, runtime, deadline)
            self.is_connected = True
        try:
            self._begin()
        except BaseException:
            self.sock.close()
            raise

    def _begin(self) -> None:
        if not self.is_connected:
            code = self.sock.connect_ex(self.address.sockaddr)
            self.is_connected = code == 0
            if code not in (0, *_UNDER_WAY):
                raise OSError(code, os.strerror(code))
        if self.is_connected:
            self._refuse_self()

    def finish(self) -> None:
        """Find out, once the socket is writable, whether it is connected.

        Raises:
            OSError: It failed.
        """
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.is_connected = True
        self._refuse_self()

    def _refuse_self(self) -> None:
        # If a free port of this machine is dialled, the kernel may choose the same port as the
        # local one. Then the socket is connected to itself, and reads what it has written.
        if self.sock.getsockname() == self.sock.getpeername():
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def connect_by_replacement(
    sock: socket.socket, address: Any, runtime: Runtime, deadline: Deadline
) -> None:
    """Call a replaced `connect`, which blocks: on an event loop in a worker thread.

    Args:
        sock: Non-blocking before and after the call. It is closed if this fails. If the caller was
            cancelled, it is closed when `connect` has returned, which uses it until then.
        address: The argument of `connect`.
        runtime: How to wait.
        deadline: Becomes the timeout of the socket during the call.

    Raises:
        OSError: It failed; `TimeoutError` if the deadline came first.
        Exception: A replacement may raise any other error to forbid the connection.
    """

    def connect() -> socket.socket:
        try:
            if deadline.expired:
                raise TimeoutError("no time was left to connect")
            sock.settimeout(None if deadline.at == inf else deadline.remaining())
            sock.connect(address)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    _call_and_close_late(connect, runtime)


def _prepared(family: int, options: SocketOptions) -> socket.socket:
    """Make a socket that is ready to connect."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        _prepare(sock, options)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket, options: SocketOptions) -> None:
    sock.setblocking(False)
    for option in _options_to_set(options):
        # A Unix socket does not need the options of TCP, and may refuse them.
        if sock.family != _AF_UNIX or option[0] == socket.SOL_SOCKET:
            sock.setsockopt(*option)
    if sock.family == _AF_UNIX:
        return
    if options.keepalive is not None:
        _keep_alive(sock, options.keepalive)
    if options.source_address is not None:
        sock.bind(options.source_address)


def _options_to_set(options: SocketOptions) -> Sequence[tuple[int, int, int | bytes]]:
    given = options.options
    return default_socket_options() if given == DEFAULT_OPTIONS.options else given


def _keep_alive(sock: socket.socket, settings: KeepAlive) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle_name = "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE"
    for name, value in (
        (idle_name, settings.idle_seconds),
        ("TCP_KEEPINTVL", settings.interval_seconds),
        ("TCP_KEEPCNT", settings.probes),
    ):
        if hasattr(socket, name):  # not every platform has all three
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


_AF_UNIX: Any = getattr(socket, "AF_UNIX", None)


def connect_by(
    create_connection: CreateConnection,
    host: str,
    port: int,
    options: SocketOptions,
    runtime: Runtime,
    deadline: Deadline,
) -> socket.socket:
    """Connect with the function by which a program has replaced urllib3's `create_connection`.

    It is called as urllib3 calls it, and blocks. On threads it runs in the thread of the caller, on
    an event loop in a worker thread.

    Args:
        create_connection: The replacement.
        host: Name or address; the replacement looks it up.
        port: TCP port.
        options: Socket settings.
        runtime: How to wait.
        deadline: Becomes the `timeout` that is passed.

    Raises:
        OSError: It failed; `TimeoutError` if the deadline came first.
        Exception: A replacement may raise any other error to forbid the connection.
    """
    if deadline.expired:
        raise TimeoutError("no time was left to connect")

    def connect() -> socket.socket:
        return create_connection(
            (host, port),
            None if deadline.at == inf else deadline.remaining(),
            source_address=options.source_address,
            socket_options=list(_options_to_set(options)),
        )

    sock = _call_and_close_late(connect, runtime)
    sock.setblocking(False)
    if options.keepalive is not None:
        _keep_alive(sock, options.keepalive)
    return sock


def _call_and_close_late(connect: Callable[[], socket.socket], runtime: Runtime) -> socket.socket:
    """Return the socket that `connect` returns; close it if the caller has stopped waiting."""
    made: list[socket.socket] = []
    is_abandoned = False

    def call() -> None:
        made.append(connect())
        if is_abandoned:
            close()

    def close() -> None:
        with contextlib.suppress(IndexError):  # the other thread was faster
            made.pop().close()

    try:
        # No deadline here: with one, a worker would run it on threads as well. `connect` has one.
        runtime.call_blocking(call, Deadline.never(runtime.now))
    except BaseException:
        is_abandoned = True
        close()
        raise
    return made.pop()


def connect_unix(
    path: str, options: SocketOptions, runtime: Runtime, deadline: Deadline
) -> socket.socket:
    """Connect to a Unix socket.

    Args:
        path: The path of the socket.
        options: Socket settings; those of TCP are not used.
        runtime: How to wait.
        deadline: When to give up.

    Raises:
        OSError: No socket listens there, or the path is too long for the system.
        TimeoutError: The listener did not accept in time.
    """
    if _AF_UNIX is None:
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    sock = _prepared(_AF_UNIX, options)
    if is_connect_replaced(sock):
        connect_by_replacement(sock, path, runtime, deadline)
        return sock
    try:
        pause = _SHORTEST_PAUSE
        while (code := sock.connect_ex(path)) == errno.EAGAIN:
            # The listener's queue is full. Unlike with TCP, connecting has not begun, so there is
            # nothing that `poll` could wait for.
            if deadline.expired:
                raise TimeoutError("the queue of the Unix socket stayed full")
            runtime.sleep(min(pause, deadline.remaining()))
            pause = min(pause * 2, _LONGEST_PAUSE)
        if code:
            raise OSError(code, os.strerror(code), path)
    except BaseException:
        close_socket(sock, runtime)
        raise
    return sock
