"""Slots of the pool when servers misbehave: none is lost, and no wait hangs."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import pooledhttp
from pooledhttp import PoolConfig
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.auth import HTTPDigestAuth
from pooledhttp.exceptions import ConnectionError, PoolClosed, PoolTimeout, RequestException
from tests.support.beside import crew
from tests.support.patience import wait_until
from tests.support.scripted import (
    Handler,
    Peer,
    ScriptedServer,
    SeenRequest,
    answering,
    chunked,
    once,
    respond,
)
from tests.support.skipping import SkippingRuntime
from tests.wire.tools import prompt

BIG = b"x" * 3_000_000

#: Servers that stall are given up at once, after a timeout no busy machine comes near.
RUNTIME = SkippingRuntime()


@pytest.fixture
def narrow() -> Iterator[pooledhttp.Session]:
    """A session with one slot per host and a short acquire timeout."""
    with pooledhttp.Session(pool=PoolConfig(max_per_host=1, acquire_timeout=1)) as session:
        yield session


FAILURES: dict[str, Handler] = {
    "fin": once(b""),
    "rst": lambda peer: peer.reset(),
    "half-a-head": once(b"HTTP/1.1 200 OK\r\nX"),
    "rubbish": once(b"rubbish\r\n\r\n"),
    "half-a-body": once(respond(b"half", length=9)),
    "half-a-chunk": once(chunked([b"x"], end=False) + b"5\r\nx"),
    "bad-chunk": once(chunked([b"x"], end=False) + b"zz\r\n"),
    "bad-gzip": once(respond(b"not gzip", {"Content-Encoding": "gzip"})),
    "two-lengths": once(respond(b"x", {"Content-Length": "5"})),
    "stall": RUNTIME.stay_silent,
    "stall-in-body": lambda peer: (peer.read_request(), peer.send(respond(b"", length=5)), RUNTIME.stay_silent(peer)) and None,  # noqa: E501
    "redirect-nowhere": once(respond(b"", {"Location": "http://[::1/"}, status=302)),
    "redirect-loop": answering(respond(b"x", {"Location": "/"}, status=302)),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_failures_cost_no_place(failure: Handler, stream: bool) -> None:
    """After a number of failures the one slot is free."""
    config = PoolConfig(max_per_host=1, acquire_timeout=1)
    narrow = pooledhttp.Session(pool=config, runtime=RUNTIME)
    fails = [True]

    def handle(peer: Peer) -> None:
        (failure if fails[0] else answering(respond(b"fine")))(peer)

    with ScriptedServer(handle) as server, prompt(3):
        for _ in range(4):
            with pytest.raises(RequestException):
                answer = narrow.get(server.url(), timeout=5, stream=stream)
                answer.content  # noqa: B018
        fails[0] = False
        narrow.close()
        assert narrow.get(server.url(), timeout=5).content == b"fine"
        assert narrow.pool.stats().total.active == 0
        narrow.close()


def test_one_place_is_enough_for_redirects(narrow: pooledhttp.Session) -> None:
    """A redirect gives its slot back before the next hop needs it, whatever its body."""
    bodies = [b"", b"small", BIG]
    hops = [once(respond(body, {"Location": "/next"}, status=302)) for body in bodies]
    with ScriptedServer([*hops, answering(respond(b"fine"))]) as server, prompt():
        assert narrow.get(server.url(), timeout=5).content == b"fine"
        narrow.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_one_place_is_enough_for_digest(narrow: pooledhttp.Session, stream: bool) -> None:
    """The challenge gives its slot back before the second request."""
    ask = respond(BIG, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}, status=401)

    def answer_to(seen: SeenRequest) -> bytes:
        return respond(b"fine") if seen.header("Authorization") else ask

    with ScriptedServer(answering(answer_to)) as server, prompt():
        auth = HTTPDigestAuth("user", "secret")
        answer = narrow.get(server.url(), auth=auth, timeout=5, stream=stream)
        assert answer.content == b"fine"
        narrow.close()


def test_one_place_is_enough_for_retries() -> None:
    """A refused response gives its slot back before the next attempt."""
    policy = pooledhttp.Retry(5, status_forcelist=[503], backoff_factor=0)
    busy = respond(b"busy" * 100_000, status=503)
    config = PoolConfig(max_per_host=1, acquire_timeout=1)
    refuses = answering(busy)
    with ScriptedServer([refuses, refuses, answering(respond(b"fine"))]) as server, prompt():
        with pooledhttp.Session(pool=config, retries=policy) as session:
            assert session.get(server.url(), timeout=5).content == b"fine"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_one_place_is_enough_for_replays(narrow: pooledhttp.Session, stream: bool) -> None:
    """A stale connection is replaced in its own slot."""

    def goes(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"warm"))
        peer.sock.recv(1)
        peer.reset()

    with ScriptedServer([goes, answering(respond(b"fine"))]) as server, prompt():
        narrow.get(server.url(), timeout=5)
        assert narrow.get(server.url(), timeout=5, stream=stream).content == b"fine"
        narrow.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("end", ["read", "close", "drop", "fail"])
def test_a_waiter_gets_the_place_at_once(narrow: pooledhttp.Session, end: str) -> None:
    """However the holder ends, the waiter goes on."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(BIG[:1000] if end == "read" else b"half", length=1000))
        if end == "fail":
            gate.wait()
            peer.close()
        answering(respond(b"fine"))(peer)

    with ScriptedServer([handle, answering(respond(b"fine"))]) as server, prompt(1):
        gate = server.gate()
        holder = [narrow.get(server.url(), stream=True, timeout=5)]
        with crew(1) as beside:
            waiting = beside.submit(narrow.get, server.url(), timeout=5)
            wait_until(lambda: narrow.pool.stats().total.waiting == 1)
            match end:
                case "read":
                    assert len(holder[0].content) == 1000
                case "close":
                    holder[0].close()
                case "drop":
                    holder.clear()
                case "fail":
                    gate.open()
                    with pytest.raises(RequestException):
                        holder[0].content  # noqa: B018
            assert waiting.result(5).content == b"fine"
        narrow.close()


