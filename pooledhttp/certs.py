"""CA certificates: certifi's bundle, as a path that can be opened.

TLS libraries want a file, and a Python application packed into a zip archive has none.
`extract_zipped_paths` makes one: it unpacks a member into a directory that only this user can
enter and that is removed at the end of the process. With a fixed name in the shared temporary
directory another user of the machine could put a bundle there beforehand.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from certifi import where

if TYPE_CHECKING:
    import ssl

__all__ = [
    "DEFAULT_CA_BUNDLE_PATH",
    "CertInput",
    "VerifyInput",
    "atomic_open",
    "extract_zipped_paths",
    "where",
]

_Path: TypeAlias = "str | os.PathLike[str]"

#: What `verify=` takes: whether to verify, the path of a CA bundle, or a TLS context.
VerifyInput: TypeAlias = "bool | _Path | ssl.SSLContext"

#: What `cert=` takes: one file with certificate and key, or `(certificate, key[, password])`.
CertInput: TypeAlias = (
    "_Path | tuple[_Path, _Path] | tuple[_Path, _Path, str | bytes | None] | None"
)

#: The bundle used when nothing else is asked for.
DEFAULT_CA_BUNDLE_PATH = where()

# (archive, its mtime in ns, its size, member) -> the extracted copy. It has as many entries as
# bundles are in use: one or two.
_extracted: dict[tuple[str, int, int, str], str] = {}


@contextlib.contextmanager
def atomic_open(filename: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    The bytes go into a temporary file beside `filename`; leaving the block renames it, so a reader
    sees the old content or the new one, never a part of it. If the block raises, `filename` does
    not change.

    Args:
        filename: The file to write. Its directory must exist.
    """
    target = os.fspath(filename)
    handle, unfinished = tempfile.mkstemp(dir=os.path.dirname(target) or ".")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise


def extract_zipped_paths(path: str) -> str:
    """Make a path that leads into a zip archive openable.

    Args:
        path: A file's path, which may lead through an archive, as in
            `/srv/app.pyz/certifi/cacert.pem`.

    Returns:
        The path of an extracted copy, or `path` itself when it exists, or when no archive on the
        way to it holds it.
    """
    if os.path.exists(path):
        return path
    archive, member = _split_at_archive(path)
    if not archive or not zipfile.is_zipfile(archive):
        return path
    facts = os.stat(archive)
    key = (archive, facts.st_mtime_ns, facts.st_size, member)
    copy = _extracted.get(key)
    if copy is not None and os.path.exists(copy):
        return copy
    with zipfile.ZipFile(archive) as opened:
        try:
            content = opened.read(member)
        except KeyError:
            return path
    copy = os.path.join(_private_directory(), member.rpartition("/")[2])
    with atomic_open(copy) as stream:
        stream.write(content)
    _extracted[key] = copy
    return copy


def _split_at_archive(path: str) -> tuple[str, str]:
    """Split `path` into the file it leads through and the member's name, or two empty strings."""
    head, member = os.path.split(path)
    while head and not os.path.exists(head):
        head, part = os.path.split(head)
        if not part:
            # A root that does not exist, such as an unreachable UNC share, splits into itself for
            # ever.
            return "", ""
        member = f"{part}/{member}"
    return (head, member) if os.path.isfile(head) else ("", "")


def _private_directory() -> str:
    """Create a directory for one extracted file, and see to its removal when this process ends."""
    directory = tempfile.mkdtemp(prefix="pooledhttp-")
    owner = os.getpid()

    def remove() -> None:
        # A forked child runs this as well, while its parent still needs the file.
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory
