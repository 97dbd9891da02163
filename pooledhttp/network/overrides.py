"""What other programs have put in the place of `socket`'s and urllib3's functions.

Test tools and scripts replace parts of these modules: to forbid the network, to connect somewhere
else, to mock it. Under requests each replacement takes effect, so it has to here, although the
dialling is our own. Each function below tells whether one thing is still the original.

The originals are recognised by what they are, not by what was found when this module was imported:
a test tool may have come first. gevent and eventlet replace the socket class too; theirs behave as
the original does and count as it.
"""

from __future__ import annotations

import socket

# The C class: tools replace every name that `socket` itself has for it.
from _socket import socket as c_socket
from collections.abc import Callable
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.util import connection as urllib3_connection

__all__ = [
    "default_socket_options",
    "is_connect_replaced",
    "is_getaddrinfo_replaced",
    "is_socket_mocked",
    "replaced_create_connection",
]

CreateConnection = Callable[..., socket.socket]
Options = tuple[tuple[int, int, int | bytes], ...]

_COOPERATIVE = ("gevent", "eventlet")


def _is_cooperative(function: object) -> bool:
    module = getattr(function, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _COOPERATIVE


def _is_real(made_by: object) -> bool:
    """Whether this class makes sockets of the system."""
    return isinstance(made_by, type) and issubclass(made_by, c_socket)


def _defined_here(function: Any, module: Any) -> bool:
    """Whether a function's code is in `module`, whatever `functools.wraps` made it look like."""
    return getattr(function, "__globals__", None) is vars(module)


_socket_class: Any = socket.socket if _is_real(socket.socket) else None
_create_connection: Any = urllib3_connection.create_connection
if not _defined_here(_create_connection, urllib3_connection):
    _create_connection = None
_getaddrinfo: Any = socket.getaddrinfo
if not _defined_here(_getaddrinfo, socket):
    _getaddrinfo = None


def is_socket_mocked() -> bool:
    """Whether `socket.socket` makes objects that are no sockets of the system.

    Such objects have no descriptor to wait for, so that our streams cannot use them.
    """
    made_by: object = socket.socket
    if made_by is _socket_class:
        return False
    return not (_is_real(made_by) or _is_cooperative(made_by))


def is_connect_replaced(sock: socket.socket) -> bool:
    """Whether `connect` of this socket's class is not the system's.

    A guard may raise there; a class for SOCKS connects to the proxy and talks to it.
    """
    connect = type(sock).connect
    return connect is not c_socket.connect and not _is_cooperative(connect)


def is_getaddrinfo_replaced() -> bool:
    """Whether `socket.getaddrinfo` is not the standard library's."""
    found = socket.getaddrinfo
    return found is not _getaddrinfo and not _is_cooperative(found)


def replaced_create_connection() -> CreateConnection | None:
    """What stands in the place of `urllib3.util.connection.create_connection`; None if nothing."""
    found: CreateConnection = urllib3_connection.create_connection
    return None if found is _create_connection else found


def default_socket_options() -> Options:
    """The options of sockets for which none are given: urllib3's, which programs alter in place."""
    return tuple(tuple(option) for option in HTTPConnection.default_socket_options)
