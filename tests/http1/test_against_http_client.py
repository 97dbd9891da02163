"""Mutated heads, read by us and by http.client: the same body, and no field that was not sent.

Where one of the two refuses, nothing is compared. http.client gives up a head at the first line
that is no field, and loses those behind it. We keep them. So it is asked again without that line.
"""

from __future__ import annotations

import io
import random
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple

import pytest
from urllib3.exceptions import HTTPError

from pooledhttp.http1.connection import Connection
from pooledhttp.http1.messages import ResponseLimits
from pooledhttp.http1.odd_heads import FRAMING, LINES
from pooledhttp.http1.parser_choice import ParserChoice
from pooledhttp.http1.states import State
from tests.http1.script import PLAN, ScriptedStream, get

BODIES = {
    b"Content-Length: 5": b"hello",
    b"Transfer-Encoding: chunked": b"5\r\nhello\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"Connection: close": b"until the end",
    b"Transfer-Encoding: identity": b"until the end",
}
STATUS_LINES = [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1  200\tFine", b"HTTP/1.1 404"]
FIELDS = [
    *(b"Server: x", b"Set-Cookie: a=b; Path=/", b"Set-Cookie: c=d", b"X-Long: " + b"y" * 90),
    *(b"X-Fold: a\r\n b\r\n\tc", b"Keep-Alive: timeout=5", b"Location: /a?b=c#d", b"X-E:"),
    *(row.example for row in LINES),
    *(row.example for row in FRAMING),
    *(b"Content-Length: 5", b"Content-Length: 3", b"content-length: 5, 5", b"Content-Length : 5"),
    *(b"Content-Length\xa0: 3", b"Content Length: 3", b"Transfer-Encoding\x0b: chunked"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b" Content-Length: 3"),
    *(b"HTTP/1.1 404 No", b"X-A: a\x0bContent-Length: 3", b"X-A: a\x0cb", b"no colon\r\n folded"),
]
FRAGMENTS = [
    *(b" ", b"\t", b"\x0b", b"\x0c", b"\xa0", b"\x85", b"\x1c", b"\r", b"\n", b"\r\n", b"\0", b":"),
    *(
        b",",
        b"5",
        b"0",
        b"-",
        b"+",
        b"_",
        b"\r\n ",
        b"\n\t",
        b"chunked",
        b"Content-Length:",
        b"\xff",
    ),
]


class Reading(NamedTuple):
    """What one of the two made of the bytes."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes


class FakeSocket:
    """What `HTTPResponse` needs of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def read_by_http_client(data: bytes) -> tuple[Reading, str] | None:
    """What http.client makes of the bytes, and what it lost of the head; `None` if it refuses."""
    response = HTTPResponse(FakeSocket(data), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
        lost = response.headers.get_payload()
        fields = list(response.headers.items())
        return Reading(response.status, fields, response.read()), str(lost)
    except (HTTPException, ValueError, OSError):
        return None


def read_by_them(data: bytes) -> Reading | None:
    """What http.client makes of the bytes without the lines that it takes for the end of a head."""
    while True:
        found = read_by_http_client(data)
        if found is None or not found[1]:
            return found and found[0]
        lines = data.split(b"\n")
        end = next(at for at, line in enumerate(lines) if at and line in (b"", b"\r"))
        at = end - len([line for line in found[1].split("\n")[:-1] if line.strip("\r")])
        if not 0 < at < end:
            return None
        del lines[at]
        while lines[at][:1] in (b" ", b"\t"):
            del lines[at]
        data = b"\n".join(lines)


def read_by_us(
    data: bytes, pieces: list[bytes], parser: ParserChoice
) -> tuple[Reading, tuple[str, ...]] | None:
    """What we make of the bytes, and what was repaired; `None` if we refuse."""
    limits = ResponseLimits(parser=parser)
    stream = ScriptedStream([*pieces, b""])
    connection = Connection(stream, "http://a.test:80", limits)  # type: ignore[arg-type]
    try:
        connection.send(get(), PLAN)
        head = connection.read_head(PLAN)
        body = bytearray()
        while piece := connection.receive(PLAN):
            body += piece
    except HTTPError:
        return None
    assert not (head.repairs and connection.state is State.IDLE), "odd, and used again"
    return Reading(head.status, head.headers, bytes(body)), head.repairs


def said_fields(data: bytes) -> set[tuple[str, str]]:
    """All fields that the bytes may be said to have, folds joined, trimmed of SP and HTAB."""
    said: set[tuple[str, str]] = set()
    joined = b""
    for line in [*data.split(b"\n"), b""]:
        line = line.removesuffix(b"\r")
        if line[:1] in (b" ", b"\t"):
            joined += b" " + line.lstrip(b" \t")
            continue
        name, _, value = joined.decode("latin-1").partition(":")
        said.add((name.rstrip(" \t"), value.strip(" \t")))
        joined = line
    return said


def make(rng: random.Random) -> bytes:
    """A response with odd lines in its head, and some bytes of it changed."""
    framing, body = rng.choice(list(BODIES.items()))
    lines = [framing, *rng.choices(FIELDS, k=rng.randint(0, 4))]
    rng.shuffle(lines)
    weights = (6, 1, 1, 1)
    head = b"\r\n".join([*rng.choices(STATUS_LINES, weights), *lines])
    if rng.random() < 0.1:
        head = head.replace(b"\r\n", b"\n")
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        at = rng.randrange(len(head))
        kind = rng.randrange(4)
        new = rng.choice(FRAGMENTS) if kind < 2 else b"" if kind == 2 else head[at : at + 9] * 2
        head = head[:at] + new + head[at + (rng.randint(1, 4) if kind else 0) :]
    if rng.random() < 0.1:
        head = b"HTTP/1.1 100 Continue\r\nX : y\r\n\r\n" + head
    return head + b"\r\n\r\n" + body + rng.choice((b"", b"", b"behind", b"\r\nContent-Length: 3"))


def is_comparable(theirs: Reading) -> bool:
    """Whether http.client reads the framing fields as RFC 9110 does.

    It takes white space behind a coding for a part of it, and a list of equal lengths for none. It
    reads 102 and the like as final.
    """
    if theirs.status < 200 or theirs.status in (204, 304):
        return False
    lengths = [value for name, value in theirs.fields if name.lower() == "content-length"]
    codings = [value for name, value in theirs.fields if name.lower() == "transfer-encoding"]
    return not any("," in value for value in lengths) and not any(
        value != value.strip(" \t\r\n") for value in codings
    )


def compare(seed: int, count: int) -> None:
    """Compare `count` responses made from `seed`."""
    rng = random.Random(seed)
    compared = repaired = 0
    for number in range(count):
        data = make(rng)
        cut = rng.randrange(1, len(data))
        found = read_by_us(data, [data[:cut], data[cut:]], "h11" if number % 2 else "auto")
        if found is None:
            continue
        ours, repairs = found
        repaired += bool(repairs)
        said = said_fields(data)
        for name, value in ours.fields:
            if name.lower() not in ("content-length", "transfer-encoding"):
                assert (name, value) in said, f"{seed}/{number}: {name!r}: {value!r} in {data!r}"
        theirs = read_by_them(data)
        if theirs is None or not is_comparable(theirs):
            continue
        compared += 1
        assert ours.status == theirs.status, f"{seed}/{number}: {data!r}"
        assert ours.body == theirs.body, f"{seed}/{number}: {data!r}"
    assert compared > count / 8, f"only {compared} were compared"
    assert repaired > count / 20, f"only {repaired} were repaired"


def test_mutated_heads() -> None:
    """A few thousand, the same each time."""
    compare(20, 6000)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_mutated_heads() -> None:
    """Half a million, other ones each time; the message names the seed."""
    for _ in range(50):
        compare(random.randrange(10**9), 10_000)
