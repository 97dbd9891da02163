"""Callers that wait for a slot in use, below the limits, because that is faster than many dials."""

from __future__ import annotations

import contextlib
import itertools
import random
from functools import partial
from typing import Any

import pytest

from pooledhttp.exceptions import PoolClosed, PoolTimeout
from pooledhttp.pool import Lease, Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import LOCKED_FILES, Bench, check_state
from tests.support.interrupts import interrupt_at
from tests.support.scheduler import Scheduler

#: Seconds of CPU that a dial costs in these tests.
COST = 0.01


class Burst:
    """A pool with a few resources, and callers as tasks on the scheduler."""

    def __init__(self, config: PoolConfig | None = None, *, dial_cost: float = COST) -> None:
        self.scheduler = Scheduler(1, haste=0.0)
        self.numbers = itertools.count(1)
        self.closed: list[int] = []
        self.pool: Pool[str, int] = Pool(
            config,
            close=self.closed.append,
            runtime=self.scheduler,
            dial_cost=lambda _: dial_cost,
        )
        self.served: list[int] = []
        self.leases: dict[int, Lease[str, int]] = {}
        self._callers = itertools.count()

    def take(self, key: str = "a", seconds: float | None = None) -> Lease[str, int]:
        lease = self.pool.acquire(key, Deadline.after(seconds, self.scheduler.now))
        if lease.resource is None:
            lease.fill(next(self.numbers))
        return lease

    def serve(self, count: int, *, each: float = 0.001, reuse: bool = True) -> None:
        """Let so many requests pass, in turn."""
        for _ in range(count):
            lease = self.take()
            self.scheduler.advance(each)
            if reuse:
                lease.release()
            else:
                lease.discard("closed by the server")

    def busy(self, count: int, key: str = "a") -> list[Lease[str, int]]:
        """Return leases that are in use, more than a dial ago."""
        leases: list[Lease[str, int]] = []
        while len(leases) < count:
            leases.append(self.take(key))
            self.scheduler.advance(1.0)
        return leases

    def call(self, count: int, seconds: float | None = None, key: str = "a") -> None:
        """Add callers at the same moment, and let them run until they wait or are served."""

        def run(number: int) -> None:
            self.leases[number] = self.take(key, seconds)
            self.served.append(number)

        for number in itertools.islice(self._callers, count):
            self.scheduler.spawn(partial(run, number), f"caller {number}")
            self.scheduler.advance(1e-6)

    @property
    def opened(self) -> int:
        return self.pool.stats().total.created


def fast(config: PoolConfig | None = None, **settings: Any) -> tuple[Burst, list[Lease[str, int]]]:
    """Return a pool whose leases end fast as a rule, with four in use."""
    burst = Burst(config, **settings)
    burst.serve(200)
    return burst, burst.busy(4)


def test_a_burst_waits_for_resources_in_use() -> None:
    """Of twenty callers one dials, and the others get what is released, in their order."""
    burst, held = fast()
    burst.call(20)
    assert burst.opened == 5 and burst.served == [0]
    assert burst.pool.stats().total.waiting == 19
    check_state(burst.pool)
    held.append(burst.leases[0])
    for number in range(1, 20):
        held.pop(0).release()
        burst.scheduler.advance(0.0001)
        held.append(burst.leases[number])
    assert burst.served == list(range(20)) and burst.opened == 5
    assert burst.leases[19].reused and burst.leases[19].wait_seconds > 0.0
    check_state(burst.pool)


def test_one_caller_in_eight_dials_dials() -> None:
    """While dials are spared, more resources are opened with an eighth of the CPU."""
    burst, held = fast()
    for number in range(100):
        burst.call(1)
        if number not in burst.leases:
            held.pop(0).release()
            burst.scheduler.advance(0.0)
        held.append(burst.leases[number])
        burst.scheduler.advance(COST)
    assert 4 + 100 // 9 <= burst.opened <= 4 + 100 // 8 + 1


def test_nothing_is_spared_before_a_lease_has_ended() -> None:
    """Tasks that start together open all resources at once."""
    burst = Burst()
    burst.call(32)
    assert burst.opened == 32


