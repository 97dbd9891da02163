"""Ctrl-C and other exceptions out of nowhere, at each point of a lookup, a dial and a handshake."""

from __future__ import annotations

import gc
import itertools
import socket
import threading
from collections.abc import Callable

import pytest

from pooledhttp.network import (
    Connector,
    Route,
    StaticResolver,
    SystemResolver,
    TlsSettings,
    resolve,
)
from pooledhttp.runtime import Runtime, workers
from pooledhttp.timing import Deadline
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors
from tests.support.interrupts import interrupt_at
from tests.support.patience import wait_until
from tests.support.scripted import Peer, ScriptedServer

Soon = Callable[..., Deadline]


def test_a_lookup_interrupted_at_any_opcode_leaves_the_name_usable(
    runtime: Runtime, soon: Soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each interrupt the same name is found, from this thread and from another."""
    monkeypatch.setattr(resolve, "SLOW_AFTER", 0.02)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    resolver = SystemResolver(linger_seconds=0.05)

    def look_up() -> None:
        assert len(resolver.resolve("name", 80, soon(), runtime)) == 1

    points = 0
    for number in itertools.count(1):
        if not interrupt_at(number, look_up, ("network/resolve.py",)):
            break
        points = number
        look_up()
        if number % 20 == 0:
            other = threading.Thread(target=look_up)
            other.start()
            other.join()
    assert points > 100
    wait_until(lambda: not (resolver._inbox or resolver._flights or resolver._running))
    wait_until(lambda: not (resolver._idle or resolver._workers))


def test_a_join_interrupted_at_any_opcode_leaves_the_others_waiting(
    runtime: Runtime, soon: Soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that is interrupted while it shares a lookup takes nothing from the others."""
    monkeypatch.setattr(resolve, "SLOW_AFTER", 0.02)
    resolver = SystemResolver()
    for number in itertools.count(1):
        asked, release = threading.Event(), threading.Event()

        def answer(*_: object) -> list[tuple[object, ...]]:
            asked.set()  # noqa: B023
            release.wait(10)  # noqa: B023
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        results: list[object] = []

        def look_up() -> None:
            results.append(resolver.resolve("name", 80, soon(), runtime))  # noqa: B023

        first = threading.Thread(target=look_up)
        first.start()
        asked.wait(10)

        def join_in() -> None:
            threading.Timer(0.03, release.set).start()  # noqa: B023
            resolver.resolve("name", 80, soon(), runtime)

        # Far apart: each of these takes as long as the lookup.
        was_interrupted = interrupt_at(7 * number, join_in, ("network/resolve.py",))
        release.set()
        first.join()
        assert len(results) == 1
        if not was_interrupted:
            break


def test_a_blocking_call_interrupted_at_any_opcode_leaves_the_workers_usable(soon: Soon) -> None:
    """After each interrupt the next call is made, and nothing waits any more."""
    group = workers.Workers(1, "test-interrupts")

    def call() -> None:
        assert group.call(lambda: 1, soon()) == 1

    for number in itertools.count(1):
        if not interrupt_at(number, call, ("runtime/workers.py",)):
            break
        call()
    assert number > 100
    assert not group._waiting
    assert len(group._threads) == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_a_connection_interrupted_at_any_line_leaves_nothing_open(
    runtime: Runtime, authority: Authority, is_tls: bool
) -> None:
    """Ctrl-C stays what it is, no descriptor stays open, and the next connection is made."""

    def serve(peer: Peer) -> None:
        while peer.sock.recv(100):
            pass

    ours = ("network/connector.py", "network/dial.py", "network/happy_eyeballs.py")
    tls = ("tls/handshake.py", "tls/verification.py", "tls/sessions.py", "/ssl.py", "/socket.py")
    with ScriptedServer(serve, tls=authority.server_context() if is_tls else None) as server:
        connector = Connector(runtime, resolver=StaticResolver({"localhost": ["127.0.0.1"]}))
        settings = TlsSettings(ca_certs=authority.bundle) if is_tls else None
        route = Route("https" if is_tls else "http", "localhost", server.port, settings)

        def connect() -> None:
            connector.connect(route, Deadline.after(10, runtime.now)).close()

        connect()
        gc.collect()
        server.wait_all_closed()
        before = len(open_descriptors())
        for number in itertools.count(1):
            if not interrupt_at(number, connect, ours + tls, "line"):
                break
        assert number > (100 if is_tls else 50)
        connect()
        gc.collect()
        server.wait_all_closed()
        wait_until(lambda: len(open_descriptors()) <= before)
