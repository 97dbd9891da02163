"""Addresses, and the resolvers that look them up.

An IP literal needs no resolver. `Resolver` is the Protocol; `StaticResolver` has a table;
`resolve.SystemResolver` asks the operating system.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pooledhttp.records import described

if TYPE_CHECKING:
    from pooledhttp.runtime import Runtime
    from pooledhttp.timing import Deadline

__all__ = ["Address", "Resolver", "StaticResolver", "literal"]


class Address(NamedTuple):
    """One address to connect to.

    Attributes:
        family: `socket.AF_INET` or `socket.AF_INET6`.
        sockaddr: What `connect` takes.
    """

    family: int
    sockaddr: tuple[object, ...]


class Resolver(Protocol):
    """Looks up the addresses of a name. An implementation waits through `runtime` only."""

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Return the addresses of `host`, in order of preference.

        Raises:
            OSError: There is no such name, or no name server could tell (`socket.gaierror`).
            TimeoutError: The deadline came first.
        """


def literal(host: str, port: int) -> Address | None:
    """Return the address if `host` is one; None for a name, which needs a resolver.

    Args:
        host: Name, IPv4 address, or IPv6 address without brackets, perhaps with a zone id.
        port: TCP port.
    """
    if ":" in host:
        bare, _, zone = host.partition("%")
        # The URL form of a zone id is "%25eth0" (RFC 6874).
        zone = zone.removeprefix("25") if zone.startswith("25") and len(zone) > 2 else zone
        try:
            socket.inet_pton(socket.AF_INET6, bare)
            return Address(socket.AF_INET6, (bare, port, 0, _scope(zone)))
        except (OSError, ValueError):
            return None
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return None
    return Address(socket.AF_INET, (host, port))


def _scope(zone: str) -> int:
    if not zone:
        return 0
    return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


def _check_addresses(name: str, found: object) -> None:
    """Check what a table has for a name.

    Raises:
        TypeError: It is no list of texts.
        ValueError: One of the texts is no IP literal.
    """
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise TypeError(
            f"the addresses of {name!r} must be a list, such as ['10.0.0.7'], not {found!r}"
        )
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"an address must be a str, such as '10.0.0.7', not {one!r}")
        if literal(one.partition("%")[0], 0) is None:  # a zone may come up later
            raise ValueError(f"{one!r}, an address of {name!r}, is no IP address")


class StaticResolver:
    """Looks names up in a table, and asks another resolver for other names.

    Args:
        table: Addresses (IP literals) by name; a name with no address has none.
        fallback: Asked for names that are not in the table. With None they do not exist.

    Raises:
        TypeError: `table` is no mapping of names to lists of addresses.
        ValueError: One of the addresses is no IP literal.
    """

    def __init__(
        self, table: Mapping[str, Sequence[str]], fallback: Resolver | None = None
    ) -> None:
        if not hasattr(table, "items"):
            raise TypeError(
                "table must be a mapping, such as {'api.internal': ['10.0.0.7']}, not "
                f"{described(table)}"
            )
        for name, found in table.items():
            _check_addresses(name, found)
        self._table = {name.lower(): tuple(found) for name, found in table.items()}
        self._fallback = fallback

    def resolve(
        self, host: str, port: int, deadline: Deadline, runtime: Runtime
    ) -> Sequence[Address]:
        """Look up `host`; see `Resolver`.

        Raises:
            socket.gaierror: The name is not in the table, and there is no other resolver.
        """
        found = self._table.get(host.lower())
        if found is not None:
            return [address for one in found if (address := literal(one, port)) is not None]
        if self._fallback is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._fallback.resolve(host, port, deadline, runtime)
