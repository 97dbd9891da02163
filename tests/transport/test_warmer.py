"""The warmer of idle connections: on a virtual clock, with a dial that is told what to do."""

from __future__ import annotations

import logging
import os
import random
import warnings
import weakref
from collections.abc import Callable
from itertools import pairwise

import pytest

from pooledhttp.network import Route
from pooledhttp.pool import HostLimits, Limits, Pool, PoolConfig
from pooledhttp.runtime import Task
from pooledhttp.timing import Deadline
from pooledhttp.transport.warmer import LONGEST_PAUSE_SECONDS, MAX_DIALS, Warmer
from tests.support.garbage import collect
from tests.support.scheduler import Scheduler

A, B = (Route("http", host, 80) for host in ("a.test", "b.test"))


class Line:
    """What stands for a connection: it can be closed, and it can be dead."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.is_open = True
        self.is_alive = True

    def close(self) -> None:
        self.is_open = False


class Bench:
    """A pool with a warmer on a scheduler, and a dial that counts."""

    def __init__(self, scheduler: Scheduler, config: PoolConfig | None = None) -> None:
        self.scheduler = scheduler
        self.lines: list[Line] = []
        self.dials: list[tuple[float, Route]] = []
        self.in_progress = 0
        self.most_in_progress = 0
        self.down: set[Route] = set()
        self.dial_seconds = 0.1
        config = config or PoolConfig(min_idle=2)
        self.pool: Pool[Route, Line] = Pool(
            config,
            close=Line.close,
            is_alive=lambda line: line.is_alive,
            runtime=scheduler,
            limits_for=lambda route: config.limits_for(route.origin),
            describe=lambda route: route.origin,
        )
        self.warmer = Warmer(self.pool, self.dial, scheduler, random.Random(1))  # type: ignore[arg-type]

    def dial(self, route: Route, deadline: Deadline) -> Line:
        self.dials.append((self.scheduler.now(), route))
        self.in_progress += 1
        self.most_in_progress = max(self.most_in_progress, self.in_progress)
        try:
            self.scheduler.sleep(min(self.dial_seconds, deadline.remaining()))
        finally:
            self.in_progress -= 1
        if route in self.down:
            raise ConnectionRefusedError("no server is there")
        self.lines.append(Line(route))
        return self.lines[-1]

    def use(self, route: Route = A) -> None:
        """One request."""
        lease = self.pool.acquire(route, Deadline.never(self.scheduler.now))
        if lease.resource is None:
            lease.fill(Line(route))
        lease.release()

    def idle(self, route: Route = A) -> int:
        return self.pool.idle_count(route)

    def open_lines(self) -> int:
        return sum(line.is_open for line in self.lines)


@pytest.fixture
def scheduler() -> Scheduler:
    """A virtual clock and its tasks, ended by the garbage collector at the latest."""
    return Scheduler(3)


def test_the_minimum_is_opened_and_kept(scheduler: Scheduler) -> None:
    """After the first use the minimum is idle, and again after one was lost."""
    with scheduler:
        bench = Bench(scheduler)
        bench.use()
        bench.warmer.wake()
        scheduler.advance(1)
        assert bench.idle() == 2
        lease = bench.pool.acquire(A, Deadline.never(scheduler.now))
        lease.discard("broken")
        scheduler.advance(2)
        assert bench.idle() == 2
        assert bench.pool.stats().total.acquired == 2, "warming up is no request"


def test_a_connection_in_use_for_a_moment_is_not_missing(scheduler: Scheduler) -> None:
    """One that is used now and then is idle again soon; one in use for long is replaced."""
    with scheduler:
        bench = Bench(scheduler)
        bench.warmer.fill(A, 2, Deadline.after(5, scheduler.now))
        bench.warmer.wake()
        for _ in range(5):
            lease = bench.pool.acquire(A, Deadline.never(scheduler.now))
            bench.warmer.wake()
            scheduler.advance(1.1)
            lease.release()
            scheduler.advance(1.1)
        assert len(bench.dials) == 2
        lease = bench.pool.acquire(A, Deadline.never(scheduler.now))
        scheduler.advance(3)
        assert len(bench.dials) == 3 and bench.idle() == 2
        lease.release()


def test_idle_ones_outlive_the_idle_timeout(scheduler: Scheduler) -> None:
    """A connection of the minimum is not closed because it is unused."""
    with scheduler:
        bench = Bench(scheduler, PoolConfig(min_idle=2, idle_timeout=5))
        bench.use()
        bench.warmer.wake()
        scheduler.advance(60)
        bench.pool.sweep()
        assert bench.idle() == 2 and len(bench.dials) == 1


def test_what_the_peer_closes_is_replaced(scheduler: Scheduler) -> None:
    """A dead idle connection is noticed by the warmer, not by the next request."""
    with scheduler:
        bench = Bench(scheduler)
        bench.warmer.fill(A, 2, Deadline.after(5, scheduler.now))
        bench.warmer.wake()
        scheduler.advance(75)
        for line in bench.lines:
            line.is_alive = False
        scheduler.advance(3)
        assert bench.idle() == 2 and bench.open_lines() == 2
        lease = bench.pool.acquire(A, Deadline.never(scheduler.now))
        assert lease.reused and lease.resource is not None and lease.resource.is_alive
        lease.release()
        assert bench.pool.stats().total.stale_found == 2


def test_lifetime_is_kept_to(scheduler: Scheduler) -> None:
    """Warm connections are replaced when they are old."""
    with scheduler:
        bench = Bench(scheduler, PoolConfig(min_idle=1, max_lifetime=100))
        bench.use()
        bench.warmer.wake()
        for _ in range(11):
            scheduler.advance(10)
            bench.pool.sweep()
        scheduler.advance(2)
        assert bench.idle() == 1 and len(bench.dials) == 1


def test_an_origin_that_is_down_is_asked_less_and_less(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """Pauses double up to a minute, with jitter; the log has one line; a success ends them."""
    with scheduler, caplog.at_level(logging.WARNING):
        bench = Bench(scheduler, PoolConfig(min_idle=1))
        bench.down.add(A)
        bench.use()
        bench.pool.close_idle()
        bench.warmer.wake()
        scheduler.advance(300)
        pauses = [later[0] - one[0] for one, later in pairwise(bench.dials)]
        assert 8 <= len(bench.dials) <= 14, bench.dials
        assert all(low <= high * 1.5 for low, high in pairwise(pauses))
        assert LONGEST_PAUSE_SECONDS * 0.7 < max(pauses) <= LONGEST_PAUSE_SECONDS + 2
        assert len(caplog.records) == 1
        assert "http://a.test:80" in caplog.text and "no server is there" in caplog.text
        bench.down.clear()
        scheduler.advance(LONGEST_PAUSE_SECONDS + 3)
        assert bench.idle() == 1
        assert bench.warmer._failures == {}
        assert bench.pool.stats().total.leaks == 0


def test_one_origin_that_is_down_does_not_hold_up_another(scheduler: Scheduler) -> None:
    """Each has its own pauses."""
    with scheduler:
        bench = Bench(scheduler)
        bench.down.add(A)
        for route in (A, B):
            bench.use(route)
        bench.pool.close_idle()
        bench.warmer.wake()
        scheduler.advance(5)
        assert bench.idle(B) == 2 and bench.idle(A) == 0


def test_dials_in_progress_are_bounded(scheduler: Scheduler) -> None:
    """Warming up many origins at once, by the task or by hand, opens a few at a time."""
    with scheduler:
        routes = [Route("http", f"h{number}.test", 80) for number in range(10)]
        bench = Bench(scheduler, PoolConfig(min_idle=4))
        bench.dial_seconds = 2.5
        for route in routes:
            bench.use(route)
        bench.warmer.wake()
        scheduler.advance(30)
        assert bench.most_in_progress == MAX_DIALS
        assert [bench.idle(route) for route in routes] == [4] * 10
        bench.warmer.stop()
        bench.most_in_progress = 0
        bench.warmer.fill(A, 30, Deadline.after(60, scheduler.now))
        assert bench.idle(A) == 30 and bench.most_in_progress <= MAX_DIALS


def test_warming_takes_nothing_from_requests(scheduler: Scheduler) -> None:
    """Places are reserved within the limits only, and a request that waits goes first."""
    with scheduler:
        bench = Bench(scheduler, PoolConfig(min_idle=2, max_per_host=3, max_total=4))
        leases = [bench.pool.acquire(A, Deadline.never(scheduler.now)) for _ in range(2)]
        bench.warmer.wake()
        scheduler.advance(5)
        assert bench.idle() == 1, "the maximum of the host is three"
        bench.warmer.fill(B, 5, Deadline.after(5, scheduler.now))
        assert bench.idle(B) == 1, "the maximum of all is four"
        for lease in leases:
            lease.discard("done")


def test_filling_ends_at_its_deadline(scheduler: Scheduler) -> None:
    """A host that does not respond costs the time that was given, and no more."""
    with scheduler:
        bench = Bench(scheduler)
        bench.dial_seconds = 1000
        bench.down.add(A)
        began = scheduler.now()
        bench.warmer.fill(A, 5, Deadline.after(2, scheduler.now))
        assert scheduler.now() - began == pytest.approx(2, abs=0.01)
        scheduler.advance(1)
        assert bench.pool.is_empty and bench.pool.stats().total.leaks == 0


def test_filling_stops_at_failures(scheduler: Scheduler) -> None:
    """A hundred connections to a host that refuses are not a hundred attempts."""
    with scheduler:
        bench = Bench(scheduler)
        bench.down.add(A)
        bench.warmer.fill(A, 100, Deadline.after(60, scheduler.now))
        assert len(bench.dials) <= MAX_DIALS


def test_after_stop_nothing_becomes_idle() -> None:
    """A connection that is being dialled when the pool closes is closed too."""
    for seed in range(40):
        with Scheduler(seed) as scheduler:
            bench = Bench(scheduler, PoolConfig(min_idle=3))
            bench.warmer._lock = scheduler.lock()  # type: ignore[assignment]
            bench.pool._core.lock = scheduler.lock()
            bench.use()
            bench.warmer.wake()

            def close(bench: Bench = bench, seconds: float = 0.05 * (seed % 4)) -> None:
                bench.scheduler.sleep(seconds)
                bench.warmer.stop()
                bench.pool.close_idle()

            scheduler.spawn(close, "close")
            scheduler.run(seconds=10)
            assert not bench.warmer.is_running
            assert bench.pool.is_empty and bench.open_lines() == 0, seed


def test_stop_and_wake_leave_one_task(scheduler: Scheduler) -> None:
    """However often it is stopped and woken, one task runs."""
    with scheduler:
        bench = Bench(scheduler)
        for _ in range(5):
            bench.warmer.wake()
            bench.warmer.stop()
            bench.warmer.wake()
        scheduler.advance(5)
        alive = [task for task in scheduler.tasks if not task.done]
        assert [task.name for task in alive] == ["pooledhttp-warmer"]
        bench.warmer.stop()
        scheduler.advance(0.1)
        assert all(task.done for task in scheduler.tasks)


def test_it_ends_with_its_pool(scheduler: Scheduler) -> None:
    """The task ends when the pool was shut down, and when it was dropped."""
    with scheduler:
        bench = Bench(scheduler)
        bench.warmer.wake()
        bench.pool.shutdown()
        scheduler.advance(3)
        assert not bench.warmer.is_running and all(task.done for task in scheduler.tasks)
        other = Bench(scheduler)
        other.warmer.wake()
        scheduler.advance(3)
        warmer, pool = other.warmer, weakref.ref(other.pool)
        del other.pool
        collect()
        assert pool() is None
        scheduler.advance(3)
        assert not warmer.is_running


def test_a_look_that_fails_is_not_the_last(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in a look is logged, and the next look comes."""
    with scheduler:
        bench = Bench(scheduler)
        bench.use()
        probe_idle, failing = bench.pool.probe_idle, [True]

        def fail_once() -> None:
            if failing.pop() if failing else False:
                raise RuntimeError("no")
            probe_idle()

        bench.pool.probe_idle = fail_once  # type: ignore[method-assign]
        bench.warmer.wake()
        scheduler.advance(3)
        assert "Keeping connections warm failed" in caplog.text
        assert bench.idle() == 2


