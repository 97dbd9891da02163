"""A point in time by which something has to be over.

Handing down durations loses time: every step would start its own count, and ten steps of five
seconds take fifty. A deadline is made once, at the top, and every step asks it what remains.

    Deadline.after(30, now)              made at the top
        .sooner(connect)                 this step has its own, shorter limit
            .remaining()                 what to give to poll()

A deadline does not change. It is made several times per request, so it is a slotted object with
nothing in it but the point in time and the clock that point belongs to.
"""

from __future__ import annotations

from math import inf

from pooledhttp.timing.clock import Clock, monotonic

__all__ = ["Deadline"]


class Deadline:
    """A point on one clock. Do not change its attributes.

    Args:
        at: The clock's reading at which time is up; `math.inf` for never.
        now: The clock. Deadlines that are compared must share one.
    """

    __slots__ = ("_now", "at")

    at: float

    def __init__(self, at: float, now: Clock) -> None:
        self.at = at
        self._now = now

    @classmethod
    def after(cls, seconds: float | None, now: Clock) -> Deadline:
        """Make the deadline that lies `seconds` from now; None means never."""
        return cls(inf if seconds is None else now() + seconds, now)

    @classmethod
    def never(cls, now: Clock = monotonic) -> Deadline:
        """Make a deadline that is never reached."""
        return cls(inf, now)

    def remaining(self) -> float:
        """Return the seconds left: 0.0 when time is up, `math.inf` for never."""
        at = self.at
        if at == inf:
            return inf
        left = at - self._now()
        return left if left > 0.0 else 0.0

    @property
    def expired(self) -> bool:
        """Whether time is up."""
        return self.at != inf and self._now() >= self.at

    def sooner(self, seconds: float | None) -> Deadline:
        """Return the earlier of this deadline and `seconds` from now; None gives this one."""
        if seconds is None:
            return self
        at = self._now() + seconds
        return self if self.at <= at else Deadline(at, self._now)

    def __repr__(self) -> str:
        if self.at == inf:
            return "<Deadline never>"
        left = self.at - self._now()
        return f"<Deadline in {left:.3f} s>" if left > 0.0 else f"<Deadline {-left:.3f} s ago>"
