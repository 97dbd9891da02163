"""The session of one worker among several: it goes only to hosts that it has places at.

Each order that a worker gets says how many places it has at which host (its *grants*). Grants of
all workers at a host add up to the run's limit, so the limit holds at the server.

A redirect can lead to a host at which this worker has no places: another worker may have them
all. Then the request is not sent. It goes back as it would have been sent (`LedElsewhere`), and the
worker that gets the host sends it: nothing is asked for twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.placed_adapter import PlacedAdapter
from pooledhttp.bulk.places import Place, Places
from pooledhttp.bulk.rates import Rates
from pooledhttp.exceptions import TooManyRedirects
from pooledhttp.records import record
from pooledhttp.runtime import Runtime

if TYPE_CHECKING:
    from pooledhttp.bulk.direct import BegunGet
    from pooledhttp.message import PreparedRequest, Response
    from pooledhttp.sessions import Session
    from pooledhttp.transport import WholeResponse

__all__ = ["GrantedPlaces", "GrantedSession", "LedElsewhere", "Leg"]


@record
class Leg:
    """The rest of a chain of redirects, for another worker.

    Args:
        request: What is to be sent next.
        history: The redirects that led there.
    """

    request: PreparedRequest
    history: list[Response]


class LedElsewhere(Exception):
    """A redirect leads to a host at which this worker has no places."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self.leg = leg


class _NotGranted(Exception):
    """There are no places at this host."""


class GrantedPlaces(Places):
    """Places whose number is given for each host, and can change."""

    def __init__(
        self, runtime: Runtime, per_proxy: int | None = None, rates: Rates | None = None
    ) -> None:
        # Guarded by the lock:
        #: The places at each host that there are some at; None for no limit.
        self._grants: dict[str, int | None] = {}
        #: Hosts that have refused requests and that there are no places at now.
        self._refusing: dict[str, Place] = {}
        super().__init__(None, runtime, per_proxy, rates, self._grants.get)

    def grant(self, origin: str, limit: int | None) -> None:
        """Have so many places at a host from now on; None for no limit."""
        with self._lock:
            if self._grants.get(origin, -1) == limit:
                return
            self._grants[origin] = limit
            place = self._place_locked(origin)
            place.throttle.allow(limit)
            waiters = place.hand_out_locked()
            places = place.throttle.limit
        for waiter in waiters:
            waiter.set()
        if self.on_limit is not None:
            self.on_limit(origin, places)

    def settle(self, wanted: set[str]) -> dict[str, int | None]:
        """Give up the places at hosts that are not wanted.

        Returns:
            The most places that may be taken at each host, of those that cannot be given up.
        """
        held: dict[str, int | None] = {}
        with self._lock:
            for origin, limit in list(self._grants.items()):
                taken = self._places[origin].taken
                if origin in wanted or taken:
                    held[origin] = None if limit is None else max(limit, taken)
                    continue
                del self._grants[origin]
                place = self._places.pop(origin)
                if place.throttle.was_refused:
                    self._refusing[origin] = place
        return held

    def _place_locked(self, origin: str) -> Place:
        """Return the places at a host.

        Raises:
            _NotGranted: There are none.
        """
        if origin not in self._grants:
            raise _NotGranted
        if origin in self._refusing:
            self._places[origin] = self._refusing.pop(origin)
        return super()._place_locked(origin)


class _GrantedAdapter(PlacedAdapter):
    """Sends no request to a host without places, and remembers the redirects of a chain."""

    def __init__(
        self, owner: GrantedSession, places: Places, runtime: Runtime, **settings: Any
    ) -> None:
        super().__init__(places, runtime.now, **settings)
        self._owner = owner

    def _send_placed(self, request: PreparedRequest, *place: Any) -> Response:
        """Send a request if this worker has a place at its host.

        Raises:
            LedElsewhere: There are no places at its host.
        """
        try:
            response = super()._send_placed(request, *place)
        except _NotGranted:
            raise LedElsewhere(Leg(request, self._owner.trail())) from None
        if response.is_redirect:
            self._owner.note_redirect(response)
        return response


class GrantedSession(OwnSession):
    """A session that belongs to one worker of a run.

    Args:
        settings: As for `OwnSession`.
        places: Which hosts it may go to.
        runtime: What it waits with.
        per_proxy: As for `OwnSession`.
    """

    def __init__(
        self,
        settings: Session | None,
        places: GrantedPlaces,
        runtime: Runtime,
        per_proxy: int | None,
    ) -> None:
        self._runtime = runtime
        self._trails: dict[object, list[Response]] = {}
        self._legs: dict[object, Leg] = {}
        super().__init__(settings, None, runtime, per_proxy, places=places)

    def go_on_from(self, leg: Leg) -> None:
        """Have the next request of this thread go on with a chain of redirects."""
        self._legs[self._runtime.current()] = leg

    def request(self, method: str, url: str, **settings: Any) -> Response:
        """Send a request as `Session.request` does, or what `go_on_from` has given.

        Raises:
            TooManyRedirects: The chain that it goes on with is too long.
            RequestException: The request failed.
        """
        leg = self._legs.pop(self._runtime.current(), None)
        if leg is None:
            return super().request(method, url, **settings)
        if len(leg.history) >= self._session.max_redirects:
            raise TooManyRedirects(f"Exceeded {self._session.max_redirects} redirects.")
        stream, timeout = settings.get("stream"), settings.get("timeout")
        self._trails[self._runtime.current()] = list(leg.history)
        session = self._session
        found = session.merge_environment_settings(str(leg.request.url), {}, stream, None, None)
        response = session.send(leg.request, timeout=timeout, allow_redirects=True, **found)
        response.history = [*leg.history, *response.history]
        return response

    def get(
        self, url: str, headers: Mapping[str, str] | None, timeout: object, *, stream: bool
    ) -> Response:
        """Send a GET as `OwnSession.get` does, or what `go_on_from` has given."""
        if self._legs:
            return self.request("GET", url, headers=headers, timeout=timeout, stream=stream)
        return super().get(url, headers, timeout, stream=stream)

    def fetch(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> WholeResponse | BegunGet | None:
        """Fetch a small body, unless `go_on_from` has given a request; see `OwnSession.fetch`."""
        return None if self._legs else super().fetch(url, headers, timeout)

    def fetch_response(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> Response | BegunGet | None:
        """Do the same as a response; see `OwnSession.fetch_response`."""
        return None if self._legs else super().fetch_response(url, headers, timeout)

    def leave(self) -> tuple[int, float]:
        """End this thread's request, as `OwnSession.leave` does."""
        self._trails.pop(self._runtime.current(), None)
        return super().leave()

    def trail(self) -> list[Response]:
        """Return the redirects of this thread's request."""
        return self._trails.get(self._runtime.current(), [])

    def note_redirect(self, response: Response) -> None:
        """Note a redirect of this thread's request."""
        self._trails.setdefault(self._runtime.current(), []).append(response)

    def _placed(self, **settings: Any) -> HTTPAdapter:
        return _GrantedAdapter(self, self._places, self._runtime, **settings)
