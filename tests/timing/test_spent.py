"""Where the time of a request went."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import pooledhttp
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.exceptions import ConnectionError, ConnectTimeout, ReadTimeout
from pooledhttp.network import Address
from pooledhttp.timing import Spent, Timeout, plan_timeout
from tests.support.clock import FakeClock
from tests.support.scripted import Peer, ScriptedServer, respond
from tests.support.skipping import SkippingRuntime


def test_phases_are_added_up_and_the_callers_time_is_left_out() -> None:
    """A phase that comes again goes on; what nobody began belongs to nobody."""
    clock = FakeClock()
    spent = Spent(clock.now)
    for phase, seconds in (("a", 1), ("b", 2), (None, 50), ("a", 3), ("c", 0.001)):
        spent.begin(phase)
        clock.advance(seconds)
    assert spent.by_phase() == pytest.approx({"a": 4, "b": 2, "c": 0.001})
    assert str(spent) == "a 4.00 s, b 2.00 s"


def test_only_a_running_total_is_accounted_for() -> None:
    """Plans without a total carry nothing; started twice, a timeout keeps its account."""
    for timeout in (None, 5, (1, 2), Timeout(connect=3)):
        assert plan_timeout(timeout).spent is None
    running = Timeout(total=3).start()
    assert plan_timeout(running).spent is running.start().spent is not None
    assert running == Timeout(total=3)


@pytest.fixture
def runtime() -> SkippingRuntime:
    """Time passes where the servers here say so, and nowhere else."""
    return SkippingRuntime(stands=True)


@pytest.fixture
def session(runtime: SkippingRuntime) -> Iterator[pooledhttp.Session]:
    with pooledhttp.Session(runtime=runtime) as session:
        yield session


def test_the_error_says_which_phase_used_what(
    runtime: SkippingRuntime, session: pooledhttp.Session
) -> None:
    """The answer took a third of the total, its body the rest: in words and as numbers."""

    def slow_body(peer: Peer) -> None:
        peer.read_request()
        runtime.take_time(peer, 0.1)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        runtime.stay_silent(peer)

    with ScriptedServer(slow_body) as server:
        with pytest.raises(ConnectionError, match=r"waiting for the response 0\.10 s") as caught:
            session.get(server.url(), timeout=Timeout(total=0.3))
        session.close()
    seconds = caught.value.args[0].spent_seconds
    assert seconds["waiting for the response"] == pytest.approx(0.1)
    assert seconds["reading the body"] == pytest.approx(0.2)


def test_hops_and_pauses_are_in_the_account(runtime: SkippingRuntime) -> None:
    """Redirects and the waits before retries use the total up as well."""
    answers = iter([302, 503, 503])

    def answer(peer: Peer) -> None:
        while True:
            peer.read_request()
            status = next(answers, 200)
            runtime.take_time(peer, 0.5 if status == 200 else 0.05)
            peer.send(respond(b"", {"Location": "/on"} if status == 302 else {}, status=status))

    policy = pooledhttp.Retry(5, status_forcelist=[503], backoff_factor=0.05)
    policy.rng = type("Long", (), {"uniform": staticmethod(lambda low, high: high)})()  # type: ignore[assignment]
    with (
        ScriptedServer(answer) as server,
        pooledhttp.Session(retries=policy, runtime=runtime) as session,
    ):
        with pytest.raises(ReadTimeout) as caught:
            session.get(server.url(), timeout=Timeout(total=0.5))
    seconds = caught.value.args[0].spent_seconds
    assert seconds["pausing before a retry"] == pytest.approx(0.15)
    assert sum(seconds.values()) == pytest.approx(0.5)


class _Slow:
    """A resolver that takes its time."""

    def resolve(self, host: str, port: int, deadline: object, runtime: Any) -> Sequence[Address]:
        runtime.sleep(0.1)
        return [Address(socket.AF_INET, ("127.0.0.1", port))]


def test_the_steps_before_a_request(runtime: SkippingRuntime, session: pooledhttp.Session) -> None:
    """Lookup and handshake are told apart."""
    session.mount("https://", HTTPAdapter(resolver=_Slow()))
    with ScriptedServer(runtime.stay_silent) as server:
        text = r"Of the total went: looking up 0\.10 s, .*TLS handshake 0\.20 s"
        with pytest.raises(ConnectTimeout, match=text):
            session.get(f"https://some.example:{server.port}/", timeout=Timeout(total=0.3))
        session.close()


def test_a_total_too_short_to_tell_of(
    runtime: SkippingRuntime, session: pooledhttp.Session
) -> None:
    """No phase took as long as is told, so the text tells of none."""
    with ScriptedServer(runtime.stay_silent) as server:
        with pytest.raises(ReadTimeout) as caught:
            session.get(server.url(), timeout=Timeout(total=0.001))
    assert "(total timeout)" in str(caught.value) and "Of the total" not in str(caught.value)


def test_a_tunnel_that_is_not_opened(runtime: SkippingRuntime, session: pooledhttp.Session) -> None:
    """The proxy took the time."""
    with ScriptedServer(runtime.stay_silent) as proxy:
        table = {"https": f"http://127.0.0.1:{proxy.port}"}
        with pytest.raises(ConnectTimeout, match=r"went: .*opening the tunnel 0\.25 s"):
            session.get("https://127.0.0.1:1/", proxies=table, timeout=Timeout(total=0.25))
        session.close()
