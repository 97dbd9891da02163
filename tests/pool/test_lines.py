"""Waiting: who is served by what, in which order, and what a late or lost caller leaves behind."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from pooledhttp.events import WaitTimedOut
from pooledhttp.exceptions import ConnectionError, PoolClosed, PoolTimeout, Timeout
from pooledhttp.pool import Lease, Pool, PoolConfig
from pooledhttp.timing import Deadline
from tests.pool.tools import LOCKED_FILES, Bench, check_state, inside
from tests.support.scheduler import Scheduler

pytestmark = pytest.mark.filterwarnings("ignore:A lease for:ResourceWarning")


class Office:
    """Callers as tasks on the scheduler, and the order in which they were served."""

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
        """Add a caller, and let it come as far as it can."""

        def run() -> None:
            self.leases[name] = self.take(key, **how)
            self.served.append(name)

        self.scheduler.spawn(run, name)
        self.scheduler.advance(0.001)


def test_one_line_is_first_come_first_served() -> None:
    """Callers of one key get the resource in the order in which they came."""
    office = Office(PoolConfig(max_per_host=1))
    held = office.take("a")
    for name in "123":
        office.call(name, "a")
    assert office.pool.stats().origins["a"].waiting == 3
    for name in "123":
        held.release()
        office.scheduler.advance(0.001)
        held = office.leases[name]
        assert held.resource == 1 and held.reused and held.wait_seconds > 0
    assert office.served == ["1", "2", "3"]


def test_a_newcomer_does_not_get_past_the_line() -> None:
    """What is given back belongs to the first in line before anybody else can ask for it."""
    office = Office(PoolConfig(max_per_host=1, acquire_timeout=0))
    held = office.take("a")
    office.pool.resize(PoolConfig(max_per_host=1, acquire_timeout=5))
    office.call("first", "a")
    office.pool.resize(PoolConfig(max_per_host=1, acquire_timeout=0))
    held.release()  # hands over; the first has not run yet
    with pytest.raises(PoolTimeout):
        office.take("a")
    office.scheduler.advance(0.001)
    assert office.served == ["first"]


def test_a_discarded_place_is_handed_over_empty() -> None:
    """The caller in line dials into the room of what was closed."""
    office = Office(PoolConfig(max_per_host=1))
    held = office.take("a")
    office.call("next", "a")
    held.discard("broken")
    office.scheduler.advance(0.001)
    assert office.leases["next"].resource == 2 and office.closed == [1]


def test_a_caller_for_a_new_one_gets_the_room_of_the_old() -> None:
    """`fresh` is respected in line as well: the resource is closed and its room handed over."""
    office = Office(PoolConfig(max_per_host=1))
    held = office.take("a")
    office.call("fresh", "a", fresh=True)
    held.release()
    office.scheduler.advance(0.001)
    assert not office.leases["fresh"].reused and office.closed == [1]


def test_own_line_goes_first_while_others_have_patience() -> None:
    """A connection is reused for its own host rather than closed for another's sake."""
    office = Office(PoolConfig(max_total=1, patience=0.25))
    held = office.take("a")
    office.call("other", "b")
    office.call("own", "a")
    held.release()
    office.scheduler.advance(0.001)
    assert office.served == ["own"] and office.closed == []


def test_another_key_is_served_when_its_patience_is_over() -> None:
    """Nobody starves behind a busy host: its connection is closed, and the room handed over."""
    office = Office(PoolConfig(max_total=1, patience=0.25))
    held = office.take("a")
    office.call("other", "b")
    office.call("own", "a")
    office.scheduler.advance(0.3)
    held.release()
    office.scheduler.advance(0.001)
    assert office.served == ["other"] and office.closed == [1]
    office.leases["other"].release()
    office.scheduler.advance(0.001)
    assert office.served == ["other", "own"]


def test_patience_is_at_most_a_quarter_of_the_wait() -> None:
    """Who can wait for 0.4 s only loses patience after 0.1 s."""
    office = Office(PoolConfig(max_total=1, patience=0.25, acquire_timeout=0.4))
    held = office.take("a")
    office.call("other", "b")
    office.call("own", "a")
    office.scheduler.advance(0.15)
    held.release()
    office.scheduler.advance(0.001)
    assert office.served == ["other"]


def test_the_longest_wait_goes_first_among_other_keys() -> None:
    """Room that nobody of the own key wants goes to the oldest caller of all."""
    office = Office(PoolConfig(max_total=1))
    held = office.take("a")
    office.call("b", "b")
    office.call("c", "c")
    held.discard("x")
    office.scheduler.advance(0.001)
    assert office.served == ["b"]


def test_a_key_at_its_own_maximum_does_not_block_others() -> None:
    """The pool's room is not kept for who could not use it."""
    office = Office(PoolConfig(max_per_host=1, max_total=2))
    held = office.take("a")
    office.call("a2", "a")
    other = office.take("b")
    office.call("c", "c")
    other.discard("x")
    office.scheduler.advance(0.001)
    assert office.served == ["c"]
    held.release()


