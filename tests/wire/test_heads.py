"""Status lines, fields and interim responses (RFC 9112, sections 4 and 5), valid and invalid."""

from __future__ import annotations

import pytest

import pooledhttp
from pooledhttp.exceptions import ConnectionError, InvalidHeader, ReadTimeout
from tests.support.scripted import Peer, ScriptedServer, answering
from tests.wire.test_framing import HELLO, head, length
from tests.wire.tools import Case, close, first_then_new, play, prompt, reset, table

pytestmark = pytest.mark.usefixtures("each_parser")

OK = length("5")


def line(text: str) -> bytes:
    """A response with this status line."""
    return text.encode("latin-1") + b"\r\nContent-Length: 5\r\n\r\nhello"


def field(raw: bytes, end: bytes = b"\r\n") -> bytes:
    """A response with this line among its fields."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + raw + end + b"\r\n" + HELLO


def interim(*lines: str) -> bytes:
    """Interim responses with these status lines."""
    return b"".join(f"HTTP/1.1 {each}\r\n\r\n".encode() for each in lines)


STATUS_LINES = [
    Case("no-reason", line("HTTP/1.1 200 "), reused=True, status=200),
    Case("no-reason-no-space", line("HTTP/1.1 200"), reused=True, status=200),
    Case("reason-of-words", line("HTTP/1.1 200 All is well"), reused=True),
    Case("reason-latin-1", line("HTTP/1.1 200 D\xe9j\xe0"), reused=True),
    Case("unknown-status", line("HTTP/1.1 299 X"), reused=True, status=299),
    Case("status-599", line("HTTP/1.1 599 X"), reused=True, status=599),
    Case("two-spaces", line("HTTP/1.1  200 OK"), status=200),
    Case("tab", line("HTTP/1.1\t200 OK"), status=200),
    Case("status-999", line("HTTP/1.1 999 X"), reused=None, status=999),
    *(
        Case(f"bad-{text!r}", line(text), ConnectionError)
        for text in (
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 2xx OK",
            "HTTP/1.1 -200 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 000 OK",
            "HTTP/1.1 OK",
            "HTTP/1.1",
            "HTTP/1 200 OK",
            "HTTP/1.10 200 OK",
            "HTTP/11 200 OK",
            "HTTP/0.9 200 OK",
            "HTTP/2 200",
            "HTTP/2.0 200 OK",
            "HTTP/3.0 200 OK",
            "HTTPS/1.1 200 OK",
            "http/1.1 200 OK",
            "HTTP /1.1 200 OK",
            " HTTP/1.1 200 OK",
            "ICY 200 OK",
            "RTSP/1.0 200 OK",
            "GET / HTTP/1.1",
            "200 OK",
            "HTTP/1.1 200 O\0K",
            "HTTP/1.1 200 O\rK",
            "",
        )
    ),
]

STRANGERS = [
    # The peer keeps the connection open: it has to be the bytes that tell, not a timeout.
    Case("smtp", b"220 mail.example.com ESMTP ready\r\n", ConnectionError),
    Case("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", ConnectionError),
    Case("tls-alert", bytes.fromhex("15030100020246"), ConnectionError),
    Case("tls-hello", bytes.fromhex("1603030042020000"), ConnectionError),
    Case("http2-settings", bytes.fromhex("000000040000000000"), ConnectionError),
    Case("http2-goaway", bytes.fromhex("000008070000000000") + bytes(8), ConnectionError),
    Case("mysql", b"J\0\0\0\n8.0.36\0", ConnectionError),
    Case("redis", b"-ERR unknown command 'GET'\r\n", ConnectionError),
    Case("http-0.9", b"<html>hello</html>", ConnectionError, then=close),
    Case("zeros", bytes(2000), ConnectionError),
    Case("one-byte", b"\xff", ConnectionError),
    Case("one-right-byte", b"H", ConnectionError, then=close),
    Case("rubbish-megabyte", b"x" * 1_000_000, ConnectionError, then=close),
    Case("leading-crlf", b"\r\n" + OK, ConnectionError),
    Case(
        "two-heads-no-blank",
        b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n",
        ConnectionError,
        then=close,
    ),
]

ENDINGS = [
    Case("fin-at-once", b"", ConnectionError, then=close),
    Case("rst-at-once", b"", ConnectionError, then=reset),
    Case("fin-in-status-line", b"HTTP/1.1 20", ConnectionError, then=close),
    Case("fin-in-fields", b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionError, then=close),
    Case(
        "fin-before-blank-line",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        ConnectionError,
        then=close,
    ),
    Case("rst-in-fields", b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionError, then=reset),
    Case("fin-behind-interim", interim("100 Continue"), ConnectionError, then=close),
]

FIELDS = [
    Case("obs-fold", field(b"X-A: one\r\n  two"), reused=None),
    Case("obs-fold-tab", field(b"X-A: one\r\n\ttwo"), reused=None),
    Case("empty-value", field(b"X-A:"), reused=True),
    Case("no-space", field(b"X-A:b"), reused=True),
    Case("latin-1-value", field(b"X-A: d\xe9j\xe0"), reused=True),
    Case("utf-8-value", field("X-A: déjà".encode()), reused=True),
    Case("odd-token-name", field(b"X!#$%&'*+-.^_`|~1: a"), reused=True),
    Case("tab-in-value", field(b"X-A: a\tb"), reused=True),
    Case("bare-lf-everywhere", OK.replace(b"\r\n", b"\n"), reused=None),
    Case("bare-lf-in-one-line", field(b"X-A: a", b"\n"), reused=None),
    Case("value-of-quotes", field(b'X-A: "a\\"b"; c'), reused=True),
    Case(
        "fold-first",
        b"HTTP/1.1 200 OK\r\n X-A: b\r\nContent-Length: 5\r\n\r\nhello",
    ),
    Case("no-colon", field(b"X-A")),
    Case("no-name", field(b": a")),
    Case("space-in-name", field(b"X A: a")),
    Case("space-before-colon", field(b"X-A : a")),
    Case("tab-before-colon", field(b"X-A\t: a")),
    Case("control-in-name", field(b"X\x01A: a")),
    Case("latin-1-name", field(b"X-\xe9: a")),
    Case("nul-in-name", field(b"X-\0A: a"), ConnectionError),
    Case("nul-in-value", field(b"X-A: a\0b"), ConnectionError),
    Case("bare-cr-in-value", field(b"X-A: a\rX-B: b"), ConnectionError),
    Case("cr-cr-lf", field(b"X-A: a\r"), ConnectionError),
    Case("bell-in-value", field(b"X-A: a\x07b"), reused=None),
]

LIMITS = [
    Case("150-fields", field(b"\r\n".join(b"X-%d: y" % n for n in range(150))), reused=True),
    Case(
        "64-kib-of-fields",
        field(b"\r\n".join(b"X-%d: %s" % (n, b"y" * 1000) for n in range(64))),
        reused=True,
    ),
    Case("one-field-of-64-kib", field(b"X-A: " + b"y" * 65_536), reused=True),
    Case(
        "100-cookies",
        field(b"\r\n".join(b"Set-Cookie: a%d=b" % n for n in range(100))),
        reused=True,
    ),
    Case("5000-fields", field(b"\r\n".join(b"X-%d: y" % n for n in range(5000))), ConnectionError),
    Case(
        "a-megabyte-of-fields",
        field(b"\r\n".join(b"X-%d: %s" % (n, b"y" * 10_000) for n in range(100))),
        ConnectionError,
    ),
    Case("a-megabyte-in-one", field(b"X-A: " + b"y" * 1_000_000), ConnectionError),
    Case("a-megabyte-of-reason", line("HTTP/1.1 200 " + "y" * 1_000_000), ConnectionError),
    Case("a-megabyte-of-folds", field(b"X-A: a" + b"\r\n a" * 250_000), ConnectionError),
]

INTERIMS = [
    Case("100", interim("100 Continue") + OK, reused=True),
    Case("102", interim("102 Processing") + OK, reused=True),
    Case(
        "103-with-links",
        head("Link: </a.css>; rel=preload", status="103 Early Hints") + OK,
        reused=True,
    ),
    Case("199", interim("199 Whatever") + OK, reused=True),
    Case(
        "several",
        interim("100 Continue", "102 Processing", "103 Early Hints") * 5 + OK,
        reused=True,
    ),
    Case(
        "interim-with-length", head("Content-Length: 5", status="103 Early Hints") + OK, reused=None
    ),
    Case("endless", interim("100 Continue") * 1000 + OK, ConnectionError),
    Case(
        "endless-103",
        head("X: " + "y" * 500, status="103 Early Hints") * 1000 + OK,
        ConnectionError,
    ),
    Case("101-not-asked-for", interim("101 Switching Protocols") + OK, ConnectionError),
    Case(
        "101-with-upgrade",  # not asked for, either; Docker's server does so
        head("Upgrade: tcp", "Connection: upgrade", status="101 Switching Protocols") + OK,
        b"",
        status=101,
    ),
    Case("head-100", interim("100 Continue") + OK[:-5], b"", reused=True, method="HEAD"),
]


@table(*STATUS_LINES)
def test_status_line(case: Case, session: pooledhttp.Session) -> None:
    """A status line is HTTP/1.0 or 1.1 and a status of three digits; anything else is an error."""
    play(case, session)


@table(*STRANGERS)
def test_other_protocols(case: Case, session: pooledhttp.Session) -> None:
    """A response that is not HTTP/1 is recognised by its first bytes, without waiting for more."""
    play(case, session)


@table(*ENDINGS)
def test_end_inside_the_head(case: Case, session: pooledhttp.Session) -> None:
    """A head cut short is a broken connection; on a new connection nothing is sent twice."""
    play(case, session)


@table(*FIELDS)
def test_fields(case: Case, session: pooledhttp.Session) -> None:
    """Odd fields do no harm, what may hide a field is refused; see `test_odd_heads`."""
    play(case, session)


@table(*LIMITS)
def test_limits_on_heads(case: Case, session: pooledhttp.Session) -> None:
    """Heads of real sites pass; one that would fill the memory ends in an error."""
    play(case, session)


@table(*INTERIMS)
def test_interim_answers(case: Case, session: pooledhttp.Session) -> None:
    """A bounded number of interim responses is skipped."""
    play(case, session)


@pytest.mark.parametrize(
    "endless",
    [b"X-Field: value\r\n", b"x", b" folded\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["fields", "one-field", "folds", "interims"],
)
def test_a_head_without_end_is_given_up(session: pooledhttp.Session, endless: bytes) -> None:
    """A server that never comes to the end of its head does not hold its client forever."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nX-A: a\r\n" if not endless.startswith(b"HTTP") else b"")
        while True:
            peer.send(endless * 512)

    with ScriptedServer(first_then_new(handle)) as server:
        with prompt(5), pytest.raises(ConnectionError, match=str(server.port)):
            session.get(server.url(), timeout=5)
        assert session.get(server.url()).ok
        session.close()


