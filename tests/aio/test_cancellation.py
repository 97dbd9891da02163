"""Cancelling a request, wherever it waits, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import ssl
import threading
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.network import SocketOptions
from pooledhttp.pool import PoolConfig
from tests.aio.tools import run
from tests.support.certificates import Authority
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.patience import wait_until
from tests.support.scripted import Peer, ScriptedServer, answering, respond

#: The function in whose wait `CancelledError` was raised, innermost first, and the kind of wait.
KINDS = {
    "find_slot": "slot",
    "resolve": "name",
    "race": "dial",
    "_handshake": "tls",
    "_send_rest": "send",
    "read_head": "head",
    "receive": "body",
    "receive_into": "body",
    "_wait": "retry",
    "call_blocking": "worker",
}

#: Where a function of the same name is in another folder.
FOLDERS = {("pool", "_wait"): "slot", ("network", "_wait"): "dial"}


def kind_of(error: BaseException) -> str:
    """Tell in which wait a task was cancelled."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name in KINDS and not frame.filename.endswith("evented.py"):
            folder = frame.filename.split("/")[-2]
            return FOLDERS.get((folder, frame.name), KINDS[frame.name])
        if frame.name == "call_blocking":
            return "worker"
    return "before"


async def never(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event
) -> None:
    """Take the request, and say nothing."""
    await reader.read()
    writer.close()


async def deaf(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event
) -> None:
    """Read a little of the request and no more."""
    await reader.readuntil(b"\r\n\r\n")
    await over.wait()


async def half(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event
) -> None:
    """Send a head and half a body."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await reader.read()
    writer.close()


async def busy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event
) -> None:
    """Ask to come again later, each time."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def serve(handle: Any) -> AsyncIterator[str]:
    """Serve on this loop; yields the URL."""
    over = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handle(reader, writer, over)
        writer.transport.abort()

    server = await asyncio.start_server(handled, "127.0.0.1", 0, limit=2**10)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        server.close()
        over.set()
        await asyncio.gather(*tasks)


class Blocking(BaseAdapter):
    """An adapter whose requests end when the test does."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._gate.wait(20)
        raise OSError("the end")

    def close(self) -> None:
        """Nothing is held."""


@contextlib.contextmanager
def full_listener() -> Iterator[str]:
    """An address where a connection is never accepted."""
    with socket.socket() as listener, contextlib.ExitStack() as held:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


async def cancel_at_random(
    count: int, source: random.Random, gate: threading.Event
) -> Counter[str]:
    """Begin requests that would never end, and cancel each after a random time."""
    kinds: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as stack:
        mute, slow, cut, later = [
            await stack.enter_async_context(serve(handle)) for handle in (never, deaf, half, busy)
        ]
        unaccepted = stack.enter_context(full_listener())
        session = await stack.enter_async_context(
            pooledhttp.AsyncSession(
                pool=PoolConfig(overrides={mute: pooledhttp.HostLimits(max_per_host=2)}),
                retries=urllib3.Retry(3, backoff_factor=100, status_forcelist=[503]),
            )
        )
        small = SocketOptions(options=((socket.SOL_SOCKET, socket.SO_SNDBUF, 4096),))
        session.mount(slow, HTTPAdapter(socket_options=small))
        session.mount("blocking://", Blocking(gate))
        secure = mute.replace("http", "https").replace("127.0.0.1", "localhost")
        session.verify = ssl.create_default_context()
        body = b"x" * 2_000_000

        async def streamed() -> None:
            async with await session.get(cut, stream=True) as response:
                async for _ in response.aiter_content():
                    pass

        requests: list[Callable[[], Any]] = [
            lambda: session.get(mute),
            lambda: session.get("http://name.test/"),
            lambda: session.get(unaccepted),
            lambda: session.get(secure, timeout=30),
            lambda: session.post(slow, body, timeout=30),
            lambda: session.get(cut),
            streamed,
            lambda: session.get(later),
            lambda: session.get("blocking://x"),
        ]

        async def one(longest: float) -> None:
            task = asyncio.ensure_future(source.choice(requests)())
            await asyncio.sleep(longest * source.random() ** 2)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as error:
                kinds[kind_of(error)] += 1

        longest = 0.03
        for _ in range(count // 4):
            if kinds.total() >= count and set(KINDS.values()) <= set(kinds):
                break
            await asyncio.gather(*(one(longest) for _ in range(40)))
            # A slow machine reaches the last waits later.
            longest = min(longest * 1.5, 0.3 if kinds.total() < count else 10.0)
        total = session.pool.stats().total
        assert (total.active, total.waiting, total.dialling) == (0, 0, 0)
        assert repr(session.pool).startswith("<Pool 0 in use")
    return kinds


def driven_greenlets() -> int:
    """Count the greenlets of the runtime that exist."""
    from pooledhttp.runtime.driven import Driven

    gc.collect()
    return sum(type(one) is Driven for one in gc.get_objects())


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.long)])
def test_random_cancellations_leave_nothing(
    count: int, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    """Each kind of wait is met; no descriptor, lease or greenlet is left."""
    gate, real = threading.Event(), socket.getaddrinfo

    def lookup(host: Any, *args: Any) -> Any:
        if host == "name.test":
            gate.wait(20)
            raise socket.gaierror("unknown")
        return real(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    before, greenlets = open_descriptors(), driven_greenlets()  # other tests may leave some
    try:
        kinds = asyncio.run(cancel_at_random(count, random.Random(count), gate))
    finally:
        gate.set()
    assert set(KINDS.values()) <= set(kinds)
    # Threads that still block in a lookup or a send refer to greenlets until the gate wakes them.
    wait_until(lambda: driven_greenlets() <= greenlets, "the end of the greenlets", 20)
    assert not wait_until_closed(before)


def silent(peer: Peer) -> None:
    """Take a request and never respond."""
    peer.read_request()
    peer.wait_closed()


def test_timeout_blocks_and_groups_of_asyncio() -> None:
    """A timeout around a request ends it; an error of a task cancels the others of its group."""
    with ScriptedServer(silent) as server:

        async def main() -> None:
            async with pooledhttp.AsyncSession() as session:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await session.get(server.url())

                async def fails() -> None:
                    while len(server.requests) < 4:
                        await asyncio.sleep(0.001)
                    raise KeyError

                with pytest.raises(ExceptionGroup) as caught:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(3):
                            group.create_task(session.get(server.url()))
                        group.create_task(fails())
                assert len(caught.value.exceptions) == 1
                total = session.pool.stats().total
                assert (total.active, total.idle, total.created) == (0, 0, 4)

        run(main())
        server.wait_all_closed()


def test_connections_can_be_kept_ready_after_all_tasks_were_cancelled() -> None:
    """Those of the pool as well, begun or not: no lease is lost with them."""

    async def main(server: ScriptedServer) -> None:
        config = pooledhttp.PoolConfig(min_idle=3)
        async with asyncio.timeout(20), pooledhttp.AsyncSession(pool=config) as session:
            for _ in range(12):  # more often than the warmer dials at a time
                assert (await session.get(server.url())).status_code == 200
                session.pool.evict(server.url())
                for pauses in range(3):
                    for _ in range(pauses):
                        await asyncio.sleep(0)
                    for task in asyncio.all_tasks() - {asyncio.current_task()}:
                        task.cancel()
            assert await session.pool.warm(server.url()) == 1  # starts the task again
            while session.pool.stats().total.idle < 3:
                await asyncio.sleep(0.01)
            total = session.pool.stats().total
            assert total.leaks == 0 and total.active == 0

    with ScriptedServer(answering(respond(b"hello"))) as server:
        run(main(server))
