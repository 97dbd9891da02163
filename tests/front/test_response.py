"""`Response`: reading a body, and what is made of it, with requests as the oracle."""

from __future__ import annotations

import gc
import io
import json
import pickle
import sys
import weakref
import zlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import requests
import urllib3
from urllib3 import exceptions as wire

import pooledhttp
from pooledhttp import exceptions


def _filled(kind: Any, body: bytes, **attributes: Any) -> Any:
    response = kind()
    response.raw = io.BytesIO(body)
    response.status_code = 200
    for name, value in attributes.items():
        setattr(response, name, value)
    return response


def _both(body: bytes, read: Callable[[Any], Any], **attributes: Any) -> None:
    """What `read` gives, or the name of what it raises, is the same on both sides."""

    def outcome(kind: Any) -> Any:
        try:
            return read(_filled(kind, body, **attributes))
        except Exception as exc:
            return type(exc).__name__

    assert outcome(pooledhttp.Response) == outcome(requests.Response)


BODIES = [
    b"", b"abc", b"a\r\nb\n\nc", b"a\n", b"\r\n", b"a--b----c--", "\u00e9\u2603\n\u00e9".encode(),
    "\u00e9".encode("latin-1"), b"\xff\xfe\x00", b'{"a": 1}', '{"\u00e9": 1}'.encode("latin-1"),
    json.dumps({"a": "\u2603"}, ensure_ascii=False).encode("utf-16"), b"[1, 2", b"nope",
]  # fmt: skip


@pytest.mark.parametrize("encoding", [None, "utf-8", "ascii", "latin-1", "no-such-codec"])
@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_bodies_read_as_by_requests(body: bytes, encoding: str | None) -> None:
    """Content, text, JSON, pieces and lines come out alike."""
    for read in (
        lambda r: r.content,
        lambda r: r.text,
        lambda r: r.json(),
        lambda r: list(r.iter_content(3)),
        lambda r: list(r.iter_content(None)),
        lambda r: list(r.iter_content(2, decode_unicode=encoding != "no-such-codec")),
        lambda r: (r.content, list(r.iter_content(2)), list(r.iter_lines())),
        lambda r: list(r),
        lambda r: [next(r.iter_content(1), None), r.content],
        lambda r: (list(r.iter_content(1)), r.content),
        lambda r: list(r.iter_content("3")),
    ):
        _both(body, read, encoding=encoding)


@pytest.mark.parametrize("encoding", ["no-such-codec", "", "zlib", "hex", "idna", "a\u00fc"])
def test_text_in_an_encoding_that_is_none_is_utf_8(encoding: str) -> None:
    """Servers may call it what they like: all at once and in pieces it is the same text."""
    body = "\u00e9\u2603".encode() + b"\xff"
    assert _filled(pooledhttp.Response, body, encoding=encoding).text == "\u00e9\u2603\ufffd"
    response = _filled(pooledhttp.Response, body, encoding=encoding)
    assert "".join(response.iter_content(1, decode_unicode=True)) == "\u00e9\u2603\ufffd"


@pytest.mark.parametrize("body", ["\u00e9".encode(), "\u00fcber".encode("latin-1"), b"\x81\x40"])
def test_an_empty_charset_is_utf_8_as_for_requests(body: bytes) -> None:
    """`charset=` with nothing behind it: nothing is guessed."""
    _both(body, lambda r: r.text, encoding="")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 512])
@pytest.mark.parametrize("delimiter", [None, b"\n", b"--", b"b"])
@pytest.mark.parametrize("body", BODIES, ids=repr)
def test_lines_are_cut_as_by_requests(body: bytes, delimiter: bytes | None, size: int) -> None:
    """At every piece size, also where a piece ends within a CR LF."""
    _both(body, lambda r: list(r.iter_lines(chunk_size=size, delimiter=delimiter)))


def test_a_stream_can_be_read_once() -> None:
    """What was read as a stream and not kept is gone, and says so."""
    response = _filled(pooledhttp.Response, b"abc")
    assert list(response.iter_content(2)) == [b"ab", b"c"]
    with pytest.raises(RuntimeError):
        response.content  # noqa: B018
    with pytest.raises(exceptions.StreamConsumedError) as caught:
        response.iter_content(1)
    assert isinstance(caught.value, TypeError)


