"""The cookie jar as a dictionary, and what goes in from responses and out to requests."""

from __future__ import annotations

import pickle
import threading
import time
from email.message import Message
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import Morsel, SimpleCookie
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.cookies import (
    CookieConflictError,
    MockRequest,
    MockResponse,
    RequestsCookieJar,
    _copy_cookie_jar,
    add_dict_to_cookiejar,
    cookiejar_from_dict,
    create_cookie,
    dict_from_cookiejar,
    extract_cookies_to_jar,
    get_cookie_header,
    merge_cookies,
    morsel_to_cookie,
    remove_cookie_by_name,
)
from pooledhttp.exceptions import InvalidHeader
from pooledhttp.structures import CaseInsensitiveDict


def a_request(url: str = "https://example.com/a/b", **headers: str) -> Any:
    return SimpleNamespace(url=url, headers=CaseInsensitiveDict(headers))


def a_raw_response(*set_cookies: str) -> Any:
    message = Message()
    for line in set_cookies:
        message["Set-Cookie"] = line
    return SimpleNamespace(_original_response=SimpleNamespace(msg=message))


def test_the_jar_is_a_dictionary_of_names_and_values() -> None:
    """Items are set, read, listed and removed by name."""
    jar = RequestsCookieJar()
    jar["a"] = "1"
    jar.set("b", "2", domain="x.example", path="/p")
    assert jar["a"] == "1" and jar.get("none", "d") == "d"
    assert dict(jar.items()) == dict(jar.iteritems()) == dict(jar) == {"a": "1", "b": "2"}
    assert jar.keys() == ["a", "b"] and jar.values() == ["1", "2"]
    assert jar.list_domains() == ["", "x.example"] and jar.list_paths() == ["/", "/p"]
    assert jar.get_dict(domain="x.example") == {"b": "2"} and jar.get_dict(path="/") == {"a": "1"}
    jar.set("a", None)
    del jar["b"]
    assert len(jar) == 0 and not jar
    with pytest.raises(KeyError):
        jar["a"]


def test_one_name_on_two_domains_is_a_conflict_unless_one_is_named() -> None:
    """The name alone raises; domain or path choose; `in` stays true."""
    jar = RequestsCookieJar()
    jar.set("k", "1", domain="a.example")
    jar.set("k", "2", domain="b.example")
    assert "k" in jar and jar.get("k", domain="b.example") == "2"
    assert jar._find("k") == "1"
    for ask in (lambda: jar["k"], lambda: jar.get("k")):
        with pytest.raises(CookieConflictError, match="'k'"):
            ask()
    assert not jar.multiple_domains()
    jar.set("other", "3", domain="a.example")
    assert jar.multiple_domains()
    remove_cookie_by_name(jar, "k", domain="a.example")
    assert jar["k"] == "2"


def test_escaped_quotes_are_taken_out_of_a_quoted_value() -> None:
    r"""`"a\"b"` is stored as `"ab"`; other values are left alone."""
    jar = RequestsCookieJar()
    jar.set("q", '"a\\"b"')
    jar.set("p", 'a\\"b')
    assert jar["q"] == '"ab"' and jar["p"] == 'a\\"b'


def test_copies_and_pickles_keep_cookies_and_policy() -> None:
    """Cookies are copied, the policy is kept, and an unpickled jar works with a lock of its own."""
    jar = RequestsCookieJar(DefaultCookiePolicy(strict_domain=True))
    jar.set("a", "1", rest={"HttpOnly": True})
    for twin in (jar.copy(), _copy_cookie_jar(jar), pickle.loads(pickle.dumps(jar))):
        assert twin.items() == [("a", "1")] and next(iter(twin)) is not next(iter(jar))
        assert twin.get_policy().strict_domain is True
        twin["a"] = "2"
    assert jar["a"] == "1"


def test_a_plain_jar_is_copied_as_one() -> None:
    """A jar of the standard library keeps its type, and its cookies are not shared."""
    jar = cookiejar_from_dict({"a": "1"}, CookieJar())
    twin = _copy_cookie_jar(jar)
    twin.clear()
    assert type(twin) is CookieJar and len(jar) == 1
    assert _copy_cookie_jar(None) is None


