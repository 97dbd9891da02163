"""One download in a worker: asks, decides what the response means, receives the body.

What all transfers of a run share is in `downloader`.

What is done with a complete body is in `ending`, and done on the disk's side; see `disk`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Protocol

from urllib3.exceptions import ProtocolError

from pooledhttp.buffers import Piece
from pooledhttp.bulk.accounts import Account
from pooledhttp.bulk.asking import PLAIN_FIELDS, ask, can_resume
from pooledhttp.bulk.bodies import pieces, translate
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
    Decision,
    Fields,
    Step,
    decide,
    fields_of,
    length_of,
    mark_of,
    stores_coded_form,
    strong_validator,
    validators_of,
)
from pooledhttp.bulk.retrying import Again, Tries
from pooledhttp.bulk.rows import Row, State
from pooledhttp.bulk.space import Space
from pooledhttp.bulk.stopping import ends_run
from pooledhttp.bulk.whole_files import WholeFiles
from pooledhttp.bulk.workspace import Task
from pooledhttp.exceptions import (
    InvalidURL,
    RequestException,
)

if TYPE_CHECKING:
    from pooledhttp.bulk.direct import BegunGet
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
    ending: Ending
    whole_files: WholeFiles
    #: Methods of the folder.
    create_part: Callable[[Part], BinaryIO]
    write_part: Callable[[Part, list[Piece]], None]
    #: The checks of a job that says nothing but its URL.
    plain_checks: Checks
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

    # Slots: attributes that are set later than in `__init__` would give each object a dict.
    __slots__ = (
        *(
            "_account",
            "_begun",
            "_context",
            "_has_head",
            "_is_bare",
            "_job",
            "_kept_bytes",
            "_last_steps",
        ),
        *("_refusal", "_refused", "_restarts", "_task", "_tries", "_whole", "entry"),
    )

    def __init__(self, context: TransferContext, entry: Entry[Task]) -> None:
        task = entry.item
        self.entry = entry
        self._context = context
        self._task = task
        self._job = job = task.job
        self._is_bare = is_bare = job.is_bare
        self._tries = tries = Tries(
            context.again,
            job.method,
            context.timeout,
            context.runtime,
            can_resend=is_bare or job.can_resend,
            hosts=context.session,
            line=entry.line,
        )
        checks = context.plain_checks if is_bare else Checks(job, context.workspace.options.digest)
        self._account = Account(task, entry.index, context, tries, checks)
        self._restarts = self._kept_bytes = 0
        self._has_head = False
        self._begun: BegunGet | None = None
        # Of this attempt: a whole body that is to be stored; or what is left to do on the disk, and
        # the bytes that it keeps. And a response that is not what was asked for.
        self._whole: tuple[Part, list[Piece], int] | None = None
        self._last_steps: Steps[DownloadResult] | None = None
        self._refused: Response | None = None
        self._refusal = ""

    def go_on_with(self, begun: BegunGet, started: float, began: float) -> None:
        """Have the first attempt go on with a request.

        Args:
            begun: The request.
            started: When it was begun, in seconds since 1970.
            began: The same by the clock of the run.
        """
        self._begun = begun
        self._account.started = started
        self._tries.began = began

    def note_attempt(self) -> None:
        """Note that there was an attempt, whose body cannot be stored."""
        self._tries.end(1, 0.0)

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
            if self._whole is not None or self._last_steps is not None:
                try:
                    return self._end()
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
                    return self._failed(error_text(error), type(error).__name__, error)
                error = None
            elif refused is not None and not self._tries.goes_on_after(refused):
                return self._failed(self._refusal, f"HTTP {refused.status_code}")

    def _end(self) -> DownloadResult | None:
        """Hand the body to the disk; returns the result if that is there at once."""
        whole, self._whole = self._whole, None
        if whole is not None:
            result: DownloadResult | None = self._context.disk.store(
                self._account.whole_file(self, *whole)
            )
            return result
        steps, self._last_steps = self._last_steps, None
        assert steps is not None
        return self._context.disk.end(steps, self, self._kept_bytes)

    def _failed(self, problem: str, kind: str, error: Exception | None = None) -> DownloadResult:
        return self._context.ending.failed(self._account, problem, kind, error)

    # -- one attempt

    def _try_once(self) -> tuple[DownloadResult | None, Exception | None]:
        """Make an attempt; what it has left to do is in `_last_steps` and `_refused`."""
        context = self._context
        context.runtime.check()
        try:
            part = context.workspace.parts.get(self._task.row.id)
            if part is None:
                return self._attempt(None, None), None
            if self._is_whole(part):
                return context.disk.run(context.ending.complete(self._account, part)), None
            return self._attempt(*self._resumable(part)), None
        except Exception as exc:
            if _stops_everything(exc):
                raise
            return None, exc
        finally:
            sent, waited = context.session.leave()
            was_sent, self._account.is_sending = self._account.is_sending, False
            self._tries.end(sent if was_sent else 0, waited)

    def _attempt(self, part: Part | None, validator: str | None) -> DownloadResult | None:
        """Send the request, and do what its response says; returns the result if that is all.

        Args:
            part: The part that is to be continued; None for none.
            validator: What it is a part of.
        """
        if part is None:
            asked, fields = ask(self._task)
        else:
            offset = self._context.workspace.folder.part_size(part) or 0
            asked, fields = ask(self._task, offset, part.total, validator)
        account = self._account
        account.is_sending = True
        self._has_head = False
        response = self._send(fields)
        self._has_head = True
        try:
            account.status = status = response.status_code
            if account.row.name is None:
                raise InvalidURL(f"no file can be named after {one_line(self._job.url)!r}")
            headers = fields_of(response)
            if status == 200:  # as nearly always; `decide` would say the same
                self._store(length_of(headers), response, headers, part)
                return None
            decision = decide(status, headers, asked, response.reason or "")
            if decision.step is Step.APPEND and not stores_coded_form(
                account.row.name or "", headers, self._context.workspace.options.decode
            ):
                # The part holds no coded bytes, so these are of another representation.
                decision = Decision(Step.RESTART, reason="a part with a Content-Encoding")
            if decision.step is Step.STORE:
                self._store(decision.total, response, headers, part)
                return None
            return self._follow(decision, response, part)
        finally:
            response.close()

    def _send(self, headers: Mapping[str, str]) -> Response:
        job, timeout = self._job, self._tries.timeout()
        begun, self._begun = self._begun, None
        if begun is not None:
            return begun.response(timeout)
        if headers is PLAIN_FIELDS and (self._is_bare or job.is_plain):
            return self._context.session.get(job.url, headers, timeout, stream=True)
        return self._context.session.request(
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
            return self._context.ending.unchanged(self._account, response)
        if decision.step is Step.REFUSE:
            self._refusal = decision.reason
            self._refused = response
            return None
        self._context.ending.drop(part)
        self._restarts += 1
        if self._restarts > _MAX_RESTARTS:
            raise ProtocolError(f"the server keeps changing the body: {decision.reason}")
        return None

    # -- parts

    def _resumable(self, part: Part) -> tuple[Part | None, str | None]:
        """Return a part if it can be continued, with its validator; else it is removed."""
        workspace = self._context.workspace
        if part.row in workspace.parts:  # `_is_whole` has not removed it
            for validator in (self._account.etag, self._account.modified):
                if validator and part.mark == mark_of(validator) and can_resume(self._job):
                    if workspace.folder.part_size(part):
                        return part, validator
            self._context.ending.drop(part)
        return None, None

    def _is_whole(self, part: Part) -> bool:
        """Whether a part is complete already: only the end of the work is missing."""
        size, row = self._context.workspace.folder.part_size(part), self._account.row
        if row.state == State.RECEIVED and not self._tries.ended:
            is_whole = size == row.size
        else:
            is_whole = bool(part.mark) and part.total is not None and size == part.total
        if not is_whole and part.total is not None and (size or 0) > part.total:
            # Longer than the body: something else has written to it.
            self._context.ending.drop(part)
        return is_whole

    # -- the body

    def _append(self, part: Part, response: Response, total: int | None) -> None:
        folder = self._context.workspace.folder
        begin_digest = self._account.checks.digest
        body = BodyFile(self._context.disk, folder.append, part, begin_digest)
        here = folder.part_size(part) or 0
        self._receive(part, body, response, here, total, coded=True)

    def _store(
        self, length: int | None, response: Response, headers: Fields, old: Part | None
    ) -> None:
        context, account = self._context, self._account
        if old is not None:
            context.ending.drop(old)
        workspace, is_bare = context.workspace, self._is_bare
        options = workspace.options
        if options.content_disposition:
            self._take_name(disposition_name(headers.get("Content-Disposition")))
        is_coded = "Content-Encoding" not in headers or stores_coded_form(
            account.row.name or "", headers, options.decode
        )
        account.etag, account.modified = validators_of(headers)
        mark = ""
        if is_coded and (is_bare or can_resume(self._job)):
            mark = mark_of(strong_validator(headers, account.etag))
        if not is_bare and self._job.method.upper() == "HEAD":
            length = 0
        total = length if is_coded else None
        if context.is_watched:
            Flow(options, None, context.runtime).expect(length or 0)
        row, checks = account.row.id, account.checks
        part = Part(row, total, mark, self._task.replaces)
        if mark and (total is None or total >= _RESUMABLE_BYTES):
            self._note_running()
        workspace.parts[row] = part
        body = BodyFile(
            context.disk,
            context.create_part,
            part,
            None if checks.are_empty else checks.begin_digest,
            context.write_part,
            total,
        )
        self._receive(part, body, response, 0, total, coded=is_coded)

    def _take_name(self, name: str | None) -> None:
        """Take the name that the server gives, unless the list gives one, or there is a file."""
        row = self._account.row
        if name is None or self._job.name is not None or row.state not in _UNNAMED:
            return
        self._account.row = self._context.disk.run(self._renamed(row, name))

    def _renamed(self, row: Row, name: str) -> Steps[Row]:
        yield from ()  # its commit is its own
        return self._context.workspace.rename(row, name)

    def _note_running(self) -> None:
        """Have the journal remember with what the part can be continued."""
        if not self._task.is_conditional:
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
            flow = Flow(context.workspace.options, context.allowance, context.runtime, here)
        is_committed = False
        try:
            for piece in pieces(response, context.disk.buffers, coded=coded):
                size = len(piece)
                body.write(piece)  # it cannot be looked at afterwards
                context.count(size)
                if flow is not None:
                    flow.take(size)
                if body.size >= _COMMIT_BYTES and not is_committed:
                    is_committed = True
                    context.disk.submit(self._commit, 0)
            self._kept_bytes = body.seal()
        except BaseException as error:
            body.seal()
            context.disk.run(body.giving_up())
            translated = translate(error)
            if translated is error:
                raise
            raise translated from error
        account, size = self._account, body.size
        if context.whole_files.takes(account.checks) and (total is None or size == total):
            whole = body.take_whole()
            if whole is not None:
                context.workspace.parts.pop(part.row, None)
                self._whole = part, whole, size
                return
        self._last_steps = context.ending.complete(account, part, body, total)

    def _commit(self) -> None:
        with suppress(OSError):  # told by the next commit, which every file needs
            self._context.workspace.journal.commit()


def _stops_everything(exc: Exception) -> bool:
    if isinstance(exc, (RequestException, ForeignFile)):
        return False
    return ends_run(exc)
