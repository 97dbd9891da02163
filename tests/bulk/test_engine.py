"""The engine over a session that is all under the test's control."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.bulk import Fetch, Job, Saved
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.fetching import start
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.pacing import Entry, Pace
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline, Timeout
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.engines import BACKENDS, engine
from tests.support.garbage import collect
from tests.support.stopwatch import Stopwatch

BASE = default_runtime()

Answer = Callable[["FakeSession", str], Any]


__all__ = ["engine"]


def soon() -> Deadline:
    return Deadline.after(20.0, BASE.now)


def reply(content: bytes = b"", status: int = 200) -> Any:
    return SimpleNamespace(
        status_code=status, reason="", content=content, is_closed=False, close=lambda: None
    )


def host_of(url: str) -> str:
    return url.split("/")[2]


def echo(session: FakeSession, url: str) -> Any:
    return reply(url.encode())


class FakeSession:
    """Counts what runs at once, and answers as it is told."""

    def __init__(self, runtime: Haltable, answer: Answer) -> None:
        self.runtime = runtime
        self.answer = answer
        self.lock = threading.Lock()
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_in_all = 0
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.is_closed = False

    def request(self, method: str, url: str, **settings: Any) -> Any:
        host = host_of(url)
        with self.lock:
            self.calls.append((method, url, settings))
            self.running[host] += 1
            self.most[host] = max(self.most[host], self.running[host])
            self.most_in_all = max(self.most_in_all, self.running.total())
        try:
            return self.answer(self, url)
        finally:
            with self.lock:
                self.running[host] -= 1

    def get(
        self, url: str, headers: Mapping[str, str] | None, timeout: object, *, stream: bool
    ) -> Any:
        return self.request("GET", url, headers=headers, timeout=timeout, stream=stream)

    def fetch(self, url: str, headers: Mapping[str, str] | None, timeout: object) -> None:
        return None

    fetch_response = fetch

    def stall(self) -> None:
        """Wait forever, as a request to a silent server does."""
        self.runtime.waiter().wait(Deadline.never(BASE.now))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait as a request does, until something is so."""
        deadline = soon()
        while not condition():
            assert not deadline.expired
            self.runtime.sleep(0.001)

    def rest(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def stats(self) -> Any:
        return len(self.calls)

    def leave(self) -> tuple[int, float]:
        return 1, 0.0

    def is_resting(self, line: str) -> bool:
        return False


class Bench:
    """A fetch and the session made for it."""

    #: The name of the backend.
    engine = "threads"

    def __init__(
        self,
        source: Iterable[Any],
        answer: Answer = echo,
        *,
        jobs: int = 4,
        per_host: int | None = 2,
        timeout: object = 60,
        ordered: bool = False,
        sink: Any = None,
    ) -> None:
        self.session: FakeSession

        def open_session(runtime: Haltable) -> FakeSession:
            self.session = FakeSession(runtime, answer)
            return self.session

        self.fetch: Fetch = start(
            source,
            open_session,
            jobs=jobs,
            per_host=per_host,
            timeout=timeout,
            ordered=ordered,
            sink=sink,
            backend=BACKENDS[Bench.engine](),
        )


def urls(count: int, hosts: int = 1) -> list[str]:
    return [f"http://h{index % hosts}/{index}" for index in range(count)]


def workers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("pooledhttp-bulk")]


@pytest.fixture(autouse=True)
def no_worker_is_left(engine: str) -> Iterator[None]:
    Bench.engine = engine
    assert workers() == []
    yield
    assert workers() == []


def test_every_item_gets_its_own_answer() -> None:
    """Each result belongs to its URL and its place in the input."""
    given = urls(200, hosts=7)
    results = list(Bench(given).fetch)
    assert sorted(result.index for result in results) == list(range(200))
    assert all(result.response.content == given[result.index].encode() for result in results)
    assert all(result.ok and result.attempts == 1 for result in results)
    assert all(result.size == len(given[result.index]) for result in results)


def test_an_empty_input_ends_at_once() -> None:
    """No worker is started for nothing, and the session is closed."""
    bench = Bench([])
    assert list(bench.fetch) == []
    assert bench.session.is_closed
    assert list(bench.fetch) == []


