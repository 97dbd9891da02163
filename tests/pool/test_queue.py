"""The queue: who is served, in which order, and what a late or cancelled caller leaves behind."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from pooledhttp.events import WaitTimedOut
from pooledhttp.exceptions import ConnectionError, PoolClosed, PoolTimeout, Timeout
from pooledhttp.pool import Lease, Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import LOCKED_FILES, Bench, check_state, inside
from tests.support.interrupts import interrupt_at
from tests.support.scheduler import Scheduler

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


class Callers:
    """Callers as tasks on the scheduler, with the order in which they were served."""

    def __init__(self, config: PoolConfig, seed: int = 0, *, haste: float = 0.0) -> None:
        self.scheduler = Scheduler(seed, haste=haste)
        self.closed: list[int] = []
        self.pool: Pool[str, int] = Pool(config, close=self.closed.append, runtime=self.scheduler)
        self.numbers = itertools.count(1)
        self.served: list[str] = []
        self.leases: dict[str, Lease[str, int]] = {}

    def take(self, key: str, **how: Any) -> Lease[str, int]:
        lease = self.pool.acquire(key, Deadline.never(self.scheduler.now), **how)
        if lease.resource is None:
            lease.fill(next(self.numbers))
        return lease

    def call(self, name: str, key: str, **how: Any) -> None:
        """Add a caller, and let it run until it waits or is served."""

        def run() -> None:
            self.leases[name] = self.take(key, **how)
            self.served.append(name)

        self.scheduler.spawn(run, name)
        self.scheduler.advance(0.001)


def test_one_queue_is_first_come_first_served() -> None:
    """Callers of one key are served in the order in which they came."""
    callers = Callers(PoolConfig(max_per_host=1))
    held = callers.take("a")
    for name in "123":
        callers.call(name, "a")
    assert callers.pool.stats().origins["a"].waiting == 3
    for name in "123":
        held.release()
        callers.scheduler.advance(0.001)
        held = callers.leases[name]
        assert held.resource == 1 and held.reused and held.wait_seconds > 0
    assert callers.served == ["1", "2", "3"]


def test_a_new_caller_does_not_overtake_the_queue() -> None:
    """A released slot belongs to the first caller at once; a new caller cannot take it."""
    callers = Callers(PoolConfig(max_per_host=1, acquire_timeout=0))
    held = callers.take("a")
    callers.pool.resize(PoolConfig(max_per_host=1, acquire_timeout=5))
    callers.call("first", "a")
    callers.pool.resize(PoolConfig(max_per_host=1, acquire_timeout=0))
    held.release()  # hands over; the first caller has not run yet
    with pytest.raises(PoolTimeout):
        callers.take("a")
    callers.scheduler.advance(0.001)
    assert callers.served == ["first"]


def test_a_discarded_slot_is_handed_over_empty() -> None:
    """The waiting caller dials into the slot of the closed resource."""
    callers = Callers(PoolConfig(max_per_host=1))
    held = callers.take("a")
    callers.call("next", "a")
    held.discard("broken")
    callers.scheduler.advance(0.001)
    assert callers.leases["next"].resource == 2 and callers.closed == [1]


def test_the_own_queue_goes_first_while_others_have_patience() -> None:
    """A connection is reused for its own host rather than closed for another host."""
    callers = Callers(PoolConfig(max_total=1, patience=0.25))
    held = callers.take("a")
    callers.call("other", "b")
    callers.call("own", "a")
    held.release()
    callers.scheduler.advance(0.001)
    assert callers.served == ["own"] and callers.closed == []


def test_another_key_is_served_when_its_patience_is_over() -> None:
    """No host starves behind a busy one: a connection is closed and its slot handed over."""
    callers = Callers(PoolConfig(max_total=1, patience=0.25))
    held = callers.take("a")
    callers.call("other", "b")
    callers.call("own", "a")
    callers.scheduler.advance(0.3)
    held.release()
    callers.scheduler.advance(0.001)
    assert callers.served == ["other"] and callers.closed == [1]
    callers.leases["other"].release()
    callers.scheduler.advance(0.001)
    assert callers.served == ["other", "own"]


def test_patience_is_at_most_a_quarter_of_the_timeout() -> None:
    """A caller with a timeout of 0.4 s may overtake after 0.1 s."""
    callers = Callers(PoolConfig(max_total=1, patience=0.25, acquire_timeout=0.4))
    held = callers.take("a")
    callers.call("other", "b")
    callers.call("own", "a")
    callers.scheduler.advance(0.15)
    held.release()
    callers.scheduler.advance(0.001)
    assert callers.served == ["other"]


def test_the_longest_wait_goes_first_among_other_keys() -> None:
    """Room that the own key does not need goes to the caller that has waited longest."""
    callers = Callers(PoolConfig(max_total=1))
    held = callers.take("a")
    callers.call("b", "b")
    callers.call("c", "c")
    held.discard("x")
    callers.scheduler.advance(0.001)
    assert callers.served == ["b"]


def test_a_key_at_its_own_maximum_does_not_block_others() -> None:
    """Room of the pool is not kept for a key that cannot use it."""
    callers = Callers(PoolConfig(max_per_host=1, max_total=2))
    held = callers.take("a")
    callers.call("a2", "a")
    other = callers.take("b")
    callers.call("c", "c")
    other.discard("x")
    callers.scheduler.advance(0.001)
    assert callers.served == ["c"]
    held.release()


def test_too_long_a_wait_lists_the_holders() -> None:
    """The error is a Timeout and a ConnectionError, with counts, limits and holders."""
    bench = Bench(PoolConfig(max_per_host=2, acquire_timeout=5, leak_threshold=600))
    held = [bench.take(), bench.take()]
    with pytest.raises(PoolTimeout) as caught:
        bench.take()
    error = caught.value
    assert isinstance(error, Timeout) and isinstance(error, ConnectionError)
    assert (error.origin, error.in_use, error.limit, error.waiting) == ("a", 2, 2, 1)
    assert error.waited_seconds == 5
    assert "in use 2 of 2" in str(error) and "max_per_host" in str(error)
    assert len(error.holders) == 2 and "tools.py" in error.holders[0]
    assert "for 5.0 s" in error.holders[0]
    assert WaitTimedOut("a", 5.0) in bench.events
    assert bench.pool.stats().origins["a"].acquire_timeouts == 1
    assert all(not lease.is_ended for lease in held)
    check_state(bench.pool)


def test_the_deadline_bounds_the_wait_as_well() -> None:
    """The shorter of `acquire_timeout` and the deadline of the request counts."""
    bench = Bench(PoolConfig(max_total=1, acquire_timeout=5))
    held = bench.take()
    with pytest.raises(PoolTimeout, match="max_total") as caught:
        bench.take("b", seconds=1)
    assert caught.value.waited_seconds == 1
    held.release()


def test_a_caller_served_at_the_last_moment_is_not_late() -> None:
    """A caller whose time is up, but which was served meanwhile, returns its lease."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=5))
    held = bench.take()

    class LateFlag:
        is_set = False

        def set(self) -> None:
            pass

        def wait(self, deadline: Deadline) -> bool:
            held.release()  # hands over; the signal comes too late
            return False

    bench.runtime.waiter = LateFlag  # type: ignore[assignment]
    lease = bench.take()
    assert lease.resource == 1
    assert bench.pool.stats().total.acquire_timeouts == 0


