"""Which cookies of servers are kept, where they are sent, and how many there can be."""

from __future__ import annotations

import http.cookiejar
import pickle
import sys
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.cookie_rules import MAX_COOKIE_BYTES, MAX_COOKIES, MAX_COOKIES_PER_DOMAIN
from pooledhttp.cookies import (
    RequestsCookieJar,
    SitePolicy,
    create_cookie,
    extract_cookies_to_jar,
    get_cookie_header,
)
from tests.front.test_cookies import a_raw_response, a_request


def sent_after(lines: list[str], setter: str, asked: str | None = None) -> str | None:
    """What a session's jar sends after a response with these `Set-Cookie` lines."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(setter), a_raw_response(*lines))
    return get_cookie_header(jar, a_request(asked or setter))


# ---- domains


@pytest.mark.parametrize(
    ("domain", "setter"),
    [
        ("com.", "http://example.com./"),
        (".com.", "http://example.com./"),
        ("com", "http://example.com/"),
        ("example.com.", "http://example.com./"),
        ("example.com.", "http://example.com/"),
        ("example.com", "http://example.com./"),
        (".", "http://example.com/"),
        ("..", "http://example.com./"),
    ],
)
def test_a_domain_with_a_dot_at_its_end_never_matches(domain: str, setter: str) -> None:
    """CVE-2022-27779: `Domain=com.` reached every host whose name was written with a dot."""
    jar = RequestsCookieJar()
    line = f"a=b; Domain={domain}"
    extract_cookies_to_jar(jar, a_request(setter), a_raw_response(line))
    for asked in (setter, "http://other.com./", "http://other.com/", "http://example.com/"):
        assert get_cookie_header(jar, a_request(asked)) is None


@pytest.mark.parametrize("name", ["localhost", "intranet"])
def test_a_name_without_dots_is_a_domain_of_its_own(name: str) -> None:
    """`Domain=localhost`, set by localhost, goes back there, and a foreign host cannot set it."""
    line = f"a=b; Domain={name}"
    assert sent_after([line], f"http://{name}:8000/", f"http://{name}/x") == "a=b"
    assert sent_after([line], "http://evil.example/", f"http://{name}/") is None
    assert sent_after([line], f"http://evil.{name}/", f"http://{name}/") is None
    assert sent_after([line], f"http://{name}/", f"http://{name}.example/") is None


@pytest.mark.parametrize(
    ("attributes", "asked", "is_sent"),
    [
        ("Domain=other.example; Domain=example.com", "https://sub.example.com/", True),
        ("Domain=example.com; Domain=sub.example.com", "https://example.com/", False),
        ("Domain=example.com; Domain=", "https://example.com/", True),
        ("Domain=; domain=example.com", "https://example.com/", True),
        ("Path=/x; path=/", "https://sub.example.com/", True),
        ("Path=/; Path=/x", "https://sub.example.com/", False),
        ("Path=/x; Path=y", "https://sub.example.com/", True),
        ("Max-Age=0; Max-Age=60", "https://sub.example.com/", True),
        ("Max-Age=60; Max-Age=soon", "https://sub.example.com/", True),
        ("Max-Age=60; max-age=0", "https://sub.example.com/", False),
    ],
)
def test_the_last_of_equal_attributes_counts(attributes: str, asked: str, is_sent: bool) -> None:
    """RFC 6265, section 5.3: each attribute takes its last value that makes sense."""
    sent = sent_after([f"a=b; {attributes}"], "https://sub.example.com/", asked)
    assert sent == ("a=b" if is_sent else None)


@pytest.mark.parametrize(
    "attribute",
    ['Max-Age="3600"', 'Path="/"', 'Domain="example.com"', 'Domain="other.example"', "Max-Age=+5"],
)
def test_a_quoted_attribute_is_passed_over(attribute: str) -> None:
    """Quotes are part of a value (RFC 6265, section 5.2): the cookie is one for its host."""
    assert sent_after([f"a=b; {attribute}"], "https://example.com/x") == "a=b"
    assert (
        sent_after([f"a=b; {attribute}"], "https://example.com/", "https://b.example.com/") is None
    )


def test_a_quoted_date_is_read() -> None:
    """A quote is a delimiter in dates (RFC 6265, section 5.1.1)."""
    line = 'a=b; Expires="Thu, 01 Jan 1970 00:00:00 GMT"'
    assert sent_after([line], "https://example.com/") is None


# ---- secure cookies over plain http

PLAIN, SECURE = "http://example.com/a/b", "https://example.com/a/b"


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("s=evil; Secure", False),
        ("s=evil; Secure; Max-Age=0", False),
        ("s=evil; Path=/", False),
        ("s=evil; Path=/; Max-Age=0", False),
        ("s=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("s=evil; Path=/; Domain=example.com", False),
        ("s=evil", False),
        ("s=evil; Path=/a/b/c", False),
        ("other=1; Path=/", True),
        ("new=1; Secure", False),
    ],
)
def test_plain_http_leaves_secure_cookies_alone(line: str, is_kept: bool) -> None:
    """It neither sets nor replaces nor deletes one (RFC 6265bis, section 5.7)."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(SECURE), a_raw_response("s=good; Secure; Path=/"))
    extract_cookies_to_jar(jar, a_request(PLAIN), a_raw_response(line))
    assert get_cookie_header(jar, a_request(SECURE)) == ("s=good; other=1" if is_kept else "s=good")
    assert len(jar) == 1 + is_kept


