"""The adapter of a bulk run: it takes a place at the host before each request that it sends.

It sees every hop of a chain of redirects, outside the timeouts of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM
from functools import partial
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.places import Places
from pooledhttp.bulk.retrying import causes, retry_after
from pooledhttp.bulk.urls import origin_of
from pooledhttp.exceptions import ConnectionError
from pooledhttp.message import OURS, ProxiesInput, Response, TimeoutInput
from pooledhttp.network import select_proxy
from pooledhttp.timing import Timeout, monotonic
from pooledhttp.transport import BegunExchange, PoolFacade, hooks_in_force, is_urllib3_patched

if TYPE_CHECKING:
    from pooledhttp.message import PreparedRequest

__all__ = ["PlacedAdapter"]

#: Statuses that say that there are too many requests.
_REFUSING = frozenset({429, 503})

#: Errors that say that there was no connection.
_UNREACHABLE = (NewConnectionError, ConnectTimeoutError)

#: This machine has no descriptor, port or memory for a connection. The host is not to blame, and
#: fewer requests at once are the remedy.
_OURS = frozenset({EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM})


class PlacedAdapter(HTTPAdapter):
    """An `HTTPAdapter` that takes a place at the host before each request it sends."""

    def __init__(self, places: Places, now: Callable[[], float], **settings: Any) -> None:
        super().__init__(**settings)
        #: Where it takes them.
        self.places = places
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
        begun: BegunExchange | None = None,
    ) -> Response:
        """Send a plain request over a pool that is known; see `direct`."""
        send = partial(self._send_over, pool, request, target, stream, begun)
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
        begun: BegunExchange | None,
        *,
        timeout: TimeoutInput,
    ) -> Response:
        started = monotonic() if begun is None else begun.started_at
        try:
            arrival = self._send_over_pool(pool, request, target, stream, timeout, begun)
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
        waited = self.places.enter(origin, proxy)
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
                self.places.note(origin, is_refused=True)
            reason = next((str(cause) for cause in found if isinstance(cause, _UNREACHABLE)), None)
            if reason is not None and proxy is None and not is_ours:
                self.places.note_unreachable(origin, reason)
            raise
        is_refused = response.status_code in _REFUSING
        self.places.note_response(origin, is_refused=is_refused)
        if is_refused and (seconds := retry_after(response)):
            self.places.note_pause(origin, seconds)
        return response
