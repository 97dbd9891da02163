"""Small bodies that have come as a whole: many are stored in one go.

```
write every part -> record all `received` -> one commit -> publish every part -> record all `done`
```

Each file goes the way that `ending` describes. What a file needs by itself are the calls of the
system. Changes, names of parts and results are made column by column, and the journal is asked
twice for a group, not for a file.

A `WholeFile` says all that is needed, so a body can be stored without anything that a larger one
needs on its way. An error of one file does not hold up the others. A commit that fails belongs to
every file of its group.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, compress, repeat
from operator import attrgetter
from pathlib import Path

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.disk import Ended, Steps, Stored
from pooledhttp.bulk.ending import foreign_file_problem
from pooledhttp.bulk.folder import ForeignFile
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.report import DownloadResult, results_of
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.space import Space
from pooledhttp.bulk.whole_file import WholeFile

__all__ = ["WholeFiles"]


#: Not by the classes themselves, whose `__new__` is a function in Python.
_as_part = partial(tuple.__new__, Part)
_as_update = partial(tuple.__new__, Update)

_number_of, _url_of, _name_of = attrgetter("id"), attrgetter("url"), attrgetter("name")


class WholeFiles:
    """Stores the small bodies of a run.

    Args:
        workspace: The directory and its journal.
        buffers: Get back the views that bodies lie in.
        now: The clock of the run.
    """

    def __init__(self, workspace: Space, buffers: BufferPool, now: Callable[[], float]) -> None:
        self._workspace = workspace
        self._folder = workspace.folder
        self._journal = workspace.journal
        self._parts = workspace.parts
        self._release = buffers.release
        self._sets_time = workspace.options.mtime
        self._now = now

    def takes(self, checks: Checks) -> bool:
        """Whether a body with these checks may be stored here: it is written and no more."""
        return checks.are_empty and not self._sets_time

    def storing(self, files: Sequence[WholeFile]) -> Steps[Stored]:
        """Return the steps that store bodies; an error of one of them is in what they return.

        What is raised into the steps where they wait for their commit belongs to all of them.
        """
        failed: list[Ended] = []
        columns = self._written(_Columns(files), failed)
        if columns is None:
            return Stored([], failed)
        ended = time.time()
        number = self._journal.record_all(columns.updates(State.RECEIVED, ended))
        try:
            yield number
        except BaseException as error:
            for place in range(len(columns.files)):
                self._fail(columns, place, error, failed)
            return Stored([], failed)
        results: list[DownloadResult] = []
        published = self._published(columns, results, failed)
        if published is not None:
            self._journal.record_all(published.updates(State.DONE, ended))
            results += published.results(self._folder.path, self._now())
        return Stored(results, failed)

    def _written(self, columns: _Columns, failed: list[Ended]) -> _Columns | None:
        """Write the parts; returns the files whose parts are there."""
        write, place = self._folder.write, 0
        for part, pieces in zip(columns.parts, columns.pieces, strict=True):
            try:
                write(part, pieces)
            except BaseException as error:  # it belongs to the owner of the file
                self._fail(columns, place, error, failed)
            place += 1
        if memoryview in map(type, chain.from_iterable(columns.pieces)):
            for piece in chain.from_iterable(columns.pieces):
                self._release(piece)
        deque(map(list.clear, columns.pieces), maxlen=0)  # calls it for each
        return columns.left()

    def _published(
        self, columns: _Columns, results: list[DownloadResult], failed: list[Ended]
    ) -> _Columns | None:
        """Give the parts their names; returns the files that have them."""
        publish, place = self._folder.publish, 0
        for part, name in zip(columns.parts, columns.names, strict=True):
            try:
                publish(part, name)
            except ForeignFile as error:
                columns.drop(place)
                results.append(self._refuse(columns.files[place], error))
            except BaseException as error:  # it belongs to the owner of the file
                self._fail(columns, place, error, failed)
            place += 1
        return columns.left()

    def _refuse(self, file: WholeFile, error: ForeignFile) -> DownloadResult:
        """Keep the part of a file whose name is taken; returns its result."""
        problem = foreign_file_problem(file.row.name or "")
        self._parts[file.row.id] = file.part
        alone = _Columns([file])
        (change,) = alone.updates(State.RECEIVED, time.time())
        self._journal.record(change._replace(error=problem))
        (result,) = alone.results(self._folder.path, self._now())
        return replace(
            result,
            state=State.FAILED,
            is_new=False,
            size=0,
            problem=problem,
            kind="ForeignFile",
            error=error,
        )

    def _fail(
        self, columns: _Columns, place: int, error: BaseException, failed: list[Ended]
    ) -> None:
        """Note that a file cannot be stored: another attempt looks at its part."""
        columns.drop(place)
        file = columns.files[place]
        self._parts[file.row.id] = columns.parts[place]
        failed.append(Ended(file.owner, None, error))


class _Columns:
    """What is known of some files, field by field.

    Args:
        files: The files; at least one.
    """

    __slots__ = ("_ids", "_kept", "_values", "files", "names", "parts", "pieces")

    def __init__(self, files: Sequence[WholeFile]) -> None:
        self.files = files
        self._values = values = tuple(zip(*files, strict=True))
        rows, marks, replaces, pieces, sizes = values[1], *values[4:8]
        self._ids = ids = list(map(_number_of, rows))
        self.names: list[str] = list(map(_name_of, rows))
        self.parts: list[Part] = list(map(_as_part, zip(ids, sizes, marks, replaces, strict=True)))
        self.pieces: tuple[list[Piece], ...] = pieces
        #: Which of them go on; None for all.
        self._kept: list[bool] | None = None

    def drop(self, place: int) -> None:
        """Note that a file does not go on."""
        if self._kept is None:
            self._kept = [True] * len(self.files)
        self._kept[place] = False

    def left(self) -> _Columns | None:
        """Return the files that go on; None if there are none."""
        if self._kept is None:
            return self
        files = list(compress(self.files, self._kept))
        return _Columns(files) if files else None

    def updates(self, state: State, ended: float) -> list[Update]:
        """Return what the journal is told."""
        sizes, statuses, etags, modified, attempts, _, waited, started, _ = self._values[7:]
        none = repeat(None)
        return list(
            map(
                _as_update,
                zip(  # SQLite takes a plain number twice as fast as an enum
                    *(self._ids, repeat(int(state)), statuses, etags, modified, sizes, none),
                    *(attempts, none, started, repeat(ended), waited),
                    strict=False,
                ),
            )
        )

    def results(self, directory: Path, now: float) -> list[DownloadResult]:
        """Return what the caller is told of files that have their names."""
        _, _, jobs, indexes, _, _, _, sizes, statuses, etags, modified, _, sent, *_ = self._values
        elapsed = map(now.__sub__, self._values[15])
        return results_of(
            [
                {
                    "url": url,
                    "state": State.DONE,
                    "name": name,
                    "_directory": directory,
                    "is_new": True,
                    "status": status,
                    "index": index,
                    "attempts": attempts,
                    "elapsed": seconds,
                    "size": size,
                    "etag": etag,
                    "last_modified": changed,
                    "job": job,
                }
                for url, name, status, index, attempts, seconds, size, etag, changed, job in zip(
                    *(map(_url_of, jobs), self.names, statuses, indexes, sent, elapsed),
                    *(sizes, etags, modified, jobs),
                    strict=True,
                )
            ]
        )
