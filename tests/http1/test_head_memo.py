"""Heads that repeat are found, not parsed; what is made of them is what a parser makes of them."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable

import h11
import pytest
from urllib3.exceptions import HTTPError

from pooledhttp.http1.connection import Connection
from pooledhttp.http1.head_memo import MOST_HEAD_BYTES, MOST_HEADS, HeadMemo, HeadMemos
from pooledhttp.http1.messages import ResponseLimits, WireRequest
from pooledhttp.http1.parsers import ParserLibrary, library_for
from pooledhttp.http1.response_head import Head
from tests.http1.script import PLAN, ScriptedStream, get
from tests.http1.test_parsers_agree import KINDS, ODD, read_by
from tests.wire.test_fuzz_parser import FRAGMENTS, mutate

pytestmark = pytest.mark.usefixtures("each_parser")

OK = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Head | None]:
    """What the memos are asked for, in order; `None` for what they do not know."""
    results: list[Head | None] = []
    find = HeadMemo.find

    def spy(memo: HeadMemo, start: bytes, method: bytes) -> Head | None:
        results.append(find(memo, start, method))
        return results[-1]

    monkeypatch.setattr(HeadMemo, "find", spy)
    return results


def read(
    memos: HeadMemos,
    *pieces: bytes,
    request: WireRequest | None = None,
    limits: ResponseLimits | None = None,
) -> tuple[Head, bytes, bool]:
    """Read one response on a new connection; return its head and body, and whether it is idle."""
    stream = ScriptedStream(pieces)
    connection = Connection(stream, "http://a.test:80", limits, memos)  # type: ignore[arg-type]
    connection.send(request or get(), PLAN)
    head = connection.read_head(PLAN)
    body = b""
    while piece := connection.receive(PLAN):
        body += piece
    return head, body, connection.is_reusable


def reads_twice(*pieces: bytes, request: WireRequest | None = None) -> tuple[Head, Head]:
    """Read the same response twice; return both heads."""
    memos = HeadMemos()
    first, second = (read(memos, *pieces, request=request) for _ in range(2))
    assert first == second
    return first[0], second[0]


def test_the_same_head_is_parsed_once() -> None:
    """The second response has the very `Head` of the first, and a body of its own."""
    memos = HeadMemos()
    first, body, is_idle = read(memos, OK)
    again, other, is_idle_again = read(memos, OK[:-5] + b"world")
    assert again is first and first.status == 200
    assert (body, other, is_idle, is_idle_again) == (b"hello", b"world", True, True)


def test_one_connection_uses_it_for_each_exchange(found: list[Head | None]) -> None:
    """And its body may come later, as always."""
    stream = ScriptedStream([OK, OK[:-5], b"he", b"llo"])
    connection = Connection(stream, "http://a.test:80")  # type: ignore[arg-type]
    for _ in range(2):
        connection.send(get(), PLAN)
        connection.read_head(PLAN)
        assert connection.receive(PLAN) + connection.receive(PLAN) == b"hello"
    assert found[0] is None and found[1] is not None


def test_bytes_behind_the_body_leave_doubt() -> None:
    """Also where the head is known: the connection is not used again."""
    memos = HeadMemos()
    assert read(memos, OK)[2]
    head, body, is_idle = read(memos, OK + b"HTTP/1.1 200")
    assert (head.status, body, is_idle) == (200, b"hello", False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\nab\r\n\r\n"[:-2],
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MOST_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["chunked", "interim", "repaired", "length-twice", "bare-lf", "large", "doubtful", "101"],
)
def test_what_is_not_plain_is_parsed_each_time(data: bytes) -> None:
    """Its outcome is the same both times, and no `Head` is shared."""
    first, second = reads_twice(data)
    assert first is not second


def test_a_body_up_to_the_end_of_the_connection_is_not_plain() -> None:
    """Nor is a response to CONNECT."""
    first, second = reads_twice(b"HTTP/1.1 200 OK\r\nServer: s\r\n\r\nabc", b"")
    assert first is not second
    refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    first, second = reads_twice(refusal, request=get(b"a.test:443", b"CONNECT"))
    assert first is not second


@pytest.mark.parametrize("at", [3, 20, len(OK) - 6])
def test_a_head_in_pieces_is_parsed(at: int) -> None:
    """Neither kept nor found: limits on incomplete heads depend on the pieces."""
    memos = HeadMemos()
    first = read(memos, OK[:at], OK[at:])[0]
    second = read(memos, OK)[0]
    third = read(memos, OK[:at], OK[at:])[0]
    assert first == second == third
    assert first is not second and second is not third


def test_the_method_counts() -> None:
    """A response to HEAD has no body, whatever its length."""
    memos = HeadMemos()
    assert read(memos, OK)[1] == b"hello"
    head, body, is_idle = read(memos, OK[:-5], request=get(method=b"HEAD"))
    assert (head.body_length, body, is_idle) == (0, b"", True)


def test_limits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the connection, and http.client's, which programs change."""
    memos = HeadMemos()
    read(memos, OK)
    with pytest.raises(HTTPError, match="more than 1 fields"):
        read(memos, OK, limits=ResponseLimits(head_fields=1))
    monkeypatch.setattr(http.client, "_MAXHEADERS", 1)
    with pytest.raises(HTTPError, match="more than 1 fields"):
        read(memos, OK)


