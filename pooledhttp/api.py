"""Single requests: each function opens a session, sends one request and closes the session.

A program that sends more than one request to a server should keep a `Session`, which uses its
connections again. These functions cannot do that.
"""

from __future__ import annotations

from typing import Unpack

from pooledhttp import sessions
from pooledhttp.client import (
    GetOptions,
    PostOptions,
    PutOptions,
    RequestOptions,
    name_meant_argument,
)
from pooledhttp.message import DataInput, JsonInput, ParamsInput, Response, UrlInput

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]


def request(method: str | bytes, url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a request through a session of its own.

    Args:
        method: The method, in any case.
        url: Where to.
        **kwargs: As for `Session.request`.

    Raises:
        RequestException: The request failed; the class says how.
    """
    # Looked up in its module each time: caches replace `sessions.Session`.
    with sessions.Session() as session:
        try:
            return session.request(method=method, url=url, **kwargs)
        except TypeError as error:
            name_meant_argument(error, kwargs)
            raise


def get(url: UrlInput, params: ParamsInput = None, **kwargs: Unpack[GetOptions]) -> Response:
    """Send a GET; arguments as for `Session.request`."""
    return request("get", url, params=params, **kwargs)


def options(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send an OPTIONS; arguments as for `Session.request`."""
    return request("options", url, **kwargs)


def head(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a HEAD; as `Session.request`, but redirects are not followed by default."""
    kwargs.setdefault("allow_redirects", False)
    return request("head", url, **kwargs)


def post(
    url: UrlInput,
    data: DataInput = None,
    json: JsonInput = None,
    **kwargs: Unpack[PostOptions],
) -> Response:
    """Send a POST; arguments as for `Session.request`."""
    return request("post", url, data=data, json=json, **kwargs)


def put(url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]) -> Response:
    """Send a PUT; arguments as for `Session.request`."""
    return request("put", url, data=data, **kwargs)


def patch(url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]) -> Response:
    """Send a PATCH; arguments as for `Session.request`."""
    return request("patch", url, data=data, **kwargs)


def delete(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a DELETE; arguments as for `Session.request`."""
    return request("delete", url, **kwargs)