def test_nothing_is_spared_when_leases_take_long() -> None:
    """Four leases of a second each give back less than the dials of one second would open."""
    burst = Burst()
    burst.serve(10, each=1.0)
    burst.busy(4)
    burst.call(20)
    assert burst.opened == 24


def test_no_dial_is_spared_while_the_queue_is_long() -> None:
    """A caller that would be served after the time of a hundred dials makes one."""
    burst = Burst()
    burst.serve(20, each=0.0095)
    held = burst.busy(1)
    burst.call(200)
    assert burst.opened == 2  # the first caller dials, and now two slots are given back
    burst.call(50)
    assert burst.opened == 3 and held[0].slot is not None
    check_state(burst.pool)


def test_nothing_is_spared_when_resources_are_not_used_again() -> None:
    """A lease that ends with a close helps no caller."""
    burst = Burst()
    burst.serve(1000, reuse=False)
    burst.busy(4)
    burst.call(20)
    assert burst.opened == 1000 + 24


@pytest.mark.parametrize(
    ("config", "dial_cost"), [(PoolConfig(patience=0.0), COST), (PoolConfig(), 0.0)]
)
def test_nothing_is_spared_without_patience_or_cost(config: PoolConfig, dial_cost: float) -> None:
    """`patience=0` turns it off, and so does a dial that costs next to nothing."""
    burst, _ = fast(config, dial_cost=dial_cost)
    burst.call(20)
    assert burst.opened == 24


def test_callers_dial_when_leases_stop_to_end() -> None:
    """The peer has become slow: each caller waits for twenty dials' time, and then dials."""
    burst, _ = fast()
    burst.call(20)
    assert burst.opened == 5
    burst.scheduler.advance(20 * COST + 0.001)
    assert burst.opened == 24 and len(burst.served) == 20
    check_state(burst.pool)


def test_callers_go_on_waiting_while_leases_end() -> None:
    """After twenty dials' time they look how many leases have ended meanwhile."""
    burst, held = fast()
    burst.call(20)
    for number in range(1, 20):
        held.pop(0).release()
        burst.scheduler.advance(3 * COST)
        held.append(burst.leases[number])
    assert burst.opened == 5


def test_a_deadline_leaves_half_of_the_time_for_a_dial() -> None:
    """No caller gets a `PoolTimeout` while there is room."""
    burst, _ = fast()
    burst.call(20, seconds=0.02)
    assert burst.opened == 5
    burst.scheduler.advance(0.0101)
    assert burst.opened == 24


def test_a_caller_that_must_not_wait_dials() -> None:
    """`acquire_timeout=0` is no error while there is room."""
    burst, _ = fast(PoolConfig(acquire_timeout=0.0))
    burst.call(20)
    assert burst.opened == 24


def test_a_failed_dial_is_replaced_by_one() -> None:
    """A slot that becomes free serves one caller; the others go on waiting."""
    burst, held = fast()
    burst.call(20)
    held.pop().discard("broken")
    burst.scheduler.advance(0.0001)
    assert burst.served == [0, 1] and burst.opened == 6
    assert burst.pool.stats().total.waiting == 18
    check_state(burst.pool)


def test_all_dial_when_no_lease_is_left() -> None:
    """When all resources in use break, no caller is left without one that serves it."""
    burst, held = fast()
    burst.call(20)
    for lease in (*held, burst.leases[0]):
        lease.discard("broken")
    burst.scheduler.advance(0.0001)
    check_state(burst.pool)
    burst.scheduler.advance(20 * COST + 0.001)
    assert len(burst.served) == 20


def test_another_key_keeps_its_resources_while_the_pool_has_room() -> None:
    """Callers that spare dials take nothing from other keys below `max_total`."""
    burst, _ = fast(PoolConfig(max_total=30))
    other = burst.take("b")
    burst.call(20)
    other.release()
    burst.scheduler.advance(0.0001)
    assert burst.pool.idle_count("b") == 1 and burst.closed == []
    check_state(burst.pool)


