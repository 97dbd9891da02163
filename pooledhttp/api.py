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
        method: The method, such as `"GET"`, in any case.
        url: The URL, with its scheme.
        **kwargs: The other arguments of `Session.request`, by name.

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
    """Send a GET through a session of its own.

    Args:
        url: The URL, with its scheme.
        params: Added to the query of the URL: a mapping, pairs, or text. None adds nothing.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("get", url, params=params, **kwargs)


def options(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send an OPTIONS through a session of its own.

    Args:
        url: The URL, with its scheme.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("options", url, **kwargs)


def head(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a HEAD through a session of its own. Redirects are not followed by default.

    Args:
        url: The URL, with its scheme.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    kwargs.setdefault("allow_redirects", False)
    return request("head", url, **kwargs)


def post(
    url: UrlInput,
    data: DataInput = None,
    json: JsonInput = None,
    **kwargs: Unpack[PostOptions],
) -> Response:
    """Send a POST through a session of its own.

    Args:
        url: The URL, with its scheme.
        data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
            None sends none.
        json: A value to send as JSON, if there is no `data`. None sends none.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("post", url, data=data, json=json, **kwargs)


def put(url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]) -> Response:
    """Send a PUT through a session of its own.

    Args:
        url: The URL, with its scheme.
        data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
            None sends none.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("put", url, data=data, **kwargs)


def patch(url: UrlInput, data: DataInput = None, **kwargs: Unpack[PutOptions]) -> Response:
    """Send a PATCH through a session of its own.

    Args:
        url: The URL, with its scheme.
        data: The body: a form (mapping or pairs), text, bytes, a file or an iterable of bytes.
            None sends none.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("patch", url, data=data, **kwargs)


def delete(url: UrlInput, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a DELETE through a session of its own.

    Args:
        url: The URL, with its scheme.
        **kwargs: The other arguments of `Session.request`, by name.

    Raises:
        RequestException: The request failed; the class says how.
    """
    return request("delete", url, **kwargs)