def test_too_long_a_wait_lists_the_holders() -> None:
    """The error is a Timeout and a ConnectionError, and tells counts, limits and holders."""
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
    """The shorter of `acquire_timeout` and the request's own limit counts."""
    bench = Bench(PoolConfig(max_total=1, acquire_timeout=5))
    held = bench.take()
    with pytest.raises(PoolTimeout, match="max_total") as caught:
        bench.take("b", seconds=1)
    assert caught.value.waited_seconds == 1
    held.release()


def test_who_is_served_at_the_last_moment_is_not_late() -> None:
    """A caller whose time is up and who has been handed a lease meanwhile returns it."""
    bench = Bench(PoolConfig(max_per_host=1, acquire_timeout=5))
    held = bench.take()

    class LateFlag:
        is_set = False

        def set(self) -> None:
            pass

        def wait(self, deadline: Deadline) -> bool:
            held.release()  # hands over; the news comes too late
            return False

    bench.runtime.waiter = LateFlag  # type: ignore[assignment]
    lease = bench.take()
    assert lease.resource == 1
    assert bench.pool.stats().total.acquire_timeouts == 0


@pytest.mark.parametrize("is_served", [False, True])
def test_a_cancelled_wait_gives_back_what_it_was_handed(is_served: bool) -> None:
    """An exception inside the wait leaves the line, or returns the resource unused."""
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


def test_a_served_caller_that_vanishes_loses_nothing() -> None:
    """Its place is recovered when the lease object dies, and goes to the next in line."""
    office = Office(PoolConfig(max_per_host=1, acquire_timeout=None))
    held = office.take("a")
    office.call("gone", "a")
    office.call("next", "a")
    lease = inside(office.pool).first_waiting("a")
    held.release()
    assert lease.resource == 1
    office.scheduler.tasks[0].greenlet.throw()  # GreenletExit inside the wait
    del lease
    office.scheduler.advance(0.001)
    assert office.served == ["next"]
    check_state(office.pool)


@pytest.mark.parametrize("seed", range(40))
def test_no_wake_up_is_lost(seed: int) -> None:
    """With short timeouts and every interleaving, all get through or time out."""
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


def test_shutdown_sends_everybody_away_at_once() -> None:
    """Who waits gets PoolClosed, who comes later as well; leases live until they end."""
    office = Office(PoolConfig(max_per_host=1))
    held = office.take("a")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            office.take("a")
        except PoolClosed as exc:
            errors.append(exc)

    office.scheduler.spawn(run, "caller")
    office.scheduler.advance(0.001)
    before = office.scheduler.now()
    office.pool.shutdown()
    office.scheduler.run()
    assert len(errors) == 1 and office.scheduler.now() == before
    with pytest.raises(PoolClosed, match="a"):
        office.take("a")
    assert not held.is_ended and office.closed == []
    held.release()
    assert office.closed == [1]


def test_growing_serves_who_waits() -> None:
    """A resize that makes room wakes as many as there is room for."""
    office = Office(PoolConfig(max_per_host=1, max_total=1))
    held = office.take("a")
    for name in ("a2", "a3"):
        office.call(name, "a")
    office.call("b1", "b")
    office.pool.resize(PoolConfig(max_per_host=2, max_total=3))
    office.scheduler.advance(0.001)
    assert sorted(office.served) == ["a2", "b1"] and not held.is_ended
    check_state(office.pool)


def test_five_hosts_share_sixteen_places() -> None:
    """The limit holds, reuse stays high, and nobody waits much longer than others."""
    office = Office(PoolConfig(max_total=16, acquire_timeout=30), seed=3)
    waits: list[float] = []
    most = 0

    def caller(key: str) -> None:
        nonlocal most
        for _ in range(12):
            lease = office.take(key)
            most = max(most, inside(office.pool).open_total)
            waits.append(lease.wait_seconds)
            office.scheduler.sleep(0.02)
            lease.release()

    for index in range(100):
        office.scheduler.spawn(lambda key="abcde"[index % 5]: caller(key), f"{index}")
    office.scheduler.run()
    total = office.pool.stats().total
    assert most <= 16
    assert total.reuse_rate > 0.9
    assert max(waits) <= 10 * sorted(waits)[len(waits) // 2]


class _Interrupt(BaseException):
    """Stands for Ctrl-C."""


def interrupted_at(step: int, action: Callable[[], object]) -> bool:
    """Do something in the pool, with an exception out of its nth line; False if it has fewer.

    Only lines of the books count: where the lock is taken and given back, Python looks for signals
    not before each line.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith(LOCKED_FILES):
            return trace
        if event == "line":
            count += 1
            if count == step:
                sys.settrace(None)
                raise _Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except _Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("end", ["release", "discard", "resize"])
@pytest.mark.parametrize("max_total", [None, 1])
def test_an_interrupted_hand_over_reaches_the_one_in_line(end: str, max_total: int | None) -> None:
    """Whatever line of the pool Ctrl-C hits: who waits is served, and not when its time is up."""
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

            hits.append(interrupted_at(step, act))
            if end != "resize":
                held.clear()  # a lease whose end was not even begun is ended by its finalizer
            if hits[0] and end == "resize":
                bench.pool.resize(PoolConfig(max_per_host=2, acquire_timeout=5))

        bench.runtime.meanwhile.append(give)
        started = bench.clock.now()
        assert bench.take().resource, step
        assert bench.clock.now() == started, f"interrupted at line {step}, it waited in vain"
        if not hits[0]:
            break
    assert step > 10
