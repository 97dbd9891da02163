"""What the pool reports (leaks, events, log), and what it survives (pickling, threads)."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pooledhttp
from pooledhttp import PoolConfig, Session
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.events import (
    ConnectionClosed,
    ConnectionOpened,
    Event,
    IdleOverflow,
    Leaked,
    LeaseAcquired,
    LeaseEnded,
    Replayed,
    StaleFound,
    WaitTimedOut,
)
from pooledhttp.exceptions import PoolTimeout
from pooledhttp.pool import HostLimits
from tests.support.beside import crew
from tests.support.counting import CountingServer
from tests.support.garbage import collect
from tests.support.patience import wait_until
from tests.support.scripted import Peer, ScriptedServer, answering, respond
from tests.support.skipping import SkippingRuntime

LARGE = respond((b"x" * 99 + b"\n") * 10_000)


def here() -> str:
    """File and line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno}"


def kinds(events: list[Event]) -> list[type]:
    """The classes of events."""
    return [type(event) for event in events]


# -- leaks


def test_a_response_nobody_reads_is_reported_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the threshold: with origin, age, thread, and the line of this very file."""
    monkeypatch.setattr("pooledhttp.pool.sweeper._PAUSE_SECONDS", 0.05)
    events: list[Event] = []
    began = time.monotonic()
    with ScriptedServer(answering(LARGE)) as server:
        with Session(pool=PoolConfig(leak_threshold=0.3), listeners=[events.append]) as session:
            with session.get(server.url(), stream=True) as answer:
                line = here().rpartition(":")
                wait_until(lambda: any(isinstance(event, Leaked) for event in events))
                for _ in range(3):
                    session.pool.manager.connections.report_leaks()
                age_limit = time.monotonic() - began
                assert answer.content
            stats = session.pool.stats().total
    (leak,) = (event for event in events if isinstance(event, Leaked))
    assert leak.origin == f"http://127.0.0.1:{server.port}"
    assert leak.where == f"{line[0]}:{int(line[2]) - 1}"
    assert leak.thread == "MainThread" and 0.3 <= leak.age_seconds <= age_limit
    (record,) = (one for one in caplog.records if "has not been used" in one.getMessage())
    assert record.levelno == logging.WARNING
    assert leak.where in record.getMessage() and leak.origin in record.getMessage()
    assert stats.leaks == 1 and stats.active == 0


def test_reading_slowly_is_no_leak(caplog: pytest.LogCaptureFixture) -> None:
    """A body that is read bit by bit, and a slow response, are not leaks."""
    runtime = SkippingRuntime(stands=True)

    def slow(peer: Peer) -> None:
        peer.read_request()
        runtime.take_time(peer, 0.8)
        session.pool.manager.connections.report_leaks()
        peer.send(LARGE)
        peer.wait_closed()

    config = PoolConfig(leak_threshold=0.4)
    with ScriptedServer(slow) as server, Session(pool=config, runtime=runtime) as session:
        with session.get(server.url(), stream=True) as answer:
            for _ in answer.iter_content(50_000):
                runtime.sleep(0.15)
                session.pool.manager.connections.report_leaks()
            assert session.pool.stats().total.leaks == 0
    assert "has not been used" not in caplog.text


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the cyclic garbage collector."""
    collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_dropped_response_is_reclaimed_at_once() -> None:
    """With the collector off: a warning that names the origin, a count, and a closed connection."""
    events: list[Event] = []
    with ScriptedServer(answering(LARGE)) as server:
        with Session(pool=PoolConfig(max_per_host=1), listeners=[events.append]) as session:
            answer = session.get(server.url(), stream=True)
            with pytest.warns(ResourceWarning, match=f"127.0.0.1:{server.port}") as caught:
                del answer
            assert "close it" in str(caught[0].message)
            server.wait_all_closed()
            stats = session.pool.stats()
            assert stats.total.leaks == 1 and stats.total.active == 0
            assert stats.total.closed == {"leaked": 1}
            assert session.get(server.url(), timeout=20).ok, "its place is free again"
    leaks = [event for event in events if isinstance(event, Leaked)]
    assert len(leaks) == 1 and leaks[0].where == ""


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "use",
    [
        lambda answer: next(answer.iter_content(10)),
        lambda answer: next(answer.iter_lines()),
        lambda answer: answer.raw.read(10),
        lambda answer: next(answer.raw.stream(10)),
        lambda answer: answer.headers and answer.cookies and answer.raw.headers,
        lambda answer: repr(answer) and answer.raise_for_status(),
    ],
)
def test_half_read_ones_are_reclaimed_too(use: Callable[[pooledhttp.Response], object]) -> None:
    """A response that is dropped half-read is counted as a leak."""
    with ScriptedServer(answering(LARGE)) as server, Session() as session:
        answer = session.get(server.url(), stream=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            use(answer)
            del answer
        server.wait_all_closed()
        assert session.pool.stats().total.leaks == 1


# -- events


def test_events_of_a_first_and_a_second_request() -> None:
    """An empty lease, a new connection, its return; then the same connection again; its end."""
    events: list[Event] = []
    with CountingServer() as server:
        with Session(listeners=[events.append]) as session:
            session.get(server.url())
            first = interesting(events)
            session.get(server.url())
            second = interesting(events)[len(first) :]
        last = interesting(events)[len(first) + len(second) :]
    assert kinds(first) == [LeaseAcquired, ConnectionOpened, LeaseEnded]
    assert (first[0].reused, first[0].dialling) == (False, True)  # type: ignore[union-attr]
    assert kinds(second) == [LeaseAcquired, LeaseEnded]
    assert (second[0].reused, second[0].dialling) == (True, False)  # type: ignore[union-attr]
    assert kinds(last) == [ConnectionClosed]
    assert last[0].requests == 2 and last[0].reason == "closed"  # type: ignore[union-attr]
    assert {event.origin for event in events} == {server.url().rstrip("/")}


def interesting(events: list[Event]) -> list[Event]:
    """The events of the pool alone."""
    own = (ConnectionClosed, ConnectionOpened, LeaseAcquired, LeaseEnded, WaitTimedOut, Leaked)
    return [event for event in events if isinstance(event, (*own, StaleFound, IdleOverflow))]


def test_events_of_a_wait_in_vain_and_of_one_that_ends_well() -> None:
    """A wait that timed out acquires nothing; a served one reports its time."""
    events: list[Event] = []
    config = PoolConfig(max_per_host=1)
    with CountingServer() as server, Session(pool=config, listeners=[events.append]) as session:
        answer = session.get(server.url(), stream=True)
        with pytest.raises(PoolTimeout):
            session.get(server.url(), timeout=0.1)
        waits = interesting(events)[2:]
        assert kinds(waits) == [WaitTimedOut]
        assert waits[0].wait_seconds >= 0.1  # type: ignore[union-attr]
        with crew(1) as beside:
            waiting = beside.submit(session.get, server.url())
            wait_until(lambda: session.pool.stats().total.waiting == 1)
            assert answer.content
            assert waiting.result(5).content
        served = interesting(events)[3:]
    acquired = [event for event in served if isinstance(event, LeaseAcquired)]
    assert len(acquired) == 1 and acquired[0].reused and acquired[0].wait_seconds > 0
    assert session.pool.stats().total.acquire_timeouts == 1


def test_events_of_a_dropped_and_of_an_abandoned_response() -> None:
    """Dropped: leaked, discarded, closed. Closed early: discarded and closed, no leak."""
    events: list[Event] = []
    with ScriptedServer(answering(LARGE)) as server:
        with Session(listeners=[events.append]) as session:
            with contextlib.suppress(ResourceWarning), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session.get(server.url(), stream=True)
            session.pool.evict("http://nowhere.test/")  # events of a finalizer come with the next
            assert kinds(interesting(events)) == [
                LeaseAcquired,
                ConnectionOpened,
                Leaked,
                LeaseEnded,
                ConnectionClosed,
            ]
            del events[:]
            session.get(server.url(), stream=True).close()
            assert kinds(interesting(events)) == [
                LeaseAcquired,
                ConnectionOpened,
                LeaseEnded,
                ConnectionClosed,
            ]


def test_events_of_a_connection_found_dead() -> None:
    """Found by the probe: closed, and another opened. Found by the request: replayed as well."""
    events: list[Event] = []

    def dies_when_asked_again(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"1"))
        peer.sock.recv(1)
        peer.reset()

    handlers = [dies_when_asked_again, answering(respond(b"2"))]
    with ScriptedServer(handlers) as server, Session(listeners=[events.append]) as session:
        session.get(server.url())
        del events[:]
        assert session.get(server.url()).content == b"2"
        wanted = {StaleFound, ConnectionClosed, Replayed, ConnectionOpened, LeaseEnded}
        seen = [kind for kind in kinds(events) if kind in wanted]
        assert seen[-2:] == [ConnectionOpened, LeaseEnded]
        assert set(seen[:3]) == {StaleFound, ConnectionClosed, Replayed}
        total = session.pool.stats().total
        assert (total.stale_found, total.replays) == (1, 1)


