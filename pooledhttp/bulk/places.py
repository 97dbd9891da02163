"""Places at a host: how many requests of a run may be at one origin at once.

The pace starts no more items of a host than there are places. A redirect leads an item to another
host, and many items may be led to the same one. There they wait for a place. The limits of the run
cause this wait, so it counts for no timeout. So it is taken before the request is sent, outside its
timeout, by an adapter that sees every hop.

A host that refuses requests (429, 503, no connection) has fewer places for a while; see `throttle`.
One that cannot be reached at all rests; see `resting`.

Requests through one proxy have places of their own, however many hosts there are behind it.

A thread gives back the places that it has before it waits for others. It takes the one at the host
first and the one at the proxy last, so no two threads can wait for each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.rates import Rates
from pooledhttp.bulk.resting import HostGivenUp, HostRest, RestState
from pooledhttp.bulk.retrying import causes, retry_after
from pooledhttp.bulk.throttle import Throttle
from pooledhttp.bulk.urls import origin_of
from pooledhttp.exceptions import ConnectionError
from pooledhttp.message import OURS, ProxiesInput, Response, TimeoutInput
from pooledhttp.network import select_proxy
from pooledhttp.runtime import Runtime, Waiter
from pooledhttp.timing import Deadline, Timeout, monotonic
from pooledhttp.transport import PoolFacade, hooks_in_force, is_urllib3_patched

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest

__all__ = ["PER_PROXY", "HostObserver", "PlacedAdapter", "Places", "check_per_proxy"]

#: Statuses that say that there are too many requests.
_REFUSING = frozenset({429, 503})

#: Errors that say that there was no connection.
_UNREACHABLE = (NewConnectionError, ConnectTimeoutError)

#: This machine has no descriptor, port or memory for a connection. The host is not to blame, and
#: fewer requests at once are the remedy.
_OURS = frozenset({EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM})

#: Requests at once through one proxy, as in browsers.
PER_PROXY = 32


def check_per_proxy(per_proxy: int | None) -> None:
    """Check the places at a proxy.

    Raises:
        ValueError: There are none.
    """
    if per_proxy is not None and per_proxy < 1:
        raise ValueError(f"per_proxy must be at least 1, or None for no limit, not {per_proxy}")


class HostObserver(Protocol):
    """Is told how many requests a host accepts, and when it rests."""

    def limit(self, line: str, limit: int) -> None:
        """So many requests at once from now on."""

    def rest(self, line: str, until: float | None) -> None:
        """It cannot be reached, and rests until then at the latest; None ends that."""

    def pause(self, line: str, until: float) -> None:
        """It asks to be left alone until then."""


class _Holder:
    """What one thread has: its places, and how long it waited for places since `leave`."""

    #: Of the request, for the throttle of its host.
    number = 0
    places: tuple[str, ...] = ()
    waited = 0.0


class Places:
    """The places at all origins of a run.

    Args:
        per_host: The most places at each origin; None for no limit.
        runtime: How to wait.
        per_proxy: Places at each proxy; None for no limit.
        rates: Requests a second; None for no limit.
        limit_of: Gives the most places at one origin; None where all have `per_host`.
    """

    def __init__(
        self,
        per_host: int | None,
        runtime: Runtime,
        per_proxy: int | None = PER_PROXY,
        rates: Rates | None = None,
        limit_of: Callable[[str], int | None] | None = None,
    ) -> None:
        self._rates = rates
        self._limit_of = limit_of
        #: Called with an origin and its places when these have changed, in the request's thread.
        self.on_limit: Callable[[str, int], None] | None = None
        #: Called with an origin and the end of its rest, or None, when it begins or is over.
        self.on_rest: Callable[[str, float | None], None] | None = None
        #: Called with an origin that asks to be left alone, and until when.
        self.on_pause: Callable[[str, float], None] | None = None
        self._per_host = per_host
        self._per_proxy = per_proxy
        self._runtime = runtime
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[Waiter]] = {}
        self._throttles: dict[str, Throttle] = {}
        #: Of hosts to which a connection has failed.
        self._rests: dict[str, HostRest] = {}
        # Each thread touches its own entry only.
        self._holders: dict[object, _Holder] = {}

    def enter(self, origin: str, proxy: str | None = None) -> float:
        """Take a place at an origin, and at a proxy, giving back those at others; and the turn.

        Args:
            origin: The origin.
            proxy: The URL of the proxy; None for none.

        Returns:
            The seconds this thread has waited for places since it last called `leave`.

        Raises:
            HostGivenUp: The origin could not be reached for long.
        """
        me = self._runtime.current()
        holder = self._holders.get(me)
        if holder is None:
            holder = self._holders[me] = _Holder()
        wanted: tuple[str, ...] = (origin,)
        if proxy is not None and self._per_proxy is not None:
            wanted = (origin, f"by {proxy}")
        if holder.places != wanted:
            if holder.places:
                self._give_back(holder)
            for place in wanted:
                waited = self._take(place)
                if waited:
                    holder.waited += waited
                holder.places += (place,)
        if self._rates is not None:
            wait = self._rates.take(origin, self._runtime.now())
            if wait:
                self._runtime.sleep(wait)
                holder.waited += wait
        with self._lock:
            holder.number = (self._throttles.get(origin) or self._throttle_locked(origin)).start()
            rest = self._rests.get(origin) if self._rests else None
            if rest is not None:
                rest.begin(holder.number)
                if rest.state is RestState.GIVEN_UP:
                    raise HostGivenUp(
                        f"{origin} was given up: connections to it failed again and again, also"
                        " after three rests"
                    )
        return holder.waited

    def is_resting(self, origin: str) -> bool:
        """Whether a host rests, so that no item should be sent to it."""
        if not self._rests:
            return False
        with self._lock:
            rest = self._rests.get(origin)
            return rest is not None and rest.state is RestState.RESTING

    def note_unreachable(self, origin: str) -> None:
        """Note that no connection could be made for this thread's request."""
        holder = self._holders.get(self._runtime.current())
        number = None if holder is None else holder.number
        with self._lock:
            rest = self._rests.setdefault(origin, HostRest())
            is_changed = rest.fail(number, self._runtime.now())
            until = rest.until if rest.state is RestState.RESTING else None
        if is_changed and self.on_rest is not None:
            self.on_rest(origin, until)

    def note_pause(self, origin: str, seconds: float) -> None:
        """Note that a host asks to be left alone (`Retry-After`)."""
        if self.on_pause is not None:
            self.on_pause(origin, self._runtime.now() + seconds)

    def _end_rest(self, origin: str) -> None:
        with self._lock:
            was_resting = self._rests.pop(origin, HostRest()).succeed()
        if was_resting and self.on_rest is not None:
            self.on_rest(origin, None)

    def note(self, origin: str, *, is_refused: bool) -> None:
        """Note whether a host has refused this thread's request."""
        known = self._throttles.get(origin)
        if not is_refused and known is not None and not known.was_refused:
            return  # there is nothing that could grow again
        holder = self._holders.get(self._runtime.current())
        if holder is None:
            return
        waiter = None
        with self._lock:
            throttle = self._throttle_locked(origin)
            before, running = throttle.limit, self._taken.get(origin, 1)
            if is_refused:
                throttle.refuse(holder.number, running)
            else:
                throttle.succeed()
            limit = throttle.limit
            if limit > before and running < limit:
                waiter = self._next_locked(origin)
                if waiter is not None:
                    self._taken[origin] = running + 1
        if waiter is not None:
            waiter.set()
        if limit != before and self.on_limit is not None:
            self.on_limit(origin, limit)

    def note_response(self, origin: str, *, is_refused: bool) -> None:
        """Note a response, which ends a rest; and whether it refuses this thread's request."""
        if self._rests and origin in self._rests:
            self._end_rest(origin)
        self.note(origin, is_refused=is_refused)

    def leave(self) -> float:
        """Give this thread's places back; returns the seconds it waited for places."""
        holder = self._holders.pop(self._runtime.current(), None)
        if holder is None:
            return 0.0
        self._give_back(holder)
        return holder.waited

    def waited(self) -> float:
        """Return the seconds this thread has waited for places since it last called `leave`."""
        holder = self._holders.get(self._runtime.current())
        return 0.0 if holder is None else holder.waited

    def _throttle_locked(self, origin: str) -> Throttle:
        throttle = self._throttles.get(origin)
        if throttle is None:
            most = self._per_host if self._limit_of is None else self._limit_of(origin)
            throttle = self._throttles[origin] = Throttle(most)
        return throttle

    def _limit_locked(self, place: str) -> int:
        if place.startswith("by "):
            assert self._per_proxy is not None, "there is no such place without a limit"
            return self._per_proxy
        return self._throttle_locked(place).limit

    def _take(self, place: str) -> float:
        """Take a place; returns the seconds that it was waited for."""
        with self._lock:
            if self._take_at_once_locked(place):
                return 0.0
            waiter = self._runtime.waiter()
            self._waiting.setdefault(place, deque()).append(waiter)
        # Handing a place over is done by the thread that gives it back: it stays taken. The wait
        # ends otherwise only when the run is halted, and then no place is needed any more.
        began = self._runtime.now()
        waiter.wait(Deadline.never(self._runtime.now))
        return self._runtime.now() - began

    def _take_at_once_locked(self, place: str) -> bool:
        """Take a place if one is free."""
        taken = self._taken.get(place, 0)
        throttle = self._throttles.get(place)
        if taken >= (self._limit_locked(place) if throttle is None else throttle.limit):
            return False
        self._taken[place] = taken + 1
        return True

    def _give_back(self, holder: _Holder) -> None:
        places, holder.places = holder.places, ()
        waiter, taken = None, self._taken
        for place in places:
            with self._lock:
                if self._waiting:
                    waiter = self._next_locked(place)
                if waiter is None:
                    if taken[place] > 1:
                        taken[place] -= 1
                    else:
                        del taken[place]
            if waiter is not None:
                waiter.set()
                waiter = None

    def _next_locked(self, place: str) -> Waiter | None:
        """Return the waiter that gets a place given back; None when none waits, or it is cut."""
        line = self._waiting.get(place)
        if not line:
            return None
        if self._taken[place] > self._limit_locked(place):
            return None
        waiter = line.popleft()
        if not line:
            del self._waiting[place]
        return waiter


