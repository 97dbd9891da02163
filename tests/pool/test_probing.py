"""Dead resources, and what the pool learns from them about an origin."""

from __future__ import annotations

import pytest

from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench, KeepAlive, check_state

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


def test_a_dead_one_is_replaced_by_the_next_idle_one() -> None:
    """Another idle resource is better than a dial; its own room goes to who needs it."""
    bench = Bench()
    bench.shelve(count=3)
    bench.dead = {3, 2}
    lease = bench.take()
    assert lease.resource == 1 and bench.closed == [3, 2]
    stats = bench.pool.stats().origins["a"]
    assert (stats.stale_found, stats.acquired, stats.reused, stats.active) == (2, 4, 1, 1)
    check_state(bench.pool)


def test_when_all_are_dead_the_lease_is_an_empty_place() -> None:
    """The room of the dead one is kept for the dial."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.shelve()
    bench.dead = {1}
    lease = bench.pool.acquire("a", bench.clock.deadline(None))
    assert lease.resource is None and not lease.reused and bench.closed == [1]
    check_state(bench.pool)


def test_young_ones_are_not_probed() -> None:
    """`validate_after` says how long one must have been idle for a probe; None is never."""
    for after, probed in ((0.0, [1]), (5.0, []), (None, [])):
        bench = Bench(PoolConfig(validate_after=after))
        bench.shelve()
        bench.clock.advance(1)
        bench.take().release()
        assert bench.probed == probed


def test_a_failing_probe_means_dead() -> None:
    """Whatever a probe raises, the resource is not used."""

    def fail(_: int) -> bool:
        raise OSError("bad descriptor")

    bench = Bench(is_alive=fail)
    bench.shelve()
    lease = bench.take()
    assert lease.resource == 2 and bench.closed == [1]


def test_the_peers_own_limit_is_respected() -> None:
    """A resource is closed a second before the peer would close it."""
    bench = Bench()
    lease = bench.take()
    lease.release(keep_for=5)
    bench.clock.advance(3.9)
    bench.take().release(keep_for=5)
    bench.clock.advance(4)
    lease = bench.take()
    assert lease.resource == 2
    assert bench.pool.stats().total.closed == {"idle_limit": 1}


def test_a_close_lowers_the_limit_for_all() -> None:
    """What was seen closed at an age is not tried at that age again, by no request."""
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


def test_a_careful_request_uses_only_what_is_trusted() -> None:
    """At first that is less than two seconds; the old one stays on the shelf to be observed."""
    bench = Bench()
    bench.shelve()
    bench.clock.advance(1)
    lease = bench.take(careful=True)
    assert lease.resource == 1
    lease.release()
    bench.clock.advance(2)
    lease = bench.take(careful=True)
    assert lease.resource == 2 and bench.idle() == [1]


def test_a_careful_request_at_the_maximum_replaces_the_oldest() -> None:
    """Safety is worth a dial: what is idle but not trusted makes room."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.shelve()
    bench.clock.advance(10)
    lease = bench.take(careful=True)
    assert lease.resource == 2 and bench.closed == [1]
    check_state(bench.pool)


@pytest.mark.parametrize("kept", [75.0, None])
def test_careful_requests_every_five_seconds_reuse_after_the_third(kept: float | None) -> None:
    """By observing what was left on the shelf the pool learns that the peer keeps it longer."""
    bench = Bench(PoolConfig(idle_timeout=30))
    reused = 0
    for round_number in range(40):
        lease = bench.take(careful=True)
        reused += lease.reused and round_number >= 3
        lease.release(keep_for=kept)
        bench.clock.advance(5)
    assert reused >= 0.9 * 37


@pytest.mark.parametrize("keep", [5.0, 1.0, 75.0])
@pytest.mark.parametrize("is_told", [False, True])
def test_no_careful_request_meets_a_closing_peer(keep: float, is_told: bool) -> None:
    """Requests at the edge of the peer's patience: none is sent on a connection about to close."""
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
            # Half a tenth of a second on the way: it must still be open on arrival.
            close_calls += now + 0.05 - last_used[lease.resource] >= keep
        last_used[lease.resource] = now
        lease.release(keep_for=keep if is_told else None)
        bench.clock.advance(keep * (0.9 + (cycle * 7 % 21) / 100))
    assert close_calls == 0
    check_state(bench.pool)


def test_a_restart_does_not_spoil_reuse() -> None:
    """A close at an age that was fine before is doubted once, and a limit is forgotten in time."""
    fresh = KeepAlive()
    fresh.saw_alive(60)
    for _ in range(30):  # one incident
        fresh.saw_closed(0.01, 1000)
    assert fresh.limit == float("inf") and fresh.trust < 0.01
    fresh.saw_alive(20)
    assert fresh.trust == 18
    fresh.saw_closed(5, 1020)  # again: believed
    assert fresh.limit == 4.5 and fresh.trust < 4.5
    fresh.forget_outdated(1319)
    assert fresh.limit == 4.5
    fresh.forget_outdated(1320)
    assert fresh.limit == float("inf")


def test_a_limit_is_never_below_a_second() -> None:
    """Reuse within a second is what the pool is for; the probe is there for the rest."""
    fresh = KeepAlive()
    fresh.saw_closed(0.2, 1000)
    assert fresh.limit == 1.0 and fresh.trust < 0.2


def test_a_peer_that_closes_behind_its_answers_is_not_trusted() -> None:
    """It is found alive while its close is on the way, which must not bring trust back."""
    fresh = KeepAlive()
    fresh.saw_closed(0.0003, 1000)
    fresh.saw_alive(0.0009)
    assert fresh.trust == 0
    fresh.saw_alive(0.1)
    assert fresh.trust == pytest.approx(0.09)


def test_observing_leaves_no_trace_when_it_is_interrupted() -> None:
    """Ctrl-C during the probe of an elder gives the place back."""

    def interrupt(_: int) -> bool:
        raise KeyboardInterrupt

    bench = Bench(is_alive=interrupt)
    bench.shelve()
    bench.clock.advance(10)
    with pytest.raises(KeyboardInterrupt):
        bench.take(careful=True)
    check_state(bench.pool)
    stats = bench.pool.stats().total
    assert (stats.active, stats.idle, stats.acquired, stats.leaks) == (0, 0, 1, 0)


def test_an_observed_dead_one_leaves_its_room_to_the_request() -> None:
    """The dial goes into the place of the one that was found dead."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=0))
    bench.shelve()
    bench.dead = {1}
    bench.clock.advance(10)
    lease = bench.take(careful=True)
    assert lease.resource == 2
    stats = bench.pool.stats().origins["a"]
    assert (stats.acquired, stats.reused, stats.stale_found) == (2, 0, 1)
    check_state(bench.pool)
