"""Finds the proxy of a URL: in the table of the caller, or in the environment.

    resolve_proxies         the table of a request: entries of the caller and of the environment
      get_environ_proxies   the entries of the environment for a URL
        should_bypass_proxies     whether the URL is an exception (`no_proxy`)
    select_proxy            the entry of a table for a URL

The environment is read for each request, and never written: all threads would see the change.
Names and addresses are only compared here. Nothing is looked up, and nothing is connected.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies,
    getproxies_environment,
    proxy_bypass,
    proxy_bypass_environment,
)

from pooledhttp.network.environment import Variable, raw_variables
from pooledhttp.network.route import UNIX_SCHEME

__all__ = [
    "address_in_network",
    "dotted_netmask",
    "get_environ_proxies",
    "getproxies",
    "is_ipv4_address",
    "is_valid_cidr",
    "may_name_proxies",
    "proxy_bypass",
    "resolve_proxies",
    "select_proxy",
    "set_environ",
    "should_bypass_proxies",
    "without_bypassed",
]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: As the platform has it; `proxy_bypass` is what is asked, and users put their own in its place.
_PLATFORM_BYPASS: Final = proxy_bypass

_NO_PROXY: Final = Variable("no_proxy", "NO_PROXY")


def dotted_netmask(mask: int) -> str:
    """Return an IPv4 network's mask for the number of its leading ones: 24 is `255.255.255.0`."""
    return socket.inet_ntoa((0xFFFFFFFF << (32 - mask) & 0xFFFFFFFF).to_bytes(4, "big"))


def is_ipv4_address(string_ip: str) -> bool:
    """Return whether a text is an IPv4 address, in any of the spellings a resolver accepts."""
    try:
        socket.inet_aton(string_ip)
    except (OSError, ValueError):
        return False
    return True


def is_valid_cidr(string_network: str) -> bool:
    """Return whether a text is an IPv4 network, as in `10.0.0.0/8`; `/0` does not count as one."""
    address, slash, bits = string_network.partition("/")
    if not (slash and bits.isdecimal() and bits.isascii() and 1 <= int(bits) <= 32):
        return False
    return is_ipv4_address(address)


def address_in_network(ip: str, net: str) -> bool:
    """Return whether an IPv4 address lies in a network.

    Args:
        ip: The address.
        net: The network, as in `10.0.0.0/8`. Bits of the host in it do not matter.

    Raises:
        OSError: One of the texts is not an address.
    """
    network, _, bits = net.partition("/")
    shift = 32 - int(bits)
    return _as_number(ip) >> shift == _as_number(network) >> shift