def test_a_path_beside_a_secure_cookie_is_free() -> None:
    """A secure cookie of a path protects the requests that carry it, and no others."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(SECURE), a_raw_response("s=good; Secure; Path=/login"))
    extract_cookies_to_jar(jar, a_request(PLAIN), a_raw_response("s=plain; Path=/"))
    extract_cookies_to_jar(jar, a_request(PLAIN), a_raw_response("s=evil; Path=/login/x"))
    assert get_cookie_header(jar, a_request("http://example.com/login/x")) == "s=plain"
    assert get_cookie_header(jar, a_request("https://example.com/login/x")) == "s=good; s=plain"


def test_https_replaces_and_deletes_secure_cookies() -> None:
    """The guard is against plain http alone."""
    jar = RequestsCookieJar()
    for line, expected in (
        ("s=1; Secure; Path=/", "s=1"),
        ("s=2; Path=/", "s=2"),
        ("s=3; Secure; Path=/", "s=3"),
        ("s=; Max-Age=0; Path=/", None),
    ):
        extract_cookies_to_jar(jar, a_request(SECURE), a_raw_response(line))
        assert get_cookie_header(jar, a_request(SECURE)) == expected


class Site(BaseAdapter):
    """A server that sets cookies with every response, and keeps what it was sent."""

    def __init__(self, *lines: str) -> None:
        super().__init__()
        self.lines = lines
        self.sent: list[str | None] = []

    def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.sent.append(request.headers.get("Cookie"))
        raw = a_raw_response(*self.lines)
        raw.status, raw.headers, raw.reason = 200, {}, "OK"
        raw.read = lambda *_args, **_kwargs: b""
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


def with_site(*lines: str) -> tuple[pooledhttp.Session, Site]:
    """A session all of whose requests go to one `Site`."""
    session, site = pooledhttp.Session(), Site(*lines)
    session.mount("http://", site)
    session.mount("https://", site)
    return session, site


def test_the_response_shows_what_the_session_does_not_keep() -> None:
    """`r.cookies` has what the response set, as in requests."""
    big = "x" * MAX_COOKIE_BYTES
    session, site = with_site("s=1; Secure", "a=b", f"big={big}")
    assert session.get(PLAIN).cookies.get_dict() == {"s": "1", "a": "b", "big": big}
    assert session.cookies.get_dict() == {"a": "b"}
    session.get(PLAIN)
    assert site.sent == [None, "a=b"]


def test_the_switch_is_a_policy() -> None:
    """With the policy of `http.cookiejar` a jar keeps what requests keeps."""
    session, site = with_site("s=1; Secure", f"big={'x' * MAX_COOKIE_BYTES}")
    session.cookies = RequestsCookieJar(DefaultCookiePolicy())
    session.get(PLAIN)
    session.get(SECURE)
    assert set(session.cookies.keys()) == {"s", "big"}
    assert site.sent[1] is not None and "s=1" in site.sent[1]


# ---- bounds


@pytest.mark.parametrize(
    ("name", "value", "is_kept"),
    [
        ("n", "v" * (MAX_COOKIE_BYTES - 1), True),
        ("n", "v" * MAX_COOKIE_BYTES, False),
        ("n" * MAX_COOKIE_BYTES, "v", False),
        ("n", "\xe9" * (MAX_COOKIE_BYTES - 1), True),
    ],
)
def test_a_large_cookie_of_a_server_is_not_kept(name: str, value: str, is_kept: bool) -> None:
    """Name and value have 4,096 bytes together at most (RFC 6265bis, section 5.6)."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(), a_raw_response(f"{name}={value}; Path=/"))
    assert len(jar) == is_kept


