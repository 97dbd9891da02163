"""`pooledhttp fetch`: the URLs of a list, into the files of a directory.

The list has a URL per line; blank lines and lines that begin with `#` do not count, nor does what
follows a tab. So the list of failures that a run leaves behind (URL, tab, reason) can be the input
of the next one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .numbers import count, count_or_zero, positive
from .progress import Meter, bytes_text, open_meter

if TYPE_CHECKING:
    from pooledhttp.bulk import Fetch, Result, Tally
    from pooledhttp.sessions import Session

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]

_FAILURES = "failures.txt"

#: Answers that may be different in a moment.
_PASSING = (429, 500, 502, 503, 504)


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch a list of URLs into files",
        description="Fetch a list of URLs into files, many at once, over few connections.",
        epilog="Exit status: 0 all fetched, 1 some failed, 2 used wrongly, 130 interrupted.",
    )
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="FILE", help="a URL per line; - for standard input")
    add("-d", "--directory", default=".", metavar="DIR", help="where the files go (default: here)")
    add("--jobs", type=count, default=32, metavar="N", help="requests at once (default: 32)")
    add("--per-host", type=count, default=6, metavar="N", help="of these to one host (default: 6)")
    add(
        "--timeout",
        type=positive,
        default=60.0,
        metavar="SECONDS",
        help="for each file, all included (default: 60)",
    )
    add(
        "--retries",
        type=count_or_zero,
        default=0,
        metavar="N",
        help="further attempts after a passing failure (default: 0)",
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument(
        "--ca", "--verify", dest="ca", type=_existing, metavar="FILE", help="CAs to trust instead"
    )
    trust.add_argument("--insecure", action="store_true", help="do not verify certificates")
    add(
        "-H",
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send this header field; may be repeated",
    )
    add("--ordered", action="store_true", help="report in the order of the input")
    add(
        "--failures",
        metavar="FILE",
        help=f"where to list what failed (default: {_FAILURES} in DIR; none when all is well)",
    )
    add("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(args: argparse.Namespace) -> int:
    """Fetch the list and return the exit status."""
    from urllib3.exceptions import InsecureRequestWarning

    from pooledhttp import bulk

    directory = Path(args.directory)
    failures = _Failures(Path(args.failures) if args.failures else directory / _FAILURES)
    with ExitStack() as stack:
        try:
            lines, total = _open_list(args.input, stack)
            files = bulk.to_files(directory, bulk.UrlNames(reserved=[_FAILURES]))
        except OSError as exc:
            print(f"pooledhttp fetch: {exc}", file=sys.stderr)
            return 2
        if args.insecure:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", InsecureRequestWarning)
        settings = stack.enter_context(_settings(args))
        meter = open_meter(total, quiet=args.quiet)
        stack.callback(meter.close)
        fetch = bulk.fetch(
            _urls(lines),
            settings,
            jobs=args.jobs,
            per_host=args.per_host,
            timeout=args.timeout,
            ordered=args.ordered,
            sink=files,
        )
        tally = bulk.Tally()
        began = time.monotonic()
        status = _run(stack.enter_context(fetch), tally, failures, meter)
    if not args.quiet:
        print(_summary(tally, fetch, time.monotonic() - began))
        if tally.failed:
            print(f"What failed, and why, is in {failures.path}")
    return status


def _run(fetch: Fetch, tally: Tally, failures: _Failures, meter: Meter) -> int:
    """Take all results, keep the books, and return the exit status."""
    try:
        for result in fetch:
            tally.add(result)
            meter.update(tally)
            if not result.ok:
                failures.add(result)
    except KeyboardInterrupt:
        failures.close(is_complete=False)
        print("pooledhttp fetch: interrupted", file=sys.stderr)
        return 130
    except OSError as exc:
        failures.close(is_complete=False)
        print(f"pooledhttp fetch: the list could not be read to its end: {exc}", file=sys.stderr)
        return 1
    failures.close(is_complete=True)
    return 1 if tally.failed else 0


def _settings(args: argparse.Namespace) -> Session:
    """Make the session whose settings the fetch uses."""
    from pooledhttp.adapters import HTTPAdapter
    from pooledhttp.retry import Retry
    from pooledhttp.sessions import Session

    session = Session()
    session.headers.update(args.header)
    if args.insecure:
        session.verify = False
    elif args.ca:
        session.verify = args.ca
    if args.retries:
        policy = Retry(
            total=args.retries,
            backoff_factor=0.2,
            status_forcelist=_PASSING,
            raise_on_status=False,
        )
        for prefix in ("https://", "http://"):
            session.mount(prefix, HTTPAdapter(max_retries=policy))
    return session


def _open_list(name: str, stack: ExitStack) -> tuple[Iterable[str], int | None]:
    """Open the input, and count what is in it if that can be done beforehand."""
    if name == "-":
        return sys.stdin, None
    # A URL in some other encoding is that URL's failure, not the run's.
    file = stack.enter_context(open(name, encoding="utf-8", errors="surrogateescape"))
    if not file.seekable():
        return file, None
    total = sum(1 for _ in _urls(file))
    file.seek(0)
    return file, total


def _urls(lines: Iterable[str]) -> Iterator[str]:
    """Yield the URLs of a list."""
    for line in lines:
        url = line.lstrip("\ufeff").partition("\t")[0].strip()
        if url and not url.startswith("#"):
            yield url


def _summary(tally: Tally, fetch: Fetch, seconds: float) -> str:
    """Say in a line or two how it went."""
    total = fetch.stats().total
    line = (
        f"{tally.ok} fetched, {tally.failed} failed, {bytes_text(tally.size)} in {seconds:.1f} s, "
        f"{total.created} connections opened, {total.reuse_rate:.1%} of requests reused one"
    )
    if tally.problems:
        counts = (f"{problem}: {count}" for problem, count in tally.problems.most_common(5))
        line += f"\nfailed by {', '.join(counts)}"
    return line


class _Failures:
    """The list of what failed, under its name only when the run is over.

    Until then the file of that name may still be the input. When nothing failed, a list that an
    earlier run left is
    removed: it would be wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file: TextIO | None = None

    def add(self, result: Result) -> None:
        """Note a result that is not ok."""
        if self._file is None:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._partial, "w", encoding="utf-8", errors="surrogateescape")
        self._file.write(f"{result.url}\t{result.problem}\n")

    def close(self, *, is_complete: bool) -> None:
        """Put the list under its name."""
        if self._file is not None:
            self._file.close()
            os.replace(self._partial, self.path)
        elif is_complete:
            with suppress(FileNotFoundError):
                self.path.unlink()


def _existing(text: str) -> str:
    """Check that there is such a file or directory."""
    if not os.path.exists(text):
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return text


def _header(text: str) -> tuple[str, str]:
    """Split a header field."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"'NAME: VALUE' is wanted, not {text!r}")
    return name.strip(), value.strip()