def test_waiting_in_vain_says_who_holds(narrow: pooledhttp.Session) -> None:
    """PoolTimeout: a Timeout and a ConnectionError with the counts, and no request was sent."""
    with ScriptedServer(answering(respond(BIG))) as server:
        held = narrow.get(server.url("/held"), stream=True, timeout=5)
        with prompt(0.5), pytest.raises(PoolTimeout, match=r"in use 1 of 1") as caught:
            narrow.get(server.url("/vain"), timeout=0.1)
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.limit == 1
        assert len(server.requests) == 1
        held.close()
        assert narrow.get(server.url("/later"), timeout=5).ok
        narrow.close()


def test_retries_do_not_repeat_a_wait(narrow: pooledhttp.Session) -> None:
    """A wait that timed out is no failure of the server: it is not retried."""
    narrow.mount("http://", HTTPAdapter(1, 1, max_retries=5, pool_block=True))
    with ScriptedServer(answering(respond(BIG))) as server:
        held = narrow.get(server.url(), stream=True, timeout=5)
        with prompt(0.5), pytest.raises(PoolTimeout):
            narrow.get(server.url(), timeout=0.1)
        held.close()
        narrow.close()


def test_shutdown_wakes_all_who_wait(narrow: pooledhttp.Session) -> None:
    """A shutdown wakes waiters at once."""
    with ScriptedServer(answering(respond(BIG))) as server:
        held = narrow.get(server.url(), stream=True, timeout=5)
        with crew(3) as beside, prompt(1):
            waiting = [beside.submit(narrow.get, server.url(), timeout=5) for _ in range(3)]
            wait_until(lambda: narrow.pool.stats().total.waiting == 3)
            narrow.pool.shutdown()
            for each in waiting:
                with pytest.raises(PoolClosed):
                    each.result(5)
        held.close()


def test_close_lets_waiters_go_on(narrow: pooledhttp.Session) -> None:
    """`Session.close` in another thread harms neither holder nor waiter."""
    with ScriptedServer(answering(respond(BIG))) as server:
        held = narrow.get(server.url(), stream=True, timeout=5)
        with crew(1) as beside:
            waiting = beside.submit(narrow.get, server.url(), timeout=5)
            wait_until(lambda: narrow.pool.stats().total.waiting == 1)
            narrow.close()
            assert len(held.content) == len(BIG)
            assert len(waiting.result(5).content) == len(BIG)
        narrow.close()
        server.wait_all_closed()


