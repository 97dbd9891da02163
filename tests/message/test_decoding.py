"""The decoders of message/decoding.py: right bytes, bounded output, and no silent truncation."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import DecodeError

from pooledhttp.message.decoding import MAX_CODINGS, Decoder, make_decoder, supported_codings

TEXT = b"".join(b"line %d of a body that compresses well\n" % n for n in range(2000))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@cache  # it is slow, and the same few texts are packed for every size of piece
def brotli_compress(data: bytes) -> bytes:
    brotli = pytest.importorskip("brotli")
    return bytes(brotli.compress(data))


def zstd_compress(data: bytes) -> bytes:
    if "zstd" not in supported_codings():
        pytest.skip("no zstd library")
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd
    return bytes(zstd.compress(data))


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate with the zlib wrapper": ("deflate", zlib.compress),
    "bare deflate": ("deflate", raw_deflate),
    "brotli": ("br", brotli_compress),
    "zstd": ("zstd", zstd_compress),
    "deflate in gzip": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "gzip in brotli": ("gzip, br", lambda data: brotli_compress(gzip.compress(data))),
    "three times gzip": (
        "gzip,gzip,x-gzip",
        lambda data: gzip.compress(gzip.compress(gzip.compress(data))),
    ),
}
packers = pytest.mark.parametrize(("coding", "pack"), PACKERS.values(), ids=PACKERS)


def decoder_for(coding: str) -> Decoder:
    decoder = make_decoder(coding)
    assert decoder is not None
    return decoder


def decode(coding: str, body: bytes, piece: int = 1 << 20, max_length: int = -1) -> bytes:
    """Feed `body` in pieces, take what is pending after each, and end it."""
    decoder = decoder_for(coding)
    out = bytearray()
    for at in range(0, len(body), piece):
        out += decoder.decompress(body[at : at + piece], max_length)
        while decoder.has_unconsumed_tail:
            out += decoder.decompress(b"", max_length)
    out += decoder.flush()
    return bytes(out)


@packers
@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("max_length", [-1, 1, 100, 10_000])
def test_a_body_comes_back_whole(
    coding: str, pack: Callable[[bytes], bytes], piece: int, max_length: int
) -> None:
    """Whatever the sizes of the pieces going in and coming out, the content is the same."""
    text = TEXT[:3000] if max_length == 1 else TEXT
    assert decode(coding, pack(text), piece, max_length) == text


@packers
def test_a_body_cut_short_anywhere_is_an_error(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """Every proper, non-empty beginning of a compressed body ends in `DecodeError`."""
    body = pack(b"a short body, cut at every place")
    for length in range(1, len(body)):
        with pytest.raises(DecodeError):
            decode(coding, body[:length])


@packers
def test_a_body_cut_short_is_an_error_when_streamed(
    coding: str, pack: Callable[[bytes], bytes]
) -> None:
    """The same with bounded reads, where the decoder works in many steps."""
    body = pack(TEXT)
    with pytest.raises(DecodeError, match="cut short"):
        decode(coding, body[:-1], piece=100, max_length=64)


@packers
def test_a_body_without_bytes_is_complete(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """HEAD, 204 and `Content-Length: 0` may name a coding and have nothing to decode."""
    pack(b"")
    assert decode(coding, b"") == b""
    decoder = decoder_for(coding)
    assert decoder.decompress(b"") + decoder.flush() == b""
    assert decoder.is_complete and not decoder.has_unconsumed_tail


@packers
def test_empty_content_in_a_coding_is_complete(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """Compressing nothing gives some bytes; they decode to nothing and are whole."""
    assert decode(coding, pack(b"")) == b""


@packers
def test_bytes_that_are_not_the_coding_are_a_decode_error(
    coding: str, pack: Callable[[bytes], bytes]
) -> None:
    """What the library raises arrives as urllib3's `DecodeError` naming the coding."""
    pack(b"")
    with pytest.raises(DecodeError, match="failed to decode it") as caught:
        decode(coding, b"<html>this was never compressed at all</html>")
    assert caught.value.__cause__ is not None


