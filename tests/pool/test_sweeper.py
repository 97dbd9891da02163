"""The sweeper: one thread for all pools, only while something is open."""

from __future__ import annotations

import itertools
import weakref

from pooledhttp.pool import Pool, PoolConfig, Sweeper
from pooledhttp.runtime import BlockingRuntime, Task
from pooledhttp.timing import Deadline
from tests.pool.tools import Bench, inside
from tests.support.garbage import collect
from tests.support.interrupts import interrupt_at
from tests.support.scheduler import Scheduler


def build(scheduler: Scheduler, sweeper: Sweeper, closed: list[int]) -> Pool[str, int]:
    config = PoolConfig(idle_timeout=10)
    return Pool(config, close=closed.append, runtime=scheduler, sweeper=sweeper)


def use(pool: Pool[str, int], scheduler: Scheduler, number: int, key: str = "a") -> None:
    lease = pool.acquire(key, Deadline.never(scheduler.now))
    lease.fill(number)
    lease.release()


def test_one_thread_sweeps_all_pools_and_ends_with_them() -> None:
    """It closes what expired in pools that are not used, and ends when nothing is open."""
    with Scheduler(1) as scheduler:
        sweeper = Sweeper(scheduler)
        closed: list[int] = []
        pools = [build(scheduler, sweeper, closed) for _ in range(3)]
        assert not sweeper.is_running
        for number, pool in enumerate(pools):
            use(pool, scheduler, number)
        assert sweeper.is_running and len(scheduler.tasks) == 1
        scheduler.advance(9)
        assert closed == []
        scheduler.advance(7)
        assert sorted(closed) == [0, 1, 2]
        assert not sweeper.is_running and not any(pool.is_watched for pool in pools)
        use(pools[0], scheduler, 4)
        scheduler.advance(20)
        assert 4 in closed and len(scheduler.tasks) == 2


def test_pools_are_held_weakly() -> None:
    """The sweeper does not keep a dropped pool alive."""
    with Scheduler(1) as scheduler:
        sweeper = Sweeper(scheduler)
        closed: list[int] = []
        pool = build(scheduler, sweeper, closed)
        use(pool, scheduler, 1)
        ref = weakref.ref(pool)
        del pool
        collect()
        assert ref() is None and closed == [1]
        scheduler.advance(10)
        assert not sweeper.is_running


def test_a_failing_sweep_does_not_end_the_sweeper() -> None:
    """The other pools are still swept."""
    with Scheduler(1) as scheduler:
        sweeper = Sweeper(scheduler)
        closed: list[int] = []
        bad, good = (build(scheduler, sweeper, closed) for _ in range(2))

        def fail() -> float | None:
            raise RuntimeError("no")

        bad.sweep = fail  # type: ignore[method-assign]
        use(bad, scheduler, 1)
        use(good, scheduler, 2)
        scheduler.advance(20)
        assert closed == [2]


def test_a_pool_with_its_own_clock_is_not_swept() -> None:
    """The sweeper of the process uses the clock of the machine."""
    assert inside(Bench().pool).sweeper is None
    assert inside(Pool[str, int](PoolConfig(), close=lambda _: None)).sweeper is not None


def test_pools_work_if_the_thread_cannot_be_started() -> None:
    """A RuntimeError from the start of the thread is not passed on."""

    class NoThreads(BlockingRuntime):
        def spawn(self, fn: object, name: str) -> Task:
            raise RuntimeError("can't start new thread")

    sweeper = Sweeper(NoThreads())
    pool: Pool[str, int] = Pool(close=lambda _: None, sweeper=sweeper)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    lease.release()
    assert not sweeper.is_running


def test_a_resource_is_closed_within_a_second_of_its_expiry() -> None:
    """Also if it became idle while the sweeper waited for a pool whose expiry is far away."""
    with Scheduler(1) as scheduler:
        sweeper = Sweeper(scheduler)
        closed: list[int] = []
        slow = build(scheduler, sweeper, [])
        use(slow, scheduler, 1)
        scheduler.advance(2)
        config = PoolConfig(idle_timeout=0.5)
        quick: Pool[str, int] = Pool(
            config, close=closed.append, runtime=scheduler, sweeper=sweeper
        )
        lease = quick.acquire("a", Deadline.never(scheduler.now))
        lease.fill(2)
        scheduler.advance(0.3)
        lease.release()
        scheduler.advance(1.5)
        assert closed == [2]


def test_an_interrupt_at_any_point_of_the_start_leaves_pools_swept() -> None:
    """The next use of the pool starts the thread, of which one is left."""
    for number in itertools.count(1):
        with Scheduler(1) as scheduler:
            sweeper = Sweeper(scheduler)
            closed: list[int] = []
            pool = build(scheduler, sweeper, closed)

            def first_use(pool: Pool[str, int] = pool, scheduler: Scheduler = scheduler) -> None:
                use(pool, scheduler, 1)

            was_interrupted = interrupt_at(number, first_use, ("pool/sweeper.py",), "signal")
            use(pool, scheduler, 2, "b")
            assert sweeper.is_running and pool.is_watched
            scheduler.advance(20)
            assert 2 in closed and not sweeper.is_running
            assert all(task.done for task in scheduler.tasks)
        if not was_interrupted:
            break
    assert number > 10


def test_a_thread_that_could_not_be_started_is_tried_again() -> None:
    """A pool that was left without a sweeper gets one when it opens its next resource."""
    with Scheduler(1) as scheduler:
        sweeper = Sweeper(scheduler)
        closed: list[int] = []
        pool = build(scheduler, sweeper, closed)
        spawn = scheduler.spawn

        def fail(fn: object, name: str) -> Task:
            raise RuntimeError("can't start new thread")

        scheduler.spawn = fail  # type: ignore[method-assign]
        use(pool, scheduler, 1)
        scheduler.spawn = spawn  # type: ignore[method-assign]
        assert not pool.is_watched
        use(pool, scheduler, 2, "b")
        scheduler.advance(20)
        assert sorted(closed) == [1, 2]
