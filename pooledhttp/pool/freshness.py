"""What is known of how long one origin keeps an idle connection open.

Two questions are answered from it:

    limit      up to which idle age is a connection worth trying at all?         (every request)
    trust      up to which idle age may a request use it that must not be lost?  (careful ones)

What is learned, and from what:

    told       the peer named its limit                       both are that, less a margin
    alive      a connection was found alive at an idle age    trust reaches nearly to that age
    closed     a connection was found closed at an idle age   trust falls below it, and limit if an
                                                              idle timeout can be the reason

A peer that restarts closes connections of any age. A close far below an age at which others were
found alive is therefore doubted: careful requests respect it at once, since trust comes back with
the next connection that is found alive, but `limit` believes it only when it happens again.
What was learned by a close is forgotten after a while, because nothing else could ever correct it:
connections beyond the limit are not kept to be observed.
"""

from __future__ import annotations

from math import inf

__all__ = ["Freshness"]

#: Trusted before anything is known. Common servers keep connections for 5 s and more, proxies 1 s.
_START_SECONDS = 2.0

#: The part of a known age that is used: the request must arrive while the peer still listens.
_MARGIN = 0.9

#: Taken off an announced limit, but never more than half of it. Servers announce whole seconds and
#: round down; one second is what a slow network and a busy peer may take.
_HINT_MARGIN_SECONDS = 1.0

#: An idle limit below this is not believed: reuse within a second is the pool's whole purpose, and
#: the probe and the replay catch what dies so young.
_LEAST_LIMIT_SECONDS = 1.0

#: Trust below this is none. A peer that closes behind each answer is found alive for as long as its
#: farewell is on the way, which says nothing; and a request takes a while to get there, too.
_LEAST_TRUST_SECONDS = 0.05

#: How long a learned limit holds.
_MEMORY_SECONDS = 300.0

#: Closes this close together are one incident, such as a restart that closes every connection.
_INCIDENT_SECONDS = 5.0


class Freshness:
    """The knowledge about one origin. Guarded by the lock of the pool; ages in seconds."""

    __slots__ = (
        "_doubted_at", "_forget_at", "_good", "_hint", "_is_hint_wrong", "_proved", "limit",
        "trust",
    )  # fmt: skip

    limit: float  #: At this idle age and beyond, a connection is not used; `inf` for no limit.
    trust: float  #: Below this idle age, a careful request may use a connection.

    def __init__(self) -> None:
        self._good = _START_SECONDS  # believed alive at that age
        self._proved = 0.0  # seen alive at that age
        self._hint = inf
        self._is_hint_wrong = False
        self._doubted_at = -inf
        self._forget_at = inf
        self.limit = inf
        self.trust = _START_SECONDS * _MARGIN

    def keeps_for(self, told_seconds: float) -> float:
        """Return how long to keep a connection whose peer said it would keep it that long."""
        return max(told_seconds - _HINT_MARGIN_SECONDS, told_seconds * 0.5)

    def told(self, seconds: float) -> None:
        """The peer named its idle limit."""
        usable = self.keeps_for(seconds)
        if usable != self._hint:
            self._hint = usable
            self._settle()

    def saw_alive(self, age: float) -> None:
        """A connection that had been idle for `age` was alive."""
        if age > self._proved:
            self._proved = age
        if age > self._good:
            self._good = age
            self._settle()

    def saw_closed(self, age: float, now: float) -> None:
        """A connection that had been idle for `age` was closed by the peer, some time before."""
        age = max(age, 0.0)
        if age < self._hint:
            self._is_hint_wrong = True
        self._good = min(self._good, age * _MARGIN)
        if age * 2 > self._proved or self._is_believed(now):
            self._proved = min(self._proved, age * _MARGIN)
            self.limit = min(self.limit, max(age * _MARGIN, _LEAST_LIMIT_SECONDS))
            self._forget_at = now + _MEMORY_SECONDS
        self._settle()

    def _is_believed(self, now: float) -> bool:
        """Whether a close at a surprising age has happened before, apart from this incident."""
        if now - self._doubted_at > _MEMORY_SECONDS:
            self._doubted_at = now
            return False
        return now - self._doubted_at > _INCIDENT_SECONDS

    def review(self, now: float) -> None:
        """Forget a learned limit that is too old to go by."""
        if now >= self._forget_at:
            self.limit = inf
            self._forget_at = inf
            self._is_hint_wrong = False
            self._settle()

    def _settle(self) -> None:
        known = self._good * _MARGIN
        if self._hint != inf:
            # Once it closed a connection before the time it named, what was seen alive counts.
            known = min(self._hint, known) if self._is_hint_wrong else self._hint
        known = min(known, self.limit if self.limit == inf else self.limit * _MARGIN)
        self.trust = known if known >= _LEAST_TRUST_SECONDS else 0.0
