"""Keeps the heads of requests that differ in target and body alone.

    (method, host, framing, fields) -> the first such request, whose fields h11 has checked

Most requests to one origin have the same fields. Their encoding and h11's checks cost a quarter of
a small request, and their result is the same each time. It is kept here and used again as long as
method, fields and their order are equal. A target that is not plain takes the whole way, so that it
is checked together with its fields.

Fields that hold credentials are encoded and checked for each request, so that no memo keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from urllib3.util.request import SKIP_HEADER

from pooledhttp.http1.messages import WireRequest
from pooledhttp.http1.request_encoding import as_content, build_request, encode_plain, rewinder
from pooledhttp.records import replace
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import CREDENTIALS

__all__ = ["MAX_HEADS", "RequestMemo"]

#: The most heads kept for one origin. All are dropped when there are more.
MAX_HEADS = 32


class RequestMemo:
    """Makes the requests to one origin. Threads can share it."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[Any, WireRequest] = {}

    def build(
        self,
        method: str | bytes,
        target: str,
        host: str,
        headers: Mapping[Any, Any],
        body: Any,
        *,
        chunked: bool,
        url: str,
    ) -> WireRequest:
        """Do what `build_request` does, which also describes arguments and errors."""
        if (
            type(headers) is not CaseInsensitiveDict
            or not (body is None or isinstance(body, (bytes, str)))
            or headers.has_any(CREDENTIALS)
        ):
            return build_request(method, target, host, headers, body, chunked=chunked, url=url)
        content = as_content(body)
        length = -1 if content is None else len(content)
        key = (method, host, length, chunked, headers.snapshot())
        try:
            kept = self._heads.get(key)
        except TypeError:  # a value that cannot be hashed: its text is sent
            return build_request(method, target, host, headers, body, chunked=chunked, url=url)
        plain = None if kept is None else encode_plain(target)
        if kept is not None and plain is not None:
            return WireRequest(
                kept.method,
                plain,
                kept.headers,
                content,
                rewinder(content),
                url,
                kept.expects_continue,
                kept.has_idempotency_key,
                kept.checked,
            )
        request = build_request(method, target, host, headers, content, chunked=chunked, url=url)
        if kept is None and _is_keepable(headers):
            if len(self._heads) >= MAX_HEADS:
                self._heads = {}
            # Without the body, which may be large. The parser fills in `checked` for both.
            self._heads[key] = replace(request, body=None, rewind=None, url="")
        return request


def _is_keepable(headers: CaseInsensitiveDict[Any]) -> bool:
    """Whether fields can be compared by their values."""
    return all(
        isinstance(name, str) and isinstance(value, (str, bytes)) and value != SKIP_HEADER
        for name, value in headers.snapshot()
    )