def test_fields_come_through_as_sent(session: pooledhttp.Session) -> None:
    """Case, repetition, folding and order of fields are kept in `raw`."""
    raw = (
        b"HTTP/1.1 200 OK\r\nX-Case: Kept\r\nx-repeat: one\r\nX-Repeat: two\r\n"
        b"X-Fold: one\r\n  two\r\nContent-Length: 0\r\n\r\n"
    )
    with ScriptedServer(answering(raw)) as server:
        answer = session.get(server.url())
        assert answer.headers["X-REPEAT"] == "one, two"
        assert answer.headers["x-fold"] == "one two"
        assert answer.raw.headers.getlist("X-Repeat") == ["one", "two"]
        assert next(iter(answer.headers)) == "X-Case"
        session.close()


@pytest.mark.parametrize(
    "sends",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"H",
    ],
    ids=["silence", "status-line", "half-a-head", "interim-only", "one-byte"],
)
def test_a_head_that_stops_is_a_read_timeout(session: pooledhttp.Session, sends: bytes) -> None:
    """Silence before the end of the head is a ReadTimeout, and the connection is not used again."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(sends)
        peer.wait_closed()

    with ScriptedServer(first_then_new(handle)) as server:
        with prompt(1), pytest.raises(ReadTimeout, match=str(server.port)):
            session.get(server.url(), timeout=0.15)
        assert session.get(server.url()).ok
        session.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"H", b"ELLO"),
        (b"HTTP", b" 200"),
        (b"HTTP/", b"2"),
        (b"HTTP/1.1", b" abc"),
        (b"HTTP/1.1 2", b"0 OK"),
        (b"\x15", b"\x03\x01"),
    ],
    ids=["word", "no-version", "version-2", "no-status", "short-status", "tls"],
)
def test_what_is_no_answer_is_told_as_it_comes(
    session: pooledhttp.Session, pieces: tuple[bytes, ...]
) -> None:
    """A peer that speaks something else, in small pieces, and then waits."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        for piece in pieces:
            peer.send(piece)
        peer.wait_closed()

    with ScriptedServer(first_then_new(handle)) as server:
        with prompt(), pytest.raises(ConnectionError, match="valid HTTP/1"):
            session.get(server.url(), timeout=30)
        assert session.get(server.url()).ok
        session.close()


def test_two_lengths_are_told_by_name(session: pooledhttp.Session) -> None:
    """The message says what is wrong with the length."""
    with ScriptedServer(answering(length("5", "6"))) as server:
        with pytest.raises(InvalidHeader, match="Content-Length"):
            session.get(server.url())
        session.close()
