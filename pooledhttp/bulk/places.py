"""Places at a host: how many requests of a run may be at one origin at once.

The pace starts no more items of a host than there are places. A redirect leads an item to another
host, and many items may be led to the same one. There they stand in line, and this wait is the
run's own doing: it counts for no timeout. So it is taken before the request is sent, outside its
timeout, by an adapter that sees every hop.

A thread has at most one place. It gives back the old one before it waits for another, so no two
threads can wait for each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.urls import origin_of
from pooledhttp.message import TimeoutInput
from pooledhttp.runtime import Runtime, Waiter
from pooledhttp.timing import Deadline, Timeout

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Response

__all__ = ["PlacedAdapter", "Places"]


class _Holder:
    """What one thread has: its place, and how long it waited for places since `leave`."""

    __slots__ = ("origin", "waited")

    def __init__(self) -> None:
        self.origin: str | None = None
        self.waited = 0.0


class Places:
    """The places at all origins of a run.

    Args:
        per_host: Places at each origin; None for no limit.
        runtime: How to wait.
    """

    def __init__(self, per_host: int | None, runtime: Runtime) -> None:
        self._per_host = per_host
        self._runtime = runtime
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[Waiter]] = {}
        # Each thread touches its own entry only.
        self._holders: dict[object, _Holder] = {}

    def enter(self, origin: str) -> float:
        """Take a place at an origin, giving back the one at another.

        Returns:
            The seconds this thread has waited for places since it last called `leave`.
        """
        me = self._runtime.current()
        holder = self._holders.setdefault(me, _Holder())
        if self._per_host is None or holder.origin == origin:
            return holder.waited
        self._give_back(holder)
        began = self._runtime.now()
        self._take(origin, self._per_host)
        holder.origin = origin
        holder.waited += self._runtime.now() - began
        return holder.waited

    def leave(self) -> float:
        """Give this thread's place back; returns the seconds it waited for places."""
        holder = self._holders.pop(self._runtime.current(), None)
        if holder is None:
            return 0.0
        self._give_back(holder)
        return holder.waited

    def _take(self, origin: str, limit: int) -> None:
        waiter = self._runtime.waiter()
        with self._lock:
            taken = self._taken.get(origin, 0)
            if taken < limit:
                self._taken[origin] = taken + 1
                return
            self._waiting.setdefault(origin, deque()).append(waiter)
        # Handing a place over is done by the thread that gives it back: it stays taken. The wait
        # ends otherwise only when the run is halted, and then no place is needed any more.
        waiter.wait(Deadline.never(self._runtime.now))

    def _give_back(self, holder: _Holder) -> None:
        origin, holder.origin = holder.origin, None
        if origin is None:
            return
        with self._lock:
            line = self._waiting.get(origin)
            waiter = line.popleft() if line else None
            if not line:
                self._waiting.pop(origin, None)
            if waiter is None:
                self._taken[origin] -= 1
                if not self._taken[origin]:
                    del self._taken[origin]
        if waiter is not None:
            waiter.set()


class PlacedAdapter(HTTPAdapter):
    """An `HTTPAdapter` that takes a place at the host before each request it sends."""

    def __init__(self, places: Places, now: Callable[[], float], **settings: Any) -> None:
        super().__init__(**settings)
        self._places = places
        self._now = now

    def send(  # type: ignore[override]
        self, request: PreparedRequest, *, timeout: TimeoutInput = None, **settings: Any
    ) -> Response:
        """Send a request as `HTTPAdapter.send` does; the wait for a place adds to no timeout."""
        waited = self._places.enter(origin_of(str(request.url)))
        if waited and isinstance(timeout, Timeout) and timeout.deadline is not None:
            left = max(timeout.deadline.remaining() + waited, 1e-3)
            timeout = Timeout(left, timeout.connect, timeout.read, timeout.write, timeout.pool)
            timeout = timeout.start(self._now)
        return super().send(request, timeout=timeout, **settings)
