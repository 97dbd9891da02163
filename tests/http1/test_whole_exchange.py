"""A small response that is read in one go is the same as one that is read step by step."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable

import pytest
from urllib3.exceptions import HTTPError

from pooledhttp.http1.connection import MOST_WHOLE_BYTES, Connection
from pooledhttp.http1.head_shape import HeadShapes
from pooledhttp.http1.messages import ResponseLimits
from pooledhttp.http1.parsers import library_for
from pooledhttp.http1.response_head import Head
from tests.http1.script import PLAN, ScriptedStream, get
from tests.http1.test_head_memo import mutated, with_other_values

pytestmark = pytest.mark.usefixtures("each_parser")

FIRST = b'HTTP/1.1 200 OK\r\nServer: s\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nhello'

#: The second request, as bytes.
REQUEST = b"GET /b HTTP/1.1\r\nHost: example.test\r\n\r\n"

#: Head, body and whether the connection is idle; or an error.
Outcome = tuple[object, ...]


def read_on(connection: Connection) -> Outcome:
    """Read a response step by step."""
    head = connection.read_head(PLAN)
    body = b""
    while piece := connection.receive(PLAN):
        body += piece
    return head, body, connection.is_reusable


def first_exchange(
    stream: ScriptedStream, shapes: HeadShapes, limits: ResponseLimits | None = None
) -> tuple[Connection, Head]:
    """Return a connection after an exchange, whose head's shape is kept."""
    connection = Connection(stream, "http://a.test:80", limits)  # type: ignore[arg-type]
    connection.send(get(), PLAN)
    head = connection.read_head(PLAN)
    while connection.receive(PLAN):
        pass
    connection.learn_shape(head, shapes)
    return connection, head


def by_steps(first: bytes, *pieces: bytes | Exception) -> Outcome:
    """The outcome of a second exchange, read step by step."""
    stream = ScriptedStream([first])
    try:
        connection, _ = first_exchange(stream, HeadShapes())
        stream.pieces.extend(pieces)
        connection.send(get(b"/b"), PLAN)
        return read_on(connection)
    except (HTTPError, RuntimeError) as error:
        return type(error), str(error)


def at_once(
    first: bytes, *pieces: bytes | Exception, limits: ResponseLimits | None = None
) -> tuple[bool, Outcome]:
    """Whether the second exchange was done in one go, and its outcome."""
    stream, shapes = ScriptedStream([first]), HeadShapes()
    try:
        connection, head = first_exchange(stream, shapes, limits)
        stream.pieces.extend(pieces)
        stream.sent.clear()
        whole = connection.exchange_whole(REQUEST, "/b", shapes, PLAN)
        assert stream.sent == REQUEST
        if whole is None:
            return False, read_on(connection)
    except (HTTPError, RuntimeError) as error:
        return False, (type(error), str(error))
    body, found, shape, _ = whole
    assert (shape.keep_seconds, shape.reason) == (head.keep_seconds, head.reason)
    made = shape.head_of(found[0])
    for group, name in (("etag", b"etag"), ("modified", b"last-modified")):
        assert found[group] == made.by_name.get(name)
    return True, (made, body, connection.is_reusable)


def assert_same(first: bytes, *pieces: bytes | Exception) -> bool:
    """Assert that both ways have the same outcome; tells whether it was read in one go."""
    is_whole, outcome = at_once(first, *pieces)
    assert outcome == by_steps(first, *pieces), f"{first!r}, {pieces!r}"
    return is_whole


def second(etag: bytes = b'"b"', length: bytes = b"3", body: bytes = b"abc") -> bytes:
    """A response of the shape of the first one."""
    return FIRST.partition(b"\r\n\r\n")[0].replace(b'"a"', etag).replace(b": 5", b": " + length) + (
        b"\r\n\r\n" + body
    )


@pytest.mark.parametrize("at", range(1, len(second())))
def test_a_response_in_two_pieces(at: int) -> None:
    """It is read on if the head is there; a head in pieces is left to the parser."""
    data = second()
    is_whole = assert_same(FIRST, data[:at], data[at:])
    assert is_whole == (at >= len(data) - 3)


@pytest.mark.parametrize(
    "pieces",
    [
        [second()],
        [second(length=b"0", body=b"")],
        [second(length=b"9", body=b"abc"), b"def", b"ghi"],
        [second(etag=b"W/x y")],
        [second(length=b"%d" % MOST_WHOLE_BYTES, body=b"x" * MOST_WHOLE_BYTES)],
    ],
)
def test_what_is_alike_is_read_in_one_go(pieces: list[bytes]) -> None:
    assert assert_same(FIRST, *pieces)


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [ConnectionResetError("reset")],
        [TimeoutError()],
        [b"HTTP/1.1 200 OK\r\n", ConnectionResetError("reset")],
        [b"nonsense\r\n\r\n"],
        [second().replace(b"200 OK", b"404 Not Found")],
        [second().replace(b"200 OK", b"200 Okay")],
        [second().replace(b"Server", b"server")],
        [second().replace(b"Server: s", b"Server: \xe4")],
        [second().replace(b"Server: s", b"Server: s\r\nConnection: close")],
        [second().replace(b"Server: s", b"Server: s\r\nContent-Length: 3")],
        [second().replace(b"Server: s", b"Server: s\r\nSet-Cookie: a=b")],
        [second().replace(b"Server: s\r\n", b"Server: s\n")],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + second()],
        [second(length=b"03")],
        [second(length=b"+3")],
        [second(length=b"2")],  # bytes behind the body
        [second(), b"more"],
        [second(length=b"5"), b"d", b"", b""],
        [second(length=b"5"), b"", b""],
        [second(length=b"5"), b"d", ConnectionResetError("reset")],
        [second(length=b"5"), TimeoutError()],
        [second(length=b"%d" % (MOST_WHOLE_BYTES + 9)), b"x" * (MOST_WHOLE_BYTES + 6)],
    ],
)
def test_anything_else_is_as_it_was(pieces: list[bytes | Exception]) -> None:
    """Errors have the same class and text, and no more of the body is lost or added."""
    is_whole = assert_same(FIRST, *pieces)
    assert is_whole == (pieces == [second(), b"more"])


