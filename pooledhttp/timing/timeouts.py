"""From any accepted `timeout=` to the limits of one exchange.

    timeout=                        connect    pool     read     write    total
    None                            -          -        -        -        -
    5                               5          5        5        5        -
    (3, 10)                         3          3        10       10       -
    Timeout(total, connect, ...)    connect    pool     read     write    one running deadline
    urllib3.Timeout(c, r, total)    min(c,t)   min(c,t) what total leaves, at most r     -

`connect`, `read` and `write` limit one operation: a server that sends a byte now and then stays
within `read` forever. Only our `Timeout` has a `total` that ends the whole request, redirects,
retries and streaming included. urllib3's `total` is not that: it limits connecting, and what
connecting and sending leave of it limits each *single* read. `TimeoutPlan.read_limit` keeps that.
"""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import urllib3

from pooledhttp.records import field, record, replace
from pooledhttp.timing.clock import Clock, monotonic
from pooledhttp.timing.deadline import Deadline
from pooledhttp.timing.spent import Spent

__all__ = ["Timeout", "TimeoutPlan", "plan_timeout", "timeout_pair", "total_left"]

#: urllib3's mark for "the caller said nothing", which here means no limit.
_UNSAID = urllib3.Timeout.DEFAULT_TIMEOUT

#: What is left of a total that is over; see `total_left`.
SHORTEST_SECONDS = 0.001


def _seconds(name: str, given: Any) -> float | None:
    """Check one limit and return it as a float; None and infinity mean no limit.

    Raises:
        ValueError: It is not an int or float, or it is a boolean, NaN, zero or negative.
    """
    if given is None or given is _UNSAID:
        return None
    try:
        if isinstance(given, (bool, str, bytes, bytearray)):
            raise TypeError
        seconds = float(given)
    except (TypeError, ValueError):
        raise ValueError(
            f"The {name} timeout is {given!r}; it must be an int, float or None (seconds)."
        ) from None
    if isnan(seconds) or seconds <= 0:
        raise ValueError(
            f"The {name} timeout is {given!r}; it must be greater than 0. Use None for no limit."
        )
    return None if seconds == inf else seconds


@record
class Timeout:
    """The limits of one request, each in seconds, None for no limit.

    A value: two with the same limits are equal, also when one of them is running, and it can be
    kept and used for any number of requests. Only `start` makes a running one.

    Args:
        total: For the whole request: lookup, the wait for a connection, connecting, sending,
            receiving, redirects, retries and their pauses, and reading a streamed body.
        connect: For getting connected, TLS and proxies included.
        read: Between two pieces of the response.
        write: Between two pieces of the request that the server accepts.
        pool: For the wait for a free connection.

    Raises:
        ValueError: A limit is not a positive number.
    """

    total: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None
    #: Where `total` ends, once started; None before that, or without a total.
    deadline: Deadline | None = field(default=None, init=False, repr=False, compare=False)
    #: What has used it up so far, once started.
    spent: Spent | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("total", "connect", "read", "write", "pool"):
            _seconds(name, getattr(self, name))

    def start(self, now: Clock = monotonic) -> Timeout:
        """Return an equal timeout whose `total` is running.

        One that already runs, or that has no total, is returned as it is: a redirect or a retry
        must not start the count again.
        """
        total = _seconds("total", self.total)
        if total is None or self.deadline is not None:
            return self
        running = replace(self)
        object.__setattr__(running, "deadline", Deadline.after(total, now))
        object.__setattr__(running, "spent", Spent(now))
        return running

    def __copy__(self) -> Timeout:
        return self

    def __deepcopy__(self, memo: object) -> Timeout:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # The reading of this process's clock means nothing elsewhere: it is pickled as not started.
        return Timeout, (self.total, self.connect, self.read, self.write, self.pool)


