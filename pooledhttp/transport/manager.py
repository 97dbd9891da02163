"""What `session.pool` is: the pool of one session, and what belongs to it.

`TransportManager` puts the parts together: the generic pool with routes as keys and connections as
resources, the connector that makes connections, the transport that uses them, and the retry budget
and pauses of its origins. It is what users see of the pool: `stats()`, `warm()`, `evict()`,
`drain()`, `shutdown()`.

Adapters do not hold a manager but a `Hub` that leads to one. An adapter built without pool settings
joins its session's manager when it is mounted; used alone it makes its own, when first needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pooledhttp.events import Listeners, RetryScheduled
from pooledhttp.network import UNIX_SCHEME, Connector, Route, SocketOptions, socket_path
from pooledhttp.pool import Advice, Limits, Pool, PoolConfig
from pooledhttp.retry import Pauses, RetryBudget
from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Deadline
from pooledhttp.transport.connection import Connection
from pooledhttp.transport.keeper import Keeper
from pooledhttp.transport.transport import Replay, Transport, open_connection
from pooledhttp.transport.tunnel import open_tunnel
from pooledhttp.transport.wire import Limits as WireLimits

if TYPE_CHECKING:
    from pooledhttp.events import Listener
    from pooledhttp.network import Resolver
    from pooledhttp.pool import PoolStats

__all__ = ["Holder", "Hub", "TransportManager"]


class TransportManager:
    """One pool of connections, shared by the adapters of a session or by several sessions.

    Args:
        config: Limits and lifetimes; the defaults of `PoolConfig` when `None`.
        runtime: How code waits; threads when `None`.
        listeners: Called with each event.
        limits: Bounds on what a server may send.
        resolver: Looks names up; the system's when `None`.
        socket_options: What is set on each socket; the defaults when `None`.
    """

    def __init__(
        self,
        config: PoolConfig | None = None,
        *,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
        limits: WireLimits | None = None,
        resolver: Resolver | None = None,
        socket_options: SocketOptions | None = None,
    ) -> None:
        self.socket_options = SocketOptions() if socket_options is None else socket_options
        self.runtime = runtime or default_runtime()
        self.listeners = Listeners(listeners)
        config = config or PoolConfig()
        self._limits = _LimitsByUrl(config)
        self._connections: Pool[Route, Connection] = Pool(
            config,
            close=Connection.close,
            abandon=Connection.abandon,
            is_alive=Connection.is_alive,
            describe=_origin_of,
            limits_for=self._limits,
            runtime=self.runtime,
            listeners=self.listeners,
        )
        self.connector = Connector(self.runtime, resolver=resolver, tunnel=open_tunnel)
        self.transport = Transport(
            self._connections, self.connector, limits=limits, listeners=self.listeners
        )
        # Without a way to the pool: a keeper must not keep alive what it looks after.
        dial = partial(open_connection, self.connector, self.transport.limits)
        self.keeper = Keeper(self._connections, dial, self.runtime)
        self.locate: Callable[[str], Route] = _route_by_url
        self.budget = RetryBudget()
        self.pauses = Pauses()
        #: Adapters that use this manager and have not been closed since they last did.
        self._open_users: set[int] = set()

    def __repr__(self) -> str:
        return repr(self._connections)

    # ---- what users ask of it

    @property
    def config(self) -> PoolConfig:
        """The settings in force."""
        return self._connections.config

    def stats(self) -> PoolStats:
        """Counts per origin and in total, as frozen values."""
        return self._connections.stats()

    def advise(self) -> dict[str, Advice]:
        """How many connections each origin needs, by Little's law over what was measured of late.
        How many connections each origin needs, by Little's law over what was measured of late."""
        return self._connections.advise()

    def resize(self, config: PoolConfig) -> None:
        """Put other limits into force; waiters are served where there is room now."""
        self._limits.config = config
        self._connections.resize(config)
        self.note_use()

    def warm(self, url: str, count: int = 1, timeout: float | None = 10.0) -> int:
        """Open connections to the origin of `url` now, and keep that many ready from now on.

        Args:
            url: Any URL of the origin; a session's own settings of TLS and proxies apply.
            count: Idle connections to have, at least.
            timeout: Seconds to wait for them; `None` for as long as it takes.

        Returns:
            How many are idle. Why others could not be opened is in the log, and they are tried
            again.
        """
        route = self.locate(url)
        self._limits.warmed[route] = count
        self._connections.resize(self.config)
        missing = count - self._idle(route)
        self.keeper.fill(route, missing, Deadline.after(timeout, self.runtime.now))
        self.keeper.wake()
        return self._idle(route)

    def _idle(self, route: Route) -> int:
        found = self.stats().origins.get(route.origin)
        return 0 if found is None else found.idle

    def evict(self, url: str) -> int:
        """Close the idle connections to the origin of `url`.

        Those in use close when they are given back.
        """
        origin = _route_by_url(url).origin
        return self._connections.evict(lambda route: route.origin == origin)

    def drain(self, timeout: float | None = None) -> bool:
        """Let what is leased finish, then close.

        `True` when all did within `timeout` seconds (`None`: for ever).
        """
        self.keeper.stop()
        return self._connections.drain(Deadline.after(timeout, self.runtime.now))

    def close_idle(self) -> None:
        """Empty the shelves and stop keeping connections warm.

        What is leased lives until its body ends; the next request opens the pool again.
        """
        self.keeper.stop()
        self._connections.close_idle()

    def shutdown(self) -> None:
        """Close for good: who waits, and who comes later, gets `PoolClosed`."""
        self.keeper.stop()
        self._connections.shutdown()

    # ---- what adapters tell it

    def enter(self, user: int) -> None:
        """An adapter uses the pool (again)."""
        self._open_users.add(user)
        self.note_use()

    def note_use(self) -> None:
        """The pool is in use: connections are kept warm again, where the limits want any."""
        if self._limits.want_warmth:
            self.keeper.wake()

    def leave(self, user: int) -> None:
        """An adapter was closed; the last one to be closed empties the shelves."""
        self._open_users.discard(user)
        if not self._open_users:
            self.close_idle()

    def on_retry(self, origin: str) -> Callable[[int, float, str], None] | None:
        """What tells the listeners of retries to `origin`; `None` when nobody listens."""
        listeners = self.listeners
        if not listeners:
            return None
        return lambda number, delay, reason: listeners.emit(
            RetryScheduled(origin, number, delay, reason)
        )


