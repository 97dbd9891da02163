"""Clients on an event loop beside each other: instructions, CPU and requests per second.

    python -m benchmarks event-loop [--connections 32] [--instructions] [--only NAME ...]

Tasks get 1 KiB each again and again, one connection each, in one process. By default the clients
take turns for seven rounds, and the table has the medians. `--instructions` counts with callgrind
instead: two runs that differ in the number of requests alone. Clients that are not installed are
left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from benchmarks.instructions import count_instructions
from benchmarks.origin import running_origin

__all__ = ["main"]

_SIZE = 1024
_ROUNDS = 7

Get = Callable[[], Awaitable[object]]


async def _on_loop(make: Callable[[str, int], Any], url: str, connections: int, count: int) -> None:
    """Share `count` requests among one task per connection."""
    numbers = iter(range(count))
    client, get = make(url, connections)

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            await get()

    async with client:
        await asyncio.gather(*(work(numbers) for _ in range(connections)))


def _pooledhttp(url: str, connections: int) -> tuple[Any, Get]:
    import pooledhttp

    session = pooledhttp.AsyncSession(pool=pooledhttp.PoolConfig(max_per_host=connections))

    async def get() -> None:
        _ = (await session.get(url)).content

    return session, get


def _aiohttp(url: str, connections: int) -> tuple[Any, Get]:
    aiohttp: Any = importlib.import_module("aiohttp")
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    async def get() -> None:
        async with session.get(url) as response:
            await response.read()

    return session, get


def _httpx(url: str, connections: int) -> tuple[Any, Get]:
    httpx: Any = importlib.import_module("httpx")
    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    )

    async def get() -> None:
        _ = (await client.get(url)).content

    return client, get


_CLIENTS = {"pooledhttp": _pooledhttp, "aiohttp": _aiohttp, "httpx": _httpx}
_THREADS = "our threads"


def _on_threads(url: str, connections: int, count: int) -> None:
    import pooledhttp

    numbers = iter(range(count))
    lock = threading.Lock()
    with pooledhttp.Session(pool=pooledhttp.PoolConfig(max_per_host=connections)) as session:

        def work() -> None:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                _ = session.get(url).content

        threads = [threading.Thread(target=work) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _run(name: str, url: str, connections: int, count: int) -> None:
    if name == _THREADS:
        _on_threads(url, connections, count)
    else:
        asyncio.run(_on_loop(_CLIENTS[name], url, connections, count))


def _measured(name: str, url: str, connections: int, count: int) -> tuple[float, float]:
    """Run once in a process of its own; microseconds of CPU, and of time, per request."""
    command = [sys.executable, "-m", "benchmarks.event_loop", name, url, str(connections)]
    done = subprocess.run([*command, str(count)], capture_output=True, text=True, check=True)
    cpu, wall = json.loads(done.stdout)
    return cpu, wall


def _time(names: Iterable[str], url: str, connections: int, count: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(_ROUNDS):
        for name, runs in found.items():
            runs.append(_measured(name, url, connections, count))
    print(f"{'':14}{'CPU, us':>12}{'requests/s':>12}")
    for name, runs in found.items():
        cpu = statistics.median(each[0] for each in runs)
        wall = statistics.median(each[1] for each in runs)
        print(f"{name:14}{cpu:12,.0f}{1e6 / wall:12,.0f}", flush=True)


def _count(names: Iterable[str], url: str, connections: int) -> None:
    print(f"{'':14}{'thousand instructions':>24}")
    few, many = connections * 10, connections * 10 + 600
    for name in names:
        base = ["-m", "benchmarks.event_loop", name, url, str(connections)]
        less, more = (count_instructions([*base, str(count)]) for count in (few, many))
        print(f"{name:14}{(more - less) / (many - few) / 1000:24,.1f}", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks event-loop")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=4000, help="in each run")
    parser.add_argument("--instructions", action="store_true", help="count with callgrind")
    parser.add_argument("--only", nargs="+", default=[*_CLIENTS, _THREADS])
    args = parser.parse_args()
    names = [n for n in args.only if n == _THREADS or importlib.util.find_spec(n) is not None]
    with running_origin(_SIZE) as url:
        if args.instructions:
            _count([name for name in names if name != _THREADS], url, args.connections)
        else:
            _time(names, url, args.connections, args.requests)


if __name__ == "__main__":
    _name, _url, _connections, _requests = sys.argv[1:]
    _begin = time.perf_counter(), time.process_time()
    _run(_name, _url, int(_connections), int(_requests))
    _wall, _cpu = time.perf_counter() - _begin[0], time.process_time() - _begin[1]
    print(json.dumps([each / int(_requests) * 1e6 for each in (_cpu, _wall)]))
