"""`PreparedRequest`: what goes to the wire, with requests as the oracle."""

from __future__ import annotations

import io
import pickle
import sys
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

import pooledhttp
from pooledhttp.exceptions import InvalidHeader, InvalidURL, MissingSchema
from pooledhttp.message import PreparedRequest, urls
from pooledhttp.structures import CaseInsensitiveDict

URLS: list[Any] = [
    "http://h", "http://h/", "HTTP://H/A", "http://h?q", "http://h#f", "http://h?#", "http://h/?",
    "http://h/a/../b", "http://h/.", "http://h/..a/.b", "http://h//x//y", "http://h/%zz%41",
    "http://h/%7Euser/%2f?x=%7E%2f", "http://h/a;b?c=d;e#f?g", "http://h/\u00e9?\u00e9#\u00e9",
    "http://[::1]:80/", "http://h/a b?c d#e f", "http://h:0080/x",
    "http://h:/", "http://h:8080", "http://@h/", "http://u@h", "http://u:p@h/x", "http://u:p@e@h/",
    "http://u:p w@h/x", "http://u v: @h/", "http:// u:p@h", "http://u:p% @e @h",
    "http://\u00e9 :p@h", "http://u: w@stra\u00dfe.de/",
    "http://h/?a=1&&b", "http://h/{a}|b^c`d\"<>", "http://h/a\\b", " http://h/ ", "http://h/\t",
    "http://a_b.com", "http://-a.com/", "http://h.:80/", "http://ex%61mple.com", "http://1.2.3/",
    "http://stra\u00dfe.de/stra\u00dfe", "http://xn--n3h.net/", "https://h:65535/",
    "http+unix://%2Fa%2Fb/c d", "mailto:a@b", "data:x,y", "file:///etc", b"http://h/\xc3\xa9",
]  # fmt: skip

PARAMS: list[Any] = [
    None, {}, [], "", {"a": None}, {"a": ["x", "y"]}, {"\u00e9": "\u00e9 &"}, [("a", 1), ("a", 2)],
    "a=b", "a b=\u00e9", b"x=%zz", "a#b", {"a": ""}, {1: True}, (("a", "b"),), {"a": b"\xff"},
]  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=repr)
def test_urls_are_prepared_as_by_requests(url: Any) -> None:
    """The final form of a URL, parameters included, is that of requests."""
    for params in PARAMS:
        theirs = requests.Request("GET", url, params=params).prepare().url
        assert pooledhttp.Request("GET", url, params=params).prepare().url == theirs


_urls = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["h", "a.b-c.example", "H.example:81", "127.0.0.1:8080", "u:p@h"]),
    st.text(alphabet="/ab.~%2F-_:;=@!$\u00e9 {}", max_size=12).map(lambda path: f"/{path}"),
    st.text(alphabet="ab=&?/%41+ ", max_size=8).map(lambda query: f"?{query}" if query else ""),
    st.text(alphabet="ab/?%7E", max_size=5).map(lambda fragment: f"#{fragment}"),
)


@given(_urls, st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
@settings(max_examples=60, deadline=None)
def test_any_url_is_prepared_as_by_requests(url: str, params: dict[str, str]) -> None:
    """Mutations of path, query and fragment do not find a difference."""
    theirs = requests.Request("GET", url, params=params).prepare().url
    assert pooledhttp.Request("GET", url, params=params).prepare().url == theirs


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("h", MissingSchema),
        ("//h/x", MissingSchema),
        (None, MissingSchema),
        ("http://", InvalidURL),
        ("http:/x", InvalidURL),
        ("http://*.example.com", InvalidURL),
        ("http://.example.com", InvalidURL),
        ("http://\u2603.net", InvalidURL),
        ("http://h:65536/", InvalidURL),
        ("http://h:-1/", InvalidURL),
        ("http://h:8a/", InvalidURL),
        ("http://a..b/", InvalidURL),
        (f"http://{'a' * 64}.com/", InvalidURL),
        (f"http://{'a.' * 130}com/", InvalidURL),
        ("http://good.example\\@evil.example/", InvalidURL),
        ("http://good.example\\.evil.example/", InvalidURL),
        ("http://a b/", InvalidURL),
        ("http://u:p w@a b/", InvalidURL),
        ("http://a b@/", InvalidURL),
        ("http://u:p\tw@h/", InvalidURL),
        ("http://u:p\x01w@h/", InvalidURL),
        ("http://u:p\\w@h/", InvalidURL),
        ("http://h\r\nX: y/", InvalidURL),
        ("http://h\n", InvalidURL),
        ("http://h\x00/", InvalidURL),
        ("http://a%2fb/", InvalidURL),
        ("http://a\uff0fb/", InvalidURL),
        ("http://[::1/", InvalidURL),
        ("http://\uff11\uff12\uff17.0.0.1/", InvalidURL),
        ("http://127.0.0.\u2460/", InvalidURL),
        ("http://127\u30020\u30020\u30021/", InvalidURL),
        ("http://\uff10x7f.\uff11/", InvalidURL),
        ("http://\uff12130706433./", InvalidURL),
    ],
)
def test_addresses_that_cannot_be_right_are_refused(url: Any, error: type[Exception]) -> None:
    """No host, a host no resolver knows, and what parsers read differently are refused."""
    with pytest.raises(error):
        pooledhttp.Request("GET", url).prepare()


