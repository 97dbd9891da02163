"""The engine of a `download` in a worker, and what a transfer sees of the directory there.

Bodies are written where the worker is. They stay parts: the caller's process gives them their names
when the journal knows of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from pooledhttp.bulk.backends import Backend
from pooledhttp.bulk.downloader import Downloader
from pooledhttp.bulk.fetching import item_timeout
from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.granted import LedElsewhere
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.partition import Shard
from pooledhttp.bulk.payloads import Downloaded, DownloadItem, Moved, Reply, WorkerMismatch
from pooledhttp.bulk.portable import packed_download
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.retrying import Again
from pooledhttp.bulk.rows import Row, State, Update
from pooledhttp.bulk.worker_engine import WorkerEngine, name_of_process
from pooledhttp.bulk.workspace import Task
from pooledhttp.runtime import new_lock

__all__ = ["DownloadEngine"]


class _Recorder:
    """Takes the place of the journal: keeps changes until they are sent to the caller."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._updates: dict[int, list[Update]] = {}

    def record(self, change: Update) -> int:
        with self._lock:
            self._updates.setdefault(change.id, []).append(change)
        return 0

    def record_all(self, changes: Sequence[Update]) -> int:
        with self._lock:
            for change in changes:
                self._updates.setdefault(change.id, []).append(change)
        return 0

    def commit(self, number: int | None = None) -> None:
        """Do nothing: the caller's process commits."""

    def take(self, row: int) -> list[Update]:
        with self._lock:
            return self._updates.pop(row, [])

    def take_running(self) -> list[Update]:
        """Return what is to be known of jobs that go on: with what a part can be continued."""
        with self._lock:
            found = [each[-1] for each in self._updates.values()]
            running = [update for update in found if update.state == State.RUNNING]
            for update in running:
                del self._updates[update.id]
        return running


class _WorkerFolder(RunFolder):
    """The directory of a run, in a worker: parts are written here and get no names."""

    def __init__(self, directory: str, shard: Shard | None) -> None:
        super().__init__(directory, lock=False, shard=shard)
        self.whole: dict[int, Part] = {}

    def publish(self, part: Part, name: str) -> None:
        """Keep the part for the caller's process, which gives it its name."""
        self.whole[part.row] = part


class _WorkerWorkspace:
    """Takes the place of the workspace in a worker."""

    def __init__(self, directory: str, options: Options) -> None:
        self.options = options
        self.folder = _WorkerFolder(directory, options.shard)
        self.journal = _Recorder()
        self.parts: dict[int, Part] = {}
        self.not_refreshed: dict[int, str] = {}

    def rename(self, row: Row, name: str) -> Row:
        """Keep the name: the caller's process gives all names before a worker begins."""
        return row


class DownloadEngine(WorkerEngine):
    """The engine of a `download` in a worker."""

    def _performer(self, backend: Backend) -> Callable[[Entry[Any]], Any]:
        settings = self._settings
        assert settings.directory is not None and settings.options is not None
        if settings.lease is not None and not os.path.exists(settings.lease):
            raise WorkerMismatch(
                f"the worker {name_of_process()} does not see {settings.directory}. The directory"
                " has to be on storage that the caller and all workers share, under the same path."
            )
        self._entries: dict[int, Entry[DownloadItem]] = {}
        self._space = _WorkerWorkspace(settings.directory, settings.options)
        again = Again(settings.retries, only_bodies=self.session.has_retry_policy)
        self._downloader = Downloader(
            self.session, backend, self._space, item_timeout(settings.timeout), again
        )
        self._downloader.tell(self)
        return self._download

    def _download(self, entry: Entry[DownloadItem]) -> DownloadResult | None:
        item = entry.item
        self._entries[entry.index] = entry
        if item.part is not None:
            self._space.parts[item.row.id] = item.part
        task = Task(item.job, item.row, item.replaces, item.is_conditional)
        return self._ended(entry, self._downloader(Entry(entry.index, entry.line, task)))

    def _ended(
        self, entry: Entry[DownloadItem], result: DownloadResult | None
    ) -> DownloadResult | None:
        if result is not None and isinstance(result.error, LedElsewhere):
            self._space.journal.take(entry.item.row.id)
        return result

    # -- what a downloader is followed by

    def deliver(self, results: Sequence[DownloadResult]) -> None:
        """Take the results of items for which a worker has returned none."""
        self.engine.deliver(results)

    def go_on(self, entry: Entry[Any], perform: Callable[[], DownloadResult | None]) -> None:
        """Have a worker go on with such an item, which the engine knows as it was sent here."""
        sent = self._entries[entry.index]
        self.engine.go_on(sent, lambda: self._moved_or(sent, self._ended(sent, perform())))

    def fail(self, error: BaseException) -> None:
        """End the run."""
        self.engine.fail(error)

    def _add(self, reply: Reply, result: Any) -> int:
        if isinstance(result, Moved):
            self._entries.pop(result.index, None)
        return super()._add(reply, result)

    def _packed(self, result: DownloadResult) -> tuple[Downloaded, int]:
        row = self._entries.pop(result.index).item.row.id
        space = self._space
        space.parts.pop(row, None)
        home = Downloaded(
            packed_download(result),
            space.journal.take(row),
            space.folder.whole.pop(row, None),
            space.not_refreshed.pop(row, None),
        )
        return home, 0

    def _add_notes(self, reply: Reply) -> None:
        reply.notes = self._space.journal.take_running()
        reply.received = self._downloader.received_bytes

    def close(self) -> None:
        """Close the engine, and the directory."""
        super().close()
        self._space.folder.close()
