"""The session of a bulk run, with the settings of another one.

What a session *is told* is taken over: headers, parameters, auth, cookies, proxies, TLS settings,
hooks, retries. What it *has* is not: the connections live and end with the run, under its own
limits. Adapters stand in between. A plain `HTTPAdapter` is a setting too (its retries, resolver,
socket options and so on) and gets a twin on the run's pool: how names are looked up may be what
keeps requests from inner addresses. Any other adapter does its work in its own way, so that very
object is used, and left open in the end. If the class of the session overrides steps of a request,
requests go through them; see `own_steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from pooledhttp.adapters import DEFAULT_POOLSIZE, BaseAdapter, HTTPAdapter
from pooledhttp.bulk.direct import DirectRequests
from pooledhttp.bulk.own_steps import copy_over, has_own_steps, is_plain_adapter
from pooledhttp.bulk.placed_adapter import PlacedAdapter
from pooledhttp.bulk.places import PER_PROXY, HostObserver, Places
from pooledhttp.bulk.rates import Rates
from pooledhttp.client import SessionExtras
from pooledhttp.events import Event, RetryScheduled
from pooledhttp.pool import PoolConfig, PoolStats
from pooledhttp.runtime import Runtime
from pooledhttp.sessions import Session
from pooledhttp.timing import Timeout, timeout_pair

if TYPE_CHECKING:
    from pooledhttp.bulk.direct import BegunGet
    from pooledhttp.message import Response
    from pooledhttp.transport import WholeResponse

__all__ = ["OwnSession", "has_proxy"]

#: Settings that are values, or objects the user means to be shared (an auth object, say).
_SHARED = ("auth", "verify", "cert", "trust_env", "max_redirects")

#: Settings that are collections, copied so that neither side sees what the other does to its own.
_COPIED = ("headers", "params", "proxies", "cookies")


class _Attempts:
    """Counts the retries of each worker's request, as a listener that is told of them.

    An object of its own so that the session, which holds its listeners, is not in a cycle.
    """

    def __init__(self, current: Callable[[], object]) -> None:
        self._current = current
        self._retries: dict[object, int] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, RetryScheduled):
            me = self._current()
            self._retries[me] = self._retries.get(me, 0) + 1

    def take(self) -> int:
        """Return how often the last request of this thread was sent, and start again at 1."""
        return 1 + self._retries.pop(self._current(), 0) if self._retries else 1


class OwnSession:
    """A session that belongs to one bulk run.

    Args:
        settings: The session whose settings to use; `None` means a new session's.
        per_host: The most requests at once per origin, redirects included; `None` for no limit.
        runtime: What the session waits with.
        per_proxy: The most requests at once through one proxy, and the most idle connections when
            there is one; `None` for no limit.
        rates: Requests a second; `None` for no limit.
        places: Those to use instead of places with these limits.
    """

    def __init__(
        self,
        settings: Session | None,
        per_host: int | None,
        runtime: Runtime,
        per_proxy: int | None = PER_PROXY,
        rates: Rates | None = None,
        places: Places | None = None,
    ) -> None:
        self._attempts = _Attempts(runtime.current)
        #: Whether the settings bring a retry policy of their own.
        self.has_retry_policy = settings is not None and _has_retry_policy(settings)
        self._places = places or Places(per_host, runtime, per_proxy, rates)
        self._now = runtime.now
        extras = getattr(settings, "_extras", SessionExtras())
        self._session = Session(
            # `Places` limits each host, before a timeout runs. A limit here would be waited for
            # within timeouts, and would count all hosts behind one proxy as one.
            pool=_pool_config(per_proxy if has_proxy(settings) else None),
            retries=extras.retries,
            # Without a listener the pool makes no events.
            listeners=[*([self._attempts] * self.has_retry_policy), *extras.listeners],
            request_hooks=extras.request_hooks,
            replay=extras.replay,
            runtime=runtime,
            strict=extras.strict,
            tls_truncation=extras.tls_truncation,
            max_response_fields=extras.max_response_fields,
            parser=extras.parser,
        )
        self._direct = DirectRequests(self._session)
        self._borrowed: list[BaseAdapter] = []
        if settings is not None:
            self._copy_settings(settings)
        self._mount(self._session if settings is None else settings)
        #: A session of the caller's class, if that has a say in each request.
        self._sender: Any = None
        if has_own_steps(settings):
            self._sender = copy_over(settings, self._session)

    def request(self, method: str, url: str, **settings: Any) -> Response:
        """Send a request as `Session.request` does. A wait for a place adds to no timeout."""
        if self._sender is None:
            return self._session.request(method, url, **settings)
        timeout = settings.get("timeout")
        if isinstance(timeout, Timeout) and not isinstance(self._sender, Session):
            settings["timeout"] = timeout_pair(timeout)  # requests knows no `Timeout`
        response: Response = self._sender.request(method, url, **settings)
        return response

    def get(
        self, url: str, headers: Mapping[str, str] | None, timeout: object, *, stream: bool
    ) -> Response:
        """Send a GET that its URL and these fields say all of.

        Args:
            url: The URL.
            headers: Further fields, always the same object for the same fields.
            timeout: As for `Session.request`.
            stream: Whether the body is left unread.
        """
        if self._sender is not None:
            headers = dict(headers or {})  # which the class may change
        else:
            response = self._direct.send(url, headers, timeout, stream)
            if response is not None:
                return response
        return self.request("GET", url, headers=headers, timeout=timeout, stream=stream)

    def fetch(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> WholeResponse | BegunGet | None:
        """Fetch a small body by the shortest way; see `DirectRequests.fetch`.

        Where it returns a body, there is nothing to `leave`.
        """
        return None if self._sender is not None else self._direct.fetch(url, headers, timeout)

    def fetch_response(
        self, url: str, headers: Mapping[str, str] | None, timeout: object
    ) -> Response | BegunGet | None:
        """Fetch a small body as `fetch` does, as a response whose body was read."""
        return (
            None if self._sender is not None else self._direct.fetch_response(url, headers, timeout)
        )

    def rest(self) -> None:
        """Give back what is kept for the next request, since a worker has nothing to do."""
        self._direct.rest()

    def tell(self, pace: HostObserver) -> None:
        """Have changes of the places at a host, its rests and pauses told; see `Places`."""
        self._places.on_limit = pace.limit
        self._places.on_rest = pace.rest
        self._places.on_pause = pace.pause

    def is_resting(self, line: str) -> bool:
        """Whether a host rests; see `Places`."""
        return self._places.is_resting(line)

    def stats(self) -> PoolStats:
        """Return the counters of the pool."""
        stats: PoolStats = self._session.pool.stats()
        return stats

    def waited(self) -> float:
        """Return the seconds for which this thread's request has waited for places so far."""
        return self._places.waited()

    def leave(self) -> tuple[int, float]:
        """End this thread's request, whose response has been closed.

        Returns:
            How often it was sent, and for how many seconds it waited for places.
        """
        return self._attempts.take(), self._places.leave()

    def close(self) -> None:
        """Close the connections; adapters that are not ours stay open."""
        self._direct.rest()
        for prefix, adapter in list(self._session.adapters.items()):
            if any(adapter is other for other in self._borrowed):
                self._session.adapters.pop(prefix, None)
        self._session.close()

    def _copy_settings(self, settings: Session) -> None:
        """Take over what the user's session is told."""
        for name in _SHARED:
            setattr(self._session, name, getattr(settings, name))
        for name in _COPIED:
            setattr(self._session, name, _copy(getattr(settings, name)))
        self._session.hooks = {
            event: list(hooks) if isinstance(hooks, list) else hooks
            for event, hooks in settings.hooks.items()
        }

    def _mount(self, settings: Session) -> None:
        """Mount a twin of each plain adapter, and each other adapter itself."""
        adapters = list(settings.adapters.items())
        self._session.adapters.clear()
        for prefix, adapter in adapters:
            if is_plain_adapter(adapter):
                self._session.mount(prefix, self._twin(adapter, settings))
            else:
                self._borrowed.append(adapter)
                # Not by `mount`, which would bind the adapter to this session's pool.
                self._session.adapters[prefix] = adapter

    def _twin(self, adapter: HTTPAdapter, settings: Session) -> HTTPAdapter:
        """Return an adapter with the settings of another one that takes places."""
        told = adapter.settings_for_twin(getattr(settings, "_extras", SessionExtras()).pool)
        keywords = told.pop("pool_keywords")
        twin = self._placed(max_retries=adapter.max_retries, **told)
        if keywords:
            twin.init_poolmanager(DEFAULT_POOLSIZE, DEFAULT_POOLSIZE, **keywords)
        return twin

    def _placed(self, **settings: Any) -> HTTPAdapter:
        """Return an adapter with these settings that takes places."""
        return PlacedAdapter(self._places, self._now, **settings)


def _pool_config(max_idle: int | None) -> PoolConfig:
    config = PoolConfig(acquire_timeout=None)
    return config if max_idle is None else replace(config, max_idle_total=max_idle)


def has_proxy(settings: Session | None) -> bool:
    """Whether some requests may go through a proxy, where tunnels to all hosts add up."""
    if settings is not None and (settings.proxies or not settings.trust_env):
        return bool(settings.proxies)
    return any(scheme != "no" for scheme in getproxies())


def _has_retry_policy(settings: Session) -> bool:
    """Whether requests of a session may be sent again by a policy."""
    extras = getattr(settings, "_extras", SessionExtras())
    return extras.retries is not None or any(
        _retries_something(adapter.max_retries)
        for adapter in settings.adapters.values()
        if is_plain_adapter(adapter)
    )


def _retries_something(policy: Any) -> bool:
    """Whether a retry policy allows any attempt after the first."""
    counts = (policy.total, policy.connect, policy.read, policy.status, policy.other)
    return bool(policy.total is not False and policy.total != 0 and any(counts))


def _copy(value: Any) -> Any:
    """Copy a collection of settings, keeping its type."""
    copy = getattr(value, "copy", None)
    return copy() if callable(copy) else value
