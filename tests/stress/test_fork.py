"""Forked children that share a warm session with their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from urllib3.exceptions import HTTPError

from pooledhttp import PoolConfig, RequestException, Session
from pooledhttp.network import Route
from pooledhttp.transport import PoolView, TransportManager
from tests.support.apart import ServerApart
from tests.support.certificates import Authority

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    # Python warns of forks while threads run. That is what is being tested.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[ServerApart]:
    """A server in another process."""
    is_tls = request.param == "tls"
    with ServerApart(authority.write_certificate(stem="apart") if is_tls else None) as server:
        yield server


@pytest.fixture
def session(authority: Authority) -> Iterator[Session]:
    """A session that trusts the test's authority."""
    with Session() as session:
        session.verify = authority.bundle
        yield session


def fetch(session: Session, server: ServerApart, name: str, count: int) -> None:
    """Send so many GETs, and check each body."""
    for number in range(count):
        target = f"/{name}-{number}"
        body = session.get(server.url(target), timeout=20).content
        assert body == f"GET {target}".encode() * 10, (target, body)


def warm_up(session: Session, server: ServerApart, count: int) -> None:
    """Leave so many idle connections, all of them used."""
    responses = [session.get(server.url("/warm"), stream=True, timeout=20) for _ in range(count)]
    for response in responses:
        assert response.content


@contextlib.contextmanager
def child(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a forked child, and check at the end of the block that it succeeded."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest-timeout has its own there
            signal.alarm(30)  # ends a child that hangs
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        yield
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"the child ended with {status}"


def test_children_and_parent_fetch_at_the_same_time(server: ServerApart, session: Session) -> None:
    """Four children and their parent, 1,200 GETs: no wrong body, no error, no shared connection."""
    warm_up(session, server, 4)
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(child(lambda name=f"c{number}": fetch(session, server, name, 240)))
        fetch(session, server, "parent", 240)
    facts = server.facts()
    counts = Counter(facts["requests"])
    assert counts.pop("GET /warm") == 4
    assert len(counts) == 1_200 and set(counts.values()) == {1}
    assert facts["odd"] == []
    assert facts["accepted"] == 4 + 4, "the parent's four, and one for each child"
    assert session.pool.stats().total.created == 4


def test_the_parents_connections_outlive_its_children(
    server: ServerApart, session: Session
) -> None:
    """The parent keeps its connections, whatever its children do with the session."""
    warm_up(session, server, 2)

    def misuse() -> None:
        session.close()
        fetch(session, server, "child", 3)
        session.pool.evict(server.url())
        session.pool.shutdown()

    for _ in range(3):
        with child(misuse):
            pass
    fetch(session, server, "parent", 20)
    assert session.pool.stats().total.created == 2
    assert server.facts()["odd"] == []


def test_a_close_by_the_parent_is_seen_while_children_live(
    server: ServerApart, session: Session
) -> None:
    """The children hold no copy of a connection of the parent, which would keep it open."""
    warm_up(session, server, 5)
    reading, writing = os.pipe()

    def live() -> None:
        os.close(writing)
        os.read(reading, 1)  # until the parent closes its end

    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(child(live))
        os.close(reading)
        session.close()
        server.wait_until(lambda facts: facts["open"] == 0, "the end of all connections")
        os.close(writing)


def test_a_body_being_read_stays_with_the_parent(server: ServerApart, session: Session) -> None:
    """A child that drops or closes a response of its parent does not affect it."""
    response = session.get(server.url("/half"), stream=True, timeout=20)
    chunks = response.iter_content(8)
    first = next(chunks)

    def drop() -> None:
        response.close()
        fetch(session, server, "child", 2)

    with child(drop):
        pass
    assert first + b"".join(chunks) == b"GET /half" * 10
    fetch(session, server, "parent", 2)
    assert session.pool.stats().total.created == 1


@pytest.mark.parametrize("target", ["/half", "/whole"])
@pytest.mark.parametrize("read", ["content", "iter_content", "raw"])
def test_a_child_never_takes_a_body_of_its_parent_for_empty(
    server: ServerApart, session: Session, read: str, target: str
) -> None:
    """A child gets what has arrived of it; where more is needed, an error."""
    response = session.get(server.url(target), stream=True, timeout=20)
    first = response.raw.read(8) if target == "/half" else b""
    expected = f"GET {target}".encode() * 10

    def attempt() -> None:
        rest = b""
        with contextlib.suppress(RequestException, HTTPError):
            if read == "content":
                rest = response.content
            elif read == "iter_content":
                rest = b"".join(response.iter_content(8))
            else:
                rest = response.raw.read()
            assert first + rest == expected

    with child(attempt):
        pass
    assert first + response.content == expected
    assert session.pool.stats().total.created == 1


@pytest.mark.parametrize("forks", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_fork_while_threads_are_busy(forks: int) -> None:
    """The child works, whatever locks other threads of the parent hold at the fork.

    Plain sockets only: OpenSSL has its own locks, which a child cannot reset.
    """
    stop = threading.Event()
    with ServerApart() as server, Session(pool=PoolConfig(max_per_host=6, min_idle=1)) as session:

        def hammer(number: int) -> None:
            turn = 0
            while not stop.is_set():
                fetch(session, server, f"t{number}-{turn}", 1)
                turn += 1

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            for number in range(forks):
                with child(lambda name=f"c{number}": fetch(session, server, name, 3)):
                    pass
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert server.facts()["odd"] == []


def test_a_child_keeps_connections_warm_too(
    server: ServerApart, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child has no warming thread; its first request starts one."""
    monkeypatch.setattr("pooledhttp.transport.warmer.INTERVAL_SECONDS", 0.05)
    with Session(pool=PoolConfig(min_idle=3)) as session:
        session.verify = authority.bundle
        fetch(session, server, "parent", 1)

        def stay_warm() -> None:
            assert not session.pool.manager.warmer.is_running
            before = server_side()
            fetch(session, server, "child", 1)
            pause = threading.Event()
            for _ in range(500):
                if session.pool.stats().total.idle >= 3:
                    break
                pause.wait(0.01)
            assert session.pool.stats().total.idle >= 3, before

        def server_side() -> str:
            return repr(session.pool)

        with child(stay_warm):
            pass


def test_a_fork_while_the_manager_is_being_made() -> None:
    """Another thread of the parent makes it at the fork: the child makes its own."""
    parent, is_making, may_finish = os.getpid(), threading.Event(), threading.Event()

    def make() -> TransportManager:
        if os.getpid() == parent:
            is_making.set()
            assert may_finish.wait(20)
        return TransportManager(PoolConfig())

    owner = threading.Event()  # anything that can be referred to weakly
    view = PoolView(make, owner, lambda _, url: Route("http", url, 80))
    thread = threading.Thread(target=lambda: view.manager)
    thread.start()
    assert is_making.wait(20)
    try:
        with child(lambda: view.manager.shutdown()):
            pass
    finally:
        may_finish.set()
        thread.join()
    view.manager.shutdown()
