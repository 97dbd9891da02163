"""URLs as text, header fields, and which characters a body's bytes stand for."""

from __future__ import annotations

import traceback
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pooledhttp
from pooledhttp.exceptions import InvalidHeader, InvalidURL
from pooledhttp.message.charset import (
    get_encoding_from_headers,
    get_encodings_from_content,
    get_unicode_from_response,
    guess_json_utf,
    iter_slices,
    stream_decode_response_unicode,
    to_native_string,
    unicode_is_ascii,
)
from pooledhttp.message.headers import (
    check_header_validity,
    default_headers,
    default_user_agent,
    parse_content_type,
    parse_header_links,
)
from pooledhttp.message.urls import (
    canonical_url,
    get_auth_from_url,
    prepend_scheme_if_needed,
    requote_uri,
    unquote_unreserved,
    urldefragauth,
)
from pooledhttp.structures import CaseInsensitiveDict


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/ b\u00e9", "http://a/%20b%C3%A9"),
        ("http://a/%7euser", "http://a/~user"),
        ("http://a/%2F%3f", "http://a/%2F%3f"),
        ("http://a/100%", "http://a/100%"),
        ("http://a/%zz%20", "http://a/%25zz%2520"),
        ("http://a/?q=[1]&r=|", "http://a/?q=[1]&r=%7C"),
        ("http://a/\r\nX: y", "http://a/%0D%0AX:%20y"),
    ],
)
def test_requoting_encodes_what_must_be_and_nothing_else(url: str, expected: str) -> None:
    """Reserved characters keep the form they came in; line breaks never get through."""
    assert requote_uri(url) == expected


@given(st.text())
def test_requoting_leaves_nothing_that_could_break_a_request_line(text: str) -> None:
    """Whatever goes in: visible ASCII comes out, and a second time changes nothing."""
    try:
        once = requote_uri(text)
    except UnicodeEncodeError:  # a lone surrogate is no character at all
        return
    assert all("!" <= letter <= "~" for letter in once)
    assert requote_uri(once) == once or "%25" in once


def test_an_escape_that_is_none_is_named() -> None:
    """Two letters that are not hexadecimal are an InvalidURL."""
    with pytest.raises(InvalidURL, match="zz"):
        unquote_unreserved("%zz")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://u:p%40@h/", ("u", "p@")),
        ("http://u:@h/", ("u", "")),
        ("http://u@h/", ("", "")),
        ("http://[::1", ("", "")),
        ("", ("", "")),
    ],
)
def test_credentials_in_a_url_are_decoded(url: str, expected: tuple[str, str]) -> None:
    """Both or neither; a URL that makes no sense has none."""
    assert get_auth_from_url(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("localhost:3128", "http://localhost:3128"),
        ("user:pa@localhost:3128", "http://user:pa@localhost:3128"),
        ("socks5h://h:1", "socks5h://h:1"),
        ("//h/x", "http://h/x"),
        ("http://u:p@h/x?q#f", "http://u:p@h/x?q#f"),
        ("http:/h:3128", "http:///h:3128"),  # still no host: refused as a proxy
    ],
)
def test_a_scheme_is_given_to_what_has_none(url: str, expected: str) -> None:
    """A host with a port is not taken for a scheme."""
    assert prepend_scheme_if_needed(url, "http") == expected


def test_fragment_and_credentials_are_taken_off() -> None:
    """Everything after the last `@` of the authority stays."""
    assert urldefragauth("http://u:p@h:1/x?q=@#f") == "http://h:1/x?q=@"
    assert urldefragauth("http://a@b@h/") == "http://h/"


@pytest.mark.parametrize(
    "field",
    [
        ("X-A", "v"),
        (b"X-A", b"v"),
        ("X-A", ""),
        ("X-A", "a\tb c"),
        ("X-A", "ends with a space "),
        ("X-A", "\u00fc"),
        ("!#$%&'*+.^_`|~-", "v"),
    ],
)
def test_sound_header_fields_pass(field: tuple[str | bytes, str | bytes]) -> None:
    """Tokens as names, printable values, empty ones too."""
    check_header_validity(field)


@pytest.mark.parametrize(
    "field",
    [
        ("", "v"),
        (" X", "v"),
        ("X ", "v"),
        ("X Y", "v"),
        ("X:", "v"),
        ("X\n", "v"),
        ("X\0", "v"),
        ("\u00fc", "v"),
        (b"X\r", b"v"),
        ("X", " v"),
        ("X", "\tv"),
        ("X", "v\r\n"),
        ("X", "v\n"),
        ("X", "v\r\nY: z"),
        ("X", "v\r\n folded"),
        ("X", "a\0b"),
        ("X", "a\x0bb"),
        ("X", "\x7f"),
        ("X", b"v\nw"),
        ("X", 3),
        (3, "v"),
        ("X", None),
        ("X", ["a", "b"]),
    ],
)
def test_a_field_that_would_not_stay_one_field_is_refused(field: tuple[str, str]) -> None:
    """Line breaks, NUL, surplus spaces, names that are not tokens, values that are not text."""
    with pytest.raises(InvalidHeader):
        check_header_validity(field)


@given(st.text(), st.text())
def test_what_passes_the_gate_is_one_line(name: str, value: str) -> None:
    """No text that passes can end its line or hold a NUL."""
    try:
        check_header_validity((name, value))
    except InvalidHeader:
        return
    assert name and not set(name) & set("\r\n\0 \t:") and not set(value) & set("\r\n\0")


