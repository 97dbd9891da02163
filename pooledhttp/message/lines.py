"""Cutting a body that comes in pieces into lines."""

from __future__ import annotations

from typing import Any

__all__ = ["LineSplitter"]


class LineSplitter:
    r"""Cuts pieces of text or bytes into lines, without their ends.

    A `"\r\n"` that falls between two pieces counts as two line ends, as in requests.

    Args:
        delimiter: What ends a line. None means what `splitlines` takes for an end.
    """

    def __init__(self, delimiter: str | bytes | None = None) -> None:
        self._delimiter: Any = delimiter
        self._unfinished: Any = None

    def feed(self, piece: Any) -> list[Any]:
        """Return the lines that end in this piece."""
        if self._unfinished is not None:
            piece = self._unfinished + piece
        lines: list[Any] = piece.split(self._delimiter) if self._delimiter else piece.splitlines()
        # Neither way of splitting says whether the last line was ended: it was not, if it reaches
        # up to the last character of the piece.
        reaches_end = bool(lines) and bool(lines[-1]) and lines[-1][-1] == piece[-1]
        self._unfinished = lines.pop() if reaches_end else None
        return lines

    def end(self) -> list[Any]:
        """Return the line that no piece has ended, if there is one."""
        return [] if self._unfinished is None else [self._unfinished]
