"""The engine over several processes, with workers that the test plays."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pooledhttp.bulk import WorkerLost, WorkerMismatch
from pooledhttp.bulk.dispatch import Dispatcher
from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.grants import Limits
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.options import Batches
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.payloads import Call, Moved, Order, Reply


class Died(Exception):
    """What the future of a worker that has died raises."""


class Future:
    def __init__(self, lane: int, order: Order | None) -> None:
        self.lane = lane
        self.order = order
        self.is_cancelled = False
        self.has_ended = False
        self._outcome: Any = None
        self._tell: list[Callable[[Future], object]] = []

    def add_done_callback(self, fn: Callable[[Future], object]) -> None:
        if self.order is None:
            fn(self)
        self._tell.append(fn)

    def result(self) -> Any:
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        self.is_cancelled = True

    @property
    def indexes(self) -> list[int]:
        assert self.order is not None
        return list(self.order.items)

    def end(self, outcome: Any) -> None:
        self._outcome, self.has_ended = outcome, True
        for fn in self._tell:
            fn(self)

    def reply(self, *done: int, size: int = 1, **more: Any) -> None:
        results = dict.fromkeys(done, size)
        self.end(pickle.dumps(Reply(results=results, **more)))


class FakeLanes:
    name = "the test's"

    def __init__(self, count: int, *, keeps: bool = True, is_local: bool = True) -> None:
        self.count = count
        self.keeps = keeps
        self.is_local = is_local
        self.futures: list[Future] = []
        self.dead: list[int] = []
        self.interrupted = 0
        self.closed = 0

    def dumps(self, value: object) -> bytes:
        return pickle.dumps(value)

    def submit(self, lane: int, call: Call) -> Future:
        _, args = call.__reduce__()
        order = pickle.loads(args[-1]) if len(args) > 1 else None  # type: ignore[arg-type]
        future = Future(lane, order)
        if order is not None:
            self.futures.append(future)
        return future

    def is_death(self, lane: int, error: BaseException) -> bool:
        return isinstance(error, Died)

    def find_dead(self) -> list[int]:
        dead, self.dead = self.dead, []
        return dead

    def note_reply(self, lane: int) -> None:
        pass

    def interrupt(self, run: str) -> None:
        self.interrupted += 1
        for future in self.futures:
            if not future.has_ended:
                future.reply(is_halted=True)

    def close(self) -> None:
        self.closed += 1

    def last(self, lane: int = 0) -> Future:
        return next(each for each in reversed(self.futures) if each.lane == lane)


@dataclass
class Done:
    index: int
    error: Exception | None = None
    attempts: int = 0


class ItemHandler:
    def __init__(self) -> None:
        self.ended = 0

    def job_of(self, work: Job) -> Job:
        return work

    def pack(self, index: int, line: str, work: Job, leg: Leg | None) -> Any:
        return index if work.data is None else work.data

    def unpack(self, reply: Reply, works: dict[int, Job]) -> list[tuple[Done, int]]:
        return [(Done(i, attempts=1), size) for i, size in reply.results.items() if i in works]

    def failed(self, index: int, work: Job, error: Exception, attempts: int) -> Done:
        return Done(index, error, attempts)

    def with_attempts(self, result: Done, attempts: int) -> Done:
        return Done(result.index, result.error, result.attempts + attempts)

    def again(self, works: list[Job], *, is_gone: bool) -> list[Job]:
        return works

    def end(self) -> None:
        self.ended += 1


def make(
    lanes: FakeLanes, *, batch: int = 4, limits: Limits | None = None, **settings: Any
) -> Dispatcher[Job, Done]:
    engine: Dispatcher[Job, Done] = Dispatcher(
        lanes,
        lanes.count,
        b"",
        ItemHandler(),
        limits or Limits(8, None),
        most_bytes=settings.pop("most_bytes", 1000),
        batches=Batches(batch),
        run="r",
        **settings,
    )
    _engines.append(engine)
    return engine


_engines: list[Dispatcher[Job, Done]] = []


def fill(engine: Dispatcher[Job, Done], count: int, host: str = "h", **job: Any) -> None:
    for _ in range(count):
        index = engine_index(engine)
        engine.submit(Entry(index, f"http://{host}:80", Job(f"http://{host}/{index}", **job)))
    engine.take()


_indexes: dict[int, int] = {}


def engine_index(engine: object) -> int:
    _indexes[id(engine)] = _indexes.get(id(engine), -1) + 1
    return _indexes[id(engine)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    _indexes.clear()
    yield
    for engine in _engines:
        engine.stop()
    _engines.clear()


def taken(engine: Dispatcher[Job, Done]) -> list[int]:
    found = []
    while (result := engine.take()) is not None:
        found.append(result.index)
    return found


def test_a_lane_has_one_order_and_one_batch_at_a_time() -> None:
    """What is done makes room for more; the rest is asked about."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    fill(engine, 10)
    first = lanes.last()
    assert len(lanes.futures) == 1 and first.indexes == [0, 1, 2, 3]
    first.reply(0, 2, held={"http://h:80": None})
    assert taken(engine) == [0, 2]
    assert lanes.last().indexes == [4, 5]
    lanes.last().reply(1, 3, 4, 5)
    assert taken(engine) == [1, 3, 4, 5]
    assert lanes.last().indexes == [6, 7, 8, 9]
    lanes.last().reply(6, 7, 8, 9)
    assert taken(engine) == [6, 7, 8, 9] and engine.is_idle


