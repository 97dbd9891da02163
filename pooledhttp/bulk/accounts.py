"""What is known of a running transfer, for the journal and for the result."""

from __future__ import annotations

import time
from typing import Protocol

from pooledhttp.buffers import Piece
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.protocols import Requester
from pooledhttp.bulk.report import DownloadResult, result_of
from pooledhttp.bulk.retrying import Tries
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.space import Space
from pooledhttp.bulk.whole_file import WholeFile, as_whole_file
from pooledhttp.bulk.workspace import Task

__all__ = ["Account"]


class AccountContext(Protocol):
    """What an account needs of the run."""

    session: Requester
    workspace: Space


class Account:
    """The account of one task, from its start.

    Args:
        task: The task.
        index: Its place in the input.
        context: Where its file goes, and what sends its requests.
        tries: Counts its attempts, and the time.
        checks: The checks of its body.
    """

    # Slots: attributes that are set later than in `__init__` would give each object a dict.
    __slots__ = (
        *("_context", "_index", "_tries", "checks", "etag", "is_sending", "modified"),
        *("row", "started", "status", "task"),
    )

    def __init__(
        self,
        task: Task,
        index: int,
        context: AccountContext,
        tries: Tries,
        checks: Checks,
    ) -> None:
        self.task = task
        #: Its row, with the name that it has now.
        self.row = row = task.row
        self.checks = checks
        self._context = context
        self._index = index
        self._tries = tries
        #: When it was begun, in seconds since 1970.
        self.started = time.time()
        #: Of the last response.
        self.status: int | None = None
        #: Whether a request is under way in this thread that `tries` has not counted yet.
        self.is_sending = False
        #: The validators of the body that is being stored.
        self.etag = row.etag
        self.modified = row.modified

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
            waited += self._context.session.waited()
        # Not by `Update()`, whose `__new__` is a function in Python.
        return tuple.__new__(
            Update,
            (
                row.id,
                int(state),  # SQLite takes a plain number twice as fast as an enum
                self.status,
                self.etag,
                self.modified,
                size,
                digest,
                attempts,
                error,
                self.started,
                time.time(),
                _told_wait(waited),
            ),
        )

    def whole_file(self, owner: object, part: Part, pieces: list[Piece], size: int) -> WholeFile:
        """Return the body, with all that is told of it; no request is under way any more.

        Args:
            owner: What is told if the file cannot be stored.
            part: The part that it is to be.
            pieces: The body.
            size: Its bytes.
        """
        row, job, tries = self.row, self.task.job, self._tries
        waited = tries.waited
        return as_whole_file(
            (
                owner,
                row,
                job,
                self._index,
                part.mark,
                part.replaces,
                pieces,
                size,
                self.status,
                self.etag,
                self.modified,
                row.attempts + tries.sent,
                tries.sent,
                _told_wait(waited),
                self.started,
                tries.began,
            )
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
        return result_of(
            {
                "url": job.url,
                "state": state,
                "name": self.row.name,
                "_directory": self._context.workspace.folder.path,
                "is_new": is_new,
                "status": self.status,
                "problem": problem,
                "kind": kind,
                "index": self._index,
                "attempts": tries.sent + self.is_sending,
                "elapsed": tries.elapsed,
                "size": size,
                "digest": digest,
                "etag": self.etag,
                "last_modified": self.modified,
                "error": error,
                "job": job,
            }
        )


def _told_wait(seconds: float) -> float | None:
    """Return a wait as the journal is told it: to the millisecond, None for none."""
    return round(seconds, 3) or None if seconds else None
