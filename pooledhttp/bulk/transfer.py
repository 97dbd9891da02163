"""One download in a worker: asks, decides what the response means, receives the body.

What is done with a complete body is in `ending`, and done on the disk's side; see `disk`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from urllib3.exceptions import ProtocolError

from pooledhttp.bulk.accounts import Account
from pooledhttp.bulk.asking import PLAIN_FIELDS, asked_for, can_resume, request_fields
from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.bodies import pieces
from pooledhttp.bulk.body_file import BodyFile
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.disk import Steps
from pooledhttp.bulk.ending import Ending
from pooledhttp.bulk.engine import Requester
from pooledhttp.bulk.flow import Flow
from pooledhttp.bulk.folder import ForeignFile
from pooledhttp.bulk.names import disposition_name
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rates import Allowance
from pooledhttp.bulk.report import DownloadResult, error_text, one_line
from pooledhttp.bulk.responses import (
    Asked,
    Decision,
    Step,
    decide,
    fields_of,
    mark_of,
    stores_coded_form,
    strong_validator,
)
from pooledhttp.bulk.retrying import Again, Tries
from pooledhttp.bulk.rows import Row, State
from pooledhttp.bulk.space import Space
from pooledhttp.bulk.stopping import RunStopped, ends_run
from pooledhttp.bulk.workspace import Task
from pooledhttp.exceptions import (
    InvalidURL,
    RequestException,
)

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Downloader"]

#: Shorter bodies are not worth a row that says how to go on with them.
_RESUMABLE_BYTES = 64 * 1024

#: From here on what is needed to go on with a body is committed without waiting for company.
_COMMIT_BYTES = 4 * 1024 * 1024

#: Bytes that were not used are saved up for so long.
_SAVED_SECONDS = 0.25

#: A server that changes its mind about a body this often does not get asked again at once.
_MAX_RESTARTS = 3

#: States of jobs of which there can be no file.
_UNNAMED = frozenset({State.PENDING, State.RUNNING, State.FAILED})


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
        self._run_blocking = backend.run_blocking
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

    def counter(self) -> Callable[[int], None]:
        """Return what counts bytes that this worker has written."""
        me = self.runtime.current()
        received = self._received
        if me not in received:
            received[me] = 0

        def count(size: int) -> None:
            received[me] += size

        return count

    def __call__(self, entry: Entry[Task]) -> DownloadResult:
        """Return the task's result, whatever becomes of it.

        Raises:
            RunStopped: The disk is full, or the journal cannot be written.
        """
        transfer = _Transfer(self, entry)
        try:
            if entry.item.job.reads_body:
                return self._run_blocking(transfer.run)
            return transfer.run()
        except OSError as error:
            if isinstance(error, RunStopped) or not ends_run(error):
                raise
            raise RunStopped.of(error) from error


class _Transfer:
    """The attempts of one task."""

    def __init__(self, owner: Downloader, entry: Entry[Task]) -> None:
        task = entry.item
        workspace = owner.workspace
        self._counter = owner.counter
        self._session = owner.session
        self._runtime = owner.runtime
        self._disk = owner.disk
        self._workspace = workspace
        self._folder = workspace.folder
        self._journal = workspace.journal
        self._parts = workspace.parts
        self._allowance = owner.allowance
        options = self._options = workspace.options
        #: Whether there are limits on how bodies come.
        self._is_watched = (
            owner.allowance is not None
            or options.max_size is not None
            or options.low_speed is not None
        )
        self._job = task.job
        #: The names of the job's own header fields, in lower case.
        self._checks = Checks(task.job, options.digest)
        self._row = task.row
        self._task = task
        self._tries = Tries(
            owner.again,
            task.job.method,
            owner.timeout,
            owner.runtime,
            can_resend=task.job.can_resend,
            is_resting=partial(owner.session.is_resting, entry.line),
        )
        self._account = Account(task, entry.index, self._folder.path, self._tries, owner.runtime)
        self._ending = Ending(workspace, task, self._account, self._checks)
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
                    return self._disk.run(self._ending.complete(whole))
                result, response = self._attempt()
            except Exception as exc:
                if _stops_everything(exc):
                    raise
                error = exc
            finally:
                self._account.is_sending, self._account.waited = False, 0.0
                self._tries.end(*self._session.leave())
            if result is not None:
                sent = self._tries.sent
                return result if result.attempts == sent else replace(result, attempts=sent)
            if error is not None:
                if not self._tries.goes_on_after_error(error, is_body=self._has_head):
                    return self._ending.failed(error_text(error), type(error).__name__, error)
            elif response is not None and not self._tries.goes_on_after(response):
                return self._ending.failed(self._refusal, f"HTTP {response.status_code}")

    # -- one attempt

    def _attempt(self) -> tuple[DownloadResult | None, Response | None]:
        """Send the request, and do what its response says.

        Returns:
            The result; or the response that was refused; or neither, to begin again.
        """
        job = self._job
        part, validator = self._resumable()
        offset = 0 if part is None else self._folder.part_size(part) or 0
        asked = asked_for(self._task, offset, None if part is None else part.total, validator)
        self._account.is_sending = True
        self._has_head = False
        response = self._send(asked)
        self._has_head = True
        self._account.waited = self._session.waited()
        try:
            self._account.status = response.status_code
            if self._row.name is None:
                raise InvalidURL(f"no file can be named after {one_line(job.url)!r}")
            decision = decide(
                response.status_code, fields_of(response), asked, response.reason or ""
            )
            return self._follow(decision, response, part)
        finally:
            response.close()

    def _send(self, asked: Asked) -> Response:
        job, timeout = self._job, self._tries.timeout()
        headers = request_fields(self._task, asked)
        if headers is PLAIN_FIELDS and job.is_plain:
            return self._session.get(job.url, headers, timeout, stream=True)
        return self._session.request(
            job.method,
            job.url,
            params=job.params,
            data=job.data,
            json=job.json,
            headers=headers,
            timeout=timeout,
            stream=True,
        )

    def _follow(
        self, decision: Decision, response: Response, part: Part | None
    ) -> tuple[DownloadResult | None, Response | None]:
        if decision.step is Step.APPEND and part is not None:
            return self._append(part, response), None
        if decision.step is Step.STORE:
            return self._store(decision, response, part), None
        if decision.step is Step.KEEP:
            return self._ending.unchanged(response), None
        if decision.step is Step.REFUSE:
            self._refusal = decision.reason
            return None, response
        self._ending.drop(part)
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise ProtocolError(f"the server keeps changing the body: {decision.reason}")
        return None, None

    # -- parts

    def _resumable(self) -> tuple[Part | None, str | None]:
        """Return the part that can be continued, with its validator."""
        part = self._parts.get(self._row.id)
        if part is None:
            return None, None
        for validator in (self._account.etag, self._account.modified):
            if validator and part.mark == mark_of(validator) and can_resume(self._job):
                if self._folder.part_size(part):
                    return part, validator
        self._ending.drop(part)
        return None, None

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
            self._ending.drop(part)  # longer than the body: something else has written to it
        return None

    # -- the body

    def _append(self, part: Part, response: Response) -> DownloadResult:
        body = BodyFile(self._disk, partial(self._folder.append, part), self._checks.digest)
        self._receive(body, response, self._folder.part_size(part) or 0, coded=True)
        return self._disk.run(self._ending.complete(part, body))

    def _store(self, decision: Decision, response: Response, old: Part | None) -> DownloadResult:
        self._ending.drop(old)
        headers = fields_of(response)
        if self._options.content_disposition:
            self._take_name(disposition_name(headers.get("Content-Disposition")))
        is_coded = stores_coded_form(self._row.name or "", headers, self._options.decode)
        validator = strong_validator(headers) if is_coded and can_resume(self._job) else None
        length = 0 if self._job.method.upper() == "HEAD" else decision.total
        total = length if is_coded else None
        self._account.etag = headers.get("ETag")
        self._account.modified = headers.get("Last-Modified")
        if self._is_watched:
            Flow(self._options, None, self._runtime).expect(length or 0)
        part = Part(self._row.id, total, mark_of(validator), self._task.replaces)
        self._note_running(part)
        self._parts[self._row.id] = part
        body = BodyFile(
            self._disk,
            partial(self._folder.create, part),
            self._checks.begin_digest,
            partial(self._folder.write, part),
        )
        self._receive(body, response, 0, coded=is_coded)
        return self._disk.run(self._ending.complete(part, body))

    def _take_name(self, name: str | None) -> None:
        """Take the name that the server gives, unless the list gives one, or there is a file."""
        if name is None or self._job.name is not None or self._row.state not in _UNNAMED:
            return
        self._row = self._disk.run(self._renamed(name))
        self._account.row = self._ending.row = self._row

    def _renamed(self, name: str) -> Steps[Row]:
        yield from ()  # its commit is its own
        return self._workspace.rename(self._row, name)

    def _note_running(self, part: Part) -> None:
        """Have the journal remember with what the part can be continued."""
        is_short = part.total is not None and part.total < _RESUMABLE_BYTES
        if part.mark and not is_short and not self._task.is_conditional:
            self._journal.record(self._account.update(State.RUNNING))

    def _receive(self, body: BodyFile, response: Response, here: int, *, coded: bool) -> None:
        """Have the body written as it comes, behind what is here already."""
        flow = None
        if self._is_watched:
            flow = Flow(self._options, self._allowance, self._runtime, here)
        count = self._counter()
        is_committed = False
        try:
            for piece in pieces(response, coded=coded):
                size = len(piece)
                body.write(piece)
                count(size)
                if flow is not None:
                    flow.take(size)
                if body.size >= _COMMIT_BYTES and not is_committed:
                    is_committed = True
                    self._disk.submit(self._commit, 0)
            body.seal()
        except BaseException:
            body.seal()
            self._disk.run(body.giving_up())
            raise

    def _commit(self) -> None:
        with suppress(OSError):  # told by the next commit, which every file needs
            self._journal.commit()


def _stops_everything(exc: Exception) -> bool:
    if isinstance(exc, (RequestException, ForeignFile)):
        return False
    return ends_run(exc)
