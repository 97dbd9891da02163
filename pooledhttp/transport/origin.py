"""One origin under one set of connection settings: what urllib3 calls a connection pool.

urllib3's managers, which users subclass, patch and configure, hand out `HTTPConnectionPool`
objects; ours hand out these. An `OriginPool` has the attributes that adapters set on such a pool
(`cert_reqs`, `ca_certs`, ...) and its `urlopen`, but owns no connection: it turns its settings into
a `Route` and sends through the shared transport.

    attributes -> Route                  cached until one of them is set
    send       -> WireRequest -> for attempt in Attempts(policy): transport.exchange -> RawResponse
"""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from pooledhttp.message import DEFAULT_PORTS as WEB_PORTS
from pooledhttp.message import RawResponse, without_credentials
from pooledhttp.network import UNIX_SCHEME, Proxy, Route, TlsSettings
from pooledhttp.retry import Attempts
from pooledhttp.timing import monotonic, plan_timeout
from pooledhttp.transport.faults import explain_total
from pooledhttp.transport.outgoing import build_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pooledhttp.timing import TimeoutPlan
    from pooledhttp.transport.manager import Hub

__all__ = ["OriginPool"]

DEFAULT_PORTS = {**WEB_PORTS, UNIX_SCHEME: 0}

#: Settings under urllib3's names that go into `TlsSettings` under the same name.
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
_SHAPES_ROUTE = frozenset(
    {
        *_SAME_NAMES,
        "cert_reqs",
        "ssl_minimum_version",
        "ssl_maximum_version",
        "source_address",
        "socket_options",
    }
)

