"""CPU and time per request, beside other clients in the same run.

A small origin runs in a process of its own and sends the same response to every request. Each
client gets it over one kept connection, or with threads over several. Machines are shared and
noisy: the ratio to `requests` counts, not the microseconds. The rounds of the clients are
interleaved, and the best of each is taken.

    python -m benchmarks throughput [--requests 2000] [--rounds 5] [--size 1000] [--threads 1]

Clients that are not installed are left out, with a line that says so.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.clients import CLIENTS
from benchmarks.origin import running_origin

#: Loops over a single connection: nothing for threads.
ONE_CONNECTION = ("raw socket", "bare h11")


def cpu_seconds() -> float:
    """Return the CPU time of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(get: Callable[[], bytes], count: int, threads: int) -> tuple[float, float]:
    """Microseconds of CPU and of time per request."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    if threads == 1:
        for _ in range(count):
            get()
    else:
        with ThreadPoolExecutor(threads) as workers:
            list(workers.map(lambda _: get(), range(count), chunksize=count // threads))
    return (cpu_seconds() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6


def main() -> None:
    """Measure every client in turn and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1000, help="bytes of the body")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    with running_origin(args.size) as url:
        ready: dict[str, Callable[[], bytes]] = {}
        for name, make in CLIENTS.items():
            if args.threads > 1 and name in ONE_CONNECTION:
                continue
            try:
                ready[name] = make(url)
            except ImportError:
                print(f"{name}: not installed, left out")
        best = {name: (float("inf"), float("inf")) for name in ready}
        for get in ready.values():
            assert len(get()) == args.size
        for _ in range(args.rounds):
            for name, get in ready.items():
                cpu, wall = measure(get, args.requests, args.threads)
                best[name] = (min(best[name][0], cpu), min(best[name][1], wall))
        base_cpu, base_wall = best["requests"]
        print(f"{'client':12} {'CPU µs':>8} {'ratio':>6} {'wall µs':>8} {'ratio':>6}")
        for name, (cpu, wall) in best.items():
            ratios = f"{cpu / base_cpu:6.2f} {wall:8.0f} {wall / base_wall:6.2f}"
            print(f"{name:12} {cpu:8.0f} {ratios}")


if __name__ == "__main__":
    main()
