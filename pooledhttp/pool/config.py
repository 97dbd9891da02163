"""The settings of a pool: checked when built, and immutable.

One `PoolConfig` applies to a whole pool. It can be written with the names of this package, with
those of SQLAlchemy's engine (`from_sqlalchemy`) or with those of requests' adapter
(`from_adapter`):

    ours                   SQLAlchemy                    requests' adapter
    max_idle_per_host      pool_size                     pool_maxsize
    max_per_host           pool_size + max_overflow      pool_maxsize, if pool_block
    acquire_timeout        pool_timeout                  -
    max_lifetime           pool_recycle                  -
    validate_after         pool_pre_ping                 -

By default the number of open connections has no limit, so no request has to wait for one, as in
`requests`. The number of idle connections is limited to a part of the descriptors that the process
may open (see `default_max_idle_total`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pooledhttp.pool.overrides import (
    INHERIT,
    HostLimits,
    check_count,
    check_prefix,
    find_override,
)
from pooledhttp.records import (
    argument_names,
    explain_misspelt_call,
    explain_misspelt_fields,
    field,
    record,
)

__all__ = ["Limits", "PoolConfig", "default_max_idle_total", "pool_advice"]

#: The default of `max_idle_total` on a platform that has no limit of descriptors.
_IDLE_WITHOUT_RLIMIT = 256


def default_max_idle_total() -> int:
    """Return how many idle connections a process can afford: a quarter of its descriptors.

    At most 1024, because idle connections cost memory at the peers. The other descriptors are for
    connections in use, and for the application.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit on sockets
        return _IDLE_WITHOUT_RLIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft < 0:
        return 1024
    return max(1, min(1024, soft // 4))


def _check_seconds(
    name: str, value: object, *, least: float = 0.0, exclusive: bool = False
) -> None:
    """Raise unless `value` is None or a number of seconds of at least `least`.

    With `exclusive`, `least` itself is refused too.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if math.isnan(value) or value < least or (exclusive and value == least):
        bound = f"more than {least:g}" if exclusive else f"at least {least:g}"
        raise ValueError(f"{name} must be {bound} seconds, or None, not {value!r}")


def _check_number(name: str, value: object, least: float, below: float) -> None:
    """Raise unless `value` is a number of at least `least` and below `below`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not least <= value < below:
        raise ValueError(f"{name} must be at least {least:g} and below {below:g}, not {value!r}")


@record
class Limits:
    """The limits of one key.

    Args:
        max_open: Resources at a time: being dialled, in use, idle or being closed. None for no
            limit.
        max_idle: Resources kept idle. None for no limit, 0 to keep none.
        min_idle: Idle resources kept ready by warming.

    Raises:
        TypeError, ValueError: A field is not a valid number; the message names it.
    """

    max_open: int | None = None
    max_idle: int | None = None
    min_idle: int = 0

    def __post_init__(self) -> None:
        check_count("max_open", self.max_open, 1, unit="resources")
        check_count("max_idle", self.max_idle, 0, unit="resources")
        check_count("min_idle", self.min_idle, 0, unit="resources", allows_none=False)


#: What other pools call a setting, where that name is not near enough to be guessed.
_NAMES_ELSEWHERE = {
    "pool_size": "Use PoolConfig.from_sqlalchemy(pool_size=...), or max_per_host.",
    "max_overflow": "Use PoolConfig.from_sqlalchemy(max_overflow=...), or max_per_host.",
    "pool_timeout": "acquire_timeout",
    "pool_recycle": "max_lifetime",
    "pool_pre_ping": "validate_after",
    "pool_maxsize": "max_idle_per_host",
    "pool_block": "Set max_per_host: requests wait when it is reached.",
    "maxsize": "max_per_host",
    "max_size": "max_per_host",
    "max_open": "max_per_host",
    "max_idle": "max_idle_per_host",
    "max_connections": "max_total",
    "max_keepalive_connections": "max_idle_total",
    "keepalive_expiry": "idle_timeout",
    "timeout": "Timeouts of requests are arguments of Session and of each call; the wait for a "
    "connection is acquire_timeout.",
}


@explain_misspelt_fields(advice=_NAMES_ELSEWHERE)
@record
class PoolConfig:
    """How many connections a pool may have, and how long it keeps them.

    Args:
        min_idle: Idle connections kept ready for each host that has been used. They are exempt
            from `idle_timeout`.
        max_idle_per_host: Idle connections kept for one host; None for no limit, 0 to keep none.
        max_idle_total: Idle connections kept in all; None for no limit. By default a quarter of
            the descriptors the process may open, at most 1024.
        max_per_host: Connections to one host, those being dialled included; None for no limit.
        max_total: Connections in all, idle ones included; None for no limit.
        acquire_timeout: Seconds to wait for a connection when a maximum is reached; 0 does not
            wait. With None only the timeout of the request ends the wait.
        idle_timeout: Seconds after which an unused connection is closed; None for never.
        max_lifetime: Seconds after which a connection is not used again; None for never.
        lifetime_jitter: Part of `max_lifetime` (from 0 to 1) by which lifetimes are shortened at
            random, so that connections opened together are not closed together.
        max_requests: Requests after which a connection is not used again; None for no limit.
        validate_after: A connection that has been idle for at least this many seconds is probed
            before it is used; 0 probes always, None never.
        leak_threshold: A connection that a response has held for this many seconds without a read
            is reported as a leak. None turns leak detection off.
        overrides: Limits of single hosts, by URL prefix (`"https://api.example.com"`).
        patience: Seconds that a request lets requests to other hosts go first when `max_total` is
            reached. After that, a connection to another host is closed to make room for it. Never
            more than a quarter of the time that the request may wait. With 0, requests also open
            connections at once where they would otherwise wait to spare a TLS handshake.

    Raises:
        TypeError, ValueError: A field has a wrong type or value; the message names it.
    """

    min_idle: int = 0
    max_idle_per_host: int | None = None
    max_idle_total: int | None = field(default_factory=default_max_idle_total)
    max_per_host: int | None = None
    max_total: int | None = None
    acquire_timeout: float | None = 30.0
    idle_timeout: float | None = 30.0
    max_lifetime: float | None = 3600.0
    lifetime_jitter: float = 0.1
    max_requests: int | None = None
    validate_after: float | None = 0.0
    leak_threshold: float | None = None
    overrides: Mapping[str, HostLimits] = field(default_factory=dict, hash=False)
    patience: float = 0.25

    def __post_init__(self) -> None:
        self._check_counts()
        _check_seconds("acquire_timeout", self.acquire_timeout)
        _check_seconds("idle_timeout", self.idle_timeout, exclusive=True)
        _check_seconds("max_lifetime", self.max_lifetime, exclusive=True)
        _check_seconds("validate_after", self.validate_after)
        _check_seconds("leak_threshold", self.leak_threshold, exclusive=True)
        _check_number("lifetime_jitter", self.lifetime_jitter, 0.0, 1.0)
        _check_number("patience", self.patience, 0.0, math.inf)
        self._check_overrides()

    def __repr__(self) -> str:
        """Show what differs from the defaults."""
        usual = PoolConfig()
        names: tuple[str, ...] = self.__match_args__
        values = ((name, getattr(self, name)) for name in names)
        given = (f"{name}={value!r}" for name, value in values if value != getattr(usual, name))
        return f"{type(self).__name__}({', '.join(given)})"

    def _check_counts(self) -> None:
        check_count("min_idle", self.min_idle, 0, allows_none=False)
        check_count("max_idle_per_host", self.max_idle_per_host, 0)
        check_count("max_idle_total", self.max_idle_total, 0)
        check_count("max_per_host", self.max_per_host, 1)
        check_count("max_total", self.max_total, 1)
        check_count("max_requests", self.max_requests, 1, unit="requests")
        for name in ("max_per_host", "max_idle_per_host", "max_total"):
            bound = getattr(self, name)
            if bound is not None and self.min_idle > bound:
                raise ValueError(
                    f"min_idle must not be more than {name} ({bound}), not {self.min_idle}"
                )

    def _check_overrides(self) -> None:
        if not isinstance(self.overrides, Mapping):
            raise TypeError(f"overrides must map URL prefixes to limits, not {self.overrides!r}")
        for prefix, limits in self.overrides.items():
            check_prefix(prefix)
            if not isinstance(limits, HostLimits):
                raise TypeError(f"overrides[{prefix!r}] must be a HostLimits, not {limits!r}")
        # A copy: later changes of the mapping by the caller would not be checked.
        object.__setattr__(self, "overrides", dict(self.overrides))

    @property
    def limits(self) -> Limits:
        """The limits of a host without an override."""
        return Limits(self.max_per_host, self.max_idle_per_host, self.min_idle)

    def limits_for(self, url: str) -> Limits:
        """Return the limits of the origin of a URL, with the overrides.

        Args:
            url: Any URL of the origin, with its scheme.
        """
        override = find_override(self.overrides, url)
        return self.limits if override is None else _replaced(self.limits, override)

    @classmethod
    @explain_misspelt_call()
    def from_sqlalchemy(
        cls,
        pool_size: int = 5,
        max_overflow: int = 10,
        pool_timeout: float | None = 30.0,
        pool_recycle: float = -1,
        pool_pre_ping: bool = False,
    ) -> PoolConfig:
        """Make settings from the arguments of a SQLAlchemy engine; they apply to each host.

        Args:
            pool_size: Connections kept; 0 for no limit (then `max_overflow` is ignored).
            max_overflow: Connections beyond those, closed when they are returned; -1 for no limit.
            pool_timeout: Seconds to wait; None waits forever.
            pool_recycle: Seconds after which a connection is not used again; -1 for never, 0 uses
                each connection once.
            pool_pre_ping: Whether each connection is probed before it is used again.

        Raises:
            TypeError, ValueError: An argument has a wrong type or value; the message names it.
        """
        if pool_recycle is None:
            raise TypeError("pool_recycle must be a number of seconds, not None")
        check_count("pool_size", pool_size, 0, allows_none=False)
        check_count("max_overflow", max_overflow, -1, allows_none=False)
        _check_seconds("pool_timeout", pool_timeout)
        _check_seconds("pool_recycle", pool_recycle, least=-1)
        is_unlimited = pool_size == 0 or max_overflow == -1
        return cls(
            max_idle_per_host=pool_size or None,
            max_per_host=None if is_unlimited else pool_size + max_overflow,
            acquire_timeout=pool_timeout,
            idle_timeout=None,
            max_lifetime=pool_recycle if pool_recycle > 0 else None,
            lifetime_jitter=0.0,
            max_requests=1 if pool_recycle == 0 else None,
            validate_after=0.0 if pool_pre_ping else None,
        )

    @classmethod
    def from_adapter(
        cls, pool_connections: int = 10, pool_maxsize: int = 10, pool_block: bool = False
    ) -> PoolConfig:
        """Make settings from the arguments of requests' `HTTPAdapter`.

        Args:
            pool_connections: Accepted and ignored: the number of hosts is not limited.
            pool_maxsize: Connections kept per host; 0 for no limit.
            pool_block: Whether `pool_maxsize` is also the maximum, for which requests wait.

        Raises:
            TypeError, ValueError: An argument has a wrong type or value; the message names it.
        """
        check_count("pool_connections", pool_connections, 0, unit="hosts")
        check_count("pool_maxsize", pool_maxsize, 0, allows_none=False)
        kept = pool_maxsize or None
        return cls(max_idle_per_host=kept, max_per_host=kept if pool_block else None)


def pool_advice(call: str) -> dict[str, str]:
    """Return what to say of a setting of the pool that is given as an argument of its own.

    Args:
        call: What takes the settings, with `{}` for them: `Session(pool={})`.
    """
    return {
        name: f"It is a setting of the pool: use {call.format(f'PoolConfig({name}=...)')}."
        for name in argument_names(PoolConfig.__init__)
    }


def _replaced(limits: Limits, override: HostLimits) -> Limits:
    """Return `limits`, with the fields that `override` sets replaced."""
    max_open, max_idle, min_idle = limits.max_open, limits.max_idle, limits.min_idle
    if override.max_per_host is not INHERIT:
        max_open = override.max_per_host
    if override.max_idle_per_host is not INHERIT:
        max_idle = override.max_idle_per_host
    if override.min_idle is not INHERIT:
        min_idle = override.min_idle
    if max_open is not None and min_idle > max_open:
        min_idle = max_open
    return Limits(max_open, max_idle, min_idle)
