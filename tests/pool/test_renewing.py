"""`Lease.renew`: the end of one use and the beginning of the next one, in one step."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from pooledhttp.events import Event, Listeners
from pooledhttp.pool import PoolConfig
from tests.pool.tools import LOCKED_FILES, Bench, check_state
from tests.support.interrupts import interrupt_at


def quiet(config: PoolConfig | None = None) -> Bench:
    """A bench without listeners."""
    return Bench(config, listeners=Listeners())


def test_it_counts_as_a_release_and_an_acquire() -> None:
    """The statistics are the same, and the resource stays with the lease."""
    snapshots = []
    for renews in (True, False):
        bench = quiet()
        (number,) = bench.add_idle()
        lease = bench.take()
        for seconds in (0.01, 0.5, 3.0):
            bench.clock.advance(seconds)
            if renews:
                assert lease.renew()
            else:
                lease.release()
                lease = bench.take()
            assert (lease.resource, lease.reused, lease.idle_seconds) == (number, True, 0.0)
            check_state(bench.pool)
        lease.release()
        snapshots.append(bench.pool.stats())
    assert snapshots[0] == snapshots[1]


def test_a_new_resource_is_reused_after_it() -> None:
    bench = quiet()
    lease = bench.pool.acquire("a", bench.clock.deadline(None))
    lease.fill(7)
    assert not lease.reused
    assert lease.renew() and lease.reused
    lease.release()
    stats = bench.pool.stats().total
    assert (stats.acquired, stats.created, stats.reused) == (2, 1, 1)


def evict(bench: Bench) -> None:
    bench.pool.evict("a")


def shut_down(bench: Bench) -> None:
    bench.pool.shutdown()


def grow_old(bench: Bench) -> None:
    bench.clock.advance(1000.0)


@pytest.mark.parametrize("change", [evict, shut_down, grow_old])
def test_where_the_resource_must_not_be_used_again(change: Callable[[Bench], None]) -> None:
    """Then the lease has ended, and the resource is closed as by a release."""
    bench = quiet(PoolConfig(max_lifetime=100.0))
    (number,) = bench.add_idle()
    lease = bench.take()
    change(bench)
    assert not lease.renew()
    assert lease.is_ended and lease.resource is None and number in bench.closed
    assert not lease.renew()
    check_state(bench.pool)


def test_the_most_requests_of_a_resource() -> None:
    bench = quiet(PoolConfig(max_requests=3))
    bench.add_idle()
    lease = bench.take()
    renewed = 0
    while lease.renew():
        renewed += 1
    assert bench.closed and renewed <= 2


def test_a_caller_that_waits_gets_the_resource() -> None:
    """Fairness is as with a release: who has waited comes first."""
    bench = quiet(PoolConfig(max_per_host=1))
    (number,) = bench.add_idle()
    lease = bench.take()
    renewed: list[bool] = []
    bench.runtime.meanwhile.append(lambda: renewed.append(lease.renew()))
    other = bench.take()
    assert renewed == [False] and other.resource == number
    check_state(bench.pool)


def test_a_dead_resource_is_replaced() -> None:
    """By another idle one, or by an empty slot."""
    bench = quiet()
    older, newer = bench.add_idle(count=2)
    lease = bench.take()
    bench.dead.add(newer)
    assert lease.renew() and lease.resource == older
    bench.dead.add(older)
    assert lease.renew() and lease.resource is None and not lease.is_ended
    assert {older, newer} <= set(bench.closed)
    assert not lease.renew()  # an empty slot is given back
    check_state(bench.pool)


def test_with_listeners_each_use_has_its_events() -> None:
    """A release and an acquire tell them, so the lease is not renewed."""
    events: list[Event] = []
    bench = Bench(listeners=Listeners([events.append]))
    bench.add_idle()
    lease = bench.take()
    events.clear()
    assert not lease.renew()
    assert [type(event).__name__ for event in events] == ["LeaseEnded"]


def test_an_interrupted_renewal_loses_nothing() -> None:
    """At any line: the slot is free, or the lease has it."""
    for number in itertools.count(1):
        bench = quiet()
        bench.add_idle()
        lease = bench.take()
        if not interrupt_at(number, lease.renew, ("pool/lease.py", *LOCKED_FILES), "signal"):
            break
        if not lease.is_ended:
            lease.release()
        check_state(bench.pool)
        assert bench.pool.stats().total.active == 0
    assert number > 3
