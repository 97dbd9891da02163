"""Checks a body against what its job expects, and computes the digest to record."""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Protocol

from pooledhttp.buffers import Piece
from pooledhttp.bulk.bodies import PIECE_BYTES
from pooledhttp.bulk.jobs import Job

__all__ = ["Checks", "Digest"]


class Digest(Protocol):
    """What `hashlib` computes."""

    def update(self, data: Piece, /) -> None:
        """Add more bytes of the body."""
        ...

    def hexdigest(self) -> str:
        """Return the digest so far, in hex."""
        ...


class Checks:
    """The checks of the body of one job.

    Args:
        job: The job.
        algorithm: The algorithm of the digest to record if the job expects none; None records none.
    """

    def __init__(self, job: Job, algorithm: str | None) -> None:
        self._job = job
        if job.sha256 is not None:
            algorithm = "sha256"
        elif job.md5 is not None and algorithm is None:
            algorithm = "md5"
        self._algorithm = algorithm
        #: Whether a body may be anything, and no digest is wanted.
        self.are_empty = algorithm is None and job.size is None

    def digest(self, file: BinaryIO | None = None) -> Digest | None:
        """Return what computes the digest, having read a file's rest; None when there is none."""
        if self._algorithm is None:
            return None
        return _read_into(hashlib.new(self._algorithm, usedforsecurity=False), file)

    def begin_digest(self, file: BinaryIO | None) -> Digest | None:
        """Return what computes the digest of a new file; None when there is none."""
        return self.digest()

    def text(self, digest: Digest | None) -> str | None:
        """Return a digest as it is recorded: `algorithm:hex`."""
        return None if digest is None else f"{self._algorithm}:{digest.hexdigest()}"

    @property
    def needs_md5(self) -> bool:
        """Whether an MD5 has to be computed beside the digest that is recorded."""
        return self._job.md5 is not None and self._algorithm != "md5"

    def reads_body(self, digest: Digest | None) -> bool:
        """Whether the whole body has to be read, since a digest is missing."""
        return self.needs_md5 or (digest is None and self._algorithm is not None)

    def wrong(self, size: int, found: str | None, file: BinaryIO | None) -> str | None:
        """Return what is wrong with a body.

        Args:
            size: Its bytes.
            found: Its digest, as `text` gives it.
            file: The body, if `needs_md5`.

        Returns:
            The reason; None when it is as the job expects.
        """
        job = self._job
        if job.size is not None and size != job.size:
            return f"wrong size: {size} bytes, not {job.size}"
        if job.sha256 is not None and found != f"sha256:{job.sha256.lower()}":
            return f"wrong checksum: {found}, not sha256:{job.sha256.lower()}"
        if job.md5 is not None:
            if self.needs_md5:
                found = f"md5:{_read_into(hashlib.md5(usedforsecurity=False), file).hexdigest()}"
            if found != f"md5:{job.md5.lower()}":
                return f"wrong checksum: {found}, not md5:{job.md5.lower()}"
        return None


def _read_into(digest: Digest, file: BinaryIO | None) -> Digest:
    if file is not None:
        for piece in iter(lambda: file.read(PIECE_BYTES), b""):
            digest.update(piece)
    return digest
