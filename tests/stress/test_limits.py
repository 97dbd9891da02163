"""Two hundred threads on a few connections: limits hold, waits are fair, nothing stays open."""

from __future__ import annotations

import resource
import statistics
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from pooledhttp import PoolConfig, Session
from pooledhttp.events import Event, LeaseAcquired
from pooledhttp.pool import PoolStats
from tests.support.counting import CountingServer
from tests.support.descriptors import open_descriptors, wait_until_closed

THREADS = 200
SLOTS = 16

#: Seconds of load: by default, and under `-m long`.
LONG = pytest.mark.long

DURATIONS = [1.0, pytest.param(30.0, marks=[LONG, pytest.mark.timeout(120)])]


class Load:
    """Many threads that send requests over one session for some seconds, and what they saw."""

    def __init__(self, session: Session, server: CountingServer, seconds: float) -> None:
        self.turns: list[int] = []
        self.wrong: list[object] = []
        self._session = session
        self._server = server
        self._end = time.monotonic() + seconds

    def run(self, threads: int = THREADS) -> Load:
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        return self

    def _work(self, number: int) -> None:
        hosts = self._server.hosts
        turn = 0
        while time.monotonic() < self._end:
            target = f"/{number}-{turn}"
            host = hosts[(number + turn) % len(hosts)]
            try:
                body = self._session.get(self._server.url(target, host=host)).content
                if body != f"GET {target}".encode():
                    self.wrong.append((target, body))
            except Exception as error:  # noted; the test fails because of it
                self.wrong.append(error)
            turn += 1
        self.turns.append(turn)

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return sum(self.turns)


@pytest.mark.parametrize("seconds", DURATIONS)
def test_no_more_than_eight_sockets_to_one_host(seconds: float) -> None:
    """200 threads, max_per_host=8: the server never counts a ninth socket."""
    before = open_descriptors()
    with CountingServer(work_seconds=0.002) as server:
        with Session(pool=PoolConfig(max_per_host=8)) as session:
            load = Load(session, server, seconds).run()
            total = session.pool.stats().total
        server.wait_until(lambda: not server.open_count, "the end of all connections")
    print(f"\n{load.requests} requests, peak {server.peak}, reuse {total.reuse_rate:.4f}")
    assert not load.wrong, load.wrong[:3]
    assert server.peak == 8
    assert server.accepted.total() == 8 == total.created
    assert set(server.executed.values()) == {1}
    assert total.acquired == load.requests and not total.active and not total.waiting
    assert not wait_until_closed(before)


@pytest.mark.parametrize("seconds", DURATIONS)
def test_no_more_than_sixteen_sockets_to_five_hosts(seconds: float) -> None:
    """200 threads, max_total=16: never a 17th, nine in ten reused, no wait far above the median."""
    before = open_descriptors()
    waits: list[Wait] = []
    with CountingServer([f"127.0.0.{last}" for last in range(1, 6)], work_seconds=0.002) as server:
        listeners = [note_waits(waits.append)]
        with Session(pool=PoolConfig(max_total=SLOTS), listeners=listeners) as session:
            load = Load(session, server, seconds).run()
            stats = session.pool.stats()
        server.wait_until(lambda: not server.open_count, "the end of all connections")
    served = served_meanwhile(waits)
    # On a busy machine few requests wait at all. Then a round of all slots is the measure.
    median, worst = max(statistics.median(served), SLOTS), max(served)
    report(load, server, stats, median, worst)
    assert not load.wrong, load.wrong[:3]
    assert server.peak <= SLOTS
    assert (
        stats.total.reuse_rate >= 0.9 or len(waits) < 3_000
    )  # too few requests to judge, on a slow machine
    assert worst <= 10 * median
    assert not wait_until_closed(before)


class Wait(NamedTuple):
    """How long a request waited for its slot, and when it got it."""

    seconds: float
    until: float


def note_waits(note: Callable[[Wait], object]) -> Callable[[Event], None]:
    """Return a listener that notes how long each request waited for its slot."""

    def listen(event: Event) -> None:
        if isinstance(event, LeaseAcquired):
            note(Wait(event.wait_seconds, time.monotonic()))

    return listen


def served_meanwhile(waits: list[Wait]) -> list[int]:
    """Return for each wait how many others were served meanwhile: independent of the machine."""
    ends = sorted(wait.until for wait in waits)
    return [
        bisect_left(ends, one.until) - bisect_left(ends, one.until - one.seconds) for one in waits
    ]


def report(
    load: Load, server: CountingServer, stats: PoolStats, median: float, worst: float
) -> None:
    """Print the figures; shown with `-s`, or when the test fails."""
    print(
        f"\n{load.requests} requests, peak {server.peak}, reuse {stats.total.reuse_rate:.4f},"
        f" others served in a wait: median {median:.0f}, most {worst:.0f}"
    )


@pytest.mark.parametrize("count", [8, 32, pytest.param(64, marks=LONG)])
def test_bursts_open_as_many_connections_as_are_used_at_once(count: int) -> None:
    """The connections of the first of ten bursts of parallel GETs serve all, by default settings.

    The threads of a burst meet at a barrier before they read their response, so each holds its own
    connection.
    """
    with CountingServer() as server, Session() as session:
        for _ in range(10):
            burst(session, server, count)
        assert server.accepted.total() == count
        assert session.pool.stats().total.closed == {}


def burst(session: Session, server: CountingServer, count: int) -> None:
    """Run `count` GETs at the same time; each holds its connection until all have one."""
    together = threading.Barrier(count)

    def one() -> None:
        with session.get(server.url("/"), stream=True) as response:
            together.wait(20)
            assert response.content == b"GET /"

    workers = [threading.Thread(target=one) for _ in range(count)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise the limit of descriptors: client and server are in one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize(
    "count", [200, pytest.param(257, marks=LONG), pytest.param(900, marks=LONG)]
)
def test_origins_visited_in_turn_keep_their_connections(count: int) -> None:
    """Five rounds over many origins, with default settings: one connection for each."""
    hosts = [f"127.{last // 250 + 1}.{last % 250 + 1}.7" for last in range(count)]
    with CountingServer(hosts) as server, Session() as session:
        for _ in range(5):
            for host in hosts:
                assert session.get(server.url("/", host=host)).content == b"GET /"
        assert server.accepted.total() == count
        assert set(server.accepted.values()) == {1}
