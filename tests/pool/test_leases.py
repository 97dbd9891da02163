"""One lease: it is acquired, filled and ended, and it ends once."""

from __future__ import annotations

import gc
import itertools
import warnings

import pytest

from pooledhttp.events import (
    ConnectionClosed,
    ConnectionOpened,
    Leaked,
    LeaseAcquired,
    LeaseEnded,
    StaleFound,
)
from pooledhttp.exceptions import PoolClosed
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, check_state, inside
from tests.support.interrupts import interrupt_at

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_a_new_slot_is_filled_released_and_reused() -> None:
    """The next caller gets what one caller gives back."""
    bench = Bench()
    lease = bench.pool.acquire("a", bench.clock.deadline(None))
    assert lease.resource is None and not lease.reused and not lease.is_ended
    lease.fill(7)
    assert repr(bench.pool) == "<Pool 1 in use, 0 idle, 0 waiting>"
    lease.release()
    assert lease.is_ended and lease.resource is None
    assert repr(bench.pool) == "<Pool 0 in use, 1 idle, 0 waiting>"
    bench.clock.advance(1.5)
    again = bench.take()
    assert (again.resource, again.reused, again.idle_seconds) == (7, True, 1.5)


def test_the_newest_idle_resource_is_taken_first() -> None:
    """The newest idle resource goes first, so that the others grow old and expire."""
    bench = Bench()
    numbers = bench.add_idle(count=3)
    assert bench.take().resource == numbers[-1]


def test_keys_do_not_share() -> None:
    """A resource serves only its own key."""
    bench = Bench()
    bench.add_idle("a")
    assert not bench.take("b").reused


def test_a_second_end_does_nothing() -> None:
    """Everything after the first end is ignored, even if another lease has the slot."""
    bench = Bench()
    first = bench.take()
    first.release()
    second = bench.take()
    first.discard("late")
    first.release()
    first.touch()
    with first.in_use():
        assert not second.busy
    assert not second.is_ended and second.resource == 1 and not second.busy
    assert bench.closed == []


def test_discarding_closes_and_counts_the_reason() -> None:
    """The slot is free when the resource has been closed."""
    bench = Bench(PoolConfig(max_per_host=1))
    bench.take().discard("broken")
    assert bench.closed == [1]
    assert bench.pool.stats().origins["a"].closed == {"broken": 1}
    assert bench.take().resource == 2


def test_an_empty_slot_can_be_given_back() -> None:
    """A failed dial frees its slot."""
    bench = Bench(PoolConfig(max_per_host=1))
    bench.pool.acquire("a", bench.clock.deadline(None)).discard("dial failed")
    bench.pool.acquire("a", bench.clock.deadline(None)).release()
    assert bench.closed == []
    assert bench.pool.stats().total.active == 0


def test_filling_twice_is_an_error_and_filling_an_ended_lease_closes() -> None:
    """A resource that cannot be kept is closed, not lost."""
    bench = Bench()
    lease = bench.take()
    with pytest.raises(ValueError, match="already"):
        lease.fill(99)
    lease.release()
    with pytest.raises(PoolClosed):
        lease.fill(50)
    assert bench.closed == [50]
    check_state(bench.pool)


def test_a_dropped_lease_is_reclaimed_without_the_collector() -> None:
    """Its resource is closed at once, a warning is shown, and a leak is counted."""
    bench = Bench(PoolConfig(max_per_host=1))
    gc.disable()
    try:
        lease = bench.take()
        with pytest.warns(ResourceWarning, match="dropped without being ended"):
            del lease
        assert bench.closed == [1]
    finally:
        gc.enable()
    assert bench.pool.stats().origins["a"].leaks == 1
    assert bench.take().resource == 2


def test_a_dropped_lease_that_has_ended_is_silent() -> None:
    """Only a lease without an end is a leak."""
    bench = Bench()
    lease = bench.take()
    lease.release()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del lease
    assert bench.pool.stats().total.leaks == 0


def test_the_event_of_a_leak_comes_with_the_next_call() -> None:
    """A finalizer can run anywhere, so listeners are not called inside it."""
    bench = Bench()
    lease = bench.take()
    bench.events.clear()
    with pytest.warns(ResourceWarning):
        del lease
    assert bench.events == []
    bench.add_idle("b")
    assert any(isinstance(event, Leaked) for event in bench.events)


def test_events_come_in_the_order_of_what_happened() -> None:
    """A slot is serving, filled, released, found stale and closed."""
    bench = Bench()
    lease = bench.pool.acquire("a", bench.clock.deadline(None))
    bench.clock.advance(0.25)
    lease.fill(1)
    bench.clock.advance(1)
    lease.release()
    bench.clock.advance(2)
    bench.dead.add(1)
    bench.pool.acquire("a", bench.clock.deadline(None)).discard("no")
    assert bench.events == [
        LeaseAcquired("a", 0.0, False, True),
        ConnectionOpened("a", 0.25),
        LeaseEnded("a", 1.25, "released"),
        LeaseAcquired("a", 0.0, False, True),
        StaleFound("a", 2.0),
        ConnectionClosed("a", "stale", 3.0, 2),
        LeaseEnded("a", 0.0, "discarded", "no"),
    ]


def test_a_failing_close_does_not_reach_the_caller() -> None:
    """The slot becomes free although closing raises."""

    def fail(_: int) -> None:
        raise OSError("no")

    bench = Bench(PoolConfig(max_per_host=1))
    inside(bench.pool).close_with(fail)
    bench.take().discard("x")
    assert bench.pool.is_empty


def test_an_interrupted_probe_leaves_nothing_behind() -> None:
    """Ctrl-C during a probe gives the slot back."""

    def interrupt(_: int) -> bool:
        raise KeyboardInterrupt

    bench = Bench(PoolConfig(max_per_host=1), is_alive=interrupt)
    bench.add_idle()
    with pytest.raises(KeyboardInterrupt):
        bench.take()
    assert bench.pool.is_empty and bench.closed == [1]
    check_state(bench.pool)


def test_a_stale_lease_becomes_empty_and_stays() -> None:
    """The dead resource is closed; the lease keeps its slot for the next one."""
    bench = Bench(PoolConfig(max_per_host=1))
    bench.add_idle()
    lease = bench.take()
    lease.found_stale()
    assert (lease.resource, lease.reused, lease.is_ended) == (None, False, False)
    assert bench.closed == [1]
    lease.fill(2)
    lease.release()
    stats = bench.pool.stats().origins["a"]
    assert (stats.acquired, stats.reused, stats.created, stats.stale_found) == (2, 0, 2, 1)
    check_state(bench.pool)


@pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")
def test_a_finalizer_interrupted_at_any_line_gives_the_slot_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception out of a signal handler in the finalizer of a lease loses no slot."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # pytest's keeps the lease alive
    bench = Bench(PoolConfig(max_per_host=1))

    def drop() -> None:
        del leases[:]

    for number in itertools.count(1):
        leases = [bench.take()]
        if not interrupt_at(number, drop, ("pool/lease.py",), "line"):
            break
        if number == 1:  # at the entry of `__del__`: the finalizer did nothing
            assert inside(bench.pool).held()
            bench.pool.sweep()
        assert not inside(bench.pool).held()
        check_state(bench.pool)
    assert number > 10
