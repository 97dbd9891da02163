"""One request without keeping anything: each function opens a session, uses it once, closes it.

A program that sends more than one request to a server should keep a `Session`: its connections are
used again, which these functions cannot do.
"""

from __future__ import annotations

from typing import Any

from pooledhttp import sessions
from pooledhttp.message import Response

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]


def request(method: Any, url: Any, **kwargs: Any) -> Response:
    """Send a request by a session of its own.

    Args:
        method: The method, in any case.
        url: Where to.
        **kwargs: As for `Session.request`.

    Raises:
        RequestException: Anything that went wrong; the class says what.
    """
    # Looked up in its module each time: replacing `sessions.Session` is how caches are put in.
    with sessions.Session() as session:
        return session.request(method=method, url=url, **kwargs)


def get(url: Any, params: Any = None, **kwargs: Any) -> Response:
    """Send a GET; arguments as for `Session.request`."""
    return request("get", url, params=params, **kwargs)


def options(url: Any, **kwargs: Any) -> Response:
    """Send an OPTIONS; arguments as for `Session.request`."""
    return request("options", url, **kwargs)


def head(url: Any, **kwargs: Any) -> Response:
    """Send a HEAD; as `Session.request`, but redirects are not followed unless asked."""
    kwargs.setdefault("allow_redirects", False)
    return request("head", url, **kwargs)


def post(url: Any, data: Any = None, json: Any = None, **kwargs: Any) -> Response:
    """Send a POST; arguments as for `Session.request`."""
    return request("post", url, data=data, json=json, **kwargs)


def put(url: Any, data: Any = None, **kwargs: Any) -> Response:
    """Send a PUT; arguments as for `Session.request`."""
    return request("put", url, data=data, **kwargs)


def patch(url: Any, data: Any = None, **kwargs: Any) -> Response:
    """Send a PATCH; arguments as for `Session.request`."""
    return request("patch", url, data=data, **kwargs)


def delete(url: Any, **kwargs: Any) -> Response:
    """Send a DELETE; arguments as for `Session.request`."""
    return request("delete", url, **kwargs)
