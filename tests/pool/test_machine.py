"""Random histories of a pool: the counters are right after any operations in any order."""

from __future__ import annotations

import gc
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pooledhttp.exceptions import PoolClosed, PoolTimeout
from pooledhttp.pool import Lease, Limits, Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import check_state, inside
from tests.support.scheduler import Scheduler, SchedulerTask

#: Steps of all machines in this process; the long run prints the number.
steps = itertools.count()

KEYS = st.sampled_from("abcd")
PICK = st.integers(0, 1_000_000)


class Cancelled(BaseException):
    """Stands for Ctrl-C or the cancellation of a task."""


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for such a value, or None."""
    return st.none() | strategy


CONFIGS = st.builds(
    PoolConfig,
    max_per_host=optional(st.integers(1, 3)),
    max_total=optional(st.integers(1, 5)),
    max_idle_per_host=optional(st.integers(0, 2)),
    max_idle_total=optional(st.integers(0, 4)),
    acquire_timeout=st.sampled_from([0.0, 0.5, 5.0, None]),
    idle_timeout=st.sampled_from([1.0, 10.0, None]),
    max_lifetime=st.sampled_from([2.0, 20.0, None]),
    max_requests=optional(st.integers(1, 4)),
    validate_after=st.sampled_from([0.0, 1.0, None]),
    leak_threshold=st.sampled_from([3.0, None]),
    patience=st.sampled_from([0.0, 0.25, 2.0]),
)


class PoolMachine(RuleBasedStateMachine):
    """Operations run one after the other; callers are greenlets, so that they can wait."""

    has_interleavings = False

    @initialize(
        config=CONFIGS,
        seed=st.integers(0, 2**16),
        min_idle=st.integers(0, 1),
        dial_cost=st.sampled_from([0.0, 0.01, 1.0]),
    )
    def build(self, config: PoolConfig, seed: int, min_idle: int, dial_cost: float) -> None:
        self.scheduler = Scheduler(seed, haste=0.0)
        self.numbers = itertools.count(1)
        self.live: set[int] = set()
        self.dead: set[int] = set()
        self.leases: list[Lease[str, int]] = []
        self.tasks: list[SchedulerTask] = []
        self.min_idle = min_idle
        self.resizing: SchedulerTask | None = None
        self.before: tuple[dict[str, int], int] = ({}, 0)
        kind: type[Pool[str, int]] = Pool
        if self.has_interleavings:
            scheduler = self.scheduler
            kind = type("InterleavedPool", (Pool,), {"_lock_type": lambda _: scheduler.lock()})
        self.pool: Pool[str, int] = kind(
            config,
            close=self.close_resource,
            runtime=self.scheduler,
            is_alive=lambda number: number not in self.dead,
            limits_for=self.limits_of,
            random=Random(seed),
            dial_cost=lambda key: dial_cost,
        )

    def limits_of(self, key: str) -> Limits:
        config = self.pool.config
        minimum = self.min_idle if key == "a" else 0
        return Limits(config.max_per_host, config.max_idle_per_host, minimum)

    def close_resource(self, number: int) -> None:
        assert number in self.live, "closed twice"
        self.live.remove(number)

    def make(self) -> int:
        number = next(self.numbers)
        self.live.add(number)
        return number

    def settle(self) -> None:
        """Run the tasks that can run; with interleavings only some, and not to their end."""
        for _ in range(3 if self.has_interleavings else 30):
            if not self.scheduler._ready and not self._has_ended_parks():
                return
            self.scheduler.checkpoint()

    def do(self, step: Callable[[], object]) -> None:
        """Run an operation; with interleavings it may stop in the middle for a while."""
        if not self.has_interleavings:
            step()
        else:
            self.tasks.append(self.scheduler.spawn(step, "step"))
        self.settle()

    def _has_ended_parks(self) -> bool:
        return any(task.park and task.park.is_over() for task in self.scheduler._parked)

    def pick(self, number: int, things: list[Any]) -> Any:
        return things.pop(number % len(things))

    # -- operations

    @rule(
        key=KEYS,
        seconds=st.sampled_from([0.0, 0.3, 3.0, None]),
        careful=st.booleans(),
        is_filled=st.booleans(),
    )
    def acquire(self, key: str, seconds: float | None, careful: bool, is_filled: bool) -> None:
        def call() -> None:
            deadline = Deadline.after(seconds, self.scheduler.now)
            try:
                lease = self.pool.acquire(key, deadline, careful=careful)
            except (PoolTimeout, PoolClosed, Cancelled):
                return
            assert lease.resource is None or lease.resource in self.live
            if lease.resource is None and is_filled:
                lease.fill(self.make())
            self.leases.append(lease)

        self.tasks.append(self.scheduler.spawn(call, f"acquire {key}"))
        self.settle()

    @precondition(lambda self: self.leases)
    @rule(number=PICK, announced_seconds=st.sampled_from([None, 0.5, 5.0]))
    def release(self, number: int, announced_seconds: float | None) -> None:
        lease = self.pick(number, self.leases)
        self.do(lambda: lease.release(announced_seconds))

    @precondition(lambda self: self.leases)
    @rule(number=PICK)
    def renew(self, number: int) -> None:
        lease = self.pick(number, self.leases)

        def call() -> None:
            if lease.renew():
                assert lease.resource is None or lease.resource in self.live
                self.leases.append(lease)
            else:
                assert lease.resource is None

        self.do(call)

    @precondition(lambda self: self.leases)
    @rule(number=PICK)
    def discard(self, number: int) -> None:
        lease = self.pick(number, self.leases)

        def call() -> None:
            lease.discard("test")
            lease.release()  # a second end has no effect

        self.do(call)

    @precondition(lambda self: self.leases)
    @rule(number=PICK)
    def drop(self, number: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self.pick(number, self.leases)
        self.settle()

    @precondition(lambda self: any(lease.resource is None for lease in self.leases))
    @rule(number=PICK)
    def fill(self, number: int) -> None:
        empty = [lease for lease in self.leases if lease.resource is None]
        lease = empty[number % len(empty)]
        self.leases.remove(lease)

        def call() -> None:
            lease.fill(self.make())
            self.leases.append(lease)

        self.do(call)

    @precondition(lambda self: any(lease.reused for lease in self.leases))
    @rule(number=PICK)
    def find_stale(self, number: int) -> None:
        reused = [lease for lease in self.leases if lease.reused]
        lease = reused[number % len(reused)]
        self.leases.remove(lease)

        def call() -> None:
            lease.found_stale()
            self.leases.append(lease)

        self.do(call)

    @precondition(lambda self: self.live)
    @rule(number=PICK)
    def die(self, number: int) -> None:
        """Let a peer close a connection."""
        self.dead.add(sorted(self.live)[number % len(self.live)])

    @rule(seconds=st.sampled_from([0.01, 0.2, 0.6, 2.5, 15.0]))
    def pass_time(self, seconds: float) -> None:
        self.scheduler.advance(seconds)

    @rule(number=PICK)
    def cancel(self, number: int) -> None:
        parked = [t for t in self.tasks if t.park is not None and t.park.what == "a waiter"]
        if parked:
            parked[number % len(parked)].cancel(Cancelled())
            self.settle()

    @rule(key=KEYS, is_predicate=st.booleans())
    def evict(self, key: str, is_predicate: bool) -> None:
        which = (lambda other: other == key) if is_predicate else key
        self.do(lambda: self.pool.evict(which))

    @rule(config=CONFIGS)
    def resize(self, config: PoolConfig) -> None:
        self.do(lambda: self.pool.resize(config))
        if self.has_interleavings:
            self.resizing = self.tasks[-1]

    @rule()
    def close_idle(self) -> None:
        self.do(self.pool.close_idle)

    @rule()
    def sweep(self) -> None:
        self.do(self.pool.sweep)

    @rule(key=KEYS)
    def warm(self, key: str) -> None:
        def call() -> None:
            lease = self.pool.try_reserve(key)
            if lease is not None:
                lease.fill(self.make())
                lease.release()

        self.do(call)

    @rule()
    def collect(self) -> None:
        gc.collect(0)

    @rule()
    def read(self) -> None:
        def call() -> None:
            self.pool.stats()
            self.pool.shortage()
            self.pool.advise()

        self.do(call)

    # -- what is always true

    @invariant()
    def counters_are_right(self) -> None:
        if not hasattr(self, "pool"):
            return
        next(steps)
        self.tasks = [task for task in self.tasks if not task.done]
        self.scheduler._raise_first_error()
        self.scheduler.tasks[:] = self.tasks
        if inside(self.pool).lock.locked():
            return  # a task is in the middle of a step
        check_state(self.pool)
        view = inside(self.pool)
        known = set(view.all_idle())
        if not self.has_interleavings:  # a caller closes a dead one before it tells the pool
            known |= set(view.held())
        assert known - {None} <= self.live
        opened, total_before = self.before
        if self.resizing is not None:  # what was open when it took effect may stay open
            opened, total_before = view.open_by_key(), view.open_total
            self.resizing = None if self.resizing.done else self.resizing
        maxima = view.max_by_key()
        for key, count in view.open_by_key().items():
            assert count <= maxima[key] or count <= opened.get(key, 0)
        assert view.open_total <= view.max_total or view.open_total <= total_before
        self.before = (view.open_by_key(), view.open_total)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for _ in range(1000):
            if not self.leases and all(task.done for task in self.tasks):
                break
            while self.leases:
                self.do(self.leases.pop().release)
            waiting = [task for task in self.tasks if not task.done]
            for task in waiting:
                task.join(Deadline.after(1.0, self.scheduler.now))
        assert all(task.done for task in self.tasks), f"{self.pool} {self.scheduler}"
        check_state(self.pool)
        view = inside(self.pool)
        assert not view.held()
        assert not view.waiting_total
        assert not view.closing_count
        self.do(self.pool.shutdown)
        for task in self.tasks:
            task.join(Deadline.never(self.scheduler.now))
        assert self.live == set(), "a resource was lost without being closed"
        assert not view.open_total
        self.scheduler.close()


class InterleavedPoolMachine(PoolMachine):
    """Tasks can be switched wherever one takes or releases the lock."""

    has_interleavings = True


def run(
    machine: type[PoolMachine], examples: int, length: int, *, derandomize: bool = True
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=length,
            derandomize=derandomize,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Ignore the warnings about dropped leases."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.mark.parametrize("machine", [PoolMachine, InterleavedPoolMachine])
def test_counters_are_right_in_random_histories(machine: type[PoolMachine]) -> None:
    """No limit is exceeded, no caller forgotten, no resource lost or in two slots."""
    run(machine, 40, 30)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("machine", [PoolMachine, InterleavedPoolMachine])
def test_counters_are_right_in_long_random_histories(machine: type[PoolMachine]) -> None:
    """The same for at least 200,000 steps in all; `POOL_STEPS` sets another number."""
    wanted = int(os.environ.get("POOL_STEPS", "240000")) // 2
    first = next(steps)
    while (done := next(steps) - first) < wanted:
        run(machine, max((wanted - done) // 100, 100), 120, derandomize=False)
    print(f"{machine.__name__}: {done} steps")
