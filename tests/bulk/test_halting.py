"""Waits that can be ended from outside."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pooledhttp.bulk.halting import HaltableRuntime, Halted
from pooledhttp.runtime import BlockingRuntime, Interest, default_runtime
from pooledhttp.timing import Deadline

BASE = default_runtime()


@pytest.fixture
def runtime() -> Iterator[HaltableRuntime]:
    runtime = HaltableRuntime(BASE)
    yield runtime
    runtime.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        yield left, right


def soon() -> Deadline:
    return Deadline.after(10.0, BASE.now)


def test_sockets_are_waited_for_as_ever(
    runtime: HaltableRuntime, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Ready for what was asked, and nothing at the deadline."""
    left, right = pair
    assert runtime.wait(left, False, True, soon()) == (False, True)
    assert runtime.wait(left, True, True, soon()) == (False, True)
    assert runtime.wait(left, True, False, Deadline.after(0.0, BASE.now)) == (False, False)
    right.send(b"x")
    assert runtime.wait(left, True, False, soon()) == (True, False)
    assert runtime.wait(left, True, True, soon()) == (True, True)
    assert runtime.wait_any([Interest(left, True, False)], soon()) == [0]


def test_waiters_work_as_ever(runtime: HaltableRuntime) -> None:
    """Set before, set while waiting, and not set at all."""
    waiter = runtime.waiter()
    assert not waiter.wait(Deadline.after(0.0, BASE.now))
    task = runtime.spawn(waiter.set, "setter")
    assert waiter.wait(soon())
    assert waiter.is_set
    assert task.join(soon())
    runtime.sleep(0.001)
    assert runtime.call_blocking(lambda: 3, soon()) == 3


@pytest.mark.parametrize("kind", ["socket", "any", "waiter", "sleep"])
def test_halt_ends_a_wait_under_way(
    runtime: HaltableRuntime, pair: tuple[socket.socket, socket.socket], kind: str
) -> None:
    """Whatever is waited for, without limit."""
    waits: dict[str, Callable[[], object]] = {
        "socket": lambda: runtime.wait(pair[0], True, False, Deadline.never()),
        "any": lambda: runtime.wait_any([Interest(pair[0], True, False)], Deadline.never()),
        "waiter": lambda: runtime.waiter().wait(Deadline.never()),
        "sleep": lambda: runtime.sleep(1000.0),
    }
    outcome: list[str] = []
    begun = BASE.waiter()

    def wait() -> None:
        begun.set()
        try:
            waits[kind]()
        except Halted:
            outcome.append("halted")

    task = runtime.spawn(wait, "waiting")
    assert begun.wait(soon())
    runtime.halt()
    assert task.join(soon())
    assert outcome == ["halted"]


def test_a_wait_for_a_response_polls_its_socket_alone(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Halting costs the frequent wait no second descriptor."""
    waits: list[object] = []

    class Noting(BlockingRuntime):
        def wait(self, *arguments: Any) -> tuple[bool, bool]:  # type: ignore[override]
            waits.append(arguments[0])
            return True, False

    runtime = HaltableRuntime(Noting())
    assert runtime.wait(pair[0], True, False, soon()) == (True, False)
    assert waits == [pair[0]]
    runtime.close()
    assert pair[0].send(b"x") == 1  # nothing waits for it now, so it was not shut down


def test_after_halt_no_wait_begins(
    runtime: HaltableRuntime, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Also what would have been ready at once."""
    waiter = runtime.waiter()
    waiter.set()
    runtime.halt()
    runtime.halt()
    assert runtime.is_halted
    for wait in (
        lambda: runtime.wait(pair[0], False, True, soon()),
        lambda: waiter.wait(soon()),
        lambda: runtime.sleep(0.0),
        lambda: runtime.call_blocking(lambda: 1, soon()),
    ):
        with pytest.raises(Halted):
            wait()


def test_a_halt_is_no_exception() -> None:
    """So that no `except Exception` on the way takes it for a failed request."""
    assert not issubclass(Halted, Exception)
