"""The lock that keeps two runs out of one directory.

The lock is `flock` on a file that is never removed. The kernel frees it when the process that holds
it ends, however it ends, so there is no stale lock to judge. What stands in the file (process, host
and time) is for the message only.

`flock` belongs to the open file, which a forked child shares. The child closes its copy at once,
and a program that is started does not get it: a child that outlives the run must not hold the lock.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from contextlib import suppress
from errno import EACCES, EAGAIN

__all__ = ["DirectoryInUse", "DirectoryLock"]

_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


class DirectoryInUse(OSError):
    """Another run works in the directory. `owner` says which process on which host."""

    def __init__(self, directory: str, owner: str) -> None:
        super().__init__(
            f"{directory} is in use by {owner}. Wait until that run has ended, or stop it."
        )
        self.owner = owner


class DirectoryLock:
    """An exclusive lock on a directory.

    Args:
        folder_fd: The open directory that holds the lock's file.
        directory: Its name for messages.

    Raises:
        DirectoryInUse: Another process, or another run in this process, has the lock.
        OSError: The file cannot be made.
    """

    def __init__(self, folder_fd: int, directory: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open("lock", flags, 0o666, dir_fd=folder_fd)
        try:
            self._lock(directory)
        except BaseException:
            self.release()
            raise
        _held.add(self)

    def release(self) -> None:
        """Free the lock. Doing it twice does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _lock(self, directory: str) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (EAGAIN, EACCES):
                raise
            owner = os.pread(self._fd, 500, 0).decode(errors="replace").strip()
            raise DirectoryInUse(directory, owner or "another process") from None
        owner = f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}"
        with suppress(OSError):  # a full disk: only the message of a second run is poorer
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, owner.encode(), 0)


def _close_in_child() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_close_in_child)
