"""Leases that are not used: reported once, with the line of the caller."""

from __future__ import annotations

import logging
import threading

import pytest

from pooledhttp.events import Leaked
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, is_watched

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_an_unused_lease_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """The report has the origin, age, thread, and the file and line of the caller."""
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


def test_acquire_also_looks_for_leaks(caplog: pytest.LogCaptureFixture) -> None:
    """Leaks are found without a sweeper."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    bench.clock.advance(11)
    bench.take("b").release()
    assert "not been used" in caplog.text
    lease.release()


def test_touching_and_calls_in_progress_count_as_use(caplog: pytest.LogCaptureFixture) -> None:
    """A slow response is no leak, and neither is a body that is read slowly."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    with lease.in_use():
        bench.clock.advance(60)
        bench.pool.sweep()
    bench.clock.advance(6)
    bench.pool.sweep()
    lease.touch()
    bench.clock.advance(6)
    bench.pool.sweep()
    assert not caplog.records
    bench.clock.advance(6)
    bench.pool.sweep()
    assert len(caplog.records) == 1


def test_each_lease_of_a_resource_is_watched_separately() -> None:
    """The report of an earlier lease does not affect the next one."""
    bench = Bench(PoolConfig(leak_threshold=10, idle_timeout=None))
    for leaks in (1, 2):
        lease = bench.take()
        bench.clock.advance(11)
        bench.pool.sweep()
        assert lease.resource == 1 and bench.pool.stats().origins["a"].leaks == leaks
        lease.release()


def test_without_a_threshold_no_lease_is_watched() -> None:
    """No frames are read and no times are taken."""
    bench = Bench()
    lease = bench.take()
    bench.clock.advance(1e6)
    bench.pool.sweep()
    assert not is_watched(lease) and not lease.busy
    assert bench.pool.stats().total.leaks == 0
    lease.release()


def test_calls_in_progress_can_be_nested_and_raise() -> None:
    """A lease is in use until the last call ends, however it ends."""
    bench = Bench(PoolConfig(leak_threshold=10))
    lease = bench.take()
    with pytest.raises(ValueError), lease.in_use():
        with lease.in_use():
            pass
        bench.clock.advance(60)
        bench.pool.sweep()
        assert lease.busy
        raise ValueError
    assert not lease.busy
    bench.clock.advance(9)
    bench.pool.sweep()
    assert bench.pool.stats().total.leaks == 0, "the end of a call is use"
    bench.clock.advance(2)
    bench.pool.sweep()
    assert bench.pool.stats().total.leaks == 1


def test_a_call_in_progress_outlives_a_replaced_resource() -> None:
    """A lease whose dead resource is replaced during a call is still in use."""
    bench = Bench(PoolConfig(leak_threshold=10))
    bench.add_idle()
    lease = bench.take()
    with lease.in_use():
        lease.found_stale()
        bench.clock.advance(60)
        bench.pool.sweep()
    assert not lease.busy and bench.pool.stats().total.leaks == 0


def test_a_call_in_progress_costs_nothing_without_leak_detection() -> None:
    """`in_use` works on any lease, also on one that has ended."""
    bench = Bench()
    lease = bench.take()
    with lease.in_use():
        assert not lease.busy
    lease.release()
    with lease.in_use():
        pass


def test_a_timeout_names_the_threads_without_leak_detection() -> None:
    """Origin, seconds and thread of each lease in the way; a thread that has ended has no name."""
    bench = Bench(PoolConfig(max_per_host=2))
    mine = bench.take()
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(bench.take()), name="worker")
    thread.start()
    thread.join()
    bench.clock.advance(2)
    with pytest.raises(PoolTimeout) as caught:
        bench.take(seconds=0)
    here = threading.current_thread().name
    assert set(caught.value.holders) == {
        f"a for 2.0 s in {here}",
        "a for 2.0 s in a thread that has ended",
    }
    mine.release()
