"""Every error and warning that callers meet.

They have the names and bases that code written for requests expects; five of them are ours (marked
+). Each carries the `request` and the `response` that it is about, where there is one.

    OSError
    └── RequestException
        ├── InvalidJSONError
        │   └── JSONDecodeError              (also json.JSONDecodeError)
        ├── HTTPError
        ├── ConnectionError
        │   ├── ProxyError
        │   ├── SSLError
        │   ├── ConnectTimeout               (also Timeout)
        │   ├── WriteTimeout +               (also Timeout)
        │   ├── BodyTimeout +                (also ReadTimeout)
        │   ├── PoolTimeout +                (also Timeout)
        │   └── PoolClosed +
        ├── Timeout
        │   └── ReadTimeout
        ├── URLRequired
        ├── TooManyRedirects
        ├── MissingSchema, InvalidSchema, InvalidHeader    (each also ValueError)
        ├── InvalidURL                       (also ValueError)
        │   └── InvalidProxyURL
        ├── ChunkedEncodingError
        ├── ContentDecodingError             (also urllib3's HTTPError)
        ├── StreamConsumedError              (also TypeError)
        ├── RetryError
        └── UnrewindableBodyError

    builtin Warning
    └── RequestsWarning
        ├── FileModeWarning                  (also DeprecationWarning)
        ├── MixedImportWarning +
        └── RequestsDependencyWarning

Below them, from `raw` down to the socket, a failure is a `Fault`: a urllib3 error with the facts as
attributes; see `pooledhttp.faults`. Two places translate one: the adapter's `send` and the readers
of a response's body. There it becomes `args[0]` and `__cause__` of an error of this tree. The
faults can be imported from here, too.
"""

from __future__ import annotations

from json import JSONDecodeError as CompatJSONDecodeError
from typing import TYPE_CHECKING, Any, overload

from urllib3.exceptions import HTTPError as BaseHTTPError
from urllib3.exceptions import PoolError

from pooledhttp.faults import (
    BadResponse,
    BodyTruncated,
    ConflictingLength,
    ConnectionBroken,
    DialError,
    DialTimeout,
    Fault,
    ProxyFault,
    RecvTimeout,
    RequestRefused,
    ResolveError,
    SendTimeout,
    TlsError,
)
from pooledhttp.faults import (
    Facts as Facts,
)

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Request, Response
from pooledhttp.renaming import deprecated_names

__all__ = [
    "BadResponse",
    "BodyTimeout",
    "BodyTruncated",
    "ChunkedEncodingError",
    "ConflictingLength",
    "ConnectTimeout",
    "ConnectionBroken",
    "ConnectionError",
    "ContentDecodingError",
    "DialError",
    "DialTimeout",
    "Fault",
    "FileModeWarning",
    "MixedImportWarning",
    "HTTPError",
    "InvalidHeader",
    "InvalidJSONError",
    "InvalidProxyURL",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "MissingSchema",
    "PoolClosed",
    "PoolTimeout",
    "ProxyError",
    "ProxyFault",
    "ReadTimeout",
    "RecvTimeout",
    "RequestException",
    "RequestRefused",
    "RequestsDependencyWarning",
    "RequestsWarning",
    "ResolveError",
    "RetryError",
    "SSLError",
    "SendTimeout",
    "StreamConsumedError",
    "Timeout",
    "TlsError",
    "TooManyRedirects",
    "URLRequired",
    "UnrewindableBodyError",
    "WriteTimeout",
]


# ---------------------------------------------------------------- what callers catch


