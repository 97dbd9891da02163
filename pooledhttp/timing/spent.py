"""Where the time of one request went.

A total that runs out says nothing of what used it up: the last phase may have been the shortest.
So a running `Timeout` carries a `Spent`, which is told when a phase begins, over all redirects and
retries, and is asked when time is up. Requests without a total have none, and pay nothing.
"""

from __future__ import annotations

from pooledhttp.timing.clock import Clock

__all__ = ["Spent"]

#: Phases that took less are left out of the text.
_LEAST_SECONDS = 0.005


class Spent:
    """Seconds by phase. One request's, and so one thread's at a time.

    Args:
        now: The clock.
    """

    __slots__ = ("_now", "_phase", "_seconds", "_since")

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._seconds: dict[str, float] = {}
        self._phase: str | None = None
        self._since = 0.0

    def begin(self, phase: str | None) -> None:
        """End the phase that is under way, and begin another.

        Args:
            phase: Its name as it is to be read; None for time that is not the request's, but the
                caller's.
        """
        now = self._now()
        if self._phase is not None:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._since
        self._phase = phase
        self._since = now

    def by_phase(self) -> dict[str, float]:
        """Seconds by phase so far, in the order in which they first came."""
        self.begin(self._phase)
        return dict(self._seconds)

    def __str__(self) -> str:
        found = self.by_phase()
        told = [f"{name} {took:.2f} s" for name, took in found.items() if took >= _LEAST_SECONDS]
        return ", ".join(told)
