"""The keyword arguments of one call, as types: what `get`, `post` and the others hand on.

The functions name the arguments that requests names and collect the others in `**kwargs`. These
classes say which those are, so that a type checker finds a misspelled name or a wrong value.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from pooledhttp.certs import CertInput, VerifyInput
from pooledhttp.client.settings import SessionExtras
from pooledhttp.hooks import HooksInput
from pooledhttp.message import (
    AuthInput,
    CookiesInput,
    DataInput,
    FilesInput,
    HeadersInput,
    JsonInput,
    ParamsInput,
    ProxiesInput,
    TimeoutInput,
)
from pooledhttp.pool import pool_advice
from pooledhttp.records import explain_unexpected

__all__ = [
    "CallOptions",
    "CommonOptions",
    "GetOptions",
    "PostOptions",
    "PutOptions",
    "RequestOptions",
    "name_meant_argument",
    "name_meant_setting",
]


#: What other clients call an argument, where that name is not near enough to be guessed.
_NAMES_ELSEWHERE = {"body": "data", "content": "data", "query": "params", "ssl": "verify"}


#: What `send` takes besides the request.
_SETTINGS = ("stream", "timeout", "verify", "cert", "proxies", "allow_redirects")

#: What belongs to the request instead.
_OF_A_REQUEST = ("params", "data", "headers", "cookies", "files", "auth", "hooks", "json")


class CommonOptions(TypedDict, total=False):
    """What every method takes, on threads and on event loops; see `Session.request`."""

    headers: HeadersInput
    cookies: CookiesInput
    timeout: TimeoutInput
    allow_redirects: bool
    proxies: ProxiesInput
    hooks: HooksInput | None
    verify: VerifyInput | None
    cert: CertInput


class CallOptions(CommonOptions, total=False):
    """What every method of `Session` takes; see `Session.request` for the meaning."""

    auth: AuthInput
    files: FilesInput
    stream: bool | None


class RequestOptions(CallOptions, total=False):
    """What `request`, `options`, `head` and `delete` take besides the URL."""

    params: ParamsInput
    data: DataInput
    json: JsonInput


class GetOptions(CallOptions, total=False):
    """What `get` takes besides the URL and `params`."""

    data: DataInput
    json: JsonInput


class PostOptions(CallOptions, total=False):
    """What `post` takes besides the URL, `data` and `json`."""

    params: ParamsInput


class PutOptions(CallOptions, total=False):
    """What `put` and `patch` take besides the URL and `data`."""

    params: ParamsInput
    json: JsonInput


def name_meant_argument(error: TypeError, given: Collection[str]) -> None:
    """Add the argument that was meant to the error of a call of `request`, if one was misspelled.

    Args:
        error: Of the call.
        given: The names of the arguments that were handed on.
    """
    advice = _of_a_session() | _NAMES_ELSEWHERE
    explain_unexpected(error, given, RequestOptions.__annotations__, advice)


def name_meant_setting(error: TypeError, given: Collection[str]) -> None:
    """Add the argument that was meant to the error of a call of `send`, if one was misspelled.

    Args:
        error: Of the adapter, which gets the arguments of `send`.
        given: The names of the arguments that it was given.
    """
    advice = _of_a_session()
    advice |= dict.fromkeys(_OF_A_REQUEST, "Pass it to Request(...), before it is prepared.")
    explain_unexpected(error, given, _SETTINGS, advice)


def _of_a_session() -> dict[str, str]:
    """Return what to say of arguments that a session takes, and no call."""
    advice = dict.fromkeys(SessionExtras.__annotations__, "Pass it to Session(...) instead.")
    return pool_advice("Session(pool={})") | advice