def test_ordered_results_come_in_input_order() -> None:
    """Although later ones finish earlier."""

    def answer(session: FakeSession, url: str) -> Any:
        if host_of(url) == "h0":
            session.runtime.sleep(0.001)
        return reply()

    given = urls(120, hosts=3)
    results = list(Bench(given, answer, ordered=True).fetch)
    assert [result.url for result in results] == given


def test_ordered_results_wait_for_the_first() -> None:
    """The first item may be the last to end, however many finish before it."""
    gate = BASE.waiter()
    others: list[str] = []

    def answer(session: FakeSession, url: str) -> Any:
        if host_of(url) == "slow":
            session.wait_until(lambda: gate.is_set)
        else:
            others.append(url)
            if len(others) == 7:
                gate.set()
        return reply()

    given = ["http://slow/0"] + [f"http://fast/{index}" for index in range(1, 8)]
    fetch = Bench(given, answer, jobs=4, ordered=True).fetch
    assert [result.url for result in fetch] == given


def test_limits_hold_in_all_and_for_each_host() -> None:
    """Never more at once than allowed, though there is work for more."""
    bench = Bench(urls(300, hosts=3), lambda session, url: (session.runtime.sleep(0), reply())[1])
    assert len(list(bench.fetch)) == 300
    assert bench.session.most_in_all <= 4
    assert max(bench.session.most.values()) <= 2


def test_a_stalled_host_does_not_hold_up_others() -> None:
    """All of the other host's results come while every job of the first is stuck."""

    def answer(session: FakeSession, url: str) -> Any:
        if host_of(url) == "stuck":
            session.stall()
        return reply()

    given = [f"http://stuck/{index}" for index in range(30)]
    given += [f"http://quick/{index}" for index in range(20)]
    bench = Bench(given, answer, jobs=4, per_host=2)
    got = [next(bench.fetch).url for _ in range(20)]
    assert sorted(got) == sorted(given[30:])
    bench.fetch.close()


def test_no_host_starves_beside_a_busy_one() -> None:
    """A single URL among a thousand of another host is not left to the end."""
    given = urls(1000)
    given.insert(10, "http://rare/x")
    has_rare_come = threading.Event()

    def answer(session: FakeSession, url: str) -> Any:
        if url == "http://rare/x":
            has_rare_come.set()
        elif int(url.rpartition("/")[2]) >= 60:  # a slow machine must not let these go first
            session.wait_until(has_rare_come.is_set)  # fails when sixty others came first
        return echo(session, url)

    with Bench(given, answer, jobs=4, per_host=4).fetch as fetch:
        assert all(result.ok for result in itertools.islice(fetch, 100))
        assert has_rare_come.is_set()


@pytest.mark.parametrize("hosts", [1, 50])
def test_the_input_is_read_a_little_ahead(hosts: int) -> None:
    """An endless input is read little further than it was needed before."""
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        for read in itertools.count(1):
            yield f"http://h{read % hosts}/{read}"

    bench = Bench(source(), jobs=4, per_host=2)
    for taken in range(1, 200):
        next(bench.fetch)
        assert read - taken <= 64 + 8 + taken + 8
    bench.fetch.close()
    before = read
    assert list(bench.fetch) == []
    assert read == before


def test_a_caller_that_stops_asking_stops_the_workers() -> None:
    """At most twice the jobs are started beyond what was taken."""
    bench = Bench(urls(1000, hosts=20), jobs=4, per_host=None)
    with bench.fetch:
        next(bench.fetch)
        idle = BASE.waiter()
        pace = bench.fetch._engine._pace

        def is_at_rest() -> bool:
            # Depending on when the first result came, the input was read up to there or not.
            return not pace.running and (pace.finished == 8 or not pace.queued)

        for _ in range(2000):
            with bench.fetch._engine._lock:
                if is_at_rest():
                    break
            idle.wait(Deadline.after(0.005, BASE.now))
        idle.wait(Deadline.after(0.05, BASE.now))  # in which another one could be begun
        assert is_at_rest() and pace.finished <= 8
        assert len(bench.session.calls) == pace.finished + 1


def test_one_items_error_is_its_result() -> None:
    """Exceptions are kept, and the others go on."""

    def answer(session: FakeSession, url: str) -> Any:
        if int(url.rsplit("/", 1)[1]) % 2:
            raise OSError(url)
        return reply(status=500)

    results = list(Bench(urls(10), answer).fetch)
    assert all((result.index % 2 == 1) == isinstance(result.error, OSError) for result in results)
    assert not any(result.ok for result in results)
    assert all((result.response is None) != (result.error is None) for result in results)


