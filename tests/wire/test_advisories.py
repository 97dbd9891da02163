"""Vulnerabilities of other clients that no other file here covers; see `docs/security.md`."""

from __future__ import annotations

import contextlib
import re
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import pooledhttp
from pooledhttp.exceptions import ChunkedEncodingError, InvalidURL, RequestException
from pooledhttp.utils import (
    get_encoding_from_headers,
    parse_dict_header,
    parse_header_links,
    should_bypass_proxies,
)
from tests.support.scripted import ScriptedServer, answering, once, respond
from tests.wire.tools import prompt


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_cookie_of_a_hop_stays_with_its_host(session: pooledhttp.Session, host: str) -> None:
    """A cookie that a redirect sets is not sent to its target (CVE-2015-2296)."""
    other = "127.0.0.1" if host == "localhost" else "localhost"
    with ScriptedServer(answering(respond(b"x"))) as there:
        fields = [("Set-Cookie", "a=hunter2"), ("Location", there.url(host=other))]
        with ScriptedServer(answering(respond(b"", fields, status=302))) as server:
            session.get(server.url(host=host), timeout=5)
            assert there.requests[0].header("Cookie") is None
            session.close()


def test_cookies_do_not_match_by_the_end_of_a_name() -> None:
    """`Domain=a.example` is not for `evila.example` (CVE-2018-20852)."""
    jar = pooledhttp.cookies.RequestsCookieJar()
    jar.set("a", "hunter2", domain="a.example", path="/")
    request = pooledhttp.Request("GET", "http://evila.example/").prepare()
    assert pooledhttp.cookies.get_cookie_header(jar, request) is None


@pytest.mark.parametrize("value", ["a=\x01b", "a\x01=b", "a=b\x7f", "a=b\tc"])
def test_control_characters_in_cookies(session: pooledhttp.Session, value: str) -> None:
    """A cookie of a server cannot make later requests fail (CVE-2022-35252)."""
    answer = respond(b"x", {"Set-Cookie": value})
    with ScriptedServer(answering(answer, respond(b"y"))) as server:
        try:
            session.get(server.url(), timeout=5)
        except RequestException:
            return
        again = session.get(server.url(), timeout=5)
        assert again.content in (b"x", b"y")
        assert not re.search(
            r"[\x00-\x08\x0a-\x1f\x7f]", server.requests[-1].header("Cookie") or ""
        )
        session.close()


