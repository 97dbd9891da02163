"""The engine's own session, furnished with the settings of another.

What a session *is told* is taken over: headers, parameters, auth, cookies, proxies, TLS settings,
hooks, retries. What it *has* is not: the engine's connections live and end with the engine, under
its own limits. Adapters stand in between. A plain `HTTPAdapter` is a setting too (its retries) and
gets a twin on the engine's pool; anything else mounted by the user does its own work in its own
way, so that very object is used, and left open in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.client import SessionExtras
from pooledhttp.events import Event, RetryScheduled
from pooledhttp.pool import PoolConfig
from pooledhttp.runtime import Runtime
from pooledhttp.sessions import Session

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["OwnSession"]

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
        """Return how often the last request of this thread was sent, and begin anew."""
        return 1 + self._retries.pop(self._current(), 0)


class OwnSession:
    """A session of the engine's own.

    Args:
        settings: The session whose settings to use; `None` means a new session's.
        per_host: The most connections per origin.
        runtime: What the session waits with.
    """

    def __init__(self, settings: Session | None, per_host: int | None, runtime: Runtime) -> None:
        self._attempts = _Attempts(runtime.current)
        extras = getattr(settings, "_extras", SessionExtras())
        self._session = Session(
            # The engine starts no more per host than there are places; only a redirect to another
            # host, or a proxy in front of many, makes requests wait, within their own timeout.
            pool=PoolConfig(max_per_host=per_host, acquire_timeout=None),
            retries=extras.retries,
            listeners=[self._attempts, *extras.listeners],
            replay=extras.replay,
            runtime=runtime,
            strict=extras.strict,
            tls_truncation=extras.tls_truncation,
            max_response_fields=extras.max_response_fields,
        )
        self._borrowed: list[BaseAdapter] = []
        if settings is not None:
            self._furnish(settings)

    def request(self, method: str, url: str, **settings: Any) -> Response:
        """Send a request as `Session.request` does."""
        return self._session.request(method, url, **settings)

    def stats(self) -> Any:
        """Return the counters of the pool."""
        return self._session.pool.stats()

    def attempts(self) -> int:
        """Return how often the last request of this thread was sent."""
        return self._attempts.take()

    def close(self) -> None:
        """Close the connections; adapters that are not ours stay open."""
        for prefix, adapter in list(self._session.adapters.items()):
            if any(adapter is other for other in self._borrowed):
                self._session.adapters.pop(prefix, None)
        self._session.close()

    def _furnish(self, settings: Session) -> None:
        """Take over what the user's session is told."""
        for name in _SHARED:
            setattr(self._session, name, getattr(settings, name))
        for name in _COPIED:
            setattr(self._session, name, _copy(getattr(settings, name)))
        self._session.hooks = {
            event: list(hooks) if isinstance(hooks, list) else hooks
            for event, hooks in settings.hooks.items()
        }
        self._mount(settings)

    def _mount(self, settings: Session) -> None:
        """Mount a twin of each plain adapter, and each other adapter itself."""
        self._session.adapters.clear()
        for prefix, adapter in settings.adapters.items():
            if type(adapter) is HTTPAdapter:
                self._session.mount(prefix, HTTPAdapter(max_retries=adapter.max_retries))
            else:
                self._borrowed.append(adapter)
                # Not by `mount`, which would bind the adapter to this session's pool.
                self._session.adapters[prefix] = adapter


def _copy(value: Any) -> Any:
    """Copy a collection of settings, keeping its type."""
    copy = getattr(value, "copy", None)
    return copy() if callable(copy) else value