def test_an_item_that_is_no_job_is_a_result_too() -> None:
    """In its place, with an error that says what came."""
    results = list(Bench(["http://a/", None, 7, "http://b/"], ordered=True).fetch)
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [type(result.error) for result in results] == [
        type(None),
        TypeError,
        TypeError,
        type(None),
    ]
    assert [result.attempts for result in results] == [1, 0, 0, 1]


def test_endless_bad_items_are_yielded_as_they_come() -> None:
    """An input of nothing but rubbish does not run away."""
    fetch = Bench(itertools.repeat(None)).fetch
    assert all(isinstance(next(fetch).error, TypeError) for _ in range(100))
    fetch.close()


def test_an_error_of_the_input_comes_after_the_results() -> None:
    """What was read before it is fetched and yielded first."""

    def source() -> Iterator[str]:
        yield from urls(20, hosts=5)
        raise LookupError("input")

    fetch = Bench(source()).fetch
    results = [next(fetch) for _ in range(20)]
    assert sorted(result.index for result in results) == list(range(20))
    with pytest.raises(LookupError, match="input"):
        next(fetch)
    assert list(fetch) == []


def test_ctrl_c_in_the_input_stops_at_once() -> None:
    """It is not kept for later."""

    def source() -> Iterator[str]:
        yield from urls(3)
        raise KeyboardInterrupt

    bench = Bench(source(), lambda session, url: session.stall())
    with pytest.raises(KeyboardInterrupt):
        next(bench.fetch)
    assert bench.session.is_closed


@pytest.mark.parametrize("way", ["close", "break", "with", "drop", "cycle"])
def test_leaving_early_ends_stalled_requests(way: str) -> None:
    """However the caller leaves: no worker, an open session or an open bell stays behind."""

    def answer(session: FakeSession, url: str) -> Any:
        if url.endswith("/0"):
            return reply()
        return session.stall()

    before = open_descriptors()
    bench = Bench(urls(50, hosts=5), answer)
    fetch, session = bench.fetch, bench.session
    del bench.fetch
    with Stopwatch() as watch:
        if way == "close":
            next(fetch)
            fetch.close()
            assert list(fetch) == []
        elif way == "break":
            for _ in fetch:
                break
            del fetch
        elif way == "with":
            with fetch:
                next(fetch)
        elif way == "drop":
            next(fetch)
            del fetch
        else:
            next(fetch)
            loop: list[Any] = [fetch]
            loop.append(loop)
            del fetch, loop
            collect()
    assert workers() == []
    assert session.is_closed
    assert wait_until_closed(before) == {}
    assert watch.seconds < 3.0


def test_a_fetch_dropped_inside_a_worker_does_not_wait_for_itself() -> None:
    """A finalizer runs where it will; the last worker to leave closes the session."""
    gate = BASE.waiter()
    holder: list[Fetch] = []

    def answer(session: FakeSession, url: str) -> Any:
        session.wait_until(lambda: gate.is_set)
        holder.clear()
        return reply()

    bench = Bench(urls(50), answer, jobs=1)
    session = bench.session
    holder.append(bench.fetch)
    bench.fetch._read_on()
    del bench
    gate.set()
    deadline = soon()
    while (workers() or not session.is_closed) and not deadline.expired:
        BASE.sleep(0.001)
    assert session.is_closed


def test_what_ends_a_worker_reaches_the_caller() -> None:
    """`SystemExit` out of a hook is not swallowed, and nothing hangs."""

    def answer(session: FakeSession, url: str) -> Any:
        raise SystemExit(3)

    bench = Bench(urls(5), answer)
    with pytest.raises(SystemExit):
        list(bench.fetch)
    assert bench.session.is_closed


def test_a_job_is_sent_as_it_says() -> None:
    """Method, headers, body and parameters arrive, and a number bounds the whole item."""
    job = Job(
        "http://a/", method="PUT", headers={"x": "y"}, json={"k": 1}, params={"p": 2}, key="me"
    )
    bench = Bench([job], timeout=7)
    (result,) = bench.fetch
    ((method, url, sent),) = bench.session.calls
    assert (method, url) == ("PUT", "http://a/")
    assert sent["headers"] == {"x": "y"} and sent["json"] == {"k": 1} and sent["params"] == {"p": 2}
    assert sent["data"] is None
    assert sent["timeout"] == Timeout(total=7)
    assert sent["stream"] is False
    assert result.key == "me" and result.job is job


