"""A loop in a thread of its own, and the same runtime used outside of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

from pooledhttp.bulk.halting import HaltableRuntime, Halted
from pooledhttp.runtime import current_runtime, default_runtime
from pooledhttp.runtime.private_loop import PrivateLoop
from pooledhttp.timing import Deadline
from tests.support.descriptors import open_descriptors, wait_until_closed

BASE = default_runtime()


def soon() -> Deadline:
    return Deadline.after(20.0, BASE.now)


@pytest.fixture
def loop() -> Iterator[PrivateLoop]:
    before = open_descriptors()
    outside = HaltableRuntime(BASE)
    loop = PrivateLoop(outside, Halted, "test-loop")
    yield loop
    outside.halt()
    loop.halt()
    assert loop.join(soon())
    outside.close()
    assert wait_until_closed(before) == {}


def test_greenlets_wait_beside_each_other(loop: PrivateLoop) -> None:
    """Each sees the runtime as its own; flags come from any thread."""
    seen: list[object] = []
    all_there, go_on, ended = BASE.waiter(), [], BASE.waiter()

    def work() -> None:
        flag = loop.waiter()
        go_on.append(flag)
        if len(go_on) == 50:
            all_there.set()
        assert flag.wait(soon())
        seen.append(current_runtime())
        if len(seen) == 50:
            ended.set()

    for number in range(50):
        loop.start(work, f"work-{number}")
    assert all_there.wait(soon())
    for flag in go_on:
        flag.set()
    assert ended.wait(soon())
    assert seen == [loop] * 50


@pytest.mark.parametrize("kind", ["wait", "any", "flag", "sleep", "blocking"])
def test_halt_ends_waits_under_way_and_later_ones(loop: PrivateLoop, kind: str) -> None:
    """The end is called after the last greenlet, whose cleanup waits for nothing."""
    near, far = socket.socketpair()
    near.setblocking(False)
    begun, released = BASE.waiter(), BASE.waiter()
    steps: list[str] = []

    def wait() -> None:
        if kind == "wait":
            loop.wait(near, True, False, Deadline.never())
        elif kind == "any":
            loop.wait_any([(near, True, False)], Deadline.never())  # type: ignore[list-item]
        elif kind == "flag":
            loop.waiter().wait(Deadline.never())
        elif kind == "sleep":
            loop.sleep(1000.0)
        else:
            loop.call_blocking(lambda: released.wait(soon()), Deadline.never())

    def work() -> None:
        loop.call_soon(begun.set)  # which is called when this greenlet waits
        try:
            wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
        try:
            wait()
        except Halted:
            steps.append("halted")

    loop.at_end = lambda: steps.append("end")
    loop.start(work, "work")
    assert begun.wait(soon())
    loop.halt()
    loop.halt()
    assert loop.join(soon())
    released.set()
    assert steps == ["cancelled", "halted", "end"]
    near.close()
    far.close()


def test_a_step_on_another_thread_waits_by_blocking_it(loop: PrivateLoop) -> None:
    """A socket that the loop has watched can be waited for there, and on the loop again."""
    near, far = socket.socketpair()
    near.setblocking(False)
    found: list[object] = []
    ended = BASE.waiter()

    def read() -> bytes:
        assert loop.wait(near, True, False, soon()) == (True, False)
        return near.recv(1)

    def on_a_thread() -> bytes:
        assert not loop.is_here
        far.send(b"b")
        loop.sleep(0.0)
        return read()

    def work() -> None:
        far.send(b"a")
        found.append(read())
        found.append(loop.call_blocking(on_a_thread, Deadline.never()))
        far.send(b"c")
        found.append(read())
        ended.set()

    loop.start(work, "work")
    assert ended.wait(soon())
    assert found == [b"a", b"b", b"c"]
    loop.close_socket(near)
    far.close()


def test_it_does_not_care_for_the_loop_of_its_caller(loop: PrivateLoop) -> None:
    """As in a notebook, where every cell runs inside a loop."""
    ended = BASE.waiter()

    async def main() -> None:
        loop.start(ended.set, "work")
        assert ended.wait(soon())
        assert asyncio.get_running_loop().is_running()

    asyncio.run(main())
    assert threading.active_count() > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_loop_of_its_parent_alone(loop: PrivateLoop) -> None:
    """The child has no thread to wait for, and the parent's loop goes on."""
    ended = BASE.waiter()
    loop.start(lambda: None, "first")
    child = os.fork()
    if child == 0:
        loop.halt()
        os._exit(0 if loop.join(soon()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    loop.start(ended.set, "second")
    assert ended.wait(soon())
