"""What a response needs of its body, whichever connection it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pooledhttp.buffers import BufferPool, Piece

__all__ = ["Reader"]


class Reader(Protocol):
    """The body behind `raw`, as http.client's response offers it."""

    def read(self, amt: int | None = None, /) -> bytes:
        """Read `amt` bytes, all of them for `None`."""

    def read1(self, amt: int = -1, /) -> bytes:
        """Read what has arrived, at most `amt` bytes; wait only for the first."""

    def read_pooled(self, buffers: BufferPool) -> Piece:
        """Read what has arrived, chunks joined; wait only for the first byte.

        Args:
            buffers: One of them may get the bytes. At most so many are read as a buffer has.
        """

    def peek(self, amt: int = 0, /) -> bytes:
        """Return what has arrived and leave it unread; wait only for the first byte."""

    def read_piece(self, amt: int) -> bytes:
        """Read up to `amt` bytes without crossing the end of a chunk."""

    def arrived_chunks(self, amt: int) -> Iterator[bytes]:
        """Yield chunks of at most `amt` bytes that have arrived, perhaps not all; wait for none."""

    def read_ahead(self) -> None:
        """Read the whole body and keep it for a later `read`."""

    def limit_remaining_time(self, seconds: float) -> None:
        """Allow at most `seconds` from now for the rest of the body."""

    def close(self) -> None:
        """End the body wherever it is."""

    def release(self) -> None:
        """End the body wherever it is; a later read raises an error if the body was not read."""

    @property
    def parser(self) -> str:
        """The library that has read the head: `"h11"` or `"httptools"`."""

    @property
    def is_finished(self) -> bool:
        """Whether the lease has ended."""

    @property
    def closed(self) -> bool:
        """Whether there is nothing left to read."""

    @property
    def fp(self) -> Any:
        """The file below the body while the connection is held; `None` afterwards."""
