"""What the log `pooledhttp.transport` says about connections and requests, at DEBUG.

    https://api.example.com:443 connected in 21.4 ms (TLSv1.3)
    https://api.example.com:443 "GET /items?token=*** HTTP/1.1" 200 512 bytes in 35.0 ms (new)
    https://api.example.com:443 closed a kept connection; GET is sent again on a new one

A caller asks `is_logged()` first, so that nothing is formatted while the log is off. A line has no
header fields. Values of query parameters whose names tell of a secret are replaced.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.http1 import Connection, Head, WireRequest
    from pooledhttp.network import Route

__all__ = ["is_logged", "log_failed", "log_opened", "log_replay", "log_response", "mask_secrets"]

logger = logging.getLogger("pooledhttp.transport")

DEBUG = logging.DEBUG

#: A query parameter with a secret: its name contains a telling word, or is a short one that APIs
#: use for keys and signatures.
_SECRET = re.compile(
    r"""(?ix) (?P<name> [?&;] (?: [^=&;\#]* (?: token | secret | passw | signature | credential
                                             | api[-_]?key | access[-_]?key | session )
                                  [^=&;\#]*
                                | key | sig | sid | code | pwd | pass | auth | jwt ) = )
        [^&;\#]+"""
)


def is_logged() -> bool:
    """Whether lines are written at all."""
    return logger.isEnabledFor(DEBUG)


def mask_secrets(target: str) -> str:
    """Return a request target in which the secrets of its query are `***`."""
    return _SECRET.sub(r"\g<name>***", target) if "?" in target else target


def log_opened(connection: Connection, seconds: float) -> None:
    """Log that a connection is ready for requests."""
    version = getattr(connection.stream, "tls_version", None)
    if version is not None and getattr(connection.stream, "is_resumed", False):
        version = f"{version}, resumed"
    kind = f" ({version})" if version is not None else ""
    logger.debug("%s connected in %.1f ms%s", connection.origin, seconds * 1000, kind)


def log_response(
    route: Route, request: WireRequest, head: Head, seconds: float, *, is_reused: bool
) -> None:
    """Log a request with the head of its response. The length is the announced one."""
    length = head.body_length
    logger.debug(
        '%s "%s" %d %s in %.1f ms (%s)',
        route.origin,
        _request_line(request),
        head.status,
        f"{length} bytes" if length is not None else "chunked" if head.is_chunked else "no length",
        seconds * 1000,
        "reused" if is_reused else "new",
    )


def log_failed(route: Route, request: WireRequest, error: BaseException, seconds: float) -> None:
    """Log a request that got no response."""
    logger.debug(
        '%s "%s" failed after %.1f ms: %s',
        route.origin,
        _request_line(request),
        seconds * 1000,
        type(error).__name__,
    )


def log_replay(route: Route, request: WireRequest) -> None:
    """Log that a request is sent once more because its kept connection was dead."""
    method = request.method.decode("latin-1")
    logger.debug("%s closed a kept connection; %s is sent again on a new one", route.origin, method)


def _request_line(request: WireRequest) -> str:
    return f"{request.method.decode('latin-1')} {mask_secrets(request.url)} HTTP/1.1"
