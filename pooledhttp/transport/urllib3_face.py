"""Stands in for urllib3's connection pools: one origin with one set of connection settings.

Users subclass, patch and configure urllib3's managers, which return `HTTPConnectionPool` objects.
`install_facades` makes a manager return a `PoolFacade` instead. It has the attributes that
adapters set on such a pool (`cert_reqs`, `ca_certs`, ...) and its `urlopen`, but no connections: it
turns its settings into a `Route` and sends over the shared transport.

    FacadeSettings   attributes -> Route                  facade_settings
      PoolFacade     send -> Destination -> retrying.send
    Counterpart      a pool of urllib3, for programs that change its steps

Three other things are called a pool: see the text of the package.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3.util.retry import Retry

from pooledhttp.exceptions import RequestRefused
from pooledhttp.faults import PoolLookalike
from pooledhttp.http1 import RequestMemo, check_request
from pooledhttp.message import DEFAULT_PORTS, Body, TimeoutInput, without_credentials
from pooledhttp.network import UNIX_SCHEME, Proxy, Route
from pooledhttp.timing import plan_timeout
from pooledhttp.transport.facade_settings import ROUTE_SETTINGS, AdapterSettings, FacadeSettings
from pooledhttp.transport.plain_gets import PlainGets
from pooledhttp.transport.retrying import Call, Destination, send
from pooledhttp.transport.urllib3_counterpart import (
    STEPS,
    Counterpart,
    OfCounterpart,
    is_foreign,
)
from pooledhttp.transport.urllib3_settings import key_of_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pooledhttp.http1 import HeadShapes
    from pooledhttp.message import Arrival, RawResponse

__all__ = ["PoolFacade", "install_facades"]

_NO_RETRIES = Retry(0, read=False)


class PoolFacade(FacadeSettings, PoolLookalike):
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

    Attributes:
        counterpart: The pool of urllib3 for those who read or change its steps; `None` until then.
    """

    counterpart: Counterpart | None

    ConnectionCls = OfCounterpart()
    ResponseCls = OfCounterpart()
    conn_kw = OfCounterpart()
    is_same_host = OfCounterpart()
    proxy_config = OfCounterpart()
    _get_conn = OfCounterpart()
    _make_request = OfCounterpart()
    _new_conn = OfCounterpart()
    _prepare_proxy = OfCounterpart()
    _put_conn = OfCounterpart()
    _validate_conn = OfCounterpart()

    def __init__(
        self,
        adapter: AdapterSettings,
        scheme: str,
        proxy: Proxy | None,
        host: str,
        port: int | None = None,
        **settings: Any,
    ) -> None:
        object.__setattr__(self, "counterpart", None)  # `__setattr__` looks at it
        self._requests = RequestMemo()
        super().__init__(adapter, scheme, proxy, host, port, **settings)
        if proxy is not None and proxy.tls is not None and is_foreign(proxy.tls.ssl_context):
            self.find_counterpart()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in STEPS:
            self.find_counterpart().change(name, value)
        elif self.counterpart is not None and name in ROUTE_SETTINGS:
            self.counterpart.follow(name, value)
        elif name == "ssl_context" and is_foreign(value):
            self.find_counterpart()

    def find_counterpart(self) -> Counterpart:
        """Return the counterpart; make it the first time.

        Raises:
            AttributeError: The way to the server is a SOCKS proxy or a Unix socket.
        """
        if self.counterpart is None:
            self.counterpart = Counterpart(self)
        return self.counterpart

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
        adapter, target, known = self.adapter, call.target, self._destinations
        view = adapter.view
        is_known = known and target[:1] == "/"  # as in `_find_destination`, without its call
        destination = known[0] if is_known else self._find_destination(target)
        return send(call, destination, view.made or view.manager, adapter.replay, self)

    def plain_gets(
        self, headers: Mapping[str, Any], timeout: object, shapes: HeadShapes
    ) -> PlainGets | None:
        """Return the shortest way of GETs with these fields; `None` where there is none.

        Args:
            headers: Their fields.
            timeout: As for `HTTPAdapter.send`.
            shapes: The shapes of the host's heads.
        """
        destination = self._find_destination("/")
        manager = self.adapter.view.made or self.adapter.view.manager
        request = destination.requests.build(
            "GET", "/", destination.host, headers, None, False, "/"
        )
        try:
            check_request(request, destination.origin, manager.transport.limits.parser)
        except RequestRefused:
            return None
        plan = manager.plan(timeout)
        if destination.is_forwarded or not PlainGets.fits(request, plan):
            return None
        return PlainGets(manager.transport, destination.route, request, plan, shapes)

    def _find_destination(self, target: str) -> Destination:
        """Return where a request goes; it is kept, unless the request line has a whole URL."""
        kept = self._destinations  # before the settings are read: a change replaces the list
        is_path = target[:1] == "/"
        if is_path and kept:
            return kept[0]
        is_forwarded = self.is_forwarded(target)
        found = Destination(
            self.route(is_forwarded=is_forwarded),
            self.origin_of(target),
            self._host_field(target),
            is_forwarded,
            self._requests,
        )
        if is_path:
            kept.append(found)
        return found

    def urlopen(
        self,
        method: str,
        url: str,
        body: Body = None,
        headers: Mapping[str, str | bytes] | None = None,
        retries: Retry | bool | int | None = None,
        redirect: bool = True,
        assert_same_host: bool = True,
        timeout: TimeoutInput = None,
        pool_timeout: float | None = None,
        release_conn: bool | None = None,
        chunked: bool = False,
        body_pos: object = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **response_kw: Any,
    ) -> RawResponse:
        """Send a request as urllib3's pools do; see their `urlopen` for the arguments.

        Redirects are not followed: that is left to the session. The arguments for urllib3's own
        pool (`assert_same_host`, `pool_timeout`, `release_conn`, `body_pos`) have no effect.
        """
        policy = _NO_RETRIES if retries is None else Retry.from_int(retries)
        runtime = self.adapter.view.manager.runtime
        if not getattr(runtime, "is_here", True):
            # A program's own `urlopen` runs in a worker thread of the loop, and calls this one. Our
            # transport waits on the loop alone.
            pool = self.find_counterpart().pool
            response: RawResponse = type(pool).urlopen(
                pool, method, url, body, headers, policy, redirect, assert_same_host, timeout,
                pool_timeout, release_conn, chunked, body_pos, preload_content, decode_content,
                **response_kw,
            )  # fmt: skip
            return response
        plan = plan_timeout(timeout, runtime.now)
        call = Call(method, url, headers or {}, body, policy, plan, chunked, not preload_content)
        raw = self.send(call).raw()
        if preload_content:
            raw.read(decode_content=decode_content, cache_content=True)
        return raw

    def close(self) -> None:
        """Close what a counterpart has; other connections belong to the shared pool.

        urllib3's managers call this when they drop a pool.
        """
        if self.counterpart is not None:
            self.counterpart.pool.close()


def install_facades(
    manager: Any, settings: AdapterSettings, proxy: Callable[[], Proxy | None]
) -> None:
    """Make a urllib3 manager return `PoolFacade`s in place of urllib3's pools.

    Args:
        manager: A `PoolManager` or `ProxyManager`. Any other object, such as a mock that a test
            put in the place of these classes, is left as it is.
        settings: The settings of the adapter whose manager it is.
        proxy: Returns the proxy of the manager, `None` for none.
    """
    if not isinstance(getattr(manager, "key_fn_by_scheme", None), dict):
        return
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
