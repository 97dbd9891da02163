"""How the loop learns that a socket can be read: by an epoll object, or by its own readers."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import select
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pooledhttp.runtime import readers
from pooledhttp.timing import Deadline
from tests.support.descriptors import open_descriptors
from tests.support.evented import EventedRuntime, run_on_loop

NEVER = Deadline.never()


@pytest.fixture(params=["epoll", "loop"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two ways; without epoll the second is taken."""
    if request.param == "loop":
        monkeypatch.delattr(select, "epoll", raising=False)
    elif not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")
    name: str = request.param
    return name


@pytest.fixture
def pairs() -> Iterator[Callable[[int], list[tuple[socket.socket, socket.socket]]]]:
    """Makes pairs of connected sockets, and closes them."""
    made: list[tuple[socket.socket, socket.socket]] = []

    def make(count: int) -> list[tuple[socket.socket, socket.socket]]:
        for _ in range(count):
            made.append(socket.socketpair())
            made[-1][0].setblocking(False)
        return made

    yield make
    for pair in made:
        for one in pair:
            one.close()


def readers_in(runtime: EventedRuntime) -> int:
    """How many descriptors the loop watches for the runtime; one is the loop's own."""
    return len(runtime.loop._selector.get_map()) - 1  # type: ignore[attr-defined]


def test_data_wakes_the_code_that_waits(way: str, pairs: Any) -> None:
    """Also when the socket was read before, and when nothing waited at the first byte."""
    ((near, far),) = pairs(1)

    def body(runtime: EventedRuntime) -> None:
        for _ in range(3):
            runtime.loop.call_soon(far.send, b"x")
            assert runtime.wait(near, True, False, NEVER) == (True, False)
            near.recv(1)
        far.send(b"x")
        runtime.sleep(0.001)  # the loop finds a byte, and no code that waits for it
        assert runtime.wait(near, True, False, NEVER) == (True, False)

    run_on_loop(body)


def test_all_sockets_are_served(way: str, pairs: Any) -> None:
    """More sockets than one callback serves; their code runs in some order, each once."""
    made = pairs(readers.MOST_EVENTS * 2 + 1)
    seen: list[int] = []

    def wait(runtime: EventedRuntime, number: int) -> None:
        near = made[number][0]
        for _ in range(2):
            assert runtime.wait(near, True, False, NEVER) == (True, False)
            near.recv(1)
            seen.append(number)

    async def main() -> None:
        runtime = EventedRuntime()
        tasks = [asyncio.create_task(runtime.run(wait, runtime, n)) for n in range(len(made))]
        for _ in range(2):
            await asyncio.sleep(0)
            for _, far in made:
                far.send(b"x")
            del seen[:]
            while len(seen) < len(made):
                await asyncio.sleep(0)
            assert sorted(seen) == list(range(len(made)))
        await asyncio.gather(*tasks)
        if way == "epoll":
            assert readers_in(runtime) == 1

    asyncio.run(main())


def test_other_callbacks_run_between_two_batches(way: str, pairs: Any) -> None:
    """Many sockets with data do not keep the loop from its other work."""
    made = pairs(readers.MOST_EVENTS + 1)
    order: list[str] = []

    def wait(runtime: EventedRuntime, near: socket.socket) -> None:
        runtime.wait(near, True, False, NEVER)
        if not order:
            runtime.loop.call_soon(order.append, "other")
        order.append("socket")

    async def main() -> None:
        runtime = EventedRuntime()
        tasks = [asyncio.create_task(runtime.run(wait, runtime, near)) for near, _ in made]
        await asyncio.sleep(0)
        for _, far in made:
            far.send(b"x")
        await asyncio.gather(*tasks)

    asyncio.run(main())
    # asyncio calls all callbacks of one look at its sockets before other ones.
    assert order.index("other") == (readers.MOST_EVENTS if way == "epoll" else len(made))


def test_the_end_of_the_last_socket_leaves_no_descriptor(pairs: Any) -> None:
    """Whether it is closed, dropped, or closed without the runtime; and one more can follow."""
    before = open_descriptors()

    def body(runtime: EventedRuntime) -> None:
        for ends in ("close_socket", "drop", "forget"):
            near, far = socket.socketpair()
            near.setblocking(False)
            runtime.loop.call_soon(far.send, b"x")
            runtime.wait(near, True, False, NEVER)
            if ends == "close_socket":
                runtime.close_socket(near)
            elif ends == "forget":
                runtime.forget(near)
            near.close()
            far.close()
            del near
            assert readers_in(runtime) == 0

    run_on_loop(body)
    assert open_descriptors() == before


def test_a_socket_that_is_closed_by_the_code_of_another_is_passed_over(pairs: Any) -> None:
    """Both have data in one turn; the first closes the second, whose code is told."""
    (one, far), (other, far_other) = pairs(2)
    seen: list[int] = []

    def wait(runtime: EventedRuntime, mine: socket.socket, theirs: socket.socket) -> None:
        runtime.wait(mine, True, False, NEVER)
        seen.append(mine.fileno())
        runtime.close_socket(theirs)

    async def main() -> None:
        runtime = EventedRuntime()
        first = asyncio.create_task(runtime.run(wait, runtime, one, other))
        second = asyncio.create_task(runtime.run(wait, runtime, other, one))
        await asyncio.sleep(0)
        far.send(b"x")
        far_other.send(b"x")
        await asyncio.gather(first, second)
        assert len(seen) == 2 and -1 in seen
        assert readers_in(runtime) == 0

    asyncio.run(main())


def test_the_context_of_the_first_caller_is_not_kept(pairs: Any) -> None:
    """An idle connection stays registered, and what its first request had set is freed."""
    ((near, far),) = pairs(1)
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    class Value:
        """Something that a request had in its context."""

    async def main() -> None:
        runtime = EventedRuntime()

        async def request() -> weakref.ref[Value]:
            value = Value()
            variable.set(value)
            asyncio.get_running_loop().call_soon(far.send, b"x", context=contextvars.Context())
            await runtime.run(runtime.wait, near, True, False, NEVER)
            near.recv(1)
            return weakref.ref(value)

        value = await asyncio.create_task(request())
        await asyncio.sleep(0)  # the callback that has woken this task refers to the other one
        gc.collect()
        assert readers_in(runtime) == 1
        assert value() is None

    asyncio.run(main())


def test_a_loop_that_is_closed_first_leaves_nothing(pairs: Any) -> None:
    """The runtime, its sockets and its descriptor end after their loop."""
    before = open_descriptors()

    async def main() -> tuple[EventedRuntime, Any]:
        runtime = EventedRuntime()
        near, far = socket.socketpair()
        asyncio.get_running_loop().call_soon(far.send, b"x")
        await runtime.run(runtime.wait, near, True, False, NEVER)
        far.close()
        return runtime, near

    runtime, near = asyncio.run(main())
    runtime.close_socket(near)
    assert near.fileno() == -1
    assert open_descriptors() == before
