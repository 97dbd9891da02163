"""The decoder of chunked bodies: alone, and against h11's on the same bytes."""

from __future__ import annotations

import re

import h11
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from pooledhttp.http1.chunks import ChunkDecoder
from tests.wire.test_fuzz_parser import cut, mutate, mutation

MAX_LINE_BYTES, MAX_FIELDS = 2048, 8
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = [
    b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n",
    b"1;a=b\r\nx\r\n0010 \t\r\n0123456789abcdef\r\n0\r\nX: y\r\nZ:\r\n\r\nsurplus",
    b'A;q="\r"\r\n0123456789\r\n00\r\nX-Fold: a\n b\n\n',
    b"1\r\n\r\r\n1\r\n\n\r\n2\r\n\r\n\r\n0\r\n\n",
    b"0\r\nContent-Length: 5, 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"2\r\nab\r\n" * 40 + b"000\r\n\r\n",
]
BLANKS_BEFORE_EXTENSION = re.compile(rb"[0-9A-Fa-f][ \t]+;")
Outcome = tuple[bytes, str, bytes]


def decode_by_us(pieces: list[bytes]) -> Outcome:
    """The data, how it ended (`end`, `error` or `open`), and what came behind."""
    decoder, data = ChunkDecoder(MAX_LINE_BYTES, MAX_FIELDS), b""
    for number, piece in enumerate(pieces):
        data += b"".join(decoder.feed(piece))
        if decoder.failure is not None:
            return data, "error", b""
        if decoder.has_ended:
            return data, "end", decoder.surplus + b"".join(pieces[number + 1 :])
    return data, "open", b""


def decode_by_h11(pieces: list[bytes]) -> Outcome:
    """The same by h11."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_LINE_BYTES)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(HEAD)
    assert type(reader.next_event()) is h11.Response
    data = b""
    for number, piece in enumerate(pieces):
        reader.receive_data(piece)
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError:
                return data, "error", b""
            if type(event) is h11.Data:
                data += event.data
            elif type(event) is h11.EndOfMessage:
                if len(event.headers) > MAX_FIELDS:
                    return data, "error", b""
                return data, "end", reader.trailing_data[0] + b"".join(pieces[number + 1 :])
            else:
                break
    return data, "open", b""


def check(body: bytes, places: list[float]) -> None:
    """The same data, end and surplus; an error no later than h11's."""
    if BLANKS_BEFORE_EXTENSION.search(body):  # h11 refuses them, RFC 9112 does not
        return
    pieces = list(cut(body, places))
    ours, theirs = decode_by_us(pieces), decode_by_h11(pieces)
    if ours[1] == "error" and theirs[1] == "open":
        # h11 looks at a size line only when it is complete.
        theirs = decode_by_h11([*pieces, b"\r\n\r\n"])
    assert ours == theirs


bodies = st.builds(mutate, st.sampled_from(BODIES), st.lists(mutation, max_size=4))
places = st.lists(st.floats(0, 1, exclude_max=True), max_size=6)


@settings(max_examples=400)
@given(body=bodies, places=places)
@example(body=b"5\r\nhelloX\r\n", places=[])
@example(body=b"5\r\nhello\r", places=[])
@example(body=b"5\r\nhello\rX", places=[0.9])
@example(body=b"0\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", places=[])
def test_it_agrees_with_h11(body: bytes, places: list[float]) -> None:
    """The same bytes give the same data, the same end, or an error in both."""
    check(body, places)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(
    max_examples=100_000,
    derandomize=False,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(body=bodies, places=places)
def test_it_agrees_with_h11_for_long(body: bytes, places: list[float]) -> None:
    """The same, a hundred thousand times."""
    check(body, places)


@pytest.mark.parametrize("body", [*BODIES, b"5 ;a=b\r\nhello\r\n0\t ; c\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_cuts_make_no_difference(body: bytes, size: int) -> None:
    """A body is the same wherever it is cut."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert decode_by_us(pieces) == decode_by_us([body])


def test_every_chunk_is_a_piece() -> None:
    """Each piece ends a chunk, except the one whose rest has not arrived."""
    decoder = ChunkDecoder(MAX_LINE_BYTES, MAX_FIELDS)
    assert decoder.feed(b"2\r\nab\r\n1\r\nc\r\n4\r\nde") == [b"ab", b"c", b"de"]
    assert decoder.is_in_chunk
    assert decoder.feed(b"fg") == [b"fg"]
    assert not decoder.is_in_chunk
    assert decoder.feed(b"\r\n0\r\n\r\nnext") == []
    assert (decoder.has_ended, decoder.surplus) == (True, b"next")


def test_pieces_before_an_error_are_good() -> None:
    """The error stands behind the data that came before it."""
    decoder = ChunkDecoder(MAX_LINE_BYTES, MAX_FIELDS)
    assert decoder.feed(b"2\r\nab\r\nxyz") == [b"ab"]
    assert "illegal chunk header: b'xyz'" in str(decoder.failure)


@pytest.mark.parametrize("start", [b"1;", b"0\r\nX: "])
def test_lines_that_never_end_are_refused(start: bytes) -> None:
    """An extension or a trailer is kept only up to a limit."""
    decoder = ChunkDecoder(MAX_LINE_BYTES, MAX_FIELDS)
    for _ in range(2 * MAX_LINE_BYTES):
        decoder.feed(start)
        start = b"x"
    assert str(decoder.failure) == "Receive buffer too long"
