"""Dead resources, and what the pool learns from them about an origin."""

from __future__ import annotations

import pytest

from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, KeepAliveEstimate, check_state

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_a_dead_resource_is_replaced_by_the_next_idle_one() -> None:
    """Another idle resource is better than a dial; the slot of the dead one is freed."""
    bench = Bench()
    bench.add_idle(count=3)
    bench.dead = {3, 2}
    lease = bench.take()
    assert lease.resource == 1 and bench.closed == [3, 2]
    stats = bench.pool.stats().origins["a"]
    assert (stats.stale_found, stats.acquired, stats.reused, stats.active) == (2, 4, 1, 1)
    check_state(bench.pool)


def test_when_all_are_dead_the_lease_has_an_empty_slot() -> None:
    """The slot of the dead resource is kept for the dial."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.add_idle()
    bench.dead = {1}
    lease = bench.pool.acquire("a", bench.clock.deadline(None))
    assert lease.resource is None and not lease.reused and bench.closed == [1]
    check_state(bench.pool)


def test_young_idle_resources_are_not_probed() -> None:
    """`validate_after` is the idle age from which on resources are probed; None means never."""
    for after, probed in ((0.0, [1]), (5.0, []), (None, [])):
        bench = Bench(PoolConfig(validate_after=after))
        bench.add_idle()
        bench.clock.advance(1)
        bench.take().release()
        assert bench.probed == probed


def test_a_failing_probe_means_dead() -> None:
    """A resource whose probe raises is not used."""

    def fail(_: int) -> bool:
        raise OSError("bad descriptor")

    bench = Bench(is_alive=fail)
    bench.add_idle()
    lease = bench.take()
    assert lease.resource == 2 and bench.closed == [1]


def test_the_announced_limit_is_respected() -> None:
    """A resource is closed one second before the peer would close it."""
    bench = Bench()
    lease = bench.take()
    lease.release(announced_seconds=5)
    bench.clock.advance(3.9)
    bench.take().release(announced_seconds=5)
    bench.clock.advance(4)
    lease = bench.take()
    assert lease.resource == 2
    assert bench.pool.stats().total.closed == {"idle_limit": 1}


def test_a_close_lowers_the_limit_for_all_requests() -> None:
    """After a close at an age, no request uses a resource of that age."""
    bench = Bench(PoolConfig(validate_after=None))
    lease = bench.take()
    lease.release()
    bench.clock.advance(5)
    lease = bench.take()
    lease.found_stale()
    lease.fill(50)
    lease.release()
    bench.clock.advance(4.6)
    lease = bench.take()
    assert lease.resource == 2 and 50 in bench.closed


def test_a_careful_request_uses_only_trusted_resources() -> None:
    """At first trust is below two seconds; an older resource stays idle, to be observed."""
    bench = Bench()
    bench.add_idle()
    bench.clock.advance(1)
    lease = bench.take(careful=True)
    assert lease.resource == 1
    lease.release()
    bench.clock.advance(2)
    lease = bench.take(careful=True)
    assert lease.resource == 2 and bench.idle() == [1]


def test_a_careful_request_at_the_maximum_replaces_the_oldest_resource() -> None:
    """An idle resource that is not trusted makes room for a dial."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.add_idle()
    bench.clock.advance(10)
    lease = bench.take(careful=True)
    assert lease.resource == 2 and bench.closed == [1]
    check_state(bench.pool)


@pytest.mark.parametrize("kept", [75.0, None])
def test_careful_requests_every_five_seconds_reuse_after_the_third(kept: float | None) -> None:
    """The pool observes the idle resource and learns that the peer keeps it longer."""
    bench = Bench(PoolConfig(idle_timeout=30))
    reused = 0
    for round_number in range(40):
        lease = bench.take(careful=True)
        reused += lease.reused and round_number >= 3
        lease.release(announced_seconds=kept)
        bench.clock.advance(5)
    assert reused >= 0.9 * 37


@pytest.mark.parametrize("keep", [5.0, 1.0, 75.0])
@pytest.mark.parametrize("is_told", [False, True])
def test_no_careful_request_meets_a_closing_peer(keep: float, is_told: bool) -> None:
    """No careful request is sent on a connection that the peer is about to close."""
    bench = Bench(PoolConfig(idle_timeout=60))
    last_used: dict[int, float] = {}
    close_calls = 0
    for cycle in range(500):
        careful = cycle % 2 == 1
        now = bench.clock.now()
        bench.dead = {n for n, at in last_used.items() if now - at >= keep}
        lease = bench.take(careful=careful)
        assert lease.resource is not None and lease.resource not in bench.dead
        if lease.reused and careful:
            # The request is on its way for 0.05 s: the connection must still be open then.
            close_calls += now + 0.05 - last_used[lease.resource] >= keep
        last_used[lease.resource] = now
        lease.release(announced_seconds=keep if is_told else None)
        bench.clock.advance(keep * (0.9 + (cycle * 7 % 21) / 100))
    assert close_calls == 0
    check_state(bench.pool)


def test_a_restart_of_the_peer_does_not_end_reuse() -> None:
    """A close at an age that was good before is doubted once; limits are forgotten in time."""
    fresh = KeepAliveEstimate()
    fresh.saw_alive(60)
    for _ in range(30):  # one incident
        fresh.saw_closed(0.01, 1000)
    assert fresh.limit == float("inf") and fresh.trust < 0.01
    fresh.saw_alive(20)
    assert fresh.trust == 18
    fresh.saw_closed(5, 1020)  # a second incident: believed
    assert fresh.limit == 4.5 and fresh.trust < 4.5
    fresh.forget_outdated(1319)
    assert fresh.limit == 4.5
    fresh.forget_outdated(1320)
    assert fresh.limit == float("inf")


def test_a_learned_limit_is_never_below_a_second() -> None:
    """Reuse within a second always stays possible."""
    fresh = KeepAliveEstimate()
    fresh.saw_closed(0.2, 1000)
    assert fresh.limit == 1.0 and fresh.trust < 0.2


def test_a_peer_that_closes_after_each_response_is_not_trusted() -> None:
    """Such a connection is found alive while the close is on its way; that must not raise trust."""
    fresh = KeepAliveEstimate()
    fresh.saw_closed(0.0003, 1000)
    fresh.saw_alive(0.0009)
    assert fresh.trust == 0
    fresh.saw_alive(0.1)
    assert fresh.trust == pytest.approx(0.09)


def test_an_interrupted_observation_leaves_nothing_behind() -> None:
    """Ctrl-C during the probe of a lent resource gives its slot back."""

    def interrupt(_: int) -> bool:
        raise KeyboardInterrupt

    bench = Bench(is_alive=interrupt)
    bench.add_idle()
    bench.clock.advance(10)
    with pytest.raises(KeyboardInterrupt):
        bench.take(careful=True)
    check_state(bench.pool)
    stats = bench.pool.stats().total
    assert (stats.active, stats.idle, stats.acquired, stats.leaks) == (0, 0, 1, 0)


def test_an_observed_dead_resource_leaves_its_slot_to_the_request() -> None:
    """The request dials into the slot of the resource that was found dead."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.add_idle()
    bench.dead = {1}
    bench.clock.advance(10)
    lease = bench.take(careful=True)
    assert lease.resource == 2
    stats = bench.pool.stats().origins["a"]
    assert (stats.acquired, stats.reused, stats.stale_found) == (2, 0, 1)
    check_state(bench.pool)
