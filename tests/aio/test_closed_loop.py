"""A loop that is closed while requests are open: `run_until_complete` alone cancels no task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

import pooledhttp
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.garbage import collect
from tests.support.scripted import Peer, ScriptedServer

pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

Open = Callable[[pooledhttp.AsyncSession, str], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the test closes."""
    if request.param == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="needs uvloop")
        made = uvloop.new_event_loop()
    else:
        made = asyncio.new_event_loop()
    with contextlib.closing(made):
        yield made


@pytest.fixture(autouse=True)
def pending_tasks_are_no_complaint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Asyncio logs each task that is dropped before its end, as these are."""
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", True)
    yield
    collect()


def silent(peer: Peer) -> None:
    """Take a request and never respond."""
    peer.read_request()
    peer.wait_closed()


def half(peer: Peer) -> None:
    """Send a head and a part of the body."""
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    peer.wait_closed()


async def read(session: pooledhttp.AsyncSession, url: str) -> None:
    """Wait in the middle of a body."""
    async with await session.get(url, stream=True) as response:
        async for _ in response.aiter_content():
            pass


async def get(session: pooledhttp.AsyncSession, url: str) -> None:
    """Wait for a response, or in the queue."""
    await session.get(url)


@pytest.mark.parametrize(("behaviour", "open_one"), [(silent, get), (half, read)])
def test_requests_end_with_their_loop(
    loop: asyncio.AbstractEventLoop, behaviour: Any, open_one: Open
) -> None:
    """No lease, no waiting caller, no descriptor; the cleanup of the tasks has run."""
    before = open_descriptors()
    ended: list[str] = []
    with ScriptedServer(behaviour) as server:
        session = pooledhttp.AsyncSession(pool=pooledhttp.PoolConfig(max_per_host=2))

        async def one() -> None:
            try:
                await open_one(session, server.url())
            finally:
                ended.append("cleaned up")

        async def main() -> None:
            tasks = [asyncio.create_task(one()) for _ in range(5)]
            while "2 in use, 0 idle, 3 waiting" not in repr(session.pool) or not server.requests:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0.001)

        loop.run_until_complete(main())
        loop.close()
        assert repr(session.pool) == "<Pool 0 in use, 0 idle, 0 waiting>"
        assert ended == ["cleaned up"] * 5
        total = session.pool.stats().total
        assert (total.active, total.waiting, total.dialling, total.leaks) == (0, 0, 0, 0)
        server.wait_all_closed()
    assert not wait_until_closed(before)


def test_a_request_that_has_no_socket_yet_ends_with_the_next_look_at_the_pool(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup of a name goes on in a thread; its request is over."""
    session = pooledhttp.AsyncSession()
    gate, began = threading.Event(), threading.Event()

    def lookup(*args: Any) -> Any:
        began.set()
        gate.wait(20)
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def main() -> asyncio.Task[None]:
        # A name of its own: a lookup that still goes on would be shared with an earlier test.
        task = asyncio.create_task(get(session, f"http://{uuid4().hex}.test/"))
        while not began.is_set():
            assert not task.done(), task
            await asyncio.sleep(0.001)
        return task

    task = loop.run_until_complete(main())
    loop.close()
    try:
        assert session.pool.stats().total.active == 0
        assert not task.done()
    finally:
        gate.set()


def test_an_error_of_a_cleanup_does_not_keep_the_others_open(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and all leases end."""
    with ScriptedServer(silent) as server:
        session = pooledhttp.AsyncSession()
        tasks: list[asyncio.Future[None]] = []

        async def one() -> None:
            try:
                await session.get(server.url())
            finally:
                raise KeyError("of a cleanup")

        async def main() -> None:
            tasks.extend(asyncio.ensure_future(one()) for _ in range(3))
            while len(server.requests) < 3:
                await asyncio.sleep(0.001)

        loop.run_until_complete(main())
        loop.close()
        assert session.pool.stats().total.active == 0
    texts = [text for name, _, text in caplog.record_tuples if name == "pooledhttp.runtime.driven"]
    assert [text.startswith("Closing") for text in texts] == [True] * 3
    caplog.clear()  # the tracebacks refer to the tasks
