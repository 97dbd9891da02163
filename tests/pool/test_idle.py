"""What is kept idle, for how long, and what is closed when there is no room."""

from __future__ import annotations

import logging
from random import Random

import pytest

from pooledhttp.events import IdleOverflow
from pooledhttp.pool import Limits, PoolConfig
from tests.pool.tools import Bench, check_state, inside, note_swept_keys

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_idle_resources_expire() -> None:
    """After `idle_timeout` a resource is closed, with and without a sweep."""
    bench = Bench(PoolConfig(idle_timeout=30))
    bench.add_idle("a")
    bench.add_idle("b")
    bench.clock.advance(29)
    assert bench.pool.sweep() == pytest.approx(1.0)
    bench.clock.advance(1)
    lease = bench.take("a")
    assert lease.resource == 3
    bench.pool.sweep()
    assert bench.closed == [1, 2]
    assert bench.pool.stats().total.closed == {"idle_timeout": 2}


def test_a_release_closes_an_idle_resource_that_is_no_longer_needed() -> None:
    """The surplus of a burst is closed one by one, without a sweep."""
    bench = Bench(PoolConfig(idle_timeout=30))
    bench.add_idle(count=5)
    for _ in range(12):
        lease = bench.take()
        bench.clock.advance(5)
        lease.release()
    assert bench.idle() == [5]


