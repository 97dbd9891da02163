"""The turnstile before an origin's handshakes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pooledhttp.network.handshakes import Turnstile
from pooledhttp.runtime import Runtime
from pooledhttp.timing import Deadline

Soon = Callable[..., Deadline]


def test_no_more_than_the_limit_are_inside(runtime: Runtime, soon: Soon) -> None:
    """Thirty threads pass three at a time, and nothing is kept after."""
    turnstile = Turnstile(runtime, 3)
    lock, inside, most = threading.Lock(), 0, 0

    def pass_through() -> None:
        nonlocal inside, most
        for _ in range(20):
            with turnstile.passing("origin", soon()):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=pass_through) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert not turnstile._gates


def test_waiting_ends_at_the_deadline(runtime: Runtime, soon: Soon) -> None:
    """Who waits too long is told, and does not take a turn later."""
    turnstile = Turnstile(runtime, 1)
    with turnstile.passing("origin", soon()):
        with pytest.raises(TimeoutError), turnstile.passing("origin", soon(0.02)):
            raise AssertionError("there was no room")
        with turnstile.passing("another", soon()):
            pass
    with turnstile.passing("origin", soon(0.5)):
        pass
    assert not turnstile._gates


def test_a_turn_given_to_one_who_left_goes_on(runtime: Runtime, soon: Soon) -> None:
    """Interrupted while waiting, a thread passes on the turn it was just given."""
    turnstile = Turnstile(runtime, 1)
    first = turnstile._enter("origin", soon())

    class Leaving:
        def set(self) -> None: ...

        def wait(self, deadline: Deadline) -> bool:
            turnstile._leave("origin", first)  # the turn comes, and so does Ctrl-C
            raise KeyboardInterrupt

    turnstile._runtime = type("R", (), {"waiter": staticmethod(Leaving)})()
    with pytest.raises(KeyboardInterrupt):
        turnstile._enter("origin", soon())
    assert not turnstile._gates


def test_waiters_pass_in_order(runtime: Runtime, soon: Soon) -> None:
    """First come, first served."""
    turnstile = Turnstile(runtime, 1)
    order: list[int] = []
    threads = []

    def pass_through(number: int) -> None:
        with turnstile.passing("origin", soon()):
            order.append(number)

    with turnstile.passing("origin", soon()):
        for number in range(5):
            thread = threading.Thread(target=pass_through, args=(number,))
            thread.start()
            threads.append(thread)
            while len(turnstile._gates["origin"].line) <= number:
                runtime.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
