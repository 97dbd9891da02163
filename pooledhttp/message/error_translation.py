"""Where urllib3's errors become requests' errors, once.

From `raw` down to the socket, failures are urllib3's classes, which `urllib3.Retry` decides by.
Callers catch requests' classes. Normally that is this package's own tree. An adapter mounted on a
session of the real requests raises the classes of requests, and returns its `Response`: which of
the two it is shows in the class of the request.

While a request is sent (`ErrorTranslation`):

    raised below                                  raised above
    MaxRetryError                                 as its reason; RetryError for a status; for a body
                                                  that was read here, as below
    ConnectTimeoutError, not NewConnectionError   ConnectTimeout
    SendTimeout                                   WriteTimeout
    ReadTimeoutError                              ReadTimeout; within MaxRetryError, as requests
                                                  does, ConnectionError
    ProxyError, SSLError, InvalidHeader           the classes of these names
    ConnectionBroken over an HTTP proxy           ProxyError, as requests does: proxy or origin, who
                                                  closed the connection cannot be told
    LocationValueError                            InvalidURL
    UnrewindableBodyError                         the class of this name
    ProtocolError, PoolError, OSError             ConnectionError
    our own RequestException                      as it is; over there, its counterpart

While a body is read (`BodyErrors`):

    ProtocolError                                 ChunkedEncodingError
    DecodeError                                   ContentDecodingError
    ReadTimeoutError                              BodyTimeout, a ConnectionError as in requests
    SSLError                                      SSLError
    any other                                     ConnectionError
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    PoolError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
    UnrewindableBodyError,
)
from urllib3.exceptions import InvalidHeader as WireInvalidHeader

from pooledhttp import exceptions
from pooledhttp.exceptions import ConnectionBroken, Fault, RequestException, SendTimeout
from pooledhttp.message.prepared import PreparedRequest
from pooledhttp.records import record

__all__ = ["OURS", "BodyErrors", "ErrorTranslation", "translation_for"]


@record
class ErrorTranslation:
    """Turns an error of sending into one of a tree.

    Attributes:
        errors: The module with requests' exception classes: ours, or that of requests.
    """

    errors: ModuleType

    def translate(self, error: Exception, request: Any, *, is_proxied: bool = False) -> Exception:
        """Return the error to raise for `error`; it is `args[0]` of the new one.

        Args:
            error: What was raised below.
            request: Becomes the attribute of that name.
            is_proxied: Whether an HTTP proxy was in between.

        Returns:
            The new error. An error of no kind that is known here is returned as it is.
        """
        if isinstance(error, self.errors.RequestException):
            if error.request is None:
                error.request = request
            return error  # type: ignore[no-any-return]
        kind = self._kind(error)
        if kind is None:
            return error
        reason = error.reason if isinstance(error, MaxRetryError) else error
        if is_proxied and isinstance(reason, ConnectionBroken):
            kind = self.errors.ProxyError
        translated: Exception = kind(error, request=request)
        return translated

    def _kind(self, error: Exception) -> Any:
        errors = self.errors
        if isinstance(error, RequestException):  # ours, raised to a caller of the real requests
            return _counterpart(errors, type(error))
        if isinstance(error, MaxRetryError):
            return self._kind_of_reason(error.reason)
        if isinstance(error, SendTimeout):
            return self._write_timeout()
        if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
            return errors.ConnectTimeout
        for wire, kind in (
            (ReadTimeoutError, errors.ReadTimeout),
            (ProxyError, errors.ProxyError),
            (SSLError, errors.SSLError),
            (WireInvalidHeader, errors.InvalidHeader),
            (LocationValueError, errors.InvalidURL),
            (UnrewindableBodyError, errors.UnrewindableBodyError),
            ((ProtocolError, PoolError, NewConnectionError), errors.ConnectionError),
        ):
            if isinstance(error, wire):
                return kind
        if isinstance(error, OSError) and not isinstance(error, HTTPError):
            return errors.ConnectionError
        return None

    def _kind_of_reason(self, reason: Exception | None) -> Any:
        errors = self.errors
        if isinstance(reason, ConnectTimeoutError) and not isinstance(reason, NewConnectionError):
            return errors.ConnectTimeout
        if isinstance(reason, ResponseError):
            return errors.RetryError
        if isinstance(reason, ProxyError):
            return errors.ProxyError
        if isinstance(reason, SSLError):
            return errors.SSLError
        if isinstance(reason, SendTimeout):
            return self._write_timeout()
        if isinstance(reason, Fault) and reason.phase == "body":
            return self._kind_of_body(reason)
        return errors.ConnectionError

    def _kind_of_body(self, reason: Fault) -> Any:
        """Return the class that the reader of the body would have met without retries."""
        if isinstance(reason, ProtocolError):
            return self.errors.ChunkedEncodingError
        if isinstance(reason, ReadTimeoutError):
            return _counterpart(self.errors, exceptions.BodyTimeout)
        return self.errors.ConnectionError

    def _write_timeout(self) -> Any:
        return _counterpart(self.errors, exceptions.WriteTimeout)


#: Classes of ours that were made in another tree.
_made: dict[tuple[ModuleType, type[Exception]], Any] = {}


def _counterpart(errors: ModuleType, ours: type[Exception]) -> Any:
    """Find a class of ours in another tree, or make it there out of its bases' counterparts."""
    found = getattr(errors, ours.__name__, None)
    if found is None and (errors, ours) not in _made:
        _made[errors, ours] = _make_counterpart(errors, ours)
    return found or _made[errors, ours]


