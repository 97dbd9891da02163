"""Latency on an event loop under a load that does not wait: pooledhttp beside aiohttp.

    python -m benchmarks open-loop [--tls] [--connections 256] [--rounds 3] [--seconds 5]

First, the highest rate of pooledhttp is measured, with requests that follow each other. Then both
clients get requests at 50, 70 and 90 % of it, at random moments that do not depend on responses
(a Poisson process, the same for both). A latency is counted from the moment at which a request was
due, so a client that falls behind cannot hide it. The clients take turns, and the table has the
medians of the rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time

from benchmarks.async_clients import ASYNC_CLIENTS, is_installed
from benchmarks.event_loop import Task, highest_rate, running_server

__all__ = ["main"]

_NAMES = ("pooledhttp", "aiohttp")
_SHARES = (0.5, 0.7, 0.9)
_QUANTILES = (0.5, 0.99, 0.999)

#: Of the closed loop, as in the other benchmark.
_CLOSED_CONNECTIONS = 32


async def _load(task: Task) -> list[float]:
    """Send requests when they are due; the quantiles of their latency in seconds."""
    client, get = ASYNC_CLIENTS[task["name"]](task["url"], task["connections"], task["bundle"])
    source = random.Random(task["seed"])
    latencies: list[float] = []

    async def one(due: float) -> None:
        await get()
        latencies.append(time.perf_counter() - due)

    async with client:
        await asyncio.gather(*(get() for _ in range(_CLOSED_CONNECTIONS)))
        due = time.perf_counter()
        end = due + task["seconds"]
        async with asyncio.TaskGroup() as group:
            while due < end:
                if (ahead := due - time.perf_counter()) > 0:
                    await asyncio.sleep(ahead)
                group.create_task(one(due))
                due += source.expovariate(task["rate"])
    latencies.sort()
    return [latencies[int(len(latencies) * quantile)] for quantile in _QUANTILES]


def _measured(task: Task) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.open_loop", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks open-loop")
    parser.add_argument("--tls", action="store_true", help="over TLS 1.3, from nginx")
    parser.add_argument("--connections", type=int, default=256, help="at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    args = parser.parse_args()
    names = [name for name in _NAMES if is_installed(name)]
    with running_server(args.tls) as server:
        task = {**server, "seconds": args.seconds, "name": "pooledhttp"}
        rates = [
            highest_rate({**task, "connections": _CLOSED_CONNECTIONS}) for _ in range(args.rounds)
        ]
        highest = statistics.median(rates)
        print(f"highest rate of pooledhttp: {highest:,.0f} requests/s, {_CLOSED_CONNECTIONS} tasks")
        print(f"{'':14}{'share':>8}{'p50, ms':>12}{'p99, ms':>12}{'p99.9, ms':>12}")
        for share in _SHARES:
            found: dict[str, list[list[float]]] = {name: [] for name in names}
            for seed in range(args.rounds):
                load = {**task, "connections": args.connections, "rate": highest * share}
                for name, runs in found.items():
                    runs.append(_measured({**load, "name": name, "seed": seed}))
            for name, runs in found.items():
                medians = [statistics.median(column) * 1000 for column in zip(*runs, strict=True)]
                print(
                    f"{name:14}{share:8.0%}" + "".join(f"{m:12,.2f}" for m in medians), flush=True
                )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_load(json.loads(sys.argv[1])))))
