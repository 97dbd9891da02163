"""Clients on an event loop beside each other: requests per second, CPU and instructions.

    python -m benchmarks event-loop [--tls] [--connections 32] [--rounds 7] [--seconds 3]
                                    [--instructions] [--only NAME ...]

Tasks get 1 KiB each again and again, one connection each, in one process. The connections are
opened before the clock starts. The clients take turns, and the table has the medians of the rounds;
"our threads" is a `Session` with as many threads. The server is a small origin, or nginx with
`--tls`. `--instructions` counts with callgrind instead, without TLS: two runs that differ in the
number of requests alone. Clients that are not installed are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.async_clients import ASYNC_CLIENTS, is_installed
from benchmarks.instructions import count_instructions
from benchmarks.nginx import running_nginx
from benchmarks.origin import running_origin

__all__ = ["highest_rate", "main", "running_server"]

_SIZE = 1024

#: A client that takes longer for one measurement is left out of it: httpx with 2,000 connections.
_LONGEST_SECONDS = 120.0

_THREADS = "our threads"

#: What one process is told: a client, where to, connections, the file of the authority.
Task = dict[str, Any]


async def _on_loop(task: Task) -> tuple[float, float]:
    """Get again and again, one task per connection; microseconds of CPU and time per request."""
    count, seconds = task.get("count"), task.get("seconds", 0.0)
    client, get = ASYNC_CLIENTS[task["name"]](task["url"], task["connections"], task["bundle"])
    left = iter(range(count)) if count is not None else None
    done, end = 0, 0.0

    async def work() -> None:
        nonlocal done
        while next(left, None) is not None if left else time.perf_counter() < end:
            await get()
            done += 1

    async with client:
        await asyncio.gather(*(get() for _ in range(task["connections"])))
        began, cpu = time.perf_counter(), time.process_time()
        end = began + seconds
        await asyncio.gather(*(work() for _ in range(task["connections"])))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    return cpu / done * 1e6, wall / done * 1e6


def _on_threads(task: Task) -> tuple[float, float]:
    """Do the same with a `Session`, and a thread per connection."""
    import pooledhttp

    url, connections = task["url"], task["connections"]
    warm = threading.Barrier(connections + 1)
    done, end = [0] * connections, 0.0
    limits = pooledhttp.PoolConfig(max_per_host=connections, max_idle_total=connections)
    with pooledhttp.Session(pool=limits) as session:
        session.verify = task["bundle"] or True

        def work(number: int) -> None:
            _ = session.get(url).content
            warm.wait()
            warm.wait()
            while time.perf_counter() < end:
                _ = session.get(url).content
                done[number] += 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
        for thread in threads:
            thread.start()
        warm.wait()
        began, cpu = time.perf_counter(), time.process_time()
        end = began + task["seconds"]
        warm.wait()
        for thread in threads:
            thread.join()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    return cpu / sum(done) * 1e6, wall / sum(done) * 1e6


def _measured(task: Task) -> tuple[float, float] | None:
    """Measure in a process of its own; None when it takes too long."""
    command = [sys.executable, "-m", "benchmarks.event_loop", json.dumps(task)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    cpu, wall = json.loads(done.stdout)
    return cpu, wall


def highest_rate(task: Task) -> float:
    """Return how many requests a second a client makes when each task sends the next at once."""
    measured = _measured(task)
    if measured is None:
        raise TimeoutError(f"{task['name']} took longer than {_LONGEST_SECONDS:.0f} s")
    return 1e6 / measured[1]


def _time(names: Iterable[str], task: Task, rounds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in tuple(found):
            measured = _measured({**task, "name": name})
            if measured is None:
                del found[name]
                print(f"{name}: longer than {_LONGEST_SECONDS:.0f} s", flush=True)
            else:
                found[name].append(measured)
    print(f"{'':14}{'CPU, us':>12}{'requests/s':>12}")
    for name, runs in found.items():
        cpu = statistics.median(each[0] for each in runs)
        wall = statistics.median(each[1] for each in runs)
        print(f"{name:14}{cpu:12,.0f}{1e6 / wall:12,.0f}", flush=True)


def _count(names: Iterable[str], task: Task) -> None:
    print(f"{'':14}{'thousand instructions':>24}")
    few, many = 200, 800
    for name in names:
        less, more = (
            count_instructions(
                ["-m", "benchmarks.event_loop", json.dumps({**task, "name": name, "count": count})]
            )
            for count in (few, many)
        )
        print(f"{name:14}{(more - less) / (many - few) / 1000:24,.1f}", flush=True)


@contextlib.contextmanager
def running_server(with_tls: bool) -> Iterator[Task]:
    """Run nginx with TLS, or the small origin without; yields where it is."""
    if with_tls:
        with running_nginx() as place:
            yield {"url": place.url("tls13"), "bundle": place.bundle}
    else:
        with running_origin(_SIZE) as url:
            yield {"url": url, "bundle": None}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks event-loop")
    parser.add_argument("--tls", action="store_true", help="over TLS 1.3, from nginx")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--instructions", action="store_true", help="count with callgrind")
    parser.add_argument("--only", nargs="+", default=[*ASYNC_CLIENTS, _THREADS])
    args = parser.parse_args()
    names = [name for name in args.only if name == _THREADS or is_installed(name)]
    with running_server(args.tls and not args.instructions) as server:
        task = {**server, "connections": args.connections, "seconds": args.seconds}
        if args.instructions:
            _count([name for name in names if name != _THREADS], task)
        else:
            _time(names, task, args.rounds)


if __name__ == "__main__":
    _task: Task = json.loads(sys.argv[1])
    _figures = _on_threads(_task) if _task["name"] == _THREADS else asyncio.run(_on_loop(_task))
    print(json.dumps(_figures))
