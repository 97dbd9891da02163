"""`pooledhttp fetch`: the URLs of a list, into the files of a directory that remembers.

The command does what `bulk.download` does. It adds what a command has: options, progress, signals
and an exit status.

A signal does not raise in the middle of something. It tells the run to stop, and the run ends as it
does at the end of its input: parts stay, the journal is committed, the list of what is not done is
written. Only a wait for standard input is broken off by an exception, since nothing else can reach
it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pooledhttp.cli.numbers import count, count_or_zero, positive
from pooledhttp.cli.progress import Meter, bytes_text, open_meter

if TYPE_CHECKING:
    from pooledhttp.bulk import Download, DownloadResult, Tally, UrlList
    from pooledhttp.message import PreparedRequest
    from pooledhttp.sessions import Session
    from pooledhttp.timing import Timeout

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "main"]

_OK, _SOME_FAILED, _USAGE, _FILES = 0, 1, 2, 3

_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 60.0

#: More failures than these are not printed one by one; the list has them all.
_MOST_PRINTED = 20

_DESCRIPTION = """\
Fetch a list of URLs into the files of a directory, many at once, over few connections.

The same command, run again after anything, fetches what is missing. What is there is not asked for
again, a file keeps its name, and a file that was not fetched here is never replaced."""

_EPILOG = """\
exit status: 0 all is there, 1 some failed, 2 used wrongly, 3 files cannot be used (the disk is
full, the directory is in use), 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP"""


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch a list of URLs into files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_basics(parser)
    _add_files(parser.add_argument_group("files"))
    _add_times(parser.add_argument_group("time and retries"))
    _add_requests(parser.add_argument_group("requests"))
    return parser


def _add_basics(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="FILE", help="a URL per line; - for standard input")
    add("-d", "--directory", default=".", metavar="DIR", help="where the files go (default: here)")
    add("--jobs", type=count, default=32, metavar="N", help="requests at once (default: 32)")
    add("--per-host", type=count, default=6, metavar="N", help="of these to one host (default: 6)")
    add("--per-proxy", type=count, default=32, metavar="N", help="through one proxy (default: 32)")
    add("--ordered", action="store_true", help="report in the order of the input")
    add("-q", "--quiet", action="store_true", help="print nothing but failures and errors")


def _add_files(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--names",
        default="last",
        metavar="HOW",
        help="last: the URL's last segment (default); tree: host and path as directories; or a"
        " template such as '{host}/{name}'",
    )
    add(
        "--failures",
        metavar="FILE",
        help="where to list what is not done, as input for another run (default: failures.txt in"
        " DIR; none when all is well)",
    )
    add("--refresh", action="store_true", help="ask whether files that are there have changed")
    add("--overwrite", action="store_true", help="replace files that were not fetched here")
    add("--adopt", action="store_true", help="take files that have the names for fetched")
    add(
        "--rebuild",
        action="store_true",
        help="begin a new journal, and adopt the files that are there",
    )
    add(
        "--decode",
        choices=("auto", "never", "always"),
        default="auto",
        help="undo a Content-Encoding that came although none was asked for (default: unless the"
        " file's name or type says that the coded form is the file)",
    )
    add("--digest", metavar="NAME", help="record a digest of each file: sha256, md5, ...")


def _add_times(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--stall",
        type=positive,
        default=_STALL_SECONDS,
        metavar="SECONDS",
        help="give up on a server that is silent for so long (default: 60)",
    )
    add(
        "--max-time",
        "--timeout",
        dest="max_time",
        type=positive,
        metavar="SECONDS",
        help="for each file, all included (default: no limit)",
    )
    add(
        "--retries",
        type=count_or_zero,
        default=4,
        metavar="N",
        help="further attempts after a passing failure (default: 4)",
    )


def _add_requests(group: argparse._ArgumentGroup) -> None:
    trust = group.add_mutually_exclusive_group()
    trust.add_argument(
        "--cacert",
        "--ca",
        "--verify",
        dest="ca",
        type=_existing,
        metavar="FILE",
        help="trust these CAs instead",
    )
    trust.add_argument("-k", "--insecure", action="store_true", help="do not verify certificates")
    group.add_argument(
        "-H",
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send this header field; may be repeated",
    )


def main(args: argparse.Namespace) -> int:
    """Fetch the list and return the exit status."""
    with ExitStack() as stack:
        stop = _Stop()
        try:
            source = _open_list(args.input, stack, stop)
        except OSError as error:
            return _complain(error, _USAGE)
        if args.insecure:
            _silence_insecure_warnings(stack)
        try:
            download = stack.enter_context(_open_download(args, source, stack))
        except (ValueError, FileExistsError, NotADirectoryError) as error:
            return _complain(error, _USAGE)
        except OSError as error:
            return _complain(error, _FILES)
        meter = open_meter(source.total, quiet=args.quiet)
        with stop.signals(download):
            report = _run(download, meter)
        status = _status(report, stop)
        try:
            _tell(args, download, report, stop)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:  # a terminal that has gone, or a full disk
            _give_up_stdout()
            with suppress(OSError):
                _complain(error, status)
            return status if stop.signal is not None else _FILES
        return status


# ------------------------------------------------------------------ setting up


@dataclass(slots=True)
class _Source:
    """The input, and how many URLs it has, when that can be known."""

    urls: UrlList | Iterator[str]
    total: int | None


def _open_list(name: str, stack: ExitStack, stop: _Stop) -> _Source:
    from pooledhttp.bulk import UrlList

    if name == "-":
        return _Source(stop.guarded(_standard_input()), None)
    urls = UrlList(name)
    stack.callback(urls.close)
    if not urls.can_read_rest:  # a pipe: a wait for it has to be broken off, too
        return _Source(stop.guarded(urls), None)
    return _Source(urls, urls.count())


def _standard_input() -> Iterator[str]:
    from pooledhttp.bulk import read_urls

    if sys.stdin is None:
        raise FileNotFoundError("standard input is closed")
    return read_urls(getattr(sys.stdin, "buffer", sys.stdin))


def _open_download(args: argparse.Namespace, source: _Source, stack: ExitStack) -> Download:
    from pooledhttp import bulk

    if args.rebuild:
        bulk.set_journal_aside(args.directory)
    settings = stack.enter_context(_settings(args))
    return bulk.download(
        source.urls,
        args.directory,
        settings,
        jobs=args.jobs,
        per_host=args.per_host,
        per_proxy=args.per_proxy,
        timeout=_timeout(args),
        retries=args.retries,
        ordered=args.ordered,
        names=args.names,
        refresh=args.refresh,
        overwrite=args.overwrite,
        adopt=args.adopt or args.rebuild,
        decode=args.decode,
        digest=args.digest,
        failures=args.failures or Path(args.directory) / bulk.FAILURES,
    )


def _timeout(args: argparse.Namespace) -> Timeout:
    from pooledhttp.timing import Timeout

    stall = args.stall
    return Timeout(args.max_time, min(_CONNECT_SECONDS, stall), read=stall, write=stall)


def _settings(args: argparse.Namespace) -> Session:
    """Make the session whose settings the download uses."""
    from pooledhttp.sessions import Session

    session = Session()
    session.headers.update(args.header)
    if any(name.lower() == "authorization" for name, _ in args.header):
        # Without any auth of its own, a session would take what .netrc says.
        session.auth = _as_it_is
    if args.insecure:
        session.verify = False
    elif args.ca:
        session.verify = args.ca
    return session


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    """Authenticate by what the request has already."""
    return request


def _silence_insecure_warnings(stack: ExitStack) -> None:
    from urllib3.exceptions import InsecureRequestWarning

    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", InsecureRequestWarning)


class _Stop:
    """What SIGINT, SIGTERM and SIGHUP do while the run goes on."""

    def __init__(self) -> None:
        #: The signal that came first; None when none has.
        self.signal: int | None = None
        self._is_reading = False
        self._stop: Callable[[], None] = _nothing

    def guarded(self, urls: Iterator[str]) -> Iterator[str]:
        """Yield URLs whose source may let us wait for ever; a signal breaks the wait off."""
        while True:
            self._is_reading = True
            try:
                url = next(urls, None)
            finally:
                self._is_reading = False
            if url is None:
                return
            yield url

    def signals(self, download: Download) -> ExitStack:
        """Handle the signals until the end of a `with` block."""
        self._stop = download.stop
        stack = ExitStack()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # What is ignored stays ignored: `nohup`, and jobs in the background.
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            with suppress(ValueError):  # not in the main thread: somebody else minds signals
                stack.callback(signal.signal, number, signal.signal(number, self._handle))
        return stack

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        self._stop()
        if self._is_reading:
            self._is_reading = False
            raise KeyboardInterrupt


def _nothing() -> None:
    """Do nothing."""


# ------------------------------------------------------------------ running


@dataclass(slots=True)
class _Report:
    """How the run went."""

    tally: Tally
    seconds: float = 0.0
    error: OSError | None = None
    first_failures: tuple[str, ...] = ()


def _run(download: Download, meter: Meter) -> _Report:
    """Take all results."""
    from pooledhttp.bulk import Tally, one_line

    report = _Report(Tally())
    tally = report.tally

    def show() -> None:
        tally.received = download.received_bytes()
        with suppress(OSError):  # the terminal has gone: the run goes on, or a signal ends it
            meter.update(tally)

    def count(result: DownloadResult) -> None:
        tally.add(result)
        if not result.ok and len(report.first_failures) < _MOST_PRINTED:
            report.first_failures += (f"{one_line(result.url)}: {result.problem}",)

    download.on_wait = show
    began = time.monotonic()
    try:
        for result in download:
            count(result)
            show()
    except KeyboardInterrupt:
        pass  # told by the signal
    except OSError as error:
        report.error = error
    finally:
        download.close()
        for result in download.not_taken():
            count(result)
        tally.received = download.received_bytes()
        with suppress(OSError):
            meter.close()
    report.error = report.error or download.closing_error
    report.seconds = time.monotonic() - began
    return report


def _status(report: _Report, stop: _Stop) -> int:
    """Return the exit status."""
    if stop.signal is not None:
        return 128 + stop.signal
    if report.error is None:
        return _SOME_FAILED if report.tally.failed else _OK
    return _FILES if _is_of_files(report.error) else _SOME_FAILED


def _is_of_files(error: OSError) -> bool:
    """Whether an error is about the directory and not about the list."""
    from pooledhttp.bulk import JournalError, RunStopped

    is_ours = isinstance(error, (RunStopped, JournalError, PermissionError))
    return is_ours or _is_disk_full(error)


def _is_disk_full(error: OSError) -> bool:
    return error.errno in (ENOSPC, EDQUOT)


def _tell(args: argparse.Namespace, download: Download, report: _Report, stop: _Stop) -> None:
    """Print how it went."""
    tally = report.tally
    if report.error is not None:
        _complain_of_run(report.error)
    if stop.signal is not None:
        word = "interrupted" if stop.signal == signal.SIGINT else "stopped by a signal"
        print(f"pooledhttp fetch: {word}", file=sys.stderr)
    if args.quiet:
        for line in report.first_failures:
            print(f"pooledhttp fetch: {line}", file=sys.stderr)
        if tally.failed > len(report.first_failures):
            more = tally.failed - len(report.first_failures)
            print(f"pooledhttp fetch: and {more} more", file=sys.stderr)
        return
    print(_summary(tally, download, report.seconds))
    if download.failures_path is not None:
        print(f"What is not done ({download.not_done}), and why, is in {download.failures_path}")
        wanted = Path(args.failures) if args.failures else Path(args.directory) / "failures.txt"
        if download.failures_path != wanted:
            print(f"({wanted} is a file that is not ours, or its disk is full)")


def _give_up_stdout() -> None:
    """Keep the interpreter from complaining when it flushes standard output at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _complain_of_run(error: OSError) -> None:
    if _is_disk_full(error):
        text = "the disk is full. Make room, and run the same command again."
    elif _is_of_files(error):
        text = str(error)
    else:
        text = f"the list could not be read to its end: {error}"
    print(f"pooledhttp fetch: {text}", file=sys.stderr)


def _complain(error: Exception, status: int) -> int:
    print(f"pooledhttp fetch: {error}", file=sys.stderr)
    return status


def _summary(tally: Tally, download: Download, seconds: float) -> str:
    """Say in some lines how it went."""
    total = download.stats().total
    line = (
        f"{tally.fetched} fetched, {tally.failed} failed, {bytes_text(tally.size)} in"
        f" {seconds:.1f} s, {total.created} connections opened, {total.reuse_rate:.1%} of requests"
        " reused one"
    )
    others = (
        (tally.there_before, "there already"),
        (tally.unchanged, "unchanged"),
        (download.not_done - tally.failed, "not reached"),
        (download.duplicates, "in the list more than once"),
    )
    rest = ", ".join(f"{number} {words}" for number, words in others if number > 0)
    if rest:
        line += f"\n{rest}"
    if tally.problems:
        counts = (f"{problem}: {count}" for problem, count in tally.problems.most_common(5))
        line += f"\nfailed by {', '.join(counts)}"
    return line


# ------------------------------------------------------------------ arguments


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
