"""What fails on the wire, from `raw` down to the socket.

A fault is a urllib3 error, so that `urllib3.Retry` and code that looks at `error.args[0]` recognise
it, with the facts as attributes.

    urllib3 HTTPError
    └── Fault                    origin, phase, reused, bytes_sent
        ├── ResolveError         NameResolutionError      the name has no address
        ├── DialError            NewConnectionError       no address accepted a connection
        ├── DialTimeout          ConnectTimeoutError      not connected in time, for any reason
        ├── TlsError             SSLError                 handshake or verification failed
        ├── ProxyFault           ProxyError               the proxy failed or refused
        ├── SendTimeout          TimeoutError, ProtocolError    the peer stopped reading
        ├── RecvTimeout          ReadTimeoutError         the peer stopped writing
        ├── ConnectionBroken     ProtocolError            the connection died in the middle
        ├── BadResponse          ProtocolError            what came is not HTTP
        ├── ConflictingLength    InvalidHeader            two lengths for one body
        ├── RequestRefused       InvalidHeader            what we were given cannot be sent as HTTP
        └── BodyTruncated        ProtocolError            the body ended early
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import RemoteDisconnected
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

from urllib3 import exceptions as _urllib3

from pooledhttp.faults.pool_lookalike import NamedPool

__all__ = [
    "Facts",
    "Fault",
    "ResolveError",
    "DialError",
    "DialTimeout",
    "TlsError",
    "ProxyFault",
    "SendTimeout",
    "RecvTimeout",
    "ConnectionBroken",
    "BadResponse",
    "ConflictingLength",
    "RequestRefused",
    "BodyTruncated",
]


class Facts(TypedDict, total=False):
    """The keywords every `Fault` takes beside its message."""

    origin: str | None
    phase: str
    reused: bool
    bytes_sent: int


#: What helps when no connection was made in time; the limit that ended is put before it.
RAISE_CONNECT = "Raise the connect timeout if the server is only slow."

#: Attributes that refer to live sockets or TLS contexts: of no use in another process.
_LIVE = frozenset({"pool", "conn"})


class Fault(_urllib3.HTTPError):
    """A failure on the way to or from a server, with what was known then.

    Attributes:
        message: The whole text, as `str()` gives it.
        origin: `https://host:port` of the server, without credentials; None when not known.
        phase: The step that failed: "resolve", "connect", "proxy", "tunnel", "tls", "send", "head"
            or "body".
        reused: Whether the connection had served a request before.
        bytes_sent: Bytes of the request handed to the operating system by then.
        spent_seconds: By phase, what used up the total timeout; empty unless it ended.
    """

    message: str = ""
    origin: str | None = None
    phase: str = "connect"
    reused: bool = False
    bytes_sent: int = 0
    spent_seconds: Mapping[str, float] = MappingProxyType({})

    def _state(self, args: tuple[object, ...], message: str, facts: Facts) -> None:
        # The urllib3 parents have constructors of four different shapes, most of which put their
        # own prefix before the text. They are not called; what they would set is set here.
        Exception.__init__(self, *args)
        if unknown := facts.keys() - Facts.__annotations__.keys():
            raise TypeError(f"{type(self).__name__}() got unknown facts: {sorted(unknown)}")
        self.message = message
        self.__dict__.update(facts)

    def tell_connect_limit(self, seconds: float | None) -> None:
        """Name the limit in the text of an error that says to raise the connect timeout.

        Args:
            seconds: The connect timeout; `None` if the total timeout has ended.
        """
        limit = (
            "(total timeout)."
            if seconds is None
            else f"(connect timeout={seconds}). {RAISE_CONNECT}"
        )
        self.message = self.message.replace(f". {RAISE_CONNECT}", f" {limit}")

    def tell_spent(self, seconds: Mapping[str, float], text: str) -> None:
        """Add to the error where the time went.

        Args:
            seconds: By phase.
            text: The same for people.
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
    """No address of the host accepted a connection.

    Args:
        message: The whole text.
        conn: As for `ResolveError`.
        **facts: As `Fault`.
    """

    phase = "connect"

    def __init__(self, message: str, conn: object = None, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)
        self.conn = conn  # type: ignore[assignment]


class DialTimeout(Fault, _urllib3.ConnectTimeoutError):
    """The lookup, connecting, the tunnel or the TLS handshake was not done in time.

    Args:
        message: The whole text.
        **facts: As `Fault`.
    """

    phase = "connect"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class TlsError(Fault, _urllib3.SSLError):
    """The handshake failed, the certificate was not accepted, or TLS broke later.

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


class ProxyFault(Fault, _urllib3.ProxyError):
    """The proxy could not be used.

    Args:
        message: The whole text.
        original_error: What failed. urllib3's `Retry` looks at it to tell a proxy that was never
            reached from one that failed later.
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
        pool: The origin, or the pool. Programs read the address of the server from the attribute
            `pool`, which is a `NamedPool` for an origin.
        url: The target of the request.
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
        self.pool = NamedPool(pool) if isinstance(pool, str) else pool  # type: ignore[assignment]
        self.url = url


class ConnectionBroken(Fault, _urllib3.ProtocolError):
    """The connection ended or failed before the response was complete.

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
            text = f"{first} {facts['origin']} did not finish its response"
        if cause is not None:
            text = f"{text} ({type(cause).__name__}: {cause})"
        if _is_perhaps_tls(cause, facts):
            text = f"{text}. If the server speaks TLS on this port, the URL begins with https://."
        self._state((first, cause), text, facts)


class BadResponse(Fault, _urllib3.ProtocolError):
    """The peer sent something that is not a well-formed HTTP response.

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
    """The response gives its body two different lengths: a sign of request smuggling."""

    phase = "head"

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        self._state((message,), message, facts)


class RequestRefused(Fault, _urllib3.InvalidHeader):
    """The request cannot be sent as HTTP/1.1: a malformed field, or a body of another length."""

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


def _is_perhaps_tls(cause: BaseException | None, facts: Facts) -> bool:
    """Whether a connection ended as one does that sends plain HTTP to a port of TLS."""
    origin = facts.get("origin") or ""
    is_first_use = not facts.get("reused") and facts.get("phase", "head") in ("send", "head")
    if not is_first_use or not origin.startswith("http://") or origin.endswith(":80"):
        return False
    is_closed = isinstance(cause, RemoteDisconnected) and str(cause).endswith("without response")
    return is_closed or type(cause) is ConnectionResetError


def _headed(first: str, rest: str) -> str:
    """Put the words that programs look for before those for people, once."""
    rest = rest.removeprefix(first.rstrip(".")).lstrip(".: ")
    return f"{first} {rest}" if rest else first
