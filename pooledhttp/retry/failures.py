"""Which errors a policy may see, and the errors that retrying adds.

Errors are sorted by urllib3's classes, which is all a policy knows, and by the facts that our own
carry beside the class: `phase` tells whether the request had begun to leave.

    HTTPError
    ├── BodySpent       UnrewindableBodyError    a retry was due, and the body cannot be sent again
    ├── BudgetSpent     MaxRetryError            the retry budget of the origin is used up
    └── OriginPaused    ConnectTimeoutError      the origin asked clients to wait for too long
"""

from __future__ import annotations

import http.client
import ssl
from typing import Any, TypeVar

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
    UnrewindableBodyError,
)

from pooledhttp.exceptions import RequestException

__all__ = [
    "BodySpent",
    "BudgetSpent",
    "OriginPaused",
    "as_urllib3",
    "caused",
    "is_for_the_policy",
    "may_have_been_written",
]

E = TypeVar("E", bound=Exception)

#: Phases in which nothing of the request has reached the server.
_BEFORE_WRITING = frozenset({"resolve", "connect", "proxy", "tunnel", "tls"})


class BodySpent(UnrewindableBodyError):
    """A retry was due, but the request's body was sent and cannot be read from its start again.

    Attributes:
        original_error: What made the retry necessary; also the `__cause__`.
        origin: The server, without credentials.
    """

    def __init__(self, message: str, original_error: Exception, origin: str | None = None) -> None:
        super().__init__(message)
        self.original_error = original_error
        self.origin = origin

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.original_error, self.origin)


class BudgetSpent(MaxRetryError):
    """The policy wanted another attempt, and the retry budget of the origin is used up.

    Attributes:
        origin: The server, without credentials.
    """

    def __init__(self, pool: Any, url: str, reason: Exception | None, origin: str) -> None:
        super().__init__(pool, url, reason)
        self.origin = origin
        self.args = (
            f"{self.args[0]}. The retry budget of {origin} is used up. Retry(budget=False) switches"
            " it off; Retry(budget=RetryBudget(ratio=..., min_per_second=...)) sets a larger one.",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (None, self.url, None, self.origin)


class OriginPaused(ConnectTimeoutError):
    """The origin asked clients to wait longer than this request may last; nothing was sent.

    Attributes:
        origin: The server, without credentials.
        remaining_seconds: What was left of the pause.
    """

    def __init__(self, message: str, origin: str | None, remaining_seconds: float) -> None:
        super().__init__(message)
        self.origin = origin
        self.remaining_seconds = remaining_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.origin, self.remaining_seconds)


def caused(error: E, cause: Exception) -> E:
    """Give an error its cause, for a place that raises it later."""
    error.__cause__ = cause
    return error


def as_urllib3(error: Exception) -> Exception:
    """Put a bare error of the standard library into urllib3's words, as a policy expects them.

    The package's own `RequestException` is an OSError as well, and stays what it is.
    """
    if isinstance(error, (HTTPError, RequestException)):
        return error
    if isinstance(error, (ssl.SSLError, ssl.CertificateError)):
        return caused(SSLError(error), error).with_traceback(error.__traceback__)
    if isinstance(error, (OSError, http.client.HTTPException)):
        aborted = ProtocolError("Connection aborted.", error)
        return caused(aborted, error).with_traceback(error.__traceback__)
    return error


def is_for_the_policy(error: Exception) -> bool:
    """Whether urllib3 would ask a policy about it; a contradictory header, say, is final."""
    return isinstance(error, (TimeoutError, ProtocolError, SSLError, ProxyError))


def may_have_been_written(error: Exception) -> bool:
    """Whether the server may have seen the request, as far as the error tells.

    urllib3 goes by classes, and takes a TLS failure for one of the handshake; in the middle of an
    response it is not, and a POST would run twice. Errors that state their phase are believed,
    those that do not are suspected unless their class rules it out.
    """
    phase = getattr(error, "phase", None)
    if phase is not None:
        return phase not in _BEFORE_WRITING
    return not isinstance(error, (ConnectTimeoutError, ProxyError))
