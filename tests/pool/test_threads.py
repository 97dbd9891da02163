"""Real threads, the collector at its most eager, interrupts, and forks."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from types import FrameType

import pytest

from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import check_state, inside
from tests.support.garbage import collect

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Let the cyclic collector run at nearly every allocation, also inside the pool's lock."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def run_threads(count: int, call: object) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()  # type: ignore[operator]
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and not any(thread.is_alive() for thread in threads)


def test_threads_never_overshoot_and_nobody_is_forgotten() -> None:
    """Many threads on few places, per key and in all."""
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
    """Leases in reference cycles are reclaimed by a collector that runs inside the lock."""
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

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run_threads(6, work)
        collect()
    check_state(pool)
    stats = pool.stats().total
    assert stats.active == 0 and stats.leaks == 6 * 30


def test_a_finalizer_inside_the_lock_leaves_the_end_to_its_holder() -> None:
    """A lease that ends in the thread that holds the lock is ended right after."""
    pool: Pool[str, int] = Pool(PoolConfig(), close=lambda _: None)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    with inside(pool).lock:
        lease.release()
        assert not lease.is_ended
    pool.shortage()  # any operation looks
    assert lease.is_ended and pool.stats().total.idle == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_interrupts_at_any_moment_leave_the_books_right() -> None:
    """Exceptions out of a signal handler, hundreds of them, wherever they hit."""
    pool: Pool[str, int] = Pool(PoolConfig(max_per_host=2, acquire_timeout=0), close=lambda _: None)
    numbers = itertools.count()
    is_armed = False
    hits = 0

    class Interrupt(BaseException):
        pass

    def interrupt(_: int, frame: FrameType | None) -> None:
        while frame is not None:  # Python drops exceptions in finalizers, so they are left alone
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        if is_armed:
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0003)
    try:
        while hits < 300:
            try:
                is_armed = True
                for turn in range(1000):
                    lease = pool.acquire("ab"[turn % 2], Deadline.never())
                    if lease.resource is None:
                        lease.fill(next(numbers))
                    if turn % 5:
                        lease.release()
                    else:
                        lease.discard("test")
                is_armed = False
            except Interrupt:
                is_armed = False
                hits += 1
                lease = None  # type: ignore[assignment]
                assert not inside(pool).lock.locked(), "the lock was left taken"
            except PoolTimeout:
                is_armed = False
                lease = None  # type: ignore[assignment]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    collect()
    inside(pool).settle()
    stats = pool.stats().total
    assert (stats.active, stats.dialling, stats.waiting) == (0, 0, 0), repr(pool)
    leases = [pool.acquire("a", Deadline.never(), fresh=True) for _ in range(2)]
    assert len(leases) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_begins_anew() -> None:
    """It abandons what it inherited without closing it; the parent's leases and shelf live on."""
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
    with inside(pool).lock:  # as another thread of the parent may
        child = os.fork()
        if not child:
            status = 1
            try:
                held.release()
                held.discard("no-op")
                status = _judge_child(pool, abandoned, closed, held.is_ended)
            finally:
                os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert not held.is_ended and abandoned == [] and closed == []
    held.release()
    assert pool.stats().total.idle == 2


def _judge_child(
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
def test_without_abandon_a_child_keeps_what_it_inherited_untouched() -> None:
    """Nothing is closed and nothing is finalized in the child."""
    closed: list[int] = []
    pool: Pool[str, int] = Pool(close=closed.append)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    child = os.fork()
    if not child:
        os._exit(0 if inside(pool).inherited == [1] and closed == [] else 1)
    assert os.waitpid(child, 0)[1] == 0
    lease.release()
