"""Which characters the bytes of a body stand for.

header    get_encoding_from_headers      `charset=`, else a default by media type
content   get_encodings_from_content     what HTML and XML say of themselves
bytes     guess_json_utf                 where the zeros are in the first four bytes
"""

from __future__ import annotations

import codecs
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, AnyStr, Protocol

from pooledhttp.message.headers import parse_content_type

__all__ = [
    "get_encoding_from_headers",
    "get_encodings_from_content",
    "get_unicode_from_response",
    "guess_json_utf",
    "iter_slices",
    "stream_decode_response_unicode",
    "to_native_string",
    "unicode_is_ascii",
]

# In the order in which they are believed.
_DECLARATIONS = (
    re.compile(r"<meta.*?charset=[\"']*(.+?)[\"'>]", re.IGNORECASE),
    re.compile(r"<meta.*?content=[\"']*;?charset=(.+?)[\"'>]", re.IGNORECASE),
    re.compile(r"^<\?xml.*?encoding=[\"']*(.+?)[\"'>]"),
)

# Byte order marks and what they give away; UTF-32's little-endian one begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What UTF-16 and UTF-32 without a byte order mark are for `bytes.decode`. Decoders of pieces refuse
# them, also where they are asked to replace what is damaged.
_NATIVE = {
    "utf-16": f"utf-16-{sys.byteorder[0]}e",
    "utf-32": f"utf-32-{sys.byteorder[0]}e",
}

# JSON begins with two ASCII characters, so zero bytes show the width of a unit and its byte order.
_ZERO_PATTERNS = {
    (False, False, False, False): "utf-8",
    (True, False, True, False): "utf-16-be",
    (False, True, False, True): "utf-16-le",
    (True, True, True, False): "utf-32-be",
    (False, True, True, True): "utf-32-le",
}


def get_encoding_from_headers(headers: Mapping[str, Any]) -> str | None:
    """Return the encoding the header fields name or imply.

    Args:
        headers: The fields, with `content-type` found in any case.

    Returns:
        The `charset`; without one ISO-8859-1 for `text` (RFC 2616, still what servers mean) and
        UTF-8 for JSON (RFC 8259); `None` for anything else.
    """
    content_type = headers.get("content-type")
    if not content_type:
        return None
    media_type, parameters = parse_content_type(content_type)
    if "charset" in parameters:
        return parameters["charset"].strip("'\"")
    if "text" in media_type:
        return "ISO-8859-1"
    if "application/json" in media_type:
        return "utf-8"
    return None


def get_encodings_from_content(content: str) -> list[str]:
    """Return the encodings a text of HTML or XML declares, the one to believe first at the front.

    Deprecated: a parser for the format knows better.
    """
    _deprecated("get_encodings_from_content", "Ask a parser for HTML or XML.")
    return [name for pattern in _DECLARATIONS for name in pattern.findall(content)]


def get_unicode_from_response(r: Any) -> str:
    """Return a response's body as text, in the encoding its header fields name or else in UTF-8.

    Deprecated: use `Response.text`.
    """
    _deprecated("get_unicode_from_response", "Use Response.text.")
    return str(r.content, get_encoding_from_headers(r.headers) or "utf-8", errors="replace")


def guess_json_utf(data: bytes) -> str | None:
    """Tell from its first bytes in which Unicode encoding JSON is.

    Returns:
        The codec's name, or `None` when it looks like none of them.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:4]
    if 0 not in start:
        return "utf-8"
    return _ZERO_PATTERNS.get(tuple(byte == 0 for byte in start))  # type: ignore[arg-type]


class _Encoded(Protocol):
    """What has an encoding, such as a response."""

    @property
    def encoding(self) -> str | None: ...


def stream_decode_response_unicode(iterator: Iterable[bytes], r: _Encoded) -> Iterator[str | bytes]:
    """Decode pieces of a body into text; a character cut in two by the pieces comes out whole.

    Args:
        iterator: The pieces.
        r: The response, for its `encoding`. With `None` the pieces come out as they are; one that
            no codec has counts as UTF-8, as for `Response.text`.
    """
    if r.encoding is None:
        yield from iterator
        return
    encoding = r.encoding
    try:
        # What a server says may be no codec at all, or one that is not for text, such as "zlib".
        str(b" ", encoding, errors="replace")
    except (LookupError, ValueError):
        encoding = "utf-8"
    decoder = _replacing_decoder(encoding)
    for piece, is_end in chain(zip(iterator, repeat(False)), [(b"", True)]):
        try:
            text = decoder.decode(piece, is_end)
        except UnicodeError:  # the codec cannot replace what is wrong
            held = decoder.getstate()[0]
            decoder = _replacing_decoder(_NATIVE.get(codecs.lookup(encoding).name, "utf-8"))
            text = decoder.decode(held + piece, is_end)
        if text:
            yield text


def _replacing_decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)(errors="replace")


def iter_slices(string: AnyStr, slice_length: int | None) -> Iterator[AnyStr]:
    """Cut text or bytes into pieces.

    Args:
        string: What to cut.
        slice_length: Length of each piece but the last. `None`, zero and less give one piece.
    """
    step = slice_length if slice_length and slice_length > 0 else max(len(string), 1)
    for start in range(0, len(string), step):
        yield string[start : start + step]


def to_native_string(string: str | bytes, encoding: str = "ascii") -> str:
    """Return text as it is and bytes decoded.

    Args:
        string: Text or bytes.
        encoding: How to decode bytes.
    """
    return string if isinstance(string, str) else string.decode(encoding)


def unicode_is_ascii(u_string: str) -> bool:
    """Return whether a text holds ASCII characters only."""
    return u_string.isascii()


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name}() is deprecated. {instead}", DeprecationWarning, stacklevel=3)