def test_a_listener_that_fails_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Requests go on, other listeners get all events, and the log has one line at WARNING."""

    def fail(event: Event) -> None:
        raise ZeroDivisionError("of the listener")

    events: list[Event] = []
    config = PoolConfig(max_per_host=2, leak_threshold=30)
    with CountingServer() as server:
        with Session(pool=config, listeners=[fail, events.append]) as session:
            for _ in range(5):
                assert session.get(server.url()).content == b"GET /"
            session.get(server.url(), stream=True).close()
            held = [session.get(server.url(), stream=True) for _ in range(2)]
            with pytest.raises(PoolTimeout):
                session.get(server.url(), timeout=0.05)
            for answer in held:
                answer.close()
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(loud) == 1 and "Listener" in loud[0].getMessage()
    assert sum(isinstance(event, LeaseAcquired) for event in events) == 8
    assert session.pool.stats().total.active == 0


def test_a_listener_may_use_the_session() -> None:
    """It runs outside of every lock: it may ask for numbers, and even send a request."""
    depth = threading.local()
    with CountingServer() as server:
        sessions: list[Session] = []

        def listen(event: Event) -> None:
            if not getattr(depth, "is_inside", False) and isinstance(event, LeaseEnded):
                depth.is_inside = True
                sessions[0].pool.stats()
                sessions[0].get(server.url("/listener"), timeout=5)
                depth.is_inside = False

        with Session(listeners=[listen]) as session:
            sessions.append(session)
            assert session.get(server.url(), timeout=5).content == b"GET /"
        assert server.executed == {"GET /": 1, "GET /listener": 1}


# -- the log


def test_a_full_shelf_is_one_line_that_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    """Fifty connections closed over the idle limit give one line, with the number to set."""
    config = PoolConfig(max_idle_per_host=2)
    with CountingServer() as server, Session(pool=config) as session:
        for _ in range(10):
            answers = [session.get(server.url(), stream=True) for _ in range(7)]
            for answer in answers:
                assert answer.content
        assert session.pool.stats().total.exhausted == 50
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1
        assert "Set max_idle_per_host to 7" in lines[0] and server.url().rstrip("/") in lines[0]
        session.pool.resize(PoolConfig(max_idle_per_host=7))
        before = server.accepted.total()
        for _ in range(10):
            answers = [session.get(server.url(), stream=True) for _ in range(7)]
            for answer in answers:
                assert answer.content
        assert server.accepted.total() <= before + 5, "with that number, all are kept"


# -- copies


def test_a_session_with_pool_settings_pickles() -> None:
    """The copy has the same settings and a pool of its own."""
    config = PoolConfig(
        max_per_host=3,
        acquire_timeout=1,
        overrides={"https://api.example.com": HostLimits(max_per_host=1)},
    )
    with CountingServer() as server, Session(pool=config, replay="off", timeout=3) as session:
        session.mount("http://127.0.0.2", HTTPAdapter(pool=PoolConfig(max_total=2)))
        session.get(server.url())
        copy: Session = pickle.loads(pickle.dumps(session))
        with copy:
            assert copy.pool.config == config and copy.pool is not session.pool
            own: Any = copy.get_adapter("http://127.0.0.2/")
            assert own.pool.config == PoolConfig(max_total=2)
            assert copy.get_adapter("http://x/").pool is copy.pool  # type: ignore[attr-defined]
            assert copy.get(server.url()).ok
            assert server.accepted.total() == 2
            assert pickle.loads(pickle.dumps(copy)).pool.config == config


def test_stats_and_settings_pickle() -> None:
    """Snapshots go to other processes as they are."""
    with CountingServer() as server, Session() as session:
        session.get(server.url())
        stats = session.pool.stats()
        assert pickle.loads(pickle.dumps(stats)) == stats
        advice = session.pool.advise()
        assert pickle.loads(pickle.dumps(advice)) == advice


# -- threads


def test_everything_at_once_from_many_threads() -> None:
    """Requests, numbers, resizing, evicting, warming and closing, from 24 threads at a time."""
    errors: list[BaseException] = []
    with CountingServer() as server, Session(pool=PoolConfig(max_per_host=6)) as session:
        pool = session.pool
        deeds: list[Callable[[], object]] = [
            lambda: pool.stats(),
            lambda: pool.advise(),
            lambda: pool.resize(PoolConfig(max_per_host=4)),
            lambda: pool.resize(PoolConfig(max_per_host=8, max_total=8)),
            lambda: pool.evict(server.url()),
            lambda: pool.warm(server.url(), 2, timeout=1),
            lambda: pool.warm(server.url(), 0),
            session.close,
            lambda: session.get(server.url(), stream=True, timeout=10).close(),
        ]

        def act(number: int) -> None:
            for turn in range(40):
                try:
                    deed = deeds[number] if number < len(deeds) else None
                    if deed is not None:
                        deed()
                    else:
                        target = f"/{number}-{turn}"
                        body = session.get(server.url(target), timeout=10).content
                        assert body == f"GET {target}".encode()
                except BaseException as error:
                    errors.append(error)

        with crew(24) as beside:
            list(beside.map(act, range(24)))
        assert errors == []
        session.close()
        server.wait_until(lambda: not server.open_count, "the end of all connections")
        total = session.pool.stats().total
        assert (total.active, total.idle, total.waiting, total.leaks) == (0, 0, 0, 0)