def test_a_response_made_by_hand_serves() -> None:
    """Attributes may be set one by one, and missing ones do not matter."""
    response = pooledhttp.Response()
    assert (response.content, response.text, response.links) == (None, "", {})
    response.close()
    response._content = b'{"a": 1}'
    assert response.json() == {"a": 1} and list(response.iter_lines()) == [b'{"a": 1}']
    with pytest.raises(exceptions.JSONDecodeError):
        pooledhttp.Response().json()


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (wire.ProtocolError("x"), exceptions.ChunkedEncodingError),
        (wire.DecodeError("x"), exceptions.ContentDecodingError),
        (wire.ReadTimeoutError(None, "", "x"), exceptions.BodyTimeout),  # type: ignore[arg-type]
        (wire.SSLError("x"), exceptions.SSLError),
        (wire.HTTPError("x"), exceptions.ConnectionError),
    ],
)
def test_failures_to_read_are_told_in_the_words_of_requests(
    below: Exception, above: type[Exception]
) -> None:
    """Each of urllib3's errors becomes its counterpart, with the cause and the request on it."""
    response = pooledhttp.Response()
    response.raw = mock.Mock()
    response.raw.stream.side_effect = below
    response.request = pooledhttp.Request("GET", "http://h/").prepare()
    with pytest.raises(above) as caught:
        next(response.iter_content(1024))
    assert caught.value.args[0] is below and caught.value.__cause__ is below
    assert caught.value.request is response.request  # type: ignore[attr-defined]


def test_a_subclass_can_name_other_error_classes() -> None:
    """A subclass may raise the classes of requests itself."""

    class Foreign(pooledhttp.Response):
        _errors = pooledhttp.Response._errors._replace(
            broken=requests.exceptions.ChunkedEncodingError,
            bad_status=requests.exceptions.HTTPError,
        )

    response = Foreign()
    response.raw = mock.Mock()
    response.raw.stream.side_effect = wire.ProtocolError("x")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        response.content  # noqa: B018
    response.status_code = 500
    assert not response.ok
    with pytest.raises(requests.HTTPError):
        response.raise_for_status()


def _raw(body: bytes, **headers: str) -> urllib3.HTTPResponse:
    return urllib3.HTTPResponse(io.BytesIO(body), headers=headers, preload_content=False)


def test_content_is_decoded_and_raw_is_not() -> None:
    """`Content-Encoding` is undone for readers of the response."""
    packed = zlib.compress(b"text" * 100)
    response = _filled(
        pooledhttp.Response, b"", raw=_raw(packed, **{"content-encoding": "deflate"})
    )
    assert response.content == b"text" * 100
    assert _raw(packed, **{"content-encoding": "deflate"}).read(decode_content=False) == packed


@pytest.mark.parametrize("status", [200, 301, 404, 418, 500, 599, 600, 399])
@pytest.mark.parametrize("reason", ["Why", "l\u00f6s".encode(), "l\u00f6s".encode("latin-1"), None])
def test_statuses_are_judged_as_by_requests(status: int, reason: Any) -> None:
    """The message of the error is the same, and the response is on it."""

    def judge(kind: Any) -> tuple[bool, str]:
        response = _filled(kind, b"", status_code=status, reason=reason, url="http://h/x")
        try:
            response.raise_for_status()
        except (requests.HTTPError, pooledhttp.HTTPError) as exc:
            assert exc.response is response
            return bool(response), str(exc)
        return response.ok, ""

    assert judge(pooledhttp.Response) == judge(requests.Response)


def test_an_error_status_does_not_tell_the_password() -> None:
    """User information of the URL is left out of the message."""
    response = _filled(pooledhttp.Response, b"", status_code=404, url="http://u:secret@h/x?a@b")
    with pytest.raises(pooledhttp.HTTPError) as caught:
        response.raise_for_status()
    assert "secret" not in str(caught.value) and "http://h/x?a@b" in str(caught.value)


def test_redirects_are_recognised() -> None:
    """It takes a status and a Location."""
    response = _filled(pooledhttp.Response, b"", status_code=308)
    assert not response.is_redirect and not response.is_permanent_redirect
    response.headers["LOCATION"] = "/"
    assert response.is_redirect and response.is_permanent_redirect
    response.status_code = 302
    assert response.is_redirect and not response.is_permanent_redirect


def test_links_are_named_by_relation_or_address() -> None:
    """The Link header is read into a table."""
    response = pooledhttp.Response()
    response.headers["Link"] = '<http://h/2>; rel="next", <http://h/x>; title=a'
    assert response.links["next"]["url"] == "http://h/2" and "http://h/x" in response.links


def test_a_pickled_response_has_its_body() -> None:
    """Pickling reads the body; raw and unread streams do not travel."""
    response = _filled(pooledhttp.Response, b"body", url="http://h/", encoding="utf-8")
    again = pickle.loads(pickle.dumps(response))
    assert (again.content, again.status_code, again.url, again.raw) == (
        b"body",
        200,
        "http://h/",
        None,
    )
    assert again.next is None


