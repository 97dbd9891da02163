"""The settings of a `PoolFacade`, and the route that is made from them.

Adapters set them as attributes, named as in urllib3's pools (`cert_reqs`, `ca_certs`, ...)::

    attributes -> Route      kept until an attribute changes

`AdapterSettings` has what all facades of one adapter share.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from pooledhttp.message import DEFAULT_PORTS
from pooledhttp.network import UNIX_SCHEME, Proxy, Route, TlsSettings
from pooledhttp.records import replace
from pooledhttp.transport.urllib3_settings import tls_keywords

if TYPE_CHECKING:
    from pooledhttp.events import RequestHook
    from pooledhttp.http1 import ResponseLimits
    from pooledhttp.network import Resolver, SocketOptions
    from pooledhttp.transport.retrying import Destination
    from pooledhttp.transport.transport import Replay
    from pooledhttp.transport.view import PoolView

__all__ = ["ROUTE_SETTINGS", "TLS_SETTINGS", "AdapterSettings", "FacadeSettings"]

#: Settings that have the same name in urllib3's pools and in `TlsSettings`.
_SAME_NAMES = (
    "ca_cert_data",
    "ca_cert_dir",
    "ca_certs",
    "cert_file",
    "key_file",
    "key_password",
    "ssl_context",
    "assert_hostname",
    "assert_fingerprint",
    "server_hostname",
    "ssl_version",
)
#: All settings of TLS.
TLS_SETTINGS = frozenset({*_SAME_NAMES, "cert_reqs", "ssl_minimum_version", "ssl_maximum_version"})
#: All that a route is made from.
ROUTE_SETTINGS = TLS_SETTINGS | {"source_address", "socket_options", "host", "port", "scheme"}


class AdapterSettings:
    """What an adapter shares with all `PoolFacade`s that it makes.

    When a session mounts an adapter, the adapter may get another `PoolView`. The `PoolFacade`s made
    before then use it as well, because they refer to this object.

    Attributes:
        view: The pool of connections that the adapter uses.
        replay: Which requests are sent again when a reused connection is dead.
        resolver: The adapter's own; `None` for that of the `TransportManager`.
        socket_options: The adapter's own; `None` for those of the `TransportManager`.
        response_limits: The adapter's own `ResponseLimits`; `None` for those of the
            `TransportManager`.
        proxy_verify: How an https proxy is verified, as users give it; `None` for as the origin.
        request_hooks: The request hooks of the adapter and its session.
    """

    __slots__ = (
        "proxy_verify",
        "replay",
        "request_hooks",
        "resolver",
        "response_limits",
        "socket_options",
        "view",
    )

    def __init__(
        self,
        view: PoolView,
        replay: Replay,
        resolver: Resolver | None = None,
        socket_options: SocketOptions | None = None,
    ) -> None:
        self.view = view
        self.replay = replay
        self.resolver = resolver
        self.socket_options = socket_options
        self.response_limits: ResponseLimits | None = None
        self.proxy_verify: Any = None
        self.request_hooks: tuple[RequestHook, ...] = ()


class FacadeSettings:
    """The settings of a facade; `PoolFacade` also describes the arguments."""

    ca_cert_data: str | bytes | None = None
    ca_cert_dir: str | None = None
    ca_certs: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    cert_reqs: int | str | None = None
    ssl_context: ssl.SSLContext | None = None
    assert_hostname: str | bool | None = None
    assert_fingerprint: str | None = None
    server_hostname: str | None = None
    ssl_version: int | None = None
    ssl_minimum_version: ssl.TLSVersion | None = None
    ssl_maximum_version: ssl.TLSVersion | None = None
    source_address: tuple[str, int] | None = None
    socket_options: Any = None

    def __init__(
        self,
        adapter: AdapterSettings,
        scheme: str,
        proxy: Proxy | None,
        host: str,
        port: int | None = None,
        **settings: Any,
    ) -> None:
        self._routes: dict[bool, Route] = {}
        #: Where requests with a path as target go, once `PoolFacade` knows; made from the routes.
        self._destinations: list[Destination] = []
        self.adapter = adapter
        self.scheme = scheme
        self.host = host if scheme == UNIX_SCHEME else host.strip("[]").lower()
        if scheme == UNIX_SCHEME:
            self.port = 0
        else:
            self.port = DEFAULT_PORTS[scheme] if port is None else port
        self.proxy = proxy
        for name, value in settings.items():
            if not name.startswith("_"):  # `_proxy` and the like repeat `proxy`
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        changes_route = name in ROUTE_SETTINGS and getattr(self, name, value) != value
        object.__setattr__(self, name, value)
        if changes_route:
            # A new dict, made after the change: if another thread makes a route from the old value
            # now, it puts the route into the old dict, which is no longer read.
            self._routes = {}
            self._destinations = []

    # ---- the route

    def route(self, *, is_forwarded: bool = False) -> Route:
        """Return the route: the key under which the pool shares connections.

        Args:
            is_forwarded: Whether the request line has a whole URL: plain http over a forward proxy.
        """
        routes = self._routes
        route = routes.get(is_forwarded)
        if route is None:
            route = routes[is_forwarded] = self._make_route(is_forwarded)
        return route

    @property
    def known_routes(self) -> tuple[Route, ...]:
        """The routes that were made from the present settings."""
        return tuple(self._routes.values())

    def _make_route(self, is_forwarded: bool) -> Route:
        adapter = self.adapter
        options = adapter.socket_options
        if options is None:
            options = adapter.view.manager.socket_options
        resolver, limits = adapter.resolver, adapter.response_limits
        if self.socket_options is not None:
            given = tuple(tuple(option) for option in self.socket_options)
            options = replace(options, options=given)
        if self.source_address is not None:
            options = replace(options, source_address=self.source_address)
        proxy = self._verified_proxy()
        if limits is not None and proxy is not None:
            proxy = replace(proxy, response_limits=limits)
        if is_forwarded and proxy is not None:
            return Route.forwarded(proxy, options, resolver, limits)
        tls = self.tls_settings() if self.scheme == "https" else None
        address = (self.scheme, self.host, self.port)
        return Route(*address, tls, proxy, options, resolver, limits)

    def _verified_proxy(self) -> Proxy | None:
        """Return the proxy. A proxy that speaks TLS is verified with the CAs set for the origin.

        A context that the manager has for the proxy replaces them. A name and a fingerprint apply
        to it if the manager has them for the proxy; those of the origin do not, and it gets no
        client certificate. `verify=False` for the origin does not apply to a proxy that is given
        credentials: another server in its place would read them. Only the adapter's `proxy_verify`
        overrides that.
        """
        proxy = self.proxy
        if proxy is None or proxy.scheme != "https":
            return proxy
        given = proxy.tls
        if given is None:
            return replace(proxy, tls=self._proxy_trust(proxy))
        if given.ssl_context is not None:
            return proxy
        settings = replace(
            self._proxy_trust(proxy),
            assert_hostname=given.assert_hostname,
            assert_fingerprint=given.assert_fingerprint,
        )
        return replace(proxy, tls=settings)

    def _proxy_trust(self, proxy: Proxy) -> TlsSettings:
        """Return whether and by which certificates a proxy without a context is verified."""
        chosen = self.adapter.proxy_verify
        if chosen is not None:
            given = tls_keywords(chosen, None)
            verifies = given.pop("cert_reqs", None) != "CERT_NONE"
            return TlsSettings(verify=verifies, context_rules="ssl_context" in given, **given)
        own = self.tls_settings()
        if not own.verify and any(
            name.lower() == "proxy-authorization" for name, _ in proxy.headers
        ):
            return TlsSettings()
        return TlsSettings(
            verify=own.verify,
            ca_certs=own.ca_certs,
            ca_cert_dir=own.ca_cert_dir,
            ca_cert_data=own.ca_cert_data,
            ssl_context=own.ssl_context if own.context_rules else None,
            context_rules=own.context_rules,
        )

    def tls_settings(self) -> TlsSettings:
        """Return the settings of TLS as the network takes them."""
        reqs = self.cert_reqs
        return TlsSettings(
            verify=reqs not in ("CERT_NONE", "NONE", ssl.CERT_NONE),
            # `verify=<SSLContext>` sets no `cert_reqs`: then the context alone decides.
            context_rules=reqs is None and self.ssl_context is not None,
            minimum_version=self.ssl_minimum_version,
            maximum_version=self.ssl_maximum_version,
            **{name: getattr(self, name) for name in _SAME_NAMES},
        )
