"""A small body that has come as a whole, with all that is needed to store it; see `whole_files`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pooledhttp.buffers import Piece
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rows import Row

__all__ = ["WholeFile", "as_whole_file"]


class WholeFile(NamedTuple):
    """One complete body, and what the journal and the caller are told of it.

    Args:
        owner: What is told in `Disk.on_ended` if the file cannot be stored.
        row: The row of its job, with the name that the file gets.
        job: Its job.
        place: Its place in the input, from 0.
        mark: The mark of its strong validator; empty for none. See `Part`.
        replaces: The size of the file that it may replace, -1 for any, None for none.
        pieces: The body. The list is emptied when it is written, and views go back to the buffers.
        size: The bytes of the body.
        status: The status of the response.
        etag: The ETag that came with it.
        modified: The Last-Modified that came with it.
        attempts: How many times its request was sent, in all runs.
        sent: The same, in this run.
        waited: Seconds that were spent on waiting for places and between attempts; None for none.
        started: When the item was begun, in seconds since 1970.
        began: The same by the clock of the run.
    """

    owner: Any
    row: Row
    job: Job
    place: int
    mark: str
    replaces: int | None
    pieces: list[Piece]
    size: int
    status: int | None
    etag: str | None
    modified: str | None
    attempts: int
    sent: int
    waited: float | None
    started: float
    began: float

    @property
    def part(self) -> Part:
        """The file that holds the body until it has its name."""
        return Part(self.row.id, self.size, self.mark, self.replaces)


#: Not by `WholeFile()`, whose `__new__` is a function in Python.
as_whole_file: Callable[[tuple[Any, ...]], WholeFile] = partial(tuple.__new__, WholeFile)
