"""Every scenario with every client, beside each other.

A real nginx serves on loopback. Each measurement has a process of its own: it makes the client,
warms it up, and then counts the processor time of the process, the time that passes, and the pages
that it touches for the first time (`ru_minflt`). The rounds of the clients are interleaved, so that
a busy moment of the machine affects all of them; the table has the medians, and each one's ratio to
pooledhttp.

    python -m benchmarks [--only NAME ...] [--clients NAME ...] [--rounds 7] [--quick]
                         [--json FILE] [--list]

Needs nginx and the extra `bench` (pip install '.[bench]'). Clients that are not installed
are left out. Never install niquests beside the others: its urllib3-future replaces urllib3.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.nginx import Place, running_nginx
from benchmarks.origin import running_origin
from benchmarks.peers import PEERS
from benchmarks.scenarios import ORIGIN_OPTIONS
from benchmarks.scenarios import SCENARIOS as SESSION_SCENARIOS

__all__ = ["main"]

#: What one process reports, for each operation.
Result = dict[str, float]

_DOCUMENT = {"name": "value", "numbers": list(range(20)), "text": "x" * 900}
_CHUNKS = 1_000_000


def _count(call: Callable[[int], object], times: int, warm: int) -> Result:
    """Measure `call(0)`, `call(1)` and so on, after some calls that warm up."""
    for number in range(warm):
        call(number)
    return _measure(lambda: [call(number) for number in range(times)], times)


def _measure(run: Callable[[], object], operations: int) -> Result:
    """Measure a run of so many operations."""
    gc.collect()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu_us": cpu / operations * 1e6,
        "wall_us": seconds / operations * 1e6,
        "minflt": (after.ru_minflt - before.ru_minflt) / operations,
    }


class Run:
    """What a scenario works with.

    Attributes:
        peer: The class of the client.
        place: Where nginx is.
        scale: 1, or less for a quick run.
    """

    def __init__(self, peer: Any, place: Place, scale: float) -> None:
        self.peer = peer
        self.place = place
        self.scale = scale

    def client(self, connections: int = 1, is_kept: bool = True) -> Any:
        """Make the client."""
        return self.peer(self.place.bundle, connections, is_kept)

    def client_of_many(self, origins: int) -> Any:
        """Make the client, with room for so many origins."""
        return self.peer(self.place.bundle, 10, origins=origins)

    def times(self, number: int) -> int:
        """Return how often something is done."""
        return max(int(number * self.scale), 3)


def _get(kind: str) -> Callable[[Run], Result]:
    def scenario(run: Run) -> Result:
        client, url = run.client(), run.place.url(kind)
        return _count(lambda _: client.get(url), run.times(2000), 50)

    return scenario


def _post(run: Run) -> Result:
    client, url = run.client(), run.place.url("tls13", "/accept")
    return _count(lambda _: client.post(url, _DOCUMENT), run.times(1000), 20)


def _content(run: Run) -> Result:
    client, url = run.client(), run.place.url("tls13", "/large")
    return _count(lambda _: client.get(url), run.times(20), 2)


def _pieces(run: Run) -> Result:
    client, url = run.client(), run.place.url("tls13", "/large")
    return _count(lambda _: client.pieces(url), run.times(20), 2)


def _save(run: Run) -> Result:
    client, url = run.client(), run.place.url("tls13", "/large")
    path = f"{run.place.folder}/saved-{os.getpid()}"
    try:
        return _count(lambda _: client.save(url, path), run.times(20), 2)
    finally:
        os.unlink(path)


def _upload(run: Run) -> Result:
    client, url = run.client(), run.place.url("tls13", "/take")
    data = os.urandom(10 << 20)
    return _count(lambda _: client.upload(url, data), run.times(20), 2)


def _connect(kind: str) -> Callable[[Run], Result]:
    def scenario(run: Run) -> Result:
        client, url = run.client(is_kept=False), run.place.url(kind)
        return _count(lambda _: client.get(url), run.times(200), 5)

    return scenario


def _bulk(jobs: int) -> Callable[[Run], Result]:
    def scenario(run: Run) -> Result:
        client, url = run.client(jobs), run.place.url("tls13")
        client.bulk([url] * jobs, jobs)
        number = run.times(max(3000, jobs * 8))
        return _measure(lambda: client.bulk([url] * number, jobs), number)

    return scenario


def _threads(kind: str) -> Callable[[Run], Result]:
    def scenario(run: Run) -> Result:
        client, url = run.client(64), run.place.url(kind)
        number = run.times(4000)
        with ThreadPoolExecutor(64) as workers:
            list(workers.map(client.get, [url] * 256))  # connects
            return _measure(lambda: list(workers.map(client.get, [url] * number)), number)

    return scenario


def _origins(count: int) -> Callable[[Run], Result]:
    def scenario(run: Run) -> Result:
        used = max(int(count * run.scale), 1)
        client = run.client_of_many(used)
        urls = [
            run.place.url("plain", host=f"127.0.{number // 250}.{number % 250 + 1}")
            for number in range(used)
        ]
        for url in urls:
            client.get(url)
        return _count(lambda n: client.get(urls[n % used]), run.times(3000), min(used, 1000))

    return scenario


def _chunks(run: Run) -> Result:
    client = run.client()
    number = run.times(_CHUNKS)
    with running_origin(number, "--chunked") as url:
        return _count(lambda _: client.get(url), 1, 1)


def _resident() -> int:
    """Return the memory in use, without what the allocator keeps for later (glibc alone)."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _idle_memory(run: Run) -> Result:
    """Hold responses open, so that each has its connection, then let all become idle."""
    number = run.times(400)
    client, url = run.client(number + 1), run.place.url("tls13", "/64k")
    client.get(url)
    before = _resident()
    for finish in [client.hold(url) for _ in range(number)]:
        finish()
    return {"bytes": (_resident() - before) / number}


