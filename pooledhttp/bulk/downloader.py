"""Has a worker do one transfer after the other, and passes on what became of them.

A small file of a plain job comes the shortest way, if all is as usual: `OwnSession.fetch` returns
its body, and the disk stores it. Anything else is a `Transfer`, which goes on with what was begun.

A transfer that has received its body leaves the rest to the disk. Where the disk does that later,
the worker goes on with another item, and the follower is told the result.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import Any, BinaryIO, Protocol

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.bulk.asking import PLAIN_FIELDS
from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.bodies import MEASURED_BYTES
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.disk import Ended
from pooledhttp.bulk.ending import Ending
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.protocols import Requester
from pooledhttp.bulk.rates import Allowance
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.retrying import Again
from pooledhttp.bulk.space import Space
from pooledhttp.bulk.stopping import RunStopped, ends_run
from pooledhttp.bulk.transfer import Transfer
from pooledhttp.bulk.whole_file import as_whole_file
from pooledhttp.bulk.whole_files import WholeFiles
from pooledhttp.bulk.workspace import Task
from pooledhttp.runtime import new_lock
from pooledhttp.transport import WholeResponse

__all__ = ["Downloader", "Follower"]

#: Bytes that were not used are saved up for so long.
_SAVED_SECONDS = 0.25

#: Sizes that are kept until they are added.
_MOST_COUNTED = 1024


class Follower(Protocol):
    """What is told how items have ended on the disk: the engine, as a rule."""

    def deliver(self, results: Sequence[DownloadResult]) -> None:
        """Take the results of items for which a worker has returned none."""

    def go_on(self, entry: Entry[Any], perform: Callable[[], DownloadResult | None]) -> None:
        """Have a worker go on with such an item."""

    def fail(self, error: BaseException) -> None:
        """End the run."""


class Downloader:
    """Does one task after the other; every worker calls it.

    Args:
        session: Sends the requests.
        backend: Where the workers are.
        workspace: The directory and its journal.
        timeout: What each request is given as its timeout.
        again: When to try again.
    """

    def __init__(
        self,
        session: Requester,
        backend: Backend,
        workspace: Space,
        timeout: object,
        again: Again,
    ) -> None:
        self.session = session
        self.runtime = backend.runtime
        self.disk = backend.open_disk(workspace.journal.commit)
        self.disk.on_ended = self._take_ended
        self.disk.on_stored = self._take_stored
        self._run_blocking = backend.run_blocking
        self.workspace = workspace
        self.ending = Ending(workspace)
        folder = workspace.folder
        # Once, since a bound method is an object.
        self.create_part: Callable[[Part], BinaryIO] = folder.create
        self.write_part: Callable[[Part, list[Piece]], None] = folder.write
        #: Of a job that says nothing but its URL.
        self.plain_checks = Checks(Job(""), workspace.options.digest)
        self.timeout = timeout
        self.again = again
        options = workspace.options
        limit = options.limit_rate
        self.allowance = None
        if limit is not None:
            self.allowance = Allowance(limit, _SAVED_SECONDS)
            self.disk.buffers = BufferPool(MEASURED_BYTES)
        self.whole_files = WholeFiles(workspace, self.disk.buffers, self.runtime.now)
        self.disk.storing = self.whole_files.storing
        #: Whether there are limits on how bodies come.
        self.is_watched = not (limit is options.max_size is options.low_speed is None)
        #: Whether small bodies of plain jobs are stored as they come, and no more.
        self._stores_whole = (
            not self.is_watched
            and not options.content_disposition
            and self.whole_files.takes(self.plain_checks)
        )
        self._now = self.runtime.now
        self._received = 0
        #: Sizes of bodies that were counted and not added yet: `append` needs no lock.
        self._counted: list[int] = []
        self._lock = new_lock()  # guards the sum of both
        self._follower: Callable[[], Follower | None] = _no_follower

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies that were written, those of failed attempts included."""
        with self._lock:
            counted = self._counted
            count = len(counted)  # more may be appended meanwhile, behind these
            self._received += sum(counted[:count])
            del counted[:count]
            return self._received

    def count(self, size: int) -> None:
        """Count bytes that a worker has received."""
        counted = self._counted
        counted.append(size)
        if len(counted) > _MOST_COUNTED:
            self.received_bytes  # noqa: B018  # which adds them

    def tell(self, follower: Follower) -> None:
        """Have the ends of items told, so that no worker waits for the disk; it is not kept."""
        self._follower = weakref.ref(follower)

    def __call__(self, entry: Entry[Task]) -> DownloadResult | None:
        """Return the task's result, whatever becomes of it; None if the follower is told it.

        Raises:
            RunStopped: The disk is full, or the journal cannot be written.
        """
        task = entry.item
        job = task.job
        if not job.is_bare:
            transfer = Transfer(self, entry)
            return (
                self._run_blocking(partial(self._run, transfer))
                if job.reads_body
                else self._run(transfer)
            )
        if not self._stores_whole or task.is_conditional or task.row.id in self.workspace.parts:
            return self._run(Transfer(self, entry))
        started, began = time(), self._now()
        try:
            found = self.session.fetch(job.url, PLAIN_FIELDS, self.timeout)
        except Exception:  # the transfer meets it again, and tells it
            found = None
        if isinstance(found, WholeResponse):
            return self._store(entry, found, started, began)
        transfer = Transfer(self, entry)
        if found is None:
            return self._run(transfer)
        transfer.go_on_with(found, started, began)
        try:
            return self._run(transfer)
        finally:
            found.drop()

    def _store(
        self, entry: Entry[Task], found: WholeResponse, started: float, began: float
    ) -> DownloadResult | None:
        """Store a body that has come the shortest way; returns what `__call__` does."""
        task = entry.item
        body, row = found.body, task.row
        size = len(body)
        self.count(size)
        try:
            result: DownloadResult | None = self.disk.store(
                as_whole_file(
                    (
                        entry,
                        row,
                        task.job,
                        entry.index,
                        "",  # no mark: it would let a part be continued, and this one is complete
                        task.replaces,
                        [body],
                        size,
                        200,
                        found.etag,
                        found.modified,
                        row.attempts + 1,
                        1,
                        None,
                        started,
                        began,
                    )
                )
            )
        except Exception as error:
            return self._run(self._transfer_of(entry), error)
        return result

    def _transfer_of(self, owner: Transfer | Entry[Task]) -> Transfer:
        """Return the transfer of a file that could not be stored."""
        if isinstance(owner, Transfer):
            return owner
        transfer = Transfer(self, owner)
        transfer.note_attempt()
        return transfer

    def _run(self, transfer: Transfer, error: Exception | None = None) -> DownloadResult | None:
        try:
            return transfer.run(error)
        except OSError as raised:
            if isinstance(raised, RunStopped) or not ends_run(raised):
                raise
            raise RunStopped.of(raised) from raised

    def _take_stored(self, results: list[DownloadResult]) -> None:
        """Pass on the results of whole files; from any thread."""
        follower = self._follower()
        if follower is not None:
            follower.deliver(results)

    def _take_ended(self, ended: list[Ended]) -> None:
        """Pass on how transfers have ended on the disk; from any thread."""
        follower = self._follower()
        if follower is None:
            return
        follower.deliver([each.value for each in ended if each.error is None])
        for owner, _, error in ended:
            if isinstance(error, Exception):
                transfer = self._transfer_of(owner)
                follower.go_on(transfer.entry, partial(self._run, transfer, error))
            elif error is not None:
                follower.fail(error)


def _no_follower() -> Follower | None:
    """Stand for the follower until there is one."""
    return None
