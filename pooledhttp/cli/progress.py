"""How far a long run is, on one line of a terminal.

By rich or tqdm where one of them is installed, by a line of our own where not, and not at all when
standard error is no terminal. A meter is told the counts and decides itself how often it draws.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from pooledhttp.bulk import Tally

__all__ = ["Meter", "bytes_text", "open_meter"]

#: Ten times a second looks like all the time.
_REDRAW_SECONDS = 0.1


class Meter(Protocol):
    """Shows progress."""

    def update(self, tally: Tally) -> None:
        """Show these counts, unless others were shown a moment ago."""

    def close(self) -> None:
        """Clear the line."""


def open_meter(total: int | None, *, quiet: bool = False) -> Meter:
    """Return the best meter there is.

    Args:
        total: How many items there will be; `None` when nobody knows.
        quiet: Show nothing.
    """
    if quiet or not sys.stderr.isatty():
        return _NoMeter()
    for make in (_RichMeter, _TqdmMeter):
        try:
            return make(total)
        except ImportError:
            continue
    return _LineMeter(total, sys.stderr)


def bytes_text(size: float) -> str:
    """Write a number of bytes for people: `12.3 MB`."""
    if size < 1000:
        return f"{size:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


class _NoMeter:
    """Shows nothing."""

    def update(self, tally: Tally) -> None: ...

    def close(self) -> None: ...


class _LineMeter:
    """Rewrites one line."""

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._of_total = "" if total is None else f" of {total}"
        self._stream = stream
        self._drawn_at = 0.0

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        counts = f"{tally.done}{self._of_total} done, {tally.failed} failed"
        self._stream.write(f"\r{counts}, {bytes_text(tally.size)}\x1b[K")
        self._stream.flush()

    def close(self) -> None:
        if self._drawn_at:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class _RichMeter:
    """A bar drawn by rich."""

    def __init__(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar: Any = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total, note="")
        self._bar.start()
        self._drawn_at = 0.0

    def update(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        note = f"{tally.failed} failed, {bytes_text(tally.size)}"
        self._bar.update(self._task, completed=tally.done, note=note)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.stop()


class _TqdmMeter:
    """A bar drawn by tqdm, which minds the rate itself."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(total=total, file=sys.stderr, leave=False, unit="url")

    def update(self, tally: Tally) -> None:
        self._bar.set_postfix_str(f"{tally.failed} failed, {bytes_text(tally.size)}", refresh=False)
        self._bar.update(tally.done - self._bar.n)

    def close(self) -> None:
        self._bar.close()
