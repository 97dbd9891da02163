"""Leases that nobody uses: found once, named with the caller's line."""

from __future__ import annotations

import logging

import pytest

from pooledhttp.events import Leaked
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, is_watched

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_a_lease_nobody_uses_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """With origin, age, thread and the caller's file and line."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    bench.clock.advance(11)
    with caplog.at_level(logging.WARNING):
        bench.pool.sweep()
        bench.pool.sweep()
    assert len(caplog.records) == 1
    assert "not been used for 11.0 s" in caplog.text and "MainThread" in caplog.text
    leaks = [event for event in bench.events if isinstance(event, Leaked)]
    assert len(leaks) == 1 and "tools.py" in leaks[0].where and leaks[0].age_seconds == 11
    assert bench.pool.stats().origins["a"].leaks == 1
    lease.release()
    assert bench.pool.stats().origins["a"].leaks == 1


def test_any_acquire_looks_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """Leaks are found without a sweeper, by whoever uses the pool."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    bench.clock.advance(11)
    bench.take("b").release()
    assert "not been used" in caplog.text
    lease.release()


def test_touching_and_calls_in_progress_are_use(caplog: pytest.LogCaptureFixture) -> None:
    """A slow answer is no leak, nor is a body that is read bit by bit."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    lease.busy = True
    bench.clock.advance(60)
    bench.pool.sweep()
    lease.busy = False
    bench.clock.advance(6)
    bench.pool.sweep()
    lease.touch()
    bench.clock.advance(6)
    bench.pool.sweep()
    assert not caplog.records
    bench.clock.advance(6)
    bench.pool.sweep()
    assert len(caplog.records) == 1


def test_each_lease_of_a_resource_is_watched_anew() -> None:
    """That an earlier lease was reported says nothing of the next."""
    bench = Bench(PoolConfig(leak_threshold=10, idle_timeout=None))
    for leaks in (1, 2):
        lease = bench.take()
        bench.clock.advance(11)
        bench.pool.sweep()
        assert lease.resource == 1 and bench.pool.stats().origins["a"].leaks == leaks
        lease.release()


def test_nothing_is_looked_for_without_a_threshold() -> None:
    """No frames are walked and no times are taken unless it was asked for."""
    bench = Bench()
    lease = bench.take()
    bench.clock.advance(1e6)
    bench.pool.sweep()
    assert not is_watched(lease) and not lease.busy
    assert bench.pool.stats().total.leaks == 0
    lease.release()
