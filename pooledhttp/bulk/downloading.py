"""`Download`: the results of a run over a directory, and how the run ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pooledhttp.bulk.failures import FAILURES, FailureList
from pooledhttp.bulk.halting import Halted
from pooledhttp.bulk.inputs import Source
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.protocols import AnyEngine, Counted
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.results import MOST_HANDED, READ_SECONDS, Results
from pooledhttp.bulk.stopping import is_disk_full
from pooledhttp.bulk.urls import origin_of
from pooledhttp.bulk.workspace import Task, Workspace, failed

__all__ = ["Download", "prepare"]

#: Jobs registered in one commit. A list that is read quickly gets larger and larger batches: each
#: commit writes much the same pages, however many jobs it adds.
_LEAST_BATCH = 64
_LARGEST_BATCH = 4096
_LARGEST_BATCH_OF_A_FILE = 16_384
_READ_SECONDS_OF_A_FILE = 0.1

#: Kept on the disk for the journal and the list of failures, should the disk become full.
_RESERVED_BYTES = 96 * 1024
_MOST_RESERVED_BYTES = 64 * 1024 * 1024

_NOT_REACHED = "not reached: the run was stopped before"


class Download(Results[DownloadResult]):
    """The results of a download, as they come. Made by `download`; for one thread at a time.

    Leaving the loop early, closing it or dropping it stops the workers, commits the journal and
    frees the directory. It is a context manager too, for code that keeps a reference.
    """

    def __init__(
        self,
        source: Iterable[object],
        engine: AnyEngine[DownloadResult],
        session: Counted,
        workspace: Workspace,
        failures: FailureList | None,
        now: Callable[[], float],
        received_bytes: Callable[[], int],
    ) -> None:
        #: Returns the bytes of bodies written so far, unfinished ones included.
        self.received_bytes = received_bytes
        self._input = source
        self._source: Iterator[object] | None = iter(source)
        self._workspace = workspace
        self._failures = failures
        self._process = os.getpid()
        self._now = now
        self._batch = _LEAST_BATCH
        self._ready: deque[Task | DownloadResult] = deque()
        self._ready_index = 0
        #: Read, and not yet in the journal.
        self._unregistered: list[object] = []
        self._was_read_to_end = False
        #: Lines that are no jobs, with the reason.
        self._refused: list[tuple[str, str]] = []
        #: Jobs of the input that had been in it before.
        self.duplicates = 0
        #: The list of what is not done; None while the run goes on, and when all is done.
        self.failures_path: Path | None = None
        #: How many are on it.
        self.not_done = 0
        #: Why the list or the journal could not be written at the end; None when they were.
        self.closing_error: OSError | None = None
        # Last: a signal may interrupt these lines, and an object that is not complete must count as
        # closed for its finalizer.
        super().__init__(engine, session)

    @property
    def _has_input(self) -> bool:
        return self._source is not None or bool(self._ready)

    @property
    def _waits_for_input(self) -> bool:
        source = self._source
        return isinstance(source, Source) and not source.is_ready

    def stop(self) -> None:
        """Have the run end as soon as possible. Never blocks; a signal handler may call it.

        The iteration then ends as if the input had come to its end.
        """
        self._engine.halt()

    def close(self) -> None:
        """Stop what is under way, list what is not done, and free the directory.

        Doing it twice does nothing.
        """
        if self._is_closed:
            return
        if self._process != os.getpid():  # a forked child: the run belongs to its parent
            self._is_closed = True
            return
        try:
            super().close()
        finally:
            try:
                self._end()
            except OSError as error:
                self.closing_error = error
            finally:
                self._workspace.close()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True) and self._process == os.getpid():
            self._is_closed = True
            try:
                self._engine.stop()
                with suppress(OSError):
                    self._workspace.folder.give_up_reserve()
                    self._workspace.journal.commit()
            finally:
                self._workspace.close()

    def _read_on(self) -> None:
        """Read the input as far as the engine has use for it."""
        if self._engine.is_halted:
            raise Halted
        seconds = 0.0
        while self._engine.wants_more:
            if not self._ready:
                if self._source is None or self._waits_for_input:
                    return
                began = self._now()
                self._refill()
                seconds += self._now() - began
            while self._ready and (room := self._engine.room):
                self._hand_over(min(room, len(self._ready), MOST_HANDED))
            if seconds > READ_SECONDS and self._engine.has_result:
                return

    def _hand_over(self, count: int) -> None:
        """Give the engine the next items that are ready, those together that are to be done."""
        ready, first = self._ready, self._ready_index
        entries: list[Entry[Task]] = []
        for index in range(first, first + count):
            item = ready.popleft()
            if type(item) is Task:
                entries.append(Entry(index, item.line, item))
                continue
            assert isinstance(item, DownloadResult)
            if entries:
                self._engine.submit_all(entries)
                entries = []
            self._engine.put(item)
        self._ready_index = first + count
        if entries:
            self._engine.submit_all(entries)

    def _refill(self) -> None:
        """Read a batch of the input and register it."""
        began = self._now()
        items: list[object] = []
        self._unregistered = items  # an interrupt between here and the commit loses none of them
        is_file = isinstance(self._input, Source)  # which never blocks
        patience = _READ_SECONDS_OF_A_FILE if is_file else READ_SECONDS
        source, batch, now = self._source, self._batch, self._now
        assert source is not None
        while len(items) < batch and now() - began <= patience:
            if is_file and self._waits_for_input:
                break
            try:
                items.append(next(source))
            except StopIteration:
                self._source = None
                self._was_read_to_end = True
                break
            except Exception as error:  # told at the end, after the results of what came before
                self._source = None
                self._input_error = error
                break
        if len(items) == self._batch:
            largest = _LARGEST_BATCH_OF_A_FILE if is_file else _LARGEST_BATCH
            self._batch = min(2 * self._batch, largest)
        ready: list[Task | DownloadResult] = []
        with self._workspace.batch(len(items)):
            lines = self._workspace.plain_lines(items)
            at = 0
            while at < len(items):
                tasks = [] if lines is None else self._workspace.register_plain(lines, at)
                if tasks:
                    ready += tasks
                    self._index += len(tasks)
                    at += len(tasks)
                else:
                    self._register(items[at], ready)
                    at += 1
        self._ready.extend(ready)
        self._unregistered = []

    def _register(self, item: object, ready: list[Task | DownloadResult]) -> None:
        step: Task | DownloadResult | None
        try:
            job = Job.of(item)
        except (TypeError, ValueError) as error:
            url = str(item.url if isinstance(item, Job) else item)
            step = failed(None, self._index, error, url=url)
        else:
            step = self._workspace.register(job, self._index)
        if step is None:
            self.duplicates += 1
            return
        self._index += 1
        ready.append(step)
        if type(step) is Task:
            return
        assert isinstance(step, DownloadResult)
        if step.name is None and step.problem is not None:
            if isinstance(item, Job):
                is_all = item.is_said_by_url and item.name is None
            else:  # of a bad line, the URL alone may be sound
                is_all = isinstance(item, str) or not origin_of(step.url)
            self._refused.append((_as_line(step.url, is_all), step.problem))

    # -- the end

    def _end(self) -> None:
        workspace = self._workspace
        workspace.folder.give_up_reserve()
        error: OSError | None = None
        try:
            workspace.finish_renames()
        except OSError as exc:
            if not is_disk_full(exc):
                raise
            error = exc
        workspace.drop_parts(everything_was_read=self._was_read_to_end)
        if error is not None:
            with suppress(OSError):  # what is not committed is done again by the next run
                workspace.finish_renames()
        if self._failures is not None:
            self._list_failures(self._failures)
        if error is not None:
            raise error

    def _list_failures(self, failures: FailureList) -> None:
        is_complete = self._was_read_to_end
        try:
            self.not_done = failures.write(self._not_done(), is_complete=is_complete)
        except OSError as error:
            if not is_disk_full(error):
                raise
            self.not_done = failures.write_elsewhere(self._not_done())
        self.failures_path = failures.path

    def _not_done(self) -> Iterator[tuple[str, str]]:
        """Yield what is not done, with the reason: of the rows, then of the rest of the input."""
        for row in self._workspace.unfinished():
            yield _as_line(row.url, self._workspace.is_said_by_url(row)), row.error or _NOT_REACHED
        yield from self._refused
        for item in self._unregistered_items():
            try:
                job = Job.of(item)
                job.identity()
            except (TypeError, ValueError):
                yield str(item), _NOT_REACHED
                continue
            if not self._workspace.is_fetched(job):
                yield _as_line(job.url, job.is_said_by_url), _NOT_REACHED

    def _unregistered_items(self) -> Iterator[object]:
        yield from self._unregistered
        if isinstance(self._input, Source) and self._input.can_read_rest:
            yield from self._input.peek_rest()


def _as_line(url: str, is_said_by_url: bool) -> str:
    """Return how a job stands in a list: its URL, or a comment if the URL does not say all.

    By the URL alone, the next run would accept a body that this one rejected.
    """
    return url if is_said_by_url else f"# {url}"


def prepare(
    workspace: Workspace, failures: str | os.PathLike[str] | None, source: object
) -> FailureList | None:
    """Keep room on the disk, and return where to list what is not done; None for nowhere.

    Raises:
        OSError: The list cannot go to the place that is wanted.
    """
    listed = None
    if failures is not None:
        folder = workspace.folder.path
        path = Path(failures)
        listed = FailureList(
            path,
            folder / workspace.folder.own_path,
            source if isinstance(source, Source) else None,
            must_be_ours=path != folder / FAILURES,
        )
    size = source.size if isinstance(source, Source) else 0
    workspace.folder.reserve(min(_RESERVED_BYTES + 2 * size, _MOST_RESERVED_BYTES))
    return listed