@packers
def test_a_bound_of_zero_keeps_the_input(coding: str, pack: Callable[[bytes], bytes]) -> None:
    """`max_length=0` gives nothing now and loses nothing."""
    packed = pack(TEXT)
    decoder = decoder_for(coding)
    assert decoder.decompress(packed, 0) == b""
    assert decoder.has_unconsumed_tail and not decoder.is_complete
    assert decoder.decompress(b"") == TEXT
    assert decoder.flush() == b""


def test_ending_twice_is_allowed() -> None:
    """Both a reader and its owner may declare the end; the answer does not change."""
    decoder = decoder_for("gzip")
    decoder.decompress(gzip.compress(TEXT)[:50])
    for _ in range(2):
        with pytest.raises(DecodeError):
            decoder.flush()


class TestGzipMembers:
    """One gzip body may be several members, and may be followed by what is not gzip."""

    @pytest.mark.parametrize("max_length", [-1, 10])
    @pytest.mark.parametrize("piece", [1, 5, 1000])
    def test_members_are_joined(self, piece: int, max_length: int) -> None:
        """Concatenated members decode to concatenated contents."""
        body = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two")
        assert decode("gzip", body, piece, max_length) == b"one, two"

    @pytest.mark.parametrize(
        "rest", [b"\0", b"\0" * 1000, b"rubbish", b"\x1f\x8b\x07", b"\x1f\x8bx" * 2000]
    )
    @pytest.mark.parametrize("max_length", [-1, 3])
    @pytest.mark.parametrize("piece", [1, 11, 100_000])
    def test_what_follows_the_last_member_is_ignored(
        self, rest: bytes, max_length: int, piece: int
    ) -> None:
        """Zero padding and rubbish do not spoil a body that was complete before them."""
        assert decode("gzip", gzip.compress(b"whole") + rest, piece, max_length) == b"whole"

    @pytest.mark.parametrize("length", [3, 10, 15, 24])
    def test_a_later_member_cut_short_is_an_error(self, length: int) -> None:
        """The first member being whole does not excuse the second."""
        body = gzip.compress(b"first") + gzip.compress(b"second member")[:length]
        with pytest.raises(DecodeError, match="cut short"):
            decode("gzip", body)

    def test_a_later_member_with_a_wrong_checksum_is_an_error(self) -> None:
        """Corruption is told from padding by how the bytes start."""
        second = bytearray(gzip.compress(b"second member"))
        second[-5] ^= 0xFF
        with pytest.raises(DecodeError):
            decode("gzip", gzip.compress(b"first") + bytes(second))

    def test_a_body_of_countless_empty_members_takes_linear_time(self) -> None:
        """100,000 empty members (2 MB) are worked through without copying the rest each time."""
        body = gzip.compress(b"") * 100_000
        assert decode("gzip", body) == b""


class TestBombs:
    """A few bytes that expand to very many stay few in memory while streaming."""

    @pytest.mark.parametrize("levels", [1, 2, 3])
    def test_output_and_memory_are_bounded(self, levels: int) -> None:
        """50 MB of zeros, compressed once to three times, read in pieces of 10 kB."""
        body = bytes(50_000_000)
        for _ in range(levels):
            body = gzip.compress(body, compresslevel=9)
        decoder = decoder_for(", ".join(["gzip"] * levels))
        tracemalloc.start()
        try:
            for _ in range(50):
                assert len(decoder.decompress(body, 10_000)) <= 10_000
                body = b""
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()
        assert decoder.has_unconsumed_tail

    def test_brotli_is_bounded(self) -> None:
        """brotli gives whole windows of output, still far below what the body expands to."""
        decoder = decoder_for("br") if "br" in supported_codings() else pytest.skip("no brotli")
        assert len(decoder.decompress(brotli_compress(bytes(10_000_000)), 10_000)) < 1_000_000
        assert decoder.has_unconsumed_tail

    def test_zstd_is_bounded(self) -> None:
        """zstd keeps exactly to the bound."""
        body = zstd_compress(bytes(50_000_000))
        decoder = decoder_for("zstd")
        assert len(decoder.decompress(body, 10_000)) == 10_000
        assert decoder.has_unconsumed_tail


