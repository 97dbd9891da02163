"""Where the bodies of a bulk fetch go when they should not stay in memory.

A sink is asked twice for each job. `claim` is called in the order of the input, one call at a time:
there a sink decides where this body will go, so that names depend on the input alone and not on
which answer came first. What it returns is called later, in some worker, with a response whose body
has not been read yet.

`to_files` writes each body to a temporary file beside its destination and renames it when the last
byte is
there: a file under its final name is complete. File names come from URLs, which are written by
    strangers; `UrlNames` makes
them safe. A name never contains a separator, a control character or a character that Windows
refuses, does not begin with a dot, is not a device name, and fits into 255 bytes. Percent-escapes
are decoded before all this is looked at, so `%2e%2e%2f` is as harmless as `../`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from .jobs import Job

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Saved", "Sink", "UrlNames", "to_files"]

#: Bytes asked of the response at a time: large enough to cost nothing, small enough for 32 jobs at
#: once.
_PIECE_BYTES = 128 * 1024

#: File systems allow 255 bytes; the rest is left for what `UrlNames` appends.
_NAME_BYTES = 200

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028\u2029\ud800-\udfff]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a body: `target` is for the caller (a path, say), `size` in bytes."""

    target: Any
    size: int


class Sink(Protocol):
    """A place for bodies."""

    def claim(self, job: Job, index: int) -> Callable[[Response], Saved]:
        """Decide where the body of this job goes, and return what will put it there.

        Called in input order. What it returns is called in a worker with the open response (status
        below 400, body unread), and not at all when there is none. An exception out of either ends
        this item only.
        """


class UrlNames:
    """Names files after the last segment of the URL's path, each URL a name of its own.

    The first URL that asks for a name gets it; another one that would get the same name (also one
    that differs only in case or in Unicode form, which some file systems do not tell apart) has a
    part of its own digest put before the suffix. The same URL always gets the same name.

    Args:
        reserved: Names that are not given away.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._owners: dict[str, bytes] = {_folded(name): b"" for name in reserved}

    def __call__(self, job: Job, index: int) -> str:
        """Return the file name for a job."""
        digest = hashlib.sha256(job.url.encode("utf-8", "surrogatepass")).digest()
        plain = _plain_name(job.url)
        name = plain
        for length in (0, 8, 16, 64):
            if length:
                name = _with_mark(plain, digest.hex()[:length])
            if self._owners.setdefault(_folded(name), digest[:16]) == digest[:16]:
                break
        return name


def _folded(name: str) -> str:
    """The form in which two names count as the same file."""
    return unicodedata.normalize("NFC", name).casefold()


def _plain_name(url: str) -> str:
    """Make a safe file name out of a URL's last path segment and query."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return "invalid"
    name = unquote(parts.path.rsplit("/", 1)[-1], errors="replace") or "index.html"
    if parts.query:
        stem, dot, suffix = name.rpartition(".")
        query = unquote(parts.query, errors="replace")
        name = f"{stem}_{query}.{suffix}" if dot and stem else f"{name}_{query}"
    return _safe(name)


def _safe(name: str) -> str:
    """Replace what no file name should hold, and cut it to a length every system takes."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(" ")
    if name.startswith("."):
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    if _DEVICES.match(name):
        name = "_" + name
    if len(name.encode()) <= _NAME_BYTES:
        return name
    suffix = os.path.splitext(name)[1]
    if len(suffix.encode()) > 16:
        suffix = ""
    room = _NAME_BYTES - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore").rstrip(". ") + suffix


def _with_mark(name: str, mark: str) -> str:
    """Put a mark before the suffix of a file name."""
    stem, suffix = os.path.splitext(name)
    return f"{stem}-{mark}{suffix}"


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
        return lambda response: _write(response, target)


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


def _write(response: Response, target: Path) -> Saved:
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
