"""The rates of a run: requests a second, bytes a second, and the lowest speed of a body.

Plain decisions over a clock that is passed in. The caller does the waiting.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from pooledhttp.runtime import new_lock

__all__ = ["LOW_SPEED_SECONDS", "Allowance", "Rates", "Slowness", "check_rate", "make_rates"]

#: The time over which a speed is measured.
LOW_SPEED_SECONDS = 60.0


class Allowance:
    """So much a second, evenly, for all threads together.

    Args:
        per_second: How much.
        saved: The seconds for which an allowance that was not used is kept.
    """

    def __init__(self, per_second: float, saved: float = 0.0) -> None:
        self._per_second = per_second
        self._saved = saved
        self._lock = new_lock()
        #: When all that was taken is paid for.
        self._paid_at = float("-inf")

    def owed(self, now: float) -> float:
        """Return the seconds until all that was taken is paid for; 0.0 when it is."""
        return max(self._paid_at - now, 0.0)

    def owe(self, seconds: float, now: float) -> None:
        """Begin with a debt that is paid off in this many seconds."""
        self._paid_at = now + seconds

    def take(self, amount: float, now: float) -> float:
        """Take some, and return the seconds to wait for it."""
        with self._lock:
            begin = max(self._paid_at, now - self._saved)
            self._paid_at = begin + amount / self._per_second
            return max(begin - now, 0.0)


class Rates:
    """The requests a second of a run, in all and to each host.

    Args:
        rate: In all; None for no limit.
        per_host: To each origin; None for no limit.
        rate_of: Gives the rate of one origin; None where all have `per_host`.
    """

    def __init__(
        self,
        rate: float | None = None,
        per_host: float | None = None,
        rate_of: Callable[[str], float | None] | None = None,
    ) -> None:
        self._rate_of = rate_of
        self._all = None if rate is None else Allowance(rate)
        self._per_host = per_host
        self._hosts: dict[str, Allowance] = {}

    def take(self, origin: str, now: float) -> float:
        """Take one request to an origin, and return the seconds to wait before it is sent."""
        wait = 0.0 if self._all is None else self._all.take(1, now)
        host = self._hosts.get(origin)
        if host is None:
            if self._per_host is None:
                return wait
            # Of two threads that come here at once, both get the same one.
            most = None if self._rate_of is None else self._rate_of(origin)
            host = self._hosts.setdefault(origin, Allowance(most or self._per_host))
        return wait + host.take(1, now + wait)

    def limit_host(self, origin: str, per_second: float, owed: float, now: float) -> None:
        """Give one host a rate of its own.

        Args:
            origin: The host.
            per_second: Its rate.
            owed: Seconds until the next request to it, if nothing is known of it here.
            now: The time.
        """
        known = self._hosts.get(origin)
        host = self._hosts[origin] = Allowance(per_second)
        host.owe(owed if known is None else max(known.owed(now), owed), now)

    def forget_host(self, origin: str, now: float) -> float:
        """Forget a host, and return the seconds until the next request to it."""
        host = self._hosts.pop(origin, None)
        return 0.0 if host is None else host.owed(now)


class Slowness:
    """Tells when a body has been received too slowly for a minute.

    Args:
        least: Bytes a second.
        now: When it began.
    """

    def __init__(self, least: float, now: float) -> None:
        self._least = least
        self._pieces: deque[tuple[float, int]] = deque([(now, 0)])
        self._size = 0

    def is_too_slow(self, size: int, now: float) -> bool:
        """Note bytes that have come, and say whether those of the last minute are too few."""
        self._pieces.append((now, size))
        self._size += size
        began = now - LOW_SPEED_SECONDS
        if self._pieces[0][0] > began:
            return False  # it has not lasted long enough to say
        while self._pieces[1][0] <= began:
            self._pieces.popleft()
            self._size -= self._pieces[0][1]
        return self._size < self._least * LOW_SPEED_SECONDS


def make_rates(
    rate: float | None,
    per_host: float | None,
    rate_of: Callable[[str], float | None] | None = None,
) -> Rates | None:
    """Return the rates of a run; None when there is no limit.

    Raises:
        ValueError: One is not above zero.
        TypeError: One is no number.
    """
    check_rate("rate", rate)
    check_rate("per_host_rate", per_host)
    return None if rate is None and per_host is None else Rates(rate, per_host, rate_of)


def check_rate(name: str, value: float | None) -> None:
    """Check a number that is so much a second.

    Raises:
        ValueError: It is not above zero.
        TypeError: It is no number.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, or None for no limit, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0, or None for no limit, not {value}")