def test_merging_from_a_dictionary_keeps_what_is_there_and_from_a_jar_does_not() -> None:
    """A mapping fills gaps, a jar replaces; any kind of jar can be merged into."""
    jar = cookiejar_from_dict({"a": "old"})
    assert merge_cookies(jar, {"a": "new", "b": "1"}) is jar
    assert jar.get_dict() == {"a": "old", "b": "1"}
    merge_cookies(jar, cookiejar_from_dict({"a": "new"}))
    assert jar["a"] == "new" and merge_cookies(jar, None) is jar
    plain = merge_cookies(CookieJar(), jar)
    assert dict_from_cookiejar(add_dict_to_cookiejar(plain, {"c": "3"})) == {
        "a": "new",
        "b": "1",
        "c": "3",
    }
    with pytest.raises(ValueError, match="only merge into CookieJar"):
        merge_cookies({}, {"a": "1"})  # type: ignore[type-var]


def test_a_cookie_takes_its_attributes_and_no_others() -> None:
    """Unknown keywords are a TypeError that names them."""
    cookie = create_cookie("n", "v", domain=".example.com", secure=True)
    assert cookie.domain_specified and cookie.domain_initial_dot and cookie.secure
    assert cookie.path == "/" and cookie.discard and cookie.expires is None
    with pytest.raises(TypeError, match="colour"):
        create_cookie("n", "v", colour="red")


def test_a_morsel_becomes_a_cookie() -> None:
    """Attributes carry over; max-age counts from now and wins."""
    parsed: SimpleCookie = SimpleCookie()
    parsed.load('a="x y"; Path=/p; Domain=.d.example; Max-Age=60; Secure; HttpOnly')
    cookie = morsel_to_cookie(parsed["a"])
    assert (cookie.name, cookie.value, cookie.path, cookie.domain) == (
        "a",
        "x y",
        "/p",
        ".d.example",
    )
    assert cookie.secure and cookie.expires is not None
    assert 50 < cookie.expires - time.time() <= 60
    jar = RequestsCookieJar()
    jar["ignored"] = parsed["a"]
    assert jar.keys() == ["a"]


@pytest.mark.parametrize(
    ("attribute", "value", "error"),
    [
        ("max-age", "soon", TypeError),
        ("expires", "tomorrow", ValueError),
        ("expires", 100, TypeError),
    ],
)
def test_a_morsel_with_an_invalid_time_is_refused(
    attribute: str, value: Any, error: type[Exception]
) -> None:
    """Neither a number of seconds nor a date: an error."""
    morsel: Morsel[Any] = Morsel()
    morsel.set("a", "b", "b")
    morsel[attribute] = value
    with pytest.raises(error):
        morsel_to_cookie(morsel)


def test_cookies_travel_from_a_response_to_the_next_request() -> None:
    """What one response sets, the next request of that host sends, and no other host's."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(), a_raw_response("s=1; Path=/", "t=2; Path=/other"))
    assert get_cookie_header(jar, a_request()) == "s=1"
    assert get_cookie_header(jar, a_request("https://evil.example/")) is None
    assert get_cookie_header(RequestsCookieJar(), a_request()) is None


@pytest.mark.parametrize("raw", [None, object(), SimpleNamespace(_original_response=None)])
def test_a_response_without_header_fields_sets_nothing(raw: Any) -> None:
    """No original response: nothing happens, nothing is raised."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(), raw)
    assert not jar


def test_the_host_field_decides_whose_cookies_they_are() -> None:
    """With a `Host` field of the user, cookies belong to that name."""
    asked = MockRequest(a_request("https://10.0.0.1/x?q#f", Host="site.example"))
    assert asked.get_full_url() == "https://site.example/x?q#f"
    assert asked.host == asked.origin_req_host == "10.0.0.1" and asked.unverifiable
    assert asked.type == asked.get_type() == "https"
    assert asked.has_header("host") and asked.get_header("none", "d") == "d"
    with pytest.raises(NotImplementedError):
        asked.add_header("a", "b")
    message = Message()
    message["A"] = "1"
    assert MockResponse(message).getheaders("a") == ["1"] and MockResponse(3).info() == 3


@pytest.mark.parametrize("evil", ["a\r\nX: y", "a\nb", "a\0", "\x7f"])
def test_control_characters_never_become_a_cookie_of_ours(evil: str) -> None:
    """They are refused when set, in name and value, and when a jar holds them already."""
    for name, value in ((evil, "v"), ("n", evil)):
        with pytest.raises(InvalidHeader, match="control character"):
            cookiejar_from_dict({name: value})
    foreign = CookieJar()
    cookie = create_cookie("n", "v")
    cookie.domain, cookie.value = "example.com", evil
    foreign.set_cookie(cookie)
    with pytest.raises(InvalidHeader):
        get_cookie_header(foreign, a_request())


