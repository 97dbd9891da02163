"""Stands in for urllib3's connection pools: one origin with one set of connection settings.

Users subclass, patch and configure urllib3's managers, which return `HTTPConnectionPool` objects.
`install_facades` makes a manager return a `PoolFacade` instead. It has the attributes that
adapters set on such a pool (`cert_reqs`, `ca_certs`, ...) and its `urlopen`, but no connections: it
turns its settings into a `Route` and sends over the shared transport.

    attributes -> Route                  cached until an attribute changes
    send       -> Destination -> retrying.send

Three other things are called a pool: see the text of the package.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.util.retry import Retry

from pooledhttp.http1 import RequestMemo
from pooledhttp.message import DEFAULT_PORTS, without_credentials
from pooledhttp.network import UNIX_SCHEME, Proxy, Route, TlsSettings
from pooledhttp.records import replace
from pooledhttp.timing import plan_timeout
from pooledhttp.transport.retrying import Call, Destination, send
from pooledhttp.transport.urllib3_settings import key_of_socket, tls_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pooledhttp.events import RequestHook
    from pooledhttp.http1 import ResponseLimits
    from pooledhttp.message import Arrival, RawResponse
    from pooledhttp.network import Resolver, SocketOptions
    from pooledhttp.transport.transport import Replay
    from pooledhttp.transport.view import PoolView

__all__ = [
    "TLS_SETTINGS",
    "AdapterSettings",
    "PoolFacade",
    "install_facades",
]

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
_ROUTE_SETTINGS = TLS_SETTINGS | {"source_address", "socket_options", "host", "port", "scheme"}

_NO_RETRIES = Retry(0, read=False)


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


class PoolFacade:
    """Looks like urllib3's `HTTPConnectionPool`, and sends requests to one origin.

    Args:
        adapter: The settings of the adapter whose manager returns it.
        scheme: `http`, `https` or `http+unix`. That of the origin, or of the proxy if plain http
            goes through a forward proxy.
        proxy: The proxy in between; `None` for none.
        host: Name or address, or the path of the Unix socket.
        port: `None` for the default of the scheme. Ignored for a Unix socket.
        **settings: Keyword arguments of urllib3's pools. Those for the size of urllib3's own pool
            (`maxsize`, `block`, ...) become attributes that have no effect.
    """

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
        #: Where requests with a path as target go, once it is known.
        self._destinations: list[Destination] = []
        self._requests = RequestMemo()
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
        changes_route = name in _ROUTE_SETTINGS and getattr(self, name, value) != value
        object.__setattr__(self, name, value)
        if changes_route:
            # A new dict, made after the change: if another thread makes a route from the old value
            # now, it puts the route into the old dict, which is no longer read.
            self._routes = {}
            self._destinations = []

    def __repr__(self) -> str:
        # The text of MaxRetryError begins with this, and programs match that text.
        name = "HTTPSConnectionPool" if self.scheme == "https" else "HTTPConnectionPool"
        return f"{name}(host={self.host!r}, port={self.port!r})"

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

        It gets no client certificate, and the origin's `assert_hostname`, `assert_fingerprint` and
        `server_hostname` do not apply to it. `verify=False` for the origin does not apply to a
        proxy that is given credentials: another server in its place would read them. Only the
        adapter's `proxy_verify` overrides that.
        """
        proxy = self.proxy
        if proxy is None or proxy.scheme != "https" or proxy.tls is not None:
            return proxy
        chosen = self.adapter.proxy_verify
        if chosen is not None:
            given = tls_keywords(chosen, None)
            verifies = given.pop("cert_reqs", None) != "CERT_NONE"
            rules = "ssl_context" in given
            return replace(proxy, tls=TlsSettings(verify=verifies, context_rules=rules, **given))
        own = self.tls_settings()
        if not own.verify and any(
            name.lower() == "proxy-authorization" for name, _ in proxy.headers
        ):
            return replace(proxy, tls=TlsSettings())
        settings = TlsSettings(
            verify=own.verify,
            ca_certs=own.ca_certs,
            ca_cert_dir=own.ca_cert_dir,
            ca_cert_data=own.ca_cert_data,
            ssl_context=own.ssl_context if own.context_rules else None,
            context_rules=own.context_rules,
        )
        return replace(proxy, tls=settings)

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

    def is_forwarded(self, target: str) -> bool:
        """Whether the request line has a whole URL: plain http over a forward proxy."""
        return (
            self.proxy is not None and not self.proxy.is_socks and target[:7].lower() == "http://"
        )

    def origin_of(self, target: str) -> str:
        """Return the server that a request is for, whatever proxy it goes through."""
        if not self.is_forwarded(target):
            return self.route().origin
        parts = urlsplit(without_credentials(target))
        return Route("http", parts.hostname or "", parts.port or 80).origin

    def _host_field(self, target: str) -> str:
        """Return the `Host` field: the host, and a port unless it is the default.

        RFC 9112, section 3.2.
        """
        if self.scheme == UNIX_SCHEME:
            return "localhost"  # servers require a host, and the path of a socket is none
        is_plain = target[:7].lower() == "http://"
        if not is_plain and target[:8].lower() != "https://":
            # A dot at the end of a name only matters to the resolver; servers expect none.
            host, port, scheme = self.host.removesuffix("."), self.port, self.scheme
            host = f"[{host.partition('%')[0]}]" if ":" in host else host
            return host if port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"
        authority = without_credentials(target).partition("://")[2]
        for end in "/?#":
            authority = authority.partition(end)[0]
        return authority.removesuffix(":80" if is_plain else ":443")

    # ---- sending

    def send(self, call: Call) -> Arrival:
        """Send a request and return its response, body unread.

        Raises:
            urllib3.exceptions.HTTPError: It failed; `MaxRetryError` if the policy gave up.
            PoolTimeout: No connection became free in time.
        """
        adapter = self.adapter
        destination = self._destination(call.target)
        return send(call, destination, adapter.view.manager, adapter.replay, self)

    def _destination(self, target: str) -> Destination:
        """Return where a request goes; kept unless the request line has a whole URL."""
        is_plain = target[:1] == "/"
        known = self._destinations
        if is_plain and known:
            return known[0]
        is_forwarded = self.is_forwarded(target)
        found = Destination(
            self.route(is_forwarded=is_forwarded),
            self.origin_of(target),
            self._host_field(target),
            is_forwarded,
            self._requests,
        )
        if is_plain:
            known.append(found)
        return found

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        retries: Retry | bool | int | None = None,
        redirect: bool = True,
        assert_same_host: bool = True,
        timeout: Any = None,
        pool_timeout: float | None = None,
        release_conn: bool | None = None,
        chunked: bool = False,
        body_pos: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **response_kw: Any,
    ) -> RawResponse:
        """Send a request as urllib3's pools do; see their `urlopen` for the arguments.

        Redirects are not followed: that is left to the session. The arguments for urllib3's own
        pool (`assert_same_host`, `pool_timeout`, `release_conn`, `body_pos`) have no effect.
        """
        policy = _NO_RETRIES if retries is None else Retry.from_int(retries)
        plan = plan_timeout(timeout, self.adapter.view.manager.runtime.now)
        call = Call(method, url, headers or {}, body, policy, plan, chunked, not preload_content)
        raw = self.send(call).raw()
        if preload_content:
            raw.read(decode_content=decode_content, cache_content=True)
        return raw

    def close(self) -> None:
        """Do nothing: connections belong to the shared pool.

        urllib3's managers call this when they drop a pool.
        """


def install_facades(
    manager: Any, settings: AdapterSettings, proxy: Callable[[], Proxy | None]
) -> None:
    """Make a urllib3 manager return `PoolFacade`s in place of urllib3's pools.

    Args:
        manager: A `PoolManager` or `ProxyManager`.
        settings: The settings of the adapter whose manager it is.
        proxy: Returns the proxy of the manager, `None` for none.
    """
    its_proxy = proxy()
    manager.pool_classes_by_scheme = {
        scheme: partial(PoolFacade, settings, scheme, its_proxy) for scheme in ("http", "https")
    }
    if its_proxy is None:
        manager.pool_classes_by_scheme[UNIX_SCHEME] = partial(
            PoolFacade, settings, UNIX_SCHEME, None
        )
        manager.key_fn_by_scheme[UNIX_SCHEME] = partial(
            key_of_socket, manager.key_fn_by_scheme["http"]
        )
