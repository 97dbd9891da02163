"""CPU and time per request, beside other clients in the same run.

A small origin runs in a process of its own and sends the same answer to everything; each client
gets it over one kept connection, or with threads over several. Machines are shared and noisy, so
what counts is the ratio to `requests` on the line, not the microseconds; rounds of all clients are
interleaved and the best of each is taken.

    python benchmarks/throughput.py [--requests 2000] [--rounds 5] [--size 1000] [--threads 1]

Clients that are not installed are left out, with a line that says so.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ORIGIN = """
import asyncio, sys
answer = (b"HTTP/1.1 200 OK\\r\\nServer: origin\\r\\nDate: Sun, 22 Nov 2026 10:00:00 GMT\\r\\n"
          b"Content-Type: text/plain; charset=utf-8\\r\\nContent-Length: %d\\r\\n\\r\\n")
answer = answer % int(sys.argv[1]) + b"x" * int(sys.argv[1])
class Origin(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.seen = transport, b""
    def data_received(self, data):
        self.seen += data
        while b"\\r\\n\\r\\n" in self.seen:
            self.seen = self.seen.partition(b"\\r\\n\\r\\n")[2]
            self.transport.write(answer)
async def main():
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def pooledhttp_get(url: str) -> Callable[[], bytes]:
    import pooledhttp

    session = pooledhttp.Session()
    return lambda: session.get(url).content  # type: ignore[no-any-return]


def requests_get(url: str) -> Callable[[], bytes]:
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    return lambda: session.get(url).content


def urllib3_get(url: str) -> Callable[[], bytes]:
    import urllib3

    manager = urllib3.PoolManager(maxsize=64)
    return lambda: manager.request("GET", url).data


def httpx_get(url: str) -> Callable[[], bytes]:
    httpx: Any = importlib.import_module("httpx")
    client = httpx.Client()
    return lambda: client.get(url).content  # type: ignore[no-any-return]


def httpcore_get(url: str) -> Callable[[], bytes]:
    httpcore: Any = importlib.import_module("httpcore")
    pool = httpcore.ConnectionPool()
    return lambda: pool.request("GET", url).content  # type: ignore[no-any-return]


CLIENTS: dict[str, Callable[[str], Callable[[], bytes]]] = {
    "requests": requests_get,
    "pooledhttp": pooledhttp_get,
    "urllib3": urllib3_get,
    "httpx": httpx_get,
    "httpcore": httpcore_get,
}


def cpu_seconds() -> float:
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1000, help="bytes of the body")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    origin = subprocess.Popen(
        [sys.executable, "-c", ORIGIN, str(args.size)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert origin.stdout is not None
        url = f"http://127.0.0.1:{origin.stdout.readline().strip()}/path"
        ready: dict[str, Callable[[], bytes]] = {}
        for name, make in CLIENTS.items():
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
    finally:
        origin.kill()
        origin.wait()


if __name__ == "__main__":
    main()