def _textbook(run: Run) -> Result:
    """1,000 requests at a round trip of 100 ms: the sums of the waits to open connections."""
    import trustme

    from pooledhttp.cli import demo

    number = run.times(1000)
    authority = trustme.CA()
    bundle, key = Path(run.place.folder, "demo.pem"), Path(run.place.folder, "demo-key.pem")
    authority.cert_pem.write_to_path(str(bundle))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(key))
    result: Result = {}
    with demo._origin(key, 0.1) as base:
        demo._measure(base, bundle, files=1, jobs=1, is_pooled=True)
        for name, jobs, is_pooled in (("no_pool", 50, False), ("pool_of_ten", 10, True)):
            got = demo._measure(base, bundle, files=number, jobs=jobs, is_pooled=is_pooled)
            result[f"{name}_setup_s"] = got.setup_seconds
            result[f"{name}_connections"] = got.stats.total.created
            result[f"{name}_s"] = got.seconds
    return result


def _as_session(name: str) -> Callable[[Run], Result]:
    """Return a scenario of `benchmarks.scenarios`, over an origin of our own that sends JSON."""

    def scenario(run: Run) -> Result:
        module = importlib.import_module(run.peer.name)
        options = ORIGIN_OPTIONS.get(name, ())
        with running_origin(1024, *options) as url:
            call = SESSION_SCENARIOS[name](module, url)
            return _count(lambda _: call(), run.times(1000), 50)

    return scenario


SCENARIOS: dict[str, Callable[[Run], Result]] = {
    "get": _get("plain"),
    "get-tls12": _get("tls12"),
    "get-tls13": _get("tls13"),
    **{f"get-{name}": _as_session(name) for name in SESSION_SCENARIOS if name != "plain"},
    "post-json": _post,
    "down-content": _content,
    "down-iter": _pieces,
    "down-file": _save,
    "up": _upload,
    "connect-resumed": _connect("tls13"),
    "connect-full": _connect("full"),
    "bulk-32": _bulk(32),
    "bulk-256": _bulk(256),
    "threads-64": _threads("plain"),
    "threads-64-tls": _threads("tls13"),
    "origins-1": _origins(1),
    "origins-100": _origins(100),
    "origins-10000": _origins(10_000),
    "chunks": _chunks,
    "idle-memory": _idle_memory,
    "textbook": _textbook,
}
del SCENARIOS["get-post-json"]

