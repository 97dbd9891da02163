"""Statistics and advice, and what is dropped so that nothing grows without bound."""

from __future__ import annotations

import dataclasses

import pytest

from pooledhttp.pool import Histogram, OriginStats, PoolConfig, PoolStats, advised_size
from tests.pool.tools import MAX_UNUSED_KEYS, Bench, check_state, inside

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


@pytest.mark.parametrize(
    ("rate", "seconds", "size"), [(100, 0.1, 15), (1, 1, 2), (0, 5, 0), (1000, 0.0001, 1)]
)
def test_the_advised_size_follows_littles_law(rate: float, seconds: float, size: int) -> None:
    """A hundred requests per second of a tenth of a second each need fifteen connections."""
    assert advised_size(rate, seconds) == size


def test_a_snapshot_is_frozen_and_sums_up() -> None:
    """The total is the sum of the origins, including rates and histograms."""
    bench = Bench(PoolConfig(max_per_host=4, max_total=9))
    held = [bench.take("a"), bench.take("b"), bench.take("b")]
    held[0].release()
    empty = bench.pool.acquire("c", bench.clock.deadline(None))
    stats = bench.pool.stats()
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.total.active = 5  # type: ignore[misc]
    total = stats.total
    assert (total.active, total.idle, total.dialling, total.created) == (3, 1, 1, 3)
    assert (total.max_open, total.acquired, total.origin) == (9, 4, "")
    assert stats.origins["b"].utilisation == 0.5
    assert stats.origins["a"].hold.count == total.hold.count == 1
    empty.discard("x")


def test_keys_of_one_origin_are_one_origin_in_the_statistics() -> None:
    """Different TLS settings of a host are different keys, but one origin."""
    bench = Bench(PoolConfig(max_per_host=3), describe=lambda key: key[0])
    bench.add_idle("a1")
    bench.add_idle("a2")
    stats = bench.pool.stats()
    assert list(stats.origins) == ["a"] and stats.origins["a"].created == 2
    assert stats.origins["a"].max_open == 6  # each key may have three


def test_utilisation_without_a_maximum_is_over_the_advised_size() -> None:
    """It is the slots in use, divided by what the measured load needs."""
    bench = Bench()
    for _ in range(400):
        lease = bench.take()
        bench.clock.advance(0.1)
        lease.release()
    held = [bench.take(), bench.take()]
    stats = bench.pool.stats().origins["a"]
    assert stats.acquired_per_second == pytest.approx(10, rel=0.1)
    assert stats.advised == 2 and stats.utilisation == 1.0
    advice = bench.pool.advise()["a"]
    assert advice.advised == 2 and advice.is_enough and advice.max_open is None
    assert len(held) == 2


def test_rates_are_those_of_the_last_minute() -> None:
    """After an hour without requests, old requests do not count."""
    bench = Bench(PoolConfig(idle_timeout=None))
    held = bench.take("another key")
    for _ in range(1000):
        bench.take().release()
    bench.clock.advance(3600)
    for _ in range(3):
        bench.take().release()
        bench.clock.advance(20)
    assert bench.pool.stats().origins["a"].acquired_per_second < 0.2
    held.release()


def test_waits_are_counted_in_a_histogram() -> None:
    """Only callers that waited count, each in the first bucket that is long enough."""
    bench = Bench(PoolConfig(max_per_host=1))
    held = bench.take()

    def serve() -> None:
        bench.clock.advance(0.1)
        held.release()

    bench.runtime.meanwhile.append(serve)
    lease = bench.take()
    assert lease.wait_seconds == pytest.approx(0.1)
    wait = bench.pool.stats().origins["a"].wait
    assert wait.count == 1 and wait.mean_seconds == pytest.approx(0.1)
    assert wait.quantile(0.5) in (0.1, 0.25)
    assert Histogram().quantile(0.5) == 0.0


def test_unused_origins_are_dropped_and_their_counts_kept() -> None:
    """After ten minutes without connections a key is dropped; the total keeps its counts."""
    bench = Bench(PoolConfig(idle_timeout=30))
    bench.add_idle("a")
    bench.clock.advance(31)
    bench.pool.sweep()
    bench.clock.advance(599)
    bench.pool.sweep()
    assert "a" in bench.pool.stats().origins
    bench.clock.advance(1)
    bench.pool.sweep()
    stats = bench.pool.stats()
    assert "a" not in stats.origins
    assert (stats.total.created, stats.total.closed["idle_timeout"]) == (1, 1)


@pytest.mark.parametrize("count", [12_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_thousands_of_origins_leave_a_bounded_pool(count: int) -> None:
    """The states of unused origins do not accumulate."""
    assert count > MAX_UNUSED_KEYS + 1000
    bench = Bench(PoolConfig(max_idle_total=100))
    bench.events = []
    for number in range(count):
        bench.take(f"host{number}").release()
    view = inside(bench.pool)
    assert view.key_count <= MAX_UNUSED_KEYS + 100
    assert view.idle_total == 100
    total = bench.pool.stats().total
    assert total.created == count and total.closed == {"idle_full": count - 100}
    check_state(bench.pool)


def test_reasons_for_closing_are_bounded() -> None:
    """A caller with ever new reasons does not fill the memory."""
    bench = Bench()
    for number in range(100):
        bench.take().discard(f"reason {number}")
    closed = bench.pool.stats().total.closed
    assert len(closed) == 33 and closed["other"] == 68


def test_a_snapshot_prints_as_three_lines() -> None:
    """`print(stats)` tells now, so far and trouble; `repr` is one short line."""
    total = OriginStats(
        active=2,
        idle=5,
        max_open=8,
        acquired=200,
        created=7,
        reused=193,
        closed={"idle_timeout": 1},
        stale_found=1,
        hold=Histogram((0, 4, *(0,) * 14), 0.048),
    )
    stats = PoolStats(total, {"https://a:443": total})
    assert str(stats).splitlines() == [
        "now:     2 in use, 5 idle, 0 waiting (0 dialling, maximum 8)",
        "so far:  200 leases, 96% reused, 7 opened, 1 closed, held for 12 ms, waited 0 ms",
        "trouble: 1 stale, 0 replayed, 0 leaked, 0 timed out",
    ]
    assert "so far:  1 lease, 0% reused, 0 opened" in str(OriginStats(acquired=1))
    assert "(0 dialling, no maximum in all)" in str(PoolStats(OriginStats(), {}))
    assert repr(stats) == "<PoolStats 2 in use, 5 idle, 0 waiting, 1 origins>"
    assert repr(total) == "<OriginStats 2 in use, 5 idle, 0 waiting>"
    assert repr(total.hold) == "<Histogram 4 durations, mean 0.012 s>"
