"""httptools and h11 read the same mutated responses: the same outcome, or the stricter one is ours.

`DIFFERENCES` has the cases in which they may differ, with the reason. It is empty: a head that
httptools refuses is read by h11, and what httptools alone accepts is checked before it is used.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from urllib3.exceptions import HTTPError

from pooledhttp.http1 import odd_heads
from pooledhttp.http1.connection import Connection
from pooledhttp.http1.head_memo import HeadMemos
from pooledhttp.http1.messages import ResponseLimits, WireRequest
from pooledhttp.http1.parser_choice import ParserChoice
from pooledhttp.http1.states import State
from tests.http1.script import PLAN, ScriptedStream, get
from tests.wire.test_fuzz_parser import FRAGMENTS, HONEST, LIMITS, REQUESTS, mutate

pytest.importorskip("httptools", reason="the extra `fast` is not installed")

#: Names of cases, their reason, and whether a pair of outcomes is one of them: ours is the second.
DIFFERENCES: dict[str, tuple[str, Callable[[Outcome, Outcome], bool]]] = {}

#: The number of the request that takes much longer than all others.
LARGE_UPLOAD = 4

KINDS = ["insert", "replace", "delete", "double", "truncate", "flip"]
#: Bytes by which the grammars of the two could differ.
ODD = [
    *(b" ", b"\t", b"\x0b", b"\x0c", b"\r", b"\n", b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b":"),
    *(b"\r\n ", b"\n\n", b"HTTP/2.0", b"HTTP/1.2", b"099", b"ICY", b"Upgrade: a\r\n", b":\r\n"),
    *(b"Connection: upgrade\r\n", b"Transfer-Encoding: chunked, gzip\r\n", b"Keep-Alive: 1\r\n"),
    *(b"Content-Length: +5\r\n", b"Proxy-Connection: close\r\n", b"Content-Length:\r\n"),
]
#: Lines for the head, among them those of the table of odd heads.
LINES = [
    *(row.example for row in odd_heads.LINES),
    *(row.example for row in odd_heads.FRAMING),
    *(one.removesuffix(b"\r\n") for one in [*FRAGMENTS, *ODD] if b": " in one),
]


class Outcome(NamedTuple):
    """What became of one response."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes
    error: str
    state: State
    repairs: tuple[str, ...]
    unread: int


def read_by(
    parser: ParserChoice,
    request: WireRequest,
    pieces: list[bytes | Exception],
    bound: bool,
    memos: HeadMemos | None = None,
) -> Outcome:
    """Play a response against a connection with one of the parsers."""
    limits = LIMITS if bound else ResponseLimits()
    stream = ScriptedStream(pieces)
    connection = Connection(
        stream,  # type: ignore[arg-type]
        "http://example.test:80",
        ResponseLimits(
            limits.head_bytes,
            limits.head_fields,
            limits.interim_responses,
            limits.chunk_overhead_bytes,
            parser=parser,
        ),
        memos,
    )
    status, reason, fields, body, error = 0, "", [], b"", ""
    repairs: tuple[str, ...] = ()
    try:
        connection.send(request, PLAN)
        head = connection.read_head(PLAN)
        status, reason, fields, repairs = head.status, head.reason, head.headers, head.repairs
        if head.is_switch:
            body = connection.leftover()
        while piece := connection.receive(PLAN):
            body += piece
    except HTTPError as caught:
        # Not its text, which quotes h11's; nor how much was read when it was found.
        error = type(caught).__name__
    unread = 0 if error else len(stream.pieces)
    return Outcome(status, reason, fields, body, error, connection.state, repairs, unread)


def make(rng: random.Random) -> tuple[list[bytes | Exception], int, bool]:
    """Some pieces of a mutated response, the number of its request, and whether limits are low."""
    changes = [
        (rng.choice(KINDS), rng.random(), rng.randint(1, 12), rng.choice([*FRAGMENTS, *ODD]))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5)))
    ]
    data = mutate(rng.choice(HONEST), changes)
    if rng.random() < 0.3:  # whole lines, which random places rarely make
        lines = data.split(b"\r\n")
        lines.insert(rng.randint(1, 4), rng.choice(LINES))
        data = b"\r\n".join(lines)
    marks = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(rng.randint(0, 4)))})
    pieces: list[bytes | Exception] = [data[start:end] for start, end in itertools.pairwise(marks)]
    ends = rng.choice(([], [b""], [b""]))
    number = rng.randrange(len(REQUESTS))
    if number == LARGE_UPLOAD and rng.random() < 0.95:
        number = 0
    return [*pieces, *ends], number, rng.random() < 0.3


def compare(seed: int, count: int) -> None:
    """Compare the outcomes of `count` responses."""
    rng = random.Random(seed)
    for _ in range(count):
        pieces, number, bound = make(rng)
        theirs = read_by("h11", REQUESTS[number](), list(pieces), bound)
        ours = read_by("httptools", REQUESTS[number](), list(pieces), bound)
        if ours != theirs:
            assert any(fits(theirs, ours) for _, fits in DIFFERENCES.values()), (
                f"{pieces!r} to request {number}:\nh11       {theirs}\nhttptools {ours}"
            )


def test_ten_thousand_mutated_responses() -> None:
    """Status, fields, body, error, repairs and reuse are the same with both."""
    compare(seed=13, count=10_000)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(40))
def test_a_million_mutated_responses(seed: int) -> None:
    """The same, with other responses."""
    compare(seed=1000 + seed, count=25_000)


@pytest.mark.parametrize("data", HONEST[:-1])
def test_honest_heads_are_read_by_httptools(data: bytes) -> None:
    """Or the comparison would compare h11 with itself; a folded head is h11's."""
    connection = Connection(
        ScriptedStream([data, b""]),  # type: ignore[arg-type]
        "http://example.test:80",
        ResponseLimits(parser="httptools"),
    )
    connection.send(get(), PLAN)
    assert connection.read_head(PLAN).parser == "httptools"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\x0bK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_llhttp_alone_accepts(head: bytes) -> None:
    """The outcome is h11's: docs/security.md has a row for each."""
    outcomes = {str(read_by(one, get(), [head, b""], bound=False)) for one in ("h11", "httptools")}
    assert len(outcomes) == 1