#: The clients of a scenario, where not all of them take part.
_ONLY = {
    **{f"get-{name}": ("pooledhttp", "requests") for name in SESSION_SCENARIOS},
    "post-json": ("urllib3", "httpcore", "pooledhttp", "aiohttp", "httpx", "requests"),
    "down-iter": ("libcurl", "urllib3", "pooledhttp", "httpx", "requests"),
    "down-file": ("libcurl", "urllib3", "pooledhttp", "httpx", "requests"),
    "up": ("urllib3", "pooledhttp", "aiohttp", "httpx", "requests"),
    "bulk-32": tuple(PEERS),
    "bulk-256": tuple(PEERS),
    "threads-64": ("urllib3", "httpcore", "pooledhttp", "httpx", "requests"),
    "threads-64-tls": ("urllib3", "httpcore", "pooledhttp", "httpx", "requests"),
    **{f"origins-{n}": ("urllib3", "pooledhttp", "requests") for n in (1, 100, 10_000)},
    "chunks": ("urllib3", "pooledhttp", "httpx", "requests"),
    "idle-memory": ("urllib3", "pooledhttp", "requests"),
    "textbook": ("pooledhttp",),
}


def clients_of(scenario: str) -> list[str]:
    """Return the names of the clients that take part."""
    every = tuple(name for name in PEERS if name != "threads")
    return [name for name in _ONLY.get(scenario, every) if _is_installed(PEERS[name].name)]


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _run_apart(scenario: str, client: str, place: Place, scale: float) -> Result:
    """Measure once, in a process of its own."""
    given = json.dumps({"ports": place.ports, "bundle": place.bundle, "folder": place.folder})
    command = [sys.executable, "-m", "benchmarks.suite", scenario, client, given, str(scale)]
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{scenario} with {client} failed:\n{done.stderr[-2000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _medians(rounds: list[Result]) -> Result:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def _show(scenario: str, table: dict[str, Result]) -> None:
    columns = list(next(iter(table.values())))
    print(f"\n{scenario:<18}" + "".join(f"{name:>22}" for name in columns))
    ours = table.get("pooledhttp")
    for client, result in table.items():
        cells = ""
        for name, value in result.items():
            ratio = f"x{value / ours[name]:.2f}" if ours and ours[name] > 0 else ""
            cells += f"{value:15,.1f}{ratio:>7}"
        print(f"  {client:<16}{cells}", flush=True)


def main(argv: list[str]) -> None:
    """Measure, print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--clients", nargs="+", default=list(PEERS), metavar="CLIENT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round, a tenth of the work")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", action="store_true", help="the names of the scenarios")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(SCENARIOS))
        return
    if unknown := [*({*args.only} - {*SCENARIOS}), *({*args.clients} - {*PEERS})]:
        parser.error(f"unknown: {', '.join(unknown)}; --list names the scenarios")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 30_000)), hard))
    scale, rounds = (0.1, 1) if args.quick else (1.0, args.rounds)
    tables: dict[str, dict[str, Result]] = {}
    with running_nginx() as place:
        for scenario in args.only:
            names = [name for name in clients_of(scenario) if name in args.clients]
            found: dict[str, list[Result]] = {name: [] for name in names}
            for _ in range(1 if scenario == "textbook" else rounds):
                for name in names:
                    found[name].append(_run_apart(scenario, name, place, scale))
            tables[scenario] = {name: _medians(each) for name, each in found.items()}
            if tables[scenario]:
                _show(scenario, tables[scenario])
    if args.json:
        args.json.write_text(json.dumps(tables, indent=1) + "\n")


def _child(scenario: str, client: str, given: str, scale: str) -> None:
    """Measure once and print the result: the process that `_run_apart` starts."""
    run = Run(PEERS[client], Place(**json.loads(given)), float(scale))
    print(json.dumps(SCENARIOS[scenario](run)))


if __name__ == "__main__":
    _child(*sys.argv[1:])
