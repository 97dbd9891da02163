"""`session.pool`: a pool of connections as the user of one session sees it.

    session.pool.warm(url)  ->  the route of `url` with the session's settings
                            ->  manager.warm(route)

A view belongs to one session, or to one adapter that has a pool of its own. Only this owner knows
the route of a URL, which depends on its adapters, proxies and TLS settings. So the view asks the
owner for the route. Sessions that share a pool have a view each; two views are equal if they show
the same pool.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from urllib.parse import urlsplit

from pooledhttp import http1
from pooledhttp.message import DEFAULT_PORTS
from pooledhttp.network import UNIX_SCHEME, Route, socket_path
from pooledhttp.originals import settle_attributes
from pooledhttp.pool import Advice, PoolConfig, pool_advice
from pooledhttp.records import explain_misspelt_call
from pooledhttp.transport.manager import TransportManager
from pooledhttp.transport.transport import Replay

if TYPE_CHECKING:
    from pooledhttp.events import Listener
    from pooledhttp.pool import PoolStats
    from pooledhttp.runtime import Runtime

__all__ = ["PoolView", "check_pool", "check_replay", "load_parser", "manager_for"]

Owner = TypeVar("Owner")


class _MadeOnce:
    """The attribute `manager` of a view, until it is made. Each request reads it several times."""

    def __get__(self, view: PoolView | None, kind: type[PoolView]) -> Any:
        if view is None:
            return self
        # `setdefault` is one atomic step: all threads get the same manager, with no lock that
        # another thread could hold during a fork.
        manager = view.made = view.__dict__.setdefault("manager", view._make())
        return manager


class PoolView:
    """A pool of connections, with the settings of its owner for the routes of URLs.

    Args:
        make: Returns the manager of the pool. Called when the pool is first needed.
        owner: The session or adapter; held weakly.
        find_route: Returns the route that the owner's requests to a URL take.
    """

    #: The parts of the pool; the same object for all views of one pool.
    manager: TransportManager = _MadeOnce()  # type: ignore[assignment]

    def __init__(
        self,
        make: Callable[[], TransportManager],
        owner: Owner,
        find_route: Callable[[Owner, str], Route],
    ) -> None:
        #: `manager`, if it is made. Python reads this faster.
        self.made: TransportManager | None = None
        self._make = make
        self._owner: weakref.ref[Any] = weakref.ref(owner)
        self._find_route: Callable[[Any, str], Route] = find_route
        settle_attributes(self)

    @property
    def is_made(self) -> bool:
        """Whether the pool has been needed already."""
        return "manager" in self.__dict__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PoolView):
            return NotImplemented
        return self.manager is other.manager

    def __hash__(self) -> int:
        return hash(self.manager)

    def __repr__(self) -> str:
        return repr(self.manager)

    # ---- numbers and limits

    @property
    def config(self) -> PoolConfig:
        """The settings in force."""
        return self.manager.config

    def stats(self) -> PoolStats:
        """Return counts per origin and in total, as frozen values."""
        return self.manager.stats()

    def advise(self) -> dict[str, Advice]:
        """Return how many connections each origin needs, by Little's law over what was measured."""
        return self.manager.advise()

    @explain_misspelt_call(advice=pool_advice("session.pool.resize({})"))
    def resize(self, config: PoolConfig) -> None:
        """Replace the settings of the pool while it is in use.

        Waiting requests are served where there is room now. Idle connections above the new limits
        are closed.

        Args:
            config: All settings, not only the changed ones: the others get their defaults.

        Raises:
            TypeError: It is not a `PoolConfig`.
        """
        if not isinstance(config, PoolConfig):
            raise TypeError(
                f"config must be a PoolConfig, such as PoolConfig(max_per_host=8), not {config!r}"
            )
        self.manager.resize(config)

    # ---- connections kept ready, and connections closed

    @explain_misspelt_call()
    def warm(self, url: str, count: int = 1, timeout: float | None = 10.0) -> int:
        """Open connections to the origin of `url` now, and keep that many ready from now on.

        Args:
            url: Any URL of the origin. The session's settings of TLS and proxies decide which
                requests the connections can serve.
            count: The least number of idle connections; 0 ends an earlier `warm`, and then only
                `min_idle` of the pool's settings applies.
            timeout: Seconds to wait for them; `None` for no limit.

        Returns:
            How many are idle, which may be less than `count`: the limits of the pool apply, and a
            dial may fail. The log says why, and the dial is tried again, with growing pauses.

        Raises:
            TypeError: `count` is not a whole number, or `timeout` no number.
            ValueError: `count` is negative, or `url` has no scheme.
            InvalidSchema: The URL's adapter has no pool of this package.
            PoolClosed: The pool was shut down.
        """
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count must be a whole number of connections, not {count!r}")
        if count < 0:
            raise ValueError(f"count must be at least 0, not {count}")
        _check_seconds(timeout)
        return self.manager.warm(self._route(url), count, timeout)

    def evict(self, url: str) -> int:
        """Close the connections to the origin of `url`.

        Idle ones close now, those in use when their response has been read or closed. If plain http
        goes through a forward proxy, the connections are to the proxy, and serve all origins behind
        it: all of them are closed.

        Returns:
            How many connections are closed, now or later.

        Raises:
            TypeError: `url` is not a string.
            ValueError: `url` has no scheme.
            InvalidSchema: The URL's adapter has no pool of this package.
        """
        return self.manager.evict_origin(self._route(url))

    @explain_misspelt_call()
    def drain(self, timeout: float | None = None) -> bool:
        """Close for good, as `shutdown` does, and wait until the connections in use are closed.

        Args:
            timeout: Seconds to wait for leases to end; `None` for no limit.

        Returns:
            Whether all were closed in time. The others are closed when their response ends.

        Raises:
            TypeError: `timeout` is no number.
        """
        _check_seconds(timeout)
        return self.manager.drain(timeout)

    def close_idle(self) -> None:
        """Close idle connections and stop keeping connections ready.

        Connections in use are closed when their response ends. Later requests dial new ones.
        """
        self.manager.close_idle()

    def shutdown(self) -> None:
        """Close for good: requests that wait, and later ones, raise `PoolClosed`."""
        self.manager.shutdown()

    def _route(self, url: str) -> Route:
        if not isinstance(url, str):
            raise TypeError(f"url must be a URL of the origin, such as https://host/, not {url!r}")
        if "://" not in url:
            raise ValueError(f"url must begin with a scheme, such as https://, not be {url!r}")
        owner = self._owner()
        return _default_route(url) if owner is None else self._find_route(owner, url)


