"""The border: where errors of the wire become errors of the caller, once.

Below stand urllib3's classes, which `urllib3.Retry` decides by; above stand requests' classes,
which callers catch. Which requests: normally this package's own tree, but an adapter mounted on a
session of the real requests answers in that one's terms, with its `Response` and its exceptions.
Which of the two it is shows in the request that it is given.

    raised below                                  raised above
    MaxRetryError                                 as its reason; RetryError for a status
    ConnectTimeoutError, not NewConnectionError   ConnectTimeout
    SendTimeout                                   WriteTimeout
    ReadTimeoutError                              ReadTimeout; within MaxRetryError, as requests
                                                  does, ConnectionError
    ProxyError, SSLError, InvalidHeader           the classes of these names
    LocationValueError                            InvalidURL
    UnrewindableBodyError                         the class of this name
    ProtocolError, PoolError, OSError             ConnectionError
    our own RequestException                      as it is; over there, its counterpart
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from urllib3.exceptions import (
    ConnectTimeoutError,
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
from pooledhttp.exceptions import RequestException, SendTimeout
from pooledhttp.message.prepared import PreparedRequest
from pooledhttp.message.response import Response

__all__ = ["Border", "border_for"]


@dataclass(frozen=True, slots=True)
class Border:
    """One side's terms: its errors, and its class of response."""

    errors: ModuleType
    response: type[Any]

    def translate(self, error: Exception, request: Any) -> Exception:
        """Return the error to raise for `error`; it is `args[0]` of the new one.

        An error of no kind that is known here is returned as it is.
        """
        if isinstance(error, self.errors.RequestException):
            if error.request is None:
                error.request = request
            return error  # type: ignore[no-any-return]
        kind = self._kind(error)
        if kind is None:
            return error
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
        return errors.ConnectionError

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


_OURS = Border(exceptions, Response)


@cache
def _border_of(requests: ModuleType) -> Border:
    return Border(requests.exceptions, requests.Response)


def border_for(request: Any) -> Border:
    """Tell by a request in whose terms its answer and its errors are to be given."""
    if isinstance(request, PreparedRequest):
        return _OURS
    requests = sys.modules.get("requests")
    foreign = getattr(requests, "PreparedRequest", None)
    if requests is not None and foreign is not None and isinstance(request, foreign):
        return _border_of(requests)
    return _OURS
