"""What the pool has learned about how long one origin keeps an idle connection open.

"Age" here is the time that a connection has been idle, in seconds. Two ages are the result:

    limit      no request uses a connection of this age or older
    trust      a careful request, which must not be sent twice, uses only younger connections

An announced limit changes only `trust` here; each slot has its own end of it in `keep_until`. The
pool learns from three observations:

    learn_announced   the peer announced its idle limit      sets `trust`, less a margin
    saw_alive         a connection of some age was alive     raises `trust` to nearly that age
    saw_closed        the peer had closed a connection of    lowers `trust` below that age, and
                      some age                               `limit` if an idle timeout can be why

A peer that restarts closes connections of any age. So if a close is observed at less than half an
age at which another connection was alive, the idle timeout is probably not the reason. Such a close
lowers `trust` at once, because the next connection found alive raises it again. It lowers `limit`
only when it happens again, more than five seconds and at most five minutes after the first time:
closes within five seconds are one incident.

A limit learned from a close is forgotten after five minutes. Otherwise no later observation could
correct it, because the pool keeps no connection beyond the limit.
"""

from __future__ import annotations

from math import inf

__all__ = ["KeepAliveEstimate"]

#: The age that is taken as good before anything is known. Most servers keep an idle connection for
#: at least 5 s, but some proxies only for 1 s; a wrong guess costs a probe or a replay.
_START_SECONDS = 2.0

#: The part of an observed age that is used, because the request must arrive before the peer closes.
_MARGIN = 0.9

#: Subtracted from an announced limit, but never more than half of it. Servers announce whole
#: seconds, rounded down; a slow network and a busy peer can take one second.
_ANNOUNCED_MARGIN_SECONDS = 1.0

#: A learned limit is never below this. Reuse within a second is the purpose of the pool, and the
#: probe and the replay handle connections that die so early.
_LEAST_LIMIT_SECONDS = 1.0

#: A lower `trust` becomes zero. If a peer closes right after each response, a probe finds the
#: connection alive until the close arrives, which proves nothing. A request also takes time to
#: arrive.
_LEAST_TRUST_SECONDS = 0.05

#: How long a learned limit holds.
_MEMORY_SECONDS = 300.0

#: Closes this close together are one incident, such as a restart that closes every connection.
_INCIDENT_SECONDS = 5.0


class KeepAliveEstimate:
    """The idle limit and the trust of one origin. The lock of the pool guards it."""

    __slots__ = (
        "_announced",
        "_assumed_alive",
        "_early_close_at",
        "_forget_at",
        "_is_announcement_wrong",
        "_longest_alive",
        "limit",
        "trust",
    )  # fmt: skip

    limit: float  #: From this idle age on, no request uses a connection; `inf` for no limit.
    trust: float  #: Below this idle age, a careful request may use a connection.

    def __init__(self) -> None:
        self._assumed_alive = _START_SECONDS  # the trusted age before margins; each close lowers it
        # The greatest age at which one was alive; a confirmed close lowers it.
        self._longest_alive = 0.0
        self._announced = inf  # the announced idle limit, less the margin
        self._is_announcement_wrong = False  # the peer has closed one before that
        self._early_close_at = -inf  # when the last incident of early closes began
        self._forget_at = inf  # when the learned limit is forgotten
        self.limit = inf
        self.trust = _START_SECONDS * _MARGIN

    def usable_seconds(self, announced_seconds: float) -> float:
        """Return how long to use a connection that the peer announced to keep open."""
        return max(announced_seconds - _ANNOUNCED_MARGIN_SECONDS, announced_seconds * 0.5)

    def learn_announced(self, seconds: float) -> None:
        """Learn the idle limit that the peer has announced."""
        usable = self.usable_seconds(seconds)
        if usable != self._announced:
            self._announced = usable
            self._update_trust()

    def saw_alive(self, age: float) -> None:
        """Learn that a connection idle for `age` seconds was alive."""
        if age > self._longest_alive:
            self._longest_alive = age
        if age > self._assumed_alive:
            self._assumed_alive = age
            self._update_trust()

    def saw_closed(self, age: float, now: float) -> None:
        """Learn that a connection was found closed after it had been idle for `age` seconds."""
        age = max(age, 0.0)
        if age < self._announced:
            self._is_announcement_wrong = True
        self._assumed_alive = min(self._assumed_alive, age * _MARGIN)
        if age * 2 > self._longest_alive or self._confirm_early_close(now):
            self._longest_alive = min(self._longest_alive, age * _MARGIN)
            self.limit = min(self.limit, max(age * _MARGIN, _LEAST_LIMIT_SECONDS))
            self._forget_at = now + _MEMORY_SECONDS
        self._update_trust()

    def _confirm_early_close(self, now: float) -> bool:
        """Remember an early close; return whether an earlier incident has already shown one."""
        if now - self._early_close_at > _MEMORY_SECONDS:
            self._early_close_at = now
            return False
        return now - self._early_close_at > _INCIDENT_SECONDS

    def forget_outdated(self, now: float) -> None:
        """Forget a learned limit that is too old, and any doubt about the announced one."""
        if now >= self._forget_at:
            self.limit = inf
            self._forget_at = inf
            self._is_announcement_wrong = False
            self._update_trust()

    def _update_trust(self) -> None:
        known = self._assumed_alive * _MARGIN
        if self._announced != inf:
            # After a close before the announced end, the announcement is only an upper bound.
            known = min(self._announced, known) if self._is_announcement_wrong else self._announced
        known = min(known, self.limit * _MARGIN)
        self.trust = known if known >= _LEAST_TRUST_SECONDS else 0.0