@pytest.mark.parametrize("is_served", [False, True])
def test_a_cancelled_wait_gives_back_what_it_was_handed(is_served: bool) -> None:
    """An exception in the wait leaves the queue, or returns the resource unused."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=5))
    held = bench.take()

    def interrupt() -> None:
        if is_served:
            held.release()
        raise KeyboardInterrupt

    bench.runtime.meanwhile.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.take()
    check_state(bench.pool)
    if not is_served:
        held.release()
    again = bench.take()
    assert again.resource == 1
    stats = bench.pool.stats().total
    assert (stats.acquired, stats.reused, stats.waiting, stats.leaks) == (2, 1, 0, 0)


def test_the_slot_of_a_served_caller_that_is_killed_is_not_lost() -> None:
    """The slot is recovered when the lease object is finalized, and serves the next caller."""
    callers = Callers(PoolConfig(max_per_host=1, acquire_timeout=None))
    held = callers.take("a")
    callers.call("gone", "a")
    callers.call("next", "a")
    lease = inside(callers.pool).first_waiting("a")
    held.release()
    assert lease.resource == 1
    callers.scheduler.tasks[0].greenlet.throw()  # GreenletExit inside the wait
    del lease
    callers.scheduler.advance(0.001)
    assert callers.served == ["next"]
    check_state(callers.pool)


@pytest.mark.parametrize("seed", range(40))
def test_no_wake_up_is_lost(seed: int) -> None:
    """With short timeouts and many interleavings, each caller is served or times out."""
    scheduler = Scheduler(seed, haste=0.2)
    kind = type("InterleavedPool", (Pool,), {"_lock_type": lambda _: scheduler.lock()})
    config = PoolConfig(max_per_host=2, max_total=3, acquire_timeout=0.05, patience=0.01)
    pool: Pool[str, int] = kind(config, close=lambda _: None, runtime=scheduler)
    source = random.Random(seed)
    numbers = itertools.count()
    results: list[str] = []

    def caller() -> None:
        for _ in range(6):
            try:
                lease = pool.acquire(source.choice("abc"), Deadline.never(scheduler.now))
            except PoolTimeout:
                results.append("late")
                continue
            if lease.resource is None:
                lease.fill(next(numbers))
            assert inside(pool).open_total <= 3
            scheduler.sleep(source.choice([0, 0.01, 0.04]))
            if source.random() < 0.7:
                lease.release()
            else:
                lease.discard("test")
            results.append("served")

    for index in range(6):
        scheduler.spawn(caller, f"caller {index}")
    scheduler.run()
    assert len(results) == 36 and "served" in results
    check_state(pool)
    assert not inside(pool).held() and not inside(pool).waiting_total


def test_shutdown_ends_all_waits_at_once() -> None:
    """Waiting and later callers get PoolClosed; leases live until they end."""
    callers = Callers(PoolConfig(max_per_host=1))
    held = callers.take("a")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            callers.take("a")
        except PoolClosed as exc:
            errors.append(exc)

    callers.scheduler.spawn(run, "caller")
    callers.scheduler.advance(0.001)
    before = callers.scheduler.now()
    callers.pool.shutdown()
    callers.scheduler.run()
    assert len(errors) == 1 and callers.scheduler.now() == before
    with pytest.raises(PoolClosed, match="a"):
        callers.take("a")
    assert not held.is_ended and callers.closed == []
    held.release()
    assert callers.closed == [1]


def test_growing_serves_waiting_callers() -> None:
    """A resize that makes room serves as many callers as there is room for."""
    callers = Callers(PoolConfig(max_per_host=1, max_total=1))
    held = callers.take("a")
    for name in ("a2", "a3"):
        callers.call(name, "a")
    callers.call("b1", "b")
    callers.pool.resize(PoolConfig(max_per_host=2, max_total=3))
    callers.scheduler.advance(0.001)
    assert sorted(callers.served) == ["a2", "b1"] and not held.is_ended
    check_state(callers.pool)


def test_five_hosts_share_sixteen_slots() -> None:
    """The limit holds, reuse stays high, and no caller waits much longer than others."""
    callers = Callers(PoolConfig(max_total=16, acquire_timeout=30), seed=3)
    waits: list[float] = []
    most = 0

    def caller(key: str) -> None:
        nonlocal most
        for _ in range(12):
            lease = callers.take(key)
            most = max(most, inside(callers.pool).open_total)
            waits.append(lease.wait_seconds)
            callers.scheduler.sleep(0.02)
            lease.release()

    for index in range(100):
        callers.scheduler.spawn(lambda key="abcde"[index % 5]: caller(key), f"{index}")
    callers.scheduler.run()
    total = callers.pool.stats().total
    assert most <= 16
    assert total.reuse_rate > 0.9
    assert max(waits) <= 10 * sorted(waits)[len(waits) // 2]


@pytest.mark.parametrize("end", ["release", "discard", "resize"])
@pytest.mark.parametrize("max_total", [None, 1])
def test_an_interrupted_hand_over_still_serves_the_caller(end: str, max_total: int | None) -> None:
    """At whichever line Ctrl-C hits, the waiting caller is served at once, not at its timeout."""
    for step in itertools.count(1):
        bench = Bench(PoolConfig(max_per_host=1, max_total=max_total, acquire_timeout=5))
        held = [bench.take()]
        hits: list[bool] = []

        def give(
            bench: Bench = bench, held: Any = held, hits: Any = hits, step: int = step
        ) -> None:
            def act() -> None:
                if end == "resize":
                    bench.pool.resize(PoolConfig(max_per_host=2, acquire_timeout=5))
                elif end == "release":
                    held[0].release()
                else:
                    held[0].discard("test")

            hits.append(interrupt_at(step, act, LOCKED_FILES, "line"))
            if end != "resize":
                held.clear()  # the finalizer ends a lease whose end had not begun
            if hits[0] and end == "resize":
                bench.pool.resize(PoolConfig(max_per_host=2, acquire_timeout=5))

        bench.runtime.meanwhile.append(give)
        started = bench.clock.now()
        assert bench.take().resource, step
        assert bench.clock.now() == started, f"interrupted at line {step}, it waited in vain"
        if not hits[0]:
            break
    assert step > 10
