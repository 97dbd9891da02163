"""Finds functions of `socket` and urllib3 that a program has replaced.

Test tools and scripts replace them to forbid the network, to connect to another server, or to
simulate one. Under requests every replacement takes effect, so it must here as well, although we
connect in our own way. Each function below tells whether one thing is still the original.

An original is recognised by the module that defines it, not by a copy made when this module was
imported: a test tool may have been there before. gevent and eventlet also replace the socket class.
Theirs behave as the original does, and are treated as such.
"""

from __future__ import annotations

import socket
import ssl

# The C class: tools replace every name that `socket` itself has for it.
from _socket import socket as c_socket
from collections.abc import Callable
from typing import Any

import urllib3.connection
from urllib3.connection import HTTPConnection
from urllib3.util import connection as urllib3_connection
from urllib3.util import ssl_ as urllib3_tls

__all__ = [
    "default_socket_options",
    "is_connect_replaced",
    "is_getaddrinfo_replaced",
    "is_socket_mocked",
    "replaced_context_maker",
    "replaced_create_connection",
]

CreateConnection = Callable[..., socket.socket]
ContextMaker = Callable[..., ssl.SSLContext]
Options = tuple[tuple[int, int, int | bytes], ...]

_COOPERATIVE = ("gevent", "eventlet")


def _is_cooperative(function: object) -> bool:
    module = getattr(function, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _COOPERATIVE


def _is_real(made_by: object) -> bool:
    """Whether a class makes sockets of the system."""
    return isinstance(made_by, type) and issubclass(made_by, c_socket)


def _is_defined_in(function: Any, module: Any) -> bool:
    """Whether the code of a function is in `module`; `functools.wraps` cannot hide that."""
    return getattr(function, "__globals__", None) is vars(module)


_socket_class: Any = socket.socket if _is_real(socket.socket) else None
_create_connection: Any = urllib3_connection.create_connection
if not _is_defined_in(_create_connection, urllib3_connection):
    _create_connection = None
_connections: Any = urllib3.connection
_context_maker: Any = _connections.create_urllib3_context
if not _is_defined_in(_context_maker, urllib3_tls):
    _context_maker = None
_getaddrinfo: Any = socket.getaddrinfo
if not _is_defined_in(_getaddrinfo, socket):
    _getaddrinfo = None


def is_socket_mocked() -> bool:
    """Whether `socket.socket` makes objects that are no sockets of the system.

    Such objects have no descriptor to wait for, so our streams cannot use them.
    """
    made_by: object = socket.socket
    if made_by is _socket_class:
        return False
    return not (_is_real(made_by) or _is_cooperative(made_by))


def is_connect_replaced(sock: socket.socket) -> bool:
    """Whether the class of a socket has another `connect` than the system's.

    A test tool may raise there; a class for SOCKS connects to the proxy first.
    """
    connect = type(sock).connect
    return connect is not c_socket.connect and not _is_cooperative(connect)


def is_getaddrinfo_replaced() -> bool:
    """Whether `socket.getaddrinfo` is not that of the standard library."""
    found = socket.getaddrinfo
    return found is not _getaddrinfo and not _is_cooperative(found)


def replaced_create_connection() -> CreateConnection | None:
    """Return the replacement of `urllib3.util.connection.create_connection`; None if none."""
    found: CreateConnection = urllib3_connection.create_connection
    return None if found is _create_connection else found


def replaced_context_maker() -> ContextMaker | None:
    """Return the replacement of `urllib3.connection.create_urllib3_context`; None if none.

    Under that name urllib3's connections call it. Scripts replace it to speak to old servers.
    """
    found: ContextMaker = _connections.create_urllib3_context
    return None if found is _context_maker else found


def default_socket_options() -> Options:
    """Return the default options of sockets: urllib3's, which programs change in place."""
    return tuple(tuple(option) for option in HTTPConnection.default_socket_options)
