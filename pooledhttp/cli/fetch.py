"""`pooledhttp fetch`: downloads a list of URLs into a directory, which records what was fetched.

The command does what `bulk.download` does. It adds what a command has: options, progress, signals
and an exit status.

A signal raises no exception while the run works. It tells the run to stop, and the run ends as it
does at the end of its input: parts stay, the journal is committed, the list of what is not done is
written. Only a wait for standard input, and what comes before the run, ends by an exception.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pooledhttp.cli.fetch_options import add_parser
from pooledhttp.cli.fetch_report import (
    FILES,
    MOST_PRINTED,
    USAGE,
    Report,
    complain,
    failures_path,
    status_of,
    tell,
    tell_of_signal,
    tell_what_is_missing,
)
from pooledhttp.cli.fetch_settings import make_session
from pooledhttp.cli.fetch_workers import open_executor
from pooledhttp.cli.progress import Meter, open_meter
from pooledhttp.cli.stopping import Stop

if TYPE_CHECKING:
    from pooledhttp.bulk import Download, DownloadResult, OpenList, Source, Sources
    from pooledhttp.sessions import Session
    from pooledhttp.timing import Timeout

__all__ = ["add_parser", "main"]

_CONNECT_SECONDS = 10.0

#: Of the interpreter, the lists, the directory, the journal, and idle connections.
_OTHER_DESCRIPTORS = 256


def main(args: argparse.Namespace) -> int:
    """Fetch the list and return the exit status."""
    stop = Stop()
    with stop.signals():
        try:
            with ExitStack() as stack:
                return _fetch(args, stack, stop)
        except KeyboardInterrupt:
            if stop.signal is None:  # in a thread, whose caller has the signals
                raise
            with suppress(OSError):
                tell_of_signal(stop)
            return 128 + stop.signal


def _fetch(args: argparse.Namespace, stack: ExitStack, stop: Stop) -> int:
    """Fetch the list and return the exit status; `stack` has what is to be closed then."""
    from pooledhttp.bulk import part_of

    try:
        source = _open_input(args, stack)
        part = part_of(source, args.shard, args.per_host, args.per_host_rate)
        total = part.count()
    except (OSError, ValueError) as error:
        return complain(error, USAGE)
    try:
        session = make_session(args, stack)
    except ValueError as error:
        return complain(error, USAGE)
    if args.dry_run:
        return tell_what_is_missing(args, part)
    try:
        download = stack.enter_context(_open_download(args, part, session, stack, stop))
    except (ValueError, ModuleNotFoundError, FileExistsError, NotADirectoryError) as error:
        return complain(error, USAGE)
    except (OSError, RuntimeError) as error:
        return complain(error, FILES)
    stop.now_stops(download)
    report = _run(download, open_meter(total, quiet=args.quiet))
    status = status_of(report, stop, args.ok_if)
    try:
        tell(args, download, report, stop)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:  # a terminal that has gone, or a full disk
        _give_up_stdout()
        with suppress(OSError):
            complain(error, status)
        return status if stop.signal is not None else FILES
    return status


# ------------------------------------------------------------------ setting up


def _open_input(args: argparse.Namespace, stack: ExitStack) -> Sources:
    """Open the URLs and lists that are given.

    Raises:
        OSError: A list cannot be opened.
        ValueError: Standard input is named twice, or what is to be followed cannot be.
        SystemExit: There is nothing to fetch.
    """
    from pooledhttp.bulk import FollowedList, Sources, UrlList

    if args.input.count("-") > 1:
        raise ValueError("standard input can be read once only")
    if not args.input and not args.urls:
        args.usage_error("give URLs, or a list of them with -i FILE")
    for url in args.urls:
        if "://" not in url and os.path.isfile(url):
            args.usage_error(f"{url} is a file, not a URL. If it lists URLs, use -i {url}")
    lists: list[Source] = []
    if args.follow and (len(args.input) != 1 or args.input[0] == "-"):
        raise ValueError("--follow needs one list, in a file (-i FILE)")
    if args.follow and args.shard is not None:
        raise ValueError("--follow and --shard do not go together: shards need the whole list")
    for name in args.input:
        if args.follow:
            lists.append(FollowedList(name, args.format))
        else:
            lists.append(_standard_input(args) if name == "-" else UrlList(name, args.format))
        stack.callback(lists[-1].close)
    return Sources(args.urls, lists, args.method or "GET")


def _standard_input(args: argparse.Namespace) -> OpenList:
    from pooledhttp.bulk import OpenList

    if sys.stdin is None:
        raise FileNotFoundError("standard input is closed")
    return OpenList(getattr(sys.stdin, "buffer", sys.stdin), args.format)


def _open_download(
    args: argparse.Namespace, source: Source, session: Session, stack: ExitStack, stop: Stop
) -> Download:
    from pooledhttp import bulk

    _raise_descriptor_limit(2 * args.jobs + _OTHER_DESCRIPTORS)
    return bulk.download(
        # A wait for a pipe has to be broken off by a signal.
        source if source.can_read_rest else stop.guarded(source),
        args.directory,
        session,
        jobs=args.jobs,
        per_host=args.per_host,
        per_proxy=args.per_proxy,
        rate=args.rate,
        per_host_rate=args.per_host_rate,
        limit_rate=args.limit_rate,
        low_speed=args.low_speed,
        timeout=_timeout(args),
        retries=args.retries,
        ordered=args.ordered,
        engine=args.engine,
        names=args.names,
        refresh=args.refresh,
        overwrite=args.overwrite,
        adopt=args.adopt,
        rebuild=args.rebuild,
        decode=args.decode,
        digest=args.digest,
        max_size=args.max_size,
        mtime=args.mtime,
        content_disposition=args.content_disposition,
        failures=failures_path(args),
        shard=args.shard,
        executor=open_executor(args, stack),
    )


def _raise_descriptor_limit(wanted: int) -> None:
    """Allow this process so many open files, if the system lets it.

    A running request has a connection and a file; shells allow 256 or 1024 in all.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _timeout(args: argparse.Namespace) -> Timeout:
    from pooledhttp.timing import Timeout

    stall = args.stall
    return Timeout(args.max_time, min(_CONNECT_SECONDS, stall), read=stall, write=stall)


# ------------------------------------------------------------------ running


def _run(download: Download, meter: Meter) -> Report:
    """Take all results."""
    from pooledhttp.bulk import Tally, one_line
    from pooledhttp.message import without_credentials

    report = Report(Tally())
    tally = report.tally

    def show() -> None:
        tally.received = download.received_bytes()
        with suppress(OSError):  # the terminal has gone: the run goes on, or a signal ends it
            meter.update(tally, download.hosts)

    def add(result: DownloadResult) -> None:
        tally.add(result)
        if not result.ok and len(report.first_failures) < MOST_PRINTED:
            url = without_credentials(result.url)
            report.first_failures += (f"{one_line(url)}: {result.problem}",)

    download.on_wait = show
    began = time.monotonic()
    try:
        for result in download:
            add(result)
            show()
    except KeyboardInterrupt:
        pass  # told by the signal
    except (OSError, RuntimeError) as error:  # `WorkerLost`, `WorkerMismatch`
        report.error = error
    finally:
        download.close()
        for result in download.not_taken():
            add(result)
        tally.received = download.received_bytes()
        with suppress(OSError):
            meter.close()
    report.error = report.error or download.closing_error
    report.seconds = time.monotonic() - began
    return report


def _give_up_stdout() -> None:
    """Keep the interpreter from complaining when it flushes standard output at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
