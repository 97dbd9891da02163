"""The rules for the head of a request, as h11 has them, for a connection that does not use h11.

    method, field names      tokens (RFC 9110, sections 9.1 and 5.1)
    target                   visible ASCII (RFC 9112, section 3.2)
    field values             no CR, LF, NUL, VT or FF; no white space at either end (section 5)
    Host                     exactly one field (section 3.2)
    Content-Length           one number (section 6.2)
    Transfer-Encoding        `chunked`, once (section 6.1)

`tests/http1/test_head_rules.py` compares them with h11 on random heads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pooledhttp.http1 import errors
from pooledhttp.http1.framing import FramingError, read_framing
from pooledhttp.http1.request_encoding import field_block, is_plain_head
from pooledhttp.syntax import TOKEN

if TYPE_CHECKING:
    from pooledhttp.http1.framing import Framing
    from pooledhttp.http1.messages import WireRequest
    from pooledhttp.http1.progress import ExchangeProgress

__all__ = ["check_head"]

_TOKEN = re.compile(TOKEN.encode("ascii"))
_TARGET = re.compile(rb"[\x21-\x7e]+")
#: In a bytes pattern, `\s` is ASCII white space alone.
_VALUE = re.compile(rb"(?:[^\0\s]+(?:[ \t]+[^\0\s]+)*)?")


def check_head(request: WireRequest, progress: ExchangeProgress) -> None:
    """Check the head of a request, and keep what an exchange needs of it.

    Raises:
        RequestRefused: It cannot be written as HTTP/1.1.
    """
    try:
        framing = _checked(request)
    except FramingError as error:
        raise errors.request_refused(progress, error) from error
    request.checked.keep(
        request, field_block(request), framing.request_bytes, says_close=framing.says_close
    )


def _checked(request: WireRequest) -> Framing:
    if is_plain_head(request):
        return read_framing(request.headers)
    hosts = 0
    for name, value in request.headers:
        if _TOKEN.fullmatch(name) is None:
            raise FramingError(f"Illegal header name {name!r}")
        if _VALUE.fullmatch(value) is None:
            raise FramingError(f"Illegal header value {value!r}")
        hosts += name.lower() == b"host"
    framing = read_framing(request.headers)
    if hosts != 1:
        found = "Found multiple Host: headers" if hosts else "Missing mandatory Host: header"
        raise FramingError(found)
    if _TOKEN.fullmatch(request.method) is None:
        raise FramingError("Illegal method characters")
    if _TARGET.fullmatch(request.target) is None:
        raise FramingError("Illegal target characters")
    return framing
