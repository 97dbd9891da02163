"""Shows each request to programs that have patched `http.client`, such as sentry-sdk.

Tracers that know only the standard library replace `HTTPConnection.putrequest` and `getresponse`.
They start a span in the first, add fields to the request there, and end the span in the second.
Requests of this package do not pass through http.client. So while one of the two is replaced, this
hook makes an `HTTPConnection` without a socket, and calls the methods as for a real request::

    before    putrequest, endheaders     the fields that were put are copied to the real request
    after     getresponse                reads a head with the status and fields of the response, or
                                         raises the error of the exchange

The stand-in has the class, host, port and scheme of a real connection, and its response is read by
http.client's own code. Its body is empty, so a span ends with the head.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import urllib3.connection

from pooledhttp.events import OutgoingRequest, RequestOutcome
from pooledhttp.runtime import copy_without_tracebacks

__all__ = ["http_client_hook", "is_http_client_patched"]

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


# The class itself: a test may have a mock in its place while this is imported.
_HTTPConnection: Any = urllib3.connection.HTTPConnection.__base__


def _original(name: str) -> Any:
    """Return a method as http.client defines it; `None` if it was replaced before this import."""
    method = getattr(_HTTPConnection, name)
    is_own = getattr(method, "__globals__", None) is vars(http.client)
    return method if is_own else None


_PUTREQUEST = _original("putrequest")
_GETRESPONSE = _original("getresponse")


def is_http_client_patched() -> bool:
    """Whether a program has replaced the methods that send a request and read a response head."""
    return not (
        _HTTPConnection.putrequest is _PUTREQUEST and _HTTPConnection.getresponse is _GETRESPONSE
    )


class _StandIn(_HTTPConnection):  # type: ignore[misc]
    """A connection without a socket that notes the header fields put into it."""

    def __init__(self, host: str, port: int | None) -> None:
        # Not `super()`: that of the secure kind would load CA certificates.
        _HTTPConnection.__init__(self, host, port)
        self.debuglevel = 0  # the real exchange is printed already
        self.fields: dict[str, str] = {}

    def putheader(self, header: Any, *values: Any) -> None:
        """Note a field."""
        self.fields[_text(header)] = ", ".join(map(_text, values))
        super().putheader(header, *values)

    def send(self, data: Any) -> None:
        """Send nothing."""


@functools.cache
def _secure_stand_in() -> type[_StandIn]:
    """Return the stand-in for https: tracers look at the class or at the default port."""
    return type("_SecureStandIn", (_StandIn, http.client.HTTPSConnection), {})


class _Head(io.BytesIO):
    """The head of a response as a file; reading it raises the error of the exchange, if any."""

    error: BaseException | None = None

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line, or raise."""
        if self.error is not None:
            raise self.error
        return super().readline(size)


class _Socket:
    """As much of a socket as `HTTPResponse` needs."""

    def __init__(self, outcome: RequestOutcome) -> None:
        head = f"HTTP/{outcome.version} {outcome.status} {outcome.reason}\r\n"
        lines = (
            f"{name}: {value}\r\n"
            for name, value in outcome.headers.items()
            if name.lower() not in _FRAMING
        )
        text = f"{head}{''.join(lines)}Content-Length: 0\r\nConnection: close\r\n\r\n"
        self._file = _Head(text.encode("latin-1", "replace"))
        if isinstance(outcome.error, Exception):
            self._file.error = copy_without_tracebacks(outcome.error)
        elif outcome.error is not None:
            self._file.error = http.client.HTTPException(type(outcome.error).__name__)

    def makefile(self, *_: Any) -> io.BytesIO:
        return self._file

    def close(self) -> None:
        pass


def http_client_hook(request: OutgoingRequest) -> Callable[[RequestOutcome], object] | None:
    """Show a request to the replaced methods of http.client; see the text of the module."""
    parts = urlsplit(request.url)
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        return None  # a Unix socket: http.client would not know it either
    kind = _secure_stand_in() if parts.scheme == "https" else _StandIn
    connection = kind(parts.hostname, parts.port)
    target = re.sub(r"^[^:/?#]+://[^/?#]*", "", request.url.partition("#")[0]) or "/"
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    _take(request, connection.fields.items())
    connection.endheaders()

    def after(outcome: RequestOutcome) -> None:
        connection.sock = _Socket(outcome)
        with contextlib.suppress(Exception):  # the caller gets the error of the exchange itself
            connection.getresponse().close()
        connection.close()

    return after


def _take(request: OutgoingRequest, fields: Iterable[tuple[str, str]]) -> None:
    """Add fields to a request: its own ones stay, and `baggage` may be a list of several."""
    for name, value in fields:
        own = request.headers.get(name)
        if own is not None and name.lower() == "baggage":
            request.headers[name] = f"{own},{value}"
        elif own is None:
            request.headers[name] = value


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