@record
class TimeoutPlan:
    """What `timeout=` means: seconds per operation, and one deadline over all.

    Attributes:
        connect: Seconds to get connected; None for no limit.
        read: Seconds between two pieces of the response; None for no limit.
        write: Seconds between two accepted pieces of the request; None for no limit.
        pool: Seconds to wait for a slot; None leaves that to the pool's own setting.
        total: When the whole request has to be over.
        urllib3_total: When the `total` of a `urllib3.Timeout` is over; see `read_limit`.
        spent: Sums up the seconds per phase, for the error when `total` is over; None without one.
    """

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None
    total: Deadline
    urllib3_total: Deadline | None = None
    spent: Spent | None = None

    def read_limit(self) -> float | None:
        """Return the seconds for each read, to be asked once, when the request has been sent.

        It is `read`, except under urllib3's `total`: then it is no more than what is left of that.
        """
        if self.urllib3_total is None:
            return self.read
        left = self.urllib3_total.remaining()
        return left if self.read is None else min(left, self.read)

    def within(self, seconds: float) -> TimeoutPlan:
        """Return the same plan with a total that ends `seconds` from now, unless it did sooner."""
        return replace(self, total=self.total.sooner(seconds))


def plan_timeout(timeout: object, now: Clock = monotonic) -> TimeoutPlan:
    """Turn any accepted `timeout=` into limits.

    Args:
        timeout: None, seconds, a `(connect, read)` tuple, `Timeout`, or `urllib3.Timeout`.
        now: The clock that deadlines are counted on.

    Raises:
        ValueError: It is none of these, or a limit is not a positive number.
    """
    if timeout is None:
        return TimeoutPlan(None, None, None, None, Deadline(inf, now))
    if isinstance(timeout, Timeout):
        return _plan_ours(timeout, now)
    if isinstance(timeout, tuple):
        connect, read = _pair(timeout)
        return TimeoutPlan(connect, read, read, connect, Deadline(inf, now))
    if isinstance(timeout, urllib3.Timeout):
        return _plan_urllib3(timeout, now)
    each = _one_number(timeout)
    return TimeoutPlan(each, each, each, each, Deadline(inf, now))


def _plan_ours(timeout: Timeout, now: Clock) -> TimeoutPlan:
    running = timeout.start(now)
    return TimeoutPlan(
        _seconds("connect", timeout.connect),
        _seconds("read", timeout.read),
        _seconds("write", timeout.write),
        _seconds("pool", timeout.pool),
        Deadline(inf, now) if running.deadline is None else running.deadline,
        spent=running.spent,
    )


def timeout_pair(timeout: Timeout) -> tuple[float | None, float | None]:
    """Return a timeout as `(connect, read)`, for adapters of other packages.

    Args:
        timeout: The timeout. What is left of its total limits both.
    """
    total = total_left(timeout)
    connect, read = _seconds("connect", timeout.connect), _seconds("read", timeout.read)
    return _lesser(connect, total), _lesser(read, total)


def total_left(timeout: Timeout) -> float | None:
    """Return the seconds that are left of a total, for other packages; None without a total.

    They refuse a timeout of zero. So a total that is over has a moment left, and is their timeout.
    """
    if timeout.deadline is None:
        return _seconds("total", timeout.total)
    return max(timeout.deadline.remaining(), SHORTEST_SECONDS)


def _one_number(timeout: object) -> float | None:
    try:
        return _seconds("connect", timeout)
    except ValueError as error:
        if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
            raise
        advice = "it must be an int, float or None (seconds), a (connect, read) tuple or a Timeout."
        if isinstance(timeout, Exception):  # `pooledhttp.Timeout(10)` is the exception
            advice = "Timeout takes its limits by name, such as Timeout(total=10)."
        raise ValueError(f"timeout={timeout!r} cannot be used: {advice}") from error.__cause__


def _pair(timeout: tuple[object, ...]) -> tuple[float | None, float | None]:
    try:
        connect, read = timeout
        return _seconds("connect", connect), _seconds("read", read)
    except ValueError as error:
        raise ValueError(
            f"timeout={timeout!r} cannot be used: pass a (connect, read) tuple of seconds, or one "
            f"number for both. {str(error).rstrip('.')}."
        ) from None


def _plan_urllib3(timeout: urllib3.Timeout, now: Clock) -> TimeoutPlan:
    # `_connect` and `_read` are the values as given. The public properties mix in the module-wide
    # socket default and, for reading, raise before urllib3's own timer was started.
    total = _seconds("total", timeout.total)
    connect = _lesser(_seconds("connect", timeout._connect), total)
    read = _lesser(_seconds("read", timeout._read), total)
    total_end = None if total is None else Deadline.after(total, now)
    return TimeoutPlan(connect, read, read, connect, Deadline(inf, now), total_end)


def _lesser(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