@pytest.mark.parametrize("timeout", [None, (3, 5), Timeout(read=2)])
def test_other_timeouts_are_handed_on(timeout: object) -> None:
    """What is not a number means what it means to a session."""
    bench = Bench(["http://a/"], timeout=timeout)
    list(bench.fetch)
    assert bench.session.calls[0][2]["timeout"] == timeout


class Collector:
    """A sink that notes in which order places are claimed."""

    def __init__(self) -> None:
        self.claimed: list[int] = []

    def claim(self, job: Job, index: int) -> Callable[[Any], Saved]:
        self.claimed.append(index)
        if job.url.endswith("refused"):
            raise ValueError("no place")
        return lambda response: Saved(f"place {index}", len(response.content))


def test_bodies_go_to_the_sink() -> None:
    """Claimed in input order, asked for as a stream, and the result says what became of them."""
    sink = Collector()
    bench = Bench(urls(40, hosts=9), sink=sink)
    results = {result.index: result for result in bench.fetch}
    assert sink.claimed == list(range(40))
    assert all(result.saved == f"place {index}" for index, result in results.items())
    assert all(sent["stream"] is True for _, _, sent in bench.session.calls)


def test_a_jobs_own_sink_comes_first() -> None:
    """The sink of the fetch is for jobs that have none."""
    own, general = Collector(), Collector()
    list(Bench(["http://a/", Job("http://b/", sink=own)], sink=general).fetch)
    assert (general.claimed, own.claimed) == ([0], [1])


def test_an_error_page_does_not_go_to_the_sink() -> None:
    """It stays on the response."""
    bench = Bench(["http://a/"], lambda session, url: reply(b"sorry", 404), sink=Collector())
    (result,) = bench.fetch
    assert result.saved is None and result.response.content == b"sorry"


def test_a_sink_that_refuses_fails_that_item() -> None:
    """Nothing is requested for it."""
    bench = Bench(["http://a/refused", "http://a/x"], sink=Collector(), ordered=True)
    first, second = bench.fetch
    assert isinstance(first.error, ValueError) and first.url == "http://a/refused"
    assert second.ok
    assert len(bench.session.calls) == 1


def test_a_sink_that_fails_makes_an_error() -> None:
    """There is a response or an error, never both."""

    class Full:
        def claim(self, job: Job, index: int) -> Callable[[Any], Saved]:
            def store(response: Any) -> Saved:
                raise OSError("no space left")

            return store

    (result,) = Bench(["http://a/"], sink=Full()).fetch
    assert isinstance(result.error, OSError) and result.response is None


def test_counters_can_be_read_during_and_after() -> None:
    """After the end they stay as they were."""
    bench = Bench(urls(5))
    assert bench.fetch.stats() == 0
    list(bench.fetch)
    assert bench.fetch.stats() == 5
    bench.session.calls.clear()
    assert bench.fetch.stats() == 5


@pytest.mark.parametrize("limits", [{"jobs": 0}, {"per_host": 0}, {"timeout": 0}])
def test_senseless_limits_are_refused_at_once(limits: Any) -> None:
    """Not at the first result."""
    with pytest.raises(ValueError):
        Bench([], **limits)