@pytest.mark.parametrize("extra", [0, 1, 600])
def test_a_value_that_exceeds_the_limit_of_the_head_is_refused(extra: int) -> None:
    """Also where the head is otherwise like one that was read before."""
    limits = ResponseLimits(head_bytes=600)
    memos, shorter = HeadMemos(), OK.replace(b"Server: s", b"Server: t")
    padding = 600 - len(OK.removesuffix(b"hello")) + 1 + extra
    longer = OK.replace(b"Server: s", b"Server: " + b"s" * padding)
    for data in (OK, shorter):
        assert read(memos, data, limits=limits)[1] == b"hello"
    results = []
    for each in (memos, HeadMemos()):
        try:
            results.append(read(each, longer, limits=limits)[1])
        except HTTPError as error:
            results.append(type(error).__name__.encode())
    assert results == [results[1]] * 2
    assert (results[0] == b"hello") is (extra == 0)


def test_a_replaced_parser_reads_each_head(
    each_parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was replaced after the head was kept; until it is put back."""
    memos = HeadMemos()
    kept = read(memos, OK)[0]
    with monkeypatch.context() as patched:
        if each_parser == "h11":
            real: Callable[[h11.Connection], object] = h11.Connection.next_event
            patched.setattr(h11.Connection, "next_event", lambda self: real(self))
        else:
            import httptools

            subclass = type("Traced", (httptools.HttpResponseParser,), {})
            patched.setattr(httptools, "HttpResponseParser", subclass)
        assert read(memos, OK)[0] is not kept
    assert read(memos, OK)[0] is kept


def test_the_table_is_bounded(each_parser: str) -> None:
    """All heads are dropped when there are too many."""
    memos = HeadMemos()
    for number in range(MOST_HEADS + 1):
        read(memos, OK.replace(b"Server: s", b"X-%d: s" % number))
    assert len(memos.memo_for(library_for("auto"), ResponseLimits())) == 1


def test_the_table_is_bounded_for_heads_that_are_alike(each_parser: str) -> None:
    """Also if each comes twice."""
    memos = HeadMemos()
    for number in range(MOST_HEADS + 1):
        for _ in range(2):
            read(memos, OK.replace(b"Server: s", b"Server: %d" % number))
    assert len(memos.memo_for(library_for("auto"), ResponseLimits())) == 1


def test_a_head_is_never_changed() -> None:
    """Responses share it, so it has nothing that a caller could change through them."""
    memos = HeadMemos()
    head = read(memos, OK)[0]
    head.headers.clear()
    assert isinstance(head.fields, tuple)
    assert read(memos, OK)[0].headers == [("Server", "s"), ("Content-Length", "5")]


DATED = (
    b"HTTP/1.1 200 OK\r\nDate: %b\r\nSet-Cookie: a=%b\r\nSet-Cookie: c=d\r\n"
    b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"
)


def test_a_head_that_differs_in_values_is_not_parsed(found: list[Head | None]) -> None:
    """Another Date and another cookie: the rest is as before."""
    memos = HeadMemos()
    read(memos, DATED % (b"Sat, 28 Nov 2026 15:00:00 GMT", b"1"))
    head, body, is_idle = read(memos, DATED % (b"Sat, 28 Nov 2026 15:00:01 GMT", b"2"))
    assert found[0] is None and found[1] is head
    assert head.headers == [
        ("Date", "Sat, 28 Nov 2026 15:00:01 GMT"),
        ("Set-Cookie", "a=2"),
        ("Set-Cookie", "c=d"),
        ("Connection", "keep-alive"),
        ("Content-Length", "5"),
    ]
    assert head.by_name[b"set-cookie"] == b"c=d"
    assert head.by_name[b"date"].endswith(b"01 GMT")
    assert (body, is_idle) == (b"hello", True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"keep-alive", b"close"),
        (b"Length: 5", b"Length: 05"),
        (b"Length: 5", b"Length: +5"),
        (b"Length: 5", b"Length: 5 "),
        (b"Length: 5", b"Length: 5, 5"),
        (b"Length: 5", b"Length: \xb2"),
        (b"Length: 5", b"Length: 5000000000000000"),
        (b"Content-Length: 5\r\n", b""),
        (b"a=1", b""),
        (b"a=1", b"a=\xe4"),
        (b"a=1", b"a\x0b=1"),
        (b"a=1", b"a\n=1"),
        (b"Set-Cookie: a", b"Set-Cookie:  a"),
        (b"Set-Cookie: a", b"Set-Cookie : a"),
        (b"Set-Cookie: a=1", b" folded"),
        (b"Set-Cookie: a=1", b"Content-Length: 5"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"200 OK", b"204 OK"),
    ],
)
def test_any_other_difference_is_left_to_the_parser(
    old: bytes, new: bytes, found: list[Head | None]
) -> None:
    """In a field that frames the body, in a name, in bytes that parsers treat differently."""
    memos = HeadMemos()
    data = DATED % (b"now", b"1")
    read(memos, data)
    results = []
    for each in (memos, HeadMemos()):
        try:
            results.append(str(read(each, data.replace(old, new, 1))))
        except HTTPError as error:
            results.append(type(error).__name__)
    assert results[0] == results[1]
    assert found == [None, None, None]


@pytest.mark.parametrize(("length", "body"), [(b"2", b"he"), (b"0", b""), (b"5", b"hello")])
def test_a_head_that_differs_in_its_length_is_not_parsed(
    length: bytes, body: bytes, found: list[Head | None]
) -> None:
    """As those of files do; the body ends where the new length says."""
    memos = HeadMemos()
    data = DATED % (b"now", b"1")
    read(memos, data)
    other = data.replace(b"Length: 5", b"Length: " + length).replace(b"hello", body)
    head, found_body, is_idle = read(memos, other.replace(b"now", b"later"))
    assert found[1] is head and head.body_length == len(body)
    assert (found_body, is_idle) == (body, True)
    assert head == read(HeadMemos(), other.replace(b"now", b"later"))[0]


@pytest.mark.parametrize(
    ("value", "is_found"),
    [
        (b"timeout=5, max=98", True),
        (b"timeout=5, max=0", True),
        (b"timeout=6, max=98", False),
        (b"timeout=5", False),
        (b"timeout=5, max=-1", False),
        (b"timeout=5, max=98, x", False),
        (b"max=98, timeout=5", False),
        (b"timeout=5, max=9999999999", False),
    ],
)
def test_the_requests_that_a_connection_has_left(
    value: bytes, is_found: bool, found: list[Head | None]
) -> None:
    """Apache counts them down in its Keep-Alive field; another timeout is left to the parser."""
    memos = HeadMemos()
    data = FIELD % b"timeout=5, max=99"
    read(memos, data)
    other, body, _ = read(memos, FIELD % value)
    assert (found[1] is not None) == is_found
    assert other == read(HeadMemos(), FIELD % value)[0] and body == b"hello"


#: A response with a Keep-Alive field.
FIELD = b"HTTP/1.1 200 OK\r\nKeep-Alive: %s\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    ("status", "method"), [(b"200 OK", b"HEAD"), (b"204 None", b"GET"), (b"304 Same", b"GET")]
)
def test_a_length_without_a_body_is_left_to_the_parser(
    status: bytes, method: bytes, found: list[Head | None]
) -> None:
    """It is not the length of what follows, and may be a reason for doubt."""
    memos = HeadMemos()
    data = b"HTTP/1.1 %b\r\nX-A: b\r\nContent-Length: 0\r\n\r\n" % status
    read(memos, data, request=get(method=method))
    other = data.replace(b": 0", b": 7")
    outcome = read(memos, other, request=get(method=method))
    assert outcome == read(HeadMemos(), other, request=get(method=method))
    assert found == [None, None, None]


def test_a_head_that_is_like_another_is_kept_when_it_comes_again(each_parser: str) -> None:
    """Each file has a head of its own, so the first time nothing is kept of it."""
    memos = HeadMemos()
    memo = memos.memo_for(library_for("auto"), ResponseLimits())
    for number in range(MOST_HEADS):
        read(memos, DATED % (b"%d" % number, b"1"))
    assert len(memo) == 1
    heads = [read(memos, DATED % (b"now", b"1"))[0] for _ in range(3)]
    assert heads[0] == heads[1] and heads[1] is heads[2]
    assert len(memo) == 2


#: Responses with heads that can be kept.
PLAIN = [
    b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nDate: Sat, 28 Nov 2026 15:00:00 GMT\r\nSet-Cookie: a=b; Path=/\r\n"
    b'Set-Cookie: c=d\r\nETag: "abc"\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello',
    b"HTTP/1.1 404 Not Found\r\nX-A: b\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
]


#: Values to put in the place of others: plain ones, lengths, and some that are neither.
VALUES = [
    b"a",
    b"b c",
    b"0",
    b"2",
    b"5",
    b"12",
    b"05",
    b"+5",
    b"-1",
    b"5,5",
    b"close",
    b"",
    b"\xe4",
    b"5 ",
]


def mutated(rng: random.Random) -> bytes:
    """Return a response with changes anywhere."""
    changes = [
        (rng.choice(KINDS), rng.random(), rng.randint(1, 3), rng.choice([*FRAGMENTS, *ODD]))
        for _ in range(rng.choice((0, 0, 1, 1, 2)))
    ]
    return mutate(rng.choice(PLAIN), changes)


def with_other_values(rng: random.Random) -> bytes:
    """Return a response with other values in some of its fields."""
    head, end, body = rng.choice(PLAIN).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.randrange(1, len(lines))
        name, colon, _value = lines[place].partition(b": ")
        lines[place] = name + colon + rng.choice(VALUES)
    return b"\r\n".join(lines) + end + body


def compare(seed: int, count: int, make: Callable[[random.Random], bytes] = mutated) -> None:
    """Read responses with one memo for all, twice each, and without a memo."""
    rng = random.Random(seed)
    memos = HeadMemos()
    for _ in range(count):
        data = make(rng)
        cut = rng.choice((0, 0, 0, rng.randint(0, len(data))))
        pieces: list[bytes | Exception] = [data[cut:], b""]
        if cut:
            pieces.insert(0, data[:cut])
        method, is_bound = rng.choice((b"GET", b"GET", b"HEAD", b"CONNECT")), rng.random() < 0.3
        alone = read_by("auto", get(method=method), list(pieces), is_bound)
        for _ in range(2):
            shared = read_by("auto", get(method=method), list(pieces), is_bound, memos)
            assert shared == alone, f"{pieces!r} to {method!r}"


def test_what_is_found_equals_what_is_parsed(found: list[Head | None]) -> None:
    """Over mutated responses, cut at random places, to requests of all kinds, with both limits."""
    compare(seed=8, count=300)
    assert sum(head is not None for head in found) > 150


def test_heads_with_other_values_equal_what_is_parsed(found: list[Head | None]) -> None:
    """Plain values are put into a head that was parsed before; others are left to the parser."""
    compare(seed=10, count=300, make=with_other_values)
    assert sum(head is not None for head in found) > 100


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("make", [mutated, with_other_values])
def test_what_is_found_equals_what_is_parsed_often(make: Callable[[random.Random], bytes]) -> None:
    """The same, with many more."""
    compare(seed=9, count=50_000, make=make)


def test_a_library_is_named_for_its_parser(each_parser: str) -> None:
    """A memo keeps what this parser has read, and nothing that it left to another one."""
    library: ParserLibrary = library_for("auto")
    assert library.name == each_parser and library.is_original()
