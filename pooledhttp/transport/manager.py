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
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pooledhttp.events import Listeners, RetryScheduled
from pooledhttp.exceptions import PoolClosed
from pooledhttp.message import DEFAULT_PORTS
from pooledhttp.network import UNIX_SCHEME, Connector, Route, SocketOptions, socket_path
from pooledhttp.pool import INHERIT, Advice, Limits, Pool, PoolConfig
from pooledhttp.retry import Pauses, RetryBudget
from pooledhttp.runtime import Runtime, default_runtime, register_fork_reset
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

__all__ = ["Guide", "Holder", "Hub", "TransportManager"]

#: Finds the route of a URL under the settings of an owner, a session or an adapter.
Guide = Callable[[Any, str], Route]


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
        self.budget = RetryBudget()
        self.pauses = Pauses()
        self._guides: list[tuple[weakref.ref[Any], Guide]] = []
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Begin anew, in a forked child: nobody has used it there yet."""
        #: Adapters that enter are given it; one that holds another has to enter again.
        self.era = object()
        #: Those that have entered and not left; one that is dropped has left.
        self._open_users: dict[int, weakref.ref[object]] = {}

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
        """How many connections each origin needs, by Little's law over what was measured."""
        return self._connections.advise()

    def resize(self, config: PoolConfig) -> None:
        """Put other limits into force; waiters are served where there is room now."""
        self._limits.config = config
        self._connections.resize(config)
        self.note_use()

    def warm(self, url: str, count: int = 1, timeout: float | None = 10.0) -> int:
        """Open connections to the origin of `url` now, and keep that many ready from now on.

        Args:
            url: Any URL of the origin. The settings of the session that has this pool, of TLS and
                proxies, decide what the connections are good for.
            count: Idle connections to have, at least; 0 keeps none ready any more, beyond what the
                settings of the pool say.
            timeout: Seconds to wait for them; `None` for as long as it takes.

        Returns:
            How many are idle. Why others could not be opened is in the log, and they are tried
            again, with growing pauses. There are never more than the limits of the pool allow.

        Raises:
            TypeError, ValueError: `count` is not a whole number, or negative.
            PoolClosed: The pool was shut down.
        """
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count must be a whole number of connections, not {count!r}")
        if count < 0:
            raise ValueError(f"count must be at least 0, not {count}")
        route = self.locate(url)
        if self._connections.is_closed:
            raise PoolClosed(
                f"No connection to {route.origin} can be kept ready: the pool was shut down.",
                origin=route.origin,
            )
        self._limits.keep(route, count)
        self._connections.resize(self.config)
        if count:
            missing = count - self._connections.idle_count(route)
            self.keeper.fill(route, missing, Deadline.after(timeout, self.runtime.now))
        idle = self._connections.idle_count(route)
        self.note_use()
        return idle

    def evict(self, url: str) -> int:
        """Close the idle connections to the origin of `url`.

        Those in use close when they are given back. Where plain http goes over a forward proxy,
        connections belong to the proxy, and those of all its origins are closed.

        Returns:
            How many connections that concerns.
        """
        meant = self.locate(url)
        return self._connections.evict(lambda route: route.origin == meant.origin or route == meant)

    def evict_routes(self, routes: Iterable[Route]) -> None:
        """Close the idle connections of these keys; those in use close when they are given back."""
        for route in routes:
            self._connections.evict(route)

    def drain(self, timeout: float | None = None) -> bool:
        """Let what is leased finish, then close for good, as `shutdown` does at once.

        Args:
            timeout: Seconds to wait for leases to end; `None` for ever.

        Returns:
            Whether all did. Those that did not are closed when they end.
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

    def enter(self, user: object) -> object:
        """An adapter uses the pool (again).

        Returns:
            The era in which it entered. Once `era` is another one, it has to enter again.
        """
        self._forget_dropped_users()
        self._open_users[id(user)] = weakref.ref(user)
        self.note_use()
        return self.era

    def note_use(self) -> None:
        """The pool is in use: connections are kept warm again, where the limits want any."""
        if self._limits.want_warmth:
            self.keeper.wake()

    def leave(self, user: object) -> None:
        """An adapter was closed; the last one to be closed empties the shelves."""
        self._open_users.pop(id(user), None)
        self._forget_dropped_users()
        if not self._open_users:
            self.close_idle()

    def _forget_dropped_users(self) -> None:
        """Adapters nobody has any more cannot be closed by anybody."""
        for key, user in list(self._open_users.items()):
            if user() is None:
                self._open_users.pop(key, None)

    def ask(self, owner: object, guide: Guide) -> None:
        """Have `guide(owner, url)` find routes from now on, for as long as `owner` is there.

        Of several owners (sessions that share a pool) the last one is asked.
        """
        self._guides = [(there, known) for there, known in self._guides if there() is not None]
        self._guides.append((weakref.ref(owner), guide))

    def locate(self, url: str) -> Route:
        """The route that requests to `url` take under the settings of whoever has this pool."""
        for there, guide in reversed(self._guides):
            owner = there()
            if owner is not None:
                route: Route = guide(owner, url)
                return route
        return _route_by_url(url)

    def on_retry(self, origin: str) -> Callable[[int, float, str], None] | None:
        """What tells the listeners of retries to `origin`; `None` when nobody listens."""
        listeners = self.listeners
        if not listeners:
            return None
        return lambda number, delay, reason: listeners.emit(
            RetryScheduled(origin, number, delay, reason)
        )


class Holder:
    """A place for one manager, made when first asked for.

    Args:
        make: Builds the manager.
        owner: Whose settings decide about the routes of URLs; referred to weakly.
        guide: Finds the route of a URL under the settings of the owner.
    """

    __slots__ = ("__weakref__", "_guide", "_lock", "_make", "_manager", "_owner")

    def __init__(self, make: Callable[[], TransportManager], owner: object, guide: Guide) -> None:
        self._make = make
        self._owner = weakref.ref(owner)
        self._guide = guide
        self._manager: TransportManager | None = None
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Begin anew, in a forked child: nobody there is making the manager."""
        self._lock = threading.Lock()

    @property
    def manager(self) -> TransportManager:
        """The manager; the same one for all who ask."""
        if self._manager is None:
            with self._lock:
                if self._manager is None:
                    manager = self._make()
                    owner = self._owner()
                    if owner is not None:
                        manager.ask(owner, self._guide)
                    self._manager = manager
        return self._manager


class Hub:
    """Leads from an adapter, and all it hands out, to the manager in use.

    Mounting may change that manager. It stands between them so that what an adapter hands out does
    not refer back to the adapter.

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
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    return Route(parts.scheme, (parts.hostname or "").lower(), port)


def _origin_of(route: Route) -> str:
    return route.origin


class _LimitsByUrl:
    """Finds the limits of a route in the configuration in force, which is written in URLs."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        #: What `warm` asked for, on top of the configuration.
        self._warmed: dict[Route, int] = {}

    def keep(self, route: Route, count: int) -> None:
        """Want at least `count` idle connections for a route."""
        if count:
            self._warmed[route] = count
        else:
            self._warmed.pop(route, None)

    def __call__(self, route: Route) -> Limits:
        config = self.config
        limits = config.limits_for(route.origin) if config.overrides else config.limits
        count = self._warmed.get(route, 0)
        return replace(limits, min_idle=count) if count > limits.min_idle else limits

    @property
    def want_warmth(self) -> bool:
        """Whether any origin may have idle connections to be kept ready."""
        config = self.config
        overrides = config.overrides.values()
        return bool(config.min_idle or self._warmed) or any(
            limits.min_idle is not INHERIT and limits.min_idle > 0 for limits in overrides
        )
