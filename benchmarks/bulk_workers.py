"""Many small files over TLS from 20 origins: worker processes beside one process, over nginx.

    python -m benchmarks bulk-workers [--urls N] [--workers N] [--rounds N]

nginx counts the requests that it processes for each of its addresses, and refuses those above the
limit that the run has for a host. So a refused request, which fails a file, is a limit that was
passed. Each run is a process of its own. Its CPU is that of all its processes, their start
included.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bulk_download import compile_modules
from benchmarks.nginx import Place, running_nginx

__all__ = ["main"]

_HOSTS = [f"127.0.0.{number}" for number in range(1, 21)]
_PER_HOST = 6
_JOBS = 64

#: `$server_addr` is the address of this machine that a request has come to.
_LIMIT = f"""
    limit_conn_zone $server_addr zone=hosts:1m;
    limit_conn hosts {_PER_HOST};
    limit_conn_status 503;
"""


def _run(workers: int, bundle: str, listed: str, out: str) -> None:
    """Do the work of one run, in its process."""
    import pooledhttp
    from pooledhttp import bulk

    with pooledhttp.Session() as session:
        session.verify, session.trust_env = bundle, False
        executor = bulk.Workers(workers) if workers else None
        try:
            with bulk.download(
                Path(listed).read_text().split(),
                out,
                session,
                jobs=_JOBS,
                per_host=_PER_HOST,
                executor=executor,
                retries=0,
            ) as results:
                for result in results:
                    assert result.ok, result.problem
        finally:
            if executor is not None:
                executor.shutdown()


def _measure(place: Place, urls: list[str], workers: int) -> tuple[float, float]:
    """Run once; returns its CPU and its time, in seconds."""
    with tempfile.TemporaryDirectory(prefix="pooledhttp-workers-") as out:
        listed = Path(f"{out}/urls")
        listed.write_text("\n".join(urls))
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bulk_workers", "run", str(workers), place.bundle,
             str(listed), f"{out}/files"]
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"the run with {workers} workers failed")
        there = sum(len(names) for _, _, names in os.walk(f"{out}/files"))
        assert there >= len(urls), f"{there} files for {len(urls)} URLs"
        return usage.ru_utime + usage.ru_stime, seconds


def main() -> None:
    """Run in turn, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--urls", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    compile_modules()
    with running_nginx(_HOSTS, _LIMIT) as place:
        chance = random.Random(1)
        each = args.urls // len(_HOSTS)
        for number in range(each):
            body = chance.randbytes(chance.randrange(1024, 20 * 1024))
            (Path(place.folder) / "www" / f"f{number}").write_bytes(body)
        urls = [place.url("tls13", f"/f{n}", host) for n in range(each) for host in _HOSTS]
        found: dict[int, list[tuple[float, float]]] = {0: [], args.workers: []}
        for _ in range(args.rounds):
            for workers, some in found.items():
                some.append(_measure(place, urls, workers))
    alone = statistics.median(cpu for cpu, _ in found[0])
    print(f"{len(urls)} URLs from {len(_HOSTS)} origins, {_PER_HOST} at once at each: none refused")
    for workers, some in found.items():
        cpu, seconds = (statistics.median(column) for column in zip(*some, strict=True))
        name = f"{workers} workers" if workers else "one process"
        print(f"{name:12} CPU {cpu:7.1f} s ({cpu / alone:.2f})  time {seconds:7.1f} s")


if __name__ == "__main__":
    _run(int(sys.argv[2]), *sys.argv[3:])
