"""Sinks: they store the bodies of `fetch` that should not stay in memory.

A sink is asked twice for each job. `claim` is called in the order of the input, one call at a time:
there a sink decides where this body will go, so that names depend on the input alone and not on
which response came first. What it returns is called later, in some worker, with a response whose
body has not been read yet.

`to_files` writes each body to a temporary file beside its destination and renames it when the last
byte is there: a file under its final name is complete. It replaces a file that is already there,
and remembers nothing; `download` is for everything else.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pooledhttp.bulk.jobs import Job, Saved, Sink
from pooledhttp.bulk.names import UrlNames

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["to_files"]

#: Bytes asked of the response at a time: large enough to cost nothing, small enough for 32 jobs at
#: once.
_PIECE_BYTES = 128 * 1024


class _Files:
    """The sink that `to_files` makes."""

    def __init__(self, directory: Path, naming: Callable[[Job, int], str]) -> None:
        self._directory = directory
        self._naming = naming

    def claim(self, job: Job, index: int) -> Callable[[Response], Saved]:
        name = self._naming(job, index)
        inside = os.path.normpath(name)
        if (
            not name
            or "\0" in name
            or Path(name).anchor
            or inside.split(os.sep, 1)[0] in (os.curdir, os.pardir)
        ):
            raise ValueError(f"not the name of a file inside {self._directory}: {name!r}")
        target = self._directory / inside
        return partial(_write, target)  # which can go to another process


def to_files(
    directory: str | os.PathLike[str], naming: Callable[[Job, int], str] | None = None
) -> Sink:
    """Return a sink that writes each body to a file.

    A body is streamed to a temporary file in the destination's directory, which is renamed when it
    is complete and removed when it is not. A file that is already there is replaced. The result's
    `saved` is the path.

    Args:
        directory: Where the files go; made when it is missing.
        naming: Gives the name of a job's file, relative to `directory`; it may name
            sub-directories, which are made. Called in input order. `None` means a fresh
            `UrlNames()`.

    Raises:
        OSError: The directory cannot be made.
    """
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    return _Files(place, UrlNames() if naming is None else naming)


def _write(target: Path, response: Response) -> Saved:
    """Stream a body to a file that appears under its name only when complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{secrets.token_hex(8)}.part"
    size = 0
    try:
        with open(partial, "xb") as file:
            for piece in response.iter_content(_PIECE_BYTES):
                file.write(piece)
                size += len(piece)
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return Saved(target, size)
