"""Parts of URLs: the short way for plain ones gives what `urlsplit` gives."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooledhttp.bulk.urls import kept_query, network_location, origin_of, path_and_query
from pooledhttp.message import DEFAULT_PORTS

PLAIN = st.text(st.sampled_from("aZ09/.-_~%?&=+;:@#!$'()*,[] é"), max_size=30)
HOSTS = st.sampled_from(
    ["h", "H.Example", "1.2.3.4", "[::1]", "u:p@h", "", "h_h", "bücher.de", "-"]
)
PORTS = st.sampled_from(
    ["", ":", ":0", ":080", ":80", ":443", ":8443", ":65535", ":65536", ":123456"]
)
STARTS = st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "//", ""])


@given(STARTS, HOSTS, PORTS, st.sampled_from(["", "/"]), PLAIN)
def test_the_short_way_gives_what_the_long_way_gives(
    start: str, host: str, port: str, slash: str, rest: str
) -> None:
    """For every part that is asked for."""
    url = f"{start}{host}{port}{slash}{rest}"
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        assert path_and_query(url) is None and origin_of(url) == ""
        return
    assert path_and_query(url) == (parts.path, parts.query)
    expected = ""
    try:
        if parts.hostname:
            number = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
            expected = f"{parts.scheme}://{parts.hostname}:{number}"
    except ValueError:
        pass
    assert origin_of(url) == expected
    there = parts.netloc.rpartition("@")[2] if parts.scheme else ""
    if url == url.strip():
        assert network_location(url) == there


def test_origins_are_told_apart_by_scheme_host_and_port() -> None:
    """However they are written."""
    assert origin_of("HTTP://A.com/x") == origin_of("http://a.com:80/y") == "http://a.com:80"
    assert origin_of("no url") == ""
    assert origin_of("http://a.com/x") == "http://a.com:80"
    assert origin_of("http://a.com1") == "http://a.com1:80"
    assert origin_of("http://a.comé/x") == "http://a.comé:80"
    assert origin_of("http://a.com@b/x") == "http://b:80"
    assert origin_of(None) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", ""),
        ("size=2&expires=9", "size=2&expires=9"),
        ("size=2&Expires=9&X-Amz-Signature=f", "size=2"),
        ("%74oken=f&a=%41&sv=1", "a=A"),
        ("a=%41&sv=1", "a=A&sv=1"),
        ("tokens=f&sig", "tokens=f"),
    ],
)
def test_what_signs_a_request_is_left_out(query: str, kept: str) -> None:
    """Words that sign only beside others stay without them."""
    assert kept_query(query) == kept
