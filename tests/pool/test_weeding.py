"""Idle resources that a minimum keeps are looked at while nobody uses them."""

from __future__ import annotations

import pytest

from pooledhttp.events import StaleFound
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, check_state


def test_dead_ones_are_closed_from_the_oldest_to_the_first_live_one() -> None:
    """Each costs one probe; requests are not counted by it, and the minimum is short then."""
    bench = Bench(PoolConfig(min_idle=3))
    first, second, third = bench.shelve(count=3)
    bench.dead = {first, second}
    before = bench.pool.stats().total
    bench.clock.advance(60)
    bench.pool.probe_idle()
    after = bench.pool.stats().total
    assert bench.closed == [first, second] and bench.idle() == [third]
    assert bench.probed == [first, second, third]
    assert (after.acquired, after.hold, after.active) == (before.acquired, before.hold, 0)
    assert after.stale_found == 2 and after.closed == {"stale": 2}
    assert [event for event in bench.events if isinstance(event, StaleFound)] == [
        StaleFound("a", 60.0)
    ] * 2
    assert bench.pool.shortage() == [("a", 2)]
    check_state(bench.pool)


def test_live_ones_stay_where_they_are() -> None:
    """The order on the shelf and the time they have been idle are not touched."""
    bench = Bench(PoolConfig(min_idle=2))
    numbers = bench.shelve(count=2)
    bench.clock.advance(20)
    bench.pool.probe_idle()
    lease = bench.take()
    assert lease.resource == numbers[1] and lease.idle_seconds == 20
    lease.release()
    assert bench.closed == []
    check_state(bench.pool)


def test_keys_without_a_minimum_are_left_alone() -> None:
    """Their idle resources are probed when they are taken, not before."""
    bench = Bench()
    bench.shelve()
    bench.pool.probe_idle()
    assert bench.probed == []


def test_a_probe_that_is_interrupted_loses_nothing() -> None:
    """Ctrl-C in a probe closes that resource; the books stay right."""

    def interrupted(number: int) -> bool:
        raise KeyboardInterrupt

    bench = Bench(PoolConfig(min_idle=1), is_alive=interrupted)
    numbers = bench.shelve()
    with pytest.raises(KeyboardInterrupt):
        bench.pool.probe_idle()
    assert bench.closed == numbers
    bench.take().release()
    check_state(bench.pool)
