"""What the pool has learned about how long one origin keeps an idle connection open.

It gives two numbers, both idle ages in seconds:

    limit      from this age on, no request uses the connection
    trust      below this age, a careful request may use it: one that must not be sent twice

What it learns from:

    learn_announced   the peer announced its idle limit    sets both, less a margin
    saw_alive         a connection of that age was alive   raises trust to nearly that age
    saw_closed        a connection of that age was closed  lowers trust below that age, and limit
                                                           if an idle timeout can be the reason

A peer that restarts closes connections of any age. A close far below an age at which other
connections were alive is therefore doubted. It lowers `trust` at once, because the next connection
found alive raises it again. It lowers `limit` only when it happens a second time.

A limit learned from a close is forgotten after five minutes. Otherwise no later observation could
correct it, because the pool keeps no connection beyond the limit.
"""

from __future__ import annotations

from math import inf

__all__ = ["KeepAlive"]

#: Trusted before anything is known. Most servers keep connections for at least 5 s, proxies 1 s.
_START_SECONDS = 2.0

#: The part of a known age that is used: the request must arrive before the peer closes.
_MARGIN = 0.9

#: Subtracted from an announced limit, but never more than half of it. Servers announce whole
#: seconds, rounded down; a slow network and a busy peer can take one second.
_ANNOUNCED_MARGIN_SECONDS = 1.0

#: A learned limit is never below this. Reuse within a second is the purpose of the pool, and the
#: probe and the replay handle connections that die so early.
_LEAST_LIMIT_SECONDS = 1.0

#: Trust below this counts as none. A peer that closes right after each response is found alive as
#: long as its close is on the way, which proves nothing; and a request needs time to arrive.
_LEAST_TRUST_SECONDS = 0.05

#: How long a learned limit holds.
_MEMORY_SECONDS = 300.0

#: Closes this close together are one incident, such as a restart that closes every connection.
_INCIDENT_SECONDS = 5.0


class KeepAlive:
    """The idle limit and the trust of one origin. The lock of the pool guards it."""

    __slots__ = (
        "_announced",
        "_doubted_at",
        "_forget_at",
        "_good",
        "_is_announcement_wrong",
        "_proved",
        "limit",
        "trust",
    )  # fmt: skip

    limit: float  #: From this idle age on, no request uses a connection; `inf` for no limit.
    trust: float  #: Below this idle age, a careful request may use a connection.

    def __init__(self) -> None:
        self._good = _START_SECONDS  # assumed alive at this age
        self._proved = 0.0  # seen alive at this age
        self._announced = inf
        self._is_announcement_wrong = False
        self._doubted_at = -inf
        self._forget_at = inf
        self.limit = inf
        self.trust = _START_SECONDS * _MARGIN

    def usable_seconds(self, announced_seconds: float) -> float:
        """Return how long to keep a connection that the peer announced to keep for so long."""
        return max(announced_seconds - _ANNOUNCED_MARGIN_SECONDS, announced_seconds * 0.5)

    def learn_announced(self, seconds: float) -> None:
        """Learn the idle limit that the peer has announced."""
        usable = self.usable_seconds(seconds)
        if usable != self._announced:
            self._announced = usable
            self._update_trust()

    def saw_alive(self, age: float) -> None:
        """Learn that a connection idle for `age` seconds was alive."""
        if age > self._proved:
            self._proved = age
        if age > self._good:
            self._good = age
            self._update_trust()

    def saw_closed(self, age: float, now: float) -> None:
        """Learn that the peer had closed a connection before it was idle for `age` seconds."""
        age = max(age, 0.0)
        if age < self._announced:
            self._is_announcement_wrong = True
        self._good = min(self._good, age * _MARGIN)
        if age * 2 > self._proved or self._is_believed(now):
            self._proved = min(self._proved, age * _MARGIN)
            self.limit = min(self.limit, max(age * _MARGIN, _LEAST_LIMIT_SECONDS))
            self._forget_at = now + _MEMORY_SECONDS
        self._update_trust()

    def _is_believed(self, now: float) -> bool:
        """Whether a close at a surprising age has happened before, in another incident."""
        if now - self._doubted_at > _MEMORY_SECONDS:
            self._doubted_at = now
            return False
        return now - self._doubted_at > _INCIDENT_SECONDS

    def forget_outdated(self, now: float) -> None:
        """Forget a learned limit that is too old."""
        if now >= self._forget_at:
            self.limit = inf
            self._forget_at = inf
            self._is_announcement_wrong = False
            self._update_trust()

    def _update_trust(self) -> None:
        known = self._good * _MARGIN
        if self._announced != inf:
            # After the peer has closed a connection too early, only observations count.
            known = min(self._announced, known) if self._is_announcement_wrong else self._announced
        known = min(known, self.limit if self.limit == inf else self.limit * _MARGIN)
        self.trust = known if known >= _LEAST_TRUST_SECONDS else 0.0
