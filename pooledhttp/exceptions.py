"""Every error and warning of the package, in two trees with one border between them.

Above the border are the errors a caller catches. They have the names and bases that code written
for requests expects; four of them are ours (marked +). Each carries the `request` and the
`response` it is about, where there is one.

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

    Warning
    └── RequestsWarning
        ├── FileModeWarning                  (also DeprecationWarning)
        └── RequestsDependencyWarning

Below the border, from `raw` down to the socket, a failure is a `Fault`: a urllib3 error, so that
`urllib3.Retry` and code that looks at `error.args[0]` recognise it, with the facts as attributes.

    urllib3 HTTPError
    └── Fault                    origin, phase, reused, bytes_sent
        ├── ResolveError         NameResolutionError      the name has no address
        ├── DialError            NewConnectionError       no address answered
        ├── DialTimeout          ConnectTimeoutError      not connected in time, for any reason
        ├── TlsError             SSLError                 handshake or verification failed
        ├── ProxyFault           ProxyError               the proxy failed or refused
        ├── SendTimeout          TimeoutError, ProtocolError    the peer stopped reading
        ├── RecvTimeout          ReadTimeoutError         the peer stopped writing
        ├── ConnectionBroken     ProtocolError            the connection died in the middle
        ├── BadAnswer            ProtocolError            what came is not HTTP
        ├── ConflictingLength    InvalidHeader            two lengths for one body
        ├── RequestRefused       InvalidHeader            what we were given cannot be sent as HTTP
        └── BodyTruncated        ProtocolError            the body ended early

The border is crossed in two places, the adapter's `send` and the response's body readers. There a
Fault becomes `args[0]` and `__cause__` of an error of the first tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError as CompatJSONDecodeError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from urllib3 import exceptions as _urllib3
from urllib3.exceptions import HTTPError as BaseHTTPError

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Request, Response

__all__ = [
    "BadAnswer",
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


# ---------------------------------------------------------------- above the border


class RequestException(OSError):
    """Anything that went wrong with a request; the root of what this package raises.

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
    """The server answered with a status that says the request failed."""


class ConnectionError(RequestException):
    """No connection, or the connection was lost. Not the builtin of the same name."""


class ProxyError(ConnectionError):
    """The proxy could not be reached, or refused to connect further."""


class SSLError(ConnectionError):
    """The TLS handshake failed, or the certificate does not prove who the server is."""


class Timeout(RequestException):
    """Some part of the request took too long. Catches connecting as well as reading.

    Called with limits as keywords it makes settings instead: see `pooledhttp`, which adds that.
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
    """The rest of a body did not come in time.

    In requests it is a plain `ConnectionError`, which this is as well.
    """


class _PoolError(ConnectionError):
    """What the pool's own errors share: a message and the origin it is about."""

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
        origin: Whose connections ran out, without credentials; None when not known.
        waited_seconds: How long the request stood in the queue.
        in_use: Connections of the origin in use, those being dialled included.
        limit: The maximum that was met; None when not known.
        waiting: Requests in the queue of that origin.
        holders: One text per connection in use, where its owner is known: place and age.
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
    """A header name or value may not be sent, or what came back contradicts itself."""


class InvalidProxyURL(InvalidURL):
    """The URL of the proxy is malformed."""


class ChunkedEncodingError(RequestException):
    """The body broke off or its framing is wrong."""


class ContentDecodingError(RequestException, BaseHTTPError):
    """The body could not be decompressed."""


class StreamConsumedError(RequestException, TypeError):
    """The body was streamed before and not kept; it cannot be read a second time."""


class RetryError(RequestException):
    """The retry policy gave up on the statuses the server kept answering with."""


class UnrewindableBodyError(RequestException):
    """The body has to be sent again, and cannot be read from its start again."""


class RequestsWarning(Warning):
    """The root of this package's warnings."""


