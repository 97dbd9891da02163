"""`pooledhttp demo`: what a pool saves when the server is at a distance.

The same engine fetches the same files from the same server twice, the same number at a time: once
with a new connection for each request, once over the pool. The only difference is one header field,
`Connection: close`. So it measures the cost of a new connection: a round trip for TCP, one for TLS,
and the work of the handshake.

The server runs on this machine (see `origin.py`), with a certificate made for this run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pooledhttp.cli.numbers import count, positive_or_zero

if TYPE_CHECKING:
    from pooledhttp.events import Event
    from pooledhttp.pool import PoolStats

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["Measure", "add_parser", "main"]

_FILE_BYTES = 8 * 1024

#: Seconds the server may take to end before it is killed.
_EXIT_SECONDS = 5.0


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="measure what the pool saves, on this machine",
        description=(
            "Fetch files over HTTPS from a server on this machine behind an emulated round trip, "
            "without and with the pool. Needs no network and leaves nothing behind."
        ),
    )
    parser.add_argument(
        "--rtt", type=positive_or_zero, default=20.0, metavar="MS", help="round trip (default: 20)"
    )
    parser.add_argument(
        "--files", type=count, default=300, metavar="N", help="files to fetch (default: 300)"
    )
    parser.add_argument(
        "--jobs", type=count, default=8, metavar="N", help="requests at once (default: 8)"
    )
    return parser


class _Failed(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One run: its time, the sum of the times to open connections, and the pool's counters."""

    seconds: float
    setup_seconds: float
    stats: PoolStats


def main(args: argparse.Namespace) -> int:
    """Run the demo and return the exit status."""
    try:
        import trustme
    except ImportError:
        print(
            "pooledhttp demo makes a certificate with trustme, which is not installed.\n"
            "Install it:  python -m pip install 'pooledhttp[demo]'",
            file=sys.stderr,
        )
        return 2
    print(
        f"{args.files} files of {_FILE_BYTES // 1024} KiB over HTTPS, round trip {args.rtt:g} ms, "
        f"{args.jobs} at a time",
        flush=True,
    )
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="pooledhttp-demo-") as directory:
        ca, key = Path(directory, "ca.pem"), Path(directory, "server.pem")
        authority.cert_pem.write_to_path(str(ca))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(key))
        try:
            without, pooled = _compare(args, ca, key)
        except _Failed as error:
            print(f"pooledhttp demo: {error}", file=sys.stderr)
            return 1
    for line in report(without, pooled):
        print(line)
    return 0


def _compare(args: argparse.Namespace, ca: Path, key: Path) -> tuple[Measure, Measure]:
    """Fetch the files without and with the pool."""
    with _origin(key, args.rtt / 1000) as base:
        # Imports and caches of a first request count for neither run.
        _measure(base, ca, files=1, jobs=1, is_pooled=True)
        return (
            _measure(base, ca, files=args.files, jobs=args.jobs, is_pooled=False),
            _measure(base, ca, files=args.files, jobs=args.jobs, is_pooled=True),
        )


@contextmanager
def _origin(key: Path, round_trip: float) -> Iterator[str]:
    """Run the server, and yield its base URL."""
    script = str(Path(__file__).with_name("origin.py"))
    command = [sys.executable, "-I", script, str(key), str(round_trip), str(_FILE_BYTES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            if not port:
                raise _Failed("the demo's server did not start")
            yield f"https://127.0.0.1:{port}"
        finally:
            process.stdin.close()  # the server ends when it is closed
            try:
                process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _measure(base: str, ca: Path, *, files: int, jobs: int, is_pooled: bool) -> Measure:
    """Fetch the files once.

    Raises:
        _Failed: A file did not arrive, or not completely.
    """
    from pooledhttp import bulk
    from pooledhttp.events import ConnectionOpened
    from pooledhttp.sessions import Session

    dials: list[float] = []

    def heard(event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            dials.append(event.seconds_dial)

    urls = (f"{base}/file-{number}.txt" for number in range(files))
    with Session(listeners=[heard]) as settings:
        settings.trust_env = False  # no proxy of the environment
        settings.verify = str(ca)
        if not is_pooled:
            settings.headers["Connection"] = "close"
        began = time.monotonic()
        with bulk.fetch(urls, settings, jobs=jobs, per_host=jobs) as results:
            for result in results:
                if result.problem or result.size != _FILE_BYTES:
                    raise _Failed(f"{result.url}: {result.problem or 'wrong length'}")
            seconds = time.monotonic() - began
    return Measure(seconds, sum(dials), results.stats())


def report(without: Measure, pooled: Measure) -> Iterator[str]:
    """Yield the lines of the report on both runs."""
    before, after = without.stats.total, pooled.stats.total
    rows = [
        ("", "without pool", "with pool"),
        ("time", f"{without.seconds:.2f} s", f"{pooled.seconds:.2f} s"),
        ("connections opened", str(before.created), str(after.created)),
        ("requests that reused one", f"{before.reuse_rate:.1%}", f"{after.reuse_rate:.1%}"),
        (
            "sum of set-up waits",
            f"{without.setup_seconds:.2f} s",
            f"{pooled.setup_seconds:.2f} s",
        ),
    ]
    yield ""
    for name, left, right in rows:
        yield f"{name:<26}{left:>14}{right:>14}".rstrip()
    yield ""
    yield f"With the pool: {without.seconds / pooled.seconds:.1f} times as fast"
    closed = ", ".join(f"{reason} {count}" for reason, count in sorted(after.closed.items()))
    yield (
        f"The pool's counters: acquired {after.acquired}, created {after.created}, "
        f"reused {after.reused}, idle {after.idle}, active {after.active}, "
        f"stale found {after.stale_found}, leaks {after.leaks}, closed: {closed or 'none'}"
    )