def test_a_repr_says_how_far_it_is() -> None:
    """Open or closed, and how many items were read."""
    fetch = Bench(urls(3)).fetch
    assert repr(fetch) == "<Fetch open, 0 read>"
    list(fetch)
    assert repr(fetch) == "<Fetch closed, 3 read>"


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_items_at_hand_go_in_together_and_end_as_others(
    kind: Callable[[list[Any]], Iterable[Any]], ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a list or tuple, which cannot be waited for. One that is no job has its result."""
    items: list[Any] = [f"http://h{number % 3}/{number}" for number in range(300)]
    items[7] = items[8] = items[299] = 5
    together: list[int] = []
    add_all = Pace.add_all

    def noting(self: Pace[Any], entries: Sequence[Any]) -> None:
        together.append(len(entries))
        add_all(self, entries)

    monkeypatch.setattr(Pace, "add_all", noting)
    results = list(Bench(kind(items), jobs=8, per_host=None, ordered=ordered).fetch)
    assert sorted(result.index for result in results) == list(range(300))
    if ordered:
        assert [result.index for result in results] == list(range(300))
    for result in results:
        if result.index in (7, 8, 299):
            assert "TypeError" in str(result.problem)
        else:
            assert result.response is not None and result.response.content.decode() == result.url
    assert sum(together) == 297
    if kind is not iter:
        assert max(together) > 4


def idle_engine(jobs: int, per_host: int | None = None) -> tuple[Engine[str, Any], list[Any]]:
    """An engine whose workers a test plays; and what they were started with."""
    started: list[Any] = []
    pace: Pace[str] = Pace(
        jobs=jobs, per_host=per_host, capacity=1000, window=1000, ordered=False, rounds=100
    )
    backend = SimpleNamespace(
        runtime=BASE,
        waiter=BASE.waiter,
        start=lambda work: started.append(work.args[0]),
        wake=lambda fn, is_urgent: None,
        wake_workers=lambda waiters: None,
    )
    session = SimpleNamespace(close=None, rest=None)
    engine: Engine[str, Any] = Engine(session, backend, pace, lambda entry: None)  # type: ignore[arg-type]
    return engine, started


def test_single_items_go_to_the_pace_together_while_there_is_enough_to_do() -> None:
    """The first ones at once: workers wait for them."""
    engine, started = idle_engine(4)
    told: list[int] = []
    add_all = engine._pace.add_all
    engine._pace.add_all = lambda entries: (told.append(len(entries)), add_all(entries))[1]  # type: ignore[method-assign]
    for index in range(300):
        room = engine.room
        engine.submit(Entry(index, "h", ""))
        assert engine.room == room - (index >= 4)
    assert len(started) == 4
    told = [count for count in told if count]
    assert told == [1] * 8 + [64] * 4
    assert engine._pace.queued + len(engine._submitted) == 296
    assert not engine.is_idle


def test_a_worker_finds_what_was_submitted_when_nothing_else_may_start() -> None:
    """Whether it has come to the pace or not; and none of it is lost or done twice."""
    engine, started = idle_engine(4, per_host=2)
    lines = "aa" + "bb" + "a" * 8 + "c" * 40  # all places are taken, and c has not been told of
    for index, line in enumerate(lines):
        engine.submit(Entry(index, line, ""))
    assert engine._submitted
    done: list[int] = []
    running = list(started)
    while running:
        entry = running.pop(0)
        done.append(entry.index)
        following = engine._finish(entry, SimpleNamespace(index=entry.index))
        if isinstance(following, Entry):
            running.append(following)
    assert sorted(done) == list(range(len(lines)))
    while engine.take() is not None:
        pass
    assert engine.is_idle


def test_a_caller_that_waits_has_told_the_pace_all() -> None:
    """So a rest that ends wakes it for these as well."""
    engine, _ = idle_engine(2)
    for index in range(20):
        engine.submit(Entry(index, "h", ""))
    assert engine._submitted
    engine.wait(0.0)
    assert not engine._submitted and engine._pace.queued == 18


def test_a_caller_is_woken_once_for_many_results() -> None:
    """Also if it may leave no more untaken: the loop calls it when the ready ones have ended."""
    pace: Pace[str] = Pace(jobs=4, per_host=None, capacity=4, window=100, ordered=False)
    calls: list[bool] = []
    backend = SimpleNamespace(
        runtime=BASE,
        waiter=lambda: SimpleNamespace(wait=lambda _: True, set=lambda: None),
        start=lambda _: None,
        wake=lambda fn, is_urgent: calls.append(is_urgent),
        wake_workers=lambda waiters: None,
    )
    session = SimpleNamespace(close=None, rest=None)
    engine: Engine[str, Any] = Engine(session, backend, pace, lambda entry: None)  # type: ignore[arg-type]
    entries = [Entry(index, "h", "") for index in range(100)]
    engine.submit_all(entries)
    engine.wait()
    for entry in entries[:4]:
        engine._finish(entry, SimpleNamespace(index=entry.index))
    assert calls == [True], "urgent from the first on: a quarter of what may be left is there"
    engine._wake_caller()
    assert [engine.take() for _ in range(4)] == [SimpleNamespace(index=n) for n in range(4)]
    engine.wait()
    engine._finish(entries[4], SimpleNamespace(index=4))
    assert calls == [True, True]