_NO_RETRIES = Retry(0, read=False)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OriginPool:
    """Sends requests to one origin, under settings named as urllib3 names them.

    Args:
        hub: Leads to the transport, which may change when the adapter is mounted.
        scheme: `http` or `https`: of the origin, or of the proxy where plain http is forwarded.
            Or `http+unix`.
        proxy: The proxy in between; `None` for none.
        host: Name or address, or the path of the Unix socket.
        port: `None` for the scheme's default. A Unix socket has none, whatever is given.
        **settings: Keyword arguments of urllib3's pools. Those that shape urllib3's own pool
            (`maxsize`, `block`, ...) are kept as attributes of no effect.
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
    #: For the adapter: the `verify` and `cert` that it applied last.
    verified_for: tuple[Any, Any] | None = None

    def __init__(
        self,
        hub: Hub,
        scheme: str,
        proxy: Proxy | None,
        host: str,
        port: int | None = None,
        **settings: Any,
    ) -> None:
        self._routes: dict[bool, Route] = {}
        self.hub = hub
        self.scheme = scheme
        self.host = host if scheme == UNIX_SCHEME else host.strip("[]").lower()
        self.port = DEFAULT_PORTS[scheme] if port is None or scheme == UNIX_SCHEME else port
        self.proxy = proxy
        for name, value in settings.items():
            if not name.startswith("_"):  # `_proxy` and the like: told above, in our own terms
                setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        is_news = name in _SHAPES_ROUTE and getattr(self, name) != value
        object.__setattr__(self, name, value)
        if is_news:
            # A new dict, and afterwards: a thread that makes a route of the old value meanwhile
            # puts it into the old one, where nobody finds it.
            self._routes = {}

    def __repr__(self) -> str:
        # It stands at the head of MaxRetryError's text, which programs match.
        name = "HTTPSConnectionPool" if self.scheme == "https" else "HTTPConnectionPool"
        return f"{name}(host={self.host!r}, port={self.port!r})"

    # ---- the route

    def route(self, *, is_forwarded: bool = False) -> Route:
        """The key under which connections are shared.

        Args:
            is_forwarded: The request line carries a whole URL: plain http over a forward proxy.
        """
        routes = self._routes
        route = routes.get(is_forwarded)
        if route is None:
            route = routes[is_forwarded] = self._make_route(is_forwarded)
        return route

    @property
    def known_routes(self) -> tuple[Route, ...]:
        """The keys that were asked for under the present settings."""
        return tuple(self._routes.values())

    def _make_route(self, is_forwarded: bool) -> Route:
        options, resolver = self.hub.socket_options, self.hub.resolver
        if self.socket_options is not None:
            given = tuple(tuple(option) for option in self.socket_options)
            options = replace(options, options=given)
        if self.source_address is not None:
            options = replace(options, source_address=self.source_address)
        proxy = self._verified_proxy()
        if is_forwarded and proxy is not None:
            return Route.forwarded(proxy, options, resolver)
        tls = self.tls_settings() if self.scheme == "https" else None
        return Route(self.scheme, self.host, self.port, tls, proxy, options, resolver)

    def _verified_proxy(self) -> Proxy | None:
        """The proxy; one that is reached by TLS is trusted by the same certificates as the origin.

        It is shown no client certificate, and what is asserted of the origin says nothing about it.
        """
        proxy = self.proxy
        if proxy is None or proxy.scheme != "https" or proxy.tls is not None:
            return proxy
        own = self.tls_settings()
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
        """The settings of TLS as the network takes them."""
        reqs = self.cert_reqs
        return TlsSettings(
            verify=reqs not in ("CERT_NONE", "NONE", ssl.CERT_NONE),
            # A context given as `verify=` comes without this setting and speaks for itself.
            context_rules=reqs is None and self.ssl_context is not None,
            minimum_version=self.ssl_minimum_version,
            maximum_version=self.ssl_maximum_version,
            **{name: getattr(self, name) for name in _SAME_NAMES},
        )

    def is_forwarded(self, target: str) -> bool:
        """Whether a request line carries a whole URL: plain http over a forward proxy."""
        return (
            self.proxy is not None and not self.proxy.is_socks and target[:7].lower() == "http://"
        )

    def origin_of(self, target: str) -> str:
        """The server that a request is for, whatever proxy it goes through."""
        if not self.is_forwarded(target):
            return self.route().origin
        parts = urlsplit(without_credentials(target))
        return Route("http", parts.hostname or "", parts.port or 80).origin

    def _host_field(self, target: str) -> str:
        """What `Host` says (RFC 9112, section 3.2): host, and port where it is not the usual."""
        if self.scheme == UNIX_SCHEME:
            return "localhost"  # the path of a socket is no host, and servers want one
        is_plain = target[:7].lower() == "http://"
        if not is_plain and target[:8].lower() != "https://":
            # A dot at the end says that the name is complete; servers know themselves without it.
            host, port, scheme = self.host.removesuffix("."), self.port, self.scheme
            host = f"[{host.partition('%')[0]}]" if ":" in host else host
            return host if port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"
        authority = without_credentials(target).partition("://")[2]
        for end in "/?#":
            authority = authority.partition(end)[0]
        return authority.removesuffix(":80" if is_plain else ":443")

    # ---- sending

    def send(
        self,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[Any, Any],
        policy: Retry,
        plan: TimeoutPlan,
        *,
        chunked: bool,
        is_streamed: bool,
    ) -> RawResponse:
        """Exchange until an answer stands or the policy gives up: the only retry loop.

        Args:
            method: The method.
            target: A path, or a whole URL over a forward proxy.
            body: `None`, str, bytes, a file or an iterable.
            headers: Header fields.
            policy: What is tried again, how often, and after which time.
            plan: The timeouts.
            chunked: Send the body in chunks.
            is_streamed: The caller reads the body as it comes. Otherwise, where the policy retries
                reads, it is read here, so that a body cut short is tried again too.

        Raises:
            urllib3.exceptions.HTTPError: What went wrong, as `MaxRetryError` where the policy gave
                up on it.
            PoolTimeout: No place became free in time.
        """
        hub, manager = self.hub, self.hub.manager
        is_forwarded = self.is_forwarded(target)
        origin = self.origin_of(target)
        route = self.route(is_forwarded=is_forwarded)
        url = without_credentials(target) if is_forwarded else target
        request = build_request(
            method, target, self._host_field(target), headers, body, chunked=chunked, url=url
        )
        attempts = Attempts(
            policy,
            method=method,
            url=url,
            origin=origin,
            runtime=manager.runtime,
            deadline=plan.total,
            pool_label=self,
            budget=manager.budget,
            pauses=manager.pauses,
            can_resend=lambda: request.can_be_sent,
            rewind=request.rewind_body,
            on_retry=manager.on_retry(origin),
        )
        # None leaves it to the other count, and False is 0.
        reads_here = not is_streamed and policy.total != 0 and policy.read != 0
        for attempt in attempts:
            try:
                answer = manager.transport.exchange(route, request, plan, hub.replay)
            except (HTTPError, OSError) as error:
                attempt.failed(explain_total(error, plan))
                if plan.spent is not None:
                    plan.spent.begin("pausing before a retry")
                continue
            raw = RawResponse(
                answer.reader,
                answer.headers,
                answer.status,
                answer.reason,
                answer.version,
                request_method=method,
                request_url=target,
                is_chunked=answer.is_chunked,
                retries=attempts.policy,
            )
            raw.arrived_at = monotonic()
            # First the status: the body of an answer that is refused may know no end.
            if not attempt.refused(raw):
                try:
                    if reads_here and answer.status not in _REDIRECTS:
                        answer.reader.read_ahead()
                    return raw
                except (HTTPError, OSError) as error:
                    attempt.failed(explain_total(error, plan))
            if plan.spent is not None:
                plan.spent.begin("pausing before a retry")
        raise AssertionError("the attempts ended with neither an answer nor an error")

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
        """Send a request as urllib3's pools do; see there for the arguments.

        Redirects are the session's affair and are not followed here; arguments that steer urllib3's
        own pool (`assert_same_host`, `pool_timeout`, `release_conn`, `body_pos`) have no effect.
        """
        policy = _NO_RETRIES if retries is None else Retry.from_int(retries)
        plan = plan_timeout(timeout, self.hub.manager.runtime.now)
        raw = self.send(
            method,
            url,
            body,
            headers or {},
            policy,
            plan,
            chunked=chunked,
            is_streamed=not preload_content,
        )
        if preload_content:
            raw.read(decode_content=decode_content, cache_content=True)
        return raw

    def close(self) -> None:
        """Do nothing: connections belong to the shared pool.

        urllib3's managers call this for pools they forget.
        """