def test_a_session_begins_with_these_fields_in_this_order() -> None:
    """As requests sends them, so that servers see no difference."""
    assert list(default_headers()) == ["User-Agent", "Accept-Encoding", "Accept", "Connection"]
    assert default_headers()["accept-encoding"].startswith("gzip, deflate")  # type: ignore[arg-type]
    assert default_headers()["user-agent"] == default_user_agent() == "python-requests/2.34.2"
    assert default_user_agent("x") == "x/2.34.2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("<a>", [{"url": "a"}]),
        ("<a,b>; rel=x, <c>;", [{"url": "a,b", "rel": "x"}, {"url": "c"}]),
        ("<a>; rel=\"x\"; title='y'", [{"url": "a", "rel": "x", "title": "y"}]),
        ("<a>; rel=x=y; foo=1", [{"url": "a"}]),
    ],
)
def test_links_are_read(value: str, expected: list[dict[str, str]]) -> None:
    """Targets may hold commas; a parameter that makes no sense ends its link."""
    assert parse_header_links(value) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html; charset=utf-8", "utf-8"),
        ("text/html; Charset='UTF-8'; x", "UTF-8"),
        ("text/plain", "ISO-8859-1"),
        ("application/json", "utf-8"),
        ("application/json; charset=x", "x"),
        ("image/png", None),
        ("", None),
    ],
)
def test_the_header_names_or_implies_an_encoding(content_type: str, expected: str | None) -> None:
    """`charset` first, then what the media type means."""
    fields = CaseInsensitiveDict({"Content-Type": content_type})
    assert get_encoding_from_headers(fields) == expected
    assert get_encoding_from_headers({}) is None


def test_a_content_type_is_type_and_parameters() -> None:
    """Names in lower case, quotes off, parameters without a value left out."""
    assert parse_content_type("a/b ;C=\"d\" ; 'e=f'; g; ;h=") == (
        "a/b",
        {"c": "d", "e": "f", "h": ""},
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_json_shows_its_encoding(encoding: str) -> None:
    """With a mark or without, long and short, the text can be decoded by the name given."""
    for text in ("{}", '{"a": "\u20ac"}', "\ufeff[]"):
        found = guess_json_utf(text.encode(encoding))
        assert found is not None
        assert text.encode(encoding).decode(found).lstrip("\ufeff") == text.lstrip("\ufeff")
    assert guess_json_utf(b"1") == "utf-8" and guess_json_utf(b"\0\0\0\0") is None


def test_text_in_pieces_is_decoded_whole() -> None:
    """A character cut by the pieces comes out; half a one at the end is replaced."""
    pieces = [bytes([byte]) for byte in "a\u20ac".encode()]
    response = SimpleNamespace(encoding="utf-8")
    assert "".join(stream_decode_response_unicode(pieces, response)) == "a\u20ac"
    assert "".join(stream_decode_response_unicode(pieces[:-1], response)) == "a\ufffd"
    response.encoding = None
    assert list(stream_decode_response_unicode(pieces, response)) == pieces


@pytest.mark.parametrize(("length", "count"), [(1, 5), (2, 3), (9, 1), (None, 1), (0, 1), (-1, 1)])
def test_slices_add_up(length: int | None, count: int) -> None:
    """Pieces of a length, or one piece."""
    assert "".join(pieces := list(iter_slices("abcde", length))) == "abcde"
    assert len(pieces) == count and list(iter_slices(b"", length)) == []


def test_deprecated_guesses_still_work_with_a_warning() -> None:
    """Both warn and point to what to use."""
    with pytest.warns(DeprecationWarning, match="parser"):
        assert get_encodings_from_content('<meta charset="x">') == ["x"]
    response = SimpleNamespace(headers={}, content=b"\xc3\xbc")
    with pytest.warns(DeprecationWarning, match="Response.text"):
        assert get_unicode_from_response(response) == "\u00fc"


def test_small_text_helpers() -> None:
    """Bytes become text, and ASCII is told from the rest."""
    assert to_native_string(b"a") == to_native_string("a") == "a"
    assert to_native_string("\u00fc".encode(), "utf-8") == "\u00fc"
    assert unicode_is_ascii("a") and not unicode_is_ascii("\u00fc")


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hush@[bad/",
        "http://user:hu/sh@host/x",
        "http://user:hush@h:port/",
        "http://user:hush@stra\u00dfe:port/",
        "http://user:hush@ex ample/",
        "http://user:hush@*.x/",
        "http://user:hush@",
        "http://user:hush@a..b/",
    ],
)
def test_no_password_in_the_error_of_a_url(url: str) -> None:
    """Neither the text nor a chained cause shows it."""
    with pytest.raises((pooledhttp.exceptions.InvalidURL, ValueError)) as caught:
        pooledhttp.PreparedRequest().prepare_url(url, None)
    shown = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__cause__)
    assert "hush" not in shown and "sh@" not in shown


@pytest.mark.parametrize("url", ["http://a..b/", "http://a.b../", "https://example..com:8443/x"])
def test_two_dots_in_a_row_are_named(url: str) -> None:
    """The message says what is wrong with the name."""
    with pytest.raises(InvalidURL, match="two dots in a row"):
        canonical_url(url)
