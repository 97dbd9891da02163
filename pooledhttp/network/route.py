"""Where a connection leads, and on which terms: the values that key the pool.

A `Route` names everything that has to be equal before two requests may share a connection: the
origin, the TLS settings it was verified under, the proxy in between and the options of the socket.
It knows nothing of sockets itself. All values here are frozen and hashable, so one forgotten
setting cannot let a connection made under one `verify` serve a request made under another.

Three ways lead to an origin::

    direct      the socket goes to the origin (or to its Unix socket)
    tunnelled   the socket goes to a proxy, which is asked to pass bytes on (CONNECT, SOCKS)
    forwarded   plain http over an http(s) proxy: the proxy is the peer, whatever the origin is,
                so one such connection serves all origins and the route names the proxy only
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pooledhttp.records import field, record

if TYPE_CHECKING:
    from pooledhttp.network.addresses import Resolver

__all__ = [
    "UNIX_SCHEME",
    "KeepAlive",
    "Proxy",
    "Route",
    "SocketOptions",
    "TlsSettings",
    "socket_path",
]

SOCKS_SCHEMES = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
HTTP_SCHEMES = frozenset({"http", "https"})
TLS_SCHEMES = frozenset({"https"})
UNIX_SCHEME = "http+unix"


@record
class TlsSettings:
    """How the peer is verified and who we say we are.

    Attributes:
        verify: Whether the peer's certificate has to be valid. `False` also skips the host name.
        ca_certs: A file of trusted certificates (PEM). `None` means certifi's, unless a directory,
            data or a context is given.
        ca_cert_dir: A directory of trusted certificates, hashed as OpenSSL wants it.
        ca_cert_data: Trusted certificates themselves, PEM text or DER bytes.
        cert_file: Our own certificate (PEM), for servers that ask for one.
        key_file: The private key, when it is not in `cert_file`.
        key_password: What decrypts the private key. `None` for a key in the clear.
        ssl_context: A context of the caller's, compared by identity and never altered. Its protocol
            settings, client certificate and trusted certificates hold; how strictly is verified is
            said by the settings beside it, as for a context given to urllib3.
        context_rules: Whether `ssl_context` alone says how strictly is verified, whatever is set
            beside it except assertions: for a context that was given as `verify=`.
        assert_hostname: The name the certificate has to carry in place of the host's; `False` for
            no check of the name.
        assert_fingerprint: Digest the certificate has to have, in hex with or without colons: MD5,
            SHA-1 or SHA-256, told by its length. Replaces the check of the name.
        minimum_version: The oldest protocol to speak. `None` means TLS 1.2.
        maximum_version: The newest protocol to speak. `None` means the newest known.
        ssl_version: A legacy `ssl.PROTOCOL_*` constant that pins one version.
        server_hostname: The name sent in SNI and checked, where it is not the host's.
        ciphers: OpenSSL cipher string for TLS 1.2 and below. `None` means OpenSSL's default.
    """

    verify: bool = True
    ca_certs: str | None = None
    ca_cert_dir: str | None = None
    ca_cert_data: str | bytes | None = field(default=None, repr=False)
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | bytes | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = None
    context_rules: bool = False
    assert_hostname: str | bool | None = None
    assert_fingerprint: str | None = None
    minimum_version: ssl.TLSVersion | None = None
    maximum_version: ssl.TLSVersion | None = None
    ssl_version: int | None = None
    server_hostname: str | None = None
    ciphers: str | None = None


@record
class KeepAlive:
    """TCP keep-alive probes, sent by the kernel on a connection that is silent.

    Attributes:
        idle_seconds: Silence before the first probe.
        interval_seconds: Time between probes.
        probes: Unanswered probes after which the connection is dead.
    """

    idle_seconds: int = 60
    interval_seconds: int = 10
    probes: int = 6


@record
class SocketOptions:
    """What is set on a socket before it connects.

    Attributes:
        options: Triples (or quadruples) for `setsockopt`. The default turns Nagle's algorithm off:
            it would hold back the end of a request until the peer acknowledged its beginning.
        source_address: Local (address, port) to connect from. `None` lets the kernel choose.
        keepalive: Keep-alive probes. `None` means none.
    """

    options: Sequence[tuple[int, int, int | bytes]] = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
    source_address: tuple[str, int] | None = None
    keepalive: KeepAlive | None = None

    def __post_init__(self) -> None:
        # Lists come from those who know urllib3; here they are part of a key.
        object.__setattr__(self, "options", tuple(tuple(option) for option in self.options))


DEFAULT_OPTIONS = SocketOptions()


@record
class Proxy:
    """A proxy and what it wants to see. `repr` shows neither password nor headers.

    Attributes:
        scheme: `http`, `https` (TLS to the proxy itself), `socks4`, `socks4a`, `socks5` or
            `socks5h`. Without the final letter the name is looked up here, with it by the proxy.
        host: Name or address, lower case, without brackets.
        port: TCP port.
        username: For SOCKS. `None` means no authentication.
        password: For SOCKS 5.
        headers: For the CONNECT request of an HTTP proxy, credentials among them.
        tls: How an `https` proxy is verified. `None` means the defaults.
        response_limits: How its response to CONNECT is read; see `Route`.
    """

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TlsSettings | None = None
    response_limits: Hashable = None

    @property
    def origin(self) -> str:
        """The proxy as `scheme://host:port`, without credentials."""
        return _origin(self.scheme, self.host, self.port)

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS."""
        return self.scheme in SOCKS_SCHEMES

    @property
    def resolves_names(self) -> bool:
        """Whether the proxy is given the target's name to look up."""
        return self.scheme not in ("socks4", "socks5")


