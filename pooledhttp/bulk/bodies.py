"""Reads a body from a response piece by piece, and writes it to a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.exceptions import RequestException
from pooledhttp.message import BodyErrors

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["MEASURED_BYTES", "PIECE_BYTES", "pieces", "translate", "write_all"]

_ERRORS = BodyErrors()

#: Pieces written in one call; missing on Windows.
_writev = getattr(os, "writev", None)
_MOST_AT_ONCE = 256

#: Bytes asked of a response, and handed to the disk, at a time. Python code runs for each piece,
#: not for each byte. But pieces of twice the size cost the kernel up to a third more time where a
#: core has 512 KiB of cache: when they are written, they are not there any more.
PIECE_BYTES = 128 * 1024

#: The same for a body whose rate is limited: the wait after a piece is in proportion to it.
MEASURED_BYTES = 64 * 1024


def pieces(response: Response, buffers: BufferPool, *, coded: bool) -> Iterator[Piece]:
    """Return an iterator over the body: as it was sent, or decoded.

    As it was sent, it comes in pieces as they arrive: `iter_content` would wait until one is full,
    and what a slow server has sent would not be in the part when the run is killed. What the
    iterator raises is for `translate`.

    Args:
        response: Its body has not been read.
        buffers: Where pieces may lie. None is larger than a buffer.
        coded: Whether to yield the body as it was sent.
    """
    direct = getattr(response, "_arriving", None)  # missing where an adapter makes its own
    found: Iterator[Piece] | None = None if direct is None else direct(buffers)
    if found is not None:
        return found
    is_read = getattr(response, "_content_consumed", False)  # by a hook, say
    read1 = getattr(response.raw, "read1", None)
    if is_read or read1 is None or not coded:
        return response.iter_content(buffers.size)
    return iter(partial(read1, buffers.size, decode_content=False), b"")


def translate(error: BaseException) -> BaseException:
    """Return what `iter_content` raises for an error of a body; any other error as it is."""
    # Some of our own classes are urllib3's as well: `iter_content` has translated these already.
    if isinstance(error, HTTPError) and not isinstance(error, RequestException):
        return _ERRORS.translate(error, None)
    return error


def write_all(fd: int, pieces: Sequence[Piece]) -> None:
    """Write all of some pieces: on a disk that is nearly full, one call writes what still fits.

    Args:
        fd: The descriptor of a file.
        pieces: What to write.

    Raises:
        OSError: There is no room for more.
    """
    left = pieces
    while left:
        if len(left) == 1 or _writev is None:
            written = os.write(fd, left[0])
        else:
            written = _writev(fd, left[:_MOST_AT_ONCE])
        if written == sum(map(len, left)):  # as a rule
            return
        left = _behind(left, written)


def _behind(pieces: Sequence[Piece], written: int) -> list[Piece]:
    """Return what is behind the bytes that were written."""
    left = list(pieces)
    while left and written >= len(left[0]):
        written -= len(left.pop(0))
    if written:
        left[0] = memoryview(left[0])[written:]
    return left
