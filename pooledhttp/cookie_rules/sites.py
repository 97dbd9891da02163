"""What the cookies of a request depend on, read from it once.

`http.cookiejar` takes the URL of a request apart for each cookie, several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import (  # type: ignore[attr-defined]
    eff_request_host,
    request_path,
    request_port,
)
from typing import Any, NamedTuple

__all__ = ["Asked", "Site", "domains_of", "site_of"]


class Asked(NamedTuple):
    """As much of a request as its cookies depend on, and those that its response sets."""

    url: str | bytes
    headers: Mapping[str, str | bytes | None]


class Site(NamedTuple):
    """As much of a request as its cookies depend on.

    Attributes:
        host: The name in the `Host` field, or else in the URL.
        effective: The same, with `.local` behind a name without dots.
        path: The path of the URL.
        port: The port of the URL as text; `80` where it names none.
        scheme: The scheme of the URL.
        domains: The domains that a cookie for it can have.
    """

    host: str
    effective: str
    path: str
    port: str
    scheme: str
    domains: frozenset[str]


def site_of(request: Any) -> Site:
    """Read from a request, in the form that `http.cookiejar` reads, what cookies depend on."""
    host, effective = eff_request_host(request)
    port = request_port(request)
    domains = frozenset(domains_of(request))
    return Site(host, effective, request_path(request), port or "80", request.type, domains)


def domains_of(request: Any) -> list[str]:
    """List the domains a cookie for a request can have: its host, those above it, and none."""
    host, effective = eff_request_host(request)
    domains = {"": None}
    for name in (host, effective):
        while name:
            domains[name] = domains[f".{name}"] = None
            name = name.partition(".")[2]
    return list(domains)