@record(eq=False)
class Route:
    """The key of a pooled connection: equal routes may share connections.

    Attributes:
        scheme: `http`, `https` or `http+unix`.
        host: The origin's name or address, lower case and without brackets; the path of the socket
            for `http+unix`.
        port: TCP port; 0 for `http+unix`.
        tls: Verification settings. `None` for plain http, the defaults for https.
        proxy: The proxy in between. `None` for a direct connection.
        options: Socket settings.
        resolver: Looks the names of this route up. `None` means the connector's. Compared by
            identity, since another one may give the same name another meaning.
        response_limits: How responses are read: an `http1.ResponseLimits`, which this package does
            not know. `None` means the pool's.
    """

    scheme: str
    host: str
    port: int
    tls: TlsSettings | None = None
    proxy: Proxy | None = None
    options: SocketOptions = DEFAULT_OPTIONS
    resolver: Resolver | None = None
    response_limits: Hashable = None
    origin: str = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        settle = object.__setattr__  # the only way into a frozen object
        if self.tls is None and self.scheme in TLS_SCHEMES:
            settle(self, "tls", TlsSettings())
        settle(self, "origin", _origin(self.scheme, self.host, self.port))
        settle(self, "_hash", hash(self._facts()))

    @classmethod
    def forwarded(
        cls,
        proxy: Proxy,
        options: SocketOptions = DEFAULT_OPTIONS,
        resolver: Resolver | None = None,
        response_limits: Hashable = None,
    ) -> Route:
        """The one route of every plain http request that goes over `proxy`.

        Args:
            proxy: An `http` or `https` proxy.
            options: Socket settings.
            resolver: Looks the proxy up. `None` means the connector's.
            response_limits: How responses of the proxy are read. `None` means the pool's.
        """
        return cls("http", proxy.host, proxy.port, None, proxy, options, resolver, response_limits)

    @property
    def is_forwarded(self) -> bool:
        """Whether the proxy is sent the whole URL and speaks HTTP to us."""
        proxy = self.proxy
        return proxy is not None and self.scheme == "http" and proxy.scheme in HTTP_SCHEMES

    def _facts(self) -> tuple[object, ...]:
        resolver = None if self.resolver is None else id(self.resolver)
        place = (self.scheme, self.host, self.port)
        return (*place, self.tls, self.proxy, self.options, resolver, self.response_limits)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Route):
            return NotImplemented
        return self._hash == other._hash and self._facts() == other._facts()

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self.origin

    def __reduce__(self) -> tuple[object, ...]:
        # The hash of a str differs from process to process: the copy has to make its own.
        facts: list[object] = [*self._facts()[:-2], self.resolver, self.response_limits]
        return (Route, tuple(facts))


def socket_path(authority: str) -> str:
    """The path of the socket in a URL like `http+unix://%2Frun%2Fapp.sock/`.

    Args:
        authority: What stands between the slashes, user information and all.
    """
    return unquote(authority.rpartition("@")[2])


def _origin(scheme: str, host: str, port: int) -> str:
    if scheme == UNIX_SCHEME:
        return f"{scheme}://{quote(host, safe='')}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