class _NoThreads:
    """A runtime on which nothing can be started."""

    def __init__(self, runtime: Scheduler) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> object:
        return getattr(self._runtime, name)

    def spawn(self, fn: Callable[[], None], name: str) -> Task:
        raise RuntimeError("can't start new thread")


def test_no_threads_left_is_no_error(scheduler: Scheduler) -> None:
    """Waking does not fail, a later one may succeed, and the caller itself does the filling."""
    with scheduler:
        bench = Bench(scheduler)
        warmer = Warmer(bench.pool, bench.dial, _NoThreads(scheduler))  # type: ignore[arg-type]
        bench.use()
        warmer.wake()
        assert not warmer.is_running
        warmer.fill(A, 2, Deadline.after(5, scheduler.now))
        assert bench.idle() == 3
        warmer._runtime = scheduler
        warmer.wake()
        scheduler.advance(1)
        assert warmer.is_running


def test_a_task_that_cannot_be_started_gives_its_place_back(scheduler: Scheduler) -> None:
    """The reserved place is free again, and it is tried again later."""
    with scheduler:
        bench = Bench(scheduler)
        bench.use()
        bench.pool.close_idle()
        spawn, refused = scheduler.spawn, []

        def refuse_twice(fn: Callable[[], object], name: str) -> Task:
            if name == "pooledhttp-warm" and len(refused) < 2:
                refused.append(name)
                raise RuntimeError("can't start new thread")
            return spawn(fn, name)

        scheduler.spawn = refuse_twice  # type: ignore[method-assign, assignment]
        bench.warmer.wake()
        scheduler.advance(5)
        assert len(refused) == 2
        assert bench.idle() == 2 and not bench.warmer._in_progress
        assert bench.pool.stats().total.leaks == 0