def test_the_caller_may_set_a_large_cookie() -> None:
    """Bounds are for what servers set."""
    jar = RequestsCookieJar()
    jar.set("n", "v" * 10_000)
    assert get_cookie_header(jar, a_request()) == "n=" + "v" * 10_000


def test_a_server_has_180_cookies_at_most() -> None:
    """Of one domain the least used go first, and those of the caller stay."""
    jar = RequestsCookieJar()
    for number in range(20):
        jar.set(f"mine{number}", "1", domain="example.com")
    jar.set("also", "1")
    url = "https://example.com/"
    extract_cookies_to_jar(jar, a_request(url), a_raw_response("kept=1; Path=/used"))
    for number in range(300):
        extract_cookies_to_jar(jar, a_request(url), a_raw_response(f"c{number}=1; Path=/other"))
        jar.cookies_for(_as_asked("https://example.com/used"))
    names = [cookie.name for cookie in jar]
    assert len([name for name in names if name.startswith("c")]) == MAX_COOKIES_PER_DOMAIN - 1
    assert {"kept", "also", "c299", "mine0", "mine19"} <= set(names) and "c0" not in names


def test_expired_cookies_go_first() -> None:
    """However recently they were used."""
    jar = RequestsCookieJar()
    lines = [f"c{number}=1; Path=/" for number in range(MAX_COOKIES_PER_DOMAIN - 1)]
    extract_cookies_to_jar(jar, a_request(), a_raw_response(*lines, "old=1; Max-Age=60; Path=/"))
    next(cookie for cookie in jar if cookie.name == "old").expires = 1
    extract_cookies_to_jar(jar, a_request(), a_raw_response("new=1; Path=/"))
    assert len(jar) == MAX_COOKIES_PER_DOMAIN and "old" not in jar and "c0" in jar