def test_a_host_in_other_letters_is_converted() -> None:
    """Full-width and capital letters come out as the name they mean."""
    assert urls.canonical_url("http://ex\uff0eample/") == "http://ex.ample/"
    assert urls.canonical_url("http://\uff11.example/") == "http://1.example/"


def test_a_zone_does_not_spoil_the_parameters() -> None:
    """The percent sign of a zone is quoted by itself."""
    url = urls.canonical_url("http://[fe80::1%25eth0]/", {"a": "\u00e9"})
    assert url == "http://[fe80::1%25eth0]/?a=%C3%A9"


def test_errors_do_not_show_passwords() -> None:
    """User information is left out of the message about a URL."""
    for url in ("http://user:secret@*.example/", "http://user:secret@h:99999/", "//u:secret@h"):
        with pytest.raises(ValueError) as caught:
            pooledhttp.get(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\nX: y", "GE T", "", "G\x00T", "G\u00e9T"])
def test_a_method_is_one_word(method: str) -> None:
    """What would rewrite the request line is refused, as an error of requests and a ValueError."""
    with pytest.raises(InvalidHeader) as caught:
        pooledhttp.Request(method, "http://h/").prepare()
    assert isinstance(caught.value, ValueError)


def test_methods_come_out_in_upper_case() -> None:
    """Bytes and lower case are accepted."""
    assert pooledhttp.Request("get", "http://h/").prepare().method == "GET"
    assert pooledhttp.Request(b"PuT", "http://h/").prepare().method == "PUT"


def test_headers_keep_order_and_values() -> None:
    """Names become text, values stay what they are, the order is the caller's."""
    headers = {"Zeta": "1", b"Alpha": b"2", "Mid": ""}
    prepared = pooledhttp.Request("GET", "http://h/", headers=headers).prepare()
    assert list(prepared.headers.items()) == [("Zeta", "1"), ("Alpha", b"2"), ("Mid", "")]


@pytest.mark.parametrize("cookies", [{"a": "b\r\nX: y"}, {"a": "b\nc"}, {"a\x00": "b"}])
def test_a_cookie_cannot_start_a_line(cookies: dict[str, str]) -> None:
    """Control characters in cookies are refused."""
    with pytest.raises(InvalidHeader):
        pooledhttp.Request("GET", "http://h/", cookies=cookies).prepare()


def test_a_jar_is_kept_as_it_is() -> None:
    """A plain cookie jar stays the object it was."""
    jar = CookieJar()
    prepared = pooledhttp.Request("GET", "http://h/", cookies=jar).prepare()
    assert prepared._cookies is jar and "Cookie" not in prepared.headers
    prepared = pooledhttp.Request("GET", "http://h/", cookies={"a": "1", "b": "2"}).prepare()
    assert prepared.headers["Cookie"] == "a=1; b=2"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: io.BytesIO(b"data"),
        lambda: io.BytesIO(b""),
        lambda: iter([b"a"]),
        lambda: {b"a"},
        lambda: io.StringIO("text"),
    ],
)
def test_streams_are_framed_as_by_requests(method: str, make: Any) -> None:
    """A stream of known length gets Content-Length, another is chunked."""
    ours = pooledhttp.Request(method, "http://h/", data=make(), auth=("u", "p")).prepare()
    theirs = requests.Request(method, "http://h/", data=make(), auth=("u", "p")).prepare()
    assert ours.headers == theirs.headers
    assert ours._body_position == theirs._body_position


@pytest.mark.parametrize(
    ("data", "given", "framing"),
    [
        (b"abc", {"Transfer-Encoding": "chunked"}, {"Content-Length": "3"}),
        (io.BytesIO(b"abc"), {"Transfer-Encoding": "chunked"}, {"Content-Length": "3"}),
        (iter([b"abc"]), {"Content-Length": "3"}, {"Content-Length": "3"}),
        (
            iter([b"abc"]),
            {"Content-Length": "3", "Transfer-Encoding": "chunked"},
            {"Content-Length": "3"},
        ),
        (iter([b"abc"]), {}, {"Transfer-Encoding": "chunked"}),
    ],
)
def test_there_is_one_framing(data: Any, given: dict[str, str], framing: dict[str, str]) -> None:
    """A body never has Content-Length and Transfer-Encoding at once."""
    prepared = pooledhttp.Request("POST", "http://h/", data=data, headers=given).prepare()
    assert dict(prepared.headers) == framing


def test_streams_and_files_exclude_each_other() -> None:
    """A stream cannot be a field of a form."""
    with pytest.raises(NotImplementedError):
        pooledhttp.Request("POST", "http://h/", data=iter([b"x"]), files={"f": b"x"}).prepare()


