"""What is known of a transfer under way, as the journal and the caller are told it."""

from __future__ import annotations

import time
from pathlib import Path

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
    """

    def __init__(self, task: Task, index: int, directory: Path, tries: Tries) -> None:
        self._job = task.job
        self.row = task.row
        self._index = index
        self._directory = directory
        self._tries = tries
        self._started = time.time()
        #: Of the last response; the validators are those of the body that is being stored.
        self.status: int | None = None
        self.etag = task.row.etag
        self.modified = task.row.modified
        #: Whether a request is under way that `tries` has not counted yet.
        self.is_sending = False
        #: Seconds for which that request waited for a place.
        self.waited = 0.0

    def update(
        self,
        state: State,
        *,
        size: int | None = None,
        digest: str | None = None,
        error: str | None = None,
    ) -> Update:
        """Return what the journal is told; what is None is written as unknown."""
        return Update(
            self.row.id,
            int(state),  # SQLite takes a plain number twice as fast as an enum
            self.status,
            self.etag,
            self.modified,
            size,
            digest,
            self.row.attempts + self._tries.sent + self.is_sending,
            error,
            self._started,
            time.time(),
            round(self._tries.waited + self.waited, 3) or None,
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
        return result_in(
            self._directory,
            self._job.url,
            state,
            self.row.name,
            is_new,
            self.status,
            problem,
            kind,
            self._index,
            self._tries.sent + self.is_sending,
            self._tries.elapsed,
            size,
            digest,
            self.etag,
            self.modified,
            error,
            self._job,
        )