def test_a_task_that_never_begins_gives_its_place_back(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tasks of a loop that are cancelled first. It is no leak, and it is tried again later."""
    with scheduler:
        bench = Bench(scheduler)
        bench.use()
        bench.pool.close_idle()
        spawn, dropped = scheduler.spawn, []

        def drop_many(fn: Callable[[], object], name: str) -> Task:
            if name == "pooledhttp-warm" and len(dropped) < 3 * MAX_DIALS:
                dropped.append(name)
                fn = int
            return spawn(fn, name)

        monkeypatch.setattr(scheduler, "spawn", drop_many)
        bench.warmer.wake()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.advance(60)
        assert len(dropped) == 3 * MAX_DIALS
        assert bench.idle() == 2 and not bench.warmer._in_progress
        total = bench.pool.stats().total
        assert total.leaks == 0 and total.active == 0


def test_overrides_decide_per_host(scheduler: Scheduler) -> None:
    """A minimum may be set for one host alone."""
    with scheduler:
        config = PoolConfig(overrides={"http://a.test": HostLimits(min_idle=3)})
        assert config.limits_for(A.origin) == Limits(None, None, 3)
        bench = Bench(scheduler, config)
        for route in (A, B):
            bench.use(route)
        bench.warmer.wake()
        scheduler.advance(3)
        assert bench.idle(A) == 3 and bench.idle(B) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_without_a_task(scheduler: Scheduler) -> None:
    """In the child it does not run, whatever held its lock; waking it starts one."""
    with scheduler:
        bench = Bench(scheduler)
        bench.warmer.wake()
        bench.warmer._lock.acquire()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = 0 if not bench.warmer.is_running and not bench.warmer._in_progress else 2
                bench.warmer.wake()
                status = status or (0 if bench.warmer.is_running else 3)
            finally:
                os._exit(status)
        bench.warmer._lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert bench.warmer.is_running
