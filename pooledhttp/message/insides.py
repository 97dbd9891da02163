"""What programs look for inside a response: http.client's and urllib3's private parts.

Public code reads `raw._fp.fp.read1` to have live events at once, `raw.connection.sock` and
`raw._fp.fp.raw._sock` to learn the peer's address or certificate, and
`raw._original_response.getheader`. The objects here stand for those parts. Each is made when it is
asked for, refers to the body reader, and is referred to by none of them, so that a dropped response
is still reclaimed at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pooledhttp.message.reader import Reader

__all__ = [
    "BodyFile",
    "ConnectionAttribute",
    "HeldConnection",
    "OriginalResponse",
    "read_line",
]


class BodyFile:
    """Stands for the buffered file of a socket, which http.client's response has as `fp`.

    It reads the body without its framing: where a body comes in chunks, http.client's file gives
    the sizes of the chunks too.

    Args:
        reader: The body.
        sock: The socket while the connection is held.
    """

    # No `__slots__`: docker keeps the response alive by an attribute of what it takes for a socket.

    def __init__(self, reader: Reader, sock: Any) -> None:
        self._reader = reader
        self._sock = sock

    @property
    def raw(self) -> BodyFile:
        """This object; the standard library has `SocketIO` below the buffer."""
        return self

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        descriptor: int = self._sock.fileno()
        return descriptor

    def readable(self) -> bool:
        """Return `True`."""
        return True

    @property
    def closed(self) -> bool:
        """Whether nothing is left to read."""
        return self._reader.closed

    def read(self, amt: int | None = None, /) -> bytes:
        """Read `amt` bytes, fewer only at the end; all for `None` or a negative number."""
        return self._reader.read(amt)

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what has arrived, at most `amt` bytes; wait only for the first."""
        return self._reader.read1(amt)

    def peek(self, amt: int = 0, /) -> bytes:
        """Return what has arrived and leave it unread; wait only for the first byte."""
        return self._reader.peek(amt)

    def readline(self, limit: int = -1, /) -> bytes:
        """Read up to and with the next line feed, at most `limit` bytes."""
        return read_line(self._reader, limit)

    def close(self) -> None:
        """End the body; close the connection if the body was not read to its end."""
        self._reader.close()


def read_line(reader: Reader, limit: int = -1) -> bytes:
    """Read up to and with the next line feed, at most `limit` bytes; `b""` at the end."""
    line = b""
    while limit < 0 or len(line) < limit:
        ahead = reader.peek()
        if not ahead:
            break
        size = ahead.find(b"\n") + 1 or len(ahead)
        line += reader.read1(size if limit < 0 else min(size, limit - len(line)))
        if line.endswith(b"\n"):
            break
    return line


class HeldConnection:
    """Stands for the urllib3 connection of a response whose body is not read to its end.

    Args:
        reader: The body that holds the connection.
    """

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def sock(self) -> Any:
        """The socket, the one that speaks TLS for https; `None` when the body is read."""
        file = self._reader.fp
        return None if file is None else file.raw._sock

    @property
    def is_closed(self) -> bool:
        """Whether the connection is no longer held."""
        return self._reader.fp is None

    def close(self) -> None:
        """End the body; close the connection if the body was not read to its end."""
        self._reader.close()


class ConnectionAttribute:
    """The attribute `_connection` of a response, made when it is read.

    It has no `__set__`, and a response that does not keep a value of its own under that name pays
    nothing for it.
    """

    def __get__(self, raw: Any, owner: Any) -> Any:
        """Return the connection, or `None` when the body no longer holds it."""
        if raw is None:
            return self
        reader: Reader = raw._reader
        return None if reader.fp is None else HeldConnection(reader)


class OriginalResponse:
    """Stands where urllib3 keeps http.client's response: cookies and tools look at its `msg`.

    Args:
        headers: Name and value pairs as they came.
        reader: The body.
        status: Status code.
        reason: Reason phrase.
        version: 10 or 11.
        method: The method of the request.
    """

    __slots__ = ("_headers", "_message", "_method", "_reader", "reason", "status", "version")

    def __init__(
        self,
        headers: Iterable[tuple[str, str]],
        reader: Reader,
        status: int,
        reason: str,
        version: int,
        method: str,
    ) -> None:
        self._headers = headers
        self._message: HTTPMessage | None = None
        self._reader = reader
        self._method = method
        self.status = status
        self.reason = reason
        self.version = version

    @property
    def msg(self) -> HTTPMessage:
        """The fields as an email message, made when first asked for."""
        if self._message is None:
            self._message = HTTPMessage()
            for name, value in self._headers:
                self._message[name] = value
        return self._message

    headers = msg

    def info(self) -> HTTPMessage:
        """Return the fields, as `msg`."""
        return self.msg

    def getcode(self) -> int:
        """Return the status code."""
        return self.status

    def getheader(self, name: str, default: Any = None) -> Any:
        """Return the values of a field, joined by commas; `default` where there is none."""
        values = self.msg.get_all(name)
        return default if values is None else ", ".join(values)

    def getheaders(self) -> list[tuple[str, str]]:
        """The fields in their order."""
        return list(self._headers)

    @property
    def fp(self) -> Any:
        """The file below the body while the connection is held; `None` afterwards."""
        return self._reader.fp

    def isclosed(self) -> bool:
        """Whether the body has come to its end."""
        return self._reader.closed

    def close(self) -> None:
        """Close the body."""
        self._reader.close()

    def __iter__(self) -> Any:
        """Iterate over the lines of the body."""
        return iter(self.readline, b"")

    def __getattr__(self, name: str) -> Any:
        """Find `read`, `length` and the like at the body, which is the same object in urllib3."""
        if name.startswith("_"):  # `copy` asks for some before there is a reader
            raise AttributeError(name)
        return getattr(self._reader, name)
