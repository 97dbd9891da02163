"""`pooledhttp demo`: what a pool saves when the server is at a distance.

The same threads fetch the same files from the same server three times::

    no pool        a new connection for each request
    requests       a `requests.Session` with its defaults, if requests is installed
    pooledhttp     a `pooledhttp.Session` with its defaults

A `requests.Session` keeps 10 connections to a host. With more threads than that, the others are
closed after each request and opened again. A new connection costs a round trip for TCP, one for
TLS, and the work of the handshake.

The server runs on this machine (see `origin.py`), with a certificate made for this run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pooledhttp.cli.numbers import count, positive_or_zero

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["Measure", "add_parser", "main", "report"]

_FILE_BYTES = 8 * 1024

#: Seconds the server may take to end before it is killed.
_EXIT_SECONDS = 5.0

_BAR = 30


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="measure what the pool saves, on this machine",
        description=(
            "Fetch files over HTTPS from a server on this machine behind an emulated round trip: "
            "without a pool, with a Session of requests (if it is installed), and with pooledhttp. "
            "Needs no network and leaves nothing behind."
        ),
        epilog="Example: pooledhttp demo --rtt 80 --threads 64",
    )
    parser.add_argument(
        "--rtt", type=positive_or_zero, default=20.0, metavar="MS", help="round trip (default: 20)"
    )
    parser.add_argument(
        "--files", type=count, default=400, metavar="N", help="files to fetch (default: 400)"
    )
    parser.add_argument(
        "--threads",
        "--jobs",
        type=count,
        default=32,
        metavar="N",
        help="threads that fetch (default: 32)",
    )
    return parser


class _Failed(Exception):
    """The demo cannot go on; the message says why."""


class Measure(NamedTuple):
    """One run: whose it was, its seconds, and the connections that it opened."""

    name: str
    files: int
    seconds: float
    opened: int


def main(args: argparse.Namespace) -> int:
    """Run the demo and return the exit status."""
    try:
        import trustme
    except ImportError:
        print(
            "pooledhttp demo makes a certificate with trustme, which is not installed.\n"
            "Install it:  python -m pip install trustme",
            file=sys.stderr,
        )
        return 2
    print(
        f"{args.files} files of {_FILE_BYTES // 1024} KiB over HTTPS, round trip {args.rtt:g} ms, "
        f"{args.threads} threads",
        flush=True,
    )
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="pooledhttp-demo-") as directory:
        ca, key = Path(directory, "ca.pem"), Path(directory, "server.pem")
        authority.cert_pem.write_to_path(str(ca))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(key))
        try:
            measures = _measure_all(args, ca, key)
        except _Failed as error:
            print(f"pooledhttp demo: {error}", file=sys.stderr)
            return 1
    for line in report(measures):
        print(line)
    return 0


def _measure_all(args: argparse.Namespace, ca: Path, key: Path) -> list[Measure]:
    with _origin(key, args.rtt / 1000) as base:
        return [
            _measure(name, make, opened, base, ca, args.files, args.threads)
            for name, make, opened in _clients()
        ]


def _clients() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any, str], int]]]:
    """Yield the clients: the name, what makes a session, and what counts its connections."""
    from pooledhttp.sessions import Session

    def without_pool() -> Session:
        session = Session()
        session.headers["Connection"] = "close"
        return session

    yield "no pool", without_pool, _opened_by_us
    try:
        import requests
    except ImportError:
        pass
    else:
        theirs: type = requests.Session
        if theirs is not Session:  # under `pooledhttp run`, requests is this package
            yield "requests", theirs, _opened_by_requests
    yield "pooledhttp", Session, _opened_by_us


def _opened_by_us(session: Any, base: str) -> int:
    number: int = session.pool.stats().total.created
    return number


def _opened_by_requests(session: Any, base: str) -> int:
    manager = session.get_adapter(base).poolmanager
    return sum(manager.pools[key].num_connections for key in manager.pools.keys())


def _measure(
    name: str,
    make: Callable[[], Any],
    opened: Callable[[Any, str], int],
    base: str,
    ca: Path,
    files: int,
    threads: int,
) -> Measure:
    """Fetch the files once with one client.

    Raises:
        _Failed: A file did not arrive, or not completely.
    """
    with make() as session:
        session.trust_env = False  # no proxy of the environment
        session.verify = str(ca)
        with make() as other:  # imports and caches of a first request count for no client
            other.trust_env, other.verify = False, str(ca)
            other.get(base)
        began = time.monotonic()
        _fetch_all(name, session, [f"{base}/file-{number}.txt" for number in range(files)], threads)
        seconds = time.monotonic() - began
        return Measure(name, files, seconds, opened(session, base))


def _fetch_all(name: str, session: Any, urls: Iterable[str], threads: int) -> None:
    """Fetch URLs in threads, and show how far that is."""
    from pooledhttp.runtime import default_runtime
    from pooledhttp.timing import Deadline

    todo, done = list(urls), list[str]()
    problems: list[str] = []
    number = len(todo)

    def work() -> None:
        while todo and not problems:
            try:
                url = todo.pop()
            except IndexError:  # another thread was faster
                return
            try:
                size = len(session.get(url, timeout=60).content)
                if size != _FILE_BYTES:
                    raise ValueError(f"{size} bytes")
            except Exception as error:  # told by the thread that waits
                problems.append(f"{url}: {error}")
                return
            done.append(url)

    runtime = default_runtime()
    tasks = [runtime.spawn(work, f"demo-{index}") for index in range(threads)]
    for task in tasks:
        while not task.join(Deadline.after(0.1, runtime.now)):
            _show(name, len(done), number)
    _show(name, number, number)
    if problems:
        raise _Failed(problems[0])


def _show(name: str, done: int, number: int) -> None:
    """Draw the bar, on a terminal only; a complete one is removed."""
    if not sys.stdout.isatty():
        return
    if done == number:
        sys.stdout.write(f"\r{' ' * 78}\r")
    else:
        filled = _BAR * done // number
        sys.stdout.write(f"\r{name:<12}[{'#' * filled:<{_BAR}}] {done} of {number}")
    sys.stdout.flush()


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


def report(measures: list[Measure]) -> Iterator[str]:
    """Yield the lines of the report."""
    rows = [
        ("", [one.name for one in measures]),
        ("time", [f"{one.seconds:.2f} s" for one in measures]),
        ("requests per second", [f"{one.files / one.seconds:.0f}" for one in measures]),
        ("connections opened", [str(one.opened) for one in measures]),
    ]
    yield ""
    for name, cells in rows:
        yield f"{name:<22}{''.join(f'{cell:>13}' for cell in cells)}".rstrip()
    yield ""
    ours = measures[-1]
    for other in measures[:-1]:
        yield f"pooledhttp is {other.seconds / ours.seconds:.1f} times as fast as {other.name}."
    if not any(one.name == "requests" for one in measures):
        yield "To compare with requests as well: python -m pip install requests"
    yield ""
    yield "Next: pooledhttp run YOUR_SCRIPT.py          your own program, over the pool"
    yield "      pooledhttp fetch -i urls.txt -d out    a list of URLs"
    yield "      pooledhttp demo --rtt 80               a server that is further away"
