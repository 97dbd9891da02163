"""Keeps the heads of requests that differ in target and body alone.

    (method, host, framing, fields) -> the first such request, whose fields h11 has checked

Most requests to one origin have the same fields. Their encoding and h11's checks cost a quarter of
a small request, and their result is the same each time. It is kept here and used again as long as
method, fields and their order are equal. A request whose target is not plain is built from the
start (`build_request`), so that its target is checked together with its fields.

No value of a field with credentials is kept: it is encoded and checked for each request, and put
into its place. A request with such a value that is not plain is built from the start, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from urllib3.util.request import SKIP_HEADER

from pooledhttp.http1.framing import FramingError, read_framing
from pooledhttp.http1.messages import CheckedFields, WireRequest
from pooledhttp.http1.request_encoding import (
    as_content,
    build_request,
    encode_plain,
    encode_plain_value,
    field_block,
    is_plain_head,
)
from pooledhttp.records import replace
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import CREDENTIALS

__all__ = ["MAX_HEADS", "RequestMemo"]

_CREDENTIALS = frozenset(name.encode("ascii") for name in CREDENTIALS)

_new, _init_request = object.__new__, WireRequest.__init__

#: The most heads kept for one origin. All are dropped when there are more.
MAX_HEADS = 32


#: Method, host, bytes of the body (-1 without one), whether it is chunked, and the fields.
_Key = tuple[str | bytes, str, int, bool, tuple[tuple[str, Any], ...]]


class RequestMemo:
    """Makes the requests to one origin. Threads can share it."""

    __slots__ = ("_heads", "_last", "_last_target")

    def __init__(self) -> None:
        self._heads: dict[_Key, WireRequest] = {}
        #: The one used last, if it has no credentials. Most requests are like the one before.
        self._last: tuple[_Key, WireRequest] | tuple[None, None] = (None, None)
        #: The target that was encoded last.
        self._last_target: tuple[str, bytes | None] = ("", None)

    def build(
        self,
        method: str | bytes,
        target: str,
        host: str,
        headers: Mapping[Any, Any],
        body: Any,
        chunked: bool,
        url: str,
    ) -> WireRequest:
        """Do what `build_request` does, which also describes arguments and errors.

        Here none is for keywords only: each request calls this, and such a call costs more.
        """
        if type(headers) is not CaseInsensitiveDict or not (
            body is None or isinstance(body, (bytes, str))
        ):
            return build_request(method, target, host, headers, body, chunked=chunked, url=url)
        content, length = None, -1
        if body is not None:
            content = as_content(body)
            length = len(content)
        key = (method, host, length, chunked, headers.snapshot())
        last_key, kept = self._last
        is_secret = False
        try:
            if key != last_key:
                if is_secret := headers.has_any(CREDENTIALS):
                    key = (*key[:-1], headers.snapshot_without(CREDENTIALS))
                kept = self._heads.get(key)
                if kept is not None and not is_secret:
                    self._last = key, kept
        except (TypeError, ValueError, BytesWarning):  # a value without a hash or a comparison
            return build_request(method, target, host, headers, body, chunked=chunked, url=url)
        last_target, plain = self._last_target
        if target != last_target:
            plain = encode_plain(target)
            self._last_target = target, plain
        if kept is not None and plain is not None:
            fields = _with_credentials(kept, headers) if is_secret else kept.headers
            if fields is not None:
                request = _new(WireRequest)  # Python calls a class in a slower way than a function
                _init_request(
                    request,
                    kept.method,
                    plain,
                    fields,
                    content,
                    kept.rewind,
                    url,
                    kept.expects_continue,
                    kept.has_idempotency_key,
                    CheckedFields() if is_secret else kept.checked,
                    plain,
                )
                if is_secret:
                    known = kept.checked
                    block = field_block(request)
                    request.checked.keep(request, block, known.length, says_close=known.says_close)
                return request
        request = build_request(method, target, host, headers, content, chunked=chunked, url=url)
        if kept is None and _is_keepable(headers):
            self._keep(key, request, is_secret=is_secret)
        return request

    def _keep(self, key: _Key, request: WireRequest, *, is_secret: bool) -> None:
        """Keep what a request has in common with others: not its body, which may be large."""
        if len(self._heads) >= MAX_HEADS:
            self._heads = {}
        # The parser fills in `checked` for both.
        common = replace(request, body=None, url="")
        if not is_secret or _leave_credentials_out(common):
            self._heads[key] = common


def _is_keepable(headers: CaseInsensitiveDict[Any]) -> bool:
    """Whether fields can be compared by their values."""
    return all(
        isinstance(name, str) and isinstance(value, (str, bytes)) and value != SKIP_HEADER
        for name, value in headers.snapshot()
    )


def _with_credentials(
    kept: WireRequest, headers: CaseInsensitiveDict[Any]
) -> list[tuple[bytes, bytes]] | None:
    """Return the fields of a request that was kept, with the credentials of another one.

    Returns:
        `None` if one of them is not plain.
    """
    fields = kept.headers.copy()
    for place, (name, _) in enumerate(fields):
        if name.lower() in _CREDENTIALS:
            value = encode_plain_value(headers[name.decode("ascii")])
            if value is None:
                return None
            fields[place] = name, value
    return fields


def _leave_credentials_out(request: WireRequest) -> bool:
    """Leave the values of credentials out, and check the rest of the head.

    Returns:
        Whether the head is plain without them.
    """
    request.headers = [
        (name, b"" if name.lower() in _CREDENTIALS else value) for name, value in request.headers
    ]
    request.checked = CheckedFields()
    if not is_plain_head(request):
        return False
    try:
        framing = read_framing(request.headers)
    except FramingError:
        return False
    request.checked.keep(request, b"", framing.request_bytes, says_close=framing.says_close)
    return True
