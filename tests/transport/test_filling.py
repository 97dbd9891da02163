"""Bytes of a known size, made without a copy."""

from __future__ import annotations

import gc
import time

import pytest

import pooledhttp
from pooledhttp.transport.filling import FIRST_BYTES, filled_bytes
from tests.support.scripted import Peer, ScriptedServer, respond


def writer_of(data: bytes, step: int) -> tuple[list[int], object]:
    """A function that writes `data` in steps, and the sizes of the views that it was given."""
    sizes: list[int] = []
    rest = memoryview(data)

    def fill(view: memoryview) -> int:
        nonlocal rest
        sizes.append(len(view))
        count = min(step, len(view), len(rest))
        view[:count] = rest[:count]
        rest = rest[count:]
        return count

    return sizes, fill


@pytest.mark.parametrize("size", [0, 1, 5000, FIRST_BYTES, 3 * FIRST_BYTES + 7])
def test_all_bytes_arrive(size: int) -> None:
    """The result has the announced size, in steps that fit or not."""
    data = bytes(range(251)) * (size // 251 + 1)
    _, fill = writer_of(data[:size], 700_001)
    assert filled_bytes(size, fill) == data[:size]  # type: ignore[arg-type]


def test_the_end_may_come_early() -> None:
    """Fewer bytes than announced are what is returned."""
    _, fill = writer_of(b"hello", 2)
    assert filled_bytes(1000, fill) == b"hello"  # type: ignore[arg-type]


def test_bytes_before_an_error_are_kept_if_asked() -> None:
    """The error is left to the next call; without bytes it is raised."""

    def fill(view: memoryview) -> int:
        if len(view) < 10:
            raise TimeoutError
        view[:4] = b"half"
        return 4

    assert filled_bytes(10, fill, is_partial_good=True) == b"half"
    for size, is_partial_good in ((10, False), (9, True)):
        with pytest.raises(TimeoutError):
            filled_bytes(size, fill, is_partial_good=is_partial_good)


def test_memory_grows_with_what_arrives() -> None:
    """A terabyte that is announced is not allocated."""
    sizes, fill = writer_of(b"x" * (FIRST_BYTES + 1), FIRST_BYTES)
    assert len(filled_bytes(10**12, fill)) == FIRST_BYTES + 1  # type: ignore[arg-type]
    assert max(sizes) <= 2 * FIRST_BYTES


@pytest.mark.parametrize("done", [0, 5])
def test_no_view_outlives_an_error(done: int) -> None:
    """A view that a traceback keeps is released: the collector of Python 3.12.1 crashes on one."""
    views = []

    def fill(view: memoryview) -> int:
        views.append(view)
        if len(views) > bool(done):
            raise ConnectionResetError
        return done

    with pytest.raises(ConnectionResetError):
        filled_bytes(10, fill)
    for view in views:
        with pytest.raises(ValueError, match="released"):
            len(view)


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "stalled"])
def test_no_view_outlives_the_error_of_a_request(is_cut: bool) -> None:
    """The same, for a whole request whose body does not arrive whole, while its error is kept."""

    def handle(peer: Peer) -> None:
        head, _, body = respond(b"0123456789").partition(b"\r\n\r\n")
        peer.read_request()
        peer.send(head + b"\r\n\r\n")
        for byte in body[:5]:
            peer.send(bytes([byte]))
            time.sleep(0.01)  # the pieces have to arrive one by one
        if is_cut:
            peer.close()
        peer.wait_closed()

    with ScriptedServer(handle) as server:
        with pytest.raises(pooledhttp.RequestException) as caught:
            pooledhttp.get(server.url(), timeout=5 if is_cut else 0.15)
        owners = [one.obj for one in gc.get_objects() if is_live_view(one)]
        assert [one for one in owners if type(one).__name__ == "_BytesIOBuffer"] == []
        assert caught.value.__cause__ is not None


def is_live_view(item: object) -> bool:
    try:
        return type(item) is memoryview and item.obj is not None
    except ValueError:
        return False
