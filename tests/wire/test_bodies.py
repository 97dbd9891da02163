"""Bodies: decoded or refused whole, streamed as they come, bounded in memory, read at odd times."""

from __future__ import annotations

import gzip
import io
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from urllib3.exceptions import HTTPError as TransportError

import pooledhttp
from pooledhttp.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ContentDecodingError,
    StreamConsumedError,
)
from pooledhttp.network import Stream
from tests.support.scripted import (
    Gate,
    Peer,
    ScriptedServer,
    answering,
    chunked,
    once,
    respond,
)
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import names_origin, prompt

TEXT = b"The quick brown fox. " * 500


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's wrapper, as some servers send it."""
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


def brotli(data: bytes) -> bytes:
    """Compress by brotli; the test is skipped where it is not installed."""
    module = pytest.importorskip("brotli")
    return bytes(module.compress(data))


def zstd(data: bytes) -> bytes:
    """Compress by zstd."""
    try:
        from compression import zstd as module  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        module = pytest.importorskip("backports.zstd")
    return bytes(module.compress(data))


Squeeze = Callable[[bytes], bytes]

CODINGS: dict[str, tuple[str, Squeeze]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "upper-case": ("GZIP", gzip.compress),
    "members": ("gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
    "deflate": ("deflate", zlib.compress),
    "raw-deflate": ("deflate", raw_deflate),
    "brotli": ("br", brotli),
    "zstd": ("zstd", zstd),
    "stacked": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "stacked-other-way": ("gzip,deflate", lambda data: zlib.compress(gzip.compress(data))),
    "identity": ("identity", lambda data: data),
    "unknown": ("sdch", lambda data: data),
    "empty-value": ("", lambda data: data),
}

#: How the same body is put on the wire.
FRAMINGS: dict[str, Callable[[bytes, str], bytes]] = {
    "length": lambda body, coding: respond(body, {"Content-Encoding": coding}),
    "chunked": lambda body, coding: chunked(
        [body[at : at + 100] for at in range(0, len(body), 100)], {"Content-Encoding": coding}
    ),
}

READERS: dict[str, Callable[[pooledhttp.Response], bytes]] = {
    "content": lambda answer: answer.content,
    "iter": lambda answer: b"".join(answer.iter_content(100)),
    "iter-none": lambda answer: b"".join(answer.iter_content(None)),
    "iter-all": lambda answer: b"".join(answer.iter_content(-1)),
    "raw-pieces": lambda answer: b"".join(
        iter(lambda: answer.raw.read(100, decode_content=True), b"")
    ),
    "raw-whole": lambda answer: answer.raw.read(decode_content=True),
    "raw-stream": lambda answer: b"".join(answer.raw.stream(64, decode_content=True)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
@pytest.mark.parametrize(("coding", "squeeze"), CODINGS.values(), ids=CODINGS)
def test_encoded_bodies(
    session: pooledhttp.Session, coding: str, squeeze: Squeeze, frame: Any, read: Any
) -> None:
    """Every coding is decoded, with each framing and way to read, and the slot is free."""
    with ScriptedServer(answering(frame(squeeze(TEXT), coding))) as server:
        assert read(session.get(server.url(), stream=True, timeout=5)) == TEXT
        assert session.get(server.url(), timeout=5).content == TEXT
        assert len(server.connections) == 1
        session.close()


SHORT: dict[str, tuple[str, bytes]] = {
    "gzip-half": ("gzip", gzip.compress(TEXT)[:60]),
    "gzip-without-trailer": ("gzip", gzip.compress(TEXT)[:-8]),
    "gzip-one-byte-missing": ("gzip", gzip.compress(TEXT)[:-1]),
    "gzip-second-member-cut": ("gzip", gzip.compress(TEXT) + gzip.compress(TEXT)[:40]),
    "gzip-header-only": ("gzip", gzip.compress(TEXT)[:10]),
    "deflate-half": ("deflate", zlib.compress(TEXT)[:40]),
    "deflate-without-sum": ("deflate", zlib.compress(TEXT)[:-4]),
    "raw-deflate-half": ("deflate", raw_deflate(TEXT)[:40]),
    "stacked-inner-cut": ("deflate, gzip", gzip.compress(zlib.compress(TEXT)[:40])),
    "stacked-outer-cut": ("deflate, gzip", gzip.compress(zlib.compress(TEXT))[:50]),
    "gzip-wrong-sum": ("gzip", gzip.compress(TEXT)[:-8] + b"abcd" + gzip.compress(TEXT)[-4:]),
    "gzip-is-text": ("gzip", b"not compressed at all"),
    "deflate-is-text": ("deflate", b"not compressed at all"),
    "six-codings": ("gzip, gzip, gzip, gzip, gzip, gzip", b"x"),
    "hundred-codings": (", ".join(["gzip"] * 100), b"x"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
@pytest.mark.parametrize(("coding", "body"), SHORT.values(), ids=SHORT)
def test_damaged_encodings(
    session: pooledhttp.Session, coding: str, body: bytes, frame: Any, read: Any
) -> None:
    """A compressed body that is cut short or damaged is an error; the slot is free."""
    with ScriptedServer(answering(frame(body, coding))) as server:
        answer = session.get(server.url(), stream=True, timeout=5)
        with pytest.raises(
            (ContentDecodingError, pooledhttp.packages.urllib3.exceptions.DecodeError)
        ):
            read(answer)
        answer.close()
        assert session.pool.stats().total.active == 0
        session.close()


def _reads(size: int) -> Callable[[Any], Iterator[bytes]]:
    return lambda answer: iter(lambda: answer.raw.read(size, decode_content=True), b"")


PIECES: dict[str, Callable[[Any], Iterator[bytes]]] = {
    "iter-1": lambda answer: answer.iter_content(1),
    "iter-7": lambda answer: answer.iter_content(7),
    "iter-more": lambda answer: answer.iter_content(1 << 20),
    "read-3": _reads(3),
    "read-more": _reads(1 << 20),
    "stream-7": lambda answer: answer.raw.stream(7, decode_content=True),
    "stream-more": lambda answer: answer.raw.stream(1 << 20, decode_content=True),
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
@pytest.mark.parametrize("cut", [40, -9, -4])
@pytest.mark.parametrize("squeeze", [gzip.compress, zlib.compress, raw_deflate])
def test_what_a_cut_coding_held_comes_before_the_error(
    session: pooledhttp.Session, squeeze: Squeeze, cut: int, frame: Any, pieces: Any
) -> None:
    """As with a body that breaks off: no decoded byte is lost, whatever the size of the pieces."""
    body = squeeze(TEXT)[:cut]
    wbits = {gzip.compress: 31, zlib.compress: 15, raw_deflate: -15}[squeeze]
    held = zlib.decompressobj(wbits).decompress(body)
    coding = "gzip" if squeeze is gzip.compress else "deflate"
    with ScriptedServer(answering(frame(body, coding))) as server:
        answer = session.get(server.url(), stream=True, timeout=5)
        got = b""
        with pytest.raises((ContentDecodingError, TransportError)):
            for piece in pieces(answer):
                got += piece
        assert got == held
        with pytest.raises((ContentDecodingError, TransportError)):
            answer.raw.read(1, decode_content=True)
        answer.close()
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("sends", ["length", "chunked", "204", "304"])
def test_an_empty_body_needs_no_decoding(
    session: pooledhttp.Session, method: str, coding: str, sends: str
) -> None:
    """A body of no bytes is empty with any coding."""
    field = {"Content-Encoding": coding}
    answer = {
        "length": respond(b"", field),
        "chunked": chunked([], field, end=method == "GET"),
        "204": respond(b"", field, status=204, length=None),
        "304": respond(b"", field, status=304, length=None),
    }[sends]
    with ScriptedServer(answering(answer)) as server:
        for _ in range(2):
            assert session.request(method, server.url(), timeout=5).content == b""
        assert len(server.connections) == 1
        session.close()


def test_garbage_behind_gzip_is_ignored(session: pooledhttp.Session) -> None:
    """Bytes after the last gzip member are ignored, as gzip and browsers do."""
    body = gzip.compress(TEXT) + b"\0" * 20
    with ScriptedServer(answering(respond(body, {"Content-Encoding": "gzip"}))) as server:
        assert session.get(server.url(), timeout=5).content == TEXT
        session.close()


# ---- bombs


BOMB_BYTES = 100_000_000


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A hundred megabytes of nothing in a hundred kilobytes."""
    squeezer = zlib.compressobj(9, wbits=31)
    block = bytes(1_000_000)
    return b"".join(squeezer.compress(block) for _ in range(100)) + squeezer.flush()


@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
@pytest.mark.parametrize("stacked", [False, True], ids=["gzip", "gzip-gzip"])
@pytest.mark.parametrize(
    "read",
    [
        lambda answer: next(answer.iter_content(1000)),
        lambda answer: answer.raw.read(1000, decode_content=True),
        lambda answer: next(answer.raw.stream(1000, decode_content=True)),
    ],
    ids=["iter_content", "raw.read", "raw.stream"],
)
def test_bombs_are_bounded_while_streaming(
    session: pooledhttp.Session, bomb: bytes, frame: Any, stacked: bool, read: Any
) -> None:
    """A read decompresses only as much as it returns."""
    body, coding = (gzip.compress(bomb), "gzip, gzip") if stacked else (bomb, "gzip")
    with ScriptedServer(answering(frame(body, coding))) as server:
        tracemalloc.start()
        answer = session.get(server.url(), stream=True, timeout=5)
        assert 0 < len(read(answer)) <= 2_000
        peak = tracemalloc.get_traced_memory()[1]
        answer.close()
        tracemalloc.stop()
        session.close()
    assert peak < 5_000_000


@pytest.mark.parametrize("end", ["close", "release", "drain"])
def test_letting_go_of_a_bomb_does_not_decode_it(
    session: pooledhttp.Session, bomb: bytes, end: str
) -> None:
    """Closing, releasing or draining a body decodes none of it."""
    with ScriptedServer(answering(respond(bomb, {"Content-Encoding": "gzip"}))) as server:
        tracemalloc.start()
        answer = session.get(server.url(), stream=True, timeout=5)
        {"close": answer.close, "release": answer.raw.release_conn, "drain": answer.raw.drain_conn}[
            end
        ]()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        session.close()
    assert peak < 5_000_000


@pytest.mark.parametrize("size", [1, 7, 10_000, None])
def test_bytes_behind_the_end_of_a_coding_are_an_error(
    session: pooledhttp.Session, size: int | None
) -> None:
    """However a brotli body is read, the library's own error does not come out."""
    packed = pytest.importorskip("brotli").compress(TEXT) + b"\r\n"
    with ScriptedServer(answering(respond(packed, {"Content-Encoding": "br"}))) as server:
        response = session.get(server.url(), stream=True, timeout=5)
        pieces = response.iter_content(size)
        with pytest.raises(ContentDecodingError):
            list(pieces)
        session.close()


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "X: y"], ids=["chunks", "none"])
def test_a_stream_that_cannot_be_decoded_gives_its_place_back(
    session: pooledhttp.Session, framing: str
) -> None:
    """At once, though the response is still held and its body has no end."""

    def garbles(peer: Peer) -> None:
        peer.read_request()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n{framing}\r\n\r\n"
        peer.send(head.encode() + b"5\r\nhello\r\n")
        peer.wait_closed()

    with ScriptedServer(garbles) as server:
        response = session.get(server.url(), stream=True, timeout=5)
        with pytest.raises(ContentDecodingError):
            list(response.iter_content(5))
        assert session.pool.stats().total.active == 0
        assert session.pool.stats().total.leaks == 0


@pytest.mark.parametrize("size", [1000, 32 * 1024, 32 * 1024 + 1, 100_000])
def test_small_pieces_share_a_read_from_the_connection(
    session: pooledhttp.Session, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its size, except the last; the connection is free with the last byte."""
    body = bytes(range(256)) * 1300
    reads: list[str] = []
    for name in ("read", "read_into"):
        monkeypatch.setattr(Stream, name, counted(getattr(Stream, name), reads))
    with ScriptedServer(answering(respond(body))) as server:
        with session.get(server.url(), stream=True, timeout=5) as response:
            pieces = list(response.iter_content(size))
        whole, rest = divmod(len(body), size)
        assert [len(piece) for piece in pieces] == [size] * whole + [rest] * bool(rest)
        assert b"".join(pieces) == body
        assert session.get(server.url(), timeout=5).content == body
        assert len(server.connections) == 1
        session.close()
    if size == 1000:
        assert len(reads) < len(body) // size // 2


def counted(fn: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """Return a function that notes each call."""

    def note(*how: Any) -> Any:
        calls.append(fn.__name__)
        return fn(*how)

    return note


@pytest.mark.parametrize("size", [3, 5, 100])
def test_small_reads_get_all_that_came_before_a_body_broke_off(
    session: pooledhttp.Session, size: int
) -> None:
    """Then the error is raised, and again by each later read."""

    def misbehave(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"hello", length=9))

    with ScriptedServer(misbehave) as server:
        response = session.get(server.url(), stream=True, timeout=5)
        received = b""
        with pytest.raises(ChunkedEncodingError, match="5 bytes read, 4 more expected"):
            for piece in response.iter_content(size):
                received += piece
        assert received == b"hello"
        with pytest.raises(TransportError):
            response.raw.read(size)
        session.close()


@pytest.mark.parametrize(
    "sends",
    [respond(b"hello", length=9), chunked([b"hello"], end=False), respond(b"hello", length=None)],
    ids=["length", "chunks", "neither"],
)
def test_reading_a_body_that_was_released_unread_is_an_error(
    session: pooledhttp.Session, sends: bytes
) -> None:
    """`release_conn()` closes the connection of an unread body, which is not taken for empty."""

    def misbehave(peer: Peer) -> None:
        peer.read_request()
        peer.send(sends)
        peer.wait_closed()

    with ScriptedServer([misbehave, misbehave, answering(respond(b"x"))]) as server:
        unread, begun = (session.get(server.url(), stream=True, timeout=5) for _ in range(2))
        assert begun.raw.read(2) == b"he"
        for response in (unread, begun):
            response.raw.release_conn()
            with pytest.raises(TransportError, match=r"release_conn\(\) closed"):
                response.raw.read()
            with pytest.raises(ChunkedEncodingError, match=r"release_conn\(\) closed"):
                _ = response.content
        assert session.get(server.url(), timeout=5).content == b"x"
        session.close()


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_the_bomb_of_a_redirect_is_not_decoded(
    session: pooledhttp.Session, bomb: bytes, hops: int
) -> None:
    """Following redirects decodes nothing of their bodies, at any hop (CVE-2026-21441)."""
    fields = {"Content-Encoding": "gzip", "Location": "/there"}
    hop = once(respond(bomb, fields, status=302))
    with ScriptedServer([*[hop] * hops, answering(respond(b"x"))]) as server:
        tracemalloc.start()
        answer = session.get(server.url(), timeout=5)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert answer.content == b"x"
        session.close()
    assert peak < 5_000_000


@pytest.mark.parametrize("coding", ["gzip", "br", "six, gzip, gzip, gzip, gzip, gzip, gzip"])
def test_a_redirect_with_a_wrong_coding_is_followed(
    session: pooledhttp.Session, coding: str
) -> None:
    """The body of a redirect is not decoded."""
    fields = {"Content-Encoding": coding, "Location": "/there"}
    hop = respond(b"not compressed", fields, status=301)
    with ScriptedServer(answering(hop, respond(b"x"))) as server:
        assert session.get(server.url(), timeout=5).content == b"x"
        assert len(server.connections) == 1
        session.close()


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("framing", ["length", "chunked", "to-the-end"])
def test_an_endless_redirect_body_is_not_read(
    session: pooledhttp.Session, framing: str, hops: int
) -> None:
    """A large body of a redirect closes the connection and is not waited for."""

    def endless(peer: Peer) -> None:
        peer.read_request()
        field = {
            "length": "Content-Length: 999999999",
            "chunked": "Transfer-Encoding: chunked",
            "to-the-end": "X: y",
        }[framing]
        peer.send(f"HTTP/1.1 302 Found\r\nLocation: /there\r\n{field}\r\n\r\n".encode())
        while True:
            peer.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n" if framing == "chunked" else b"x" * 1000)

    with ScriptedServer([*[endless] * hops, answering(respond(b"x"))]) as server:
        with prompt():
            assert session.get(server.url(), timeout=5).content == b"x"
        session.close()


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked", "X: y"])
@pytest.mark.parametrize("says", [b"", b"1\r\nx\r\n"], ids=["nothing", "a-little"])
def test_a_redirect_body_that_does_not_come_is_not_waited_for(framing: str, says: bytes) -> None:
    """A redirect is followed though its body stalls and the caller set no timeout."""
    runtime = SkippingRuntime()

    def stalls(peer: Peer) -> None:
        peer.read_request()
        peer.send(f"HTTP/1.1 302 Found\r\nLocation: /there\r\n{framing}\r\n\r\n".encode() + says)
        runtime.stay_silent(peer)

    with (
        ScriptedServer([stalls, answering(respond(b"x"))]) as server,
        pooledhttp.Session(runtime=runtime) as session,
        prompt(),
    ):
        answer = session.get(server.url())
        assert (answer.content, len(answer.history)) == (b"x", 1)
        assert session.pool.stats().total.active == 0


def test_many_redirect_bodies_that_do_not_come_cost_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A body is waited for as long as its head took, not for a second at each hop."""
    monkeypatch.setattr("pooledhttp.message.raw.MAX_DRAIN_SECONDS", 1000.0)
    runtime, hops = SkippingRuntime(stands=True), 5

    def stalls(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"half", {"Location": "/there"}, status=302, length=8))
        runtime.stay_silent(peer)

    with (
        ScriptedServer([*[stalls] * hops, answering(respond(b"x"))]) as server,
        pooledhttp.Session(runtime=runtime) as session,
    ):
        answer = session.get(server.url())
        assert (answer.content, len(answer.history)) == (b"x", hops)
    assert runtime.now() < 1000.0


def test_a_redirect_body_that_trickles_is_not_waited_for(
    session: pooledhttp.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes within the read timeout; one limit bounds all of them."""
    monkeypatch.setattr("pooledhttp.message.raw.MAX_DRAIN_SECONDS", 0.05)

    def trickles(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
        gate = threading.Event()
        while not gate.wait(0.005):
            peer.send(b"x")

    with ScriptedServer([trickles, answering(respond(b"x"))]) as server, prompt():
        assert session.get(server.url(), timeout=5).content == b"x"
        session.close()


# ---- live streams


def live(pieces: list[bytes], gates: list[Gate], head: bytes) -> Callable[[Peer], None]:
    """Send each piece only after the one before was seen by the client."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(head)
        for piece, gate in zip(pieces, gates, strict=True):
            peer.send(piece)
            gate.wait()
        peer.close()

    return handle


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def follow(server: ScriptedServer, gates: list[Gate], pieces: Iterator[Any]) -> list[Any]:
    """Take piece by piece, and let the server go on after each."""
    seen = []
    for gate in gates:
        seen.append(next(pieces))
        gate.open()
    return seen


@pytest.mark.parametrize(
    "read",
    [
        lambda answer: answer.iter_content(1024),
        lambda answer: answer.iter_content(None),
        lambda answer: answer.raw.stream(1024),
        lambda answer: iter(answer),
        lambda answer: answer.raw.read_chunked(),
        lambda answer: iter(lambda: answer.raw.read1(), b""),
    ],
    ids=["iter_content", "iter_content-none", "stream", "iter", "read_chunked", "read1"],
)
def test_chunks_are_seen_as_they_come(session: pooledhttp.Session, read: Any) -> None:
    """A live stream delivers each chunk when it arrives, with any chunk size."""
    texts = [b"one", b"two", b"three"]
    gates: list[Gate] = []
    with ScriptedServer(
        lambda peer: live([chunk(t) for t in texts], gates, CHUNKED_HEAD)(peer)
    ) as server:
        gates += [server.gate() for _ in texts]
        with session.get(server.url(), stream=True, timeout=5) as answer, prompt():
            assert follow(server, gates, iter(read(answer))) == texts
        session.close()


def test_chunks_keep_their_ends(session: pooledhttp.Session) -> None:
    """Chunks that arrive together are yielded apart, and may be mixed with reads of `raw`."""
    sends = b"1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n3\r\nefg\r\n1\r\nh\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with ScriptedServer(answering(head + sends)) as server:
        response = session.get(server.url(), stream=True)
        assert list(response.iter_content(2)) == [b"a", b"bc", b"d", b"ef", b"g", b"h"]
        response = session.get(server.url(), stream=True)
        pieces = response.iter_content(100)
        assert [next(pieces), next(pieces)] == [b"a", b"bc"]
        assert response.raw.read(2) == b"de"
        assert response.raw.read() == b"fgh"
        response = session.get(server.url(), stream=True)
        pieces = response.iter_content(100)
        next(pieces)
        response.close()
        assert list(pieces) == []
        assert session.pool.stats().total.active == 0


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_lines_are_seen_as_they_come(session: pooledhttp.Session, ends: bytes) -> None:
    """`iter_lines` gives a line as soon as the next one begins, over default sizes."""
    lines = [b"data: 1" + ends, b"data: 2" + ends, b"data: 3" + ends]
    gates: list[Gate] = []
    with ScriptedServer(
        lambda peer: live([chunk(t) for t in lines], gates, CHUNKED_HEAD)(peer)
    ) as server:
        gates += [server.gate() for _ in lines]
        with session.get(server.url(), stream=True, timeout=5) as answer, prompt():
            seen = follow(server, gates, answer.iter_lines())
        assert seen == [b"data: 1", b"data: 2", b"data: 3"]
        session.close()


def test_a_compressed_live_stream(session: pooledhttp.Session) -> None:
    """What a server flushes after each message is decoded after each message."""
    squeezer = zlib.compressobj(wbits=31)
    texts = [b"one\n", b"two\n", b"three\n"]
    pieces = [chunk(squeezer.compress(t) + squeezer.flush(zlib.Z_SYNC_FLUSH)) for t in texts]
    gates: list[Gate] = []
    head = CHUNKED_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    with ScriptedServer(lambda peer: live(pieces, gates, head)(peer)) as server:
        gates += [server.gate() for _ in texts]
        with session.get(server.url(), stream=True, timeout=5) as answer, prompt():
            assert follow(server, gates, answer.iter_content(1024)) == texts
        session.close()


# ---- at odd times


def test_a_response_outlives_its_session() -> None:
    """`Session.close` lets the body under way come to its end, then its connection is closed."""
    with ScriptedServer(answering(respond(b"x" * 1_000_000))) as server:
        with pooledhttp.Session() as session:
            answer = session.get(server.url(), stream=True, timeout=5)
        assert len(answer.content) == 1_000_000
        server.wait_all_closed()


def test_a_session_works_again_after_close(session: pooledhttp.Session) -> None:
    """After `close`, the next request opens a connection again."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        for _ in range(3):
            assert session.get(server.url(), timeout=5).content == b"x"
            session.close()
        server.wait_all_closed()
        assert len(server.connections) == 3


def test_shutdown_is_for_good(session: pooledhttp.Session) -> None:
    """After `pool.shutdown` a request fails at once and says so."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        session.get(server.url(), timeout=5)
        session.pool.shutdown()
        server.wait_all_closed()
        with pytest.raises(ConnectionError, match="shut down"):
            session.get(server.url(), timeout=5)


@pytest.mark.parametrize(
    "sends", [respond(TEXT), chunked([TEXT[:100], TEXT])], ids=["length", "chunked"]
)
def test_reading_after_close(session: pooledhttp.Session, sends: bytes) -> None:
    """A closed body has no more bytes."""
    with ScriptedServer(answering(sends)) as server:
        answer = session.get(server.url(), stream=True, timeout=5)
        assert answer.raw.read(10) == TEXT[:10]
        answer.close()
        assert answer.raw.closed
        assert answer.raw.read() == b""
        assert list(answer.raw.stream(10)) == []
        answer.close()
        session.close()


def test_reading_twice(session: pooledhttp.Session) -> None:
    """`content` is kept; a stream that was consumed says so."""
    with ScriptedServer(answering(respond(TEXT))) as server:
        answer = session.get(server.url(), timeout=5)
        assert answer.content is answer.content
        assert b"".join(answer.iter_content(7)) == TEXT
        streamed = session.get(server.url(), stream=True, timeout=5)
        assert b"".join(streamed.iter_content(7)) == TEXT
        with pytest.raises(StreamConsumedError):
            streamed.iter_content(7)
        with pytest.raises(RuntimeError):
            streamed.content  # noqa: B018
        session.close()


@pytest.mark.parametrize("cut", ["in-a-piece", "between-pieces", "framing"])
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "length"])
@pytest.mark.parametrize(
    "read",
    [
        lambda answer: answer.iter_content(1024),
        lambda answer: answer.iter_content(5),
        lambda answer: answer.raw.stream(1024),
        lambda answer: iter(lambda: answer.raw.read(1024), b""),
        lambda answer: iter(lambda: answer.raw.read(4, decode_content=True), b""),
    ],
    ids=["iter_content", "iter_content-5", "stream", "read", "read-4"],
)
def test_what_came_before_a_failure_is_given_first(
    session: pooledhttp.Session, read: Any, is_chunked: bool, cut: str
) -> None:
    """All bytes that arrived are delivered: a caller may go on with a range request."""

    def breaks(peer: Peer) -> None:
        peer.read_request()
        if not is_chunked:
            peer.send(respond(b"seven b", length=70))
        elif cut == "in-a-piece":
            peer.send(CHUNKED_HEAD + chunk(b"seven") + chunk(b" b" * 20)[:6])
        else:
            peer.send(CHUNKED_HEAD + chunk(b"seven") + chunk(b" b"))
            peer.send(b"rubbish\r\n" if cut == "framing" else b"")
        peer.close()

    with ScriptedServer(breaks) as server:
        answer = session.get(server.url(), stream=True, timeout=5)
        got = []
        with pytest.raises((ChunkedEncodingError, TransportError)):
            for piece in read(answer):
                got.append(piece)
        assert b"".join(got) == b"seven b"
        assert session.pool.stats().total.active == 0
        session.close()


@pytest.mark.parametrize("again", ["content", "iter", "raw"])
def test_a_body_that_failed_stays_failed(session: pooledhttp.Session, again: str) -> None:
    """Asking again after a truncation does not give the first half as a whole."""
    with ScriptedServer(once(respond(b"half", length=8))) as server:
        answer = session.get(server.url(), stream=True, timeout=5)
        with pytest.raises(ChunkedEncodingError) as caught:
            answer.content  # noqa: B018
        names_origin(caught.value, server)
        with pytest.raises(Exception, match="IncompleteRead|consumed|broken"):
            if again == "content":
                answer.content  # noqa: B018
            elif again == "iter":
                list(answer.iter_content(3))
            else:
                answer.raw.read()
        session.close()


def test_raw_as_a_file(session: pooledhttp.Session) -> None:
    """`io` and `gzip` read `raw` as they read any file."""
    body = gzip.compress(TEXT)
    with ScriptedServer(answering(respond(body))) as server:
        raw = session.get(server.url(), stream=True, timeout=5).raw
        assert gzip.GzipFile(fileobj=raw).read() == TEXT
        raw = session.get(server.url(), stream=True, timeout=5).raw
        assert io.BufferedReader(raw).read() == body
        session.close()
