"""What `session.pool` is: the pool of one session, and what belongs to it.

`TransportManager` puts the parts together: the generic pool with routes as keys and connections as resources, the
connector that makes connections, the transport that uses them, and the retry budget and pauses of its origins. It
is what users see of the pool: `stats()`, `warm()`, `evict()`, `drain()`, `shutdown()`.

Adapters do not hold a manager but a `Hub` that leads to one. An adapter built without pool settings joins its
session's manager when it is mounted; used alone it makes its own, when first needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pooledhttp.events import Listeners, RetryScheduled
from pooledhttp.network import Connector, Route
from pooledhttp.pool import Limits, Pool, PoolConfig
from pooledhttp.retry import Pauses, RetryBudget
from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Deadline
from pooledhttp.transport.connection import Connection
from pooledhttp.transport.transport import Replay, Transport
from pooledhttp.transport.tunnel import open_tunnel
from pooledhttp.transport.wire import Limits as WireLimits

if TYPE_CHECKING:
    from pooledhttp.events import Listener
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
    """

    def __init__(
        self,
        config: PoolConfig | None = None,
        *,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
        limits: WireLimits | None = None,
        resolver: Any = None,
    ) -> None:
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

    def resize(self, config: PoolConfig) -> None:
        """Put other limits into force; waiters are served where there is room now."""
        self._limits.config = config
        self._connections.resize(config)

    def evict(self, url: str) -> int:
        """Close the idle connections to the origin of `url`; those in use close when they are given back."""
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        origin = Route(parts.scheme, parts.hostname or "", port).origin
        return self._connections.evict(lambda route: route.origin == origin)

    def drain(self, timeout: float | None = None) -> bool:
        """Let what is leased finish, then close; `True` when all did within `timeout` seconds (`None`: for ever)."""
        return self._connections.drain(Deadline.after(timeout, self.runtime.now))

    def close_idle(self) -> None:
        """Empty the shelves. What is leased lives until its body ends; the next request opens the pool again."""
        self._connections.close_idle()

    def shutdown(self) -> None:
        """Close for good: who waits, and who comes later, gets `PoolClosed`."""
        self._connections.shutdown()

    # ---- what adapters tell it

    def enter(self, user: int) -> None:
        """An adapter uses the pool (again)."""
        self._open_users.add(user)

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
        return lambda number, delay, reason: listeners.emit(RetryScheduled(origin, number, delay, reason))


class Holder:
    """A place for one manager, made when first asked for: most sessions that are built never mount a thing on it.

    Args:
        make: Builds the manager.
    """

    __slots__ = ("_lock", "_make", "_manager")

    def __init__(self, make: Callable[[], TransportManager]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._manager: TransportManager | None = None

    @property
    def manager(self) -> TransportManager:
        """The manager; the same one for all who ask."""
        if self._manager is None:
            with self._lock:
                if self._manager is None:
                    self._manager = self._make()
        return self._manager


class Hub:
    """Leads from an adapter, and all it hands out, to the manager in use, which mounting may change.

    It stands between them so that what an adapter hands out does not refer back to the adapter.
    """

    __slots__ = ("holder", "replay")

    def __init__(self, holder: Holder, replay: Replay) -> None:
        self.holder = holder
        self.replay = replay

    @property
    def manager(self) -> TransportManager:
        """The manager in use."""
        return self.holder.manager


def _origin_of(route: Route) -> str:
    return route.origin


class _LimitsByUrl:
    """Finds the limits of a route in the configuration in force, whose overrides are written as URLs."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config

    def __call__(self, route: Route) -> Limits:
        config = self.config
        return config.limits_for(route.origin) if config.overrides else config.limits