class RequestException(OSError):
    """A request failed; the root of what this package raises.

    Args:
        *args: The message, or the lower error that is being translated.
        request: The request that failed. Taken from `response` when left out.
        response: The response that was received, if one was.
    """

    request: Request | PreparedRequest | None
    response: Response | None

    def __init__(
        self,
        *args: Any,
        request: Request | PreparedRequest | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(*args)
        self.response = response
        if not request and response is not None:
            request = getattr(response, "request", None)
        self.request = request

    def __reduce__(self) -> tuple[Any, ...]:
        args = tuple(_Portable(arg) if isinstance(arg, PoolError) else arg for arg in self.args)
        is_translated = bool(self.args) and self.__cause__ is self.args[0]
        return _restored, (type(self), args, self.__dict__.copy(), is_translated)


class _Portable:
    """Stands for an error of urllib3 while it is pickled, so that its text and facts are kept.

    urllib3 builds the text again from the pool, which cannot be pickled: "None: Max retries ...".
    """

    def __init__(self, error: PoolError) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self.error
        state = {name: value for name, value in error.__dict__.items() if name != "pool"}
        return _restored_lower, (type(error), error.args, state)


def _restored_lower(kind: type[PoolError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state, pool=None)
    return error


def _restored(
    kind: type[RequestException],
    args: tuple[Any, ...],
    state: dict[str, Any],
    is_translated: bool,
) -> RequestException:
    """Rebuild a pickled error. Constructors of subclasses may want other arguments than `args`."""
    args = tuple(arg.error if isinstance(arg, _Portable) else arg for arg in args)  # `copy.copy`
    error = OSError.__new__(kind, *args)  # one of the two reads them, depending on the class
    OSError.__init__(error, *args)
    error.__dict__.update(state)
    if is_translated:
        error.__cause__ = args[0]
    return error


class InvalidJSONError(RequestException):
    """A value could not be written as, or read from, JSON."""


class JSONDecodeError(InvalidJSONError, CompatJSONDecodeError):
    """The text of a response is not JSON.

    Args:
        msg: What the parser expected.
        doc: The whole text.
        pos: Index in `doc` where parsing stopped.
    """

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        CompatJSONDecodeError.__init__(self, msg, doc, pos)
        # The parser's one formatted text becomes the argument; its three parts stay attributes.
        InvalidJSONError.__init__(self, *self.args)

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError would rebuild from `args`, which is one text where the constructor wants three.
        return type(self), (self.msg, self.doc, self.pos)


class HTTPError(RequestException):
    """The status of the response says that the request failed."""


class ConnectionError(RequestException):
    """There was no connection, or it was lost. Not the builtin of the same name."""


class ProxyError(ConnectionError):
    """The proxy could not be reached, or refused to connect further."""


class SSLError(ConnectionError):
    """The TLS handshake failed, or the certificate does not prove who the server is."""


class Timeout(RequestException):
    """Some part of the request took too long, connecting and reading included.

    `Timeout(total=10, connect=3)`, with limits by name, makes settings for `timeout=` instead. All
    are seconds, and None, the default, is no limit.

    Args:
        *args: Of the exception: the message, or the lower error.
        total: The whole request: redirects, retries and the reading of the body included.
        connect: The lookup of the name, connecting, the tunnel of a proxy and TLS, together.
        read: The longest silence of the server.
        write: The longest time in which the server takes no bytes of the request.
        pool: The wait for a connection, if the pool has a maximum.
        **keywords: Of the exception: `request` and `response`.
    """

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            *args: Any,
            request: Request | PreparedRequest | None = None,
            response: Response | None = None,
        ) -> None: ...

        @overload
        def __init__(
            self,
            *,
            total: float | None = None,
            connect: float | None = None,
            read: float | None = None,
            write: float | None = None,
            pool: float | None = None,
        ) -> None: ...

        def __init__(self, *args: Any, **keywords: Any) -> None: ...


class ConnectTimeout(ConnectionError, Timeout):
    """No connection was made in time. Nothing was sent, so trying again is safe."""


class ReadTimeout(Timeout):
    """The server sent nothing for the allowed time."""


class WriteTimeout(ConnectionError, Timeout):
    """The server took none of the request body for the allowed time."""


class BodyTimeout(ConnectionError, ReadTimeout):
    """The rest of a body did not arrive in time.

    In requests it is a plain `ConnectionError`, which this is as well.
    """


class _PoolError(ConnectionError):
    """The base of the pool's own errors: a message, and the origin that it is about."""

    origin: str | None

    def __init__(
        self,
        *args: Any,
        origin: str | None = None,
        request: Request | PreparedRequest | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(*args, request=request, response=response)
        self.origin = origin


class PoolTimeout(_PoolError, Timeout):
    """No connection became free in time. Nothing was sent.

    Args:
        message: The counts and the advice, for people.
        origin: The origin whose connections ran out, without credentials; None if not known.
        waited_seconds: How long the request was in the queue.
        in_use: Connections of the origin in use, those being dialled included.
        limit: The maximum that was reached; None if not known.
        waiting: Requests in the queue of that origin.
        holders: One text per connection in use, where its holder is known: place and age.
        request: The request that waited.
    """

    waited_seconds: float | None
    in_use: int | None
    limit: int | None
    waiting: int | None
    holders: tuple[str, ...]

    def __init__(
        self,
        message: object = "",
        *,
        origin: str | None = None,
        waited_seconds: float | None = None,
        in_use: int | None = None,
        limit: int | None = None,
        waiting: int | None = None,
        holders: tuple[str, ...] = (),
        request: Request | PreparedRequest | None = None,
    ) -> None:
        super().__init__(message, origin=origin, request=request)
        self.waited_seconds = waited_seconds
        self.in_use = in_use
        self.limit = limit
        self.waiting = waiting
        self.holders = holders


class PoolClosed(_PoolError):
    """The pool was shut down for good, before or while this request waited."""


class URLRequired(RequestException):
    """There is no URL to send the request to."""


class TooManyRedirects(RequestException):
    """The chain of redirects is longer than the session allows."""


class MissingSchema(RequestException, ValueError):
    """The URL does not begin with a scheme such as `https://`."""


class InvalidSchema(RequestException, ValueError):
    """No adapter is mounted for the URL's scheme, or the scheme needs an extra."""


class InvalidURL(RequestException, ValueError):
    """The URL has no usable host, port or path."""


class InvalidHeader(RequestException, ValueError):
    """A header name or value cannot be sent, or the fields of a response contradict each other."""


class InvalidProxyURL(InvalidURL):
    """The URL of the proxy is malformed."""


class ChunkedEncodingError(RequestException):
    """The body ended early, or its framing is wrong."""


class ContentDecodingError(RequestException, BaseHTTPError):
    """The body could not be decompressed."""


class StreamConsumedError(RequestException, TypeError):
    """The body was streamed before and not kept; it cannot be read a second time."""


class RetryError(RequestException):
    """The retries that the policy allows were used up, and the status still asks for one."""


class UnrewindableBodyError(RequestException):
    """The body has to be sent again, and cannot be read from its start again."""


class RequestsWarning(Warning):
    """The root of this package's warnings."""


class FileModeWarning(RequestsWarning, DeprecationWarning):
    """A file to upload is open in text mode, so its size in bytes is not known."""


class MixedImportWarning(RequestsWarning):
    """Code of requests is used beside pooledhttp, so that its requests do not use the pool."""


class RequestsDependencyWarning(RequestsWarning):
    """An installed dependency has a version this package was not tested with."""


__getattr__ = deprecated_names(globals(), {"BadAnswer": "BadResponse"})
