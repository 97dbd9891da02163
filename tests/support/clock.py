"""A clock that stands still until a test turns it."""

from __future__ import annotations

from pooledhttp.timing import Deadline

__all__ = ["FakeClock"]


class FakeClock:
    """Seconds that pass only by `advance`.

    Args:
        start: The first reading. Not zero, so that a test finds code that takes 0 for "not set".
    """

    def __init__(self, start: float = 1000.0) -> None:
        self._seconds = start

    def now(self) -> float:
        """Return the current reading, in seconds."""
        return self._seconds

    __call__ = now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass.

        Raises:
            ValueError: They are negative; a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot be turned back by {-seconds} s")
        self._seconds += seconds

    def deadline(self, seconds: float | None) -> Deadline:
        """Return the deadline that many seconds from now on this clock; None for never."""
        return Deadline.after(seconds, self.now)

    def __repr__(self) -> str:
        return f"<FakeClock {self._seconds}>"
