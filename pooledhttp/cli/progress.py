"""How far a long run is: a bar on a terminal, elsewhere a line every ten seconds.

The bar is drawn by rich or tqdm where one of them is installed, by a line of our own where not. A
meter is told the counts and decides itself how often it draws.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from pooledhttp.cli.speed import Speed, bytes_text

if TYPE_CHECKING:
    from pooledhttp.bulk import Tally
    from pooledhttp.cli.speed import Hosts

__all__ = ["Meter", "open_meter"]

#: Ten times a second looks like all the time.
_REDRAW_SECONDS = 0.1

#: In a log, a line every ten seconds shows that it goes on and fills no disk.
_LOG_SECONDS = 10.0


class Meter(Protocol):
    """Shows progress."""

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        """Show these counts, unless others were shown a moment ago."""

    def close(self) -> None:
        """Clear the line."""


def open_meter(total: int | None, *, quiet: bool = False) -> Meter:
    """Return the best meter there is.

    Args:
        total: How many items there will be; `None` when that is not known.
        quiet: Show nothing.
    """
    if quiet or sys.stderr is None:
        return _NoMeter()
    if not sys.stderr.isatty():
        return LogMeter(total, sys.stderr)
    for make in (_RichMeter, _TqdmMeter):
        try:
            return make(total)
        except ImportError:
            continue
    return _LineMeter(total, sys.stderr)


def _counts(tally: Tally, total: int | None) -> str:
    of_total = "" if total is None else f" of {total}"
    received = bytes_text(max(tally.size, tally.received))
    return f"{tally.done}{of_total} done, {tally.failed} failed, {received}"


def _line(tally: Tally, total: int | None, more: str) -> str:
    return ", ".join(part for part in (_counts(tally, total), more) if part)


class _Interval:
    """Tells when it is time to draw again."""

    def __init__(self, seconds: float, now: Callable[[], float], *, is_due: bool = True) -> None:
        self._seconds = seconds
        self._now = now
        self._next = now() if is_due else now() + seconds

    def is_over(self) -> bool:
        """Whether the interval is over; the next one begins then."""
        now = self._now()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class _NoMeter:
    """Shows nothing."""

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Clear nothing."""


class LogMeter:
    """Writes a line every ten seconds, without control characters.

    Args:
        total: How many items there will be; `None` when that is not known.
        stream: Where to.
        now: The clock.
    """

    def __init__(
        self, total: int | None, stream: TextIO, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._stream = stream
        self._interval = _Interval(_LOG_SECONDS, now, is_due=False)
        self._speed = Speed(total, now)

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        """Write a line, if it is time."""
        self._speed.note(tally)
        if self._interval.is_over():
            more = self._speed.text(tally, hosts)
            self._stream.write(f"{_line(tally, self._total, more)}\n")
            self._stream.flush()

    def close(self) -> None:
        """Write nothing more."""


class _LineMeter:
    """Rewrites one line."""

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._interval = _Interval(_REDRAW_SECONDS, time.monotonic)
        self._speed = Speed(total, time.monotonic)
        self._is_drawn = False

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        self._speed.note(tally)
        if self._interval.is_over():
            self._is_drawn = True
            line = _line(tally, self._total, self._speed.text(tally, hosts))
            width = shutil.get_terminal_size().columns - 1  # a longer line could not be rewritten
            self._stream.write(f"\r{line[:width]}\x1b[K")
            self._stream.flush()

    def close(self) -> None:
        if self._is_drawn:
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
        self._speed = Speed(total, time.monotonic)
        self._interval = _Interval(_REDRAW_SECONDS, time.monotonic)

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        self._speed.note(tally)
        if not self._interval.is_over():
            return
        note = f"{tally.failed} failed, {bytes_text(max(tally.size, tally.received))}"
        more = self._speed.text(tally, hosts)
        note += f", {more}" if more else ""
        self._bar.update(self._task, completed=tally.done, note=note)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.stop()


class _TqdmMeter:
    """A bar drawn by tqdm, which limits how often it draws."""

    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(total=total, file=sys.stderr, leave=False, unit="url")
        self._speed = Speed(None, time.monotonic)  # tqdm itself says how long it takes
        self._interval = _Interval(_REDRAW_SECONDS, time.monotonic)

    def update(self, tally: Tally, hosts: Hosts | None = None) -> None:
        self._speed.note(tally)
        if self._interval.is_over():
            received = bytes_text(max(tally.size, tally.received))
            more = self._speed.text(tally, hosts)
            text = ", ".join(part for part in (f"{tally.failed} failed", received, more) if part)
            self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(tally.done - self._bar.n)

    def close(self) -> None:
        self._bar.close()
