"""Adapters: how a prepared request becomes a response.

The only file that knows requests *and* the wire.

`HTTPAdapter` keeps the joints at which requests' adapter is bent by its users. Its managers are
urllib3's own, so all that configures, subclasses or patches them has its usual effect; only the
pools they hand out are ours::

    send -> get_connection_with_tls_context -> manager.connection_from_host -> OriginPool
                                               a subclass's own manager     -> urllib3's pool

What comes out of the middle decides: an `OriginPool` sends over the shared pool, anything else with
a `urlopen` is sent through that, as requests would.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse, urlsplit

from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
)
from urllib3.poolmanager import PoolManager, ProxyManager, proxy_from_url
from urllib3.util import Timeout as TimeoutSauce
from urllib3.util import parse_url
from urllib3.util.retry import Retry

from pooledhttp.auth import _basic_auth_str
from pooledhttp.certs import CertInput, VerifyInput, extract_zipped_paths, where
from pooledhttp.cookies import extract_cookies_to_jar
from pooledhttp.events import RequestFinished
from pooledhttp.exceptions import (
    ConnectionError,
    InvalidProxyURL,
    InvalidSchema,
    InvalidURL,
    RequestException,
)
from pooledhttp.message import (
    PreparedRequest,
    ProxiesInput,
    RawResponse,
    Response,
    TimeoutInput,
    get_auth_from_url,
    get_encoding_from_headers,
    prepend_scheme_if_needed,
    response_class_for,
    translation_for,
    urldefragauth,
)
from pooledhttp.network import (
    SOCKS_SCHEMES,
    UNIX_SCHEME,
    Proxy,
    Route,
    SocketOptions,
    TlsSettings,
    file_state,
    select_proxy,
    socket_path,
)
from pooledhttp.pool import PoolConfig
from pooledhttp.runtime import remove_tracebacks
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.timing import Timeout, monotonic, plan_timeout
from pooledhttp.transport import (
    Holder,
    Hub,
    OriginPool,
    Replay,
    TransportManager,
    is_urllib3_patched,
    key_of_socket,
    proxy_of,
    proxy_url,
    require_socks,
    tls_keywords,
    urllib3_pool,
    urllib3_timeout,
    verify_attributes,
)

if TYPE_CHECKING:
    from pooledhttp.events import Listener
    from pooledhttp.network import Resolver
    from pooledhttp.runtime import Runtime

__all__ = ["BaseAdapter", "HTTPAdapter"]

DEFAULT_CA_BUNDLE_PATH = where()


class _Unsaid(int):
    """An int that nobody wrote: tells a default from the same number given by a caller."""


DEFAULT_POOLBLOCK = False
DEFAULT_POOLSIZE: int = _Unsaid(10)
DEFAULT_RETRIES = 0
DEFAULT_POOL_TIMEOUT = None


class SOCKSProxyManager(PoolManager):
    """Hands out pools whose connections go through a SOCKS proxy.

    Args:
        proxy_url: `socks5h://user:password@host:port`, or another SOCKS version.
        username: `None` takes the one of the URL.
        password: As `username`.
        **settings: As urllib3's `PoolManager`.
    """

    def __init__(
        self,
        proxy_url: str,
        username: str | None = None,
        password: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.proxy_url = proxy_url
        self.username = username
        self.password = password


class BaseAdapter:
    """What a session asks of an adapter."""

    def __init__(self) -> None:
        super().__init__()

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutInput = None,
        verify: VerifyInput | None = True,
        cert: CertInput = None,
        proxies: ProxiesInput = None,
    ) -> Response:
        """Send a prepared request and return its response."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back whatever the adapter holds."""
        raise NotImplementedError


