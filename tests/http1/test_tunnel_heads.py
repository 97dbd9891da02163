"""A 2xx to CONNECT has no body: what frames one is ignored (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import itertools

import pytest

from pooledhttp.exceptions import BadResponse, ConflictingLength
from pooledhttp.http1.connection import Connection
from pooledhttp.http1.messages import ResponseLimits
from pooledhttp.http1.states import State
from tests.http1.script import PLAN, ScriptedStream, get

pytestmark = pytest.mark.usefixtures("each_parser")

#: Lines that say of a body what cannot be read, or contradict each other.
UNREADABLE = [
    b"Content-Length: abc\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: +5\r\n",
    b"content-length: 0x5\r\n",
    b"Content-Length: " + b"9" * 30 + b"\r\n",
    b"Content-Length: 5, 6\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5\r\n 6\r\n",
    b"Transfer-Encoding:\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"TRANSFER-ENCODING: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: gzip,\r\n\tchunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: gzip\r\nContent-Length: x\r\n",
    b"Content-Length: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
]
#: Lines that a reader of bodies could use, or repair.
READABLE = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
]
#: Lines of the same letters that are no such fields, or hide others: never repaired.
DAMAGED = [
    b"Content-Length : 5\r\n",
    b"Content-Length: 5\rX: y\r\n",
    b"Content-Length: 5\0\r\n",
    b"Content-Length\xa0: 5\r\n",
]
REFUSALS = (BadResponse, ConflictingLength)
STATUSES = [b"200 OK", b"200", b"204 No Content", b"201 Made", b"299 x"]


def ask(
    *pieces: bytes, is_strict: bool = False, method: bytes = b"CONNECT"
) -> tuple[Connection, tuple[str, ...]]:
    """Send a request and read the head of the response; return its repairs, too."""
    stream = ScriptedStream(pieces)
    limits = ResponseLimits(is_strict=is_strict)
    connection = Connection(stream, "http://proxy.test:80", limits)  # type: ignore[arg-type]
    connection.send(get(b"a.test:443", method), PLAN)
    head = connection.read_head(PLAN)
    assert (b"X-A", b"b") in head.fields
    return connection, head.repairs


def head_of(status: bytes, lines: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nServer: s\r\n%sX-A: b\r\n\r\n" % (status, lines)


@pytest.mark.parametrize("lines", UNREADABLE + READABLE)
def test_framing_is_ignored(lines: bytes) -> None:
    """Whatever it says, the tunnel is open, and nothing counts as repaired."""
    for status, is_strict in itertools.product(STATUSES, [False, True]):
        data = head_of(status, lines)
        singly = [bytes([byte]) for byte in data]
        for pieces in ([data], [data[:20], data[20:]], singly):
            connection, repairs = ask(*pieces, is_strict=is_strict)
            assert (connection.state, connection.leftover()) == (State.SWITCHED, b"")
            assert repairs == ()


@pytest.mark.parametrize("lines", UNREADABLE + READABLE)
def test_bytes_behind_the_head_are_those_of_the_tunnel(lines: bytes) -> None:
    """They are no body, and no other response."""
    behind = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
    connection, _ = ask(head_of(b"200 OK", lines) + behind)
    assert (connection.state, connection.leftover()) == (State.SWITCHED, behind)
    assert connection.receive(PLAN) == b""
    assert not connection.is_reusable


@pytest.mark.parametrize("lines", UNREADABLE)
def test_interim_heads_before_it_change_nothing(lines: bytes) -> None:
    """The rule is for the final head, in the same bytes as they are or later."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    for pieces in ([interim + head_of(b"200 OK", lines)], [interim, head_of(b"200 OK", lines)]):
        connection, _ = ask(*pieces)
        assert connection.state is State.SWITCHED


@pytest.mark.parametrize("lines", UNREADABLE)
def test_what_else_is_odd_is_repaired_as_ever(lines: bytes) -> None:
    """Not more than without the framing, and not in strict mode."""
    data = head_of(b"200 OK", lines + b"no colon\r\nX-B : b\r\n")
    connection, repairs = ask(data)
    assert connection.state is State.SWITCHED
    assert set(repairs) == {"no-colon", "space-before-colon"}
    with pytest.raises(BadResponse):
        ask(data, is_strict=True)


@pytest.mark.parametrize(
    ("status", "method"),
    [
        (b"407 Who", b"CONNECT"),
        (b"302 Found", b"CONNECT"),
        (b"502 Bad", b"CONNECT"),
        (b"103 Hints", b"CONNECT"),
        (b"101 Switching Protocols\r\nUpgrade: x", b"CONNECT"),
        (b"200 OK", b"GET"),
        (b"200 OK", b"HEAD"),
        (b"204 No Content", b"GET"),
    ],
)
def test_elsewhere_it_stays_an_error(status: bytes, method: bytes) -> None:
    """Other statuses and other methods: two readers could disagree on where the body ends."""
    for lines in UNREADABLE:
        with pytest.raises(REFUSALS):
            ask(head_of(status, lines), method=method)


@pytest.mark.parametrize("lines", DAMAGED)
def test_damaged_lines_stay_errors(lines: bytes) -> None:
    """They are no framing fields, and another reader may see other fields in them."""
    with pytest.raises(REFUSALS):
        ask(head_of(b"200 OK", lines))


def test_the_size_of_the_head_is_limited() -> None:
    """Fields that are ignored count for it."""
    with pytest.raises(BadResponse):
        ask(head_of(b"200 OK", b"Content-Length: x\r\n" * 20_000))
