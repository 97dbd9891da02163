"""What all requests to one origin share about trying again: a budget and a pause.

A retry policy sees one request. When a server is in trouble every request to it fails, every policy
says "again", and four times the usual traffic arrives where the usual was too much. Two things
that no single request can know keep that from happening:

    RetryBudget   retries of the last 10 s may be at most 20 % of the requests of the last 10 s,
                  and 10 per second beside that, so that a quiet client may always try again
    Pauses        an origin that sent 429 or 503 with `Retry-After` gets no request for that long
                  from any thread, not only from the one that got the response

Both are tables from origin to a small record, bounded (the origin untouched for longest goes
first) and safe to use from any number of threads. Time is handed in as seconds of one monotonic
clock; nothing here waits. Pickled, they arrive empty: another process has other traffic.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Generic, TypeVar

from pooledhttp.records import check_whole_number
from pooledhttp.runtime import ShortLock, register_fork_reset

__all__ = ["Pauses", "RetryBudget"]

#: Origins remembered before the one untouched for longest is dropped.
MAX_ORIGINS = 10_000

T = TypeVar("T")


class _OriginTable(Generic[T]):
    """Records by origin, the most recently used last, with the lock that guards them."""

    def __init__(self, max_origins: int) -> None:
        check_whole_number("max_origins", max_origins)
        self._max_origins = max_origins
        self.reset_after_fork()
        register_fork_reset(self)

    def __len__(self) -> int:
        return len(self._records)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_records"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start empty, with a lock of our own: a thread of the parent may hold the old one."""
        # Re-entrant, for the signal handler that makes a request while its thread is in here.
        self._lock = ShortLock()
        self._records: OrderedDict[str, T] = OrderedDict()

    def _keep_locked(self, origin: str, record: T) -> None:
        self._records[origin] = record
        self._records.move_to_end(origin)
        while len(self._records) > self._max_origins:
            self._records.popitem(last=False)


class _Traffic:
    """Requests and retries of one origin, counted by the second and forgotten after the window."""

    __slots__ = ("requests", "retries", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self.seconds: deque[list[int]] = deque()  # [second, requests, retries], oldest first

    def current(self, now: float, window: int) -> list[int]:
        """Forget what is older than the window, and return the running second."""
        second = int(now)
        while self.seconds and self.seconds[0][0] <= second - window:
            _, requests, retries = self.seconds.popleft()
            self.requests -= requests
            self.retries -= retries
        if not self.seconds or self.seconds[-1][0] < second:
            self.seconds.append([second, 0, 0])
        return self.seconds[-1]


class RetryBudget(_OriginTable[_Traffic]):
    """How many retries the requests to an origin may add up to.

    Args:
        ratio: Retries allowed per request sent; 0.2 adds at most 20 % to the traffic.
        min_per_second: Retries allowed per second for any traffic, and for any number spent
            before: what a quiet second does not use can be used later in the window.
        window_seconds: What counts as recent, in whole seconds. Allowances that were not used
            are lost after that time.
        max_origins: Origins remembered at most.

    Raises:
        TypeError: One of them is no number.
        ValueError: A number is negative, or the window is empty.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        min_per_second: float = 10.0,
        window_seconds: int = 10,
        max_origins: int = MAX_ORIGINS,
    ) -> None:
        for name, number in (("ratio", ratio), ("min_per_second", min_per_second)):
            if not isinstance(number, (int, float)):
                raise TypeError(f"{name} must be a number, not {number!r}")
        if ratio < 0 or min_per_second < 0:
            raise ValueError("ratio and min_per_second must not be negative")
        check_whole_number("window_seconds", window_seconds)
        super().__init__(max_origins)
        self._ratio = ratio
        self._floor = min_per_second
        self._reserve = min_per_second * window_seconds
        self._window = window_seconds

    def count_request(self, origin: str, now: float) -> None:
        """Note a request that is sent for the first time; it earns a part of a retry."""
        with self._lock:
            record = self._record_locked(origin)
            record.current(now, self._window)[1] += 1
            record.requests += 1

    def take_retry(self, origin: str, now: float) -> bool:
        """Spend one retry.

        Returns:
            Whether there was one; if not, nothing was spent and the retry should not be made.
        """
        with self._lock:
            record = self._record_locked(origin)
            running = record.current(now, self._window)
            if self._left(record, running) < 1:
                return False
            running[2] += 1
            record.retries += 1
            return True

    def remaining(self, origin: str, now: float) -> int:
        """Return how many retries could be spent now."""
        with self._lock:
            record = self._records.get(origin)
            if record is None:
                return int(self._reserve)
            return max(0, int(self._left(record, record.current(now, self._window))))

    def _left(self, record: _Traffic, running: list[int]) -> float:
        in_window = self._reserve + self._ratio * record.requests - record.retries
        # After an outage spent all of the window's, requests wait for retries, so there is no
        # traffic to earn any: without the floor of the running second nothing would ever move.
        return max(in_window, self._floor - running[2])

    def _record_locked(self, origin: str) -> _Traffic:
        record = self._records.get(origin)
        if record is None:
            record = _Traffic()
        self._keep_locked(origin, record)
        return record


class Pauses(_OriginTable[float]):
    """Until when each origin asked clients to wait.

    Args:
        max_origins: Origins remembered at most.

    Raises:
        TypeError: That is no whole number.
        ValueError: It is less than 1.
    """

    def __init__(self, max_origins: int = MAX_ORIGINS) -> None:
        super().__init__(max_origins)

    def pause(self, origin: str, until: float) -> None:
        """Send an origin nothing until then; an earlier end does not shorten a running pause."""
        with self._lock:
            self._keep_locked(origin, max(until, self._records.get(origin, until)))

    def resume(self, origin: str) -> None:
        """End the pause of an origin, if there is one. Those already waiting wait on."""
        with self._lock:
            self._records.pop(origin, None)

    def remaining(self, origin: str, now: float) -> float:
        """Return the seconds until requests may go to the origin again, or 0.0."""
        # Asked before every request, and nearly always without a single pause anywhere.
        if not self._records:
            return 0.0
        with self._lock:
            until = self._records.get(origin)
            if until is None:
                return 0.0
            if until <= now:
                del self._records[origin]
                return 0.0
            return until - now
