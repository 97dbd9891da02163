"""Where a response ends (RFC 9112, section 6), when the framing is wrong in each known way."""

from __future__ import annotations

import pytest

import pooledhttp
from pooledhttp.exceptions import ChunkedEncodingError, ConnectionError, InvalidHeader
from tests.support.scripted import Peer, ScriptedServer, respond
from tests.wire.tools import Case, close, first_then_new, play, prompt, reset, table

pytestmark = pytest.mark.usefixtures("each_parser")

HELLO = b"hello"


def head(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """A head of these fields."""
    return "\r\n".join([f"{version} {status}", *fields, "", ""]).encode("latin-1")


def length(*values: str) -> bytes:
    """A head with these Content-Length fields, and five bytes of body."""
    return head(*(f"Content-Length: {value}" for value in values)) + HELLO


def chunks(body: bytes, *fields: str) -> bytes:
    """A chunked response, with the framing of its body as given."""
    return head("Transfer-Encoding: chunked", *fields) + body


LENGTHS = [
    Case("plain", length("5"), reused=True),
    Case("leading-zeros", length("005"), reused=True),
    Case("spaces-around", length("  5\t "), reused=True),
    Case("repeated-equal", length("5", "5"), reused=None),
    Case("list-equal", length("5, 5"), reused=None),
    Case("repeated-different", length("5", "6"), InvalidHeader),
    Case("repeated-different-shorter-first", length("3", "5"), InvalidHeader),
    Case("list-different", length("5, 6"), InvalidHeader),
    Case("list-with-empty", length("5,"), InvalidHeader),
    *(
        Case(f"malformed-{value!r}", length(value), InvalidHeader)
        for value in (
            "+5",
            "-5",
            "-0",
            "0x5",
            "5.0",
            "5 5",
            "5e0",
            "abc",
            "5a",
            "1_0",
            "",
            "5;",
            "\xd9\xa5",
        )
    ),
    Case("beyond-any-number", length("9" * 40), InvalidHeader, then=close),
    Case("longer-than-the-body-fin", length("6"), ChunkedEncodingError, then=close),
    Case(
        "longer-than-the-body-rst", length("6"), (ChunkedEncodingError, ConnectionError), then=reset
    ),
    Case("huge-and-closed", length("9" * 15), ChunkedEncodingError, then=close),
    Case("shorter-than-the-body", length("4"), b"hell"),
    Case("zero-with-a-body", length("0"), b""),
    Case("a-second-answer-behind", length("5") + length("5"), HELLO),
]

CHUNK = b"5\r\nhello\r\n"
END = b"0\r\n\r\n"

CHUNKED = [
    Case("plain", chunks(CHUNK + END), reused=True),
    Case("two", chunks(b"2\r\nhe\r\n3\r\nllo\r\n" + END), reused=True),
    Case("empty", chunks(END), b"", reused=True),
    Case("upper-case-name", head("TRANSFER-ENCODING: CHUNKED") + CHUNK + END, reused=True),
    Case("upper-case-hex", chunks(b"A\r\n0123456789\r\n" + END), b"0123456789", reused=True),
    Case("lower-case-hex", chunks(b"a\r\n0123456789\r\n" + END), b"0123456789", reused=True),
    Case("leading-zeros", chunks(b"0005\r\nhello\r\n" + END), reused=True),
    Case("many-zeros-at-the-end", chunks(CHUNK + b"000000\r\n\r\n"), reused=True),
    Case("extension", chunks(b"5;name=value\r\nhello\r\n" + END), reused=True),
    Case("quoted-extension", chunks(b'5;a="b;c"\r\nhello\r\n0;x\r\n\r\n'), reused=True),
    Case("trailer", chunks(CHUNK + b"0\r\nX-Sum: 1\r\n\r\n"), reused=True),
    Case("trailer-that-frames", chunks(CHUNK + b"0\r\nContent-Length: 99\r\n\r\n"), reused=None),
    Case("space-before-extension", chunks(b"5 \t;a=b\r\nhello\r\n0 ;x\r\n\r\n"), reused=True),
    Case("space-after-size", chunks(b"5 \r\nhello\r\n" + END), reused=None),
    Case("size-negative", chunks(b"-5\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-plus", chunks(b"+5\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-0x", chunks(b"0x5\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-underscore", chunks(b"1_0\r\n0123456789abcdef\r\n" + END), ChunkedEncodingError),
    Case("size-missing", chunks(b"\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-not-hex", chunks(b"five\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-space-before", chunks(b" 5\r\nhello\r\n" + END), ChunkedEncodingError),
    Case(
        "size-beyond-64-bit",
        chunks(b"1" + b"0" * 16 + b"5\r\nhello\r\n" + END),
        ChunkedEncodingError,
        then=close,
    ),
    Case("size-endless-digits", chunks(b"0" * 30 + b"5\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-one-less", chunks(b"4\r\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-one-more", chunks(b"6\r\nhello\r\n" + END), ChunkedEncodingError),
    # CVE-2025-43859: the two bytes behind the data were not looked at.
    Case("data-ends-in-anything", chunks(b"5\r\nhelloXX" + END), ChunkedEncodingError),
    Case("data-ends-in-nothing", chunks(b"5\r\nhello" + END), ChunkedEncodingError),
    Case("data-ends-in-lf", chunks(b"5\r\nhello\n" + END), ChunkedEncodingError),
    Case("data-ends-in-cr", chunks(b"5\r\nhello\rX" + END), ChunkedEncodingError),
    Case("data-with-size-in-it", chunks(b"5\r\nhello0\r\n\r\n"), ChunkedEncodingError),
    # A bare CR or NUL there is for no reader a line end: the body is the same to all.
    Case("bare-cr-in-extension", chunks(b"5;a\rb\r\nhello\r\n" + END), reused=None),
    Case("nul-in-extension", chunks(b"5;a\0b\r\nhello\r\n" + END), reused=None),
    Case("lf-in-extension", chunks(b"5;a\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-ends-in-lf", chunks(b"5\nhello\r\n" + END), ChunkedEncodingError),
    Case("size-ends-in-cr", chunks(b"5\rhello\r\n" + END), ChunkedEncodingError),
    Case("end-in-size", chunks(CHUNK + b"5"), ChunkedEncodingError, then=close),
    Case("end-behind-size", chunks(CHUNK + b"5\r\n"), ChunkedEncodingError, then=close),
    Case("end-in-data", chunks(CHUNK + b"5\r\nhe"), ChunkedEncodingError, then=close),
    Case("end-behind-data", chunks(CHUNK), ChunkedEncodingError, then=close),
    Case("end-before-any", chunks(b""), ChunkedEncodingError, then=close),
    Case("end-in-last", chunks(CHUNK + b"0\r\n"), ChunkedEncodingError, then=close),
    Case("end-in-trailer", chunks(CHUNK + b"0\r\nX-Sum: 1\r\n"), ChunkedEncodingError, then=close),
    Case(
        "reset-in-data",
        chunks(CHUNK + b"5\r\nhe"),
        (ChunkedEncodingError, ConnectionError),
        then=reset,
    ),
    Case("trailer-malformed", chunks(CHUNK + b"0\r\nno colon\r\n\r\n"), ChunkedEncodingError),
    Case("trailer-nul", chunks(CHUNK + b"0\r\nX: a\0b\r\n\r\n"), ChunkedEncodingError),
    Case(
        "trailer-too-many",
        chunks(CHUNK + b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n"),
        ChunkedEncodingError,
    ),
    Case(
        "trailer-too-large",
        chunks(CHUNK + b"0\r\nX: " + b"y" * 400_000 + b"\r\n\r\n"),
        ChunkedEncodingError,
    ),
    Case(
        "extension-too-large",
        chunks(b"5;" + b"x" * 400_000 + b"\r\nhello\r\n" + END),
        ChunkedEncodingError,
    ),
    Case(
        "only-extensions",
        chunks((b"1;" + b"x" * 900 + b"\r\na\r\n") * 300 + END),
        ChunkedEncodingError,
    ),
    Case("one-byte-each", chunks(b"1\r\na\r\n" * 5_000 + END), b"a" * 5_000, reused=True),
    Case("rubbish-behind", chunks(CHUNK + END + b"rubbish")),
    Case("an-answer-behind", chunks(CHUNK + END) + length("5")),
]

CODINGS = [
    Case(
        "length-beside-chunked",
        head("Transfer-Encoding: chunked", "Content-Length: 3") + CHUNK + END,
    ),
    Case(
        "chunked-beside-length",
        head("Content-Length: 3", "Transfer-Encoding: chunked") + CHUNK + END,
    ),
    Case(
        "length-wrong-beside-chunked",
        head("Content-Length: x", "Transfer-Encoding: chunked") + CHUNK + END,
        InvalidHeader,
    ),
    *(
        Case(
            f"coding-{value!r}", head(f"Transfer-Encoding: {value}") + CHUNK + END, ConnectionError
        )
        for value in (
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "chunked, identity",
            "identity, chunked",
            "xchunked",
            "chunkedx",
            "chunked;q=1",
            "\x0bchunked",
            "chunked\x0b",
            '"chunked"',
            "",
            "chunked\0",
        )
    ),
    Case(
        "coding-twice",
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + CHUNK + END,
    ),
    Case(
        "coding-identity",
        head("Transfer-Encoding: identity", "Content-Length: 5") + HELLO,
    ),
    Case("space-before-colon", head("Transfer-Encoding : chunked") + CHUNK + END, ConnectionError),
    Case("folded", head("Transfer-Encoding:", " chunked") + CHUNK + END, reused=None),
    Case(
        "http-1.0",
        head("Transfer-Encoding: chunked", version="HTTP/1.0") + CHUNK + END,
        reused=False,
    ),
]

BODILESS = [
    Case("head", length("5")[:-5], b"", reused=True, method="HEAD"),
    Case("head-chunked", head("Transfer-Encoding: chunked"), b"", reused=True, method="HEAD"),
    Case("head-nothing-said", head(), b"", reused=None, method="HEAD"),
    Case("head-with-a-body", length("5"), b"", method="HEAD"),
    Case("head-with-chunks", chunks(CHUNK + END), b"", method="HEAD"),
    Case("204", head(status="204 No Content"), b"", reused=True, status=204),
    Case("204-with-length", head("Content-Length: 5", status="204 No Content"), b""),
    Case("204-with-zero", head("Content-Length: 0", status="204 No Content"), b"", reused=True),
    Case("204-chunked", head("Transfer-Encoding: chunked", status="204 No"), b""),
    Case("204-with-a-body", head("Content-Length: 5", status="204 No") + HELLO, b""),
    Case("204-with-chunks", head("Transfer-Encoding: chunked", status="204 No") + END, b""),
    Case("304", head("ETag: x", status="304 Not Modified"), b"", reused=True),
    Case("304-with-length", head("Content-Length: 5", status="304 Not Modified"), b"", reused=True),
    Case("304-with-a-body", head("Content-Length: 5", status="304 Not") + HELLO, b""),
    Case("304-chunked", head("Transfer-Encoding: chunked", status="304 Not"), b"", reused=None),
    Case("205-zero", head("Content-Length: 0", status="205 Reset"), b"", reused=True),
    Case("205-with-length", head("Content-Length: 5", status="205 Reset") + HELLO, reused=None),
    Case("200-zero", head("Content-Length: 0"), b"", reused=True),
]

TO_THE_END = [
    Case("fin", head() + HELLO, then=close),
    Case("fin-empty", head(), b"", then=close),
    Case("fin-1.0", head(version="HTTP/1.0") + HELLO, then=close),
    Case("rst", head() + HELLO, (ChunkedEncodingError, ConnectionError), then=reset),
    Case(
        "connection-close-and-length",
        head("Connection: close", "Content-Length: 5") + HELLO,
        then=close,
    ),
    Case("close-said-not-done", head("Connection: close", "Content-Length: 5") + HELLO),
    Case("close-in-a-list", head("Connection: keep-alive, Close", "Content-Length: 5") + HELLO),
    Case(
        "close-in-a-second-field",
        head("Connection: x", "Connection: close", "Content-Length: 5") + HELLO,
    ),
    Case("1.0-with-length", head("Content-Length: 5", version="HTTP/1.0") + HELLO),
    Case(
        "1.0-keep-alive",
        head("Content-Length: 5", "Connection: keep-alive", version="HTTP/1.0") + HELLO,
        reused=None,
    ),
    Case("1.0-close", head("Content-Length: 5", "Connection: close", version="HTTP/1.0") + HELLO),
    Case("complete-then-rst", length("5"), then=reset),
]


@table(*LENGTHS)
def test_content_length(case: Case, session: pooledhttp.Session) -> None:
    """A length is one number or the response is refused; bytes after it belong to no response."""
    play(case, session)


@table(*CHUNKED)
def test_chunks(case: Case, session: pooledhttp.Session) -> None:
    """Chunks are parsed strictly; bytes after the last one close the connection."""
    play(case, session)


@table(*CODINGS)
def test_transfer_codings(case: Case, session: pooledhttp.Session) -> None:
    """Only `chunked` is supported; beside a length it wins, and the connection is closed."""
    play(case, session)


@table(*BODILESS)
def test_answers_without_a_body(case: Case, session: pooledhttp.Session) -> None:
    """Responses to HEAD, 204 and 304 have no body, whatever the head says or the server sends."""
    play(case, session)


@table(*TO_THE_END)
def test_answers_that_end_with_the_connection(case: Case, session: pooledhttp.Session) -> None:
    """A body without a length ends with the regular end of the connection."""
    play(case, session)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@table(*LENGTHS[:1], *CHUNKED[:2], *CHUNKED[8:11])
def test_arrives_byte_by_byte(case: Case, session: pooledhttp.Session, stream: bool) -> None:
    """A response is the same wherever the network splits it."""

    def trickle(peer: Peer) -> None:
        peer.read_request()
        for at in range(len(case.sends)):
            peer.send(case.sends[at : at + 1])
        peer.read_request()
        peer.send(respond(b"again"))

    with ScriptedServer([trickle]) as server, prompt():
        answer = session.get(server.url(), stream=stream)
        assert b"".join(answer.iter_content(3)) == HELLO
        assert session.get(server.url()).content == b"again"
        session.close()


def test_bytes_behind_an_answer_that_come_late_are_no_answer(session: pooledhttp.Session) -> None:
    """A response on an idle connection is never given to the next request."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(length("5"))
        gate.wait()
        peer.send(respond(b"poison"))
        sent.open()
        peer.wait_closed()

    with ScriptedServer(first_then_new(handle)) as server:
        gate, sent = server.gate(), server.gate()
        assert session.get(server.url()).content == HELLO
        gate.open()
        sent.wait()
        assert session.get(server.url(), timeout=2).content == b"over a new connection"
        session.close()
