"""The calls of `session.pool` on real sockets: warm, evict, close, drain, shut down."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import PoolConfig, Session
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.exceptions import PoolClosed, PoolTimeout
from tests.support.beside import crew
from tests.support.certificates import Authority
from tests.support.counting import CountingServer
from tests.support.garbage import collect
from tests.support.patience import wait_until
from tests.support.scripted import PATIENCE_SECONDS, Gate, Peer, ScriptedServer, answering, respond
from tests.wire.tools import prompt

HELLO = answering(respond(b"hello"))


def wait_for_idle(session: Session, count: int) -> None:
    """Wait until that many connections are idle."""
    stats = session.pool.stats
    wait_until(lambda: stats().total.idle == count, f"{count} idle connections", PATIENCE_SECONDS)


@pytest.fixture
def quick_warmer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warmer that checks every twentieth of a second, unless it is woken."""
    monkeypatch.setattr("pooledhttp.transport.warmer.INTERVAL_SECONDS", 0.05)


# -- warm


def test_warm_connections_serve_the_next_requests() -> None:
    """Warm connections are open before the first request, and it opens no other."""
    with CountingServer() as server, Session() as session:
        assert session.pool.warm(server.url("/anything"), 3) == 3
        server.wait_until(lambda: server.accepted.total() == 3, "three connections")
        for _ in range(5):
            assert session.get(server.url()).content == b"GET /"
        assert server.accepted.total() == 3
        assert session.pool.stats().total.reuse_rate == 1.0


def test_warm_uses_the_sessions_own_tls(authority: Authority) -> None:
    """A connection warmed for a session with its own CA is one that its requests may use."""
    with ScriptedServer(HELLO, tls=authority.server_context()) as server, Session() as session:
        session.verify = authority.bundle
        assert session.pool.warm(server.url(), 2) == 2
        assert session.get(server.url()).content == b"hello"
        assert len(server.connections) == 2


def test_warm_counts_what_its_own_requests_may_use(authority: Authority) -> None:
    """Idle connections to the same origin on other terms do not count, nor are they taken."""
    with ScriptedServer(HELLO, tls=authority.server_context()) as server, Session() as session:
        with pytest.warns(Warning, match="Unverified"):
            session.get(server.url(), verify=False)
        session.verify = authority.bundle
        assert session.pool.warm(server.url(), 1) == 1
        assert len(server.connections) == 2


@pytest.mark.parametrize("is_mounted", [True, False])
def test_warm_of_an_adapters_own_pool(authority: Authority, is_mounted: bool) -> None:
    """`adapter.pool` uses the route of its requests, with the session's settings if it has one."""
    # No tickets: one that arrives just when the connection is looked at costs it.
    context = authority.new_server_context()
    context.num_tickets = 0
    with CountingServer() as plain, ScriptedServer(HELLO, tls=context) as server:
        adapter = HTTPAdapter(pool=PoolConfig())
        with Session() as session:
            session.mount("https://" if is_mounted else "nowhere://", adapter)
            session.verify = authority.bundle
            assert adapter.pool.warm(plain.url(), 1) == 1
            if is_mounted:
                assert adapter.pool.warm(server.url(), 1) == 1
                session.get(server.url())
                assert len(server.connections) == 1
        adapter.close()