def test_a_sweep_looks_only_at_keys_that_may_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sweep costs depends on what may have expired, not on what is open."""
    bench = Bench(PoolConfig(idle_timeout=30))
    names = [str(number) for number in range(300)]
    for name in names:
        bench.add_idle(name)
    looked_at = note_swept_keys(monkeypatch)
    for _ in range(29):
        bench.clock.advance(1)
        bench.take("7").release()
        bench.pool.sweep()
    assert looked_at == []
    bench.clock.advance(1)
    bench.pool.sweep()
    assert sorted(looked_at) == sorted(names)
    assert bench.idle("7") and len(bench.closed) == 299
    bench.clock.advance(28)
    bench.pool.sweep()
    assert len(looked_at) == 300
    bench.clock.advance(1)
    bench.pool.sweep()
    assert len(bench.closed) == 300
    check_state(bench.pool)


def test_a_sweep_notices_a_learned_idle_limit() -> None:
    """If one is found closed by the peer, the others that are idle as long are closed too."""
    bench = Bench(PoolConfig(idle_timeout=100))
    first, second = bench.add_idle(count=2)
    bench.clock.advance(20)
    bench.dead.add(second)
    lease = bench.take()
    bench.pool.sweep()
    assert bench.closed == [second, first]
    lease.release()


def test_a_sweep_notices_an_announced_idle_limit() -> None:
    """A limit that the peer announces later than the first release is kept to."""
    bench = Bench(PoolConfig(idle_timeout=100))
    bench.add_idle()
    bench.clock.advance(5)
    bench.take().release(announced_seconds=10)
    bench.clock.advance(11)
    bench.pool.sweep()
    assert bench.closed == [1]


def test_a_sweep_notices_the_lifetime_of_one_that_was_in_use() -> None:
    """One that is released after a younger one can be the first to expire."""
    bench = Bench(PoolConfig(idle_timeout=100, max_lifetime=50, lifetime_jitter=0))
    old = bench.take()
    bench.clock.advance(5)
    bench.add_idle()
    old.release()
    bench.clock.advance(46)
    bench.pool.sweep()
    assert bench.closed == [1] and bench.idle() == [2]


def test_a_sweep_notices_new_settings() -> None:
    """A shorter idle timeout holds for what is idle already."""
    bench = Bench(PoolConfig(idle_timeout=100))
    bench.add_idle()
    bench.clock.advance(20)
    bench.pool.resize(PoolConfig(idle_timeout=15))
    bench.pool.sweep()
    assert bench.closed == [1]


def test_a_sweep_notices_what_is_not_needed_for_the_minimum_any_more() -> None:
    """One of the minimum has an idle timeout as soon as a younger one takes its place."""
    bench = Bench(PoolConfig(min_idle=1, idle_timeout=20))
    first, second = bench.take(), bench.take()
    first.release()
    bench.clock.advance(5)
    second.release()
    bench.clock.advance(16)
    bench.pool.sweep()
    assert bench.closed == [1] and bench.idle() == [2]


def test_lifetimes_end_with_a_jitter() -> None:
    """A resource is not used beyond its lifetime, which is shortened at random."""
    bench = Bench(PoolConfig(idle_timeout=None, max_lifetime=100, lifetime_jitter=0.2))
    bench.add_idle(count=50)
    bench.clock.advance(79.9)
    bench.pool.sweep()
    assert bench.closed == []
    bench.clock.advance(10)
    bench.pool.sweep()
    assert 10 < len(bench.closed) < 40
    bench.clock.advance(10.2)
    bench.pool.sweep()
    assert len(bench.closed) == 50


def test_a_resource_in_use_is_closed_after_its_lease() -> None:
    """The end of its lifetime does not interrupt a lease."""
    bench = Bench(PoolConfig(max_lifetime=10, lifetime_jitter=0))
    lease = bench.take()
    bench.clock.advance(11)
    assert bench.closed == []
    lease.release()
    assert bench.closed == [1]
    assert bench.pool.stats().total.closed == {"max_lifetime": 1}


def test_a_resource_serves_at_most_max_requests() -> None:
    """After `max_requests` leases it is closed."""
    bench = Bench(PoolConfig(max_requests=3))
    for _ in range(3):
        lease = bench.take()
        assert lease.resource == 1
        lease.release()
    assert bench.closed == [1]
    assert bench.take().resource == 2


def test_a_host_at_its_idle_limit_loses_its_oldest() -> None:
    """The newest are kept; each close is counted and an event is emitted."""
    bench = Bench(PoolConfig(max_idle_per_host=2))
    bench.add_idle(count=4)
    assert bench.idle() == [3, 4] and bench.closed == [1, 2]
    assert bench.pool.stats().origins["a"].exhausted == 2
    assert bench.events.count(IdleOverflow("a")) == 2


def test_an_idle_limit_of_zero_keeps_nothing() -> None:
    """Each resource is closed at its release."""
    for config in (PoolConfig(max_idle_per_host=0), PoolConfig(max_idle_total=0)):
        bench = Bench(config)
        bench.add_idle()
        assert bench.closed == [1] and bench.pool.is_empty


def test_at_the_total_idle_limit_the_key_with_most_idle_loses_its_oldest() -> None:
    """One busy host does not displace the connections of other hosts."""
    bench = Bench(PoolConfig(max_idle_total=6))
    bench.add_idle("a", 4)
    bench.add_idle("b", 2)
    bench.add_idle("c", 1)
    assert bench.closed == [1]
    assert bench.idle("a") == [2, 3, 4]


def test_at_the_total_idle_limit_a_random_key_loses_its_only_one() -> None:
    """Visits to more hosts than can be kept idle still reuse some connections."""
    bench = Bench(PoolConfig(max_idle_total=80), random=Random(5))
    for _ in range(10):
        for host in range(100):
            bench.take(f"host{host}").release()
    assert bench.pool.stats().total.reuse_rate > 0.4


@pytest.mark.parametrize("hosts", [200, 257, 900])
def test_every_host_is_kept_with_default_settings(hosts: int) -> None:
    """Hosts visited in turn, five times, are dialled once each."""
    bench = Bench(PoolConfig(max_idle_total=1024))
    for _ in range(5):
        for host in range(hosts):
            bench.take(f"host{host}").release()
    assert bench.pool.stats().total.created == hosts


@pytest.mark.parametrize("size", [8, 32, 64])
def test_bursts_are_kept_with_default_settings(size: int) -> None:
    """Twenty bursts open as many connections as one burst has requests."""
    bench = Bench(PoolConfig(max_idle_total=256))
    for _ in range(20):
        leases = [bench.take() for _ in range(size)]
        for lease in leases:
            lease.release()
    assert bench.pool.stats().total.created == size


def test_room_for_another_key_is_made_by_the_key_with_most_idle() -> None:
    """If only the limit of the pool is in the way, no caller waits while a resource is idle."""
    bench = Bench(PoolConfig(max_total=3, acquire_timeout=0))
    bench.add_idle("a", 2)
    bench.add_idle("b", 1)
    lease = bench.take("c")
    assert lease.resource == 4 and bench.closed == [1]
    assert bench.pool.stats().origins["a"].closed == {"made_room": 1}
    check_state(bench.pool)


def test_a_resource_that_makes_room_is_closed_before_its_room_is_used() -> None:
    """The number of open sockets never exceeds the maximum."""
    open_now: set[int] = set()
    bench = Bench(PoolConfig(max_total=1, acquire_timeout=0))
    inside(bench.pool).close_with(open_now.remove)
    for key in "abcab":
        lease = bench.pool.acquire(key, bench.clock.deadline(None))
        assert not open_now
        open_now.add(7)
        lease.fill(7)
        lease.release()


def test_overflow_is_logged_once_a_minute_with_the_setting_to_raise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line, not one for each connection."""
    bench = Bench(PoolConfig(max_idle_per_host=2, idle_timeout=None))
    with caplog.at_level(logging.WARNING):
        bench.add_idle(count=7)
        assert len(caplog.records) == 1
        assert "Set max_idle_per_host to 7" in caplog.text
        bench.clock.advance(61)
        bench.add_idle(count=7)
    assert len(caplog.records) == 2