def _check_seconds(timeout: object) -> None:
    if timeout is not None and not hasattr(timeout, "__float__"):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")


def check_pool(pool: object) -> None:
    """Check a `pool` argument of a session or an adapter.

    Raises:
        TypeError: It is neither settings of a pool nor a pool.
    """
    if not (pool is None or isinstance(pool, (PoolConfig, PoolView, TransportManager))):
        raise TypeError(
            "pool must be a PoolConfig (its limits: pool=PoolConfig(max_per_host=8)), or the "
            f"pool of another session to share, not {pool!r}"
        )


def load_parser(choice: http1.ParserChoice) -> None:
    """Import what reads response heads, so that a first request needs no import.

    Nothing can be imported while the interpreter ends, and a finalizer may send a request then.
    """
    http1.library_for(choice)


def check_replay(replay: object) -> None:
    """Check a `replay` argument of a session or an adapter.

    Raises:
        ValueError: It is not one of the three words.
    """
    if replay not in get_args(Replay):
        raise ValueError(f'replay must be "safe", "always" or "off", not {replay!r}')


def manager_for(
    pool: PoolConfig | PoolView | TransportManager | None,
    *,
    runtime: Runtime | None = None,
    listeners: Iterable[Listener] = (),
) -> TransportManager:
    """Return the manager of an existing pool, or make one from settings."""
    if isinstance(pool, PoolView):
        return pool.manager
    if isinstance(pool, TransportManager):
        return pool
    return TransportManager(pool, runtime=runtime, listeners=listeners)


def _default_route(url: str) -> Route:
    """Return the route to a URL's origin under default settings."""
    parts = urlsplit(url)
    if parts.scheme == UNIX_SCHEME:
        return Route(UNIX_SCHEME, socket_path(parts.netloc), 0)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return Route(parts.scheme, (parts.hostname or "").lower(), port)