def test_ordered_results_wait_for_earlier_ones() -> None:
    """They are taken in the order of the input."""
    lanes = FakeLanes(1)
    engine = make(lanes, ordered=True)
    fill(engine, 4)
    lanes.last().reply(1, 2)
    assert taken(engine) == []
    lanes.last().reply(0)
    assert taken(engine) == [0, 1, 2]


def test_no_more_bytes_are_on_their_way_than_may_be() -> None:
    """Results that are not taken, and what orders may bring."""
    lanes = FakeLanes(2)
    engine = make(lanes, most_bytes=100, limits=Limits(8, None))
    fill(engine, 8, "a")
    fill(engine, 8, "b")
    assert [lanes.last(0).order.most_bytes, lanes.last(1).order.most_bytes] == [50, 50]  # type: ignore[union-attr]
    lanes.last(0).reply(0, 1, size=30)
    assert engine.has_result
    assert len(lanes.futures) == 2  # 60 are here and 50 may come
    assert engine.take() is not None
    assert len(lanes.futures) == 3  # 30 and 50: there is room for 20
    assert lanes.last(0).order.most_bytes == 20  # type: ignore[union-attr]


def test_an_earlier_result_comes_although_there_is_no_room() -> None:
    """Otherwise the later ones would wait for it forever."""
    lanes = FakeLanes(1)
    engine = make(lanes, most_bytes=100, ordered=True, batch=4)
    fill(engine, 8)
    lanes.last().reply(1, 2, 3, size=40)
    assert engine.take() is None
    assert lanes.last() is not lanes.futures[0]
    lanes.last().reply(0, size=40)
    assert engine.take() == Done(0, attempts=1)


def test_what_was_not_begun_is_sent_again_first() -> None:
    """An executor of the caller's keeps no engine."""
    lanes = FakeLanes(1, keeps=False)
    engine = make(lanes)
    fill(engine, 6)
    lanes.last().reply(0, 1, not_begun=[2, 3])
    assert taken(engine) == [0, 1]
    assert lanes.last().indexes == [2, 3, 4, 5]


# -- places at hosts


def grants(lanes: FakeLanes, lane: int) -> int | None:
    order = lanes.last(lane).order
    assert order is not None
    return order.grants.get("http://h:80")


def test_places_of_a_host_that_is_split_never_exceed_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second lane gets its share when the first one has no more than its own under way."""
    monkeypatch.setattr("pooledhttp.bulk.partition._LEAST_SPLIT", 5)
    lanes = FakeLanes(2)
    engine = make(lanes, batch=4, limits=Limits(8, 6))
    fill(engine, 4)
    assert grants(lanes, 0) == 6
    fill(engine, 20)
    assert len(lanes.futures) == 1  # the other lane has no place yet
    lanes.last(0).reply(0, held={"http://h:80": 6})
    assert engine.take() is not None
    assert grants(lanes, 0) == 3  # told, and six may be under way still
    assert [each.lane for each in lanes.futures] == [0, 0]
    lanes.last(0).reply(1, held={"http://h:80": 5})
    assert engine.take() is not None
    assert grants(lanes, 1) == 1
    lanes.last(0).reply(2, held={"http://h:80": 3})
    lanes.last(1).reply(held={"http://h:80": 1})
    assert engine.take() is not None
    assert (grants(lanes, 0), grants(lanes, 1)) == (3, 3)


def test_a_redirect_goes_on_where_its_host_is() -> None:
    """With what was sent so far counted."""
    lanes = FakeLanes(2)
    engine = make(lanes, limits=Limits(8, 2))
    fill(engine, 2, "a")
    fill(engine, 2, "b")
    request: Any = Job("http://b/x")  # has the only attribute that is read
    leg = Leg(request, [])
    lanes.last(0).reply(0, moved=[Moved(1, leg, 1)], held={"http://a:80": 2})
    assert taken(engine) == [0]
    lanes.last(1).reply(2, 3)
    assert taken(engine) == [2, 3]
    assert lanes.last(1).indexes == [1]
    lanes.last(1).reply(1)
    assert engine.take() == Done(1, attempts=2)
    assert engine.is_idle


# -- workers that die


def test_what_a_dead_worker_had_is_done_again() -> None:
    """In smaller batches, and no more of it than one batch."""
    lanes = FakeLanes(1)
    engine = make(lanes, batch=16)
    fill(engine, 40)
    lanes.last().reply(0, 1)
    assert taken(engine) == [0, 1]
    lanes.last().end(Died())
    assert taken(engine) == []
    assert (engine.repeated, engine.deaths) == (16, 1)
    seen = []
    while not engine.is_idle:
        future = lanes.last()
        seen.append(len(future.indexes))
        future.reply(*future.indexes)
        taken(engine)
    assert seen[:8] == [2] * 8 and sum(seen) == 38


def test_a_job_that_kills_workers_ends_alone() -> None:
    """After four of them; the jobs beside it are done."""
    lanes = FakeLanes(1)
    engine = make(lanes, batch=64)
    fill(engine, 64)
    results: dict[int, Done] = {}
    while not engine.is_idle:
        future = lanes.last()
        if 7 in future.indexes:
            future.end(Died())
        else:
            future.reply(*future.indexes)
        while (result := engine.take()) is not None:
            results[result.index] = result
    assert [index for index, result in results.items() if result.error] == [7]
    assert isinstance(results[7].error, WorkerLost) and len(results) == 64


def test_a_job_that_may_not_be_sent_twice_is_told_as_lost() -> None:
    """Unless it has a key by which the server knows it again."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    fill(engine, 2, method="POST")
    fill(engine, 1, method="POST", headers={"Idempotency-Key": "k"})
    lanes.last().reply(0)
    assert taken(engine) == [0]
    lanes.last().end(Died())
    lost = engine.take()
    assert lost is not None and isinstance(lost.error, WorkerLost)
    assert "not known" in str(lost.error)
    assert taken(engine) == []
    assert lanes.last().indexes == [2] and engine.repeated == 1


