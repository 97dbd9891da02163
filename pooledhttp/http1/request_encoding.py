"""Makes a `WireRequest` of header fields and a body of any kind, and decides its framing.

Only this module decides the framing. A body is sent with either Content-Length or
`Transfer-Encoding: chunked`, never with both, whatever the caller's fields say: servers differ in
how they read a request that has both (RFC 9112, section 6.1). If the caller gives no `Host` or no
`Accept-Encoding`, they are added as http.client adds them: `Host` first, then
`Accept-Encoding: identity`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from urllib3.util.request import SKIP_HEADER
from urllib3.util.url import _encode_target

from pooledhttp.exceptions import InvalidHeader, InvalidURL
from pooledhttp.http1.messages import WireRequest
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.syntax import TOKEN

__all__ = [
    "as_content",
    "build_request",
    "encode_plain",
    "encode_plain_value",
    "field_block",
    "is_plain_head",
    "rewinder",
]

_TOKEN = re.compile(TOKEN)
#: A request target that needs no encoding: visible ASCII without a percent sign.
_PLAIN_TARGET = re.compile(r"[!\"$&-;=?-Z_a-z~]+")
_METHOD, _TARGET = re.compile(TOKEN.encode()), re.compile(rb"[\x21-\x7e]+")
#: Names, and values, of several fields with line feeds between them, as `is_plain_head` has them.
_NAMES = re.compile(rb"%b(?:\n%b)*" % (TOKEN.encode(), TOKEN.encode()))
_WORDS = rb"(?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?"
_VALUES = re.compile(rb"%b(?:\n%b)*" % (_WORDS, _WORDS))
#: Visible ASCII characters, and the blank.
_VISIBLE = bytes(range(0x20, 0x7F))
#: Methods whose requests say `Content-Length: 0` when they have no body (RFC 9110, section 8.6).
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})

#: Bytes that end or divide a host. If a `Host` field has one of them, a proxy and the server behind
#: it may read two different hosts.
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
        method: A token (RFC 9110, section 5.6.2).
        target: A path with query, a whole URL for a forward proxy, or `*`.
        host: The value of `Host` if `headers` has none.
        headers: Names and values as str or bytes, in wire order. A field whose value is `None` or
            urllib3's `SKIP_HEADER` is left out.
        body: `None`, str (sent as UTF-8), bytes, something with `read`, or an iterable.
        chunked: Send the body in chunks.
        url: For error messages, without credentials.

    Raises:
        InvalidHeader: A field cannot be encoded, or the value of `Host` is not a host.
        InvalidURL: The method or the target cannot be sent.
    """
    name = method if isinstance(method, str) else method.decode("latin-1")
    if not _TOKEN.fullmatch(name):
        raise InvalidURL(f"The method {name!r} is not a token (RFC 9110, section 9.1).")
    content = as_content(body)
    fields, seen = _encode_fields(headers)
    fields = _with_framing(fields, _framing(name, content, seen.get(b"content-length"), chunked))
    if b"accept-encoding" not in seen:
        fields.insert(0, (b"Accept-Encoding", b"identity"))
    if b"host" in seen:
        if _NEVER_IN_A_HOST.search(seen[b"host"]):
            raise InvalidHeader(
                f"The Host field {seen[b'host'].decode('latin-1')!r} is not a host: it must not"
                " contain white space or the delimiters of a URL."
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
    request.rewind = rewinder(content)
    return request


def field_block(request: WireRequest) -> bytes:
    """Write the fields of a request in the caller's order, and the blank line behind them.

    The caller has checked them. h11's own writer would move `Host` to the front.
    """
    return b"%s\r\n" % b"".join([b"%s: %s\r\n" % field for field in request.headers])


def is_plain_head(request: WireRequest) -> bool:
    """Whether h11 surely accepts a head, so that it need not check it.

    A plain head has one `Host`, tokens for names, and visible characters, with blanks between them,
    for values. Other heads may be valid as well: h11 checks them.
    """
    names, values = zip(*request.headers, strict=True) if request.headers else ((), ())
    breaks = len(names) - 1
    all_names, all_values = b"\n".join(names), b"\n".join(values)
    return (
        all_names.count(b"\n") == all_values.count(b"\n") == breaks
        and _NAMES.fullmatch(all_names) is not None
        and _VALUES.fullmatch(all_values) is not None
        and sum(len(name) == 4 and name.lower() == b"host" for name in names) == 1
        and _TARGET.fullmatch(request.target) is not None
        and _METHOD.fullmatch(request.method) is not None
    )


def as_content(body: Any) -> Any:
    """Return text and buffers as bytes, files and iterables as they are."""
    if isinstance(body, str):
        return body.encode("utf-8")
    if body is None or isinstance(body, bytes) or hasattr(body, "read"):
        return body
    try:
        return bytes(memoryview(body))
    except TypeError:
        return body


def _encode_fields(headers: Mapping[Any, Any]) -> tuple[list[_Field], dict[bytes, bytes]]:
    """Encode the caller's fields; return them in order, and by lower-case name."""
    fields: list[_Field] = []
    seen: dict[bytes, bytes] = {}
    pairs = headers.snapshot() if type(headers) is CaseInsensitiveDict else headers.items()
    for name, value in pairs:
        raw_name = _bytes(name, name)
        is_left_out = value is None or value == SKIP_HEADER
        # White space at the end is no part of a value (RFC 9110, section 5.5); h11 refuses it.
        raw_value = b"" if is_left_out else _bytes(name, value).rstrip(b" \t")
        seen[raw_name.lower()] = raw_value
        if not is_left_out:
            fields.append((raw_name, raw_value))
    return fields, seen


def _bytes(name: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        # Not `str(value)` for all: that of an `Enum` which is also a str gives its name.
        return (value if isinstance(value, str) else str(value)).encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidHeader(
            f"Header {name!r} has characters that latin-1 cannot encode; pass bytes ({error})."
        ) from error


def _framing(method: str, content: Any, length: bytes | None, chunked: bool) -> _Field | None:
    """Choose the one field that says where the body ends.

    Returns:
        The field; `None` for a request without a body that needs no such field.
    """
    if content is None:
        # The caller's own length is kept. If it is not 0, h11 raises, because no body follows.
        if length is None and method not in _BODY_EXPECTED:
            return None
        return b"Content-Length", b"0" if length is None else length
    if not chunked and (length is not None or isinstance(content, bytes)):
        return b"Content-Length", b"%d" % len(content) if length is None else length
    return b"Transfer-Encoding", b"chunked"


def _with_framing(fields: list[_Field], framing: _Field | None) -> list[_Field]:
    """Put the framing field where the caller had one of that name, else at the end.

    All other framing fields are dropped.
    """
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


def encode_plain(target: str) -> bytes | None:
    """Encode a target that may stand in a request line as it is; `None` for any other."""
    return target.encode("ascii") if _PLAIN_TARGET.fullmatch(target) else None


def encode_plain_value(value: object) -> bytes | None:
    """Encode the value of a field that may be sent as it is; `None` for any other.

    It has only visible ASCII characters and blanks within, and is not urllib3's `SKIP_HEADER`.
    """
    if type(value) is not str or value == SKIP_HEADER or not value.isascii():
        return None
    encoded = value.encode("ascii")
    # Much faster than a regular expression: such values may be long.
    is_plain = not encoded.translate(None, _VISIBLE) and encoded == encoded.strip()
    return encoded if is_plain else None


def _encode(target: str) -> bytes:
    """Percent-encode what a request line must not contain; leave other bytes as they are."""
    plain = encode_plain(target)
    if plain is not None:
        return plain
    if target.startswith("/"):
        target = _encode_target(target)
    try:
        return target.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidURL(f"The URL {target!r} has characters that are not ASCII.") from error


def _need_not_rewind() -> None:
    """Do nothing: reading bytes, or an iterable that is no iterator, does not use them up."""


def rewinder(content: Any) -> Callable[[], None] | None:
    """Return a function that puts a body back to where it is now.

    `None` if the body can be sent only once, as an iterator or a pipe.
    """
    if content is None or isinstance(content, bytes):
        return _need_not_rewind
    if not hasattr(content, "read"):
        is_iterator = iter(content) is content if hasattr(content, "__iter__") else True
        return None if is_iterator else _need_not_rewind
    try:
        position = content.tell()
        if not content.seekable():
            return None
    except (AttributeError, OSError, ValueError):
        return None
    return lambda: content.seek(position)
