"""What `pooledhttp fetch` says when it ends, and with which status."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EDQUOT, EMFILE, ENFILE, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from pooledhttp.cli.speed import bytes_text

if TYPE_CHECKING:
    from pooledhttp.bulk import Download, Item, Source, Tally
    from pooledhttp.cli.stopping import Stop

__all__ = [
    "FILES",
    "MOST_PRINTED",
    "OK",
    "SOME_FAILED",
    "USAGE",
    "Report",
    "complain",
    "failures_path",
    "status_of",
    "tell",
    "tell_of_signal",
    "tell_what_is_missing",
]

OK, SOME_FAILED, USAGE, FILES = 0, 1, 2, 3

#: More failures than these are not printed one by one; the list has them all.
MOST_PRINTED = 20

#: So many failures are printed although the list has them.
_FEW = 3


@dataclass(slots=True)
class Report:
    """How the run went: its counts, its time and what ended it."""

    tally: Tally
    seconds: float = 0.0
    error: Exception | None = None
    first_failures: tuple[str, ...] = ()


def status_of(report: Report, stop: Stop, ok_if: float = 1.0) -> int:
    """Return the exit status.

    Args:
        report: How the run went.
        stop: Whether a signal ended it.
        ok_if: The part of all jobs that is enough.
    """
    if stop.signal is not None:
        return 128 + stop.signal
    if report.error is None:
        tally = report.tally
        return OK if tally.ok >= ok_if * tally.done else SOME_FAILED
    return FILES if _is_of_files(report.error) else SOME_FAILED


def _is_of_files(error: Exception) -> bool:
    """Whether an error is about the directory and not about the list."""
    from pooledhttp.bulk import JournalError, RunStopped

    is_ours = isinstance(error, (RunStopped, JournalError, PermissionError))
    is_of_descriptors = isinstance(error, OSError) and error.errno in (EMFILE, ENFILE)
    return is_ours or is_of_descriptors or _is_disk_full(error)


def _is_disk_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT)


def tell(args: argparse.Namespace, download: Download, report: Report, stop: Stop) -> None:
    """Print how it went."""
    tally = report.tally
    if report.error is not None:
        _complain_of_run(report.error)
    if stop.signal is not None:
        tell_of_signal(stop)
    if args.quiet:
        for line in report.first_failures:
            print(f"pooledhttp fetch: {line}", file=sys.stderr)
        if tally.failed > len(report.first_failures):
            more = tally.failed - len(report.first_failures)
            print(f"pooledhttp fetch: and {more} more", file=sys.stderr)
        if download.failures_path not in (None, failures_path(args)):
            print(
                f"pooledhttp fetch: what is not done is listed in {download.failures_path}",
                file=sys.stderr,
            )
        return
    print(_summary(tally, download, report.seconds))
    if 0 < tally.failed <= _FEW:
        for line in report.first_failures:
            print(f"  {line}")
    if download.failures_path is not None:
        print(f"What is not done ({download.not_done}), and why, is in {download.failures_path}")
        wanted = failures_path(args)
        if download.failures_path != wanted:
            print(f"({wanted} is a file that is not ours, or its disk is full)")


def tell_of_signal(stop: Stop) -> None:
    """Print that a signal came."""
    word = "interrupted" if stop.signal == signal.SIGINT else "stopped by a signal"
    print(f"pooledhttp fetch: {word}", file=sys.stderr)


def failures_path(args: argparse.Namespace) -> Path:
    """Return where what is not done is listed; each shard has a list of its own."""
    from pooledhttp.bulk import FAILURES

    if args.failures:
        return Path(args.failures)
    if args.shard is None:
        return Path(args.directory) / FAILURES
    name, suffix = os.path.splitext(FAILURES)
    return Path(args.directory) / f"{name}-{args.shard.replace('/', '-of-')}{suffix}"


def _complain_of_run(error: Exception) -> None:
    if _is_disk_full(error):
        text = "the disk is full. Make room, and run the same command again."
    elif _is_of_files(error) or isinstance(error, RuntimeError):
        text = str(error)  # the directory, or the workers
    else:
        text = f"the list could not be read to its end: {error}"
    print(f"pooledhttp fetch: {text}", file=sys.stderr)


def _summary(tally: Tally, download: Download, seconds: float) -> str:
    """Say in some lines how it went."""
    total = download.stats().total
    line = (
        f"{tally.fetched} fetched, {tally.failed} failed, {bytes_text(tally.size)} in"
        f" {seconds:.1f} s"
    )
    if total.acquired:
        line += (
            f", {total.created} connection{'s' * (total.created != 1)} opened,"
            f" {total.reused} of {total.acquired} requests reused one"
        )
    others = (
        (tally.there_before, "there already"),
        (tally.unchanged, "unchanged"),
        (download.not_done - tally.failed, "not reached"),
        (download.duplicates, "in the list more than once"),
        (download.repeated, "begun again since a worker died"),
    )
    rest = ", ".join(f"{number} {words}" for number, words in others if number > 0)
    if rest:
        line += f"\n{rest}"
    if tally.problems:
        counts = (f"{problem}: {count}" for problem, count in tally.problems.most_common(5))
        line += f"\nfailed by {', '.join(counts)}"
    return line


def complain(error: Exception, status: int) -> int:
    """Print an error, and return the exit status."""
    text = str(error)
    if isinstance(error, FileExistsError) and error.filename:
        text = f"{error.filename} is a file, and a directory is wanted"
    print(f"pooledhttp fetch: {text}", file=sys.stderr)
    return status


def _is_repeated(item: Item, seen: set[bytes]) -> bool:
    """Whether the job of an item was seen before; it is added to those that were.

    Args:
        item: A URL, a job or a line that is neither.
        seen: Short digests: lists may be long.
    """
    from pooledhttp.bulk import Job

    try:
        identity = Job.of(item).identity()
    except (TypeError, ValueError):
        return False
    digest = hashlib.blake2b(repr(identity).encode("utf-8", "surrogatepass"), digest_size=16)
    is_repeated = digest.digest() in seen
    seen.add(digest.digest())
    return is_repeated


def tell_what_is_missing(args: argparse.Namespace, source: Source) -> int:
    """Print what a run would fetch, without fetching or changing anything (`--dry-run`).

    Returns:
        The exit status: 0, or that of wrong use.
    """
    from pooledhttp.bulk import Job, Run, check_digest, naming, one_line

    try:
        naming(args.names)
        check_digest(args.digest)
    except ValueError as error:
        return complain(error, USAGE)
    missing = there = 0
    with ExitStack() as stack:
        run = None
        with suppress(FileNotFoundError):
            run = stack.enter_context(Run(args.directory))
        seen: set[bytes] = set()
        for item in source.peek_rest() if source.can_read_rest else source:
            url = item.url if isinstance(item, Job) else str(item)
            if _is_repeated(item, seen):
                continue
            if run is not None and run.has(item):
                there += 1
                continue
            missing += 1
            if not args.quiet:
                print(one_line(url))
    print(f"{missing} to fetch, {there} there already", file=sys.stderr)
    return OK