def test_spaces_in_the_credentials_of_a_url_are_kept() -> None:
    """They are encoded in the URL, and decoded in the field, as by requests."""
    for url in ("http://u v:p w@h/", "http://us er@h/", "http://u: @h/"):
        theirs = requests.Request("GET", url).prepare()
        made = pooledhttp.Request("GET", url).prepare()
        assert made.url == theirs.url
        assert made.headers.get("Authorization") == theirs.headers.get("Authorization")


def test_credentials_of_the_url_are_used_unless_others_are_given() -> None:
    """User information becomes basic authentication; a tuple or callable comes first."""
    one = pooledhttp.Request("GET", "http://user:p%40ss@h/").prepare()
    other = requests.Request("GET", "http://user:p%40ss@h/").prepare()
    assert one.headers == other.headers and one.url == other.url
    given = pooledhttp.Request("GET", "http://user:pass@h/", auth=("x", "y")).prepare()
    assert given.headers["Authorization"] == "Basic eDp5"


def test_auth_may_replace_the_body() -> None:
    """What a callable puts in is counted, and a returned request's attributes are taken over."""

    def sign(request: Any) -> Any:
        twin = request.copy()
        twin.body = b"signed"
        twin.extra = 1
        return twin

    prepared = pooledhttp.Request("POST", "http://h/", data=b"x", auth=sign).prepare()
    assert prepared.body == b"signed" and prepared.headers["Content-Length"] == "6"
    assert prepared.extra == 1  # type: ignore[attr-defined]


def test_an_empty_one_can_be_filled_by_hand() -> None:
    """Single steps work alone, and everything is None at first."""
    prepared = pooledhttp.PreparedRequest()
    state = {name: value for name, value in vars(prepared).items() if name != "hooks"}
    assert set(state.values()) == {None} and prepared.hooks == {"response": []}
    prepared.prepare_headers({"A": "b"})
    prepared.prepare_url("http://h/a", {"b": "c"})
    prepared.prepare_cookies({"d": "e"})
    assert prepared.path_url == "/a?b=c" and prepared.headers["Cookie"] == "d=e"


def test_a_copy_can_be_altered() -> None:
    """Headers and cookies are the copy's own; body and hooks are shared."""
    prepared = pooledhttp.Request("POST", "http://h/", data="x", cookies={"a": "b"}).prepare()
    twin = prepared.copy()
    twin.headers["X"] = "y"
    twin._cookies.clear()
    assert "X" not in prepared.headers and len(prepared._cookies) == 1
    assert twin.hooks is prepared.hooks and twin.body is prepared.body


def test_prepared_requests_are_pickled() -> None:
    """Everything survives."""
    prepared = pooledhttp.Request("POST", "http://h/", json=[1], cookies={"a": "b"}).prepare()
    again = pickle.loads(pickle.dumps(prepared))
    assert (again.url, again.headers, again.body) == (prepared.url, prepared.headers, prepared.body)


def test_fields_that_were_valid_before_are_checked_by_value() -> None:
    """An equal table is known to be valid; one with another value is not, and secrets never are."""
    for _ in range(2):
        table: CaseInsensitiveDict[Any] = CaseInsensitiveDict({"X": "1", "Y": b"2"})
        prepared = PreparedRequest()
        prepared.prepare_headers(table)
        assert prepared.headers == table and prepared.headers is not table
        table["X"] = "1\r\nZ: 3"
        with pytest.raises(InvalidHeader):
            prepared.prepare_headers(table)
        table["X"] = [1]
        with pytest.raises(InvalidHeader):
            prepared.prepare_headers(table)
    prepared.prepare_headers(CaseInsensitiveDict({"Authorization": "Bearer hidden"}))
    assert "hidden" not in repr(sys.modules[PreparedRequest.__module__]._valid_fields)


def test_a_request_without_cookies_has_a_jar_when_it_is_read() -> None:
    """With the policy of the session; `vars`, copies and pickles have it, too."""
    policy = DefaultCookiePolicy(blocked_domains=["example.com"])
    with pooledhttp.Session() as session:
        session.cookies.set_policy(policy)
        one, two, three = (
            session.prepare_request(pooledhttp.Request("GET", "http://h/")) for _ in range(3)
        )
        assert one._cookies is one._cookies is vars(one)["_cookies"]
        assert one._cookies.get_policy() is policy and len(one._cookies) == 0
        assert one._cookies is not two._cookies
        assert two.copy()._cookies.get_policy() is policy
        assert len(pickle.loads(pickle.dumps(three))._cookies) == 0
        one._cookies = None
        assert one._cookies is None and one.copy()._cookies is None


@given(
    st.sampled_from(["http://h", "https://a.b:8080", "http://h.", "HTTP://h", "x://h"]),
    st.text("ab/?#%.;:@&=~ \t\n\\é", max_size=12),
)
def test_the_target_is_what_is_behind_the_authority(head: str, rest: str) -> None:
    """In whatever form a URL was set: most are read by a pattern, the others are parsed."""
    prepared = pooledhttp.PreparedRequest()
    prepared.url = head + rest
    parts = urlsplit(head + rest)
    query = f"?{parts.query}" if parts.query else ""
    assert prepared.path_url == (parts.path or "/") + query