def test_the_limit_of_the_pool_holds() -> None:
    """Callers that wait when the pool becomes full are served when it has room again."""
    burst, _ = fast(PoolConfig(max_total=6))
    burst.call(3)
    others = [burst.take("b")]
    burst.scheduler.advance(20 * COST + 0.001)
    assert len(burst.served) == 1, "the pool is full"
    check_state(burst.pool)
    others.pop().release()
    burst.scheduler.advance(1.0)
    assert len(burst.served) == 2 and burst.closed != []
    check_state(burst.pool)


def test_a_shutdown_ends_the_wait() -> None:
    """Callers that spare a dial get `PoolClosed` at once."""
    burst, _ = fast()
    burst.call(2)
    burst.pool.shutdown()
    with pytest.raises(PoolClosed):
        burst.scheduler.run()


@pytest.mark.parametrize("max_total", [None, 5])
def test_an_interrupt_leaves_nothing_behind(max_total: int | None) -> None:
    """At whichever line Ctrl-C hits a caller that spares a dial, no slot and no place is lost."""
    for step in itertools.count(1):
        bench = Bench(PoolConfig(max_total=max_total), dial_cost=lambda _: COST)
        for _ in range(20):
            lease = bench.take()
            bench.clock.advance(0.001)
            lease.release()
        held = [bench.take("b"), bench.take()]
        started = bench.clock.now()
        got: list[Lease[str, int]] = []

        def acquire(bench: Bench = bench, got: list[Lease[str, int]] = got) -> None:
            got.append(bench.pool.acquire("a", bench.clock.deadline(None)))

        is_hit = interrupt_at(step, acquire, LOCKED_FILES, "line")
        check_state(bench.pool)
        assert bench.pool.stats().total.active == 2 + len(got)
        held += [bench.take(), *got]
        for lease in held:
            lease.release()
        check_state(bench.pool)
        if not is_hit:
            break
    assert step > 50 and bench.clock.now() > started


def test_patience_zero_spares_nothing_after_a_wait() -> None:
    """A caller that was stopped by the limit dials as soon as there is room."""
    burst, held = fast(PoolConfig(max_per_host=4, patience=0.0))
    burst.call(2)
    burst.pool.resize(PoolConfig(max_per_host=20, patience=0.0))
    burst.scheduler.advance(0.0001)
    assert burst.opened == 6 and len(held) == 4


class Cancelled(BaseException):
    """Stands for the cancellation of a task."""


@pytest.mark.parametrize("seed", range(12))
def test_random_bursts_leave_nothing_behind(seed: int) -> None:
    """Bursts on two keys, with failed dials, closes and cancelled waits: all are served."""
    source = random.Random(seed)
    per_host, total = source.choice([None, 6]), source.choice([None, 8])
    config = PoolConfig(max_per_host=per_host, max_total=total, acquire_timeout=None)
    burst = Burst(config)
    scheduler = burst.scheduler

    def work() -> None:
        with contextlib.suppress(Cancelled):
            for _ in range(8):
                key, seconds = source.choice("aab"), source.choice([None, 0.05, 2.0])
                careful = source.random() < 0.2
                deadline = Deadline.after(seconds, scheduler.now)
                try:
                    lease = burst.pool.acquire(key, deadline, careful)
                except PoolTimeout:
                    assert seconds is not None and (per_host or total), "there was room"
                    continue
                if lease.resource is None:
                    scheduler.sleep(source.choice([0.001, COST]))
                    if source.random() < 0.1:
                        lease.discard("failed")
                        continue
                    lease.fill(next(burst.numbers))
                scheduler.sleep(source.choice([0.0001, 0.001, 0.001, 0.001, 0.3]))
                if source.random() < 0.05:
                    lease.discard("broken")
                else:
                    lease.release()

    burst.serve(200)
    tasks = [scheduler.spawn(work, f"worker {number}") for number in range(30)]
    while any(not task.done for task in tasks):
        scheduler.checkpoint()
        check_state(burst.pool)
        waiting = [t for t in tasks if t.park is not None and t.park.what == "a waiter"]
        if waiting and source.random() < 0.02:
            source.choice(waiting).cancel(Cancelled())
    scheduler.run()  # raises what a task raised
    assert not burst.pool.stats().total.active and not burst.pool.stats().total.waiting
