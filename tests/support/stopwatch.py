"""How long something took, less the time in which the machine did not run this process.

An upper bound on wall time fails on a machine that is busy with something else. A thread that wakes
every few milliseconds tells the two apart: while it comes late although this process has used no
processor, the process was kept waiting by others. Sleeping, polling and computing all count.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

__all__ = ["Stopwatch"]

TICK_SECONDS = 0.01

#: As much of the time between two ticks counts in any case: three times what is asked for.
LATE_SECONDS = 0.03


class Stopwatch:
    """Measures a `with` block; `seconds` is what it has taken so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._at, self._used = time.monotonic(), time.process_time()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Stop."""
        self._is_over.set()
        self._thread.join()
        self._count()

    def _run(self) -> None:
        while not self._is_over.wait(TICK_SECONDS):
            self._count()

    def _count(self) -> None:
        at, used = time.monotonic(), time.process_time()
        gap = at - self._at
        self.seconds += min(gap, max(LATE_SECONDS, used - self._used))
        self._at, self._used = at, used