def _make_counterpart(errors: ModuleType, ours: type[Exception]) -> Any:
    bases = [base for base in ours.__bases__ if issubclass(base, RequestException)]
    parents = tuple(_counterpart(errors, base) for base in bases)
    return type(ours.__name__, parents, {"__doc__": ours.__doc__})


#: The translation into this package's own tree.
OURS = ErrorTranslation(exceptions)


@cache
def _into(errors: ModuleType) -> ErrorTranslation:
    return ErrorTranslation(errors)


def translation_for(request: Any) -> ErrorTranslation:
    """Return the translation for a request: into requests' tree for a request of requests."""
    if isinstance(request, PreparedRequest):
        return OURS
    requests = sys.modules.get("requests")
    foreign = getattr(requests, "PreparedRequest", None)
    if requests is not None and foreign is not None and isinstance(request, foreign):
        return _into(requests.exceptions)
    return OURS


class BodyErrors(NamedTuple):
    """The exception classes a `Response` raises, by what went wrong below it.

    A subclass of `Response` can name others, for example those of requests itself.
    """

    broken: Callable[..., Exception] = exceptions.ChunkedEncodingError
    decoding: Callable[..., Exception] = exceptions.ContentDecodingError
    timeout: Callable[..., Exception] = exceptions.BodyTimeout
    tls: Callable[..., Exception] = exceptions.SSLError
    other: Callable[..., Exception] = exceptions.ConnectionError
    consumed: Callable[..., Exception] = exceptions.StreamConsumedError
    not_json: Callable[[str, str, int], Exception] = exceptions.JSONDecodeError
    bad_status: Callable[..., Exception] = exceptions.HTTPError

    def translate(self, error: Exception, request: PreparedRequest | None) -> Exception:
        """Return the exception to raise for a failure to read, with that failure as `args[0]`."""
        if isinstance(error, ProtocolError):
            kind = self.broken
        elif isinstance(error, DecodeError):
            kind = self.decoding
        elif isinstance(error, ReadTimeoutError):
            # In requests a ConnectionError; that it is a timeout is what people expect.
            kind = self.timeout
        elif isinstance(error, SSLError):
            kind = self.tls
        else:
            kind = self.other
        return kind(error, request=request)
