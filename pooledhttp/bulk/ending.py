"""How a download ends: its body is checked and gets its name, or it failed.

```
part complete -> commit `received` with its size -> rename without replacing -> record `done`
```

The order makes every moment safe to be killed in. Before the commit there is only a part, and its
name says what is in it. After it, the next run finds the part, or the file under its name, and
knows by the size that it is whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3.exceptions import ProtocolError

from pooledhttp.bulk.accounts import Account
from pooledhttp.bulk.body_file import BodyFile
from pooledhttp.bulk.checks import Checks, Digest
from pooledhttp.bulk.disk import Steps
from pooledhttp.bulk.flow import TooLarge
from pooledhttp.bulk.folder import ForeignFile
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.space import Space

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Ending", "foreign_file_problem"]

#: After these the part is not used again.
_GONE = frozenset({404, 410})


class Ending:
    """The ends of a run's tasks.

    Args:
        workspace: The directory and its journal.
    """

    def __init__(self, workspace: Space) -> None:
        self._workspace = workspace
        self._folder = workspace.folder
        self._journal = workspace.journal
        self._parts = workspace.parts
        self._sets_time = workspace.options.mtime

    def complete(
        self,
        account: Account,
        part: Part,
        body: BodyFile | None = None,
        total: int | None = None,
    ) -> Steps[DownloadResult]:
        """Return the steps that check a part and give it its name.

        Args:
            account: What happened to its task so far.
            part: The part.
            body: Its body, if this attempt has received it; None for a part that was complete.
            total: The length of the whole body, as the last response says it; None if it does not.
        """
        received = size = digest = None
        if body is not None:
            body.complete()
            received, digest = body.size, body.digest
            if body.was_written_whole:
                size = received
        if size is None:
            size = self._folder.part_size(part) or 0
        if received is not None and total is not None and size != total:
            raise ProtocolError(f"{size} bytes of {total} after {received} were received")
        found = None
        if not account.checks.are_empty:
            found, wrong = self._checked(account.checks, part, size, digest)
            if wrong is not None:
                kept = self._folder.reject(part, account.row.name or "", wrong)
                self._parts.pop(part.row, None)
                return self.failed(account, f"{wrong}; the body is in {kept}", "Rejected")
        change = account.update(State.RECEIVED, size=size, digest=found)
        yield self._journal.record(change)
        return self._publish(account, part, change)

    def unchanged(self, account: Account, response: Response) -> DownloadResult:
        """Return the result when the server says that the file is current."""
        row = account.row
        if not account.task.is_conditional:
            # The job's own condition. There may be no file of ours, and nothing is to be written.
            size = self._folder.size_of(row.name or "")
            self._journal.record(account.update(State.UNCHANGED, size=size))
            return account.result(State.UNCHANGED, size=size or 0)
        account.etag = response.headers.get("ETag", row.etag)
        account.modified = response.headers.get("Last-Modified", row.modified)
        self._journal.record(account.update(State.UNCHANGED, size=row.size, digest=row.digest))
        return account.result(State.UNCHANGED, size=row.size or 0, digest=row.digest)

    def failed(
        self, account: Account, problem: str, kind: str, error: Exception | None = None
    ) -> DownloadResult:
        """Record a failure, and return the result."""
        number = account.row.id
        part = self._parts.get(number)
        is_useless = account.status in _GONE or isinstance(error, TooLarge)
        if part is not None and (not part.mark or is_useless):
            self.drop(part)
        if account.task.is_conditional:
            self._workspace.not_refreshed[number] = problem  # the file is there all the same
        else:
            self._journal.record(account.update(State.FAILED, error=problem))
        return account.result(State.FAILED, problem=problem, kind=kind, error=error)

    def drop(self, part: Part | None) -> None:
        """Remove a part that is not needed any more."""
        if part is not None:
            self._folder.remove(part)
            self._parts.pop(part.row, None)

    # -- inside

    def _publish(self, account: Account, part: Part, received: Update) -> DownloadResult:
        """Give a part its name."""
        name, size, digest = account.row.name, received.size or 0, received.digest
        assert name is not None
        if self._sets_time and account.modified is not None:
            self._folder.set_time(part, account.modified)
        try:
            self._folder.publish(part, name)
        except ForeignFile as error:
            problem = foreign_file_problem(name)
            self._journal.record(
                account.update(State.RECEIVED, size=size, digest=digest, error=problem)
            )
            return account.result(State.FAILED, problem=problem, kind="ForeignFile", error=error)
        self._parts.pop(part.row, None)
        # With nothing else changed, it takes ten bytes of the journal's tail.
        self._journal.record(received.in_state(State.DONE))
        return account.result(State.DONE, size=size, digest=digest, is_new=True)

    def _checked(
        self, checks: Checks, part: Part, size: int, digest: Digest | None
    ) -> tuple[str | None, str | None]:
        """Return the digest to record, and what is wrong with the body."""
        if not checks.reads_body(digest):
            found = checks.text(digest)
            return found, checks.wrong(size, found, None)
        with self._folder.read(part) as file:
            found = checks.text(digest or checks.digest(file))
            file.seek(0)
            return found, checks.wrong(size, found, file)


def foreign_file_problem(name: str) -> str:
    """Return the problem of a body that was received and cannot get its name."""
    return (
        f"ForeignFile: {name!r} is not ours. Move it away, and the next run only renames what was"
        " received; or use --overwrite (overwrite=True)."
    )
