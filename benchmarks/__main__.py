"""The benchmarks by name; without a name, all scenarios with all clients.

    python -m benchmarks [--help]         scenarios beside other clients, over nginx on loopback
    python -m benchmarks instructions     instructions and system calls per request
    python -m benchmarks throughput       CPU and time per request, beside other clients
    python -m benchmarks event-loop       the same on an event loop, beside other clients
    python -m benchmarks open-loop        latency on an event loop under a given load
    python -m benchmarks tls-resumption   CPU of new TLS connections
    python -m benchmarks pool-cost        acquire and release
    python -m benchmarks bulk-journal     what a bulk run remembers of each line
    python -m benchmarks bulk-download    many files to disk, beside curl, aria2, wget and requests
    python -m benchmarks bulk-workers     the same over 20 origins, by worker processes

Each has a `--help` of its own.
"""

from __future__ import annotations

import importlib
import sys

_NAMES = (
    "instructions",
    "throughput",
    "event-loop",
    "open-loop",
    "tls-resumption",
    "pool-cost",
    "bulk-journal",
    "bulk-download",
    "bulk-workers",
)


def main() -> None:
    """Run the benchmark that the first argument names, or the suite."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        importlib.import_module("benchmarks.suite").main(sys.argv[1:])
        return
    if sys.argv[1] not in _NAMES:
        sys.exit((__doc__ or "").strip())
    name = sys.argv[1]
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    if name == "instructions":
        module.main(sys.argv[2:])
    else:
        sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
        module.main()


if __name__ == "__main__":
    main()
