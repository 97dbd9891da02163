"""Errors that end a run: every other file would meet them as well."""

from __future__ import annotations

from errno import EDQUOT, EIO, ENOSPC, EROFS, ESTALE

from pooledhttp.bulk.database import JournalError

__all__ = ["RunStopped", "ends_run", "is_disk_full"]

#: What the disk says to every other file as well.
_STOPPING = frozenset({ENOSPC, EDQUOT, EROFS, EIO, ESTALE})


class RunStopped(OSError):
    """The run cannot go on: the disk is full, or the journal cannot be written."""

    @classmethod
    def of(cls, error: OSError) -> RunStopped:
        """Return the end of the run that an error means; see `ends_run`."""
        return cls(error.errno, error.strerror or str(error), error.filename)


def ends_run(exc: Exception) -> bool:
    """Whether every other file would meet an error of the disk as well."""
    return isinstance(exc, JournalError) or getattr(exc, "errno", None) in _STOPPING


def is_disk_full(exc: OSError) -> bool:
    """Whether an error says that there is no room on the disk."""
    return exc.errno in (ENOSPC, EDQUOT)
