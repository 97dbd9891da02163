"""What SIGINT, SIGTERM and SIGHUP do to a run of `pooledhttp fetch`.

A signal does not raise in the middle of the run. It tells the run to stop, and the run ends as it
does at the end of its input. A wait for standard input is broken off by an exception, since nothing
else can reach it; and so is what comes before the run, by the first signal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pooledhttp.bulk import Download

__all__ = ["Stop"]

T = TypeVar("T")


class Stop:
    """What SIGINT, SIGTERM and SIGHUP do before the run, and while it goes on."""

    def __init__(self) -> None:
        #: The signal that came first; None when none has.
        self.signal: int | None = None
        self._is_reading = False
        self._stop: Callable[[], None] | None = None

    def guarded(self, items: Iterator[T]) -> Iterator[T]:
        """Yield items whose source may let us wait forever; a signal breaks the wait off."""
        while True:
            self._is_reading = True
            try:
                item = next(items, None)
            finally:
                self._is_reading = False
            if item is None:
                return
            yield item

    def now_stops(self, download: Download) -> None:
        """Have the signals stop a run from here on."""
        self._stop = download.stop

    def signals(self) -> ExitStack:
        """Handle the signals until the end of a `with` block."""
        stack = ExitStack()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # What is ignored stays ignored: `nohup`, and jobs in the background.
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            with suppress(ValueError):  # not in the main thread: its caller has the signals
                stack.callback(signal.signal, number, signal.signal(number, self._handle))
        return stack

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first, self.signal = self.signal is None, self.signal or number
        if self._stop is not None:
            self._stop()
        elif is_first:  # a second one must not break off what the first one has to tidy up
            raise KeyboardInterrupt
        if self._is_reading:
            self._is_reading = False
            raise KeyboardInterrupt