def test_evicting_closes_idle_ones_now_and_the_others_later() -> None:
    """Other keys and later leases are not affected."""
    bench = Bench()
    bench.add_idle("a", 2)
    held = bench.take("a")
    bench.add_idle("b")
    assert bench.pool.evict("a") == 2
    assert bench.closed == [1]
    held.release()
    assert bench.closed == [1, 2] and bench.idle("b") == [3]
    assert bench.pool.evict(lambda key: key == "b") == 1
    bench.add_idle("a")
    assert bench.idle("a") == [4]


def test_closing_idle_ones_leaves_the_pool_usable() -> None:
    """Leased resources and those being dialled are closed when they are released."""
    bench = Bench()
    bench.add_idle("a", 2)
    held = bench.take("a")
    dialling = bench.pool.acquire("b", bench.clock.deadline(None))
    bench.pool.close_idle()
    dialling.fill(50)
    dialling.release()
    held.release()
    assert sorted(bench.closed) == [1, 2, 50]
    bench.add_idle("a")
    assert bench.idle("a") == [3]


def test_draining_waits_for_the_leases() -> None:
    """It returns whether everything was closed in time."""
    bench = Bench()
    bench.add_idle("a")
    held = bench.take("b")
    assert bench.pool.drain(bench.clock.deadline(1)) is False
    bench.runtime.meanwhile.append(held.release)
    assert bench.pool.drain(bench.clock.deadline(1)) is True
    assert sorted(bench.closed) == [1, 2]
    assert bench.pool.drain(bench.clock.deadline(1)) is True


def test_shrinking_closes_the_surplus() -> None:
    """Idle resources are closed at once, serving ones when their lease ends."""
    bench = Bench()
    held = [bench.take() for _ in range(3)]
    bench.add_idle("a", 2)
    bench.pool.resize(PoolConfig(max_per_host=2, acquire_timeout=0))
    assert sorted(bench.closed) == [4, 5]
    held[0].release()
    assert len(bench.closed) == 3
    held[1].release()
    held[2].release()
    assert len(bench.idle()) == 2
    check_state(bench.pool)


def test_a_minimum_is_kept_beyond_the_idle_timeout() -> None:
    """The minimum stays and the surplus is closed; lifetimes still apply."""
    config = PoolConfig(min_idle=2, idle_timeout=10, max_lifetime=100, lifetime_jitter=0)
    bench = Bench(config)
    bench.add_idle(count=4)
    bench.clock.advance(11)
    bench.pool.sweep()
    assert bench.idle() == [3, 4]
    bench.clock.advance(90)
    bench.pool.sweep()
    assert bench.idle() == []
    assert bench.pool.shortage() == [("a", 2)]


def test_warming_fills_the_shortage_and_does_not_count_as_requests() -> None:
    """Reserved slots count against limits and shortage; their leases are no requests."""
    bench = Bench(PoolConfig(), limits_for=lambda key: Limits(3, None, 2))
    busy = [bench.take(), bench.take()]
    assert bench.pool.shortage() == [("a", 1)]
    lease = bench.pool.try_reserve("a")
    assert lease is not None and bench.pool.shortage() == []
    assert bench.pool.try_reserve("a") is None
    lease.fill(50)
    lease.release()
    assert bench.idle() == [50]
    stats = bench.pool.stats().origins["a"]
    assert (stats.acquired, stats.created, stats.hold.count) == (2, 3, 0)
    busy[0].release()
    check_state(bench.pool)


def test_a_failed_dial_while_warming_gives_the_slot_back() -> None:
    """The shortage is reported again."""
    bench = Bench(PoolConfig(min_idle=1))
    lease = bench.pool.try_reserve("a")
    assert lease is not None
    lease.discard("origin is down")
    assert bench.pool.shortage() == [("a", 1)]
    check_state(bench.pool)


@pytest.mark.parametrize("is_finalizing", [False, True])
def test_dropping_the_pool_closes_what_is_idle(
    is_finalizing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is dropped instead of closed leaves nothing open, also when Python ends."""
    bench = Bench()
    bench.add_idle("a", 2)
    monkeypatch.setattr("sys.is_finalizing", lambda: is_finalizing)
    del bench.pool
    assert bench.closed == [1, 2]