def test_a_slow_dial_takes_one_place(narrow: pooledhttp.Session) -> None:
    """A running handshake counts, and its failure gives the slot to the next waiter."""
    with ScriptedServer(lambda peer: peer.wait_closed() and None) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with crew(2) as beside, prompt(2):
            results = [beside.submit(_error_of, narrow, url) for _ in range(2)]
            for each in results:
                assert isinstance(each.result(5), RequestException)
        assert narrow.pool.stats().total.active == 0
        narrow.close()


def _error_of(session: pooledhttp.Session, url: str) -> Any:
    try:
        return session.get(url, timeout=0.2)
    except RequestException as error:
        return error


@pytest.mark.parametrize("size", [1, 2, 5])
def test_adapters_that_block(size: int) -> None:
    """`pool_block=True` with `pool_maxsize`: never more sockets than that, and all are served."""
    gate_count = threading.Semaphore(0)

    def handle(peer: Peer) -> None:
        while True:
            peer.read_request()
            gate_count.acquire(timeout=5)
            peer.send(respond(b"x"))

    with ScriptedServer(handle) as server, pooledhttp.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=size, pool_block=True))
        with crew(12) as beside:
            answers = [beside.submit(session.get, server.url(), timeout=10) for _ in range(36)]
            server.wait_for(lambda: len(server.connections) == size)
            gate_count.release(36)
            assert all(each.result(10).ok for each in answers)
        assert len(server.connections) == size


def test_idle_connections_of_many_hosts_are_bounded() -> None:
    """`max_idle_total` closes the excess connections, without errors."""
    servers = [ScriptedServer(answering(respond(b"x"))) for _ in range(6)]
    with pooledhttp.Session(pool=PoolConfig(max_idle_total=2)) as session:
        for server in servers:
            server.__enter__()
            assert session.get(server.url(), timeout=5).ok
        assert session.pool.stats().total.idle == 2
    for server in servers:
        server.wait_all_closed()
        server.close()


def test_connections_live_for_so_many_requests() -> None:
    """`max_requests` closes a connection after that many requests."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        with pooledhttp.Session(pool=PoolConfig(max_requests=3)) as session:
            for _ in range(9):
                assert session.get(server.url(), timeout=5).ok
        assert len(server.connections) == 3


def test_one_session_many_threads_many_faults() -> None:
    """Mixed failures from many threads: every call ends, and no slot is lost."""
    handlers = [*FAILURES.values()]
    turn = iter(range(10**9))

    def handle(peer: Peer) -> None:
        number = next(turn)
        if number % 2:
            answering(respond(b"fine"))(peer)
        else:
            handlers[number // 2 % len(handlers)](peer)

    config = PoolConfig(max_per_host=6, acquire_timeout=20)
    with ScriptedServer(handle) as server, pooledhttp.Session(pool=config) as session:

        def one(number: int) -> bool:
            try:
                return session.get(server.url(), timeout=0.2).content == b"fine"
            except pooledhttp.TooManyRedirects:
                return True
            except RequestException:
                return True

        with crew(24) as beside:
            assert all(beside.map(one, range(600)))
        stats = session.pool.stats().total
        assert (stats.active, stats.waiting) == (0, 0)


def test_a_body_found_broken_is_dropped_like_any_other(narrow: pooledhttp.Session) -> None:
    """An invalid body that was read ahead keeps nothing alive, with the cyclic collector off."""
    broken = once(chunked([b"hello"], end=False) + b"zz\r\n")
    with ScriptedServer([broken, answering(respond(b"fine"))]) as server, prompt():
        gc.disable()
        try:
            answer = narrow.get(server.url(), timeout=5, stream=True)
            assert next(answer.iter_content(5)) == b"hello"
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                del answer
            assert [one.category for one in said] == [ResourceWarning]
            assert narrow.get(server.url(), timeout=5).content == b"fine"
        finally:
            gc.enable()


def test_an_answer_that_no_response_can_be_made_of() -> None:
    """An adapter whose `build_response` raises gives the slot back at once."""

    class Picky(HTTPAdapter):
        def build_response(self, req: Any, resp: Any) -> Any:
            raise ValueError("not this one")

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pooledhttp.Session() as session:
            adapter = Picky(pool=PoolConfig(max_per_host=1))
            session.mount("http://", adapter)
            with pytest.raises(ValueError, match="not this one"):
                session.get(server.url(), timeout=5)
            total = adapter.pool.stats().total
            assert (total.active, total.leaks) == (0, 0)
