"""A run over the fifty origins, in a process of its own, which prints what came of it.

    python -m tests.bulk.fifty_client ENGINE READ_SECONDS RETRIES UNTIL < ORIGINS

The origins are JSON: `http://host:port#kind` to the number of URLs. `ENGINE` is that of `fetch`, or
`workers` for two worker processes. `UNTIL` is `end`, or `healthy`: then it ends with the last URL
of the healthy ones.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import Counter

from pooledhttp import bulk
from pooledhttp.timing import Timeout


def memory() -> int:
    """Return the most bytes of memory that this process has had."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Fetch, and print counts by origin and kind of outcome."""
    urls_of: dict[str, int] = json.load(sys.stdin)
    healthy = {origin for origin in urls_of if origin.endswith("#healthy")}
    left = sum(urls_of[origin] for origin in healthy)

    def urls():  # type: ignore[no-untyped-def]
        for turn in range(max(urls_of.values())):
            for origin, count in urls_of.items():
                if turn < count:
                    yield f"{origin.partition('#')[0]}/{turn}"

    bases = {origin.partition("#")[0]: origin for origin in urls_of}
    before = len(os.listdir("/proc/self/fd"))
    outcomes: dict[str, Counter[str]] = {origin: Counter() for origin in urls_of}
    began = time.monotonic()
    healthy_seconds = 0.0
    cpu = time.process_time()
    is_spread = sys.argv[1] == "workers"
    executor = bulk.Workers(2) if is_spread else None
    with bulk.fetch(
        urls(),
        jobs=64,
        per_host=6,
        retries=int(sys.argv[3]),
        timeout=Timeout(connect=2, read=float(sys.argv[2])),
        engine="auto" if is_spread else sys.argv[1],  # type: ignore[arg-type]
        executor=executor,
    ) as results:
        for result in results:
            origin = bases[result.url.rpartition("/")[0]]
            outcomes[origin][result.kind or "ok"] += 1
            if origin in healthy:
                healthy_seconds = time.monotonic() - began
                left -= 1
                if not left and sys.argv[4] == "healthy":
                    break
        engine = results.engine
    if executor is not None:
        executor.shutdown()
        gc.collect()
    print(
        json.dumps(
            {
                "engine": engine,
                "outcomes": outcomes,
                "seconds": time.monotonic() - began,
                "healthy_seconds": healthy_seconds,
                "cpu": time.process_time() - cpu,
                "memory": memory(),
                "descriptors": [before, len(os.listdir("/proc/self/fd"))],
            }
        )
    )


if __name__ == "__main__":
    main()
