"""The file of one body while it is received. It uses the disk as rarely as possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from pooledhttp.buffers import Piece
from pooledhttp.bulk.bodies import write_all
from pooledhttp.bulk.checks import Digest
from pooledhttp.bulk.disk import Disk, Steps
from pooledhttp.bulk.part import Part

__all__ = ["BodyFile"]

#: What is kept of a body that has ended; nothing is added to it.
_NOTHING: list[Piece] = []


class BodyFile:
    """Takes the pieces of a body, and passes them to the disk.

    Args:
        disk: Writes the pieces. Its buffers get back those that lie in them.
        open_file: Opens the file of a part. It is called with the first bytes, on the disk's side.
        part: The part.
        begin_digest: Returns what computes the digest, given the open file; None for no digest.
        write_whole: Makes the file of a part whose body has come as a whole, without opening it for
            more; `begin_digest` then gets no file. None where the file is there already.
        total: The bytes that come; None where that is not known.
    """

    # Slots: attributes that are set later than in `__init__` would give each object a dict.
    __slots__ = (
        *("_begin_digest", "_disk", "_error", "_file", "_is_sealed", "_kept", "_kept_bytes"),
        *("_open_file", "_part", "_piece_bytes", "_total", "_write_whole", "digest", "size"),
        "was_written_whole",
    )

    def __init__(
        self,
        disk: Disk,
        open_file: Callable[[Part], BinaryIO],
        part: Part,
        begin_digest: Callable[[BinaryIO | None], Digest | None] | None = None,
        write_whole: Callable[[Part, list[Piece]], None] | None = None,
        total: int | None = None,
    ) -> None:
        self._disk = disk
        self._piece_bytes = disk.piece_bytes
        self._open_file = open_file
        self._part = part
        self._begin_digest = begin_digest
        self._write_whole = write_whole
        self._total = total
        #: On the disk's side once the body is sealed.
        self._kept: list[Piece] = []
        #: Bytes that have been received.
        self.size = self._kept_bytes = 0
        self._is_sealed = False
        # Touched on the disk's side only, and read after it is done:
        self._file: BinaryIO | None = None
        self._error: BaseException | None = None
        #: What has computed the digest of what is in the file.
        self.digest: Digest | None = None
        #: Whether the file was made by one step, so that it has all of `size`.
        self.was_written_whole = False

    def write(self, piece: Piece) -> None:
        """Take a piece; wait while too many bytes are queued for the disk.

        Raises:
            OSError: An earlier piece, or this one, could not be written.
        """
        size = len(piece)
        self._kept.append(piece)
        self._kept_bytes = kept_bytes = self._kept_bytes + size
        self.size = received = self.size + size
        if received == self._total:
            return  # the end comes at once
        if kept_bytes < self._piece_bytes:
            self._disk.keep(self, size)
            return
        self.hand_over()
        if self._error is not None:
            raise self._error

    def hand_over(self) -> None:
        """Pass the pieces that are kept to the disk."""
        if self._is_sealed:
            return
        kept, self._kept = self._kept, []
        size, self._kept_bytes = self._kept_bytes, 0
        if kept:
            self._disk.submit(lambda: self._try_to_write(kept), size)

    def seal(self) -> int:
        """Note that the body has ended. The steps of the end write what is kept: so many bytes."""
        self._is_sealed = True
        return self._kept_bytes

    def take_whole(self) -> list[Piece] | None:
        """Take the pieces of a sealed body if the disk has had none, and is to make its file."""
        if self._kept_bytes != self.size or self._write_whole is None:
            return None
        kept, self._kept = self._kept, _NOTHING
        return kept

    def giving_up(self) -> Steps[None]:
        """Return the steps for a body that broke off: what was received is written to the file."""
        self._end()
        return
        yield

    # -- on the disk's side

    def complete(self) -> None:
        """Write what is kept of a sealed body, and close the file; no bytes make an empty one.

        Raises:
            OSError: Something could not be written.
        """
        if self._write_whole is not None and self._file is None and self._error is None:
            kept, self._kept = self._kept, _NOTHING  # this object lives until its file has its name
            self._write_whole(self._part, kept)
            self.was_written_whole = True
            if self._begin_digest is not None:
                self.digest = self._begin_digest(None)
            self._use_up(kept)
            return
        if self._file is None and not self._kept:
            self._try_to_write([])
        self._end()

    def _end(self) -> None:
        kept, self._kept = self._kept, _NOTHING
        if kept:
            self._try_to_write(kept)
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._error is not None:
            raise self._error

    def _try_to_write(self, pieces: list[Piece]) -> None:
        if self._error is not None:
            return
        try:
            file = self._file
            if file is None:
                file = self._file = self._open_file(self._part)
                if self._begin_digest is not None:
                    self.digest = self._begin_digest(file)
            write_all(file.fileno(), pieces)
            self._use_up(pieces)
        except BaseException as error:  # raised to the worker
            self._error = error

    def _use_up(self, pieces: list[Piece]) -> None:
        """Do what is to be done with pieces that are in the file."""
        for piece in pieces:
            if self.digest is not None:
                self.digest.update(piece)
            if type(piece) is memoryview:
                self._disk.buffers.release(piece)
