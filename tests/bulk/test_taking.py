"""What the caller takes of an engine: it collects what is there, and the pace is told of some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.results import make_pace
from tests.support.engines import BACKENDS, engine
from tests.support.patience import wait_until

__all__ = ["engine"]


class Bench:
    """An engine whose items end when the test says so."""

    def __init__(self, name: str, jobs: int, *, ordered: bool = False) -> None:
        self.begun: list[int] = []
        self.backend: Backend = BACKENDS[name]()
        session: Any = SimpleNamespace(close=lambda: None, rest=lambda: None)
        pace = make_pace(jobs, None, ordered)
        self.engine: Engine[str, Any] = Engine(session, self.backend, pace, self._perform)
        #: Called by each item.
        self.perform: Callable[[], None] = lambda: None

    def _perform(self, entry: Entry[str]) -> Any:
        self.begun.append(entry.index)
        self.perform()

    def submit(self, first: int, count: int) -> None:
        self.engine.submit_all([Entry(first + each, "host", "item") for each in range(count)])

    def deliver(self, *indexes: int) -> None:
        self.engine.deliver([SimpleNamespace(index=index) for index in indexes])

    def take(self, count: int = 1) -> list[int | None]:
        found = [self.engine.take() for _ in range(count)]
        return [None if each is None else int(each.index) for each in found]


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    benches: list[Bench] = []
    yield benches
    for each in benches:
        each.engine.stop()


@pytest.fixture
def bench(engine: str, benches: list[Bench]) -> Bench:
    """Return an engine of eight workers: it may have 16 that are running or not taken."""
    benches.append(Bench(engine, 8))
    return benches[0]


def test_items_that_are_handed_in_together_start_together(bench: Bench) -> None:
    """As many as may, and the others in their order when there is room."""
    bench.submit(0, 20)
    wait_until(lambda: len(bench.begun) == 16)
    assert sorted(bench.begun) == list(range(16))
    bench.deliver(*range(16))
    bench.take(16)
    assert bench.take() == [None]  # which tells of the last ones
    wait_until(lambda: len(bench.begun) == 20)
    bench.deliver(*range(16, 20))
    assert bench.take(4) == [16, 17, 18, 19]
    assert bench.engine.is_idle


def test_the_pace_is_told_of_a_quarter_of_the_jobs(bench: Bench) -> None:
    """One result that was taken starts none of eight, the second starts two."""
    bench.submit(0, 20)
    wait_until(lambda: len(bench.begun) == 16)
    bench.deliver(*range(16))
    bench.take()
    assert bench.engine._pace.finished == 16
    bench.take()
    assert bench.engine._pace.finished + bench.engine._pace.running == 16
    wait_until(lambda: len(bench.begun) == 18)


def test_what_is_collected_counts_as_not_taken(bench: Bench) -> None:
    """It is told as a result that is there, and when the run is stopped."""
    bench.submit(0, 3)
    wait_until(lambda: len(bench.begun) == 3)
    bench.deliver(2, 0)
    assert bench.take() == [2]
    assert bench.engine.has_result and not bench.engine.is_idle
    bench.engine.wait()  # ends at once
    bench.deliver(1)
    bench.engine.stop()
    assert [each.index for each in bench.engine.left()] == [0, 1]
    assert bench.engine.left() == [] and not bench.engine.has_result


def test_all_is_taken_when_the_last_result_is(bench: Bench) -> None:
    """Also if the pace was not told of it yet."""
    bench.submit(0, 1)
    wait_until(lambda: bench.begun == [0])
    bench.deliver(0)
    assert not bench.engine.is_idle
    assert bench.take() == [0]
    assert bench.engine.is_idle


def test_an_error_that_ends_the_run_comes_before_what_is_collected(bench: Bench) -> None:
    """The results are left to be told after it."""
    bench.submit(0, 2)
    wait_until(lambda: len(bench.begun) == 2)
    bench.deliver(0, 1)
    assert bench.take() == [0]
    bench.engine.fail(OSError("full"))
    with pytest.raises(OSError, match="full"):
        bench.engine.take()
    assert [each.index for each in bench.engine.left()] == [1]


def test_results_in_order_are_collected_up_to_the_first_that_is_missing(
    engine: str, benches: list[Bench]
) -> None:
    """The item that is the next to be taken may always start."""
    bench = Bench(engine, 8, ordered=True)
    benches.append(bench)
    bench.submit(0, 20)
    wait_until(lambda: len(bench.begun) == 16)
    bench.deliver(3, 1, 0)
    assert bench.take(3) == [0, 1, None]
    wait_until(lambda: len(bench.begun) == 18)
    bench.deliver(2)
    assert bench.take(3) == [2, 3, None]
    wait_until(lambda: len(bench.begun) == 20)
    bench.deliver(*reversed(range(4, 20)))
    assert bench.take(17) == [*range(4, 20), None]
    assert bench.engine.is_idle


def test_workers_that_have_no_work_are_woken_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes an item of what is handed in, and no worker is started for it."""
    woken: list[int] = []
    wake_workers = bench.backend.wake_workers
    monkeypatch.setattr(
        bench.backend,
        "wake_workers",
        lambda waiters: [woken.append(len(waiters)), wake_workers(waiters)][1],
    )
    bench.submit(0, 8)
    wait_until(lambda: len(bench.engine._idle) == 8)
    bench.deliver(*range(8))
    bench.take(9)
    bench.submit(8, 8)
    wait_until(lambda: len(bench.begun) == 16)
    assert woken == [8]
