"""Which proxy a URL goes through: the caller's table, the environment, and the exceptions to both.

    resolve_proxies         a request's table: the caller's entries, and the environment's
      get_environ_proxies   what the environment has for a URL
        should_bypass_proxies     whether the URL is one of the exceptions (`no_proxy`)
    select_proxy            the one entry of a table that a URL goes by

The environment is read again for each request and never written: a variable set for a moment would
be seen by every other thread. Only names and addresses are compared here; nothing is resolved,
nothing connected.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies,
    getproxies_environment,
    proxy_bypass,
    proxy_bypass_environment,
)

from pooledhttp.network.environment import get_variable, raw_variables
from pooledhttp.network.route import UNIX_SCHEME

__all__ = [
    "address_in_network",
    "dotted_netmask",
    "get_environ_proxies",
    "getproxies",
    "is_ipv4_address",
    "is_valid_cidr",
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
        OSError: One of the addresses is none.
    """
    network, _, bits = net.partition("/")
    shift = 32 - int(bits)
    return _as_number(ip) >> shift == _as_number(network) >> shift


@contextlib.contextmanager
def set_environ(env_name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable inside a `with` block, and put the old state back after it.

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
    """Return whether a URL is to be reached directly, whatever proxies are set.

    Args:
        url: The URL. One without a host is always reached directly.
        no_proxy: The exceptions, between commas or spaces. An address matches itself, a network
            (`10.0.0.0/8`, `fd00::/8`) its addresses, a name (`example.com`, `.example.com`,
            `*.example.com`) itself and what is below it, any of them with or without a port; `*`
            matches everything. `None` takes them from `no_proxy` or `NO_PROXY` and, where the
            environment names no proxies, from the settings of the platform.
    """
    _, host, port = _split(url)
    if not host:
        return True
    if ":" in host:
        # A zone can hold any text, also one that ends like a name that is excepted.
        host = host.partition("%")[0]
    stated = _from_environment("no_proxy") if no_proxy is None else no_proxy
    if stated and _is_listed(host, port, stated):
        return True
    try:
        return _platform_bypasses(host, no_proxy)
    except (TypeError, socket.gaierror):
        # What the platform's own rules raise for a host they cannot make sense of.
        return False


def get_environ_proxies(url: str, no_proxy: str | None = None) -> dict[str, str]:
    """Return the proxies the environment sets, or none where the URL is an exception.

    Args:
        url: The URL.
        no_proxy: As for `should_bypass_proxies`.

    Returns:
        Scheme to proxy; also `all`, and `no` for the exceptions as they were stated.
    """
    if not _may_name_proxies():
        return {}
    proxies = getproxies()
    if not proxies or should_bypass_proxies(url, no_proxy=no_proxy):
        return {}
    return proxies


def select_proxy(url: str, proxies: Mapping[str, str] | None) -> str | None:
    """Return the proxy a table has for a URL.

    Args:
        url: The URL.
        proxies: The table. The most telling key wins: `scheme://host`, `scheme`, `all://host`,
            `all`. A Unix socket is on this machine: no proxy leads there.

    Returns:
        The proxy's URL, or `None` to connect directly.
    """
    table = proxies or {}
    scheme, host, _ = _split(url)
    if scheme == UNIX_SCHEME:
        return None
    keys = [f"{scheme}://{host}", scheme, f"all://{host}", "all"] if host else [scheme, "all"]
    return next((table[key] for key in keys if key in table), None)


def resolve_proxies(
    request: Any, proxies: Mapping[str, str] | None, trust_env: bool = True
) -> dict[str, str]:
    """Return the table of proxies for a request.

    Args:
        request: The request, for its `url`.
        proxies: The caller's table; its `no_proxy` stands in for the environment's.
        trust_env: Whether the environment fills the gap.

    Returns:
        A new table: the caller's, with the environment's proxy for the URL's scheme where the
        caller has none.
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
    """Return the table of a request for the redirect that follows it.

    The entries that the environment gave for the first URL stay behind where the second is one of
    its exceptions; a server could lead us to a host inside by way of a proxy outside.

    Args:
        proxies: The table of the request, the environment's entries among others.
        own: What was set on purpose, and stays whatever the environment says.
        old_url: Where the request went.
        new_url: Where the redirect leads.
    """
    table = dict(proxies or {})
    no_proxy = table.get("no_proxy")
    environment = get_environ_proxies(old_url, no_proxy=no_proxy)
    if environment and should_bypass_proxies(new_url, no_proxy=no_proxy):
        for key, proxy in environment.items():
            if table.get(key) == proxy and own.get(key) != proxy:
                del table[key]
    return table


#: The variables in which no name of a proxy was found: their dictionary and its last key.
_without_proxies: tuple[object, Any] = (None, None)


def _may_name_proxies() -> bool:
    """Return whether `getproxies` is worth asking: it looks at each variable in turn, every time.

    Where it only reads the environment, one look at all names together tells that there are none.
    A dictionary adds new keys behind its last one. So as long as that key is the same object, there
    is no name that was not looked at.
    """
    global _without_proxies
    names = raw_variables()  # as the platform has them: bytes, where it counts
    if names is None or getproxies is not getproxies_environment:
        return True
    where, last = _without_proxies
    try:
        if names is where and last is next(reversed(names), None):
            return False
        last = next(reversed(names), None)
        if b"_proxy" in b" ".join(names).lower():
            return True
    except (TypeError, RuntimeError):  # Windows; or a variable was set by another thread just now
        return True
    # A key of one byte is the same object also when it was removed and set again.
    if last is not None and len(last) > 1:
        _without_proxies = (names, last)
    return False


def _from_environment(name: str) -> str | None:
    return get_variable(name) or get_variable(name.upper())


def _split(url: str) -> tuple[str, str | None, int | None]:
    """Return a URL's scheme, its host without brackets, both in lower case, and its port.

    Host and port are `None` where the URL has none or none that makes sense.
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