class HTTPAdapter(BaseAdapter):
    """Sends over a pool of persistent connections.

    Built without pool settings, it joins the pool of the session it is mounted on.

    Args:
        pool_connections: Kept for requests' sake; limits nothing.
        pool_maxsize: Idle connections kept per host.
        max_retries: A number of retries for failed connections, or a `Retry`.
        pool_block: Whether `pool_maxsize` is also the most connections per host, and requests wait
            for one.
        pool: A `PoolConfig` for a pool of its own, or a manager (`session.pool`) to share.
        replay: What is sent again, once, when a reused connection turns out to be dead: `"safe"`
            (idempotent, or never written), `"always"` or `"off"`. `None` takes the session's.
        runtime: How to wait; threads when `None`.
        listeners: Called with the events of a pool of its own.
        resolver: Looks names up for this adapter's connections, which are shared with no adapter
            that has another one. `None` takes the pool's.
        socket_options: `network.SocketOptions` for this adapter's connections: options of the
            socket, TCP keep-alive, the source address. `None` takes the pool's.
    """

    __attrs__ = ["max_retries", "config", "_pool_connections", "_pool_maxsize", "_pool_block"]

    max_retries: Retry
    poolmanager: Any
    proxy_manager: dict[str, Any]

    def __init__(
        self,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        max_retries: Retry | int | None = DEFAULT_RETRIES,
        pool_block: bool = DEFAULT_POOLBLOCK,
        *,
        pool: PoolConfig | TransportManager | None = None,
        replay: Replay | None = None,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
        resolver: Resolver | None = None,
        socket_options: SocketOptions | None = None,
    ) -> None:
        if max_retries == DEFAULT_RETRIES:
            self.max_retries = Retry(0, read=False)
        else:
            self.max_retries = Retry.from_int(max_retries)
        self.config: dict[str, Any] = {}
        self.proxy_manager = {}
        super().__init__()
        self._pool_connections = pool_connections
        self._pool_maxsize = pool_maxsize
        self._pool_block = pool_block
        self._begin(pool, replay, runtime, listeners)
        self._hub.resolver, self._hub.options = resolver, socket_options
        self.init_poolmanager(pool_connections, pool_maxsize, block=pool_block)

    def _begin(
        self,
        pool: PoolConfig | TransportManager | None,
        replay: Replay | None,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        """Decide where the connections of this adapter are kept."""
        is_default = isinstance(self._pool_maxsize, _Unsaid) and isinstance(
            self._pool_connections, _Unsaid
        )
        if pool is None and not (is_default and self._pool_block is DEFAULT_POOLBLOCK):
            pool = PoolConfig.from_adapter(
                self._pool_connections, self._pool_maxsize, self._pool_block
            )
        self._own_pool = pool
        self._own_replay = replay
        #: The era of the manager in which this adapter entered; None while it is not in use.
        self._era: object | None = None
        self._was_used = False
        self._session: weakref.ref[Any] | None = None
        #: By origin and settings: the pool, and how the files were that the settings name.
        self._conns: dict[Any, tuple[OriginPool, tuple[object, ...]]] = {}
        self._conns_made_by: Any = None
        self._conns_made_with: dict[str, Any] = {}
        make = partial(make_manager, pool, runtime=runtime, listeners=listeners)
        self._hub = Hub(Holder(make, self, _route_of_adapter), replay or "safe")

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name, None) for name in self.__attrs__}
        is_config = isinstance(self._own_pool, PoolConfig)
        state["_own_settings"] = (self._own_pool if is_config else None, self._own_replay)
        state["_own_network"] = (self._hub.resolver, self._hub.options)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.proxy_manager = {}
        self.config = {}
        pool, replay = state.pop("_own_settings", (None, None))
        resolver, options = state.pop("_own_network", (None, None))
        self.__dict__.update(state)
        self._begin(pool, replay)
        self._hub.resolver, self._hub.options = resolver, options
        self.init_poolmanager(self._pool_connections, self._pool_maxsize, block=self._pool_block)

    # ---- the pool

    def attach(self, session: object) -> None:
        """Join the pool of a session, unless there is a pool already."""
        self._session = weakref.ref(session)
        if self._own_pool is None and self._era is None:
            self._hub.holder = _holder_of(session)
            if self._own_replay is None:
                self._hub.replay = session._extras.replay  # type: ignore[attr-defined]

    @property
    def pool(self) -> TransportManager:
        """The manager of the pool that this adapter's connections live in."""
        return self._hub.manager

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **pool_kwargs: Any
    ) -> None:
        """Make `self.poolmanager`.

        Args:
            connections: How many origins' settings the manager remembers.
            maxsize: As `pool_maxsize`.
            block: As `pool_block`.
            **pool_kwargs: Settings of connections under urllib3's names: `ssl_context`,
                `ssl_minimum_version`, `source_address`, `socket_options`, `assert_hostname`,
                `assert_fingerprint`, `cert_reqs`, `ca_certs` and so on.
        """
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs
        )
        self._hand_out_ours(self.poolmanager, lambda: None)

    def _hand_out_ours(self, manager: Any, proxy: Callable[[], Proxy | None]) -> None:
        """Have a urllib3 manager make `OriginPool`s."""
        there = proxy()
        manager.pool_classes_by_scheme = {
            scheme: partial(OriginPool, self._hub, scheme, there) for scheme in ("http", "https")
        }
        if there is None:
            pool = partial(OriginPool, self._hub, UNIX_SCHEME, None)
            manager.pool_classes_by_scheme[UNIX_SCHEME] = pool
            manager.key_fn_by_scheme[UNIX_SCHEME] = partial(
                key_of_socket, manager.key_fn_by_scheme["http"]
            )

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the manager for the URL of a proxy, made on first use.

        Args:
            proxy: `http`, `https` or SOCKS URL, with credentials or without.
            **proxy_kwargs: As `init_poolmanager` takes them.

        Raises:
            InvalidProxyURL: It is some SOCKS, but none that is known.
            InvalidSchema: A SOCKS proxy, and the extra `pooledhttp[socks]` is not installed.
        """
        manager = self.proxy_manager.get(proxy)
        if manager is not None:
            return manager
        sizes = {
            "num_pools": self._pool_connections,
            "maxsize": self._pool_maxsize,
            "block": self._pool_block,
        }
        if proxy.lower().startswith("socks"):
            scheme = proxy.partition("://")[0]
            if scheme.lower() not in SOCKS_SCHEMES:
                raise InvalidProxyURL(
                    f"Which SOCKS is {scheme}:// meant to be? Write socks5h://, or another of "
                    f"{', '.join(sorted(SOCKS_SCHEMES))}."
                )
            username, password = get_auth_from_url(proxy)
            require_socks()
            manager = SOCKSProxyManager(
                proxy, username=username, password=password, **sizes, **proxy_kwargs
            )
        else:
            headers = self.proxy_headers(proxy)
            manager = proxy_from_url(proxy, proxy_headers=headers, **sizes, **proxy_kwargs)
        self._hand_out_ours(manager, partial(proxy_of, proxy, manager))
        self.proxy_manager[proxy] = manager
        return manager

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: VerifyInput | None, cert: CertInput = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what connections for a request are shared by: where they lead, and on which terms.

        Returns:
            `{"scheme", "host", "port"}`, and TLS settings under urllib3's names. Both may be
            altered by overriders.
        """
        parts = urlsplit(request.url)
        if parts.scheme == UNIX_SCHEME:
            place: dict[str, Any] = {
                "scheme": UNIX_SCHEME,
                "host": socket_path(parts.netloc),
                "port": None,
            }
        else:
            place = {"scheme": parts.scheme.lower(), "host": parts.hostname, "port": parts.port}
        return place, tls_keywords(verify, cert)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: VerifyInput | None,
        proxies: ProxiesInput = None,
        cert: CertInput = None,
    ) -> Any:
        """Return the pool, ours or urllib3's, that a request is sent through.

        Raises:
            InvalidProxyURL: The URL of the proxy has no host.
            InvalidURL: The URL has no usable host or port.
        """
        try:
            place, settings = self.build_connection_pool_key_attributes(request, verify, cert)
        except ValueError as error:
            raise InvalidURL(error, request=request) from error
        proxy = select_proxy(request.url, proxies)
        manager = self.poolmanager if not proxy else self.proxy_manager_for(proxy_url(proxy))
        return manager.connection_from_host(**place, pool_kwargs=settings)

    def get_connection(self, url: str, proxies: ProxiesInput = None) -> Any:
        """Deprecated: as `get_connection_with_tls_context`, without the settings of TLS."""
        warnings.warn(
            "`get_connection` is deprecated: it does not know the TLS settings of a request. Use "
            "`get_connection_with_tls_context`.",
            DeprecationWarning,
            stacklevel=2,
        )
        proxy = select_proxy(url, proxies)
        manager = self.poolmanager if not proxy else self.proxy_manager_for(proxy_url(proxy))
        return manager.connection_from_url(url if proxy else urlparse(url).geturl())

    def cert_verify(self, conn: Any, url: str, verify: VerifyInput | None, cert: CertInput) -> None:
        """Put `verify` and `cert` onto a pool, ours or urllib3's.

        Raises:
            OSError: A file that is named there does not exist.
        """
        # Plain http over a proxy that speaks TLS: it is the proxy that has to be verified.
        is_secure = url.lower().startswith("https") or (
            isinstance(conn, OriginPool) and conn.scheme == "https"
        )
        attributes = verify_attributes(is_secure, verify, cert, DEFAULT_CA_BUNDLE_PATH)
        for name, value in attributes.items():
            setattr(conn, name, value)

    def request_url(self, request: PreparedRequest, proxies: ProxiesInput) -> str:
        """Return the request target: the path, or the whole URL for plain http over a proxy."""
        proxy = select_proxy(request.url, proxies)
        if proxy and urlsplit(request.url).scheme != "https":
            if urlsplit(proxy).scheme.lower() not in SOCKS_SCHEMES:
                return urldefragauth(request.url)
        target: str = request.path_url
        return target

    def add_headers(self, request: PreparedRequest, **kwargs: Any) -> None:
        """Do nothing: a place for subclasses to add header fields, called before each send."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the fields for a proxy: its credentials, taken from its URL.

        They go to nobody else.
        """
        username, password = get_auth_from_url(proxy)
        return {"Proxy-Authorization": _basic_auth_str(username, password)} if username else {}

    def close(self) -> None:
        """Forget pools and proxies, and leave the shared pool.

        The last adapter to leave empties its shelves.
        """
        self._conns.clear()
        self.poolmanager.clear()
        for manager in self.proxy_manager.values():
            manager.clear()
        # Also when closed before: a request that was under way then may have come back since.
        if self._was_used:
            self._era = None
            self._hub.manager.leave(self)

    # ---- sending

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: TimeoutInput = None,
        verify: VerifyInput | None = True,
        cert: CertInput = None,
        proxies: ProxiesInput = None,
    ) -> Response:
        """Send a prepared request and return its response, body unread.

        Args:
            request: A `PreparedRequest`, ours or the real requests'; the answer is of the same
                kind.
            stream: The caller reads the body as it comes.
            timeout: Seconds, a `(connect, read)` tuple, `Timeout`, urllib3's `Timeout`, or `None`
                for no limit.
            verify: Whether to verify TLS, a path to CA certificates, or an `ssl.SSLContext`.
            cert: Path to a client certificate, or a `(cert, key)` or `(cert, key, password)` tuple.
            proxies: Proxy URLs by scheme, or by scheme and host.

        Raises:
            RequestException: Everything that may go wrong on the way; see
                `message.error_translation`.
            OSError: A bundle or certificate that is named does not exist, or a method that a
                subclass overrides raised it. It is not translated, as nothing was sent.
        """
        translation = translation_for(request)
        started = monotonic()
        conn = target = None
        is_prepared = False
        try:
            conn = self._connection_for(request, verify, proxies, cert)
            if is_urllib3_patched() and isinstance(conn, OriginPool):
                conn = urllib3_pool(conn)
            target = self.request_url(request, proxies)
            self.add_headers(
                request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies
            )
            is_prepared = True
            if isinstance(conn, OriginPool):
                raw = self._send_over_pool(conn, request, target, stream, timeout)
            else:
                raw = self._send_over_urllib3(conn, request, target, timeout)
        except (HTTPError, OSError) as error:
            if not (is_prepared or isinstance(error, (HTTPError, RequestException))):
                raise  # not of the network: a missing file, or a method that a subclass overrides
            if isinstance(error, MaxRetryError) and isinstance(error.reason, NewConnectionError):
                # The message says which addresses refused. The frames of dialling would make the
                # traceback longer than that of requests, and say nothing to its reader.
                remove_tracebacks(error.reason)
            translated = translation.translate(error, request)
            name = type(translated).__name__
            self._report(conn, request.method, target, monotonic() - started, error=name)
            try:
                if translated is error:
                    raise
                raise translated from error
            finally:
                del translated  # it will refer to this frame, which must not refer to it
        try:
            response = self.build_response(request, raw)
        except BaseException:
            if isinstance(raw, RawResponse):
                raw.close()
            raise
        if isinstance(raw, RawResponse):
            seconds = raw.arrived_at - started
            response.elapsed = timedelta(seconds=seconds)
            self._report(conn, request.method, target, seconds, status=raw.status)
        return response

    def _report(
        self,
        conn: Any,
        method: str,
        target: str | None,
        seconds: float,
        *,
        status: int | None = None,
        error: str | None = None,
    ) -> None:
        """Tell those who listen to the pool that a request over it is done."""
        if not isinstance(conn, OriginPool) or target is None:
            return  # sent through a pool that a subclass brought, or never on its way
        listeners = self._hub.manager.listeners
        if listeners:
            origin = conn.origin_of(target)
            listeners.emit(RequestFinished(origin, method, status, seconds, error))

    def route_for(
        self,
        request: PreparedRequest,
        verify: VerifyInput | None,
        proxies: ProxiesInput,
        cert: CertInput,
    ) -> Route:
        """Return the key under which connections for such a request are kept."""
        conn: OriginPool = self._connection_for(request, verify, proxies, cert)
        return conn.route(is_forwarded=not self.request_url(request, proxies).startswith("/"))

    def _connection_for(
        self, request: Any, verify: Any, proxies: Mapping[str, str] | None, cert: Any
    ) -> Any:
        """The pool for a request; remembered as long as nobody has bent the way to it."""
        if not self._is_as_made():
            conn = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            self.cert_verify(conn, request.url, verify, cert)
            return conn
        url = request.url
        proxy = select_proxy(url, proxies) if proxies else None
        cert = tuple(cert) if isinstance(cert, list) else cert
        end = url.find("/", url.find("//") + 2)  # a URL set by hand may have no path
        key = (url if end < 0 else url[:end], verify, cert, proxy)
        files = _file_states(verify, cert)
        conn, files_then = self._conns.get(key, (None, None))
        if conn is not None and files != files_then and conn.scheme == "https":
            # What was verified by the old files proves nothing about the new ones.
            self._hub.manager.evict_routes(conn.known_routes)
        if conn is None or files != files_then or None in files:
            conn = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            self.cert_verify(conn, url, verify, cert)
            if isinstance(conn, OriginPool) and "@" not in key[0]:
                if len(self._conns) >= _MOST_REMEMBERED:
                    self._conns.clear()
                self._conns[key] = (conn, files)
        return conn

    def _is_as_made(self) -> bool:
        """Whether connections are found as this file defines it, with last time's settings."""
        cls = type(self)
        manager = self.poolmanager
        settings = getattr(manager, "connection_pool_kw", None)
        if manager is not self._conns_made_by or settings != self._conns_made_with:
            self._conns.clear()
            self._conns_made_by = manager
            self._conns_made_with = dict(settings or {})
        return (
            cls.get_connection_with_tls_context is _UNBENT[0]
            and cls.build_connection_pool_key_attributes is _UNBENT[1]
            and cls.cert_verify is _UNBENT[2]
            and cls.proxy_manager_for is _UNBENT[3]
            and cls.proxy_headers is _UNBENT[4]
            and self.__dict__.keys().isdisjoint(_JOINTS)
        )

    def _send_over_pool(
        self, conn: OriginPool, request: Any, target: str, stream: bool, timeout: Any
    ) -> Any:
        manager = self._hub.manager
        if self._era is not manager.era:
            self._era = manager.enter(self)
            self._was_used = True
        if conn.cert_reqs == "CERT_NONE" and conn.scheme == "https":
            warnings.warn(
                f"Unverified HTTPS request to {conn.host!r}: anybody may have answered. Pass a path"
                " to the certificates to trust as verify=.",
                InsecureRequestWarning,
                stacklevel=3,
            )
        plan = plan_timeout(timeout, manager.runtime.now)
        headers = request.headers
        if conn.proxy is not None:
            headers = CaseInsensitiveDict(headers)
            if conn.is_forwarded(target):
                headers.update(conn.proxy.headers)
            else:
                # The proxy passes bytes on and would not see it: it would reach the origin.
                headers.pop("Proxy-Authorization", None)
        body = request.body
        return conn.send(
            request.method,
            target,
            body,
            headers,
            self.max_retries,
            plan,
            chunked=body is not None and "Content-Length" not in headers,
            is_streamed=stream,
        )

    def _send_over_urllib3(self, conn: Any, request: Any, target: str, timeout: Any) -> Any:
        """Send through a pool that a subclass brought."""
        return conn.urlopen(
            method=request.method,
            url=target,
            body=request.body,
            headers=request.headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            retries=self.max_retries,
            timeout=urllib3_timeout(timeout),
            chunked=not (request.body is None or "Content-Length" in request.headers),
        )

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Make a response out of a urllib3-like one.

        Args:
            req: The prepared request.
            resp: urllib3's response, ours, or anything with some of its attributes.
        """
        response: Response = response_class_for(req)()
        response.status_code = getattr(resp, "status", None)  # type: ignore[assignment]
        response.headers = CaseInsensitiveDict(getattr(resp, "headers", {}))
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = resp
        response.reason = getattr(resp, "reason", None)  # type: ignore[assignment]
        url: str | bytes = req.url  # bytes only where a request was not prepared by this package
        response.url = url.decode("utf-8") if isinstance(url, bytes) else url
        extract_cookies_to_jar(response.cookies, req, resp)
        response.request = req
        response.connection = self
        return response


def _file_states(verify: Any, cert: Any) -> tuple[object, ...]:
    """What tells whether the files that are named have changed; None for one that is not there.

    Looked at for every request, so that the answer does not depend on whether there happens to be
    a connection left to go by.
    """
    if cert is None and (verify is True or verify is False or verify is None):
        return ()
    named = [verify, *(cert[:2] if isinstance(cert, tuple) else (cert,))]
    return tuple(file_state(one) for one in named if isinstance(one, (str, bytes, os.PathLike)))


#: Origins and settings an adapter remembers the way to.
_MOST_REMEMBERED = 10_000

#: The methods that decide over a connection, to see whether a subclass, a patch or an instance has
#: others.
_JOINTS = (
    "get_connection_with_tls_context",
    "build_connection_pool_key_attributes",
    "cert_verify",
    "proxy_manager_for",
    "proxy_headers",
)
_UNBENT = tuple(getattr(HTTPAdapter, name) for name in _JOINTS)


def make_manager(
    pool: PoolConfig | TransportManager | None,
    *,
    runtime: Runtime | None = None,
    listeners: Iterable[Listener] = (),
) -> TransportManager:
    """Make a manager with these settings, or take the one that is to be shared."""
    if isinstance(pool, TransportManager):
        return pool
    return TransportManager(pool, runtime=runtime, listeners=listeners)


def session_pool(session: object) -> TransportManager:
    """What `session.pool` is: the manager that the adapters without a pool of their own share."""
    return _holder_of(session).manager


def _holder_of(session: Any) -> Holder:
    holder: Holder | None = session.__dict__.get("_pool_holder")
    if holder is None:
        extras = session._extras
        make = partial(
            make_manager, extras.pool, runtime=extras.runtime, listeners=extras.listeners
        )
        new = Holder(make, session, _route_of_session)
        holder = session.__dict__.setdefault("_pool_holder", new)
    return holder


def _route_of_session(session: Any, url: str) -> Route:
    """The route a session's request to `url` would take, for connections opened ahead of it.

    Raises:
        InvalidSchema: The URL's adapter is none of ours.
    """
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter):
        raise InvalidSchema(
            f"Connections to {url!r} go through {adapter!r}, which has no pool of ours."
        )
    return _route_through(adapter, session, url)


def _route_of_adapter(adapter: HTTPAdapter, url: str) -> Route:
    """The same for an adapter with a pool of its own, mounted on a session or not."""
    session = None if adapter._session is None else adapter._session()
    return _route_through(adapter, session, url)


def _route_through(adapter: HTTPAdapter, session: Any, url: str) -> Route:
    request = PreparedRequest()
    request.prepare_method("GET")
    request.prepare_url(url, None)
    if session is None:
        return adapter.route_for(request, True, None, None)
    settings = session.merge_environment_settings(request.url, {}, None, None, None)
    return adapter.route_for(request, settings["verify"], settings["proxies"], settings["cert"])