def test_a_worker_that_is_gone_without_an_error_is_noticed() -> None:
    """Its order is not waited for; what it tells later is not used."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    fill(engine, 2)
    lost = lanes.last()
    lanes.dead = [0]
    engine._orders._looked -= 10.0
    engine.wait(0.0)
    assert lost.is_cancelled
    assert engine.take() is None
    lost.reply(0, 1)
    assert engine.take() is None
    found = []
    while not engine.is_idle:
        lanes.last().reply(*lanes.last().indexes)
        found += taken(engine)
    assert sorted(found) == [0, 1]


def test_what_ends_the_run_is_raised_after_the_results() -> None:
    """A full disk in a worker; a worker of another version."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    fill(engine, 4)
    lanes.last().reply(0, error=OSError(28, "full"))
    assert engine.take() == Done(0, attempts=1)
    with pytest.raises(OSError, match="full"):
        engine.take()
    other = make(lanes := FakeLanes(1))
    fill(other, 1)
    lanes.last().end(ModuleNotFoundError("No module", name="pooledhttp"))
    with pytest.raises(WorkerMismatch, match="has no pooledhttp"):
        other.take()


# -- the input and the end


def test_a_job_that_cannot_travel_is_its_own_result() -> None:
    """The message names what is wrong; the others go."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    engine.submit(Entry(0, "http://h:80", Job("http://h/0")))
    engine.submit(Entry(1, "http://h:80", Job("http://h/1", data=(b"" for _ in "x"))))
    result = engine.take() or engine.take()
    assert result is not None and result.index == 1
    assert "Job.data cannot go to a worker: generator" in str(result.error)
    assert lanes.last().indexes == [0]


def test_a_slow_input_does_not_hold_up_what_has_been_read() -> None:
    """An item goes when no other one has come for a moment."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    engine.submit(Entry(0, "http://h:80", Job("http://h/0")))
    assert lanes.futures == []
    engine._backlog.lanes[0].waits_since = 0.0
    engine.submit(Entry(1, "http://h:80", Job("http://h/1")))
    assert lanes.last().indexes == [0, 1]


def test_the_input_is_read_two_batches_ahead() -> None:
    """It may be endless."""
    lanes = FakeLanes(2)
    engine = make(lanes, batch=4)
    count = 0
    while engine.wants_more:
        engine.submit(Entry(count, "http://h:80", Job(f"http://h/{count}")))
        count += 1
    assert count <= 2 * 2 * 4 + 4


def test_the_input_is_read_further_with_what_is_done() -> None:
    """So that many jobs of one host do not keep lanes without work; 16 batches a lane at most."""
    lanes = FakeLanes(1)
    engine = make(lanes, batch=4)
    count = 0
    for rounds in range(60):
        while engine.wants_more:
            engine.submit(Entry(count, "http://h:80", Job(f"http://h/{count}")))
            count += 1
        assert engine._backlog.queued <= min(2 * 4 + 4 * rounds, 16 * 4) + 4
        order = lanes.last()
        order.reply(*order.indexes, held={"http://h:80": None})
        assert len(taken(engine)) == 4
    assert engine._backlog.queued >= 15 * 4


def test_stopping_takes_in_what_workers_tell() -> None:
    """They are told to end; what they have done is not lost."""
    lanes = FakeLanes(1)
    engine = make(lanes)
    fill(engine, 4)
    lanes.last().reply(0)
    engine.stop()
    assert [each.index for each in engine.left()] == [0]
    assert (lanes.interrupted, lanes.closed) == (1, 1) or lanes.closed == 1
    assert engine.is_halted
    engine.stop()
    assert lanes.closed == 1
