"""Answers taken apart and put together wrongly: only our own errors, no hang, no reuse in doubt."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError

from pooledhttp.exceptions import Fault
from pooledhttp.transport.connection import Connection
from tests.transport.script import PLAN, ScriptedStream, get

SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b"5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=5, max=100\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\nConnection: close\r\n\r\nto the end",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes",
]

PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"-1", b"+", b"\xff"),
    *(b"f" * 20, b"x" * 300, b"0\r\n\r\n", b"\r\n\r\n", b"5\r\nhello\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: 99\r\n", b"Connection: close\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n"),
    *(b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n\r\n"),
]


@st.composite
def mutants(draw: st.DrawFn) -> list[bytes]:
    """An answer with a few changes, cut where the network might cut it."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at:at] = draw(st.sampled_from(PIECES))
            case 1:
                del data[at : at + draw(st.integers(1, 12))]
            case 2:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
            case 3:
                end = at + draw(st.integers(1, 40))
                data[at:at] = data[at:end]
            case 4:
                del data[at:]
    data += draw(st.sampled_from([b"", b"", b"", *SEEDS[:2]]))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    pieces = [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [piece for piece in pieces if piece] + draw(st.sampled_from([[], [b""]]))


def check(pieces: list[bytes], method: bytes) -> None:
    """Play one answer."""
    stream = ScriptedStream(pieces)
    connection = Connection(stream, "http://example.test:80")  # type: ignore[arg-type]
    received = 0
    try:
        connection.send(get(method=method), PLAN)
        head = connection.read_head(PLAN)
        assert head.status == 101 or 200 <= head.status <= 999
        while piece := connection.receive(PLAN):
            received += len(piece)
            assert received <= sum(map(len, pieces))
    except HTTPError as error:
        assert isinstance(error, Fault)
        assert "example.test" in str(error)
        assert not connection.is_reusable
        return
    if connection.is_reusable:
        # Idle means that nothing was read beyond the end, so that nothing can answer for others.
        assert connection.is_complete
        assert connection.leftover() == b""
        taken = b"".join(pieces)[: -sum(map(len, stream.pieces)) or None]
        assert b"\r\n\r\n" in taken.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")


fuzz = given(pieces=mutants(), method=st.sampled_from([b"GET", b"GET", b"HEAD"]))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@example(pieces=[SEEDS[0] + SEEDS[1]], method=b"GET")
@fuzz
def test_mutated_answers(pieces: list[bytes], method: bytes) -> None:
    """A few hundred mutants each time."""
    check(pieces, method)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
@fuzz
def test_100000_mutated_answers(pieces: list[bytes], method: bytes) -> None:
    """The long profile."""
    check(pieces, method)