class FileModeWarning(RequestsWarning, DeprecationWarning):
    """A file to upload is open in text mode, so its size in bytes is not known."""


class RequestsDependencyWarning(RequestsWarning):
    """An installed dependency has a version this package was not tested with."""


# ---------------------------------------------------------------- below the border


class Facts(TypedDict, total=False):
    """The keywords every `Fault` takes beside its message."""

    origin: str | None
    phase: str
    reused: bool
    bytes_sent: int


#: Attributes that lead back to live sockets or TLS contexts: of no use in another process.
_LIVE = frozenset({"pool", "conn"})


class Fault(BaseHTTPError):
    """A failure on the way to or from a server, with what was known when it happened.

    Attributes:
        message: The whole text, as `str()` gives it.
        origin: `https://host:port` of the server, without credentials; None when not known.
        phase: What was being done: "resolve", "connect", "proxy", "tunnel", "tls", "send", "head"
            or "body".
        reused: Whether the connection had served a request before.
        bytes_sent: Bytes of the request handed to the operating system by then.
        spent_seconds: By phase, what used up the total timeout; empty unless that ran out.
    """

    message: str = ""
    origin: str | None = None
    phase: str = "connect"
    reused: bool = False
    bytes_sent: int = 0
    spent_seconds: Mapping[str, float] = MappingProxyType({})

    def _state(self, args: tuple[object, ...], message: str, facts: Facts) -> None:
        # The urllib3 parents have constructors of four different shapes, most of which put their
        # own prefix before the text. Arguments go past them; what they would set is set beside.
        Exception.__init__(self, *args)
        if unknown := facts.keys() - Facts.__annotations__.keys():
            raise TypeError(f"{type(self).__name__}() got unknown facts: {sorted(unknown)}")
        self.message = message
        self.__dict__.update(facts)

    def tell_spent(self, seconds: Mapping[str, float], text: str) -> None:
        """Add where the time went.

        Args:
            seconds: By phase.
            text: The same to be read.
        """
        self.spent_seconds = dict(seconds)
        self.message = f"{self.message.removesuffix('.')}. Of the total went: {text}."

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        # urllib3's MaxRetryError shows its reason by repr(): the whole text has to be in it.
        return f"{type(self).__name__}({self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: None if name in _LIVE else kept for name, kept in self.__dict__.items()}
        return _restore, (type(self), self.args, state)


def _restore(kind: type[Fault], args: tuple[object, ...], state: dict[str, object]) -> Fault:
    """Rebuild a pickled fault without running the constructors of its parents."""
    fault = kind.__new__(kind, *args)
    fault.__dict__.update(state)
    return fault


class ResolveError(Fault, _urllib3.NameResolutionError):
    """The host name has no address, or the lookup failed.

    Args:
        message: The whole text.
        conn: What was to be connected (a route); shown by urllib3's own tools.
        **facts: As `Fault`.
    """

    phase = "resolve"

    def __init__(self, message: str, conn: object = None, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)
        self.conn = conn  # type: ignore[assignment]


class DialError(Fault, _urllib3.NewConnectionError):
    """No address of the host accepted a connection. Arguments as `ResolveError`."""

    phase = "connect"

    def __init__(self, message: str, conn: object = None, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)
        self.conn = conn  # type: ignore[assignment]


class DialTimeout(Fault, _urllib3.ConnectTimeoutError):
    """Looking up, connecting, tunnelling or the TLS handshake was not done in time."""

    phase = "connect"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class TlsError(Fault, _urllib3.SSLError):
    """The handshake failed or the certificate was not accepted.

    Args:
        message: The whole text.
        cause: The `ssl` module's error; it becomes `args[0]`, where it is looked for, when given.
        **facts: As `Fault`.
    """

    phase = "tls"

    def __init__(
        self, message: str, cause: BaseException | None = None, **facts: Unpack[Facts]
    ) -> None:
        self._state((message,) if cause is None else (cause,), message, facts)

    def __repr__(self) -> str:
        # Programs look for the name of urllib3's class in the text of a MaxRetryError.
        return f"SSLError({self.message!r})"


