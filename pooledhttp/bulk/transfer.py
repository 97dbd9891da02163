"""One download in a worker: asks, writes the part, checks it, gives it its name.

```
part complete -> commit `received` with its size -> rename without replacing -> record `done`
```

The order makes every moment safe to be killed in. Before the commit there is only a part, and its
name says what is in it. After it, the next run finds the part, or the file under its name, and
knows by the size that it is whole.
"""

from __future__ import annotations

import os
from dataclasses import replace
from errno import EDQUOT, EIO, ENOSPC, EROFS
from typing import TYPE_CHECKING, BinaryIO

from urllib3.exceptions import ProtocolError

from pooledhttp.bulk.accounts import Account
from pooledhttp.bulk.bodies import pieces, write_all
from pooledhttp.bulk.checks import Checks, Digest
from pooledhttp.bulk.database import JournalError
from pooledhttp.bulk.engine import Requester
from pooledhttp.bulk.flow import Flow, TooLarge
from pooledhttp.bulk.folder import ForeignFile, Part
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.rates import Allowance
from pooledhttp.bulk.report import DownloadResult, error_text, one_line
from pooledhttp.bulk.responses import (
    Asked,
    Decision,
    Step,
    decide,
    mark_of,
    stores_coded_form,
    strong_validator,
)
from pooledhttp.bulk.retrying import Again, Tries
from pooledhttp.bulk.rows import State
from pooledhttp.bulk.workspace import Task, Workspace
from pooledhttp.exceptions import (
    InvalidURL,
    RequestException,
)

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Downloader", "RunStopped"]

#: Shorter bodies are not worth a row that says how to go on with them.
_RESUMABLE_BYTES = 64 * 1024

#: From here on what is needed to go on with a body is committed without waiting for company.
_COMMIT_BYTES = 4 * 1024 * 1024

#: Bytes that were not used are saved up for so long.
_SAVED_SECONDS = 0.25

#: A server that changes its mind about a body this often does not get asked again at once.
_MAX_RESTARTS = 3

#: Errors of the disk that every other file would meet as well.
_STOPPING = frozenset({ENOSPC, EDQUOT, EROFS, EIO})


#: After these there is nothing left to go on with.
_GONE = frozenset({404, 410})


class RunStopped(OSError):
    """The run cannot go on: the disk is full, or the journal cannot be written."""


