"""Places at a host: how many requests of a run may be at one origin at once.

The pace starts no more items of a host than there are places. A redirect leads an item to another
host, and many items may be led to the same one. There they wait for a place. The limits of the run
cause this wait, so it counts for no timeout. `placed_adapter` takes it before the request is sent.

A host that refuses requests (429, 503, no connection) has fewer places for a while; see `throttle`.
One that cannot be reached at all rests; see `resting`.

Requests through one proxy have places of their own, however many hosts there are behind it.

A thread gives back the places that it has before it waits for others. It takes the one at the host
first and the one at the proxy last, so no two threads can wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pooledhttp.bulk.rates import Rates
from pooledhttp.bulk.resting import HostGivenUp, HostRest, RestState
from pooledhttp.bulk.throttle import Throttle
from pooledhttp.runtime import Runtime, Waiter, new_lock
from pooledhttp.timing import Deadline

__all__ = ["PER_PROXY", "HostObserver", "Place", "Places", "check_per_proxy"]

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
        """Send it nothing until then: it asked for that (`Retry-After`)."""


class Place:
    """The places at one host or proxy. Guarded by the lock of `Places`."""

    __slots__ = ("name", "taken", "throttle", "waiting")

    def __init__(self, name: str, most: int | None) -> None:
        self.name = name
        #: How many there are now.
        self.throttle = Throttle(most)
        self.taken = 0
        self.waiting: deque[Waiter] = deque()

    def take_locked(self) -> bool:
        """Take a place if one is free."""
        if self.taken >= self.throttle.limit:
            return False
        self.taken += 1
        return True

    def give_back_locked(self) -> Waiter | None:
        """Give a place back; returns the waiter that has it now, None if no one has."""
        # Where the host has fewer places than are taken, one is given up.
        if self.waiting and self.taken <= self.throttle.limit:
            return self.waiting.popleft()
        self.taken -= 1
        return None

    def hand_out_locked(self) -> list[Waiter]:
        """Give places that have become free to those who wait; returns their waiters."""
        waiters = []
        while self.waiting and self.take_locked():
            waiters.append(self.waiting.popleft())
        return waiters


class _Holder:
    """What one thread has: its places, and how long it waited for places since `leave`."""

    __slots__ = ("number", "places", "waited")

    def __init__(self) -> None:
        #: Of the request, for the throttle of its host.
        self.number = 0
        self.places: tuple[Place, ...] = ()
        self.waited = 0.0


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
        #: Called with an origin that asks clients to wait, and until when.
        self.on_pause: Callable[[str, float], None] | None = None
        self._per_host = per_host
        self._per_proxy = per_proxy
        self._runtime = runtime
        self._lock = new_lock()
        # Guarded by the lock, by origin:
        self._places: dict[str, Place] = {}
        #: Of hosts to which a connection has failed.
        self._rests: dict[str, HostRest] = {}
        #: By proxy, guarded as well.
        self._proxies: dict[str, Place] = {}
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
        if not (holder.places or proxy or self._rates or origin in self._rests):  # as a rule
            with self._lock:
                place = self._places.get(origin)
                if place is not None and place.take_locked():
                    holder.places = (place,)
                    holder.number = place.throttle.start()
                    return holder.waited
        self._take_all(holder, origin, proxy)
        if self._rates is not None:
            wait = self._rates.take(origin, self._runtime.now())
            if wait:
                self._runtime.sleep(wait)
                holder.waited += wait
        self._start(holder, origin)
        return holder.waited

    def take(self, origin: str) -> Place | None:
        """Take a place for a request that needs nothing else; it belongs to no thread.

        Returns:
            The place, for `give_back` or `adopt`; None where `enter` has more to do.
        """
        if self._rates is not None or origin in self._rests:
            return None
        with self._lock:
            place = self._places.get(origin)
            if place is None or not place.take_locked():
                return None
            place.throttle.start()
        return place

    def give_back(self, place: Place) -> None:
        """Give back a place that `take` has returned."""
        with self._lock:
            waiter = place.give_back_locked()
        if waiter is not None:
            waiter.set()

    def succeed(self, place: Place) -> None:
        """Give back a place that `take` has returned, after a response that refused nothing."""
        if place.throttle.was_refused or place.name in self._rests:
            self.note_response(place.name, is_refused=False)
        self.give_back(place)

    def adopt(self, place: Place) -> None:
        """Have a place that `take` has returned belong to this thread."""
        holder = self._holders[self._runtime.current()] = _Holder()
        holder.places = (place,)

    def _take_all(self, holder: _Holder, origin: str, proxy: str | None) -> None:
        """Take the places that a request needs, unless the thread has them."""
        wanted, find = [origin], [partial(self._place_locked, origin)]
        if proxy is not None and self._per_proxy is not None:
            wanted.append(proxy)
            find.append(partial(self._proxy_locked, proxy, self._per_proxy))
        if [place.name for place in holder.places] == wanted:
            return
        self._give_back(holder)
        for find_locked in find:
            holder.waited += self._take(holder, find_locked)

    def _start(self, holder: _Holder, origin: str) -> None:
        """Number a request that is about to be sent."""
        with self._lock:
            holder.number = holder.places[0].throttle.start()
            rest = self._rests.get(origin)
            if rest is None:
                return
            rest.begin(holder.number)
            if rest.state is RestState.GIVEN_UP:
                raise HostGivenUp(
                    f"{origin} was given up: connections to it failed again and again, also"
                    f" after three rests. The last one: {rest.reason}"
                )

    def is_resting(self, origin: str) -> bool:
        """Whether a host rests, so that no item should be sent to it."""
        if not self._rests:
            return False
        with self._lock:
            rest = self._rests.get(origin)
            return rest is not None and rest.state is RestState.RESTING

    def note_unreachable(self, origin: str, reason: str) -> None:
        """Note that no connection could be made for this thread's request, and why."""
        holder = self._holders.get(self._runtime.current())
        number = None if holder is None else holder.number
        with self._lock:
            rest = self._rests.setdefault(origin, HostRest())
            is_changed = rest.fail(number, self._runtime.now(), reason)
            until = rest.until if rest.state is RestState.RESTING else None
        if is_changed and self.on_rest is not None:
            self.on_rest(origin, until)

    def note_pause(self, origin: str, seconds: float) -> None:
        """Note that a host asks clients to wait (`Retry-After`)."""
        if self.on_pause is not None:
            self.on_pause(origin, self._runtime.now() + seconds)

    def _end_rest(self, origin: str) -> None:
        with self._lock:
            was_resting = self._rests.pop(origin, HostRest()).succeed()
        if was_resting and self.on_rest is not None:
            self.on_rest(origin, None)

    def note(self, origin: str, *, is_refused: bool) -> None:
        """Note whether a host has refused this thread's request."""
        known = self._places.get(origin)
        if not is_refused and known is not None and not known.throttle.was_refused:
            return  # there is nothing that could grow again
        holder = self._holders.get(self._runtime.current())
        if is_refused and holder is None:
            return
        with self._lock:
            place = self._place_locked(origin)
            throttle = place.throttle
            before = throttle.limit
            if is_refused and holder is not None:
                throttle.refuse(holder.number, max(place.taken, 1))
            else:
                throttle.succeed()
            limit = throttle.limit
            waiters = place.hand_out_locked()
        for waiter in waiters:
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

    def _place_locked(self, origin: str) -> Place:
        place = self._places.get(origin)
        if place is None:
            most = self._per_host if self._limit_of is None else self._limit_of(origin)
            place = self._places[origin] = Place(origin, most)
        return place

    def _proxy_locked(self, proxy: str, most: int) -> Place:
        place = self._proxies.get(proxy)
        if place is None:
            place = self._proxies[proxy] = Place(proxy, most)
        return place

    def _take(self, holder: _Holder, find_locked: Callable[[], Place]) -> float:
        """Take one more place; returns the seconds that it was waited for."""
        with self._lock:
            place = find_locked()
            if place.take_locked():
                holder.places += (place,)
                return 0.0
            waiter = self._runtime.waiter()
            place.waiting.append(waiter)
        # Handing a place over is done by the thread that gives it back: it stays taken. The wait
        # ends otherwise only when the run is halted, and then no place is needed any more.
        began = self._runtime.now()
        waiter.wait(Deadline.never(self._runtime.now))
        holder.places += (place,)
        return self._runtime.now() - began

    def _give_back(self, holder: _Holder) -> None:
        places, holder.places = holder.places, ()
        for place in places:
            self.give_back(place)
