"""The cookies of a request, found in one pass, are those that `http.cookiejar` finds."""

from __future__ import annotations

import time
from email.message import Message
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.cookie_rules import ShownPolicy, SitePolicy, selects_as_defined
from pooledhttp.cookies import (
    MockRequest,
    RequestsCookieJar,
    create_cookie,
    extract_cookies_to_jar,
    get_cookie_header,
    jar_for,
    merge_cookies,
)

HOSTS = ("example.com", "www.example.com", "localhost", "127.0.0.1", "a.b.example.com", "co.uk")
DOMAINS = ("", *HOSTS, ".example.com", ".localhost", "localhost.local", ".local", "com", ".0.0.1")
PATHS = ("/", "/a", "/a/", "/a/b", "/ab", "")
URLS = [
    f"{scheme}://{host}{port}{path}"
    for scheme in ("http", "https")
    for host in HOSTS
    for port in ("", ":8080")
    for path in ("/", "/a", "/a/b?c=d", "/ab")
]


def a_request(url: str, **headers: str) -> Any:
    return SimpleNamespace(url=url, headers=headers)


def a_jar(random: Random) -> RequestsCookieJar:
    """A jar with cookies of all kinds."""
    jar = RequestsCookieJar()
    for number in range(random.randrange(30)):
        domain = random.choice(DOMAINS)
        cookie = create_cookie(
            f"n{random.randrange(10)}",
            f"v{number}",
            domain=domain,
            path=random.choice(PATHS),
            secure=random.random() < 0.2,
            port=random.choice((None, None, None, "80", "8080,81")),
            version=random.choice((0, 0, 0, 1)),
            expires=random.choice((None, None, 1, int(time.time()) + 3600)),
        )
        if random.random() < 0.2:
            cookie.value = None
        if random.random() < 0.5:
            cookie.domain_specified = False
        jar.set_cookie(cookie)
    return jar


def by_cookiejar(jar: RequestsCookieJar, request: Any) -> Any:
    """Ask the policy about each cookie, as the standard library does."""
    asked = MockRequest(request)
    jar.add_cookie_header(asked)  # type: ignore[arg-type]
    return asked.get_new_headers().get("Cookie")


@pytest.mark.parametrize("seed", range(8))
def test_the_field_is_that_of_the_standard_library(seed: int) -> None:
    """For jars of all kinds, with and without a `Host` field; the same cookies are removed."""
    random = Random(seed)
    for _ in range(25):
        jar = a_jar(random)
        assert selects_as_defined(jar)
        url = random.choice(URLS)
        headers = {"Host": random.choice(HOSTS)} if random.random() < 0.2 else {}
        request, twin = a_request(url, **headers), jar.copy()
        expected = by_cookiejar(twin, request)
        picked = jar_for(jar, url, headers.get("Host"))
        assert get_cookie_header(jar, request) == expected
        assert get_cookie_header(picked, request) == expected
        assert sorted(map(repr, jar)) == sorted(map(repr, twin))


def test_a_picked_jar_is_apart_from_that_of_the_session() -> None:
    """Its cookies are copies, and what is stored in one is not in the other."""
    jar = RequestsCookieJar()
    jar.set("a", "1", domain="example.com")
    picked = jar_for(jar, "http://example.com/")
    next(iter(picked)).value = "2"
    picked.set("b", "2", domain="example.com")
    assert jar.get_dict() == {"a": "1"}
    merge_cookies(jar, picked)
    assert jar.get_dict() == {"a": "2", "b": "2"}


def test_a_field_that_stands_already_is_kept() -> None:
    """The jar adds nothing to a `Cookie` field of the caller."""
    jar = RequestsCookieJar()
    jar.set("a", "1")
    assert get_cookie_header(jar, a_request(URLS[0], Cookie="mine=1")) is None


def nothing(*args: Any, **kwargs: Any) -> bool:
    return False