class Holder:
    """A place for one manager, made when first asked for: most sessions that are built never mount
    a thing on it.

    Args:
        make: Builds the manager.
        locate: Finds the route of a URL under the settings of whoever holds the manager; `None` for
            default settings.
    """

    __slots__ = ("_locate", "_lock", "_make", "_manager")

    def __init__(
        self, make: Callable[[], TransportManager], locate: Callable[[str], Route] | None = None
    ) -> None:
        self._make = make
        self._locate = locate
        self._lock = threading.Lock()
        self._manager: TransportManager | None = None

    @property
    def manager(self) -> TransportManager:
        """The manager; the same one for all who ask."""
        if self._manager is None:
            with self._lock:
                if self._manager is None:
                    manager = self._make()
                    if self._locate is not None:
                        manager.locate = self._locate
                    self._manager = manager
        return self._manager


class Hub:
    """Leads from an adapter, and all it hands out, to the manager in use, which mounting may
    change.

    It stands between them so that what an adapter hands out does not refer back to the adapter.

    Args:
        holder: Of the manager.
        replay: What is sent again when a reused connection turns out dead.
        resolver: The adapter's own; `None` for the manager's.
        options: The adapter's own socket options; `None` for the manager's.
    """

    __slots__ = ("holder", "options", "replay", "resolver")

    def __init__(
        self,
        holder: Holder,
        replay: Replay,
        resolver: Resolver | None = None,
        options: SocketOptions | None = None,
    ) -> None:
        self.holder = holder
        self.replay = replay
        self.resolver = resolver
        self.options = options

    @property
    def socket_options(self) -> SocketOptions:
        """What is set on each socket."""
        return self.manager.socket_options if self.options is None else self.options

    @property
    def manager(self) -> TransportManager:
        """The manager in use."""
        return self.holder.manager


def _route_by_url(url: str) -> Route:
    """The route to a URL's origin under default settings."""
    parts = urlsplit(url)
    if parts.scheme == UNIX_SCHEME:
        return Route(UNIX_SCHEME, socket_path(parts.netloc), 0)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return Route(parts.scheme, (parts.hostname or "").lower(), port)


def _origin_of(route: Route) -> str:
    return route.origin


class _LimitsByUrl:
    """Finds the limits of a route in the configuration in force, whose overrides are written as
    URLs."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        #: What `warm` asked for, on top of the configuration.
        self.warmed: dict[Route, int] = {}

    def __call__(self, route: Route) -> Limits:
        config = self.config
        limits = config.limits_for(route.origin) if config.overrides else config.limits
        count = self.warmed.get(route, 0)
        return replace(limits, min_idle=count) if count > limits.min_idle else limits

    @property
    def want_warmth(self) -> bool:
        """Whether any origin may have idle connections to be kept ready."""
        config = self.config
        return bool(config.min_idle or config.overrides or self.warmed)
