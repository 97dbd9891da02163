"""The directory of a run and its journal: gives names to jobs, and finds what is left to do.

Everything here happens in the caller's thread, in the order of the input. A job that comes up is
looked up in the journal:

```
not there                 -> a name is claimed, the row is added, the job is to be done
pending, running, failed  -> to be done, under the name it has
received                  -> only its rename is missing
done, unchanged           -> the file is looked at
      has its size        -> nothing to do, or a conditional request with `refresh`
      is gone, or empty   -> to be done again
      has another size    -> a failure: the file is not the one that was fetched
```

Jobs are registered in batches, one commit for each, so every name is committed before a byte is
asked for under it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from pooledhttp.bulk.claims import Claims
from pooledhttp.bulk.folder import ForeignFile, RunFolder
from pooledhttp.bulk.jobs import Job, bare_jobs
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.leftovers import Leftovers
from pooledhttp.bulk.names import candidates
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.plain_lines import PlainLines
from pooledhttp.bulk.report import DownloadResult, error_text
from pooledhttp.bulk.row_set import RowSet
from pooledhttp.bulk.rows import FETCHED, Row, State, Update
from pooledhttp.bulk.urls import network_location
from pooledhttp.runtime import default_runtime

__all__ = ["Options", "Task", "Workspace", "failed"]


#: After this many seconds, the workers of a killed run do not write any more.
_WORKERS_END_SECONDS = 2.5


#: Errors of naming a job, which may be those of a function of the caller. They fail this job alone.
_OF_ONE_JOB = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Task(NamedTuple):
    """A job that is to be done.

    Args:
        job: The job.
        row: Its row.
        replaces: The size of the file that may be replaced, -1 for any, None for none.
        is_conditional: Whether the file is there, and only a newer version is wanted.
        line: The queue it stands in; see `Job.line`.
    """

    job: Job
    row: Row
    replaces: int | None = None
    is_conditional: bool = False
    line: str = ""


#: Not by `Task()`, whose `__new__` is a function in Python.
_as_task = partial(tuple.__new__, Task)


class Workspace:
    """A locked directory with its open journal.

    Args:
        directory: The directory; made when it is missing.
        options: How to treat what is there.

    Raises:
        DirectoryInUse: Another run has the directory.
        JournalError: The journal is broken, or from a newer version.
        OSError: Something cannot be made or opened.
    """

    def __init__(self, directory: str | os.PathLike[str], options: Options) -> None:
        self.options = options
        self.folder = RunFolder(directory, shard=options.shard)
        try:
            if self.folder.had_workers:  # they look once a second whether their run goes on
                default_runtime().sleep(_WORKERS_END_SECONDS)
            if options.rebuild:
                self.folder.set_journal_aside()
            self.journal = Journal(self.folder.journal_path)
        except BaseException:
            self.folder.close()
            raise
        self._claims = Claims(options, self.journal, self.folder)
        self._leftovers = Leftovers(self.journal, self.folder)
        #: Parts that a later attempt may use, by row. A worker touches those of its own row.
        self.parts = self._leftovers.parts
        #: One bit for each row: whether its job was in the input of this run.
        self._seen = RowSet()
        #: The rows whose jobs say more than a URL can.
        self._beyond_url = RowSet()
        #: What is wrong with files that were fetched: changed, or not refreshed. By row.
        self.not_refreshed: dict[int, str] = {}
        try:
            self._leftovers.recover()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the journal and free the lock. Doing it twice does nothing."""
        self.journal.close()
        self.folder.close()

    # -- the input

    @contextmanager
    def batch(self, lines: int) -> Iterator[None]:
        """Commit all that the block registers, or nothing; `lines` is the most it registers."""
        with self.journal.transaction(), self._claims.batch(lines):
            yield

    def register(self, job: Job, index: int) -> Task | DownloadResult | None:
        """Look a job up, or add it, inside a `batch`.

        Returns:
            What is to be done; or the result, if nothing is; or None for a job that was in the
            input of this run before.

        Raises:
            OSError: The directory cannot be read, or the journal not be written.
        """
        try:
            url, identity = job.identity()
        except TypeError as error:
            return failed(job, index, error)
        row = self.journal.find(url, identity)
        if row is None:
            try:
                row = self._add(job, url, identity)
            except _OF_ONE_JOB as error:
                return failed(job, index, error)
        elif self.was_seen(row.id):
            return None
        elif row.url != url:
            self.journal.set_url(row.id, url)
            row = row._replace(url=url)
        self._seen.add(row.id)
        if not job.is_said_by_url:
            self._beyond_url.add(row.id)
        return self._next_step(job, row, index)

    def plain_lines(self, items: Sequence[object]) -> PlainLines | None:
        """Return the items of a batch in the form that `register_plain` takes, inside that `batch`.

        Returns:
            None where `register` has to look at each.
        """
        if self.options.adopt or not self.journal.takes_plain:
            return None
        return self._claims.plain_lines(items)

    def register_plain(self, lines: PlainLines, start: int) -> list[Task]:
        """Add plain URLs, as `register` would one by one, inside a `batch`.

        Args:
            lines: The items of the batch.
            start: The first of them to add.

        Returns:
            What is to be done, up to the first item that is for `register`.
        """
        if self.journal.has_folders:  # one may have the name
            return []
        rows = self.journal.add_plain(lines, start)
        if not rows:
            return []
        end = start + len(rows)
        self._seen.add_range(rows[0].id, len(rows))
        jobs = bare_jobs(lines.urls[start:end])
        replaces = repeat(-1 if self.options.overwrite else None, len(rows))
        return list(
            map(
                _as_task,
                zip(jobs, rows, replaces, repeat(False), lines.lines[start:end], strict=False),
            )
        )

    def rename(self, row: Row, name: str) -> Row:
        """Give a job of which there is no file yet the name that its server says.

        Returns:
            Its row, with that name, or with one that has its mark if another job or file has it.

        Raises:
            OSError: The journal cannot be written.
        """
        identity = row.identity or row.url
        folder = (row.name or "").rpartition("/")[0]
        wanted = f"{folder}/{name}" if folder else name
        if row.name in list(candidates(wanted, identity.encode("utf-8", "surrogatepass"))):
            return row
        with self.journal.transaction():
            name, key = self._claims.claim_name(wanted, identity)
            self.journal.set_name(row.id, name, key)
        return row._replace(name=name)

    def was_seen(self, number: int) -> bool:
        """Whether the job of a row was in the input of this run."""
        return number in self._seen

    def is_said_by_url(self, row: Row) -> bool:
        """Whether the URL of a row alone says what its job in this run is."""
        return row.id not in self._beyond_url

    def unfinished(self) -> Iterator[Row]:
        """Yield the rows of this run's input that are not fetched."""
        for row in self.journal.rows(State.PENDING, State.RUNNING, State.RECEIVED, State.FAILED):
            if self.was_seen(row.id):
                yield row
        for number, problem in sorted(self.not_refreshed.items()):
            found = self.journal.row(number)
            if found is not None:
                yield found._replace(error=problem)

    def is_fetched(self, job: Job) -> bool:
        """Whether a job that was not registered in this run has its file."""
        try:
            row = self.journal.find(*job.identity())
        except TypeError:
            return False
        return row is not None and row.state in FETCHED and self._size(row) == row.size

    def drop_parts(self, *, everything_was_read: bool) -> None:
        """Remove the parts that no later run can use.

        Args:
            everything_was_read: Whether the input came to its end. If so, a job that was not in it
                is not wanted any more, and its part goes as well.
        """
        self._leftovers.drop_parts(lambda row: self.was_seen(row) or not everything_was_read)

    def finish_renames(self) -> None:
        """Commit, and give every part that is received its name.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        self._leftovers.finish_renames()

    # -- inside

    def _next_step(self, job: Job, row: Row, index: int) -> Task | DownloadResult:
        options = self.options
        anything = -1 if options.overwrite else None
        line = job.line  # now, since the URL has just been parsed
        if row.state not in FETCHED:
            if options.adopt and row.state in (State.PENDING, State.FAILED):
                size = self._size(row)
                if size is not None and size >= 0 and self._is_complete(job, row, size):
                    return self._adopt(job, row, size, index)
            return Task(job, row, anything, line=line)
        size = self._size(row)
        if size is None:
            return Task(job, row, anything, line=line)
        if size == row.size:
            if options.refresh:
                return Task(job, row, -1 if options.overwrite else size, True, line)
            return self._ready(job, row, index)
        if size == 0 and row.size:
            # A crash of the machine took the content: there is nothing to lose.
            return Task(job, row, 0, line=line)
        if options.overwrite:
            return Task(job, row, -1, line=line)
        reason = "not a regular file any more" if size < 0 else f"{size} bytes, not {row.size}"
        exc = ForeignFile(
            f"{row.name!r} is not the file that was fetched ({reason}). Move it away to fetch it"
            " again, or use --overwrite (overwrite=True)."
        )
        self.not_refreshed[row.id] = error_text(exc)
        return failed(job, index, exc, row.name, self._path(row))

    def _add(self, job: Job, url: str, identity: str | None) -> Row:
        host = network_location(url)
        if not host:
            return self.journal.add(url, identity, None, None, "")  # it fails when it is sent
        name, key = self._claims.claim(job, identity or url)
        return self.journal.add(url, identity, name, key, host)

    def _adopt(self, job: Job, row: Row, size: int, index: int) -> DownloadResult:
        self.journal.record(Update(row.id, State.DONE, size=size))
        return self._ready(job, row._replace(state=State.DONE, size=size), index)

    def _is_complete(self, job: Job, row: Row, size: int) -> bool:
        """Whether a file that another program left seems whole."""
        if job.size is not None and size != job.size:
            return False
        return self.folder.size_of(f"{row.name}.aria2") is None  # aria2's mark of an unfinished one

    def _ready(self, job: Job, row: Row, index: int) -> DownloadResult:
        return DownloadResult(
            job.url,
            State(row.state),
            row.name,
            self._path(row),
            status=row.status,
            index=index,
            size=row.size or 0,
            digest=row.digest,
            etag=row.etag,
            last_modified=row.modified,
            job=job,
        )

    def _path(self, row: Row) -> Path | None:
        return None if row.name is None else self.folder.path / row.name

    def _size(self, row: Row) -> int | None:
        return None if row.name is None else self.folder.size_of(row.name)


def failed(
    job: Job | None,
    index: int,
    error: Exception,
    name: str | None = None,
    path: Path | None = None,
    url: str = "",
) -> DownloadResult:
    """Return the result of a job that failed without a request."""
    return DownloadResult(
        url if job is None else job.url,
        State.FAILED,
        name,
        path,
        problem=error_text(error),
        kind=type(error).__name__,
        index=index,
        error=error,
        job=job,
    )
