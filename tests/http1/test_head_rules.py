"""The rules for request heads, against h11's on the same heads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooledhttp.exceptions import RequestRefused
from pooledhttp.http1 import h11_parser, head_rules
from pooledhttp.http1.messages import WireRequest
from pooledhttp.http1.progress import ExchangeProgress

Field = tuple[bytes, bytes]
HOST = (b"Host", b"a.test")
PROGRESS = ExchangeProgress("http://a.test:80")
ODD = [
    *(b"", b" ", b"\t", b"\r", b"\n", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xa0", b":"),
    *(b"(", b"a", b"/", b"\r\nX: y", b"a b", b" a", b"a "),
]

part = st.one_of(st.sampled_from(ODD), st.binary(max_size=3))
text = st.lists(part, max_size=3).map(b"".join)
field = st.one_of(
    st.just(HOST),
    st.tuples(st.sampled_from([b"X", b"Host", b"hOST", b"X-\x80", b"Y Z"]), text),
    st.tuples(text, st.just(b"v")),
    st.tuples(
        st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Connection"]),
        st.sampled_from([b"5", b"6", b"5,5", b"-1", b"chunked", b"gzip", b"Close", b"x"]),
    ),
)


def check_by(checker: object, method: bytes, target: bytes, fields: list[Field]) -> object:
    """What a checker keeps of a head, or `refused`."""
    request = WireRequest(method, target, fields)
    try:
        checker.check_head(request, PROGRESS)  # type: ignore[attr-defined]
    except RequestRefused:
        return "refused"
    kept = request.checked
    return kept.block, kept.length, kept.says_close


@settings(max_examples=500)
@given(
    method=st.one_of(st.just(b"GET"), text),
    target=st.one_of(st.just(b"/"), text),
    fields=st.lists(field, max_size=3),
    has_host=st.booleans(),
)
def test_they_are_those_of_h11(
    method: bytes, target: bytes, fields: list[Field], has_host: bool
) -> None:
    """The same heads are refused, and the same is kept of the others."""
    fields = [HOST, *fields] if has_host else fields
    ours = check_by(head_rules, method, target, fields)
    assert ours == check_by(h11_parser, method, target, fields)


@pytest.mark.parametrize(
    ("method", "target", "fields", "text"),
    [
        (b"GET ", b"/", [HOST], "method"),
        (b"GET", b"/a b", [HOST], "target"),
        (b"GET", b"/\r\nX:", [HOST], "target"),
        (b"GET", b"/\xc3\xbc", [HOST], "target"),
        (b"GET", b"/", [HOST, (b"X y", b"1")], "header name"),
        (b"GET", b"/", [HOST, (b"", b"1")], "header name"),
        (b"GET", b"/", [HOST, (b"X", b"a\r\nEvil: 1")], "header value"),
        (b"GET", b"/", [HOST, (b"X", b"a\nb")], "header value"),
        (b"GET", b"/", [HOST, (b"X", b"a\0")], "header value"),
        (b"GET", b"/", [], "Missing mandatory Host"),
        (b"GET", b"/", [HOST, HOST], "multiple Host"),
        (b"GET", b"/", [HOST, (b"Content-Length", b"5, 6")], "conflicting Content-Length"),
        (b"GET", b"/", [HOST, (b"Transfer-Encoding", b"gzip")], "Transfer-Encoding"),
    ],
)
@pytest.mark.parametrize("checker", [head_rules, h11_parser])
def test_each_rule_has_its_error(
    method: bytes, target: bytes, fields: list[Field], text: str, checker: object
) -> None:
    """The error says what is wrong, whichever library is in use."""
    request = WireRequest(method, target, fields)
    with pytest.raises(RequestRefused, match=re.escape(text)):
        checker.check_head(request, PROGRESS)  # type: ignore[attr-defined]
    assert not request.checked.is_for(request)