@contextlib.contextmanager
def set_environ(env_name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable inside a `with` block, and restore it afterwards.

    All threads see it, so this is for tests and scripts; nothing in this package uses it.

    Args:
        env_name: The variable.
        value: What to set. `None` changes nothing.
    """
    if value is None:
        yield
        return
    before = os.environ.get(env_name)
    os.environ[env_name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(env_name, None)
        else:
            os.environ[env_name] = before


def should_bypass_proxies(url: str, no_proxy: str | None) -> bool:
    """Return whether a URL is requested directly, even if a proxy is set for it.

    Args:
        url: The URL. One without a host is always requested directly.
        no_proxy: The exceptions, separated by commas or spaces. An address matches itself. A
            network (`10.0.0.0/8`, `fd00::/8`) matches its addresses. A name (`example.com`,
            `.example.com`, `*.example.com`) matches itself and all names below it. A name or an
            address may have a port, which the URL has to have as well. `*` matches everything.
            `None` reads `no_proxy` or `NO_PROXY`; if the environment names no proxies, also the
            settings of the platform.
    """
    _, host, port = _split(url)
    if not host:
        return True
    if ":" in host:
        # A zone id can be any text, and could end like the name of an exception.
        host = host.partition("%")[0]
    stated = _NO_PROXY.value() if no_proxy is None else no_proxy
    if stated and _is_listed(host, port, stated):
        return True
    try:
        return _platform_bypasses(host, no_proxy)
    except (TypeError, socket.gaierror):
        # What the platform's own rules raise for a host they cannot make sense of.
        return False


def get_environ_proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
    """Return the proxies of the environment, or none if the URL is an exception.

    Args:
        url: The URL.
        no_proxy: As for `should_bypass_proxies`.

    Returns:
        The proxy for each scheme and for `all`; and the exceptions as they were set, for `no`.
    """
    if not may_name_proxies():
        return {}
    proxies = getproxies()
    if not proxies or should_bypass_proxies(url, no_proxy=no_proxy):
        return {}
    return proxies


def select_proxy(url: str, proxies: Mapping[str, str] | None) -> str | None:
    """Return the proxy of a table for a URL.

    Args:
        url: The URL.
        proxies: The table. The first of these keys applies: `scheme://host`, `scheme`,
            `all://host`, `all`. A Unix socket is on this machine, so it has no proxy.

    Returns:
        The proxy's URL, or `None` to connect directly.
    """
    table = proxies or {}
    scheme, host, _ = _split(url)
    if scheme == UNIX_SCHEME:
        return None
    keys = [f"{scheme}://{host}", scheme, f"all://{host}", "all"] if host else [scheme, "all"]
    return next((table[key] for key in keys if key in table), None)


class _Addressed(Protocol):
    """A request, prepared or not."""

    @property
    def url(self) -> Any: ...


def resolve_proxies(
    request: _Addressed, proxies: Mapping[str, str] | None, trust_env: bool = True
) -> dict[str, str]:
    """Return the table of proxies for a request.

    Args:
        request: The request, for its `url`.
        proxies: The caller's table; its `no_proxy` replaces that of the environment.
        trust_env: Whether the environment is read, too.

    Returns:
        A new table: that of the caller, and the environment's proxy for the scheme of the URL if
        the caller has none.
    """
    table = dict(proxies or {})
    if trust_env:
        scheme, _, _ = _split(request.url)
        environment = get_environ_proxies(request.url, no_proxy=table.get("no_proxy"))
        proxy = environment.get(scheme, environment.get("all"))
        if proxy:
            table.setdefault(scheme, proxy)
    return table


def without_bypassed(
    proxies: Mapping[str, str] | None, own: Mapping[str, str], old_url: str, new_url: str
) -> dict[str, str]:
    """Return the table of proxies for a request that follows a redirect.

    If the new URL is an exception, the entries of the environment are removed. Otherwise a server
    could redirect a request to an internal host through an external proxy.

    Args:
        proxies: The table of the first request, with the entries of the environment.
        own: The entries of the caller, which stay.
        old_url: The URL of the first request.
        new_url: The URL of the redirect.
    """
    table = dict(proxies or {})
    no_proxy = table.get("no_proxy")
    environment = get_environ_proxies(old_url, no_proxy=no_proxy)
    if environment and should_bypass_proxies(new_url, no_proxy=no_proxy):
        for key, proxy in environment.items():
            if table.get(key) == proxy and own.get(key) != proxy:
                del table[key]
    return table


#: The dictionary of variables in which no name of a proxy was found, and its last key.
_without_proxies: tuple[object, Any] = (None, None)


def may_name_proxies() -> bool:
    """Whether the environment may name a proxy, so that it has to be read: all of it, each time.

    If it only reads the environment, one search in all names together tells that there is no proxy.
    A dictionary adds new keys behind its last one. So as long as the last key is the same object,
    there are no new names.
    """
    global _without_proxies
    names = raw_variables()  # as the platform has them: bytes, where it counts
    if names is None or getproxies is not getproxies_environment:
        return True
    where, known = _without_proxies
    try:
        last = next(reversed(names), None)
        if names is where and last is known:
            return False
        if b"_proxy" in b" ".join(names).lower():
            return True
    except (TypeError, RuntimeError):  # Windows; or a variable was set by another thread just now
        return True
    # A key of one byte is the same object also when it was removed and set again.
    if last is not None and len(last) > 1:
        _without_proxies = (names, last)
    return False


def _split(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme of a URL, its host without brackets, both in lower case, and its port.

    Host and port are `None` if the URL has none, or an invalid one.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return url.partition(":")[0].lower(), None, None
    try:
        return parts.scheme, host, parts.port
    except ValueError:
        return parts.scheme, host, None


def _is_listed(host: str, port: int | None, no_proxy: str) -> bool:
    """Return whether one of the exceptions names the host."""
    address = _as_address(host)
    host = host.rstrip(".")
    entries = no_proxy.lower().replace(",", " ").split()
    return any(_names(entry, host, address, port) for entry in entries)


def _names(entry: str, host: str, address: _Address | None, port: int | None) -> bool:
    """Return whether one exception names the host."""
    if entry == "*":
        return True
    if address is not None:
        if "/" in entry:
            return _is_within(address, entry)
        return _as_address(_without_port(entry, port)) == address
    name = _without_port(entry, port).removeprefix("*.").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _without_port(entry: str, port: int | None) -> str:
    """Take an exception's port off if it is the URL's; with another port it names nothing."""
    if entry.startswith("["):
        entry, _, rest = entry[1:].partition("]")
        stated = rest.removeprefix(":")
    elif entry.count(":") == 1:
        entry, _, stated = entry.partition(":")
    else:
        stated = ""
    return entry if stated in ("", str(port)) else ""


def _as_address(text: str) -> _Address | None:
    """Return the address a text spells, or `None` for a name."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        # Resolvers know shorter spellings of IPv4 as well, such as 127.1.
        return ipaddress.IPv4Address(_as_number(text)) if is_ipv4_address(text) else None


def _is_within(address: _Address, network: str) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        if network == "0.0.0.0/0":  # which `is_valid_cidr` does not take for a network
            return True
        return is_valid_cidr(network) and address_in_network(str(address), network)
    try:
        return address in ipaddress.IPv6Network(network, strict=False)
    except ValueError:
        return False


def _as_number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address), "big")


def _platform_bypasses(host: str, no_proxy: str | None) -> bool:
    """Ask the rules that the standard library has for this platform.

    Args:
        host: The host.
        no_proxy: The caller's exceptions, which stand in for the environment's. `None` for those.
    """
    if no_proxy is None:
        return bool(proxy_bypass(host))
    if proxy_bypass_environment(host, {"no": no_proxy}):
        return True
    if proxy_bypass is _PLATFORM_BYPASS and (
        proxy_bypass is proxy_bypass_environment or getproxies_environment()
    ):
        # It would read the environment's exceptions, which the caller's have replaced.
        return False
    return bool(proxy_bypass(host))
