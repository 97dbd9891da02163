"""The bytes of a body as they come, with a runtime whose clock is the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from pooledhttp.bulk.flow import Flow, TooLarge, TooSlow
from pooledhttp.bulk.names import naming
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.rates import Allowance
from pooledhttp.bulk.retrying import is_broken_body


class Clock:
    """A runtime that does not wait."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def flow(clock: Any, allowance: Allowance | None = None, size: int = 0, **options: Any) -> Flow:
    return Flow(Options(naming("last"), **options), allowance, clock, size)


def test_bytes_that_are_there_count_for_the_size() -> None:
    """Of an earlier attempt; the length that a server announces is enough to refuse."""
    piece = flow(Clock(), size=7, max_size=10)
    piece.expect(10)
    piece.take(3)
    with pytest.raises(TooLarge, match="more than 10 bytes"):
        piece.take(1)
    with pytest.raises(TooLarge):
        piece.expect(11)


def test_bodies_share_the_bytes_of_a_second() -> None:
    """Each waits for what it has taken."""
    clock, allowance = Clock(), Allowance(100.0)
    one, two = flow(clock, allowance), flow(clock, allowance)
    one.take(100)
    two.take(100)
    one.take(50)
    assert clock.slept == pytest.approx([1.0, 1.0])


def test_our_own_waits_do_not_make_a_body_slow() -> None:
    """A server that is too slow by itself is left, and asked again later."""
    clock = Clock()
    held = flow(clock, Allowance(5.0), low_speed=10.0)
    for _ in range(60):
        held.take(10)
        clock.time += 0.5
    slow = flow(clock, low_speed=10.0)
    with pytest.raises(TooSlow, match="less than 10 bytes/s for 60 seconds") as caught:
        for _ in range(70):
            clock.time += 1.0
            slow.take(9)
    assert is_broken_body(caught.value)
