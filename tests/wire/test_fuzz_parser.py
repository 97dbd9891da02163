"""Responses mutated and split at random: only our errors, no hang, no reuse in doubt.

A valid response is taken, bytes of it are changed, removed, doubled and inserted, and the result
is fed to a connection in pieces. No socket is in it, so a hundred thousand of them take minutes.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError

from pooledhttp.exceptions import Fault
from pooledhttp.http1 import ResponseLimits
from pooledhttp.http1.connection import Connection
from pooledhttp.http1.states import State
from tests.http1.script import PLAN, ScriptedStream, get, post

HONEST = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b"1;a=b\r\nx\r\n0010\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\n"
    b"Content-Length: 1\r\nKeep-Alive: timeout=5\r\n\r\nx",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbytes",
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 5, 5\r\n\r\nhello",
]

FRAGMENTS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b",", b";", b"\xff"),
    *(
        b"0\r\n\r\n",
        b"0",
        b"-1",
        b"+5",
        b"0x5",
        b"5 5",
        b"ffffffffffffffff",
        b"99999999999999999999",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"content-length:0\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"chunked, "),
    *(
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
    ),
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/0.9",
    ),
    *(b" folded\r\n", b"X" * 3000, b"A: b\r\n" * 40, b"1;" + b"e" * 500, b"5\r\nhello\r\n"),
]

#: Small enough to be met by what the mutations make.
LIMITS = ResponseLimits(
    head_bytes=2048, head_fields=20, interim_responses=3, chunk_overhead_bytes=100
)

REQUESTS: list[Any] = [
    get,
    get,
    lambda: get(method=b"HEAD"),
    lambda: post(b"small"),
    lambda: post(b"x" * 500_000),
    lambda: post(iter([b"a", b"b" * 1000]), (b"Transfer-Encoding", b"chunked")),
    lambda: post(b"body", expects_continue=True),
    lambda: get(b"example.test:443", b"CONNECT"),
]

mutation = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "double", "truncate", "flip"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 12),
    st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4)),
)


def mutate(data: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    """Apply changes one after the other; a position is a fraction of the length."""
    for kind, place, count, fragment in changes:
        at = int(place * (len(data) + 1))
        if kind == "insert":
            data = data[:at] + fragment + data[at:]
        elif kind == "replace":
            data = data[:at] + fragment + data[at + len(fragment) :]
        elif kind == "delete":
            data = data[:at] + data[at + count :]
        elif kind == "double":
            data = data[:at] + data[at : at + count] * 2 + data[at + count :]
        elif kind == "truncate":
            data = data[:at]
        elif data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << count % 8)]) + data[at + 1 :]
    return data


def cut(data: bytes, places: list[float]) -> list[bytes]:
    """Cut into pieces; none of them is empty, which would be the end of the stream."""
    marks = sorted({0, len(data), *(int(place * len(data)) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def read_all(connection: Connection) -> int:
    """Read a response to its end; return how many pieces it took."""
    turns = 0
    while connection.receive(PLAN):
        turns += 1
        assert turns < 100_000, "the body has no end"
    return turns


def honest_length(data: bytes, is_head: bool) -> int | None:
    """Where a response ends, by the letter of RFC 9112; None if it violates the RFC."""
    at = 0
    while True:
        head = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n\0]*\r\n((?:[^\r\n\0]+\r\n)*)\r\n").match(
            data, at
        )
        if head is None:
            return None
        at = head.end()
        if not 100 <= int(head[1]) < 200:
            break
    if is_head or head[1] in (b"204", b"304"):
        return at
    lengths = re.findall(rb"(?im)^content-length:[ \t]*(\d+)[ \t]*\r$", head[2])
    coded = re.findall(rb"(?im)^transfer-encoding:[ \t]*chunked[ \t]*\r$", head[2])
    if len(lengths) == 1 and b"transfer-encoding" not in head[2].lower():
        return at + int(lengths[0])
    if len(coded) != 1 or b"content-length" in head[2].lower():
        return None
    while True:
        size = re.compile(rb"([0-9a-fA-F]{1,8})(?:;[^\r\n\0]*)?\r\n").match(data, at)
        if size is None:
            return None
        at = size.end() + int(size[1], 16)
        if not int(size[1], 16):
            trailer = re.compile(rb"(?:[^\r\n\0]+\r\n)*\r\n").match(data, at)
            return None if trailer is None else trailer.end()
        if data[at : at + 2] != b"\r\n":
            return None
        at += 2


def check(
    data: bytes, pieces: list[bytes | Exception], ends: list[bytes | Exception], number: int
) -> None:
    """Play one response against a connection, and check what the connection did."""
    stream = ScriptedStream([*pieces, *ends])
    connection = Connection(stream, "http://example.test:80", LIMITS)  # type: ignore[arg-type]
    request = REQUESTS[number]()
    try:
        connection.send(request, PLAN)
        connection.read_head(PLAN)
        read_all(connection)
    except HTTPError as error:
        assert isinstance(error, Fault), f"no fact on {error!r}"
        assert not connection.is_reusable, f"reusable after {error!r}"
        assert "example.test" in str(error)
        return
    if not connection.is_reusable:
        return
    assert connection.state is State.IDLE
    consumed = data[: len(data) - sum(len(one) for one in stream.pieces if isinstance(one, bytes))]
    expected = honest_length(data, request.method == b"HEAD")
    if expected is not None:
        assert len(consumed) == expected, f"{len(consumed)} bytes taken, not {expected}"
    head = consumed[: expected or len(consumed)].lower().rpartition(b"http/1.")[2]
    names = re.findall(rb"(?m)^([a-z-]+)[ \t]*:", head.partition(b"\r\n\r\n")[0])
    assert not {b"content-length", b"transfer-encoding"} <= set(names), "two lengths, and reused"
    assert not stream.is_closed


answers = st.builds(mutate, st.sampled_from(HONEST), st.lists(mutation, min_size=1, max_size=5))
places = st.lists(st.floats(0, 1, exclude_max=True), max_size=6)
endings = st.sampled_from([[], [b""], [ConnectionResetError(104, "reset")]])
requests = st.integers(0, len(REQUESTS) - 1)


@settings(max_examples=500)
@given(data=answers, places=places, ends=endings, number=requests)
def test_mutated_answers(
    data: bytes, places: list[float], ends: list[bytes | Exception], number: int
) -> None:
    """Any input gives a response or one of our errors, and reuse only if it was understood."""
    check(data, list(cut(data, places)), ends, number)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("turn", range(40))
@settings(
    max_examples=2_500,
    derandomize=False,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(data=answers, places=places, ends=endings, number=requests)
def test_a_hundred_thousand_mutated_answers(
    turn: int, data: bytes, places: list[float], ends: list[bytes | Exception], number: int
) -> None:
    """The same, for long; in turns, because hypothesis remembers all it has tried."""
    check(data, list(cut(data, places)), ends, number)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
@pytest.mark.parametrize("data", HONEST)
def test_honest_answers_cut_anywhere(data: bytes, number: int) -> None:
    """A valid response is the same wherever it is split."""
    for size in (1, 2, 3, 7, 50):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        check(data, list(pieces), [b""], number)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_two_lengths_are_never_believed(number: int) -> None:
    """Found by mutation: a length and a coding in a response to HEAD close the connection, too."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    check(data, [data], [], number)
    check(data[:-5], [data[:-5]], [], number)


@pytest.mark.parametrize("data", [one for one in HONEST if b"/1.1 101" not in one])
def test_honest_answers_are_answers(data: bytes) -> None:
    """The responses are valid before they are mutated, or the mutations would show nothing."""
    connection = Connection(ScriptedStream([data, b""]), "http://example.test:80", LIMITS)  # type: ignore[arg-type]
    connection.send(get(), PLAN)
    assert connection.read_head(PLAN).status >= 200
    read_all(connection)
    assert connection.is_complete