@pytest.mark.parametrize("name", ["return_ok", "return_ok_secure", "return_ok_domain"])
@pytest.mark.parametrize("kind", ["class", "base", "instance", "subclass"])
def test_a_replaced_method_of_the_policy_decides(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is replaced after the first request, and no longer when that ends."""
    policy: SitePolicy = SitePolicy()
    if kind == "subclass":
        policy = type("Mine", (SitePolicy,), {name: nothing})()
    jar = RequestsCookieJar(policy)
    jar.set("a", "1", domain=".com")  # so that each step is asked, also that of the base class
    request = a_request("http://example.com/")
    if kind != "subclass":
        assert get_cookie_header(jar, request) == "a=1"
    if kind == "class":
        monkeypatch.setattr(SitePolicy, name, nothing)
    elif kind == "base":
        monkeypatch.setattr(DefaultCookiePolicy, name, nothing)
    elif kind == "instance":
        monkeypatch.setattr(policy, name, nothing)
    assert get_cookie_header(jar, request) is None
    if kind != "subclass":
        monkeypatch.undo()
        assert get_cookie_header(jar, request) == "a=1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("netscape", False),
        ("_blocked_domains", ("example.com",)),
        ("_allowed_domains", ()),
        ("secure_protocols", ("ftp",)),
    ],
)
def test_a_changed_setting_of_the_policy_counts(name: str, value: object) -> None:
    """`set_blocked_domains` and the like take effect at once."""
    jar = RequestsCookieJar()
    jar.set("a", "1", domain="example.com", secure=True)
    request = a_request("https://example.com/")
    assert get_cookie_header(jar, request) == "a=1"
    setattr(jar.get_policy(), name, value)
    assert get_cookie_header(jar, request) is None


@pytest.mark.parametrize("name", ["add_cookie_header", "_cookies_for_request"])
def test_a_replaced_method_of_the_jar_is_called(name: str) -> None:
    """On the class, on the instance, and in a subclass."""
    called: list[str] = []

    def replaced(self: Any, *args: Any) -> list[Any]:
        called.append(name)
        return []

    request = a_request("http://example.com/")
    for jar in (
        RequestsCookieJar(),
        type("Mine", (RequestsCookieJar,), {name: replaced})(),
    ):
        jar.set("a", "1")
        with pytest.MonkeyPatch.context() as patch:
            if type(jar) is RequestsCookieJar:
                patch.setattr(RequestsCookieJar, name, replaced)
            assert get_cookie_header(jar, request) is None
    jar = RequestsCookieJar()
    jar.set("a", "1")
    jar.__dict__[name] = lambda *args: called.append(name) or []
    assert get_cookie_header(jar, request) is None
    assert called == [name] * 3


# ---- what a response sets

LINES = (
    ("a=b", "a=", "a", "=b", " a = b ", 'a="q"', "__Host-a=b", "__Secure-a=b", "$a=b", "a=b=c", ""),
    ("", "; Path=/", "; path=/a%20b", "; Path=", "; Path=x", "; PATH=/a/", "; Path=/\u00e9"),
    (
        "",
        "; Domain=example.com",
        "; domain=.Example.com",
        "; Domain=com",
        "; Domain=",
        "; Domain=co.uk",
    ),
    ("", "; Secure", "; secure=1", "; HttpOnly", "; SameSite=Lax", "; Partitioned", "; Version=1"),
    ("", "; Max-Age=60", "; max-age=0", "; Max-Age=-1", "; Max-Age=x", '; Max-Age="5"'),
    (
        "",
        "; Expires=Wed, 09 Jun 2100 10:18:14 GMT",
        "; expires=Thu, 01-Jan-1970 00:00:00 GMT",
        "; Expires=soon",
        '; Expires="Wed, 09 Jun 2100 10:18:14 GMT"',
    ),
    ("", "; Path=/twice", "; Port=80", ";", "; Comment=x", "; Discard"),
)


def stored_by(jar: RequestsCookieJar, lines: list[str], url: str) -> list[dict[str, object]]:
    """Return what is in a jar after a response, without the marks of this package."""
    fields = Message()
    for line in lines:
        fields["Set-Cookie"] = line
    raw = SimpleNamespace(_original_response=SimpleNamespace(msg=fields))
    extract_cookies_to_jar(jar, a_request(url), raw)
    return sorted(
        (
            {name: value for name, value in vars(cookie).items() if "pooledhttp" not in name}
            for cookie in jar
        ),
        key=repr,
    )


@pytest.mark.parametrize("kind", [SitePolicy, ShownPolicy])
def test_lines_are_read_as_the_standard_library_reads_them(
    kind: type[SitePolicy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cookies, with the same attributes, whether read in one pass or not."""
    random = Random(5)
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000.5)
    for _ in range(600):
        lines = ["".join(map(random.choice, LINES)) for _ in range(random.randrange(1, 3))]
        url = random.choice(URLS)
        quick = stored_by(RequestsCookieJar(kind()), lines, url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CookieJar, "clear", lambda self, *args: CLEAR(self, *args))
            slow = stored_by(RequestsCookieJar(kind()), lines, url)
        assert quick == slow, (lines, url)


CLEAR = CookieJar.clear


@pytest.mark.parametrize("name", ["set_ok", "set_ok_name", "_keeps_promise"])
@pytest.mark.parametrize("kind", ["class", "instance"])
def test_a_replaced_method_of_the_policy_is_asked_what_to_store(name: str, kind: str) -> None:
    """Also when it is replaced after the first response."""
    jar = RequestsCookieJar()
    assert len(stored_by(jar, ["a=b"], URLS[0])) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SitePolicy if kind == "class" else jar.get_policy(), name, nothing)
        assert len(stored_by(jar, ["c=d"], URLS[0])) == 1
    assert len(stored_by(jar, ["c=d"], URLS[0])) == 2


def test_a_replaced_way_of_making_cookies_is_used() -> None:
    """`make_cookies` of a subclass decides what a response sets."""

    class Mine(RequestsCookieJar):
        def make_cookies(self, response: Any, request: Any) -> list[Any]:
            return [create_cookie("mine", "1")]

    assert [cookie["name"] for cookie in stored_by(Mine(), ["a=b"], URLS[0])] == ["mine"]
