"""One HTTP/1.1 connection: turns requests into bytes, and bytes into responses.

It knows no pool, no route and no retry policy. Read `connection` and `states` first.

    request_encoding   method, fields and body of any kind -> `WireRequest`, framing decided
    request_memo       the same, with the encoded and checked fields of earlier requests
    connection         one exchange after another over a `ByteStream`: writes requests, waits
    response_side      its base class: reads responses, waits, decides on reuse
      head_memo        heads that were parsed before, found by their bytes
      head_shape       a pattern of the usual heads of a host, for bulk runs
      head_reader      the final head of a response, and how its body is framed
        parser         the seam: what finds heads in bytes, and what checks request heads
        parser_choice  h11 or httptools; `parsers` has what differs
        h11_parser     both by h11; the only module that imports it
        fast_parser    clean heads by httptools, all others by h11
        head_rules     checks request heads where h11 is not in use
        head_repair    repairs a head that h11 refuses, by the table in `odd_heads`
      framing          the fields that say where a body ends
      response_body    the pieces of a response body, and where it ends
        chunks         decodes a chunked body
      request_body     sends a large or streamed body, and watches for an early response
    response_head      `Head`: a response head and its framing as a value
    messages           `WireRequest`, `ResponseLimits`
    states             what a connection may do when
    debug_output       what `http.client.HTTPConnection.debuglevel` prints
    progress           how far the exchange in progress has come
    errors             makes errors of urllib3's classes, with these facts

Everything above this package works with `WireRequest`, `Head` and bytes, and most of this package
does so, too: another parser can replace h11 and pass the same tests. This package does not import
`network`, `pool` or `message`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.http1.bytestream import ByteStream
from pooledhttp.http1.messages import CheckedFields, ResponseLimits, TlsTruncation, WireRequest
from pooledhttp.http1.parser_choice import ParserChoice, chosen_name
from pooledhttp.loading import load_when_used as _load_when_used

if TYPE_CHECKING:
    from pooledhttp.http1.connection import RECV_BYTES, Connection
    from pooledhttp.http1.errors import (
        body_broken,
        explain_timeout,
        read_after_release,
        recv_timeout,
    )
    from pooledhttp.http1.head_memo import HeadMemos
    from pooledhttp.http1.head_shape import HeadShape, HeadShapes
    from pooledhttp.http1.parsers import check_request, library_for
    from pooledhttp.http1.request_encoding import build_request, encode_plain
    from pooledhttp.http1.request_memo import RequestMemo
    from pooledhttp.http1.response_head import Head
    from pooledhttp.http1.states import State

__all__ = [
    "RECV_BYTES",
    "ByteStream",
    "CheckedFields",
    "Connection",
    "Head",
    "HeadMemos",
    "HeadShape",
    "HeadShapes",
    "ParserChoice",
    "RequestMemo",
    "ResponseLimits",
    "State",
    "TlsTruncation",
    "WireRequest",
    "body_broken",
    "build_request",
    "check_request",
    "chosen_name",
    "encode_plain",
    "explain_timeout",
    "library_for",
    "read_after_release",
    "recv_timeout",
]

__getattr__ = _load_when_used(
    globals(),
    {
        "connection": ("RECV_BYTES", "Connection"),
        "errors": ("body_broken", "explain_timeout", "read_after_release", "recv_timeout"),
        "head_memo": ("HeadMemos",),
        "head_shape": ("HeadShape", "HeadShapes"),
        "parsers": ("check_request", "library_for"),
        "request_encoding": ("build_request", "encode_plain"),
        "request_memo": ("RequestMemo",),
        "response_head": ("Head",),
        "states": ("State",),
    },
)