def test_what_cannot_be_warmed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection is no error: the count says how many are there."""
    with CountingServer() as server:
        url = server.url()
    with Session() as session, prompt():
        assert session.pool.warm(url, 4) == 0
    assert f"http://127.0.0.1:{server.port}" in caplog.text
    assert "could be kept warm" in caplog.text


def test_warm_is_within_the_limits() -> None:
    """A maximum holds for warm connections as for all others."""
    with CountingServer() as server, Session(pool=PoolConfig(max_per_host=2)) as session:
        assert session.pool.warm(server.url(), 5) == 2
        assert server.peak == 2


@pytest.mark.parametrize(
    ("count", "error"), [(-1, ValueError), (True, TypeError), ("2", TypeError)]
)
def test_a_wrong_count_is_refused(count: Any, error: type[Exception]) -> None:
    """The message names what is wrong."""
    with Session() as session, pytest.raises(error, match="count must be"):
        session.pool.warm("http://127.0.0.1:1/", count)


@pytest.mark.usefixtures("quick_warmer")
def test_warm_connections_are_replaced_when_the_server_closes_them() -> None:
    """A server that closes idle connections sees new ones, before any request comes."""
    with CountingServer(idle_seconds=0.2) as server, Session() as session:
        assert session.pool.warm(server.url(), 2) == 2
        server.wait_until(lambda: server.accepted.total() >= 4, "the replacement")
        wait_for_idle(session, 2)
        session.pool.warm(server.url(), 0)


@pytest.mark.usefixtures("quick_warmer")
def test_min_idle_is_kept_from_the_first_request_on() -> None:
    """One request, and the rest of the minimum is opened beside it; close ends all of it."""
    with CountingServer() as server:
        with Session(pool=PoolConfig(min_idle=3)) as session:
            session.get(server.url())
            server.wait_until(lambda: server.open_count >= 3, "three connections")
        server.wait_until(lambda: server.open_count == 0, "the end of all")
        session.get(server.url())
        server.wait_until(lambda: server.open_count >= 3, "three connections again")
        session.close()


@pytest.mark.usefixtures("quick_warmer")
def test_the_warmer_ends_with_its_session() -> None:
    """A session that is dropped leaves neither a thread nor a connection."""
    with CountingServer() as server:
        session = Session(pool=PoolConfig(min_idle=1))
        session.get(server.url())
        del session
        collect()
        server.wait_until(lambda: server.open_count == 0, "the end of all connections")

        def is_over() -> bool:
            return not any(thread.name == "pooledhttp-warmer" for thread in threading.enumerate())

        wait_until(is_over, "the end of the warmer", PATIENCE_SECONDS)


def test_warm_and_shared_pools_outlive_one_of_their_sessions() -> None:
    """Of two sessions on one pool one may go; each has a view of the pool with its own settings."""
    with CountingServer() as server, Session() as first:
        second = Session(pool=first.pool)
        assert second.pool == first.pool and second.pool.manager is first.pool.manager
        second.get(server.url())
        second.close()
        del second
        collect()
        assert first.pool.warm(server.url(), 1) == 1


# -- evict


def test_evict_closes_idle_ones_now_and_used_ones_later() -> None:
    """Only those of that origin, and the next request opens a new one."""
    with CountingServer(["127.0.0.1", "127.0.0.2"]) as server, Session() as session:
        session.get(server.url(host="127.0.0.2"))
        session.get(server.url())
        answer = session.get(server.url(), stream=True)
        assert session.pool.evict(server.url("/path")) == 1
        assert answer.content == b"GET /"
        server.wait_until(lambda: server.open_count == 1, "the end of the evicted one")
        session.get(server.url())
        assert server.accepted == {"127.0.0.1": 2, "127.0.0.2": 1}


def test_evict_of_an_origin_behind_a_forward_proxy() -> None:
    """Its connections lead to the proxy; they are found by the way the session goes."""
    with ScriptedServer(HELLO) as proxy, Session() as session:
        session.proxies = {"http": proxy.url()}
        session.get("http://far.example/")
        assert session.pool.evict("http://far.example/") == 1
        proxy.wait_all_closed()


def test_evict_closes_on_whatever_terms_a_connection_was_made(authority: Authority) -> None:
    """The origin's connections under other TLS settings go as well."""
    with ScriptedServer(HELLO, tls=authority.server_context()) as server, Session() as session:
        session.get(server.url(), verify=authority.bundle)
        with pytest.warns(Warning, match="Unverified"):
            session.get(server.url(), verify=False)
        assert session.pool.evict(server.url()) == 2
        server.wait_all_closed()


# -- closing


def test_close_leaves_what_is_in_use_to_its_reader() -> None:
    """The body can be read after it; then its connection is closed, not kept."""
    with CountingServer() as server:
        session = Session()
        session.get(server.url()), session.get(server.url())
        with session.get(server.url(), stream=True) as answer:
            session.close()
            assert answer.content == b"GET /"
        server.wait_until(lambda: server.open_count == 0, "the end of all connections")
        assert session.get(server.url()).content == b"GET /", "it can be used again"
        session.close()


def test_a_stream_of_the_one_off_functions_can_be_read() -> None:
    """`pooledhttp.get(url, stream=True)` closes its session before the body is read."""
    with CountingServer() as server:
        answer = pooledhttp.get(server.url("/x"), stream=True)
        assert answer.content == b"GET /x"
        server.wait_until(lambda: server.open_count == 0, "the end of the connection")


def test_the_last_adapter_to_close_empties_the_shelves() -> None:
    """Of several on one pool; one that was replaced and dropped does not count."""
    with CountingServer() as server:
        session = Session()
        session.get(server.url())
        session.mount("http://", HTTPAdapter())
        collect()
        session.get(server.url())
        assert server.open_count == 1
        session.close()
        server.wait_until(lambda: server.open_count == 0, "the end of all connections")


def test_sessions_that_share_a_pool_close_it_together() -> None:
    """The first close keeps the other's connections; the last one ends them."""
    with CountingServer() as server:
        first = Session()
        second = Session(pool=first.pool)
        first.get(server.url()), second.get(server.url())
        assert server.accepted.total() == 1
        first.close()
        assert second.get(server.url()).ok and server.accepted.total() == 1
        second.close()
        server.wait_until(lambda: server.open_count == 0, "the end of all connections")


def test_clearing_the_poolmanager_empties_the_shelves() -> None:
    """As `adapter.poolmanager.clear()` does in requests."""
    with CountingServer() as server, Session() as session:
        session.get(server.url())
        session.get_adapter(server.url()).close()
        server.wait_until(lambda: server.open_count == 0, "the end of all connections")


