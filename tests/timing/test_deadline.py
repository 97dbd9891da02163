"""Deadlines on a clock that the test turns."""

from __future__ import annotations

import math

import pytest

from pooledhttp.timing import Deadline
from tests.support.clock import FakeClock


def test_remaining_counts_down_to_zero_and_stays() -> None:
    """What remains shrinks as time passes and is never negative."""
    clock = FakeClock()
    deadline = Deadline.after(5, clock.now)
    assert deadline.remaining() == 5
    clock.advance(3)
    assert deadline.remaining() == 2
    assert not deadline.expired
    clock.advance(2)
    assert deadline.remaining() == 0.0
    assert deadline.expired
    clock.advance(100)
    assert deadline.remaining() == 0.0


def test_never_does_not_look_at_the_clock() -> None:
    """A deadline that never comes has infinity left, and costs no reading."""

    def broken() -> float:
        raise AssertionError("the clock was read")

    never = Deadline.never(broken)
    assert never.remaining() == math.inf
    assert not never.expired
    assert never.sooner(None) is never
    assert Deadline.after(None, broken).at == math.inf
    assert Deadline.never().remaining() == math.inf


def test_sooner_is_the_shorter_of_both() -> None:
    """A step's own limit cannot outlive the whole, nor the whole the step."""
    clock = FakeClock()
    whole = Deadline.after(10, clock.now)
    assert whole.sooner(3).remaining() == 3
    assert whole.sooner(30) is whole
    assert whole.sooner(None) is whole
    assert whole.sooner(0).expired
    clock.advance(9)
    assert whole.sooner(3).remaining() == 1
    assert Deadline.never(clock.now).sooner(2).remaining() == 2


def test_negative_durations_are_over_at_once() -> None:
    """What a computation leaves below zero is no time at all."""
    assert Deadline.after(-1, FakeClock().now).expired


def test_repr_tells_the_truth() -> None:
    """The text says how far off it is, before and after."""
    clock = FakeClock()
    deadline = Deadline.after(1.5, clock.now)
    assert repr(deadline) == "<Deadline in 1.500 s>"
    clock.advance(2)
    assert repr(deadline) == "<Deadline 0.500 s ago>"
    assert repr(Deadline.never()) == "<Deadline never>"


def test_it_is_a_small_object() -> None:
    """Made several times per request, it has no dictionary."""
    assert not hasattr(Deadline.never(), "__dict__")


def test_the_fake_clock_does_not_go_back() -> None:
    """Turning it back is a mistake of the test."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="turned back"):
        clock.advance(-1)
    assert clock() == clock.now()
