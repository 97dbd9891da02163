"""From header fields and a body of any kind to a `WireRequest` whose framing is decided.

Framing is ours alone: exactly one of Content-Length and `Transfer-Encoding: chunked` goes out with
a body, whatever the caller's fields say, since a request that carries both is read differently by
different servers (RFC 9112, section 6.1). What the caller did not say and HTTP wants is added as
http.client would: `Host` first, then `Accept-Encoding: identity`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from urllib3.util.request import SKIP_HEADER
from urllib3.util.url import _encode_target

from pooledhttp.exceptions import InvalidHeader, InvalidURL
from pooledhttp.syntax import TOKEN
from pooledhttp.transport.wire import WireRequest

__all__ = ["build_request"]

_TOKEN = re.compile(TOKEN)
#: A request target that needs no encoding: visible ASCII without a percent sign.
_PLAIN_TARGET = re.compile(r"[!\"$&-;=?-Z_a-z~]+")
#: Methods for which a request without a body says so by `Content-Length: 0` (RFC 9110, section
#: 8.6).
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})

#: What ends or divides a host where servers and proxies read one; those behind one another might
#: disagree on what such a field says.
_NEVER_IN_A_HOST = re.compile(rb"[\x00-\x20\x7f/?#@\\]")

_Field = tuple[bytes, bytes]

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def build_request(
    method: str | bytes,
    target: str,
    host: str,
    headers: Mapping[Any, Any],
    body: Any,
    *,
    chunked: bool,
    url: str,
) -> WireRequest:
    """Make a request ready for the wire.

    Args:
        method: A token.
        target: A path with query, a whole URL for a forward proxy, or `*`.
        host: What `Host` says where `headers` do not.
        headers: Names and values as str or bytes, in wire order.
        body: `None`, str (sent as UTF-8), bytes, something with `read`, or an iterable.
        chunked: Send the body in chunks.
        url: For error messages, without credentials.

    Raises:
        InvalidHeader: A field cannot be encoded.
        InvalidURL: The method or the target cannot be sent.
    """
    name = method if isinstance(method, str) else method.decode("latin-1")
    if not _TOKEN.fullmatch(name):
        raise InvalidURL(f"The method {name!r} is not a token (RFC 9110, section 9.1).")
    content = _as_content(body)
    fields, seen = _encode_fields(headers)
    fields = _with_framing(fields, _framing(name, content, seen.get(b"content-length"), chunked))
    if b"accept-encoding" not in seen:
        fields.insert(0, (b"Accept-Encoding", b"identity"))
    if b"host" in seen:
        if _NEVER_IN_A_HOST.search(seen[b"host"]):
            raise InvalidHeader(
                f"The Host field {seen[b'host'].decode('latin-1')!r} names no host: white space and"
                " what divides a URL cannot be part of one."
            )
    else:
        fields.insert(0, (b"Host", host.encode("ascii")))
    request = WireRequest(
        method=name.encode("ascii"),
        target=_encode(target),
        headers=fields,
        body=content,
        url=url,
        expects_continue=content is not None
        and seen.get(b"expect", b"").lower() == b"100-continue",
        has_idempotency_key=b"idempotency-key" in seen,
    )
    request.rewind = _rewinder(content)
    return request


def _as_content(body: Any) -> Any:
    """Text and buffers as bytes; files and iterables as they are."""
    if isinstance(body, str):
        return body.encode("utf-8")
    if body is None or isinstance(body, bytes) or hasattr(body, "read"):
        return body
    try:
        return bytes(memoryview(body))
    except TypeError:
        return body


def _encode_fields(headers: Mapping[Any, Any]) -> tuple[list[_Field], dict[bytes, bytes]]:
    """Encode the caller's fields; returns them in order, and by lower-case name."""
    fields: list[_Field] = []
    seen: dict[bytes, bytes] = {}
    for name, value in headers.items():
        raw_name = _bytes(name, name)
        is_left_out = value is None or value == SKIP_HEADER
        # White space at the end is no part of a value (RFC 9110, section 5.5), and h11 takes none.
        raw_value = b"" if is_left_out else _bytes(name, value).rstrip(b" \t")
        seen[raw_name.lower()] = raw_value
        if not is_left_out:
            fields.append((raw_name, raw_value))
    return fields, seen


def _bytes(name: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidHeader(
            f"Header {name!r} holds characters beyond latin-1; encode the value yourself ({error})."
        ) from error


def _framing(method: str, content: Any, length: bytes | None, chunked: bool) -> _Field | None:
    """The one field that says where the body ends.

    `None` for a request that has no body and need not say so.
    """
    if content is None:
        # A length that was promised is kept: h11 refuses to break the promise.
        if length is None and method not in _BODY_EXPECTED:
            return None
        return b"Content-Length", b"0" if length is None else length
    if not chunked and (length is not None or isinstance(content, bytes)):
        return b"Content-Length", b"%d" % len(content) if length is None else length
    return b"Transfer-Encoding", b"chunked"


def _with_framing(fields: list[_Field], framing: _Field | None) -> list[_Field]:
    """Put `framing` where the caller had such a field, else at the end; drop any other."""
    kept: list[_Field] = []
    for field in fields:
        lower = field[0].lower()
        if lower not in _FRAMING:
            kept.append(field)
        elif framing is not None and lower == framing[0].lower():
            kept.append((field[0], framing[1]))
            framing = None
    if framing is not None:
        kept.append(framing)
    return kept


def _encode(target: str) -> bytes:
    """Percent-encode what may not stand in a request line; other bytes are left as they are."""
    if _PLAIN_TARGET.fullmatch(target):
        return target.encode("ascii")
    if target.startswith("/"):
        target = _encode_target(target)
    try:
        return target.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidURL(f"The URL {target!r} holds characters that may not be sent.") from error


def _rewinder(content: Any) -> Callable[[], None] | None:
    """What puts a body back to where it stands now; `None` when sending it once uses it up."""
    if content is None or isinstance(content, bytes):
        return lambda: None
    if not hasattr(content, "read"):
        is_iterator = iter(content) is content if hasattr(content, "__iter__") else True
        return None if is_iterator else lambda: None
    try:
        position = content.tell()
        if not content.seekable():
            return None
    except (AttributeError, OSError, ValueError):
        return None
    return lambda: content.seek(position)
