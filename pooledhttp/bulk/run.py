"""`Run`: reads the journal of a directory, during a run, after it, or after a crash."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pooledhttp.bulk.database import read_copy
from pooledhttp.bulk.folder import OWN_FOLDER, SHARD_PREFIX
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.rows import FETCHED, Row, State
from pooledhttp.records import record

__all__ = ["JobRecord", "Run", "kind_of"]


@record
class JobRecord:
    """What is known of one job.

    Args:
        url: Its URL, without fragment.
        name: The name of its file, relative to the directory; `None` for a line that is no URL.
        state: How far it is.
        host: Its host, with the port if the URL has one.
        status: The status of the last response.
        etag: The ETag that came with the body.
        last_modified: The Last-Modified that came with the body.
        size: The bytes of the file.
        digest: `algorithm:hex`, when one was asked for.
        attempts: Requests sent, in all runs.
        error: Why it failed, on one line.
        started: When its last attempt began.
        ended: When it ended, or when the journal last heard of it.
        waited: Of the seconds between these two, those that it waited for a place at its host and
            between attempts.
    """

    url: str
    name: str | None
    state: State
    host: str
    status: int | None
    etag: str | None
    last_modified: str | None
    size: int | None
    digest: str | None
    attempts: int
    error: str | None
    started: datetime | None
    ended: datetime | None
    waited: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether its file is there, as far as the journal knows."""
        return self.state in FETCHED

    @property
    def kind(self) -> str | None:
        """The kind of failure, for counting: a class of error, "HTTP 404"; `None` without one."""
        return None if self.error is None else kind_of(self.error)


class Run:
    """The record of a directory. A context manager; nothing is changed.

    The journals of all shards that have worked in the directory are joined.

    Args:
        directory: The directory that a download went to.

    Raises:
        FileNotFoundError: There is no journal in it.
        JournalError: The journal is broken, or from a newer version.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._journals: list[Journal] = []
        self._copies: list[tempfile.TemporaryDirectory[str]] = []
        own = self.directory / OWN_FOLDER
        paths = [own, *sorted(own.glob(f"{SHARD_PREFIX}*"))]
        paths = [path for each in paths if (path := each / "journal.sqlite3").exists()]
        if not paths:
            raise FileNotFoundError(f"{self.directory} has no journal: no download was made there")
        try:
            for path in paths:
                self._journals.append(Journal(self._readable(str(path)), read_only=True))
        except BaseException:
            self.close()
            raise

    def _readable(self, path: str) -> str:
        if os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK):
            return path
        self._copies.append(tempfile.TemporaryDirectory(prefix="pooledhttp-"))
        return read_copy(path, self._copies[-1].name)

    def close(self) -> None:
        """Close the journal. Doing it twice does nothing."""
        for journal in self._journals:
            journal.close()
        for copy in self._copies:
            copy.cleanup()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[JobRecord]:
        return self.jobs()

    def jobs(self, *states: State) -> Iterator[JobRecord]:
        """Yield what is known of each job, in the order in which they were first in the input.

        Args:
            *states: Only jobs in one of these; without any, all jobs.
        """
        for journal in self._journals:
            for row in journal.rows(*states):
                yield _record(row)

    def find(self, url: str) -> JobRecord | None:
        """Return what is known of a URL that was fetched by GET without a key.

        Args:
            url: The URL, as in the list; a fragment does not count.

        Returns:
            What is known; None if the URL was in no list.

        Raises:
            TypeError: `url` is no text.
        """
        if not isinstance(url, str):
            raise TypeError(f"find takes a URL (str), not {url!r:.100}")
        row = self._find(url.strip().partition("#")[0], None)
        return None if row is None else _record(row)

    def has(self, item: object) -> bool:
        """Whether the file of an item is there: fetched, and of the size that it had.

        Args:
            item: A URL or a `Job`.
        """
        try:
            row = self._find(*Job.of(item).identity())
        except (TypeError, ValueError):
            return False
        if row is None or row.name is None or row.state not in FETCHED:
            return False
        try:
            return os.stat(self.directory / row.name).st_size == row.size
        except OSError:
            return False

    def counts(self) -> dict[State, int]:
        """Return the number of jobs in each state."""
        counted = [journal.counts() for journal in self._journals]
        return {state: sum(each.get(state, (0, 0))[0] for each in counted) for state in State}

    def size(self) -> int:
        """Return the bytes of all files that are there."""
        counted = [item for journal in self._journals for item in journal.counts().items()]
        return sum(size for state, (_, size) in counted if state in FETCHED)

    def _find(self, url: str, identity: str | None) -> Row | None:
        found = (journal.find(url, identity) for journal in self._journals)
        return next((row for row in found if row is not None), None)

    def failures(self) -> Counter[str]:
        """Return how many jobs failed by each kind of failure; they add up to those that failed."""
        return Counter(record.kind or "unknown" for record in self.jobs(State.FAILED))

    def hosts(self) -> dict[str, Counter[State]]:
        """Return the number of jobs in each state for each host."""
        hosts: dict[str, Counter[State]] = {}
        for job in self.jobs():
            hosts.setdefault(job.host, Counter())[job.state] += 1
        return hosts

    def __repr__(self) -> str:
        return f"<Run {str(self.directory)!r}>"


def kind_of(error: str) -> str:
    """Return the kind of an error from its text: `HTTP 404`, or the words before the colon."""
    words = error.split()
    if len(words) > 1 and words[0] == "HTTP" and words[1].rstrip(":").isdecimal():
        return f"HTTP {words[1].rstrip(':')}"
    return error.partition(":")[0]


def _record(row: Row) -> JobRecord:
    return JobRecord(
        row.url,
        row.name,
        State(row.state),
        row.host,
        row.status,
        row.etag,
        row.modified,
        row.size,
        row.digest,
        row.attempts,
        row.error,
        _when(row.started),
        _when(row.ended),
        row.waited or 0.0,
    )


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
