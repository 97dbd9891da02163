"""One download in a worker: asks, decides what the response means, receives the body.

What all transfers of a run share is in `downloader`.

What is done with a complete body is in `ending`, and done on the disk's side; see `disk`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from urllib3.exceptions import ProtocolError

from pooledhttp.bulk.accounts import Account
from pooledhttp.bulk.asking import PLAIN_FIELDS, asked_for, can_resume, request_fields
from pooledhttp.bulk.bodies import pieces
from pooledhttp.bulk.body_file import BodyFile
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.disk import Disk, Steps
from pooledhttp.bulk.ending import Ending
from pooledhttp.bulk.flow import Flow
from pooledhttp.bulk.folder import ForeignFile
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.names import disposition_name
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.protocols import Requester
from pooledhttp.bulk.rates import Allowance
from pooledhttp.bulk.report import DownloadResult, error_text, one_line
from pooledhttp.bulk.responses import (
    Asked,
    Decision,
    Fields,
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
from pooledhttp.bulk.stopping import ends_run
from pooledhttp.bulk.workspace import Task
from pooledhttp.exceptions import (
    InvalidURL,
    RequestException,
)

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Transfer", "TransferContext"]

#: Shorter bodies are not worth a row that says how to go on with them.
_RESUMABLE_BYTES = 64 * 1024

#: From here on what is needed to go on with a body is committed without waiting for company.
_COMMIT_BYTES = 4 * 1024 * 1024

#: A server that changes its mind about a body this often does not get asked again at once.
_MAX_RESTARTS = 3

#: States of jobs of which there can be no file.
_UNNAMED = frozenset({State.PENDING, State.RUNNING, State.FAILED})


class TransferContext(Protocol):
    """What the transfers of a run share; see `Downloader`."""

    session: Requester
    runtime: Haltable
    disk: Disk
    workspace: Space
    #: What each request is given as its timeout.
    timeout: object
    again: Again
    #: The bytes a second of all bodies; None for no limit.
    allowance: Allowance | None
    #: Whether there are limits on how bodies come.
    is_watched: bool

    def count(self, size: int) -> None:
        """Count bytes that a worker has received."""


class Transfer:
    """The attempts of one task."""

    _refusal = ""
    _restarts = 0
    _has_head = False
    #: Of this attempt: what is left to do on the disk, the bytes that it keeps, and a response that
    #: is not what was asked for.
    _last_steps: Steps[DownloadResult] | None = None
    _kept_bytes = 0
    _refused: Response | None = None

    def __init__(self, context: TransferContext, entry: Entry[Task]) -> None:
        task = entry.item
        workspace = context.workspace
        self.entry = entry
        self._context = context
        self._session = context.session
        self._folder = workspace.folder
        self._parts = workspace.parts
        self._options = workspace.options
        self._job = task.job
        self._checks = Checks(task.job, workspace.options.digest)
        self._row = task.row
        self._task = task
        self._tries = Tries(
            context.again,
            task.job.method,
            context.timeout,
            context.runtime,
            can_resend=task.job.can_resend,
            is_resting=partial(context.session.is_resting, entry.line),
        )
        self._account = Account(task, entry.index, workspace.folder.path, self._tries)
        self._ending = Ending(workspace, task, self._account, self._checks)

    def run(self, error: Exception | None = None) -> DownloadResult | None:
        """Try until the file is there or there is no point in it.

        Args:
            error: What the last steps have raised, to go on after that.

        Returns:
            The result; None if its last steps are queued for the disk.
        """
        if error is not None and _stops_everything(error):
            raise error
        while True:
            result = None
            if error is None:
                result, error = self._try_once()
            if self._last_steps is not None:
                steps, self._last_steps = self._last_steps, None
                try:
                    return self._context.disk.end(steps, self, self._kept_bytes)
                except Exception as exc:
                    if _stops_everything(exc):
                        raise
                    error = exc
            if result is not None:
                sent = self._tries.sent
                return result if result.attempts == sent else replace(result, attempts=sent)
            refused, self._refused = self._refused, None
            if error is not None:
                if not self._tries.goes_on_after_error(error, is_body=self._has_head):
                    return self._ending.failed(error_text(error), type(error).__name__, error)
                error = None
            elif refused is not None and not self._tries.goes_on_after(refused):
                return self._ending.failed(self._refusal, f"HTTP {refused.status_code}")

    # -- one attempt

    def _try_once(self) -> tuple[DownloadResult | None, Exception | None]:
        """Make an attempt; what it has left to do is in `_last_steps` and `_refused`."""
        self._context.runtime.check()
        try:
            part = self._parts.get(self._row.id)
            if part is None:
                return self._attempt(None, None), None
            if self._is_whole(part):
                return self._context.disk.run(self._ending.complete(part)), None
            return self._attempt(*self._resumable(part)), None
        except Exception as exc:
            if _stops_everything(exc):
                raise
            return None, exc
        finally:
            self._account.is_sending, self._account.waited = False, 0.0
            self._tries.end(*self._session.leave())

    def _attempt(self, part: Part | None, validator: str | None) -> DownloadResult | None:
        """Send the request, and do what its response says; returns the result if that is all.

        Args:
            part: The part that is to be continued; None for none.
            validator: What it is a part of.
        """
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
                raise InvalidURL(f"no file can be named after {one_line(self._job.url)!r}")
            headers = fields_of(response)
            decision = decide(response.status_code, headers, asked, response.reason or "")
            if decision.step is Step.APPEND and not self._stores_coded_form(headers):
                # The part holds no coded bytes, so these are of another representation.
                decision = Decision(Step.RESTART, reason="a part with a Content-Encoding")
            if decision.step is Step.STORE:
                self._store(decision.total, response, headers, part)
                return None
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
    ) -> DownloadResult | None:
        """Do what a response says that has no new body."""
        if decision.step is Step.APPEND and part is not None:
            self._append(part, response, decision.total)
            return None
        if decision.step is Step.KEEP:
            return self._ending.unchanged(response)
        if decision.step is Step.REFUSE:
            self._refusal = decision.reason
            self._refused = response
            return None
        self._ending.drop(part)
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise ProtocolError(f"the server keeps changing the body: {decision.reason}")
        return None

    # -- parts

    def _resumable(self, part: Part) -> tuple[Part | None, str | None]:
        """Return a part if it can be continued, with its validator; else it is removed."""
        if part.row in self._parts:  # `_is_whole` has not removed it
            for validator in (self._account.etag, self._account.modified):
                if validator and part.mark == mark_of(validator) and can_resume(self._job):
                    if self._folder.part_size(part):
                        return part, validator
            self._ending.drop(part)
        return None, None

    def _is_whole(self, part: Part) -> bool:
        """Whether a part is complete already: only the end of the work is missing."""
        size = self._folder.part_size(part)
        if self._row.state == State.RECEIVED and not self._tries.ended:
            is_whole = size == self._row.size
        else:
            is_whole = bool(part.mark) and part.total is not None and size == part.total
        if not is_whole and part.total is not None and (size or 0) > part.total:
            self._ending.drop(part)  # longer than the body: something else has written to it
        return is_whole

    # -- the body

    def _append(self, part: Part, response: Response, total: int | None) -> None:
        body = BodyFile(self._context.disk, partial(self._folder.append, part), self._checks.digest)
        here = self._folder.part_size(part) or 0
        self._receive(part, body, response, here, total, coded=True)

    def _store(
        self, length: int | None, response: Response, headers: Fields, old: Part | None
    ) -> None:
        if old is not None:
            self._ending.drop(old)
        if self._options.content_disposition:
            self._take_name(disposition_name(headers.get("Content-Disposition")))
        is_coded = self._stores_coded_form(headers)
        validator = strong_validator(headers) if is_coded and can_resume(self._job) else None
        if self._job.method.upper() == "HEAD":
            length = 0
        total = length if is_coded else None
        self._account.etag = headers.get("ETag")
        self._account.modified = headers.get("Last-Modified")
        if self._context.is_watched:
            Flow(self._options, None, self._context.runtime).expect(length or 0)
        part = Part(self._row.id, total, mark_of(validator), self._task.replaces)
        self._note_running(part)
        self._parts[self._row.id] = part
        body = BodyFile(
            self._context.disk,
            partial(self._folder.create, part),
            self._checks.begin_digest,
            partial(self._folder.write, part),
            total,
        )
        self._receive(part, body, response, 0, total, coded=is_coded)

    def _stores_coded_form(self, headers: Fields) -> bool:
        return stores_coded_form(self._row.name or "", headers, self._options.decode)

    def _take_name(self, name: str | None) -> None:
        """Take the name that the server gives, unless the list gives one, or there is a file."""
        if name is None or self._job.name is not None or self._row.state not in _UNNAMED:
            return
        self._row = self._context.disk.run(self._renamed(name))
        self._account.row = self._ending.row = self._row

    def _renamed(self, name: str) -> Steps[Row]:
        yield from ()  # its commit is its own
        return self._context.workspace.rename(self._row, name)

    def _note_running(self, part: Part) -> None:
        """Have the journal remember with what the part can be continued."""
        is_short = part.total is not None and part.total < _RESUMABLE_BYTES
        if part.mark and not is_short and not self._task.is_conditional:
            self._context.workspace.journal.record(self._account.update(State.RUNNING))

    def _receive(
        self,
        part: Part,
        body: BodyFile,
        response: Response,
        here: int,
        total: int | None,
        *,
        coded: bool,
    ) -> None:
        """Have the body written as it comes, behind what is here already."""
        context = self._context
        flow = None
        if context.is_watched:
            flow = Flow(self._options, context.allowance, context.runtime, here)
        is_committed = False
        try:
            for piece in pieces(response, coded=coded):
                size = len(piece)
                body.write(piece)
                context.count(size)
                if flow is not None:
                    flow.take(size)
                if body.size >= _COMMIT_BYTES and not is_committed:
                    is_committed = True
                    context.disk.submit(self._commit, 0)
            self._kept_bytes = body.seal()
        except BaseException:
            body.seal()
            context.disk.run(body.giving_up())
            raise
        self._last_steps = self._ending.complete(part, body, total)

    def _commit(self) -> None:
        with suppress(OSError):  # told by the next commit, which every file needs
            self._context.workspace.journal.commit()


def _stops_everything(exc: Exception) -> bool:
    if isinstance(exc, (RequestException, ForeignFile)):
        return False
    return ends_run(exc)