def test_the_promised_attributes_are_there() -> None:
    """A new response has the attributes that one of requests has, with equal values."""
    ours, theirs = vars(pooledhttp.Response()), vars(requests.Response())
    assert ours.keys() == theirs.keys()
    assert pooledhttp.Response.__attrs__ == requests.Response.__attrs__
    for name in ours.keys() - {"cookies"}:
        assert ours[name] == theirs[name]
    assert repr(pooledhttp.Response()) == "<Response [None]>"


def test_closing_gives_the_connection_back() -> None:
    """An unread body is closed before, a read one only released."""
    for is_read in (False, True):
        raw = mock.Mock()
        with _filled(pooledhttp.Response, b"", raw=raw, _content_consumed=is_read):
            pass
        assert raw.close.called is not is_read and raw.release_conn.called
    bare = _filled(pooledhttp.Response, b"x")
    bare.close()
    assert bare.raw.closed


def test_a_dropped_response_is_gone_at_once() -> None:
    """There is no reference cycle, also after reading, and after an error."""
    gc.disable()
    try:
        for read in (lambda r: r.content, lambda r: next(r.iter_lines(1)), lambda r: r.json()):
            response = _filled(pooledhttp.Response, b"a\nb")
            gone = weakref.ref(response)
            try:
                read(response)
            except ValueError:
                pass
            del response
            assert gone() is None
    finally:
        gc.enable()


def test_a_body_read_undecoded_is_decoded_when_asked_for() -> None:
    """What `_keep_encoded` took over is there for readers, and a wrong header hurts only them."""
    packed = zlib.compress(b"text")
    response = _filled(pooledhttp.Response, b"")
    response.headers["Content-Encoding"] = "deflate"
    response._keep_encoded(packed)
    assert response.content == b"text"
    response = _filled(pooledhttp.Response, b"")
    response.headers["Content-Encoding"] = "gzip"
    response._keep_encoded(b"plain")
    with pytest.raises(exceptions.ContentDecodingError):
        response.content  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text/html; charset=utf-8", ", which is text/html, not JSON: line 1 column 1 (char 0)"),
        ("application/problem+json", "h/page: line 1 column 1 (char 0)"),
        (None, "h/page: line 1 column 1 (char 0)"),
    ],
)
def test_a_body_that_is_not_json_is_named(kind: str | None, says: str) -> None:
    """The error names the status, URL and content type; a password in the URL is left out."""
    response = pooledhttp.Response()
    response._content = b"<html>Bad gateway</html>"
    response.status_code, response.url = 502, "https://user:secret@h/page"
    if kind is not None:
        response.headers["Content-Type"] = kind
    with pytest.raises(pooledhttp.JSONDecodeError, match="Expecting value") as caught:
        response.json()
    assert says in str(caught.value)
    assert "in the response with status 502 from https://h/page" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert (caught.value.doc, caught.value.pos) == ("<html>Bad gateway</html>", 0)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a": ' * 100_000, b"1" * 5_000, b'{"a": -' + b"9" * 5_000 + b"}"]
)
def test_json_that_the_parser_gives_up_on_is_no_json(body: bytes) -> None:
    """Too deep, or a number too long: no bare RecursionError or ValueError."""
    response = pooledhttp.Response()
    response._content, response.url = body, "https://h/page"
    with pytest.raises(pooledhttp.JSONDecodeError, match="https://h/page") as caught:
        response.json()
    assert (caught.value.doc, caught.value.pos) == (body.decode(), 0)


def test_errors_of_a_hook_of_json_are_the_callers() -> None:
    """They come through as they are."""
    response = pooledhttp.Response()
    response._content = b'{"a": 1}'

    def refuse(found: dict[str, Any]) -> None:
        raise ValueError("not one of ours")

    with pytest.raises(ValueError, match="not one of ours") as caught:
        response.json(object_hook=refuse)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16", "UTF_16", "utf-32", "utf-8"])
def test_pieces_without_a_byte_order_mark_are_text(encoding: str, mark: str, size: int) -> None:
    """UTF-16 without a mark is what it is for `.text`, and no bare UnicodeError."""
    codec = encoding.replace("_", "-").lower()
    native = codec if codec == "utf-8" else f"{codec}-{sys.byteorder[0]}e"
    body = f"{mark}\u2603 ok".encode(native) + b"\xff"
    whole, parted = (_filled(pooledhttp.Response, body, encoding=encoding) for _ in range(2))
    assert "".join(parted.iter_content(size, decode_unicode=True)) == whole.text


def test_a_response_made_by_hand_has_no_url_to_name() -> None:
    """The parser's own words remain."""
    response = pooledhttp.Response()
    response._content = b"<"
    with pytest.raises(pooledhttp.JSONDecodeError) as caught:
        response.json()
    assert str(caught.value) == "Expecting value: line 1 column 1 (char 0)"
