"""Buffers are lent, come back, and are filled again; none is in two hands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pooledhttp.buffers import BufferPool


def giving(data: bytes) -> Callable[[memoryview], int]:
    """A read that brings `data`, as far as there is room."""

    def read_into(view: memoryview) -> int:
        part = data[: len(view)]
        view[: len(part)] = part
        return len(part)

    return read_into


def test_much_is_lent_and_little_is_copied() -> None:
    """A copy is small, and keeps no buffer."""
    pool = BufferPool(10)
    lent, copied = pool.fill(giving(b"12345"), 10), pool.fill(giving(b"abcd"), 10)
    assert type(lent) is memoryview and lent == b"12345"
    assert type(copied) is bytes and copied == b"abcd"
    assert pool.fill(giving(b"abcdefgh"), 3) == b"abc"
    assert pool.fill(giving(b""), 10) == b""
    assert lent == b"12345"


def test_a_lent_buffer_is_not_filled_before_it_is_released() -> None:
    """The one that was released last is filled first."""
    pool = BufferPool(4)
    one, two = pool.fill(giving(b"1111"), 4), pool.fill(giving(b"2222"), 4)
    assert (one, two) == (b"1111", b"2222")
    assert isinstance(one, memoryview) and isinstance(two, memoryview)
    buffers = [one.obj, two.obj]
    pool.release(one)
    pool.release(two)
    again = [pool.fill(giving(data), 4) for data in (b"3333", b"4444", b"5555")]
    assert [piece.obj for piece in again[:2] if isinstance(piece, memoryview)] == buffers[::-1]
    assert again == [b"3333", b"4444", b"5555"]


def test_a_view_is_of_no_use_after_its_release() -> None:
    """Neither to read from, nor to be released again: the buffer may be another's by then."""
    pool = BufferPool(4)
    piece = pool.fill(giving(b"abcd"), 4)
    pool.release(piece)
    with pytest.raises(ValueError, match="released"):
        bytes(piece)
    with pytest.raises(ValueError, match="released"):
        pool.release(piece)
    assert len(pool._free) == 1


def test_what_is_not_lent_is_not_taken() -> None:
    """Bytes, and views of something else."""
    pool = BufferPool(4)
    for piece in (b"abcd", memoryview(b"abcd"), memoryview(bytearray(5))):
        pool.release(piece)
    assert pool._free == []


@pytest.mark.parametrize("error", [BlockingIOError(), KeyboardInterrupt()])
def test_a_read_that_fails_leaves_the_buffer_free(error: BaseException) -> None:
    """Although the traceback of the error is kept."""
    pool = BufferPool(4)
    views: list[memoryview] = []

    def fail(view: memoryview) -> int:
        views.append(view)
        raise error

    with pytest.raises(type(error)) as kept:
        pool.fill(fail, 4)
    assert kept.value is error
    assert [len(buffer) for buffer in pool._free] == [4]
    with pytest.raises(ValueError, match="released"):
        bytes(views[0])
