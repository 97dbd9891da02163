"""Finds out by trying how many requests at once a host accepts. No thread, no clock.

- A refusal (429, 503, a connection that is refused) halves the number. Requests that were under way
  when that was decided say nothing new, so refusals that come together count once.
- As many successes as there are places add one place.
- A number that was refused is remembered. Up to there the number grows again at once; beyond, only
  after a long time without a refusal, and after a longer one each time. So a server is asked for
  more than it accepts only now and then.
"""

from __future__ import annotations

import sys

__all__ = ["Throttle"]

#: Successes before a number that was refused is tried again, and at most.
_PATIENCE = 100
_LONGEST_PATIENCE = 1600


class Throttle:
    """The places at one host. Not thread-safe: its owner holds a lock.

    Args:
        most: As many as there may be; None for no limit.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        #: Requests at once.
        self.limit = sys.maxsize if most is None else most
        #: A number of requests at once that was refused; None while there is none.
        self._refused_at: int | None = None
        self._patience = _PATIENCE
        self._successes = 0
        self._started = 0
        self._cut_at = 0

    @property
    def was_refused(self) -> bool:
        """Whether the host has refused a request."""
        return self._refused_at is not None

    def allow(self, most: int | None) -> None:
        """Set the number of places; it is lower if the host has refused that number."""
        before, self._most = self._most, most
        top = sys.maxsize if most is None else most
        if self.limit > top or not self.was_refused or before == self.limit:
            self.limit = top

    def start(self) -> int:
        """Note that a request starts; returns its number, for `refuse`."""
        self._started += 1
        return self._started

    def succeed(self) -> None:
        """Note a response that was not refused."""
        self._successes += 1
        wanted = self.limit
        if self._refused_at is not None and self.limit + 1 >= self._refused_at:
            wanted = self._patience
        if self._successes < wanted:
            return
        self._successes = 0
        if self._refused_at is not None and (self._most is None or self.limit < self._most):
            self.limit += 1

    def refuse(self, number: int, running: int) -> None:
        """Note a refusal.

        Args:
            number: What `start` returned.
            running: Requests that run at the host, this one included.
        """
        if number <= self._cut_at:
            return
        self._cut_at = self._started
        self._successes = 0
        running = max(min(running, self.limit), 1)
        if self._refused_at is not None and running >= self._refused_at:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        self._refused_at = running
        self.limit = max(running // 2, 1)
