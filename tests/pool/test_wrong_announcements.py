"""Peers that close before the time that they have announced."""

from __future__ import annotations

from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench


def test_after_an_early_close_only_observations_count() -> None:
    """The peer announced ten seconds and closed after half a second: trust stays below that."""
    bench = Bench(PoolConfig())
    lease = bench.take()
    lease.release(announced_seconds=10)
    bench.clock.advance(0.5)
    bench.dead.update(number for number in bench.idle() if number is not None)
    bench.take().release(announced_seconds=10)  # found dead, and replaced
    bench.clock.advance(0.5)
    careful = bench.take(careful=True)
    assert not careful.reused
    careful.release(announced_seconds=10)
    bench.clock.advance(0.3)
    careful = bench.take(careful=True)
    assert careful.reused
    careful.release(announced_seconds=10)


def test_an_early_close_is_forgotten_after_five_minutes() -> None:
    """The announced limit counts again, because the close may have been a restart."""
    bench = Bench(PoolConfig())
    bench.take().release(announced_seconds=60)
    bench.clock.advance(0.5)
    bench.dead.update(number for number in bench.idle() if number is not None)
    bench.take().release(announced_seconds=60)
    bench.clock.advance(301)
    reused = []
    for _ in range(5):
        lease = bench.take(careful=True)
        reused.append(lease.reused)
        lease.release(announced_seconds=60)
        bench.clock.advance(5)
    assert reused == [False, True, True, True, True]
