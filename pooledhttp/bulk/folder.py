"""The directory of a run on disk: every file that a run opens, makes, moves or removes.

```
DIR/                        files under their final names, and nothing that is incomplete
DIR/.pooledhttp/journal.sqlite3, journal.sqlite3-tail, lock
DIR/.pooledhttp/parts/      incomplete bodies, named after row, length and validator
DIR/.pooledhttp/rejected/   bodies with a wrong size or checksum, each with its reason
DIR/.pooledhttp/reserve     room for the list of failures on a full disk
```

Everything is reached through open directories and `O_NOFOLLOW`, so that no symbolic link inside DIR
leads a write elsewhere. DIR itself may be a link: that is the caller's own choice.

A complete part gets its final name by `link` and `unlink`, because `link` never replaces a file.
Where the file system has no links, a check and a rename replace them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from errno import EEXIST, ELOOP, EMLINK, ENOSYS, ENOTDIR, ENOTSUP, EOPNOTSUPP, EPERM, ESTALE
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pooledhttp.buffers import Piece
from pooledhttp.bulk.bodies import write_all
from pooledhttp.bulk.lock import DirectoryLock
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.partition import Shard

__all__ = [
    "OWN_FOLDER",
    "SHARD_PREFIX",
    "ForeignFile",
    "RunFolder",
    "lease_path",
    "own_folder",
]

OWN_FOLDER = ".pooledhttp"

#: Begins the name of a shard's own part.
SHARD_PREFIX = "shard-"

#: Begins the name of a lease; see `lease_path`.
_LEASE = "run-"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_LINKS_HERE = {EPERM, ENOTSUP, EOPNOTSUPP, ENOSYS, EMLINK}


class ForeignFile(FileExistsError):
    """A file that this run did not make has the name of one of its files."""


def own_folder(shard: Shard | None) -> str:
    """Return the path of what is ours in a directory: a shard has a part of its own."""
    if shard is None:
        return OWN_FOLDER
    return f"{OWN_FOLDER}/{SHARD_PREFIX}{shard.number}-of-{shard.count}"


def lease_path(directory: str, run: str, shard: Shard | None) -> str:
    """Return the path of a file that is there while workers of a run may work in a directory."""
    return os.path.join(directory, own_folder(shard), f"{_LEASE}{run}")


def _foreign(name: str) -> ForeignFile:
    return ForeignFile(EEXIST, "a file that is not ours has the name", name)


class RunFolder:
    """An open directory of a run.

    Args:
        directory: The directory; made when it is missing.
        lock: Whether to lock it. A worker of a run opens the directory that the run has locked.
        shard: Which shard of a run it is; None for a whole one. Each has a lock of its own.

    Raises:
        DirectoryInUse: Another run has it.
        OSError: It, or what belongs to us in it, cannot be made or opened.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, lock: bool = True, shard: Shard | None = None
    ) -> None:
        self.own_path = own_folder(shard)
        self.path = Path(directory)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            text = "A file has this name, and a directory is wanted"
            raise FileExistsError(error.errno, text, error.filename) from None
        self._fds: list[int] = []
        self._lock: DirectoryLock | None = None
        try:
            self._root = self._keep(os.open(self.path, _DIRECTORY))
            self._own = self._root
            for name in self.own_path.split("/"):
                self._own = self._folder(name, self._own)
            if lock:
                self._lock = DirectoryLock(self._own, str(self.path))
                #: Whether a run that was killed has left workers, which see now that it has ended.
                self.had_workers = self._end_leases()
            self._parts = self._folder("parts", self._own)
            self._rejected: int | None = None
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and type(error.filename) is str:
                if error.filename in ("lock", "parts"):
                    error.filename = str(self.path / self.own_path / error.filename)
                elif error.filename in self.own_path.split("/"):
                    error.filename = str(self.path / self.own_path)
            raise

    @property
    def journal_path(self) -> str:
        """Where the journal is."""
        return str(self.path / self.own_path / "journal.sqlite3")

    def close(self) -> None:
        """Free the lock and close the directories. Doing it twice does nothing."""
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)
        if self._lock is not None:
            self._lock.release()

    def set_journal_aside(self) -> str | None:
        """Rename the journal, with what belongs to it; returns its new path."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        moved = None
        for suffix in ("-journal", "-tail", ""):
            with suppress(FileNotFoundError):
                os.rename(f"{self.journal_path}{suffix}", f"{self.journal_path}.{stamp}{suffix}")
                moved = f"{self.journal_path}.{stamp}"
        return moved

    def _end_leases(self) -> bool:
        found = [name for name in os.listdir(self._own) if name.startswith(_LEASE)]
        for name in found:
            os.unlink(name, dir_fd=self._own)
        return bool(found)

    # -- files under their names

    def size_of(self, name: str) -> int | None:
        """Return the size of the file under a name.

        Returns:
            None when there is none; -1 for something other than a regular file.
        """
        try:
            if "/" not in name:
                found = os.stat(name, dir_fd=self._root, follow_symlinks=False)
            else:
                with self._parent(name, make=False) as (fd, last):
                    found = os.stat(last, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (ENOTDIR, ELOOP):
                return -1
            raise
        return found.st_size if stat.S_ISREG(found.st_mode) else -1

    def is_free(self, name: str) -> bool:
        """Whether there is nothing under a name: no file, directory or link."""
        if "/" in name:
            return self.size_of(name) is None
        # Nearly always true, and here the exception of `stat` would double the cost.
        return not os.access(name, os.F_OK, dir_fd=self._root, follow_symlinks=False)

    def names(self, most: int) -> list[str] | None:
        """Return the names in the directory itself; None if there are more than `most`."""
        with os.scandir(self._root) as entries:
            found = [entry.name for entry in islice(entries, most + 1)]
        return None if len(found) > most else found

    def is_there(self, part: Part, name: str) -> bool:
        """Whether the file under a name is this part, linked but not yet removed from `parts/`."""
        try:
            with self._parent(name, make=False) as (fd, last):
                there = os.stat(last, dir_fd=fd, follow_symlinks=False)
            here = os.stat(part.file_name, dir_fd=self._parts, follow_symlinks=False)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def publish(self, part: Part, name: str) -> None:
        """Give a complete part its final name.

        Args:
            part: The part.
            name: The name, relative to the directory; its directories are made.

        Raises:
            ForeignFile: There is a file of that name which the part must not replace.
            OSError: Anything else.
        """
        if "/" not in name:
            self._publish_in(self._root, name, part, name)
            return
        with self._parent(name, make=True) as (fd, last):
            self._publish_in(fd, last, part, name)

    def _publish_in(self, fd: int, last: str, part: Part, name: str) -> None:
        """Give a part the last part of its name, in the directory that the name lies in."""
        own_name = part.file_name
        if part.replaces is not None and self._may_replace(part, name):
            os.rename(own_name, last, src_dir_fd=self._parts, dst_dir_fd=fd)
            return
        try:
            os.link(own_name, last, src_dir_fd=self._parts, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            raise _foreign(name) from None
        except OSError as error:
            if error.errno not in _NO_LINKS_HERE:
                raise
            if self.size_of(name) is not None:
                raise _foreign(name) from None
            os.rename(own_name, last, src_dir_fd=self._parts, dst_dir_fd=fd)
            return
        try:  # here, since a call would cost as much
            os.unlink(own_name, dir_fd=self._parts)
        except FileNotFoundError:
            pass

    def _may_replace(self, part: Part, name: str) -> bool:
        return part.replaces == -1 or part.replaces == self.size_of(name)

    # -- parts

    def parts(self) -> Iterator[tuple[str, Part | None]]:
        """Yield the name of every file in `parts/`, with the part that it is."""
        for name in os.listdir(self._parts):
            yield name, Part.parse(name)

    def part_size(self, part: Part) -> int | None:
        """Return the size of a part, None when it does not exist."""
        try:
            found = os.stat(part.file_name, dir_fd=self._parts, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_size

    def create(self, part: Part) -> BinaryIO:
        """Open a new part for writing."""
        return os.fdopen(self._create(part), "wb", 0)

    def write(self, part: Part, pieces: list[Piece]) -> None:
        """Write a new part as a whole.

        Raises:
            OSError: It cannot be made, or not all of it can be written.
        """
        try:
            fd = os.open(part.file_name, _NEW, 0o666, dir_fd=self._parts)
        except (FileExistsError, FileNotFoundError):
            fd = self._create(part)
        try:
            write_all(fd, pieces)
        finally:
            os.close(fd)

    def _create(self, part: Part) -> int:
        name = part.file_name
        try:
            try:
                return os.open(name, _NEW, 0o666, dir_fd=self._parts)
            except FileExistsError:  # of an earlier attempt
                self.remove_part_file(name)
                return os.open(name, _NEW, 0o666, dir_fd=self._parts)
        except FileNotFoundError:  # all other parts would fail in the same way
            gone = self.path
            with suppress(OSError):
                if os.path.samestat(os.stat(self.path), os.fstat(self._root)):
                    gone = self.path / self.own_path / "parts"
            raise OSError(ESTALE, "the directory was removed", str(gone)) from None

    def append(self, part: Part) -> BinaryIO:
        """Open a part to write on at its end."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.fdopen(os.open(part.file_name, flags, dir_fd=self._parts), "r+b", 0)

    def read(self, part: Part) -> BinaryIO:
        """Open a part for reading."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.fdopen(os.open(part.file_name, flags, dir_fd=self._parts), "rb", 0)

    def set_time(self, part: Part, modified: str) -> None:
        """Give a part the time of a Last-Modified field; one that is no time changes nothing."""
        with suppress(ValueError, TypeError, OverflowError):
            seconds = parsedate_to_datetime(modified).timestamp()
            os.utime(part.file_name, (seconds, seconds), dir_fd=self._parts, follow_symlinks=False)

    def remove(self, part: Part) -> None:
        """Remove a part, if it is there."""
        self.remove_part_file(part.file_name)

    def remove_part_file(self, name: str) -> None:
        """Remove a file from `parts/`, if it is there."""
        try:  # `suppress` would cost more than the call
            os.unlink(name, dir_fd=self._parts)
        except FileNotFoundError:
            pass

    def reject(self, part: Part, name: str, reason: str) -> str:
        """Put a complete but wrong body aside, with its reason beside it; returns its path."""
        if self._rejected is None:
            self._rejected = self._folder("rejected", self._own)
        kept = f"{part.row}-{name.replace('/', '_')}"[:200]
        os.rename(part.file_name, kept, src_dir_fd=self._parts, dst_dir_fd=self._rejected)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(f"{kept}.reason", flags, 0o666, dir_fd=self._rejected)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(reason + "\n")
        return f"{self.own_path}/rejected/{kept}"

    # -- room for a full disk

    def reserve(self, size: int) -> None:
        """Keep room on the disk, so that a full one still has some for what must be written."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with suppress(OSError):  # no room even for that: then there is none to keep
            fd = os.open("reserve", flags, 0o666, dir_fd=self._own)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(fd, 0, size)
                else:  # macOS
                    os.write(fd, bytes(min(size, 1 << 20)))
            finally:
                os.close(fd)

    def give_up_reserve(self) -> None:
        """Free what `reserve` has kept."""
        with suppress(FileNotFoundError):
            os.unlink("reserve", dir_fd=self._own)

    # -- inside

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _folder(self, name: str, parent: int) -> int:
        """Open a directory below `.pooledhttp`; make it if it is missing."""
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        try:
            return self._keep(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent))
        except OSError as error:
            if error.errno not in (ENOTDIR, ELOOP):
                raise
            place = self.path if name == OWN_FOLDER else self.path / self.own_path
            raise NotADirectoryError(
                ENOTDIR,
                "a file or a link stands where a directory of ours belongs",
                str(place / name),
            ) from None

    @contextmanager
    def _parent(self, name: str, *, make: bool) -> Iterator[tuple[int, str]]:
        """Open the directory that a name lies in, following no link on the way."""
        *folders, last = name.split("/")
        opened: list[int] = []
        fd = self._root
        try:
            for folder in folders:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=fd)
                fd = os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                opened.append(fd)
            yield fd, last
        finally:
            for each in opened:
                os.close(each)
