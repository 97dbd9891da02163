"""Each parser of heads by itself, through `HeadParser`: what it finds, and what it leaves."""

from __future__ import annotations

import pytest
from urllib3.exceptions import HTTPError

from pooledhttp.http1.messages import ResponseLimits
from pooledhttp.http1.parser import HeadParser
from pooledhttp.http1.parsers import library_for
from pooledhttp.http1.progress import ExchangeProgress

pytestmark = pytest.mark.usefixtures("each_parser")

HEAD = b"HTTP/1.1 200 OK\r\nServer: s\r\nX-A:  b \r\ncontent-length: 5\r\n\r\n"


def new_parser(limits: ResponseLimits | None = None) -> HeadParser:
    """Make the parser that is chosen now."""
    return library_for("auto").new_parser(ExchangeProgress("http://a.test:80"), limits or LIMITS)


LIMITS = ResponseLimits()


def said(parser: HeadParser) -> tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]:
    """Return what the parser says of the head that it has found."""
    return parser.status, parser.reason, parser.version, parser.fields


def test_a_head_in_one_piece(each_parser: str) -> None:
    """Names as they were written, values without the white space around them."""
    parser = new_parser()
    parser.feed(HEAD + b"hello")
    assert parser.next_head()
    fields = [(b"Server", b"s"), (b"X-A", b"b"), (b"content-length", b"5")]
    assert said(parser) == (200, b"OK", b"1.1", fields)
    assert parser.by_name == {b"server": b"s", b"x-a": b"b", b"content-length": b"5"}
    assert (parser.rest, parser.repairs, parser.repeats_length) == (b"hello", (), False)
    assert parser.name == each_parser


@pytest.mark.parametrize("size", [1, 2, 7, len(HEAD) - 1])
def test_a_head_in_pieces(size: int) -> None:
    """It is found with its last byte and not before, and what follows is left."""
    parser = new_parser()
    for at in range(0, len(HEAD) - 1, size):
        parser.feed(HEAD[at : min(at + size, len(HEAD) - 1)])
        assert not parser.next_head()
    parser.feed(HEAD[-1:] + b"he")
    assert parser.next_head()
    assert (parser.status, len(parser.fields), parser.rest) == (200, 3, b"he")


def test_interim_heads_come_one_by_one() -> None:
    """Each has its own fields; the final head is next, whatever pieces they came in."""
    parser = new_parser()
    parser.feed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHT")
    assert parser.next_head() and said(parser)[0] == 103
    assert parser.by_name == {b"link": b"</a>"}
    assert parser.next_head() and said(parser) == (100, b"Continue", b"1.1", [])
    assert not parser.next_head()
    parser.feed(HEAD[2:])
    assert parser.next_head() and parser.status == 200


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"HTTP/1.1 101 S P", b"S P"), (b"HTTP/1.1 404 ", b""), (b"HTTP/1.0 500", b"")],
)
def test_status_lines(line: bytes, reason: bytes) -> None:
    """With a phrase of several words, and with none."""
    parser = new_parser()
    parser.feed(line + b"\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nnew protocol")
    assert parser.next_head()
    assert (parser.status, parser.reason) == (int(line[9:12]), reason)
    assert (parser.version, parser.rest) == (line[5:8], b"new protocol")


def test_repeated_fields() -> None:
    """All are in `fields`, in their order; `by_name` has the last."""
    parser = new_parser()
    parser.feed(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX: 1\r\nSet-Cookie: b\r\nset-cookie: c\r\n\r\n"
    )
    assert parser.next_head()
    assert [value for _, value in parser.fields] == [b"a", b"1", b"b", b"c"]
    assert parser.by_name == {b"set-cookie": b"c", b"x": b"1"}


@pytest.mark.parametrize("lines", [b"Content-Length: 5, 5\r\n", b"Content-Length: 5\r\n" * 2])
def test_a_length_that_is_given_twice(lines: bytes) -> None:
    """With equal numbers it is one number, and the parser says so."""
    parser = new_parser()
    parser.feed(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")
    assert parser.next_head()
    assert parser.by_name[b"content-length"] == b"5" and parser.repeats_length


def test_the_name_of_a_coding_is_in_lower_case() -> None:
    """Codings are case-insensitive (RFC 9112, section 7)."""
    parser = new_parser()
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n")
    assert parser.next_head()
    assert parser.fields == [(b"Transfer-Encoding", b"chunked")]
    assert parser.by_name == {b"transfer-encoding": b"chunked"}


def test_an_odd_head_is_repaired_by_h11() -> None:
    """Both give it to h11, which names the deviation."""
    parser = new_parser()
    parser.feed(b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n")
    assert parser.next_head()
    assert parser.by_name == {b"x-a": b"b", b"content-length": b"0"}
    assert (parser.name, len(parser.repairs)) == ("h11", 1)


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_no_head_is_an_error(data: bytes) -> None:
    """It is one of the errors that callers know."""
    parser = new_parser()
    parser.feed(data)
    with pytest.raises(HTTPError):
        parser.next_head()


def test_a_head_may_not_grow_without_end() -> None:
    """The limit holds before the head is complete."""
    parser = new_parser(ResponseLimits(head_bytes=1000))
    parser.feed(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 2000)
    with pytest.raises(HTTPError):
        parser.next_head()


@pytest.mark.parametrize("pieces", [1, 2, 40])
@pytest.mark.parametrize("line", [b"A: " + b"b" * 2000, b"a" * 2000, b"A : " + b"b" * 2000])
def test_a_large_head_is_refused_in_whatever_pieces_it_comes(line: bytes, pieces: int) -> None:
    """The limit is for complete heads as well, and comes before what else is wrong with them."""
    parser = new_parser(ResponseLimits(head_bytes=1000))
    head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
    size = -(-len(head) // pieces)
    with pytest.raises(HTTPError, match="too long"):
        for start in range(0, len(head), size):
            parser.feed(head[start : start + size])
            assert not parser.next_head()


def test_a_body_does_not_count_for_the_limit_of_its_head() -> None:
    """Also where the head ends with bare line feeds, so that a parser is given the body with it."""
    for end in (b"\r\n\r\n", b"\n\n"):
        parser = new_parser(ResponseLimits(head_bytes=1000))
        parser.feed(b"HTTP/1.1 200 OK" + end[: len(end) // 2] + b"A: b" + end + b"x" * 2000)
        assert parser.next_head()
        assert parser.rest == b"x" * 2000
