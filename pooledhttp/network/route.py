"""Routes: the origin of a connection, and all settings that it is made with.

A `Route` is the key of a connection in the pool. Requests share a connection only if everything in
their routes is equal: the origin, the settings of TLS, the proxy and the options of the socket. All
values here are frozen and hashable. A connection that was made with one `verify` is therefore never
used for a request with another one.

There are three ways to an origin::

    direct      the socket is connected to the origin (or to its Unix socket)
    tunnelled   the socket is connected to a proxy, which passes bytes on (CONNECT, SOCKS)
    forwarded   plain http over an http(s) proxy: the proxy reads the requests. Such a connection
                serves all origins, so the route names only the proxy
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pooledhttp.records import check_whole_number, explain_misspelt_fields, field, record

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
    """How the certificate of the peer is verified, and which certificate the client has.

    Attributes:
        verify: Whether the peer's certificate has to be valid. `False` also skips the host name.
        ca_certs: A file of trusted certificates (PEM). `None` means certifi's, unless a directory,
            data or a context is given.
        ca_cert_dir: A directory of trusted certificates, with the file names that OpenSSL expects.
        ca_cert_data: Trusted certificates, as PEM text or DER bytes.
        cert_file: The client's certificate (PEM), for servers that ask for one.
        key_file: The private key, if it is not in `cert_file`.
        key_password: Decrypts the private key. `None` if the key is not encrypted.
        ssl_context: A context of the caller, compared by identity and never changed. Its protocol
            settings, client certificate and trusted certificates are used. The other settings here
            decide how strictly the peer is verified, as for a context given to urllib3.
        context_rules: Whether `ssl_context` alone decides how strictly the peer is verified. Only
            the `assert_` settings apply as well. For a context that was given as `verify=`.
        assert_hostname: The name that the certificate must have instead of the host; `False` for
            no check of the name.
        assert_fingerprint: The digest that the certificate must have, in hex with or without
            colons: MD5, SHA-1 or SHA-256, by its length. It replaces the check of the name.
        minimum_version: The oldest version of TLS. `None` means TLS 1.2.
        maximum_version: The newest version of TLS. `None` means the newest that OpenSSL has.
        ssl_version: A legacy `ssl.PROTOCOL_*` constant for exactly one version.
        server_hostname: The name that is sent in SNI and checked, if it is not the host.
        ciphers: OpenSSL's cipher string for TLS 1.2 and older. `None` means OpenSSL's default.
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


@explain_misspelt_fields(by_name=False)
@record
class KeepAlive:
    """TCP keep-alive probes, which the kernel sends when no bytes arrive.

    Attributes:
        idle_seconds: Seconds without bytes before the first probe.
        interval_seconds: Seconds between two probes.
        probes: How many probes without a reply make the connection dead.

    Raises:
        TypeError: One is no whole number.
        ValueError: One is less than 1.
    """

    idle_seconds: int = 60
    interval_seconds: int = 10
    probes: int = 6

    def __post_init__(self) -> None:
        for name in ("idle_seconds", "interval_seconds", "probes"):
            check_whole_number(name, getattr(self, name))


@explain_misspelt_fields(by_name=False)
@record
class SocketOptions:
    """What is set on a socket before it connects.

    Attributes:
        options: Triples (or quadruples) for `setsockopt`. The default turns Nagle's algorithm off:
            it would hold back the end of a request until the peer has acknowledged its start.
        source_address: Local (address, port) to connect from. `None` lets the kernel choose.
        keepalive: Keep-alive probes. `None` means none.

    Raises:
        TypeError: One of them is of another type.
    """

    options: Sequence[tuple[int, int, int | bytes]] = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
    source_address: tuple[str, int] | None = None
    keepalive: KeepAlive | None = None

    def __post_init__(self) -> None:
        # urllib3 takes lists. Here they must be hashable, as part of a key.
        try:
            options = tuple(tuple(option) for option in self.options)
        except TypeError:
            raise TypeError(
                "options must be arguments of setsockopt, such as [(socket.SOL_SOCKET, "
                f"socket.SO_SNDBUF, 65536)], not {self.options!r}"
            ) from None
        object.__setattr__(self, "options", options)
        if isinstance(self.source_address, (str, bytes, int)):
            raise TypeError(
                "source_address must be an address and a port, such as ('10.0.0.7', 0), not "
                f"{self.source_address!r}"
            )
        if not (self.keepalive is None or isinstance(self.keepalive, KeepAlive)):
            raise TypeError(
                f"keepalive must be a KeepAlive(idle_seconds=60), or None, not {self.keepalive!r}"
            )


