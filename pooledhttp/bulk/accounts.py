"""What is known of a transfer under way, as the journal and the caller are told it."""

from __future__ import annotations

import time
from pathlib import Path

from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.protocols import Requester
from pooledhttp.bulk.report import DownloadResult, result_in
from pooledhttp.bulk.retrying import Tries
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.workspace import Task

__all__ = ["Account"]


class Account:
    """The account of one task, from its start.

    Args:
        task: The task.
        index: Its place in the input.
        directory: Where its file goes.
        tries: Counts its attempts, and the time.
        session: Sends its requests.
        checks: The checks of its body.
    """

    #: Of the last response.
    status: int | None = None
    #: Whether a request is under way in this thread that `tries` has not counted yet.
    is_sending = False

    def __init__(
        self,
        task: Task,
        index: int,
        directory: Path,
        tries: Tries,
        session: Requester,
        checks: Checks,
    ) -> None:
        self.task = task
        #: Its row, with the name that it has now.
        self.row = task.row
        self.checks = checks
        self._session = session
        self._index = index
        self._directory = directory
        self._tries = tries
        self._started = time.time()
        #: The validators of the body that is being stored.
        self.etag = task.row.etag
        self.modified = task.row.modified

    def update(
        self,
        state: State,
        *,
        size: int | None = None,
        digest: str | None = None,
        error: str | None = None,
    ) -> Update:
        """Return what the journal is told; what is None is written as unknown."""
        row, tries = self.row, self._tries
        attempts, waited = row.attempts + tries.sent, tries.waited
        if self.is_sending:
            attempts += 1
            waited += self._session.waited()
        return Update(
            row.id,
            int(state),  # SQLite takes a plain number twice as fast as an enum
            self.status,
            self.etag,
            self.modified,
            size,
            digest,
            attempts,
            error,
            self._started,
            time.time(),
            (round(waited, 3) or None) if waited else None,
        )

    def result(
        self,
        state: State,
        *,
        size: int = 0,
        digest: str | None = None,
        is_new: bool = False,
        problem: str | None = None,
        kind: str | None = None,
        error: Exception | None = None,
    ) -> DownloadResult:
        """Return what the caller is told."""
        job, tries = self.task.job, self._tries
        return result_in(
            self._directory,
            job.url,
            state,
            self.row.name,
            is_new,
            self.status,
            problem,
            kind,
            self._index,
            tries.sent + self.is_sending,
            tries.elapsed,
            size,
            digest,
            self.etag,
            self.modified,
            error,
            job,
        )