class Downloader:
    """Does one task after the other; every worker calls it.

    Args:
        session: Sends the requests.
        runtime: How to wait.
        workspace: The directory and its journal.
        timeout: What each request is given as its timeout.
        again: When to try again.
    """

    def __init__(
        self,
        session: Requester,
        runtime: Haltable,
        workspace: Workspace,
        timeout: object,
        again: Again,
    ) -> None:
        self.session = session
        self.runtime = runtime
        self.workspace = workspace
        self.timeout = timeout
        self.again = again
        limit = workspace.options.limit_rate
        self.allowance = None if limit is None else Allowance(limit, _SAVED_SECONDS)
        # Each worker adds to its own number.
        self._received: dict[object, int] = {}

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies that were written, those of failed attempts included."""
        return sum(list(self._received.values()))

    def count_bytes(self, size: int) -> None:
        """Count bytes that a worker has written."""
        me = self.runtime.current()
        self._received[me] = self._received.get(me, 0) + size

    def __call__(self, entry: Entry[Task]) -> DownloadResult:
        """Return the task's result, whatever becomes of it.

        Raises:
            RunStopped: The disk is full, or the journal cannot be written.
        """
        try:
            return _Transfer(self, entry.item, entry.index).run()
        except OSError as error:
            if isinstance(error, RunStopped):
                raise
            if isinstance(error, JournalError) or error.errno in _STOPPING:
                raise RunStopped(
                    error.errno, error.strerror or str(error), error.filename
                ) from error
            raise


class _Transfer:
    """The attempts of one task."""

    def __init__(self, owner: Downloader, task: Task, index: int) -> None:
        self._count_bytes = owner.count_bytes
        self._session = owner.session
        self._runtime = owner.runtime
        self._folder = owner.workspace.folder
        self._journal = owner.workspace.journal
        self._parts = owner.workspace.parts
        self._not_refreshed = owner.workspace.not_refreshed
        self._allowance = owner.allowance
        self._options = owner.workspace.options
        self._job = task.job
        self._checks = Checks(task.job, owner.workspace.options.digest)
        self._row = task.row
        self._task = task
        self._tries = Tries(
            owner.again,
            task.job.method,
            owner.timeout,
            owner.runtime,
            can_resend=task.job.can_resend,
        )
        self._account = Account(task, index, self._folder.path, self._tries, owner.runtime)
        self._restarts = 0
        self._refusal = ""
        self._has_head = False

    def run(self) -> DownloadResult:
        """Try until the file is there or there is no point in it."""
        while True:
            self._runtime.check()
            error: Exception | None = None
            result: DownloadResult | None = None
            response: Response | None = None
            try:
                whole = self._whole_part()
                if whole is not None:
                    return self._complete(whole, None)
                result, response = self._attempt()
            except Exception as exc:
                if _stops_everything(exc):
                    raise
                error = exc
            finally:
                self._account.is_sending = False
                self._tries.end(*self._session.leave())
            if result is not None:
                return replace(result, attempts=self._tries.sent)
            if error is not None:
                if not self._tries.goes_on_after_error(error, is_body=self._has_head):
                    return self._failed(error_text(error), type(error).__name__, error)
            elif response is not None and not self._tries.goes_on_after(response):
                return self._failed(self._refusal, f"HTTP {response.status_code}")

    # -- one attempt

    def _attempt(self) -> tuple[DownloadResult | None, Response | None]:
        """Send the request, and do what its response says.

        Returns:
            The result; or the response that was refused; or neither, to begin again.
        """
        job = self._job
        part, validator = self._resumable()
        asked = self._asked(part, validator)
        self._account.is_sending = True
        self._has_head = False
        response = self._session.request(
            job.method,
            job.url,
            params=job.params,
            data=job.data,
            json=job.json,
            headers=self._headers(asked),
            timeout=self._tries.timeout(),
            stream=True,
        )
        self._has_head = True
        try:
            self._account.status = response.status_code
            if self._row.name is None:
                raise InvalidURL(f"no file can be named after {one_line(job.url)!r}")
            decision = decide(
                response.status_code, response.headers, asked, one_line(response.reason or "")
            )
            return self._follow(decision, response, part)
        finally:
            response.close()

    def _follow(
        self, decision: Decision, response: Response, part: Part | None
    ) -> tuple[DownloadResult | None, Response | None]:
        if decision.step is Step.APPEND and part is not None:
            return self._complete(part, self._append(part, response)), None
        if decision.step is Step.STORE:
            return self._store(decision, response, part), None
        if decision.step is Step.KEEP:
            return self._unchanged(response), None
        if decision.step is Step.REFUSE:
            self._refusal = decision.reason
            return None, response
        self._drop(part)
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise ProtocolError(f"the server keeps changing the body: {decision.reason}")
        return None, None

    def _asked(self, part: Part | None, validator: str | None) -> Asked:
        own = self._own_fields
        offset = 0 if part is None else self._folder.part_size(part) or 0
        return Asked(
            offset=offset,
            total=None if part is None else part.total,
            validator=validator,
            is_conditional=bool(
                self._task.is_conditional or own & {"if-none-match", "if-modified-since"}
            ),
            has_own_range="range" in own,
            accept=self._job.accept,
        )

    def _headers(self, asked: Asked) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if asked.offset and asked.validator is not None:
            headers["Range"] = f"bytes={asked.offset}-"
            headers["If-Range"] = asked.validator
        elif self._task.is_conditional:
            if self._row.etag:
                headers["If-None-Match"] = self._row.etag
            if self._row.modified:
                headers["If-Modified-Since"] = self._row.modified
        for name, value in (self._job.headers or {}).items():
            for same in [key for key in headers if key.lower() == name.lower()]:
                del headers[same]
            headers[name] = value
        return headers

    # -- parts

    def _resumable(self) -> tuple[Part | None, str | None]:
        """Return the part that can be continued, with its validator."""
        part = self._parts.get(self._row.id)
        if part is None:
            return None, None
        for validator in (self._account.etag, self._account.modified):
            if validator and part.mark == mark_of(validator) and self._can_resume:
                if self._folder.part_size(part):
                    return part, validator
        self._drop(part)
        return None, None

    @property
    def _can_resume(self) -> bool:
        return self._job.method.upper() == "GET" and "range" not in self._own_fields

    @property
    def _own_fields(self) -> set[str]:
        return {name.lower() for name in self._job.headers or ()}

    def _whole_part(self) -> Part | None:
        """Return the part if it is complete already: only the end of the work is missing."""
        part = self._parts.get(self._row.id)
        if part is None:
            return None
        size = self._folder.part_size(part)
        if self._row.state == State.RECEIVED and not self._tries.ended:
            is_whole = size == self._row.size
        else:
            is_whole = bool(part.mark) and part.total is not None and size == part.total
        if is_whole:
            return part
        if part.total is not None and (size or 0) > part.total:
            self._drop(part)  # longer than the body: something else has written to it
        return None

    def _drop(self, part: Part | None) -> None:
        if part is not None:
            self._folder.remove(part)
            self._parts.pop(self._row.id, None)

    def _append(self, part: Part, response: Response) -> Digest | None:
        with self._folder.append(part) as file:
            digest = self._checks.digest(file)
            size = self._write(file, response, digest, coded=True)
        self._check_length(part, (self._folder.part_size(part) or 0), size)
        return digest

    def _store(self, decision: Decision, response: Response, old: Part | None) -> DownloadResult:
        self._drop(old)
        headers = response.headers
        is_coded = stores_coded_form(self._row.name or "", headers, self._options.decode)
        validator = strong_validator(headers) if is_coded and self._can_resume else None
        total = decision.total if is_coded else None
        self._account.etag = headers.get("ETag")
        self._account.modified = headers.get("Last-Modified")
        Flow(self._options, None, self._runtime).expect(decision.total or 0)
        part = Part(self._row.id, total, mark_of(validator), self._task.replaces)
        self._note_running(part)
        digest = self._checks.digest()
        with self._folder.create(part) as file:
            self._parts[self._row.id] = part
            size = self._write(file, response, digest, coded=is_coded)
        self._check_length(part, self._folder.part_size(part) or 0, size)
        return self._complete(part, digest)

    def _note_running(self, part: Part) -> None:
        """Have the journal remember with what the part can be continued."""
        is_short = part.total is not None and part.total < _RESUMABLE_BYTES
        if part.mark and not is_short and not self._task.is_conditional:
            self._journal.record(self._account.update(State.RUNNING))

    def _write(
        self, file: BinaryIO, response: Response, digest: Digest | None, *, coded: bool
    ) -> int:
        here = os.fstat(file.fileno()).st_size
        flow = Flow(self._options, self._allowance, self._runtime, here)
        size = 0
        is_committed = False
        for piece in pieces(response, coded=coded):
            write_all(file, piece)
            if digest is not None:
                digest.update(piece)
            size += len(piece)
            self._count_bytes(len(piece))
            flow.take(len(piece))
            if size >= _COMMIT_BYTES and not is_committed:
                is_committed = True
                self._journal.commit()
        return size

    def _check_length(self, part: Part, size: int, received: int) -> None:
        if part.total is not None and size != part.total:
            raise ProtocolError(f"{size} bytes of {part.total} after {received} were received")

    # -- how it ends

    def _complete(self, part: Part, digest: Digest | None) -> DownloadResult:
        """Check a complete part, and give it its name."""
        size = self._folder.part_size(part) or 0
        found, wrong = self._checked(part, size, digest)
        if wrong is not None:
            kept = self._folder.reject(part, self._row.name or "", wrong)
            self._parts.pop(self._row.id, None)
            return self._failed(f"{wrong}; the body is in {kept}", "Rejected")
        self._journal.commit(
            self._journal.record(self._account.update(State.RECEIVED, size=size, digest=found))
        )
        assert self._row.name is not None
        if self._options.mtime and self._account.modified is not None:
            self._folder.set_time(part, self._account.modified)
        try:
            self._folder.publish(part, self._row.name)
        except ForeignFile as error:
            problem = (
                f"ForeignFile: {self._row.name!r} is not ours. Move it away, and the next run only"
                " renames what was received; or use --overwrite (overwrite=True)."
            )
            self._journal.record(
                self._account.update(State.RECEIVED, size=size, digest=found, error=problem)
            )
            return self._account.result(
                State.FAILED, problem=problem, kind="ForeignFile", error=error
            )
        self._parts.pop(self._row.id, None)
        self._journal.record(self._account.update(State.DONE, size=size, digest=found))
        return self._account.result(State.DONE, size=size, digest=found, is_new=True)

    def _checked(
        self, part: Part, size: int, digest: Digest | None
    ) -> tuple[str | None, str | None]:
        """Return the digest to record, and what is wrong with the body."""
        checks = self._checks
        if not checks.reads_body(digest):
            found = checks.text(digest)
            return found, checks.wrong(size, found, None)
        with self._folder.read(part) as file:
            found = checks.text(digest or checks.digest(file))
            file.seek(0)
            return found, checks.wrong(size, found, file)

    def _unchanged(self, response: Response) -> DownloadResult:
        """The server says that the file is current."""
        row = self._row
        if not self._task.is_conditional:
            # The job's own condition. There may be no file of ours, and nothing is to be written.
            size = self._folder.size_of(row.name or "")
            self._journal.record(self._account.update(State.UNCHANGED, size=size))
            return self._account.result(State.UNCHANGED, size=size or 0)
        self._account.etag = response.headers.get("ETag", row.etag)
        self._account.modified = response.headers.get("Last-Modified", row.modified)
        self._journal.record(
            self._account.update(State.UNCHANGED, size=row.size, digest=row.digest)
        )
        return self._account.result(State.UNCHANGED, size=row.size or 0, digest=row.digest)

    def _failed(self, problem: str, kind: str, error: Exception | None = None) -> DownloadResult:
        part = self._parts.get(self._row.id)
        is_useless = self._account.status in _GONE or isinstance(error, TooLarge)
        if part is not None and (not part.mark or is_useless):
            self._drop(part)
        if self._task.is_conditional:
            self._not_refreshed[self._row.id] = problem  # the file is there all the same
        else:
            self._journal.record(self._account.update(State.FAILED, error=problem))
        return self._account.result(State.FAILED, problem=problem, kind=kind, error=error)


def _stops_everything(exc: Exception) -> bool:
    if isinstance(exc, (RequestException, ForeignFile)):
        return False
    return isinstance(exc, JournalError) or getattr(exc, "errno", None) in _STOPPING


def is_disk_full(exc: OSError) -> bool:
    """Whether an error says that there is no room on the disk."""
    return exc.errno in (ENOSPC, EDQUOT)