def test_all_servers_together_have_10_000_cookies_at_most() -> None:
    """Each server may set a few; the jar stays bounded, and the caller's cookies stay."""
    jar = RequestsCookieJar()
    jar.set("mine", "1", domain="host0.example")
    lines = [f"c{number}=1" for number in range(150)]
    for number in range(2 + MAX_COOKIES // 150):
        url = f"https://host{number}.example/"
        extract_cookies_to_jar(jar, a_request(url), a_raw_response(*lines))
        assert len(jar) <= MAX_COOKIES + 1
    assert "mine" in jar and len(jar) > MAX_COOKIES * 0.9
    assert get_cookie_header(jar, a_request(url)) is not None
    assert get_cookie_header(jar, a_request("https://host0.example/")) == "mine=1"


def test_bounds_outlast_a_pickle_and_a_copy() -> None:
    """Which cookies are the caller's is known afterwards, too."""
    jar = RequestsCookieJar()
    for number in range(MAX_COOKIES_PER_DOMAIN + 20):
        jar.set(f"mine{number}", "1", domain="example.com")
    for again in (pickle.loads(pickle.dumps(jar)), jar.copy()):
        lines = [f"c{number}=1; Domain=example.com" for number in range(200)]
        extract_cookies_to_jar(again, a_request(), a_raw_response(*lines))
        again = pickle.loads(pickle.dumps(again))
        extract_cookies_to_jar(again, a_request(), a_raw_response("last=1; Domain=example.com"))
        names = [cookie.name for cookie in again]
        assert len([name for name in names if name.startswith("mine")]) == 200
        assert len(names) == 200 + MAX_COOKIES_PER_DOMAIN


def _as_asked(url: str) -> Any:
    from pooledhttp.cookies import MockRequest

    return MockRequest(a_request(url))


def _count_lines(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs: a cost that no other program disturbs."""
    count = 0

    def trace(frame: Any, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_cookies_of_other_hosts_cost_a_request_nothing() -> None:
    """Preparing and storing take as many steps with 2,000 foreign cookies as with two."""
    costs = []
    with_site("a=b")[0].get("https://host1.example/")  # what is kept of a URL is there from now on
    for hosts in (2, 2000):
        session, _ = with_site("a=b")
        for number in range(hosts):
            session.cookies.set("c", "1", domain=f"host{number}.example")
            session.cookies.set("d", "1", domain=f".host{number}.example")
        request = pooledhttp.Request("GET", "https://host1.example/")
        assert session.prepare_request(request).headers["Cookie"] == "c=1; d=1"
        prepare = _count_lines(lambda s=session, r=request: s.prepare_request(r))  # type: ignore[misc]
        get = _count_lines(lambda s=session: s.get("https://host1.example/"))  # type: ignore[misc]
        costs.append((prepare, get))
    assert costs[0] == costs[1]


# ---- what is sent by a session


def test_the_order_is_that_of_the_jar() -> None:
    """As in requests: domains in the order in which they came into the jar."""
    session, site = with_site()
    for domain in (".b.example", "a.b.example", "", "other.example", "b.example"):
        session.cookies.set(f"n{len(session.cookies)}", "1", domain=domain)
    session.get("https://a.b.example/")
    assert site.sent == ["n0=1; n1=1; n2=1; n4=1"]


@pytest.mark.parametrize(
    ("url", "headers", "expected"),
    [
        ("https://EXAMPLE.com:443/x", {}, "a=1; h=1"),
        (b"https://example.com", {}, "a=1; h=1"),
        ("  https://sub.example.com/", {}, "a=1"),
        ("https://10.0.0.1/", {"host": "example.com"}, "a=1; h=1"),
        ("https://10.0.0.1/", {"HOST": b"sub.example.com"}, "a=1"),
        ("https://other.example/", {}, None),
    ],
)
def test_the_cookies_of_a_host_are_found(url: Any, headers: Any, expected: str | None) -> None:
    """By the URL in its final form, and by the `Host` field of the caller."""
    session, _ = with_site()
    session.cookies.set("a", "1", domain="example.com")
    extract_cookies_to_jar(
        session.cookies, a_request("https://example.com/"), a_raw_response("h=1; Path=/")
    )
    request = pooledhttp.Request("GET", url, headers=headers)
    assert session.prepare_request(request).headers.get("Cookie") == expected


def test_an_impossible_url_fails_as_without_cookies() -> None:
    """Choosing cookies raises nothing of its own."""
    session, _ = with_site()
    session.cookies.set("a", "1")
    for url in ("no-scheme", "http://", None):
        with pytest.raises(pooledhttp.exceptions.RequestException):
            session.prepare_request(pooledhttp.Request("GET", url))


class _Open(DefaultCookiePolicy):
    """Sends secure cookies over plain http, as a tool for testing may."""

    def return_ok_secure(self, cookie: object, request: object) -> bool:
        return True


def test_the_policy_of_the_session_decides() -> None:
    """`session.cookies = RequestsCookieJar(policy)` takes effect on what is sent."""
    session, site = with_site()
    session.cookies = RequestsCookieJar(_Open())
    session.cookies.set("a", "1", secure=True)
    session.get(PLAIN)
    host_only = http.cookiejar.Cookie(
        0, "h", "1", None, False, "example.com", False, False, "/", True, False, None, True,
        None, None, {},
    )  # fmt: skip
    session.cookies = RequestsCookieJar(DefaultCookiePolicy())
    session.cookies.set_cookie(host_only)
    session.get("http://sub.example.com/")
    session.cookies = RequestsCookieJar()
    session.cookies.set_cookie(host_only)
    session.get("http://sub.example.com/")
    assert site.sent == ["a=1", "h=1", None]


def test_the_policy_of_a_plain_jar_decides() -> None:
    """Also where the jar is one of `http.cookiejar`."""
    session, site = with_site()
    session.cookies = CookieJar(DefaultCookiePolicy(blocked_domains=["example.com"]))  # type: ignore[assignment]
    for domain in ("example.com", "other.example"):
        session.cookies.set_cookie(create_cookie("a", "1", domain=domain))
    session.get("http://example.com/")
    session.get("http://other.example/")
    assert site.sent == [None, "a=1"]


def test_a_replaced_default_policy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """While `http.cookiejar.DefaultCookiePolicy` is replaced, jars get the one in its place."""
    assert type(RequestsCookieJar().get_policy()) is SitePolicy
    monkeypatch.setattr(http.cookiejar, "DefaultCookiePolicy", _Open)
    assert type(RequestsCookieJar().get_policy()) is _Open
    session, site = with_site()
    session.cookies.set("a", "1", secure=True)
    assert session.get(PLAIN).cookies.get_policy().__class__ is _Open
    assert site.sent == ["a=1"]
    monkeypatch.undo()
    assert type(RequestsCookieJar().get_policy()) is SitePolicy