def test_a_server_cannot_plant_a_cookie_that_could_never_be_sent() -> None:
    """A `Set-Cookie` with a control character is ignored, the one beside it is kept."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(), a_raw_response("bad=\x01; Path=/", "good=1; Path=/"))
    assert jar.get_dict() == {"good": "1"}


HOST_RULES = [
    ("a=b", "https://example.com/", "https://example.com/", True),
    ("a=b", "https://example.com/", "https://sub.example.com/", False),
    ("a=b; Domain=example.com", "https://example.com/", "https://sub.example.com/", True),
    ("a=b; Domain=example.com", "https://sub.example.com/", "https://example.com/", True),
    ("a=b; Domain=", "https://example.com/", "https://example.com/", True),
    ("a=b", "http://localhost/", "http://localhost:81/", True),
    ("a=b; Domain=127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1/", True),
    ("a=b; Domain=0.0.1", "http://127.0.0.1/", "http://127.0.0.1/", False),
    ("a=b; Domain=0.0.1", "http://127.0.0.1/", "http://10.0.0.1/", False),
    ("a=b; Domain=co.uk", "https://shop.co.uk/", "https://bank.co.uk/", False),
]


@pytest.mark.parametrize(("line", "setter", "asked", "expected"), HOST_RULES)
def test_cookies_keep_to_the_hosts_they_are_for(
    line: str, setter: str, asked: str, expected: bool
) -> None:
    """Without `Domain` to the one host, with it to those below it; never across addresses."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(setter), a_raw_response(line))
    assert get_cookie_header(jar, a_request(asked)) == ("a=b" if expected else None)
    assert get_cookie_header(pickle.loads(pickle.dumps(jar)), a_request(asked)) == (
        "a=b" if expected else None
    )


def test_cookies_of_the_caller_go_to_the_domain_given() -> None:
    """A domain given in code counts as one in `Domain`; without any, every host is meant."""
    jar = RequestsCookieJar()
    jar.set("below", "1", domain="example.com")
    jar.set("everywhere", "2")
    assert get_cookie_header(jar, a_request("https://sub.example.com/")) == "below=1; everywhere=2"
    assert get_cookie_header(jar, a_request("https://other.example/")) == "everywhere=2"


@pytest.mark.parametrize(
    ("line", "url", "expected"),
    [
        ("__Secure-a=b; Secure", "https://example.com/", True),
        ("__Secure-a=b", "https://example.com/", False),
        ("__secure-a=b; Secure", "http://example.com/", False),
        ("__Host-a=b; Secure; Path=/", "https://example.com/", True),
        ("__Host-a=b; Secure; Path=/; Domain=example.com", "https://example.com/", False),
        ("__Host-a=b; Secure; Path=/x", "https://example.com/x", False),
        ("__Host-a=b; Path=/", "https://example.com/", False),
    ],
)
def test_prefixes_of_names_are_checked(line: str, url: str, expected: bool) -> None:
    """`__Secure-` and `__Host-` cookies that break the promise of their name are not stored."""
    jar = RequestsCookieJar()
    extract_cookies_to_jar(jar, a_request(url), a_raw_response(line))
    assert len(jar) == expected


@pytest.mark.parametrize(
    "attribute",
    [
        "Max-Age=soon",
        "Max-Age=",
        "max-age",
        "Domain",
        "domain=",
        "Path=relative",
        "PATH",
        "Expires=x",
    ],
)
def test_attributes_that_make_no_sense_are_ignored(attribute: str) -> None:
    """The cookie is kept, as browsers keep it, with its other attributes."""
    jar = RequestsCookieJar()
    line = f"a=b; {attribute}; Secure"
    extract_cookies_to_jar(jar, a_request("https://example.com/x"), a_raw_response(line))
    assert get_cookie_header(jar, a_request("https://example.com/x")) == "a=b"
    assert get_cookie_header(jar, a_request("http://example.com/x")) is None


def test_one_jar_serves_many_threads() -> None:
    """Setting and reading from several threads at once loses nothing."""
    jar = RequestsCookieJar()

    def fill(number: int) -> None:
        for index in range(50):
            jar.set(f"{number}-{index}", "v", domain="example.com")
            get_cookie_header(jar, a_request())

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jar) == 200
