"""Adapters: how a prepared request becomes a response.

The only module that knows requests *and* the wire.

`HTTPAdapter` has the extension points of requests' adapter. Its managers are urllib3's own, so
every setting, subclass or patch of them has its usual effect. Only the pools that they hand out are
ours::

    send -> get_connection_with_tls_context -> manager.connection_from_host -> PoolFacade
                                               a subclass's own manager     -> urllib3's pool

The pool that was found decides: a `PoolFacade` sends over the shared pool of connections, anything
else with a `urlopen` is sent through that, as requests would.

`session_pool` is the other way in: it makes the view that is `session.pool`.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from ssl import SSLContext as _SSLContext
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

from pooledhttp import transport
from pooledhttp.auth import _basic_auth_str
from pooledhttp.certs import CertInput, VerifyInput, extract_zipped_paths, where
from pooledhttp.cookies import extract_cookies_to_jar
from pooledhttp.events import RequestFinished, check_listeners, check_request_hooks
from pooledhttp.exceptions import (
    ConnectionError,
    InvalidProxyURL,
    InvalidSchema,
    InvalidURL,
    RequestException,
)
from pooledhttp.loading import find_imported as _find_imported
from pooledhttp.message import (
    OURS,
    Arrival,
    ErrorTranslation,
    PreparedRequest,
    ProxiesInput,
    Response,
    TimeoutInput,
    check_prepared,
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
    Route,
    SocketOptions,
    check_resolver,
    check_socket_options,
    select_proxy,
    socket_path,
)
from pooledhttp.originals import Originals, settle_attributes
from pooledhttp.pool import PoolConfig, pool_advice
from pooledhttp.records import explain_misspelt
from pooledhttp.runtime import (
    check_runtime,
    current_runtime,
    default_runtime,
    remove_tracebacks,
    warn_caller,
)
from pooledhttp.structures import CaseInsensitiveDict
from pooledhttp.timing import Deadline, Timeout, monotonic

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool

    from pooledhttp.events import Listener, RequestHook
    from pooledhttp.network import Resolver
    from pooledhttp.runtime import Runtime
    from pooledhttp.transport import Call as _Call
    from pooledhttp.transport import PoolFacade as _PoolFacade
    from pooledhttp.transport import hooks_in_force as _hooks_in_force
    from pooledhttp.transport import is_urllib3_patched as _is_urllib3_patched

    _init_call = _Call.__init__

__all__ = ["BaseAdapter", "HTTPAdapter"]

DEFAULT_CA_BUNDLE_PATH = where()

_new = object.__new__


class _Unsaid(int):
    """A default number. Its class tells it from the same number given by a caller."""


DEFAULT_POOLBLOCK = False
DEFAULT_POOLSIZE: int = _Unsaid(10)
DEFAULT_RETRIES = 0
DEFAULT_POOL_TIMEOUT = None


class BaseAdapter:
    """The interface of an adapter: what a session calls."""

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
        """Send a prepared request and return its response.

        Args:
            request: A `PreparedRequest`.
            stream: Whether the caller reads the body as it comes.
            timeout: Seconds, a `(connect, read)` tuple, or `None` for no limit.
            verify: Whether to verify TLS, or a path to CA certificates.
            cert: Path to a client certificate, or a `(cert, key)` tuple.
            proxies: Proxy URLs by scheme, or by scheme and host.

        Raises:
            NotImplementedError: The subclass does not define it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close what the adapter holds.

        Raises:
            NotImplementedError: The subclass does not define it.
        """
        raise NotImplementedError


class HTTPAdapter(BaseAdapter):
    """Sends over a pool of persistent connections.

    Built without pool settings, it joins the pool of the session it is mounted on.

    Args:
        pool_connections: Accepted because requests has it; limits nothing.
        pool_maxsize: Idle connections kept per host.
        max_retries: A number of retries for failed connections, or a `Retry`.
        pool_block: Whether `pool_maxsize` is also the most connections per host, and requests wait
            for one.
        pool: A `PoolConfig` for a pool of its own, or a pool to share (`session.pool`, or a
            `TransportManager`). `None` joins the pool of the session.
        replay: What is sent again, once, when a reused connection turns out to be dead: `"safe"`
            (idempotent, or never written), `"always"` or `"off"`. `None` takes the session's.
        runtime: How to wait; threads when `None`.
        listeners: Called with the events of a pool of its own.
        resolver: Looks names up for this adapter's connections, which are shared with no adapter
            that has another one. `None` takes the pool's.
        socket_options: `network.SocketOptions` for this adapter's connections: options of the
            socket, TCP keep-alive, the source address. `None` takes the pool's.
        strict: As a session takes it; `None` takes the session's.
        tls_truncation: As a session takes it; `None` takes the session's.
        max_response_fields: As a session takes it; `None` takes the session's.
        request_hooks: As a session takes them; called besides those of the session.
        proxy_verify: How the certificate of an https proxy is checked: a bool, a path or an
            `ssl.SSLContext`. `None` checks it as the origin's, but always where the proxy is given
            credentials.
        parser: As a session takes it; `None` takes the session's.

    Raises:
        TypeError: An argument is of a type that it does not take.
        ValueError: `replay` is not one of its words.
    """

    #: Hooks cannot be pickled.
    _own_hooks: tuple[RequestHook, ...] = ()

    #: Of an adapter pickled before there were such settings.
    _own_limits: tuple[
        bool | None, transport.TlsTruncation | None, int | None, transport.ParserChoice | None
    ] = (None, None, None, None)

    __attrs__ = ["max_retries", "config", "_pool_connections", "_pool_maxsize", "_pool_block"]

    max_retries: Retry
    poolmanager: PoolManager
    proxy_manager: dict[str, PoolManager]

    @explain_misspelt(
        advice={
            **pool_advice("HTTPAdapter(pool={})"),
            "timeout": "Pass it to Session(...) instead.",
        }
    )
    def __init__(
        self,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        max_retries: Retry | int | None = DEFAULT_RETRIES,
        pool_block: bool = DEFAULT_POOLBLOCK,
        *,
        pool: PoolConfig | transport.PoolView | transport.TransportManager | None = None,
        replay: transport.Replay | None = None,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
        resolver: Resolver | None = None,
        socket_options: SocketOptions | None = None,
        strict: bool | None = None,
        tls_truncation: transport.TlsTruncation | None = None,
        max_response_fields: int | None = None,
        proxy_verify: VerifyInput | None = None,
        request_hooks: Iterable[RequestHook] = (),
        parser: transport.ParserChoice | None = None,
    ) -> None:
        transport.check_pool(pool)
        if replay is not None:
            transport.check_replay(replay)
        check_resolver(resolver)
        check_socket_options(socket_options)
        _check_proxy_verify(proxy_verify)
        own_listeners = check_listeners(listeners) if listeners else ()
        if runtime is not None:
            check_runtime(runtime)
        _check_counts(max_retries, pool_connections, pool_maxsize)
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
        self._begin(pool, replay, runtime, own_listeners)
        self._settings.resolver, self._settings.socket_options = resolver, socket_options
        self._own_limits = (strict, tls_truncation, max_response_fields, parser)
        self._settings.response_limits = transport.ResponseLimits.chosen(*self._own_limits)
        self._settings.proxy_verify = proxy_verify
        self._own_hooks = check_request_hooks(request_hooks)
        self._settings.request_hooks = self._own_hooks
        self.init_poolmanager(pool_connections, pool_maxsize, block=pool_block)
        settle_attributes(self)

    def _begin(
        self,
        pool: PoolConfig | transport.PoolView | transport.TransportManager | None,
        replay: transport.Replay | None,
        runtime: Runtime | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        """Decide where the connections of this adapter are kept."""
        is_default = isinstance(self._pool_maxsize, _Unsaid) and isinstance(
            self._pool_connections, _Unsaid
        )
        if pool is None and not (is_default and self._pool_block is DEFAULT_POOLBLOCK):
            sizes = (self._pool_connections, self._pool_maxsize)
            # As in urllib3, a negative number is no limit, as 0 is.
            connections, maxsize = [0 if isinstance(n, int) and n < 0 else n for n in sizes]
            pool = PoolConfig.from_adapter(connections, maxsize, self._pool_block)
        self._own_pool = pool
        self._own_replay = replay
        self._own_listeners = listeners
        self._own_runtime = runtime or current_runtime()
        #: The generation of the manager in which this adapter entered; None while it is not in use.
        self._generation: object | None = None
        self._was_used = False
        self._session: weakref.ref[Any] | None = None
        self._facades = transport.FacadeCache()
        self._settings = transport.AdapterSettings(self._own_view(), replay or "safe")

    def _own_view(self) -> transport.PoolView:
        runtime, listeners = self._own_runtime, self._own_listeners
        make = partial(transport.manager_for, self._own_pool, runtime=runtime, listeners=listeners)
        return transport.PoolView(make, self, _route_of_adapter)

    def settings_for_twin(
        self, shared: PoolConfig | transport.PoolView | transport.TransportManager | None
    ) -> dict[str, Any]:
        """Return the arguments of an adapter that has another pool, and sends as this one does.

        Args:
            shared: What the session of this adapter was given as `pool`.

        Returns:
            Arguments of `HTTPAdapter`, and as `pool_keywords` those of `init_poolmanager`.
        """
        resolver, options = self._settings.resolver, self._settings.socket_options
        pool = shared if self._own_pool is None else self._own_pool
        manager = pool.manager if isinstance(pool, transport.PoolView) else pool
        if isinstance(manager, transport.TransportManager):
            from pooledhttp.network import default_resolver

            if resolver is None and manager.connector.resolver is not default_resolver():
                resolver = manager.connector.resolver
            if options is None and manager.socket_options != SocketOptions():
                options = manager.socket_options
        strict, tls_truncation, max_response_fields, parser = self._own_limits
        keywords = self.poolmanager.connection_pool_kw
        return {
            "replay": self._own_replay,
            "resolver": resolver,
            "socket_options": options,
            "strict": strict,
            "tls_truncation": tls_truncation,
            "max_response_fields": max_response_fields,
            "proxy_verify": self._settings.proxy_verify,
            "request_hooks": self._own_hooks,
            "parser": parser,
            "pool_keywords": {
                name: value for name, value in keywords.items() if name not in ("maxsize", "block")
            },
        }

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name, None) for name in self.__attrs__}
        is_config = isinstance(self._own_pool, PoolConfig)
        state["_own_settings"] = (self._own_pool if is_config else None, self._own_replay)
        state["_own_network"] = (self._settings.resolver, self._settings.socket_options)
        state["_own_limits"] = self._own_limits
        state["_own_proxy_verify"] = self._settings.proxy_verify
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.proxy_manager = {}
        self.config = {}
        pool, replay = state.pop("_own_settings", (None, None))
        resolver, options = state.pop("_own_network", (None, None))
        proxy_verify = state.pop("_own_proxy_verify", None)
        self.__dict__.update(state)
        self._begin(pool, replay)
        self._settings.resolver, self._settings.socket_options = resolver, options
        self._settings.response_limits = transport.ResponseLimits.chosen(*self._own_limits)
        self._settings.proxy_verify = proxy_verify
        self.init_poolmanager(self._pool_connections, self._pool_maxsize, block=self._pool_block)
        settle_attributes(self)

    # ---- the pool

    def attach(self, session: object) -> None:
        """Join the pool of a session, unless this adapter has a pool or is in use already.

        Raises:
            ValueError: Its pool is used in another way: by threads, or on another event loop.
        """
        self._session = weakref.ref(session)
        if self._own_pool is None and self._generation is None:
            self._settings.view = session_pool(session)
            if self._own_replay is None:
                self._settings.replay = session._extras.replay  # type: ignore[attr-defined]
        extras: Any = session._extras  # type: ignore[attr-defined]
        if self._own_pool is not None or self._generation is not None:
            self._wait_as(extras.runtime)
        self._settings.request_hooks = extras.request_hooks + self._own_hooks
        self._read_responses_as(extras)

    def _wait_as(self, runtime: Runtime | None) -> None:
        """Have a pool of this adapter's own wait as its session does."""
        if self._own_runtime is None and not self._settings.view.is_made:
            self._own_runtime = runtime
            self._settings.view = self._own_view()
        used, wanted = self._settings.view.manager.runtime, runtime or default_runtime()
        if used is not wanted and "evented" in (used.name, wanted.name):
            raise ValueError(
                f"The pool of {self!r} is used by threads or on another event loop. Mount an"
                " adapter that was not used before, with a PoolConfig or no pool."
            )

    def _read_responses_as(self, extras: Any) -> None:
        """Follow a session in how responses are read, where this adapter has no settings for it."""
        strict, tls_truncation, most, parser = self._own_limits
        limits = transport.ResponseLimits.chosen(
            extras.strict if strict is None else strict,
            extras.tls_truncation if tls_truncation is None else tls_truncation,
            extras.max_response_fields if most is None else most,
            extras.parser if parser is None else parser,
        )
        transport.load_parser(extras.parser if parser is None else parser)
        if limits != self._settings.response_limits:
            self._settings.response_limits = limits
            # Pools that were handed out have routes by the old limits.
            self._facades.clear()
            self.poolmanager.clear()
            for manager in self.proxy_manager.values():
                manager.clear()

    @property
    def pool(self) -> transport.PoolView:
        """The pool that this adapter's connections are kept in."""
        return self._settings.view

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
        transport.install_facades(self.poolmanager, self._settings, lambda: None)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> PoolManager:
        """Return the manager for the URL of a proxy, made on first use.

        Args:
            proxy: `http`, `https` or SOCKS URL, with credentials or without.
            **proxy_kwargs: As `init_poolmanager` takes them.

        Raises:
            InvalidProxyURL: The SOCKS scheme is not supported.
            InvalidSchema: A SOCKS proxy, and socksio is not installed.
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
                    f"Unsupported SOCKS scheme {scheme!r}; use "
                    f"{', '.join(sorted(SOCKS_SCHEMES - {'socks4'}, reverse=True))} or socks4."
                )
            username, password = get_auth_from_url(proxy)
            transport.require_socks()
            manager = transport.SOCKSProxyManager(
                proxy, username=username, password=password, **sizes, **proxy_kwargs
            )
        else:
            headers = self.proxy_headers(proxy)
            manager = proxy_from_url(proxy, proxy_headers=headers, **sizes, **proxy_kwargs)
        transport.install_facades(
            manager, self._settings, partial(transport.proxy_of, proxy, manager)
        )
        self.proxy_manager[proxy] = manager
        return manager

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: VerifyInput | None, cert: CertInput = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what has to be equal before requests share connections.

        Args:
            request: The prepared request.
            verify: As `send` takes it.
            cert: As `send` takes it.

        Returns:
            `{"scheme", "host", "port"}`, and TLS settings under urllib3's names. A subclass may
            change both.

        Raises:
            ValueError: The URL's port is out of range.
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
        return place, transport.tls_keywords(verify, cert)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: VerifyInput | None,
        proxies: ProxiesInput = None,
        cert: CertInput = None,
    ) -> HTTPConnectionPool:
        """Return the pool, ours or urllib3's, that a request is sent through.

        Args:
            request: The prepared request.
            verify: As `send` takes it.
            proxies: As `send` takes it.
            cert: As `send` takes it.

        Raises:
            InvalidProxyURL: The URL of the proxy has no host.
            InvalidURL: The URL has no usable host or port.
        """
        try:
            place, settings = self.build_connection_pool_key_attributes(request, verify, cert)
        except ValueError as error:
            raise InvalidURL(error, request=request) from error
        proxy = select_proxy(request.url, proxies)
        manager = (
            self.poolmanager if not proxy else self.proxy_manager_for(transport.proxy_url(proxy))
        )
        return manager.connection_from_host(**place, pool_kwargs=settings)

    def get_connection(self, url: str, proxies: ProxiesInput = None) -> HTTPConnectionPool:
        """Do what `get_connection_with_tls_context` does, without TLS settings. Deprecated."""
        warnings.warn(
            "`get_connection` is deprecated: it does not know the TLS settings of a request. Use "
            "`get_connection_with_tls_context`.",
            DeprecationWarning,
            stacklevel=2,
        )
        proxy = select_proxy(url, proxies)
        manager = (
            self.poolmanager if not proxy else self.proxy_manager_for(transport.proxy_url(proxy))
        )
        return manager.connection_from_url(url if proxy else urlparse(url).geturl())

    def cert_verify(self, conn: Any, url: str, verify: VerifyInput | None, cert: CertInput) -> None:
        """Set `verify` and `cert` on a pool, ours or urllib3's.

        Args:
            conn: The pool.
            url: The URL of the request.
            verify: As `send` takes it.
            cert: As `send` takes it.

        Raises:
            OSError: A file that is named there does not exist.
        """
        # Plain http over a proxy that speaks TLS: the proxy has to be verified.
        is_secure = url.lower().startswith("https") or (
            isinstance(conn, transport.PoolFacade) and conn.scheme == "https"
        )
        attributes = transport.verify_attributes(is_secure, verify, cert, DEFAULT_CA_BUNDLE_PATH)
        for name, value in attributes.items():
            setattr(conn, name, value)

    def request_url(self, request: PreparedRequest, proxies: ProxiesInput) -> str:
        """Return the request target: the path, or the whole URL for plain http over a proxy."""
        proxy = select_proxy(request.url, proxies) if proxies else None
        if proxy and urlsplit(request.url).scheme != "https":
            if urlsplit(proxy).scheme.lower() not in SOCKS_SCHEMES:
                return urldefragauth(request.url)
        target: str = request.path_url
        return target

    def add_headers(self, request: PreparedRequest, **kwargs: Any) -> None:
        """Do nothing; a subclass may add header fields here. Called before each send.

        Args:
            request: The prepared request.
            **kwargs: The other arguments of `send`.
        """

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the fields that only the proxy gets: the credentials from its URL.

        Args:
            proxy: The URL of the proxy.
        """
        username, password = get_auth_from_url(proxy)
        return {"Proxy-Authorization": _basic_auth_str(username, password)} if username else {}

    def close(self) -> None:
        """Forget pools and proxies, and leave the shared pool of connections.

        The last adapter that leaves closes its idle connections. The adapter can be used again.
        """
        self._facades.clear()
        self.poolmanager.clear()
        for manager in self.proxy_manager.values():
            manager.clear()
        # Also when closed before: a request that was in progress then may have ended since.
        if self._was_used:
            self._generation = None
            self._settings.view.manager.unregister_user(self)

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
            request: A `PreparedRequest`, ours or the real requests'; the response is of the same
                package.
            stream: The caller reads the body as it comes.
            timeout: Seconds, a `(connect, read)` tuple, `Timeout`, urllib3's `Timeout`, or `None`
                for no limit.
            verify: Whether to verify TLS, a path to CA certificates, or an `ssl.SSLContext`.
            cert: Path to a client certificate, or a `(cert, key)` or `(cert, key, password)` tuple.
            proxies: Proxy URLs by scheme, or by scheme and host.

        Raises:
            RequestException: The request failed; see `message.error_translation`.
            OSError: A bundle or certificate that is named does not exist, or a method that a
                subclass overrides raised it. It is not translated, as nothing was sent.
            AttributeError: `request` is not a prepared request.
        """
        translation = translation_for(request)
        started = monotonic()
        conn = target = None
        is_prepared = False
        is_ours = _DEFINED.are_used_by(self)
        try:
            conn = self._connection_for(request, verify, proxies, cert, is_ours)
            is_pool = isinstance(conn, _PoolFacade)
            if is_pool and (conn.counterpart is not None or _is_urllib3_patched()):
                conn = transport.urllib3_pool(conn)
                is_pool = isinstance(conn, _PoolFacade)
            is_direct = is_ours and not proxies
            target = request.path_url if is_direct else self.request_url(request, proxies)
            if not is_ours:
                self.add_headers(
                    request,
                    stream=stream,
                    timeout=timeout,
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
            is_prepared = True
            if is_pool:
                raw = self._send_over_pool(conn, request, target, stream, timeout)
            else:
                raw = self._send_over_urllib3(conn, request, target, timeout)
        except (HTTPError, OSError) as error:
            if not (is_prepared or isinstance(error, (HTTPError, RequestException))):
                raise  # not of the network: a missing file, or a method that a subclass overrides
            translated = self._failed(error, translation, request, conn, target, started)
            try:
                if translated is error:
                    raise
                raise translated from error
            finally:
                del translated  # it refers to this frame, which must not refer to it
        except (AttributeError, TypeError):
            _check_request(request)
            raise
        if not isinstance(raw, Arrival):
            return self.build_response(request, raw)
        seconds = raw.arrived_at - started
        try:
            if translation is OURS and _builds_as_defined(self, is_ours):
                response = Response.arrived(raw, request, self, started)
            else:
                response = self.build_response(request, raw.raw())
                response.elapsed = timedelta(seconds=seconds)
        except BaseException:
            raw.reader.close()
            raise
        view = self._settings.view
        if (view.made or view.manager).listeners:
            self._report(conn, request.method, target, seconds, status=raw.status)
        return response

    def _send_over_urllib3(self, conn: Any, request: Any, target: str, timeout: Any) -> Any:
        """Send through a pool of urllib3, which blocks its thread."""
        send = partial(
            transport.send_over_urllib3, conn, request, target, self.max_retries, timeout
        )
        runtime = current_runtime() or default_runtime()
        return runtime.call_blocking(send, Deadline.never(runtime.now))

    def _failed(
        self,
        error: HTTPError | OSError,
        translation: ErrorTranslation,
        request: PreparedRequest,
        conn: Any,
        target: str | None,
        started: float,
    ) -> Exception:
        """Tell the listeners that a request has failed, and return the error for the caller."""
        if isinstance(error, MaxRetryError) and isinstance(error.reason, NewConnectionError):
            # The message says which addresses refused. The frames of dialling would make the
            # traceback longer than that of requests, and say nothing to its reader.
            remove_tracebacks(error.reason)
        proxy = conn.proxy if isinstance(conn, transport.PoolFacade) else None
        is_proxied = proxy is not None and not proxy.is_socks
        translated = translation.translate(error, request, is_proxied=is_proxied)
        name = type(translated).__name__
        self._report(conn, request.method, target, monotonic() - started, error=name)
        return translated

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
        """Tell the listeners of the pool that a request over it has finished."""
        if not isinstance(conn, transport.PoolFacade) or target is None:
            return  # sent through a pool that a subclass brought, or never sent
        listeners = self._settings.view.manager.listeners
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
        conn: transport.PoolFacade = self._connection_for(request, verify, proxies, cert)
        return conn.route(is_forwarded=not self.request_url(request, proxies).startswith("/"))

    def _connection_for(
        self,
        request: Any,
        verify: Any,
        proxies: Mapping[str, str] | None,
        cert: Any,
        is_ours: bool = False,
    ) -> Any:
        """Return the pool for a request, remembered as long as no extension point is overridden."""
        if not (is_ours or _CONNECTING.are_used_by(self)):
            # A subclass, a patch or this instance has its own way.
            return self._find_connection(request, verify, proxies, cert)
        facades = self._facades
        url = request.url
        proxy = select_proxy(url, proxies) if proxies else None
        if cert is not None and type(cert) is list:
            cert = tuple(cert)
        is_plain = url[:5] == "http:"
        # The path, if there is one, begins at the first slash behind the host.
        end = url.find("/", 8 if is_plain or url[:6] == "https:" else url.find("//") + 2)
        key = (url if end < 0 else url[:end], verify, cert, proxy)
        if cert is None and (
            (is_plain and proxy is None)  # without TLS no file matters
            or (verify is True or verify is None or type(verify) is _SSLContext)
        ):
            files: tuple[object, ...] = ()
        else:
            files = transport.file_states(verify, cert)
        try:
            known, files_then = facades.find(self.poolmanager, key)
        except TypeError:  # a setting that has no hash; most are of a wrong type
            return self._find_connection(request, verify, proxies, cert)
        if known is not None:
            if files == files_then:
                if None not in files:
                    return known
            elif known.scheme == "https":
                # What was verified by the old files proves nothing about the new ones.
                self._settings.view.manager.evict_routes(known.known_routes)
        conn = self._find_connection(request, verify, proxies, cert)
        if isinstance(conn, transport.PoolFacade) and "@" not in key[0]:
            facades.keep(key, conn, files)
        return conn

    def _find_connection(
        self, request: Any, verify: Any, proxies: Mapping[str, str] | None, cert: Any
    ) -> Any:
        """Find the pool for a request by way of the extension points."""
        conn = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        _bind_transport()
        self.cert_verify(conn, request.url, verify, cert)
        return conn

    def _send_over_pool(
        self,
        conn: transport.PoolFacade,
        request: Any,
        target: str,
        stream: bool,
        timeout: Any,
        begun: transport.BegunExchange | None = None,
    ) -> Any:
        view = self._settings.view
        manager = view.made or view.manager
        if self._generation is not manager.generation:
            self._generation = manager.register_user(self)
            self._was_used = True
        if conn.cert_reqs == "CERT_NONE" and conn.scheme == "https":
            warn_caller(
                f"Unverified HTTPS request to {conn.host!r}: the response may come from any server."
                " Pass a path to the certificates to trust as verify=.",
                InsecureRequestWarning,
            )
        plan = manager.plan(timeout)
        headers = request.headers
        if conn.proxy is not None:
            headers = CaseInsensitiveDict(headers)
            if conn.is_forwarded(target):
                headers.update(conn.proxy.headers)
            else:
                # Inside a tunnel the proxy does not see this field: the origin would get it.
                headers.pop("Proxy-Authorization", None)
        body = request.body
        hooks = _hooks_in_force(self._settings.request_hooks)
        hooked: Any = begun
        if hooks:
            hooked = transport.HookedCall(hooks, request.__dict__.get("_sends_before", 0))
        call = _new(_Call)  # Python calls a class in a slower way than a function
        _init_call(
            call,
            request.method,
            target,
            headers,
            body,
            self.max_retries,
            plan,
            body is not None and "Content-Length" not in headers,  # in chunks
            stream,
            hooked,
        )
        if hooked is None:
            return conn.send(call)
        try:
            return conn.send(call)
        finally:
            request.__dict__["_sends"] = hooked.sends  # for a copy: a redirect, or an auth handler

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Make a response from a urllib3-like one.

        Args:
            req: The prepared request.
            resp: urllib3's response, ours, or an object with some of its attributes.
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


def _check_request(request: Any) -> None:
    """Check what could not be sent, to say why if the reason is the request.

    Raises:
        AttributeError: It is not prepared.
        InvalidURL: It has no URL.
    """
    check_prepared(request, ("method", "url", "headers", "body", "path_url"))
    if request.url is None:
        invalid = translation_for(request).errors.InvalidURL
        raise invalid("No host specified: the request has no URL", request=request) from None


def check_mount(prefix: object, adapter: object) -> None:
    """Check the arguments of `mount`.

    Raises:
        TypeError: `prefix` is no text, or `adapter` has neither `send` nor `close`, or is a class.
    """
    is_adapter = hasattr(adapter, "send") or hasattr(adapter, "close")
    if not is_adapter or isinstance(adapter, type) or not hasattr(prefix, "lower"):
        raise TypeError(
            "mount takes the beginning of URLs and an adapter, such as "
            f"mount('https://', HTTPAdapter()), not {prefix!r} and {adapter!r}"
        )


def _check_counts(max_retries: object, pool_connections: object, pool_maxsize: object) -> None:
    if isinstance(max_retries, (str, bytes, float)):
        raise TypeError(f"max_retries must be a whole number or a Retry, not {max_retries!r}")
    for name, size in (("pool_connections", pool_connections), ("pool_maxsize", pool_maxsize)):
        if isinstance(size, (str, bytes, float)):
            raise TypeError(f"{name} must be a whole number of connections, not {size!r}")


def _bind_transport() -> None:
    """Bind what each send needs of `transport`.

    It loads its modules when they are first used, so looking up its attributes is slow.
    """
    globals().update(
        _Call=transport.Call,
        _init_call=transport.Call.__init__,
        _PoolFacade=transport.PoolFacade,
        _hooks_in_force=transport.hooks_in_force,
        _is_urllib3_patched=transport.is_urllib3_patched,
    )


def _check_proxy_verify(proxy_verify: object) -> None:
    """Check this argument of an adapter.

    Raises:
        TypeError: It is nothing that certificates can be verified by.
    """
    is_path = isinstance(proxy_verify, (str, bytes, os.PathLike))
    if not (
        proxy_verify is None
        or isinstance(proxy_verify, bool)
        or is_path
        or hasattr(proxy_verify, "wrap_socket")
    ):
        raise TypeError(
            "proxy_verify must be True, False, the path of a CA bundle or an ssl.SSLContext, not "
            f"{proxy_verify!r}"
        )


#: The methods that decide which connection a request gets.
_CONNECTING_NAMES = (
    "get_connection_with_tls_context",
    "build_connection_pool_key_attributes",
    "cert_verify",
    "proxy_manager_for",
    "proxy_headers",
)
_CONNECTING = Originals(HTTPAdapter, *_CONNECTING_NAMES)
_BUILDING = Originals(HTTPAdapter, "build_response")
#: All methods that are not called where it is known what they would do: most adapters have them as
#: they are here, and one look tells that.
_DEFINED = Originals(
    HTTPAdapter, "request_url", "add_headers", "build_response", *_CONNECTING_NAMES
)
#: What `build_response` calls by the names in this module, which programs may replace.
_BUILT_WITH = (
    CaseInsensitiveDict,
    extract_cookies_to_jar,
    get_encoding_from_headers,
    response_class_for,
)


def _builds_as_defined(adapter: HTTPAdapter, is_ours: bool) -> bool:
    """Whether what `build_response` does to a response is known, so that it need not be called.

    Args:
        adapter: The adapter.
        is_ours: Whether it is known to have the method that is defined here.
    """
    found = (
        CaseInsensitiveDict,
        extract_cookies_to_jar,
        get_encoding_from_headers,
        response_class_for,
    )
    return found == _BUILT_WITH and (is_ours or _BUILDING.are_used_by(adapter))


def session_pool(session: object) -> transport.PoolView:
    """Return what `session.pool` is: the pool of its adapters that have none of their own."""
    view: transport.PoolView | None = session.__dict__.get("_pool_view")
    if view is None:
        extras = session._extras  # type: ignore[attr-defined]
        make = partial(
            transport.manager_for, extras.pool, runtime=extras.runtime, listeners=extras.listeners
        )
        new = transport.PoolView(make, session, _route_of_session)
        view = session.__dict__.setdefault("_pool_view", new)
    return view


def _route_of_session(session: Any, url: str) -> Route:
    """Return the route of a session's requests to `url`.

    Raises:
        InvalidSchema: The URL's adapter has no pool of this package.
    """
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter):
        raise InvalidSchema(
            f"Connections to {url!r} go through {adapter!r}, which has no pool of this package."
        )
    return _route_through(adapter, session, url)


def _route_of_adapter(adapter: HTTPAdapter, url: str) -> Route:
    """Return the route of an adapter's requests to `url`, mounted on a session or not."""
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


if not TYPE_CHECKING:  # a type checker would take any misspelled name for one that exists
    __getattr__ = _find_imported(__name__)
