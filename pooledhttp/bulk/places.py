"""Places at a host: how many requests of a run may be at one origin at once.

The pace starts no more items of a host than there are places. A redirect leads an item to another
host, and many items may be led to the same one. There they stand in line, and this wait is the
run's own doing: it counts for no timeout. So it is taken before the request is sent, outside its
timeout, by an adapter that sees every hop.

Requests through one proxy have places of their own, however many hosts there are behind it.

A thread gives back the places that it has before it waits for others. It takes the one at the host
first and the one at the proxy last, so no two threads can wait for each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.rates import Rates
from pooledhttp.bulk.urls import origin_of
from pooledhttp.message import ProxiesInput, TimeoutInput
from pooledhttp.network import select_proxy
from pooledhttp.runtime import Runtime, Waiter
from pooledhttp.timing import Deadline, Timeout

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest, Response

__all__ = ["PER_PROXY", "PlacedAdapter", "Places", "check_per_proxy"]

#: Requests at once through one proxy, as in browsers.
PER_PROXY = 32


def check_per_proxy(per_proxy: int | None) -> None:
    """Check the places at a proxy.

    Raises:
        ValueError: There are none.
    """
    if per_proxy is not None and per_proxy < 1:
        raise ValueError(f"per_proxy must be at least 1, or None for no limit, not {per_proxy}")


class _Holder:
    """What one thread has: its places, and how long it waited for places since `leave`."""

    __slots__ = ("places", "waited")

    def __init__(self) -> None:
        self.places: tuple[str, ...] = ()
        self.waited = 0.0


class Places:
    """The places at all origins of a run.

    Args:
        per_host: Places at each origin; None for no limit.
        runtime: How to wait.
        per_proxy: Places at each proxy; None for no limit.
        rates: Requests a second; None for no limit.
    """

    def __init__(
        self,
        per_host: int | None,
        runtime: Runtime,
        per_proxy: int | None = PER_PROXY,
        rates: Rates | None = None,
    ) -> None:
        self._rates = rates
        self._per_host = per_host
        self._per_proxy = per_proxy
        self._runtime = runtime
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[Waiter]] = {}
        # Each thread touches its own entry only.
        self._holders: dict[object, _Holder] = {}

    def enter(self, origin: str, proxy: str | None = None) -> float:
        """Take a place at an origin, and at a proxy, giving back those at others; and the turn.

        Args:
            origin: The origin.
            proxy: The URL of the proxy; None for none.

        Returns:
            The seconds this thread has waited for places since it last called `leave`.
        """
        me = self._runtime.current()
        holder = self._holders.setdefault(me, _Holder())
        limits: dict[str, int] = {}
        if self._per_host is not None:
            limits[origin] = self._per_host
        if self._per_proxy is not None and proxy is not None:
            limits[f"by {proxy}"] = self._per_proxy
        if holder.places != tuple(limits):
            self._give_back(holder)
            began = self._runtime.now()
            for place, limit in limits.items():
                self._take(place, limit)
                holder.places += (place,)
            holder.waited += self._runtime.now() - began
        if self._rates is not None:
            wait = self._rates.take(origin, self._runtime.now())
            if wait:
                self._runtime.sleep(wait)
                holder.waited += wait
        return holder.waited

    def leave(self) -> float:
        """Give this thread's places back; returns the seconds it waited for places."""
        holder = self._holders.pop(self._runtime.current(), None)
        if holder is None:
            return 0.0
        self._give_back(holder)
        return holder.waited

    def _take(self, place: str, limit: int) -> None:
        waiter = self._runtime.waiter()
        with self._lock:
            taken = self._taken.get(place, 0)
            if taken < limit:
                self._taken[place] = taken + 1
                return
            self._waiting.setdefault(place, deque()).append(waiter)
        # Handing a place over is done by the thread that gives it back: it stays taken. The wait
        # ends otherwise only when the run is halted, and then no place is needed any more.
        waiter.wait(Deadline.never(self._runtime.now))

    def _give_back(self, holder: _Holder) -> None:
        places, holder.places = holder.places, ()
        for place in places:
            with self._lock:
                line = self._waiting.get(place)
                waiter = line.popleft() if line else None
                if not line:
                    self._waiting.pop(place, None)
                if waiter is None:
                    self._taken[place] -= 1
                    if not self._taken[place]:
                        del self._taken[place]
            if waiter is not None:
                waiter.set()


class PlacedAdapter(HTTPAdapter):
    """An `HTTPAdapter` that takes a place at the host before each request it sends."""

    def __init__(self, places: Places, now: Callable[[], float], **settings: Any) -> None:
        super().__init__(**settings)
        self._places = places
        self._now = now

    def send(  # type: ignore[override]
        self,
        request: PreparedRequest,
        *,
        timeout: TimeoutInput = None,
        proxies: ProxiesInput = None,
        **settings: Any,
    ) -> Response:
        """Send a request as `HTTPAdapter.send` does; the wait for a place adds to no timeout."""
        url = str(request.url)
        proxy = select_proxy(url, proxies) if proxies else None
        waited = self._places.enter(origin_of(url), proxy)
        if waited and isinstance(timeout, Timeout) and timeout.deadline is not None:
            left = max(timeout.deadline.remaining() + waited, 1e-3)
            timeout = Timeout(left, timeout.connect, timeout.read, timeout.write, timeout.pool)
            timeout = timeout.start(self._now)
        return super().send(request, timeout=timeout, proxies=proxies, **settings)
