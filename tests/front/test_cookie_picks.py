"""The cookies that are kept for the next request are those that the jar has by then."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from pooledhttp.cookie_rules.picks import MAX_PICKS, pick_of
from pooledhttp.cookies import (
    RequestsCookieJar,
    create_cookie,
    extract_cookies_to_jar,
    get_cookie_header,
    jar_for,
)
from tests.front.test_cookie_rules import a_raw_response
from tests.front.test_cookie_selection import URLS, a_jar, a_request, by_cookiejar

URL = "http://example.com/a"


def field(jar: RequestsCookieJar, url: str = URL) -> str | None:
    return get_cookie_header(jar_for(jar, url), a_request(url))


def two() -> RequestsCookieJar:
    jar = RequestsCookieJar()
    jar.set("a", "1", domain="example.com")
    jar.set("b", "2", domain="example.com", expires=int(time.time()) + 100)
    return jar


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_jar_gives_what_a_new_one_gives(seed: int) -> None:
    """Whatever is changed between two requests, in place or by methods."""
    random = Random(seed)
    jar = a_jar(random)
    for _ in range(40):
        url = random.choice(URLS[:12])
        expected = by_cookiejar(jar.copy(), a_request(url))
        assert [field(jar, url), field(jar, url)] == [expected] * 2
        change(jar, random)


def change(jar: RequestsCookieJar, random: Random) -> None:
    cookies = list(jar)
    cookie: Any = random.choice(cookies or [create_cookie("none", "1")])
    kind = random.randrange(8)
    if kind < 4:
        name, values = random.choice(
            [
                ("value", ["x", "", None]),
                ("secure", [True, False]),
                ("expires", [None, 1, int(time.time()) + 50]),
                ("port", [None, "80", "81"]),
                ("version", [0, 1]),
                ("domain_specified", [True, False]),
            ]
        )
        setattr(cookie, name, random.choice(values))
    elif kind == 4:
        jar.set(f"n{random.randrange(10)}", "new", domain="example.com")
    elif kind == 5 and cookies:
        jar.clear(cookie.domain, cookie.path, cookie.name)
    elif kind == 6:
        jar.set_cookie(copy.copy(cookie))
    elif cookies:
        del jar._cookies[cookie.domain][cookie.path][cookie.name]


def test_a_cookie_is_sent_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the field of the request before is known."""
    jar = two()
    assert [field(jar), field(jar)] == ["a=1; b=2"] * 2
    later = time.time() + 200
    monkeypatch.setattr(time, "time", lambda: later)
    assert [field(jar), field(jar)] == ["a=1"] * 2


def test_a_jar_of_a_request_is_a_snapshot() -> None:
    """It has the cookies of the moment at which it was made, whenever it is looked into."""
    jar = two()
    field(jar)
    picked = jar_for(jar, URL)
    next(iter(jar)).value = "changed"
    jar.set("c", "3", domain="example.com")
    assert picked.get_dict() == {"a": "1", "b": "2"}
    assert field(jar) == "a=changed; b=2; c=3"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda jar: pickle.loads(pickle.dumps(jar))]
)
def test_a_jar_of_a_request_can_be_copied(again: Callable[[Any], Any]) -> None:
    """Before it is looked into, and the jar that it was made of as well."""
    jar = two()
    assert again(jar_for(jar, URL)).get_dict() == {"a": "1", "b": "2"}
    assert field(again(jar)) == "a=1; b=2"


def test_a_jar_of_one_request_serves_another_place() -> None:
    """The field that is known is that of its own place."""
    jar = two()
    field(jar)
    picked = jar_for(jar, URL)
    assert get_cookie_header(picked, a_request("http://other.example/")) is None
    assert get_cookie_header(jar_for(jar, URL), a_request(URL, Host="other.example")) is None


def test_values_of_removed_cookies_are_not_kept() -> None:
    """They may be secrets."""
    jar = two()
    field(jar)
    jar.clear()
    assert jar._picks is not None and not jar._picks._by_site


def test_places_without_end_are_not_kept() -> None:
    """A program may call another URL each time."""
    jar = two()
    for number in range(MAX_PICKS * 2):
        assert field(jar, f"http://example.com/{number}") == "a=1; b=2"
    assert jar._picks is not None and len(jar._picks._by_site) <= MAX_PICKS


def test_cookies_that_requests_carried_are_not_the_first_to_go() -> None:
    """Their use is noted, though no cookie is looked at for it."""
    jar = RequestsCookieJar()
    url = "https://example.com/used"
    extract_cookies_to_jar(jar, a_request(url), a_raw_response("kept=1; Path=/used"))
    for number in range(300):
        extract_cookies_to_jar(jar, a_request(url), a_raw_response(f"c{number}=1; Path=/other"))
        assert field(jar, url) == "kept=1"
    assert "kept" in jar and "c0" not in jar


def test_a_control_character_is_refused_each_time() -> None:
    """A cookie that is fine at first may be changed in place."""
    from pooledhttp.exceptions import InvalidHeader

    jar = two()
    assert field(jar) is not None
    next(iter(jar)).value = "a\r\nb: c"
    for _ in range(2):
        with pytest.raises(InvalidHeader):
            field(jar)


def test_no_cookie_is_copied_for_a_request_like_the_one_before() -> None:
    """As long as the jar of the request is not looked into."""
    jar = two()
    field(jar)
    picked = jar_for(jar, URL)
    assert get_cookie_header(picked, a_request(URL)) == "a=1; b=2"
    assert pick_of(picked) is not None