def test_a_length_is_not_believed_with_memory(session: pooledhttp.Session) -> None:
    """A Content-Length of a hundred terabytes allocates nothing (CVE-2025-13836)."""
    with ScriptedServer(once(respond(b"hello", length=10**14))) as server:
        tracemalloc.start()
        with pytest.raises(ChunkedEncodingError):
            session.get(server.url(), timeout=5)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        session.close()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "///evil.example", "/\\evil.example", "//@evil.example/"]
)
def test_a_path_is_not_a_host(session: pooledhttp.Session, path: str) -> None:
    """A path that begins like an authority still goes to the host of the URL (CVE-2022-35949)."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        try:
            session.get(server.url(path), timeout=5)
        except InvalidURL:
            return
        assert server.requests[0].header("Host") == f"127.0.0.1:{server.port}"
        assert server.requests[0].target.startswith("/")
        session.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com%2F127.0.0.1/",
        "http://example.com%40127.0.0.1/",
        "http://example.com%3A80/",
        "http://example.com%23.evil.example/",
        "http://example.com%0d%0aX-Evil:1/",
        "http://example.com%00.evil.example/",
        "http://example.com\uff0f.evil.example/",
        "http://example.com\u2044evil.example/",
        "http://a@b@c@example.com\\.evil.example/",
    ],
)
def test_encoded_separators_in_a_host(session: pooledhttp.Session, url: str) -> None:
    """A character that another parser takes for the end of the host is refused (CVE-2022-27780)."""
    with prompt(), pytest.raises(InvalidURL):
        session.get(url, timeout=2)


@pytest.mark.parametrize(
    ("url", "no_proxy", "bypasses"),
    [
        ("http://[::1%25.example.com]:80/", ".example.com", False),
        ("http://[::1%25.example.com]:80/", "example.com", False),
        ("http://notexample.com/", "example.com", False),
        ("http://example.com.evil.example/", "example.com", False),
        ("http://example.com@evil.example/", "example.com", False),
        ("http://evil.example/example.com", "example.com", False),
        ("http://192.168.0.1.evil.example/", "192.168.0.0/16", False),
        ("http://192.168.7.1/", "192.168.0.0/16", True),
        ("http://a.example.com/", "example.com", True),
    ],
)
def test_no_proxy_goes_by_the_host(url: str, no_proxy: str, bypasses: bool) -> None:
    """A zone, user information or a path does not make a host match NO_PROXY (CVE-2025-22870)."""
    assert bool(should_bypass_proxies(url, no_proxy)) is bypasses


@pytest.mark.parametrize("allow", [{"allow_redirects": False}, {"max_redirects": 0}])
def test_redirects_that_are_switched_off(
    session: pooledhttp.Session, allow: dict[str, Any]
) -> None:
    """No code below the session follows a redirect (CVE-2025-50181)."""
    session.mount("http://", pooledhttp.adapters.HTTPAdapter(max_retries=pooledhttp.Retry(5)))
    hop = respond(b"", {"Location": "/there"}, status=302)
    with ScriptedServer(answering(hop)) as server:
        if "max_redirects" in allow:
            session.max_redirects = 0
            with pytest.raises(pooledhttp.TooManyRedirects):
                session.get(server.url(), timeout=5)
        else:
            assert session.get(server.url(), timeout=5, **allow).status_code == 302
        assert len(server.requests) == 1
        session.close()


def test_boundaries_cannot_be_foretold(session: pooledhttp.Session) -> None:
    """The boundary of a multipart body is 128 bits of secure randomness (CVE-2025-22150)."""
    found = set()
    for _ in range(50):
        request = pooledhttp.Request("POST", "http://x.example/", files={"a": b"b"}).prepare()
        found.add(request.headers["Content-Type"].partition("boundary=")[2])
    assert len(found) == 50
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in found)


# ---- time


SLOW: dict[str, Callable[[int], Any]] = {
    "at-signs": lambda n: _url("http://" + "@" * n + "example.com/"),
    "colons": lambda n: _url("http://" + ":" * n + "example.com/"),
    "percents": lambda n: _url("http://example.com/" + "%zz" * n),
    "escapes": lambda n: _url("http://example.com/" + "%7e" * n),
    "slashes": lambda n: _url("http://example.com" + "/." * n),
    "dots": lambda n: _url("http://" + "." * n),
    "labels": lambda n: _url("http://" + "a." * n + "com/"),
    "spaces": lambda n: _url(" " * n + "http://example.com/" + " " * n),
    "links": lambda n: parse_header_links("<" * n + ">; " * n),
    "links-commas": lambda n: parse_header_links(", <" * n),
    "challenge": lambda n: parse_dict_header('a="' + '\\"' * n + ", b=" * n),
    "content-type": lambda n: get_encoding_from_headers({"content-type": "text/x" + "; " * n}),
    "content-type-quotes": lambda n: get_encoding_from_headers({"content-type": '"' * n}),
}


def _url(url: str) -> Any:
    return pooledhttp.Request("GET", url).prepare().url


def _cost(parse: Callable[[int], Any], n: int) -> float:
    """Return the least processor time of three runs, in seconds."""
    costs = []
    for _ in range(3):
        before = time.thread_time()
        with contextlib.suppress(RequestException, ValueError):
            parse(n)
        costs.append(time.thread_time() - before)
    return min(costs)


@pytest.mark.parametrize("parse", SLOW.values(), ids=SLOW)
def test_parsers_take_no_more_than_linear_time(parse: Callable[[int], Any]) -> None:
    """Crafted text does not keep a parser busy (CVE-2021-33503, CVE-2020-7212, CVE-2020-8492)."""
    # Sixteen times the text costs sixteen times as much; by a quadratic parser, 256 times.
    assert _cost(parse, 16_000) < 64 * max(_cost(parse, 1_000), 0.0005)


@pytest.mark.parametrize(
    "fields",
    [
        {"Set-Cookie": "a=" + "b; " * 10_000},
        {"Set-Cookie": ";" * 50_000},
        {"Set-Cookie": "a=b; expires=" + "1 " * 20_000},
        {"WWW-Authenticate": "Digest " + "a=," * 20_000},
        {"WWW-Authenticate": " " * 60_000 + "Basic"},
        {"Content-Type": "text/html" + "; charset" * 7_000},
        {"Link": "<x>" + ";" * 60_000},
        {"Location": "@" * 60_000},
        {"Keep-Alive": "timeout=" * 8_000},
        {"Retry-After": "1" * 60_000},
        {"Content-Encoding": "," * 60_000},
        {"Connection": "," * 60_000},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_crafted_fields_are_cheap(session: pooledhttp.Session, fields: dict[str, str]) -> None:
    """A field of sixty kilobytes does not keep the client busy either."""
    with ScriptedServer(answering(respond(b"x", fields, status=401))) as server, prompt(1):
        answer = session.get(server.url(), auth=pooledhttp.auth.HTTPDigestAuth("a", "b"), timeout=5)
        assert (answer.links, answer.text, answer.is_redirect) is not None
        session.close()
