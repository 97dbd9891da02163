"""Packs jobs for workers in other processes, and unpacks the replies, in the caller's process.

For `download` that is the end of each transfer. All changes of a reply are recorded in the journal
with one commit. Then each part gets its name, which is recorded as well; see `transfer`.
"""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pooledhttp.bulk.ending import foreign_file_problem
from pooledhttp.bulk.fetching import Work
from pooledhttp.bulk.folder import ForeignFile
from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.payloads import Downloaded, DownloadItem, FetchItem, Reply
from pooledhttp.bulk.portable import pack_job, result_of
from pooledhttp.bulk.report import DownloadResult, Result, error_text
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.stopping import RunStopped, ends_run
from pooledhttp.bulk.workspace import Task, Workspace, failed

__all__ = ["DownloadHandler", "FetchHandler"]


class FetchHandler:
    """The jobs of a `fetch`."""

    def job_of(self, work: Work) -> Job:
        """Return the job."""
        return work.job

    def pack(self, index: int, line: str, work: Work, leg: Leg | None) -> FetchItem:
        """Return the item to send to a worker."""
        return FetchItem(index, line, pack_job(work.job), work.store, leg)

    def unpack(self, reply: Reply, works: dict[int, Work]) -> list[tuple[Result, int]]:
        """Return the results of a reply."""
        results = []
        for index, data in reply.results.items():
            if index in works:
                result: Result = pickle.loads(data)
                results.append((replace(result, job=works[index].job), len(data)))
        return results

    def failed(self, index: int, work: Work, error: Exception, attempts: int) -> Result:
        """Return the result of a job that no worker has finished."""
        return Result(work.job.url, error=error, index=index, job=work.job, attempts=attempts)

    def with_attempts(self, result: Result, attempts: int) -> Result:
        """Return a result with this many attempts added."""
        return replace(result, attempts=result.attempts + attempts)

    def again(self, works: list[Work], *, is_gone: bool) -> list[Work]:
        """Return the jobs as they are."""
        return works

    def end(self) -> None:
        """Do nothing: workers share no files."""


class DownloadHandler:
    """The jobs of a `download`.

    Args:
        workspace: The directory, locked by this process.
        lease: A file that is there while workers may work in the directory.
    """

    def __init__(self, workspace: Workspace, lease: str) -> None:
        self._workspace = workspace
        self._lease = lease
        with open(lease, "x"):
            pass

    def job_of(self, work: Task) -> Job:
        """Return the job."""
        return work.job

    def pack(self, index: int, line: str, work: Task, leg: Leg | None) -> DownloadItem:
        """Return the item to send to a worker."""
        return DownloadItem(
            index,
            line,
            pack_job(work.job),
            work.row,
            work.replaces,
            work.is_conditional,
            self._workspace.parts.get(work.row.id),
            leg,
        )

    def unpack(self, reply: Reply, works: dict[int, Task]) -> list[tuple[DownloadResult, int]]:
        """Record what a reply says, name its files, and return its results.

        Raises:
            RunStopped: The disk is full, or the journal cannot be written.
        """
        try:
            return self._unpack(reply, works)
        except OSError as error:
            if ends_run(error):
                raise RunStopped.of(error) from error
            raise

    def _unpack(self, reply: Reply, works: dict[int, Task]) -> list[tuple[DownloadResult, int]]:
        journal = self._workspace.journal
        homes: dict[int, Downloaded] = {
            index: home for index, home in reply.results.items() if index in works
        }
        for note in reply.notes:
            journal.record(note)
        named: dict[int, Update] = {}
        for index, home in homes.items():
            for update in home.updates:
                if home.part is not None and update.state == State.DONE:
                    named[index] = update
                else:
                    journal.record(update)
        journal.commit()
        return [(self._result(works[i], home, named.get(i)), 0) for i, home in homes.items()]

    def _result(self, work: Task, home: Downloaded, done: Update | None) -> DownloadResult:
        workspace, row = self._workspace, work.row
        workspace.parts.pop(row.id, None)
        if home.problem is not None:
            workspace.not_refreshed[row.id] = home.problem
        result = result_of(home.outcome, work.job, row.name, workspace.folder.path)
        if home.part is None or done is None:
            return result
        assert row.name is not None
        workspace.parts[row.id] = home.part  # what is not named now is named at the end of the run
        try:
            workspace.folder.publish(home.part, row.name)
        except ForeignFile as error:
            problem = foreign_file_problem(row.name)
            workspace.journal.record(done._replace(state=int(State.RECEIVED), error=problem))
            return replace(
                result,
                state=State.FAILED,
                is_new=False,
                problem=problem,
                kind="ForeignFile",
                error=error,
                size=0,
                digest=None,
            )
        del workspace.parts[row.id]
        workspace.journal.record(done)
        return result

    def failed(self, index: int, work: Task, error: Exception, attempts: int) -> DownloadResult:
        """Record that a job has failed without a reply from a worker, and return its result."""
        row, workspace = work.row, self._workspace
        text = error_text(error)
        if work.is_conditional:
            workspace.not_refreshed[row.id] = text
        else:
            count = row.attempts + attempts
            workspace.journal.record(Update(row.id, State.FAILED, attempts=count, error=text))
        path = None if row.name is None else workspace.folder.path / row.name
        return replace(failed(work.job, index, error, row.name, path), attempts=attempts)

    def with_attempts(self, result: DownloadResult, attempts: int) -> DownloadResult:
        """Return a result with this many attempts added."""
        return replace(result, attempts=result.attempts + attempts)

    def again(self, works: list[Task], *, is_gone: bool) -> list[Task]:
        """Return jobs with the parts that can be continued.

        A worker that is only cut off may write on. Its parts are removed, so that nothing is added
        to them: what it writes has no name any more.
        """
        rows = {work.row.id for work in works}
        for _, part in list(self._workspace.folder.parts()):
            if part is None or part.row not in rows:
                continue
            if is_gone:
                self._workspace.parts[part.row] = part
            else:
                self._workspace.folder.remove(part)
                self._workspace.parts.pop(part.row, None)
        return [work._replace(row=self._row_of(work)) for work in works]

    def _row_of(self, work: Task) -> Any:
        return self._workspace.journal.row(work.row.id) or work.row

    def end(self) -> None:
        """Remove the file that tells the workers that the run has not ended."""
        with suppress(FileNotFoundError):
            os.unlink(self._lease)