class TestZstdFrames:
    """zstd bodies may be several frames."""

    @pytest.mark.parametrize("piece", [1, 9, 10_000])
    def test_frames_are_joined(self, piece: int) -> None:
        """Concatenated frames decode to concatenated contents."""
        body = zstd_compress(b"one, ") + zstd_compress(b"two")
        assert decode("zstd", body, piece) == b"one, two"

    def test_a_later_frame_cut_short_is_an_error(self) -> None:
        """The end of one frame is not taken for the end of the body."""
        body = zstd_compress(b"one, ") + zstd_compress(b"two")[:-1]
        with pytest.raises(DecodeError):
            decode("zstd", body)


class TestChoosing:
    """`make_decoder` reads the header's value."""

    @pytest.mark.parametrize("value", ["", "identity", "x-unheard-of", " , ", "utf-8"])
    def test_nothing_to_undo(self, value: str) -> None:
        """No coding, `identity`, and an unknown coding alone leave the body as it came."""
        assert make_decoder(value) is None

    @pytest.mark.parametrize(
        "value", ["gzip, x-unheard-of", "x-unheard-of, gzip", "gzip,aws-chunked"]
    )
    def test_a_chain_with_an_unknown_coding_is_an_error(self, value: str) -> None:
        """The body is compressed and cannot be undone: handing it over would pass for content."""
        with pytest.raises(DecodeError, match=r"cannot be undone: (x-unheard-of|aws-chunked)"):
            make_decoder(value)

    @pytest.mark.parametrize(
        "value", ["GZIP", " gzip ", "identity, gzip", "gzip, identity", ",gzip"]
    )
    def test_case_spaces_and_identity_do_not_matter(self, value: str) -> None:
        """The value is a list of tokens that compare without case."""
        assert decode(value, gzip.compress(b"x")) == b"x"

    def test_too_many_codings_are_refused(self) -> None:
        """A sixth coding is an error before a byte is decoded; five are worked through."""
        body = b"x"
        for _ in range(MAX_CODINGS):
            body = gzip.compress(body)
        assert decode(", ".join(["gzip"] * MAX_CODINGS), body) == b"x"
        with pytest.raises(DecodeError, match="Too many content encodings"):
            make_decoder(", ".join(["gzip"] * (MAX_CODINGS + 1)))

    def test_the_repr_names_the_codings_and_the_state(self) -> None:
        """For people who look at a response in a debugger."""
        decoder = decoder_for("deflate, gzip")
        assert repr(decoder) == "<Decoder deflate, gzip>"
        decoder.decompress(b"\x1f\x8b")
        assert repr(decoder) == "<Decoder deflate, gzip, incomplete>"


@settings(deadline=None, max_examples=60)
@given(
    content=st.binary(max_size=3000),
    levels=st.lists(st.sampled_from(["gzip", "deflate"]), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_any_pieces_and_any_bounds_give_the_same_content(
    content: bytes, levels: list[str], seed: int
) -> None:
    """Random cuts of the input and random bounds on the output, over random stacks."""
    source = random.Random(seed)
    body = content
    for coding in levels:
        body = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    decoder = decoder_for(", ".join(levels))
    out = bytearray()
    while body or decoder.has_unconsumed_tail:
        cut = source.randrange(0, 40) if body else 0
        out += decoder.decompress(body[:cut], source.choice([-1, 0, 1, 5, 300]))
        body = body[cut:]
    out += decoder.flush()
    assert bytes(out) == content


@packers
@pytest.mark.parametrize("size", [1, 7, -1])
def test_a_failed_decoder_fails_again(
    coding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    """After the first error every use is the same `DecodeError`, none the error of a library."""
    bad = pack(b"")[:0] + b"\xff" * 40  # first: `pack` skips the test where a library is missing
    decoder = decoder_for(coding)
    with pytest.raises(DecodeError) as first:
        for byte in bad:
            decoder.decompress(bytes([byte]), size)
            while decoder.has_unconsumed_tail:
                decoder.decompress(b"", size)
        decoder.flush()
    for use in (decoder.flush, lambda: decoder.decompress(b"", size)):
        with pytest.raises(DecodeError) as again:
            use()
        assert str(again.value) == str(first.value)
    assert not decoder.is_complete and "incomplete" in repr(decoder)
