"""Makes byte streams to servers: looks names up, connects sockets, uses proxies, does TLS.

Everything goes through `Connector.connect(route, deadline)`. This subpackage knows no HTTP:
the function that speaks CONNECT is passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.loading import load_when_used as _load_when_used
from pooledhttp.network.environment import Variable, raw_variables
from pooledhttp.network.overrides import (
    is_getaddrinfo_replaced,
    is_socket_mocked,
    replaced_create_connection,
)
from pooledhttp.network.proxies import (
    address_in_network,
    dotted_netmask,
    get_environ_proxies,
    getproxies,
    is_ipv4_address,
    is_valid_cidr,
    may_name_proxies,
    proxy_bypass,
    resolve_proxies,
    select_proxy,
    set_environ,
    should_bypass_proxies,
    without_bypassed,
)
from pooledhttp.network.route import (
    SOCKS_SCHEMES,
    UNIX_SCHEME,
    KeepAlive,
    Proxy,
    Route,
    SocketOptions,
    TlsSettings,
    check_resolver,
    check_socket_options,
    socket_path,
)
from pooledhttp.network.tls.contexts import TlsFileError, file_state, own_context

if TYPE_CHECKING:
    from pooledhttp.network.addresses import Address, Resolver, StaticResolver
    from pooledhttp.network.connector import Connector, OnStep, TunnelFn
    from pooledhttp.network.resolve import SystemResolver, default_resolver
    from pooledhttp.network.stream import Stream
    from pooledhttp.network.tls.sessions import SessionStore

__all__ = [
    "SOCKS_SCHEMES",
    "UNIX_SCHEME",
    "Address",
    "OnStep",
    "Connector",
    "KeepAlive",
    "Proxy",
    "Resolver",
    "Route",
    "SessionStore",
    "SocketOptions",
    "Stream",
    "StaticResolver",
    "SystemResolver",
    "TlsFileError",
    "TlsSettings",
    "TunnelFn",
    "Variable",
    "address_in_network",
    "check_resolver",
    "check_socket_options",
    "own_context",
    "default_resolver",
    "dotted_netmask",
    "file_state",
    "get_environ_proxies",
    "getproxies",
    "is_ipv4_address",
    "is_getaddrinfo_replaced",
    "is_socket_mocked",
    "replaced_create_connection",
    "is_valid_cidr",
    "may_name_proxies",
    "proxy_bypass",
    "raw_variables",
    "resolve_proxies",
    "select_proxy",
    "set_environ",
    "should_bypass_proxies",
    "socket_path",
    "without_bypassed",
]

__getattr__ = _load_when_used(
    globals(),
    {
        "addresses": ("Address", "Resolver", "StaticResolver"),
        "connector": ("Connector", "OnStep", "TunnelFn"),
        "resolve": ("SystemResolver", "default_resolver"),
        "stream": ("Stream",),
        "tls.sessions": ("SessionStore",),
    },
)