@pytest.mark.parametrize(
    "first",
    [
        FIRST.replace(b"Server: s", b"Set-Cookie: a=b"),
        FIRST.replace(b"Server: s", b"Content-Encoding: gzip"),
        FIRST.replace(b"Server: s", b"X-A: b\r\nX-A: c"),
        FIRST.replace(b"200 OK", b"404 Not Found"),
        FIRST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Server: s", b"Connection: keep-alive"),
        FIRST.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(
            b"hello", b"5\r\nhello\r\n0\r\n\r\n"
        ),
        FIRST.replace(b"Content-Length: 5", b"content-length: 5, 5"),
        FIRST.replace(b"200 OK", b"200 \xe4"),
    ],
)
def test_heads_that_have_no_shape(first: bytes) -> None:
    """What has to be acted on, or leaves a doubt, is read step by step."""
    again = first
    assert not assert_same(first, again)


@pytest.mark.parametrize("make", [mutated, with_other_values])
def test_what_is_read_in_one_go_equals_what_is_read_by_steps(
    make: Callable[[random.Random], bytes],
) -> None:
    """Over two responses that differ in their values, or are mutated anywhere."""
    rng = random.Random(11)
    whole = 0
    for _ in range(400):
        first = rng.choice((FIRST, second(), with_other_values(rng)))
        data = second(rng.choice((b"x", b"\xe4", b"y z")))
        if rng.random() < 0.6:
            data = make(rng)
        cut = rng.choice((0, 0, rng.randint(0, len(data))))
        whole += assert_same(first, *filter(None, (data[:cut], data[cut:])), b"", b"")
    assert whole > 30


def test_the_requests_that_a_connection_has_left() -> None:
    """Apache counts them down; how long an idle connection is kept is told."""
    first = FIRST.replace(b"Server: s", b"Keep-Alive: timeout=5, max=99")
    assert assert_same(first, first.replace(b"99", b"98"))
    assert not assert_same(first, first.replace(b"=5,", b"=6,"))


def test_a_replaced_parser_reads_each_head(
    each_parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a program has replaced it, no shape is found."""
    library = library_for("auto")
    assert at_once(FIRST, second())[0]
    monkeypatch.setattr(type(library), "is_original", lambda self: False)
    assert not at_once(FIRST, second())[0]


def test_limits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of the same shape may be too large, and the number of fields may have changed."""
    data = second(etag=b"x" * 600)
    assert at_once(FIRST, data)[0]
    is_whole, outcome = at_once(FIRST, data, limits=ResponseLimits(head_bytes=500))
    assert not is_whole and isinstance(outcome[0], type)
    stream, shapes = ScriptedStream([FIRST]), HeadShapes()
    first_exchange(stream, shapes)
    assert shapes.find(second()) is not None
    monkeypatch.setattr(http.client, "_MAXHEADERS", 1)
    assert shapes.find(second()) is None


def test_a_request_that_is_answered_early(each_parser: str) -> None:
    """A request that could not be written, since the server has responded, is gone on with."""
    stream, shapes = ScriptedStream([FIRST]), HeadShapes()
    connection, _ = first_exchange(stream, shapes)
    stream.accepts = len(stream.sent) + 10
    stream.pieces.extend([second().replace(b"200 OK", b"414 Too Long"), b""])
    assert connection.exchange_whole(REQUEST, "/b", shapes, PLAN) is None
    head, _, is_idle = read_on(connection)
    assert isinstance(head, Head) and head.status == 414 and not is_idle


def test_a_connection_in_use_is_refused() -> None:
    stream, shapes = ScriptedStream([FIRST]), HeadShapes()
    connection, _ = first_exchange(stream, shapes)
    connection.send(get(), PLAN)
    with pytest.raises(RuntimeError):
        connection.exchange_whole(REQUEST, "/b", shapes, PLAN)


def test_few_shapes_are_kept() -> None:
    """The last ones; a host whose heads differ each time is not looked at for a while."""
    shapes = HeadShapes()
    names = [b"X-%d" % number for number in range(8)]
    for name in names:
        assert shapes.may_fit
        first_exchange(ScriptedStream([FIRST.replace(b"Server", name)]), shapes)
    assert not shapes.may_fit
    found = [shapes.find(second().replace(b"Server", name)) is not None for name in names]
    assert found == [False] * 4 + [True] * 4
    shapes.try_again()
    assert shapes.may_fit
    # The same shape again takes no room, and is no sign that heads differ.
    for _ in range(9):
        first_exchange(ScriptedStream([FIRST.replace(b"Server", names[7])]), shapes)
    assert shapes.may_fit
    assert all(shapes.find(second().replace(b"Server", name)) for name in names[4:])
