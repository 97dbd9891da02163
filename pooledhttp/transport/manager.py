"""One pool of connections with everything that works on it.

`TransportManager` makes and holds:

    connections   the generic `Pool`, with routes as keys and connections as resources
    connector     makes connections
    transport     sends requests over connections
    warmer        keeps idle connections ready
    budget, pauses of the retries to its origins

Its methods take routes. A `PoolView` turns the URLs of a session into routes.

Several adapters, of one session or of several, may share a manager. It notes which adapters use it:
when the last one is closed, it closes the idle connections.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from pooledhttp.events import Listeners, RetryScheduled, check_listeners
from pooledhttp.exceptions import PoolClosed
from pooledhttp.http1 import Connection, ResponseLimits
from pooledhttp.network import (
    Connector,
    Route,
    SocketOptions,
    check_resolver,
    check_socket_options,
)
from pooledhttp.pool import INHERIT, Advice, Limits, Pool, PoolConfig
from pooledhttp.records import explain_misspelt, replace
from pooledhttp.retry import Pauses, RetryBudget
from pooledhttp.runtime import Runtime, check_runtime, default_runtime, register_fork_reset
from pooledhttp.timing import Deadline, Timeout, TimeoutPlan, plan_timeout
from pooledhttp.transport.transport import Transport, open_connection
from pooledhttp.transport.tunnel import open_tunnel
from pooledhttp.transport.warmer import Warmer

if TYPE_CHECKING:
    from pooledhttp.events import Listener
    from pooledhttp.network import Resolver
    from pooledhttp.pool import PoolStats

__all__ = ["TransportManager"]

#: How many plans are kept, each for one value of `timeout=`. Programs use a handful of values.
_MAX_PLANS = 32
#: What a connection over TLS costs the process: two to three milliseconds were measured.
_HANDSHAKE_CPU_SECONDS = 0.0025


class TransportManager:
    """One pool of connections, shared by the adapters of a session or by several sessions.

    Args:
        config: Limits and lifetimes; the defaults of `PoolConfig` when `None`.
        runtime: How code waits; threads when `None`.
        listeners: Called with each event.
        limits: Bounds on what a server may send; the defaults of `ResponseLimits` when `None`.
        resolver: Looks names up; the system's when `None`.
        socket_options: What is set on each socket; the defaults of `SocketOptions` when `None`.
        connector: Makes the connections; `None` for one that opens sockets.

    Raises:
        TypeError: An argument is of a type that it does not take.
    """

    @explain_misspelt()
    def __init__(
        self,
        config: PoolConfig | None = None,
        *,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
        limits: ResponseLimits | None = None,
        resolver: Resolver | None = None,
        socket_options: SocketOptions | None = None,
        connector: Connector | None = None,
    ) -> None:
        if not isinstance(config, PoolConfig | None):
            raise TypeError(
                f"config must be a PoolConfig, such as PoolConfig(max_per_host=8), not {config!r}"
            )
        if not isinstance(limits, ResponseLimits | None):
            raise TypeError(f"limits must be http1.ResponseLimits(head_bytes=...), not {limits!r}")
        if runtime is not None:
            check_runtime(runtime)
        check_resolver(resolver)
        check_socket_options(socket_options)
        self.socket_options = SocketOptions() if socket_options is None else socket_options
        self.runtime = runtime or default_runtime()
        self.listeners = Listeners(check_listeners(listeners) if listeners else ())
        config = config or PoolConfig()
        self._limits = _RouteLimits(config)
        self.connections: Pool[Route, Connection] = Pool(
            config,
            close=Connection.close,
            abandon=Connection.abandon,
            is_alive=Connection.is_alive,
            describe=_origin_of,
            limits_for=self._limits,
            runtime=self.runtime,
            listeners=self.listeners,
            dial_cost=_dial_cost,
        )
        tunnel = partial(open_tunnel, limits=limits)
        self.connector = connector or Connector(self.runtime, resolver=resolver, tunnel=tunnel)
        self.transport = Transport(
            self.connections, self.connector, limits=limits, listeners=self.listeners
        )
        # `dial` does not refer to the pool: the warmer must not keep its pool alive.
        transport = self.transport
        dial = partial(open_connection, self.connector, transport.limits, transport.memos)
        self.warmer = Warmer(self.connections, dial, self.runtime)
        #: The plans of earlier requests, by their `timeout=`.
        self._plans: dict[object, TimeoutPlan] = {}
        #: The last `Timeout` that limits each operation only, and its plan.
        self._last_plan: tuple[object, TimeoutPlan | None] = (None, None)
        self.budget = RetryBudget()
        self.pauses = Pauses()
        self.reset_after_fork()
        register_fork_reset(self)

    def reset_after_fork(self) -> None:
        """Start over in a forked child, where no adapter has used the pool yet."""
        #: `register_user` returns it to each adapter. A fork replaces it, and an adapter that still
        #: has the old object must register again.
        self.generation = object()
        #: Adapters that are registered, by id. A dropped adapter counts as not registered.
        self._open_users: dict[int, weakref.ref[object]] = {}

    def __repr__(self) -> str:
        return repr(self.connections)

    # ---- numbers and limits

    @property
    def config(self) -> PoolConfig:
        """The settings in force."""
        return self.connections.config

    def stats(self) -> PoolStats:
        """Return counts per origin and in total, as frozen values."""
        return self.connections.stats()

    def advise(self) -> dict[str, Advice]:
        """Return how many connections each origin needs, by Little's law over what was measured."""
        return self.connections.advise()

    def resize(self, config: PoolConfig) -> None:
        """Apply other limits; waiting requests are served where there is room now."""
        self._limits.config = config
        self.connections.resize(config)
        self.wake_warmer_if_wanted()

    # ---- connections kept ready, and connections closed

    def warm(self, route: Route, count: int, timeout: float | None) -> int:
        """Open connections to `route` and keep them ready; see `PoolView.warm`.

        Args:
            route: Where to, and with which settings.
            count: The least number of idle connections; 0 ends an earlier `warm`.
            timeout: Seconds to wait for them; `None` for no limit.

        Returns:
            How many are idle.

        Raises:
            PoolClosed: The pool was shut down.
        """
        pool = self.connections
        if pool.is_closed:
            raise PoolClosed(
                f"No connection to {route.origin} can be kept ready: the pool was shut down. "
                "Create a new session.",
                origin=route.origin,
            )
        self._limits.set_warm_count(route, count)
        pool.resize(self.config)
        if count:
            missing = count - pool.idle_count(route)
            self.warmer.fill(route, missing, Deadline.after(timeout, self.runtime.now))
        idle = pool.idle_count(route)
        self.wake_warmer_if_wanted()
        return idle

    def evict_origin(self, route: Route) -> int:
        """Close the connections to the origin of `route`, whatever their other settings.

        Returns:
            How many connections are closed, now or when their lease ends.
        """
        return self.connections.evict(lambda other: other.origin == route.origin or other == route)

    def evict_routes(self, routes: Iterable[Route]) -> None:
        """Close the idle connections of these routes; those in use close when their lease ends."""
        for route in routes:
            self.connections.evict(route)

    def drain(self, timeout: float | None = None) -> bool:
        """Shut down, and wait until the connections in use are closed; see `PoolView.drain`."""
        self.warmer.stop()
        return self.connections.drain(Deadline.after(timeout, self.runtime.now))

    def close_idle(self) -> None:
        """Close idle connections and stop the warmer; the next request opens the pool again."""
        self.warmer.stop()
        self.connections.close_idle()

    def shutdown(self) -> None:
        """Close for good; see `PoolView.shutdown`."""
        self.warmer.stop()
        self.connections.shutdown()

    # ---- for adapters

    def register_user(self, user: object) -> object:
        """Note that an adapter uses the pool, or uses it again.

        Returns:
            The present `generation`. The adapter keeps it, and registers again when it has changed.
        """
        self._forget_dropped_users()
        self._open_users[id(user)] = weakref.ref(user)
        self.wake_warmer_if_wanted()
        return self.generation

    def wake_warmer_if_wanted(self) -> None:
        """Wake the warmer, or start it, if the limits ask for idle connections."""
        if self._limits.wants_idle:
            self.warmer.wake()

    def unregister_user(self, user: object) -> None:
        """Note that an adapter was closed; after the last one, close the idle connections."""
        self._open_users.pop(id(user), None)
        self._forget_dropped_users()
        if not self._open_users:
            self.close_idle()

    def _forget_dropped_users(self) -> None:
        """Forget adapters that no longer exist: they can never be closed."""
        for key, user in list(self._open_users.items()):
            if user() is None:
                self._open_users.pop(key, None)

    def plan(self, timeout: object) -> TimeoutPlan:
        """Turn any accepted `timeout=` into a plan; that of a number, `None` or a value is kept.

        Raises:
            ValueError: It is no timeout.
        """
        # By type: True equals 1, and is no timeout.
        if timeout is not None and type(timeout) not in (int, float):
            last, plan = self._last_plan
            if last is timeout and plan is not None:
                return plan
            plan = plan_timeout(timeout, self.runtime.now)
            if type(timeout) is Timeout and timeout.total is None:  # a value, with nothing running
                self._last_plan = timeout, plan
            return plan
        plan = self._plans.get(timeout)
        if plan is None:
            plan = plan_timeout(timeout, self.runtime.now)
            if len(self._plans) < _MAX_PLANS:
                self._plans[timeout] = plan
        return plan

    def on_retry(self, origin: str) -> Callable[[int, float, str], None] | None:
        """Return a function that reports a retry to the listeners; `None` without listeners."""
        listeners = self.listeners
        if not listeners:
            return None
        return lambda number, delay, reason: listeners.emit(
            RetryScheduled(origin, number, delay, reason)
        )


def _origin_of(route: Route) -> str:
    return route.origin


def _dial_cost(route: Route) -> float:
    """Return how many seconds of CPU one connection costs; without TLS it is not worth a wait."""
    return 0.0 if route.tls is None else _HANDSHAKE_CPU_SECONDS


class _RouteLimits:
    """Finds the limits of a route in the configuration, whose overrides are written as URLs."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        #: What `warm` asked for, on top of the configuration.
        self._warmed: dict[Route, int] = {}

    def set_warm_count(self, route: Route, count: int) -> None:
        """Ask for at least `count` idle connections of a route; 0 cancels that."""
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
    def wants_idle(self) -> bool:
        """Whether idle connections are to be kept ready for any origin."""
        config = self.config
        overrides = config.overrides.values()
        return bool(config.min_idle or self._warmed) or any(
            limits.min_idle is not INHERIT and limits.min_idle > 0 for limits in overrides
        )
