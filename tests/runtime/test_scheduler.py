"""The deterministic runtime itself: what it promises to the tests of other rooms."""

from __future__ import annotations

import socket

import pytest

from pooledhttp.runtime import Interest, Runtime
from pooledhttp.timing import Deadline
from tests.support.scheduler import Deadlock, Scheduler


def interleave(seed: int) -> tuple[list[str], list[str]]:
    """Let three tasks write down their turns."""
    written: list[str] = []
    with Scheduler(seed) as scheduler:

        def work(name: str) -> None:
            for turn in range(4):
                written.append(f"{name}{turn}")
                scheduler.checkpoint()
                scheduler.sleep(turn * 0.1)

        for name in "abc":
            scheduler.spawn(lambda name=name: work(name), name)  # type: ignore[misc]
        scheduler.run()
        return written, scheduler.trace


def test_it_is_a_runtime() -> None:
    """The scheduler has the whole Protocol (the annotation is checked by mypy)."""
    runtime: Runtime = Scheduler()
    assert runtime.name == "scheduler"


def test_same_seed_gives_the_same_interleaving() -> None:
    """A seed replays every switch."""
    assert interleave(11) == interleave(11)


def test_seeds_give_different_interleavings() -> None:
    """Different seeds explore different orders."""
    assert len({tuple(interleave(seed)[0]) for seed in range(20)}) > 10


def test_time_passes_only_when_all_wait() -> None:
    """An hour of sleep takes no real time and moves the clock exactly."""
    with Scheduler() as scheduler:
        start = scheduler.now()
        scheduler.spawn(lambda: scheduler.sleep(3600), "sleeper")
        scheduler.run()
        assert scheduler.now() == start + 3600


def test_deadlock_names_who_waits() -> None:
    """Two tasks that wait for flags nobody raises are reported."""
    with Scheduler(seed=3) as scheduler:
        never = Deadline.never(scheduler.now)
        scheduler.spawn(lambda: scheduler.waiter().wait(never), "left")
        scheduler.spawn(lambda: scheduler.waiter().wait(never), "right")
        with pytest.raises(Deadlock, match=r"seed 3.*left: a waiter.*right: a waiter"):
            scheduler.run()


def test_error_of_a_task_is_raised_by_run() -> None:
    """A failing task fails the test, in place of the deadlock it leaves behind."""
    with Scheduler() as scheduler:
        flag = scheduler.waiter()
        scheduler.spawn(lambda: flag.wait(Deadline.never(scheduler.now)), "waits")

        def fail() -> None:
            raise ValueError("boom")

        scheduler.spawn(fail, "fails")
        with pytest.raises(ValueError, match="boom"):
            scheduler.run()


def test_flag_and_deadline_race_both_ways() -> None:
    """Among seeds, a flag raised near the deadline is caught by some waits and missed by others."""
    outcomes = set()
    for seed in range(60):
        with Scheduler(seed) as scheduler:
            flag = scheduler.waiter()
            seen: list[bool] = []

            def wait() -> None:
                seen.append(flag.wait(Deadline.after(1, scheduler.now)))  # noqa: B023

            def raise_flag() -> None:
                scheduler.sleep(1)
                flag.set()  # noqa: B023

            scheduler.spawn(wait, "waits")
            scheduler.spawn(raise_flag, "sets")
            scheduler.run()
            outcomes.add((seen[0], flag.is_set))
    assert outcomes == {(True, True), (False, True)}


def test_haste_lets_a_deadline_pass_while_others_could_run() -> None:
    """A busy task does not keep time from passing for those who wait."""
    outcomes = set()
    for seed in range(100):
        with Scheduler(seed) as scheduler:
            flag = scheduler.waiter()

            def busy() -> None:
                for _ in range(10):
                    scheduler.checkpoint()
                flag.set()  # noqa: B023

            def wait() -> None:
                outcomes.add(flag.wait(Deadline.after(5, scheduler.now)))  # noqa: B023

            scheduler.spawn(busy, "busy")
            scheduler.spawn(wait, "waits")
            scheduler.run()
    assert outcomes == {True, False}


def test_cancel_arrives_at_the_wait() -> None:
    """A cancelled task sees the error where it waits, and its cleanup may wait again."""
    with Scheduler() as scheduler:
        seen: list[str] = []

        def work() -> None:
            try:
                scheduler.sleep(100)
            except KeyboardInterrupt:
                scheduler.sleep(1)
                seen.append("cleaned up")

        task = scheduler.spawn(work, "works")
        scheduler.advance(1)
        task.cancel(KeyboardInterrupt())
        scheduler.run()
        assert seen == ["cleaned up"]


def test_lock_is_exclusive_and_found_taken_without_blocking() -> None:
    """One task at a time is inside; a try from outside fails now and then."""
    tries = set()
    for seed in range(30):
        with Scheduler(seed) as scheduler:
            lock = scheduler.lock()
            inside: list[str] = []

            def work(name: str) -> None:
                with lock:  # noqa: B023
                    inside.append(name)  # noqa: B023
                    scheduler.checkpoint()
                    assert inside.pop() == name  # noqa: B023
                    assert not inside  # noqa: B023

            def attempt() -> None:
                got = lock.acquire(blocking=False)  # noqa: B023
                tries.add(got)
                if got:
                    lock.release()  # noqa: B023

            for name in "abc":
                scheduler.spawn(lambda name=name: work(name), name)  # type: ignore[misc]
            scheduler.spawn(attempt, "tries")
            scheduler.run()
    assert tries == {True, False}


def test_blocking_call_is_abandoned_at_its_deadline() -> None:
    """The caller goes on; the call runs to its end by itself."""
    with Scheduler() as scheduler:
        ended: list[float] = []

        def slow() -> None:
            scheduler.sleep(10)
            ended.append(scheduler.now())

        start = scheduler.now()
        with pytest.raises(TimeoutError):
            scheduler.call_blocking(slow, Deadline.after(1, scheduler.now))
        assert scheduler.now() == start + 1
        scheduler.run()
        assert ended == [start + 10]


def test_real_sockets_are_waited_for_in_virtual_time() -> None:
    """A reader parks until another task writes."""
    near, far = socket.socketpair()
    with Scheduler(seed=5) as scheduler, near, far:

        def write() -> None:
            scheduler.sleep(30)
            far.send(b"x")

        scheduler.spawn(write, "writes")
        deadline = Deadline.after(60, scheduler.now)
        assert scheduler.wait(near, True, False, deadline) == (True, False)
        assert scheduler.wait_any(
            [Interest(far, True, False), Interest(near, True, True)], deadline
        ) == [1]
        assert scheduler.wait(far, True, False, Deadline.after(1, scheduler.now)) == (False, False)
