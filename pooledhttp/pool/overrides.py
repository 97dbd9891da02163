"""Limits of single hosts: `PoolConfig.overrides`, and which of them applies to a URL.

A prefix is a scheme, with or without a host and a port. A path cannot have limits, because
connections belong to an origin:

    "https://"                      every https origin
    "https://api.example.com"       that host, on the default port of https
    "http://localhost:8080"         that port
    "https://*.example.com"         every name below example.com, not example.com itself

The most specific match wins: host with port, then wildcard (the longest first), then scheme. The
pool itself knows nothing of URLs; the code that turns URLs into keys asks for the limits of one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from pooledhttp.records import explain_misspelt_fields, record
from pooledhttp.syntax import DEFAULT_PORTS

__all__ = ["INHERIT", "HostLimits", "Inherit", "check_count", "check_prefix", "find_override"]


class Inherit(enum.Enum):
    """The type of `INHERIT`, which means "use the setting of the pool"."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return "INHERIT"


INHERIT: Final = Inherit.INHERIT


def check_count(
    field: str, value: object, least: int, *, unit: str = "connections", allows_none: bool = True
) -> None:
    """Raise unless `value` is an int of at least `least`, or None if `allows_none`.

    Raises:
        TypeError: It has another type; booleans are not accepted.
        ValueError: It is too small.
    """
    if value is None and allows_none:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        or_none = " or None" if allows_none else ""
        raise TypeError(f"{field} must be a whole number of {unit}{or_none}, not {value!r}")
    if value < least:
        or_none = ", or None for no limit" if allows_none else ""
        raise ValueError(f"{field} must be at least {least}{or_none}, not {value!r}")


@explain_misspelt_fields()
@record
class HostLimits:
    """The settings of one URL prefix; a field left out inherits the setting of the pool.

    Args:
        max_per_host: Connections at a time; None for no limit.
        max_idle_per_host: Connections kept idle; None for no limit.
        min_idle: Idle connections kept ready.

    Raises:
        TypeError, ValueError: A field is not a valid number; the message names it.
    """

    max_per_host: int | Literal[Inherit.INHERIT] | None = INHERIT
    max_idle_per_host: int | Literal[Inherit.INHERIT] | None = INHERIT
    min_idle: int | Literal[Inherit.INHERIT] = INHERIT

    def __post_init__(self) -> None:
        if self.max_per_host is not INHERIT:
            check_count("max_per_host", self.max_per_host, 1)
        if self.max_idle_per_host is not INHERIT:
            check_count("max_idle_per_host", self.max_idle_per_host, 0)
        if self.min_idle is not INHERIT:
            check_count("min_idle", self.min_idle, 0, allows_none=False)


@record
class _Prefix:
    """A parsed prefix, or a parsed origin."""

    scheme: str
    host: str
    port: int | None

    def rank(self, origin: _Prefix) -> int:
        """Return how specifically this prefix matches `origin`; -1 if it does not."""
        if self.scheme != origin.scheme:
            return -1
        if not self.host:
            return 0
        if self.port != origin.port:
            return -1
        if self.host.startswith("*."):
            return len(self.host) if origin.host.endswith(self.host[1:]) else -1
        return 10_000 if self.host == origin.host else -1


def _parse(url: str) -> _Prefix:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").rstrip(".")
    port = parts.port if parts.port is not None else DEFAULT_PORTS.get(scheme)
    return _Prefix(scheme, host, port)


def check_prefix(url: object) -> None:
    """Raise unless `url` is a URL prefix that can have limits.

    Raises:
        TypeError: It is not a string.
        ValueError: It has no scheme, or more than a host and a port.
    """
    if not isinstance(url, str):
        raise TypeError(f"overrides must be keyed by URL prefixes, not {url!r}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"overrides: {url!r} is not a URL prefix ({error})") from error
    if not parts.scheme or "://" not in url:
        raise ValueError(f"overrides: {url!r} must begin with a scheme, such as https://")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            f"overrides: {url!r} may have a scheme, a host and a port only; limits are per origin"
        )


def find_override(overrides: Mapping[str, HostLimits], url: str) -> HostLimits | None:
    """Return the settings of the most specific prefix that matches `url`, or None."""
    if not overrides:
        return None
    origin = _parse(url)
    best: HostLimits | None = None
    best_rank = -1
    for prefix, limits in overrides.items():
        rank = _parse(prefix).rank(origin)
        if rank > best_rank:
            best, best_rank = limits, rank
    return best
