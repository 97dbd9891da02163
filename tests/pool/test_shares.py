"""Who gets a free slot when all callers wait longer than their patience."""

from __future__ import annotations

import random
from collections import deque

import pytest

from pooledhttp.pool import Lease, PoolConfig
from pooledhttp.runtime import Waiter
from pooledhttp.timing import Deadline
from tests.pool.tools import Bench, check_state
from tests.support.scheduler import Scheduler

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


@pytest.mark.parametrize("work_seconds", [0.02, 0.2])
def test_reuse_stays_high_when_all_waits_exceed_the_patience(
    work_seconds: float,
) -> None:
    """60 callers, five keys, eight slots: long waits, but no endless ones."""
    waits: list[float] = []
    with Scheduler(5) as scheduler:
        bench = Bench(PoolConfig(max_total=8), runtime=scheduler, listeners=None)

        def call(number: int) -> None:
            dice = random.Random(number)
            for _ in range(15):
                key = dice.choice("abcde")
                lease = bench.pool.acquire(key, Deadline.never(scheduler.now))
                if lease.resource is None:
                    lease.fill(next(bench.numbers))
                waits.append(lease.wait_seconds)
                scheduler.sleep(work_seconds * dice.uniform(0.5, 1.5))
                lease.release()

        for number in range(60):
            scheduler.spawn(lambda number=number: call(number), f"caller {number}")
        scheduler.run()
        total = bench.pool.stats().total
    waits.sort()
    assert waits[len(waits) // 2] > work_seconds
    assert total.reuse_rate > 0.85, total.closed
    assert waits[-1] < 10 * waits[len(waits) // 2]
    check_state(bench.pool)


class _Queue:
    """Callers of one key, whose leases the test ends."""

    def __init__(self, scheduler: Scheduler, bench: Bench, key: str, count: int) -> None:
        self.served: deque[Lease[str, int]] = deque()
        for _ in range(count):
            scheduler.spawn(lambda: self._wait(scheduler, bench, key), key)
        scheduler.advance(0.01)

    def end(self) -> None:
        """Release the leases of the callers that were served."""
        while self.served:
            self.served.popleft().release()

    def _wait(self, scheduler: Scheduler, bench: Bench, key: str) -> None:
        lease = bench.pool.acquire(key, Deadline.never(scheduler.now))
        if lease.resource is None:
            lease.fill(next(bench.numbers))
        self.served.append(lease)
        gate: Waiter = scheduler.waiter()
        gate.wait(Deadline.never(scheduler.now))


def test_a_key_without_slots_is_served_when_its_patience_is_over() -> None:
    """It overtakes a queue of any length and age."""
    with Scheduler(2, haste=0.0) as scheduler:
        bench = Bench(PoolConfig(max_total=2), runtime=scheduler, listeners=None)
        rich = _Queue(scheduler, bench, "rich", 6)
        scheduler.advance(1)
        poor = _Queue(scheduler, bench, "poor", 1)
        rich.served.popleft().release()
        scheduler.advance(0.1)
        assert not poor.served
        scheduler.advance(0.3)
        rich.served.popleft().release()
        scheduler.advance(0.1)
        assert len(poor.served) == 1
        rich.end(), poor.end()


def test_shares_become_even_and_stay_even() -> None:
    """A key gets a slot from a key that has two more, but not from one that has one more."""
    with Scheduler(2, haste=0.0) as scheduler:
        bench = Bench(PoolConfig(max_total=5), runtime=scheduler, listeners=None)
        rich = _Queue(scheduler, bench, "rich", 20)
        poor = _Queue(scheduler, bench, "poor", 20)
        for _ in range(12):
            scheduler.advance(0.3)
            (rich.served or poor.served).popleft().release()
            scheduler.advance(0.01)
            origins = bench.pool.stats().origins
            if origins["poor"].active >= 2:
                break
        closed = bench.pool.stats().total.closed["made_room"]
        rich.end(), poor.end()
        assert (origins["rich"].active, origins["poor"].active) == (3, 2) and closed == 2