DEFAULT_OPTIONS = SocketOptions()


def check_resolver(resolver: object) -> None:
    """Check a `resolver` argument, which may be None.

    Raises:
        TypeError: It has no method `resolve`.
    """
    if resolver is not None and not callable(getattr(resolver, "resolve", None)):
        raise TypeError(
            "resolver must have a method `resolve`, such as network.StaticResolver({'host': "
            f"['10.0.0.7']}}), not {resolver!r}"
        )


def check_socket_options(options: object) -> None:
    """Check a `socket_options` argument, which may be None.

    Raises:
        TypeError: It is no `SocketOptions`.
    """
    if options is not None and not isinstance(options, SocketOptions):
        raise TypeError(
            f"socket_options must be network.SocketOptions(options=[...]), not {options!r}"
        )


@record
class Proxy:
    """A proxy, with the credentials and fields that it is sent; `repr` does not show them.

    Attributes:
        scheme: `http`, `https` (TLS to the proxy itself), `socks4`, `socks4a`, `socks5` or
            `socks5h`. With `socks4a` and `socks5h` the proxy looks the name up; else we do.
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
    def url(self) -> str:
        """The same; urllib3's pools have the proxy as a URL."""
        return self.origin

    @property
    def netloc(self) -> str:
        """Host and port, as in a URL."""
        return self.origin.partition("://")[2]

    @property
    def auth(self) -> None:
        """`None`: the credentials are not for reading."""

    def __str__(self) -> str:
        return self.origin

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS."""
        return self.scheme in SOCKS_SCHEMES

    @property
    def resolves_names(self) -> bool:
        """Whether the proxy looks names up."""
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
        resolver: Looks up the names of this route. `None` means the connector's. Compared by
            identity, because another one may find other addresses for the same name.
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
        set_field = object.__setattr__  # the object is frozen
        if self.tls is None and self.scheme in TLS_SCHEMES:
            set_field(self, "tls", TlsSettings())
        set_field(self, "origin", _origin(self.scheme, self.host, self.port))
        set_field(self, "_hash", hash(self._facts()))

    @classmethod
    def forwarded(
        cls,
        proxy: Proxy,
        options: SocketOptions = DEFAULT_OPTIONS,
        resolver: Resolver | None = None,
        response_limits: Hashable = None,
    ) -> Route:
        """Return the route of all plain http requests that go through a forward proxy.

        Args:
            proxy: An `http` or `https` proxy.
            options: Socket settings.
            resolver: Looks up the proxy. `None` means the connector's.
            response_limits: How responses of the proxy are read. `None` means the pool's.
        """
        return cls("http", proxy.host, proxy.port, None, proxy, options, resolver, response_limits)

    @property
    def is_forwarded(self) -> bool:
        """Whether requests have a whole URL as target, and the proxy responds itself."""
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
        # The hash of a str differs from process to process, so the copy computes its own.
        facts: list[object] = [*self._facts()[:-2], self.resolver, self.response_limits]
        return (Route, tuple(facts))


def socket_path(authority: str) -> str:
    """Return the path of the socket in a URL such as `http+unix://%2Frun%2Fapp.sock/`.

    Args:
        authority: The part between `//` and the next slash, user information included.
    """
    return unquote(authority.rpartition("@")[2])


def _origin(scheme: str, host: str, port: int) -> str:
    if scheme == UNIX_SCHEME:
        return f"{scheme}://{quote(host, safe='')}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
