"""Real threads, a very eager garbage collector, interrupts, and forks."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import warnings
from collections.abc import Callable, Iterator

import pytest

from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import check_state, inside
from tests.support.alarms import needs_alarms, random_interrupts
from tests.support.beside import crew
from tests.support.garbage import collect, no_collection

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Run the cyclic collector at nearly every allocation, also under the lock of the pool."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def run_threads(count: int, call: Callable[[], None]) -> None:
    """Run it on so many threads, or greenlets, at a time."""
    with crew(count) as beside:
        for each in [beside.submit(call) for _ in range(count)]:
            each.result(60)


def test_threads_never_exceed_the_limits_and_all_are_served() -> None:
    """Many threads on few slots, with limits per key and in all."""
    open_now: set[int] = set()
    most = 0
    numbers = itertools.count()

    def close(number: int) -> None:
        open_now.remove(number)

    pool: Pool[str, int] = Pool(
        PoolConfig(max_per_host=3, max_total=7, patience=0.001), close=close
    )

    def work() -> None:
        nonlocal most
        source = random.Random()
        for _ in range(150):
            lease = pool.acquire(source.choice("abcd"), Deadline.after(30, pool.now))
            if lease.resource is None:
                number = next(numbers)
                open_now.add(number)
                lease.fill(number)
            most = max(most, len(open_now))
            pool.runtime.sleep(0.0)  # a greenlet lets others run
            if source.random() < 0.9:
                lease.release()
            else:
                lease.discard("test")

    run_threads(24, work)
    check_state(pool)
    assert most <= 7 and pool.stats().total.active == 0
    pool.shutdown()
    assert not open_now


def test_dropped_cycles_do_not_deadlock(eager_collector: None) -> None:
    """The collector reclaims leases in reference cycles while the lock is held."""
    pool: Pool[str, int] = Pool(PoolConfig(max_per_host=4), close=lambda _: None)
    numbers = itertools.count()

    def work() -> None:
        for turn in range(60):
            lease = pool.acquire("a", Deadline.after(30, pool.now))
            if lease.resource is None:
                lease.fill(next(numbers))
            if turn % 2:
                cycle: list[object] = [lease]
                cycle.append(cycle)
                del lease, cycle
            else:
                lease.release()
        collect()  # the other threads may all wait, and then nothing else runs the collector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run_threads(6, work)
    check_state(pool)
    stats = pool.stats().total
    assert stats.active == 0 and stats.leaks == 6 * 30


def test_an_end_under_the_lock_is_deferred() -> None:
    """A lease ended in the thread that holds the lock is ended after its release."""
    pool: Pool[str, int] = Pool(PoolConfig(), close=lambda _: None)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    with inside(pool).lock:
        lease.release()
        assert not lease.is_ended
    pool.shortage()  # any call does the deferred ends
    assert lease.is_ended and pool.stats().total.idle == 1


@needs_alarms
def test_interrupts_at_any_moment_leave_the_counters_right() -> None:
    """A signal handler raises 300 exceptions, at random moments."""
    pool: Pool[str, int] = Pool(PoolConfig(max_per_host=2, acquire_timeout=0), close=lambda _: None)
    numbers = itertools.count()

    def use() -> None:
        with contextlib.suppress(PoolTimeout):
            for turn in range(1000):
                lease = pool.acquire("ab"[turn % 2], Deadline.never())
                if lease.resource is None:
                    lease.fill(next(numbers))
                if turn % 5:
                    lease.release()
                else:
                    lease.discard("test")

    # Garbage of earlier tests has callbacks, and those would swallow interrupts.
    with no_collection(), random_interrupts() as interrupted:
        for _ in range(300):
            while not interrupted(use):
                pass
            assert not inside(pool).lock.locked(), "the lock was left taken"
    collect()
    inside(pool).settle()
    stats = pool.stats().total
    assert (stats.active, stats.dialling, stats.waiting) == (0, 0, 0), repr(pool)
    leases = [pool.acquire("a", Deadline.never()) for _ in range(2)]
    assert len(leases) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_begins_with_an_empty_pool() -> None:
    """It abandons what it inherited and closes nothing; the parent keeps all it has."""
    abandoned: list[int] = []
    closed: list[int] = []
    pool: Pool[str, int] = Pool(
        PoolConfig(max_per_host=3), close=closed.append, abandon=abandoned.append
    )
    held = pool.acquire("a", Deadline.never())
    held.fill(1)
    idle = pool.acquire("a", Deadline.never())
    idle.fill(2)
    idle.release()
    with inside(pool).lock:  # as another thread of the parent could
        child = os.fork()
        if not child:
            status = 1
            try:
                held.release()
                held.discard("no-op")
                status = _check_child(pool, abandoned, closed, held.is_ended)
            finally:
                os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert not held.is_ended and abandoned == [] and closed == []
    held.release()
    assert pool.stats().total.idle == 2


def _check_child(
    pool: Pool[str, int], abandoned: list[int], closed: list[int], is_ended: bool
) -> int:
    is_right = is_ended and sorted(abandoned) == [1, 2] and closed == []
    is_right = is_right and repr(pool) == "<Pool 0 in use, 0 idle, 0 waiting>"
    lease = pool.acquire("a", Deadline.never())
    lease.fill(3)
    lease.release()
    return 0 if is_right and pool.stats().total.acquired == 1 else 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_abandon_a_child_keeps_inherited_resources_open() -> None:
    """The child closes and finalizes nothing."""
    closed: list[int] = []
    pool: Pool[str, int] = Pool(close=closed.append)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    child = os.fork()
    if not child:
        os._exit(0 if inside(pool).inherited == [1] and closed == [] else 1)
    assert os.waitpid(child, 0)[1] == 0
    lease.release()
