"""The file of one body while it comes: pieces in, and the disk reached as seldom as it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from pooledhttp.bulk.bodies import write_all
from pooledhttp.bulk.checks import Digest
from pooledhttp.bulk.disk import Disk, Steps

__all__ = ["BodyFile"]


class BodyFile:
    """Takes the pieces of a body and has them written.

    Args:
        disk: How the disk is reached.
        open_file: Opens the file. It is called with the first bytes, on the disk's side.
        begin_digest: Returns what computes the digest, given the open file; None for no digest.
    """

    def __init__(
        self,
        disk: Disk,
        open_file: Callable[[], BinaryIO],
        begin_digest: Callable[[BinaryIO], Digest | None] | None = None,
    ) -> None:
        self._disk = disk
        self._piece_bytes = disk.piece_bytes
        self._open_file = open_file
        self._begin_digest = begin_digest
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        #: Bytes that have come.
        self.size = 0
        self._last: list[bytes] = []
        # Touched on the disk's side only, and read after it is done:
        self._file: BinaryIO | None = None
        self._error: BaseException | None = None
        #: What has computed the digest of what is in the file.
        self.digest: Digest | None = None

    def write(self, piece: bytes) -> None:
        """Take a piece; waits while too much is on its way to the disk.

        Raises:
            OSError: An earlier piece, or this one, could not be written.
        """
        size = len(piece)
        self.size += size
        self._kept.append(piece)
        self._kept_bytes += size
        if self._kept_bytes < self._piece_bytes:
            self._disk.keep(self, size)
            return
        self.hand_over()
        if self._error is not None:
            raise self._error

    def hand_over(self) -> None:
        """Have what is kept written."""
        kept, self._kept = self._kept, []
        size, self._kept_bytes = self._kept_bytes, 0
        if kept:
            self._disk.submit(lambda: self._try_to_write(kept), size)

    def seal(self) -> None:
        """Note that no more comes: what is kept is left to the steps of the end."""
        self._last, self._kept = self._kept, []

    def giving_up(self) -> Steps[None]:
        """Return the steps that end a sealed body that broke off: what has come is in the file."""
        self._end()
        return
        yield

    # -- on the disk's side

    def complete(self) -> None:
        """Write what is kept of a sealed body, and close the file; no bytes make an empty one.

        Raises:
            OSError: Something could not be written.
        """
        if self._file is None and not self._last:
            self._try_to_write([])
        self._end()

    def _end(self) -> None:
        last, self._last = self._last, []
        if last:
            self._try_to_write(last)
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._error is not None:
            raise self._error

    def _try_to_write(self, pieces: list[bytes]) -> None:
        if self._error is not None:
            return
        try:
            file = self._file
            if file is None:
                file = self._file = self._open_file()
                if self._begin_digest is not None:
                    self.digest = self._begin_digest(file)
            write_all(file, pieces)
            if self.digest is not None:
                for piece in pieces:
                    self.digest.update(piece)
        except BaseException as error:  # raised to the worker
            self._error = error
