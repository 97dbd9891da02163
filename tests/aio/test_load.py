"""What a loop bears: ten thousand requests that wait, and a consumer that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

import pooledhttp
from tests.aio.tools import run
from tests.support.commands import ROOT, run_python
from tests.support.scripted import Peer, ScriptedServer, respond

#: Responds to each request as late as its argument says, in seconds; prints its port.
SLOW_SERVER = """
import asyncio, sys

class Slow(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        loop.call_later(float(sys.argv[1]), self.transport.write,
                        b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

async def main():
    global loop
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0, backlog=20000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

#: Sends as many requests at once; prints how many were answered, seconds, MiB and connections.
CLIENT = """
import asyncio, re, sys, time
import pooledhttp

async def main(url, count, most):
    pool = pooledhttp.PoolConfig(max_per_host=most, max_total=most, acquire_timeout=600)
    started = time.monotonic()
    async with pooledhttp.AsyncSession(pool=pool, timeout=600) as session:
        async def get():
            return (await session.get(url)).content
        bodies = await asyncio.gather(*(get() for _ in range(count)))
        created = session.pool.stats().total.created
    # Not `ru_maxrss`: a process inherits that of the one that started it.
    kib = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
    print(bodies.count(b"ok"), round(time.monotonic() - started, 1), kib // 1024, created)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@contextlib.contextmanager
def slow_server(seconds: float) -> Iterator[str]:
    """Run it in a process of its own; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SERVER, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(660)
@pytest.mark.parametrize(
    ("count", "most", "seconds"),
    [
        (100, 30, 0.01),
        pytest.param(10_000, 10_000, 3.0, marks=pytest.mark.long),
        pytest.param(10_000, 1_000, 0.5, marks=pytest.mark.long),
    ],
)
def test_many_requests_wait_at_once(count: int, most: int, seconds: float) -> None:
    """All are answered, within the limits, and ten thousand take at most 400 MiB."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors < most + 100:
        pytest.skip(f"needs {most + 100} descriptors; `ulimit -n` allows {descriptors}")
    with slow_server(seconds) as url:
        done = run_python("-c", CLIENT, url, str(count), str(most), cwd=ROOT, seconds=600)
    assert done.stderr == ""
    answered, took, mebibytes, created = map(float, done.stdout.split())
    print(f"{answered:.0f} answered in {took} s with {mebibytes:.0f} MiB")
    assert answered == count
    assert created <= most
    assert mebibytes <= 400


@pytest.mark.parametrize("busy", [0.3, pytest.param(5.0, marks=pytest.mark.long)])
def test_a_busy_consumer_leaves_the_loop_alone(busy: float) -> None:
    """While the next piece of a body waits to be read, the loop takes under 2 % of a CPU."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"x" * 4_000_000))
        peer.wait_closed()

    with ScriptedServer(handle) as server:

        async def main() -> float:
            async with pooledhttp.AsyncSession() as session:
                async with await session.get(server.url(), stream=True) as response:
                    pieces = response.aiter_content(1000)
                    assert await anext(pieces)
                    before = time.thread_time()
                    await asyncio.sleep(busy)  # another task, or a thread, is at work
                    spent = time.thread_time() - before
                    assert await anext(pieces)
            return spent / busy

        assert run(main()) < 0.02