def test_shutdown_sends_waiters_away_at_once() -> None:
    """Waiters get `PoolClosed` at once, later requests too; readers finish."""
    with ScriptedServer(HELLO) as server, Session(pool=PoolConfig(max_per_host=1)) as session:
        answer = session.get(server.url(), stream=True)
        errors: list[BaseException] = []
        with crew(4) as beside:
            waiting = [beside.submit(session.get, server.url()) for _ in range(4)]
            wait_until(lambda: session.pool.stats().total.waiting == 4, "a line of four")
            with prompt(1.0):
                session.pool.shutdown()
                for each in waiting:
                    with pytest.raises(PoolClosed) as caught:
                        each.result(5)
                    errors.append(caught.value)
        assert str(server.port) in str(errors[0])
        assert isinstance(errors[0], pooledhttp.ConnectionError)
        assert answer.content == b"hello"
        with pytest.raises(PoolClosed):
            session.get(server.url())
        with pytest.raises(PoolClosed):
            session.pool.warm(server.url())
        server.wait_all_closed()


def test_drain_waits_for_readers() -> None:
    """It returns when the last body was read, and says in time that one was not."""
    with ScriptedServer(HELLO) as server, Session() as session:
        session.get(server.url())
        answer = session.get(server.url(), stream=True)
        assert session.pool.drain(0.05) is False
        threading.Timer(0.1, lambda: answer.content).start()
        with prompt(2.0):
            assert session.pool.drain() is True
        server.wait_all_closed()
        with pytest.raises(PoolClosed):
            session.get(server.url())


def test_resize_takes_effect_on_waiters_and_on_what_is_idle() -> None:
    """A larger pool serves waiters; a smaller one closes the excess."""
    with CountingServer() as server, Session(pool=PoolConfig(max_per_host=1)) as session:
        held = session.get(server.url(), stream=True)
        with crew(1) as beside:
            waiting = beside.submit(session.get, server.url())
            wait_until(lambda: session.pool.stats().total.waiting == 1, "a waiting caller")
            session.pool.resize(PoolConfig(max_per_host=2))
            assert waiting.result(5).content == b"GET /"
        held.close()
        session.pool.warm(server.url(), 2)
        session.pool.warm(server.url(), 0)
        session.pool.resize(PoolConfig(max_idle_per_host=1))
        server.wait_until(lambda: server.open_count == 1, "the end of one")
        assert session.pool.config.max_idle_per_host == 1


# -- waiting


def busy_forever(gate: Gate) -> Any:
    """A handler whose first response ends when a gate is opened."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"", length=5))
        gate.wait()
        peer.send(b"12345")
        HELLO(peer)

    return handle


@pytest.mark.parametrize(
    "timeout",
    [0.2, (0.2, 9), pooledhttp.Timeout(total=0.2), pooledhttp.Timeout(pool=0.2, connect=9)],
    ids=["number", "pair", "total", "pool"],
)
def test_timeout_bounds_the_wait_for_a_place(timeout: Any) -> None:
    """`PoolTimeout` comes after the timeout of the call, not after `acquire_timeout`."""
    with CountingServer() as server, Session(pool=PoolConfig(max_per_host=1)) as session:
        with session.get(server.url(), stream=True):
            began = time.monotonic()
            with prompt(1.0), pytest.raises(PoolTimeout) as caught:
                session.get(server.url(), timeout=timeout)
            assert time.monotonic() - began > 0.15
    error = caught.value
    assert isinstance(error, pooledhttp.ConnectionError) and isinstance(error, pooledhttp.Timeout)
    assert error.request is not None and error.request.url == server.url()


def test_acquire_timeout_bounds_it_without_one() -> None:
    """And zero does not wait at all."""
    with CountingServer() as server:
        for seconds in (0.2, 0):
            config = PoolConfig(max_per_host=1, acquire_timeout=seconds)
            with Session(pool=config) as session, session.get(server.url(), stream=True):
                with pytest.raises(PoolTimeout), prompt(seconds + 0.5):
                    session.get(server.url())


def test_a_retry_policy_does_not_try_a_full_pool_again() -> None:
    """The wait was the attempt: a `PoolTimeout` ends the request, and costs no retry."""
    config = PoolConfig(max_per_host=1, acquire_timeout=0.1)
    with CountingServer() as server, Session(pool=config, retries=5) as session:
        with session.get(server.url(), stream=True), prompt(0.6), pytest.raises(PoolTimeout):
            session.get(server.url())


def test_a_pool_timeout_tells_who_holds_the_connections() -> None:
    """Origin and age always; line and thread when leak detection is on."""
    config = PoolConfig(max_per_host=1, leak_threshold=60)
    with CountingServer() as server, Session(pool=config) as session:
        with session.get(server.url(), stream=True):  # line of the holder
            with pytest.raises(PoolTimeout) as caught:
                session.get(server.url(), timeout=0.05)
    text = str(caught.value)
    lines = Path(__file__).read_text().splitlines()
    (line,) = (at for at, code in enumerate(lines, 1) if code.endswith("# line of the holder"))
    assert f"{__file__}:{line}" in text
    assert threading.current_thread().name in text
    assert server.url().rstrip("/") in text and "max_per_host" in text
    assert (caught.value.in_use, caught.value.limit) == (1, 1)
    assert len(caught.value.holders) == 1
