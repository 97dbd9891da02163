"""The protocols by which a transfer uses the directory and the journal of a run.

In the caller's process that is a `Workspace`. A worker of another process has a stand-in, which
remembers nothing itself; see `worker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rows import Row, Update

__all__ = ["Records", "Space"]


class Records(Protocol):
    """Where a transfer records its progress: the journal, or a stand-in in a worker."""

    def record(self, change: Update) -> int:
        """Hand in a change; returns its number for `commit`."""

    def record_all(self, changes: Sequence[Update]) -> int:
        """Hand in changes together; returns the number of the last one."""

    def commit(self, number: int | None = None) -> None:
        """Return when a change is stored as safely as possible here."""


class Space(Protocol):
    """What a transfer needs of a workspace."""

    #: Parts that a later attempt may use, by row.
    parts: dict[int, Part]

    #: What is wrong with files that were to be refreshed, by row.
    not_refreshed: dict[int, str]

    @property
    def options(self) -> Options:
        """How to treat what is there."""

    @property
    def folder(self) -> RunFolder:
        """The directory."""

    @property
    def journal(self) -> Records:
        """Where to record."""

    def rename(self, row: Row, name: str) -> Row:
        """Give a job of which there is no file yet the name that its server says."""
