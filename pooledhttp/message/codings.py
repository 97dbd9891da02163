"""Stages: each undoes one content coding, and knows whether its stream has ended.

- gzip and deflate are driven through `zlib` directly, because two facts are needed that urllib3's
  decoders do not keep: where a gzip member begins (bytes after the last member are either another
  member or padding to ignore), and whether zlib still holds output back when all input is gone.
- brotli and zstd are urllib3's own decoders, asked for their end mark; urllib3 finds the library.

`decoding` joins stages to the decoder of a body.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import urllib3.response
from urllib3.response import ContentDecoder

__all__ = ["BAD_INPUT", "Stage", "new_stage"]

#: Bytes of input given to a library at once where one stream may follow another. What lies behind
#: the end of a stream is copied each time one ends: without this, a body of ten million bytes made
#: of empty members would be copied half a million times.
_SLICE = 4 * 1024

#: zlib window settings: gzip wrapper, zlib wrapper, no wrapper.
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS

#: What each gzip member starts with: two magic bytes and the only compression method there is.
_MEMBER = b"\x1f\x8b\x08"

#: Errors by which the libraries say "this is not what the header promised".
BAD_INPUT: tuple[type[Exception], ...] = (
    *urllib3.response.HTTPResponse.DECODER_ERROR_CLASSES,
    EOFError,
)


class Stage(Protocol):
    """One coding being undone."""

    @property
    def pending(self) -> bool:
        """Whether more output may come without more input."""

    @property
    def finished(self) -> bool:
        """Whether the stream's own end mark was seen."""

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode `data` after what is pending, giving about `room` bytes at most (-1: all)."""


class _Inflater:
    """One zlib stream that never loses output: it knows when zlib is holding some back."""

    __slots__ = ("_rest", "_withholds", "_zlib")

    def __init__(self, window: int) -> None:
        self._zlib = zlib.decompressobj(window)
        self._rest = b""
        self._withholds = False

    @property
    def pending(self) -> bool:
        return not self.finished and (bool(self._rest) or self._withholds)

    @property
    def finished(self) -> bool:
        return self._zlib.eof

    @property
    def surplus(self) -> bytes:
        """What followed the end mark."""
        return self._zlib.unused_data

    def feed(self, data: bytes, room: int) -> bytes:
        if self.finished:
            return b""
        out = self._zlib.decompress(self._rest + data, max(room, 0))
        self._rest = self._zlib.unconsumed_tail
        # Full output may be cut in the middle of a match whose input zlib has already taken in.
        self._withholds = 0 < room <= len(out)
        return out


class _Deflate:
    """`deflate`: the zlib wrapper the RFC asks for, or the bare stream some servers send.

    The two are told apart by the two bytes a zlib wrapper starts with. Until both are there nothing
    is decoded; a bare stream of a single byte does not exist.
    """

    __slots__ = ("_head", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream: _Inflater | None = None

    @property
    def pending(self) -> bool:
        return self._stream is not None and self._stream.pending

    @property
    def finished(self) -> bool:
        return self._stream is not None and self._stream.finished

    def feed(self, data: bytes, room: int) -> bytes:
        if self._stream is None:
            self._head += data
            if len(self._head) < 2:
                return b""
            data, self._head = self._head, b""
            self._stream = _Inflater(_ZLIB if _has_zlib_header(data) else _RAW)
        return self._stream.feed(data, room)


def _has_zlib_header(data: bytes) -> bool:
    """RFC 1950: method 8, a window of at most 32 KiB, and a check that divides by 31.

    A bare deflate stream can pass this only with a first block of type "stored" whose unused header
    bits are set, which no compressor writes.
    """
    return data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


class _Gzip:
    r"""`gzip`: any number of members, then padding, which is ignored as gzip itself does.

        first member -> (between) -> member -> (between) -> ... -> ignoring
                             \__ bytes that cannot start a member __/

    The first member has to be one. Later bytes count as a member when they start like one; from
    then on an error in them, or their sudden end, is an error of the body.
    """

    __slots__ = ("_held", "_ignoring", "_is_first", "_member")

    def __init__(self) -> None:
        self._member: _Inflater | None = _Inflater(_GZIP)
        self._is_first = True
        self._held = b""  # input that no member has been given yet
        self._ignoring = False

    @property
    def pending(self) -> bool:
        if self._member is None:
            return self._held.startswith(_MEMBER)
        return bool(self._held) or self._member.pending

    @property
    def finished(self) -> bool:
        return self._member is None and not self._held.startswith(_MEMBER)

    def feed(self, data: bytes, room: int) -> bytes:
        data, at, out = self._held + data, 0, bytearray()
        while not self._ignoring:
            if self._member is None and not self._begin_member(data[at : at + len(_MEMBER)]):
                break
            member = self._member
            assert member is not None
            part = data[at:] if self._is_first else data[at : at + _SLICE]
            at += len(part)
            out += member.feed(part, room if room < 0 else room - len(out))
            if member.finished:
                self._member, self._is_first = None, False
                data, at = _step_back(data, at, member.surplus)
            elif at == len(data):
                break
            if 0 <= room <= len(out):
                break
        self._held = b"" if self._ignoring else data[at:]
        return bytes(out)

    def _begin_member(self, start: bytes) -> bool:
        """Begin a member if the bytes look like one; too few of them leave it open."""
        if start == _MEMBER:
            self._member = _Inflater(_GZIP)
            return True
        self._ignoring = not _MEMBER.startswith(start)
        return False


def _step_back(data: bytes, at: int, surplus: bytes) -> tuple[bytes, int]:
    """Where to go on in the input when the last `surplus` bytes of it were not used.

    They can reach back further than this input does: then they come from what zlib had kept.
    """
    if len(surplus) <= at:
        return data, at - len(surplus)
    return surplus + data[at:], 0


class _Foreign:
    """A coding undone by one of urllib3's decoders; the end mark is asked of the library below."""

    __slots__ = ("_decoder", "_end_mark", "_withholds")

    def __init__(self, decoder: ContentDecoder, end_mark: str) -> None:
        self._decoder = decoder
        self._end_mark = end_mark
        self._withholds = False

    @property
    def pending(self) -> bool:
        if self._saw_end():
            return False
        return self._withholds or self._decoder.has_unconsumed_tail

    @property
    def finished(self) -> bool:
        return self._saw_end() is not False

    def feed(self, data: bytes, room: int) -> bytes:
        out = self._decoder.decompress(data, max_length=room)
        # brotli, too, can have taken in all input and still hold output back.
        self._withholds = 0 < room <= len(out)
        return out

    def _saw_end(self) -> bool | None:
        """Whether the end mark was seen; `None` when the library is too old to tell."""
        mark = getattr(getattr(self._decoder, "_obj", None), self._end_mark, None)
        return None if mark is None else bool(mark() if callable(mark) else mark)


class _Zstd(_Foreign):
    """`zstd`: several frames may follow each other, as gzip members do."""

    __slots__ = ("_held",)

    def __init__(self, decoder: ContentDecoder) -> None:
        super().__init__(decoder, "eof")
        self._held = b""

    @property
    def pending(self) -> bool:
        return bool(self._held) or self._decoder.has_unconsumed_tail

    @property
    def finished(self) -> bool:
        return not self._held and super().finished

    def feed(self, data: bytes, room: int) -> bytes:
        data, at, out = self._held + data, 0, bytearray()
        while True:
            part = data[at : at + _SLICE]
            at += len(part)
            out += super().feed(part, room if room < 0 else room - len(out))
            if at == len(data) or 0 <= room <= len(out):
                break
        self._held = data[at:]
        return bytes(out)


def new_stage(coding: str) -> Stage:
    """Make the stage for one coding that is supported."""
    if coding in ("gzip", "x-gzip"):
        return _Gzip()
    if coding == "deflate":
        return _Deflate()
    decoder = urllib3.response._get_decoder(coding)
    return _Zstd(decoder) if coding == "zstd" else _Foreign(decoder, "is_finished")