class ProxyFault(Fault, _urllib3.ProxyError):
    """The proxy could not be used.

    Args:
        message: The whole text.
        original_error: What failed underneath. urllib3's `Retry` looks at it to tell a proxy that
            was never reached from one that broke later.
        **facts: As `Fault`.
    """

    phase = "proxy"

    def __init__(self, message: str, original_error: Exception, **facts: Unpack[Facts]) -> None:
        self._state((message, original_error), message, facts)
        self.original_error = original_error


class SendTimeout(Fault, _urllib3.TimeoutError, _urllib3.ProtocolError):
    """The peer accepted no byte of the request for the allowed time."""

    phase = "send"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class RecvTimeout(Fault, _urllib3.ReadTimeoutError):
    """The peer sent nothing for the allowed time.

    Args:
        message: The rest of the text; "Read timed out." is put before it.
        pool: The route; urllib3's errors have it under this name.
        url: The request target.
        **facts: As `Fault`.
    """

    phase = "head"

    def __init__(
        self,
        message: str = "",
        pool: object = None,
        url: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        text = _headed("Read timed out.", message)
        self._state((text,), text, facts)
        self.pool = pool  # type: ignore[assignment]
        self.url = url


class ConnectionBroken(Fault, _urllib3.ProtocolError):
    """The connection ended or failed before the answer was complete.

    Args:
        message: The rest of the text; "Connection aborted." is put before it, the cause after.
        cause: The error of the socket, or a `RemoteDisconnected`; `args[1]`.
        **facts: As `Fault`.
    """

    phase = "head"

    def __init__(
        self, message: str = "", cause: BaseException | None = None, **facts: Unpack[Facts]
    ) -> None:
        first = "Connection aborted."
        text = _headed(first, message)
        if text == first and facts.get("origin"):
            text = f"{first} {facts['origin']} did not finish its answer"
        if cause is not None:
            text = f"{text} ({type(cause).__name__}: {cause})"
        self._state((first, cause), text, facts)


class BadAnswer(Fault, _urllib3.ProtocolError):
    """What the peer sent is not a well-formed HTTP response.

    Args:
        message: The whole text.
        cause: The parser's error; `args[1]` when given.
        **facts: As `Fault`.
    """

    phase = "head"

    def __init__(
        self, message: str, cause: BaseException | None = None, **facts: Unpack[Facts]
    ) -> None:
        self._state((message,) if cause is None else (message, cause), message, facts)


class ConflictingLength(Fault, _urllib3.InvalidHeader):
    """The response gives its body two different lengths: a sign of smuggling, never guessed at."""

    phase = "head"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class RequestRefused(Fault, _urllib3.InvalidHeader):
    """The request cannot be written as HTTP/1.1: a malformed field, or a body of another length."""

    phase = "send"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class BodyTruncated(Fault, _urllib3.ProtocolError):
    """The body ended before its announced end.

    Args:
        message: The rest of the text; "Connection broken: <cause>" is put before it.
        cause: An `IncompleteRead` with the counts; `args[1]`.
        **facts: As `Fault`.
    """

    phase = "body"

    def __init__(
        self, message: str = "", cause: BaseException | None = None, **facts: Unpack[Facts]
    ) -> None:
        first = "Connection broken." if cause is None else f"Connection broken: {cause!r}"
        rest = message.removeprefix("Connection broken").lstrip(".: ")
        self._state((first, cause), f"{first.rstrip('.')}. {rest}" if rest else first, facts)


def _headed(first: str, rest: str) -> str:
    """Put the words programs look for before the words people read, once."""
    rest = rest.removeprefix(first.rstrip(".")).lstrip(".: ")
    return f"{first} {rest}" if rest else first
