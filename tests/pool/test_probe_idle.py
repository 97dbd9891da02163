"""Idle resources that a minimum keeps are probed while they are not used."""

from __future__ import annotations

import pytest

from pooledhttp.events import StaleFound
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, check_state


def test_dead_resources_are_closed_from_the_oldest_to_the_first_alive() -> None:
    """Each costs one probe, none counts as a request, and the shortage is reported."""
    bench = Bench(PoolConfig(min_idle=3))
    first, second, third = bench.add_idle(count=3)
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


def test_live_resources_keep_their_order_and_idle_age() -> None:
    """A probe does not count as use."""
    bench = Bench(PoolConfig(min_idle=2))
    numbers = bench.add_idle(count=2)
    bench.clock.advance(20)
    bench.pool.probe_idle()
    lease = bench.take()
    assert lease.resource == numbers[1] and lease.idle_seconds == 20
    lease.release()
    assert bench.closed == []
    check_state(bench.pool)


def test_keys_without_a_minimum_are_not_probed() -> None:
    """Their idle resources are probed when they are acquired."""
    bench = Bench()
    bench.add_idle()
    bench.pool.probe_idle()
    assert bench.probed == []


def test_an_interrupted_probe_loses_nothing() -> None:
    """Ctrl-C in a probe closes that resource; the counters stay right."""

    def interrupted(number: int) -> bool:
        raise KeyboardInterrupt

    bench = Bench(PoolConfig(min_idle=1), is_alive=interrupted)
    numbers = bench.add_idle()
    with pytest.raises(KeyboardInterrupt):
        bench.pool.probe_idle()
    assert bench.closed == numbers
    bench.take().release()
    check_state(bench.pool)