class PlacedAdapter(HTTPAdapter):
    """An `HTTPAdapter` that takes a place at the host before each request it sends."""

    def __init__(self, places: Places, now: Callable[[], float], **settings: Any) -> None:
        super().__init__(**settings)
        self._places = places
        #: The clock of the run.
        self.now = now

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
        send = partial(super().send, request, proxies=proxies, **settings)
        return self._send_placed(request, origin_of(url), proxy, timeout, send)

    def send_direct(
        self,
        pool: PoolFacade,
        request: PreparedRequest,
        origin: str,
        target: str,
        timeout: Any,
        *,
        stream: bool,
    ) -> Response:
        """Send a plain request over a pool that is known; see `direct`."""
        send = partial(self._send_over, pool, request, target, stream)
        return self._send_placed(request, origin, None, timeout, send)

    def direct_pool(
        self, request: PreparedRequest, settings: Mapping[str, Any]
    ) -> PoolFacade | None:
        """Return the pool by which requests to a host are sent; None when `send` has more to do."""
        if is_urllib3_patched() or hooks_in_force(self._settings.request_hooks):
            return None
        if self._settings.view.manager.listeners:
            return None
        pool = self._connection_for(
            request, settings["verify"], settings["proxies"], settings["cert"]
        )
        if not isinstance(pool, PoolFacade) or pool.proxy is not None:
            return None
        if pool.counterpart is not None:
            return None  # its steps may have been changed
        has_warning = pool.scheme == "https" and pool.cert_reqs == "CERT_NONE"
        return None if has_warning else pool

    def _send_over(
        self,
        pool: PoolFacade,
        request: PreparedRequest,
        target: str,
        stream: bool,
        *,
        timeout: TimeoutInput,
    ) -> Response:
        started = monotonic()
        try:
            arrival = self._send_over_pool(pool, request, target, stream, timeout)
        except (HTTPError, OSError) as error:
            translated = OURS.translate(error, request)
            if translated is error:
                raise
            raise translated from error
        return Response.arrived(arrival, request, self, started)

    def _send_placed(
        self,
        request: PreparedRequest,
        origin: str,
        proxy: str | None,
        timeout: TimeoutInput,
        send: Callable[..., Response],
    ) -> Response:
        """Take a place, send, and note what the host makes of it."""
        waited = self._places.enter(origin, proxy)
        if waited and isinstance(timeout, Timeout) and timeout.deadline is not None:
            left = max(timeout.deadline.remaining() + waited, 1e-3)
            timeout = Timeout(left, timeout.connect, timeout.read, timeout.write, timeout.pool)
            timeout = timeout.start(self.now)
        try:
            response = send(timeout=timeout)
        except ConnectionError as error:
            found = list(causes(error))
            is_ours = any(getattr(cause, "errno", None) in _OURS for cause in found)
            if is_ours or any(isinstance(cause, ConnectionRefusedError) for cause in found):
                self._places.note(origin, is_refused=True)
            is_unreachable = any(isinstance(cause, _UNREACHABLE) for cause in found)
            if is_unreachable and proxy is None and not is_ours:
                self._places.note_unreachable(origin)
            raise
        is_refused = response.status_code in _REFUSING
        self._places.note_response(origin, is_refused=is_refused)
        if is_refused and (seconds := retry_after(response)):
            self._places.note_pause(origin, seconds)
        return response
