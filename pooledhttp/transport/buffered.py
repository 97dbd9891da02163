"""A body that was read before it was asked for, standing where its reader stood."""

from __future__ import annotations

import io

__all__ = ["BufferedBody"]


class BufferedBody(io.BytesIO):
    """The body of an answer, read inside the retry loop so that a body cut short is tried again."""

    fp = None
    #: Its connection went back when the body was read.
    is_finished = True

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def read_piece(self, amt: int) -> bytes:
        """Read up to `amt` bytes; where chunks ended is no longer known."""
        return self.read(amt)

    @property
    def closed(self) -> bool:
        """Whether nothing is left to read, as http.client's response closes itself at its end."""
        return super().closed or self.tell() >= self._size

    def isclosed(self) -> bool:
        """The same under http.client's name."""
        return self.closed
