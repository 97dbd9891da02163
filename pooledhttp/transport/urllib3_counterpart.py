"""A pool of urllib3 beside a `PoolFacade`, for programs that change how it makes its connections.

A subclass of the adapter or of urllib3's manager takes the pool that it got for one of urllib3's.
It sets another class of connections on it, wraps the method that makes them, or adds a keyword::

    pool.ConnectionCls = PinnedConnection
    pool.conn_kw["server_hostname"] = "api.example.com"

The facade makes a `Counterpart` then, which takes the change. From the first change on, requests go
over the pool of urllib3, as with requests. A facade that is only read stays in use.

A context of another TLS library is such a change as well. It has `wrap_socket`, which urllib3
calls, but not the `wrap_bio` of `ssl.SSLContext` that our transport needs. urllib3's own for
pyOpenSSL is the known one: adapters use it for certificates that are not in files.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import finalize

from urllib3 import ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pooledhttp.network import UNIX_SCHEME
from pooledhttp.runtime import register_fork_reset
from pooledhttp.transport.facade_settings import TLS_SETTINGS

if TYPE_CHECKING:
    from pooledhttp.transport.facade_settings import FacadeSettings

__all__ = [
    "KEPT_SIZE",
    "STEPS",
    "Counterpart",
    "OfCounterpart",
    "given_settings",
    "is_foreign",
    "make_pool",
]

logger = logging.getLogger("pooledhttp.transport")

#: Attributes of urllib3's pools that decide how a request is sent.
STEPS = frozenset(
    {
        "ConnectionCls",
        "ResponseCls",
        "conn_kw",
        "urlopen",
        "_get_conn",
        "_make_request",
        "_new_conn",
        "_prepare_proxy",
        "_put_conn",
        "_validate_conn",
    }
)

#: The setting of a pool that is kept: how many connections it keeps idle, as requests' by default.
KEPT_SIZE = {"maxsize": 10}

#: Settings of a `PoolFacade` that urllib3's pools take under the same name, whatever the scheme.
_PLAIN_SETTINGS = ("source_address", "socket_options")
#: Settings that urllib3's pools keep in `conn_kw`.
_KEYWORDS = frozenset({*_PLAIN_SETTINGS, "ca_cert_data", "server_hostname", "ssl_context"})


class Counterpart:
    """The pool of urllib3 that has the settings of a facade, and the changes made to it.

    Args:
        facade: Its destination and settings are taken.

    Attributes:
        pool: The pool.
    """

    def __init__(self, facade: FacadeSettings) -> None:
        self.pool = make_pool(facade, given_settings(facade) | KEPT_SIZE)
        self._is_changed = False
        self._keywords = dict(self.pool.conn_kw)
        register_fork_reset(self)

    @property
    def is_changed(self) -> bool:
        """Whether a step differs from that of urllib3, or a context is of another library."""
        pool = self.pool
        return (
            self._is_changed
            or pool.conn_kw != self._keywords
            or is_foreign(pool.conn_kw.get("ssl_context"))
            or is_foreign(pool.proxy_config and pool.proxy_config.ssl_context)
        )

    def change(self, name: str, value: Any) -> None:
        """Set one of `STEPS` on the pool, and note that it differs."""
        setattr(self.pool, name, value)
        self._is_changed = True

    def follow(self, name: str, value: Any) -> None:
        """Take a setting that was set on the facade, such as what `verify` says."""
        if name not in _KEYWORDS:
            setattr(self.pool, name, value)
            return
        for keywords in (self.pool.conn_kw, self._keywords):
            keywords[name] = value

    def reset_after_fork(self) -> None:
        """Forget the connections, which are those of the parent."""
        slots = self.pool.QueueCls(self.pool.pool.maxsize)
        while not slots.full():
            slots.put(None)
        self.pool.pool = slots
        finalize(self.pool, _close_all, slots)  # urllib3 does that for those it has made


class OfCounterpart:
    """An attribute that a facade reads from its counterpart until it is set.

    It has no `__set__`: a value in the facade itself comes first, and costs no look at this.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, facade: Any, owner: type) -> Any:
        if facade is None:
            return self
        return getattr(facade.find_counterpart().pool, self._name)


def is_foreign(context: Any) -> bool:
    """Whether a TLS context is one that only urllib3 can use."""
    return context is not None and not hasattr(context, "wrap_bio")


def _close_all(slots: Any) -> None:
    """Close what is kept in the slots of a pool."""
    while not slots.empty():
        connection = slots.get_nowait()
        if connection is not None:
            connection.close()


def given_settings(facade: FacadeSettings) -> dict[str, Any]:
    """Return the settings of a facade that are not `None`, by urllib3's names for them."""
    names: tuple[str, ...] = _PLAIN_SETTINGS
    if facade.scheme == "https":
        names = (*_PLAIN_SETTINGS, *sorted(TLS_SETTINGS))
    given = {name: getattr(facade, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def make_pool(facade: FacadeSettings, settings: dict[str, Any]) -> Any:
    """Make a pool of urllib3.

    Args:
        facade: Scheme, host, port and proxy are taken from it.
        settings: Keyword arguments of urllib3's pools.

    Raises:
        AttributeError: The way there is a SOCKS proxy or a Unix socket, which the classes that
            programs set do not know. Without them the request would take another way.
    """
    proxy = facade.proxy
    if facade.scheme == UNIX_SCHEME or (proxy is not None and proxy.is_socks):
        raise AttributeError(f"a pool for {facade.host} has no steps of urllib3 to read or change")
    if proxy is not None:
        own: dict[str, Any] = {}
        if proxy.tls is not None:
            own = {
                "proxy_ssl_context": proxy.tls.ssl_context,
                "proxy_assert_hostname": proxy.tls.assert_hostname,
                "proxy_assert_fingerprint": proxy.tls.assert_fingerprint,
            }
        manager = ProxyManager(proxy.origin, proxy_headers=dict(proxy.headers), **own, **settings)
        # The facade for plain http over a forward proxy has the address of the proxy.
        is_forward = (facade.scheme, facade.host, facade.port) == (
            proxy.scheme,
            proxy.host,
            proxy.port,
        )
        scheme = "http" if is_forward else facade.scheme
        return manager.connection_from_host(facade.host, facade.port, scheme)
    logger.debug("A request to %s goes through urllib3's own pool", facade.host)
    pool_class = HTTPSConnectionPool if facade.scheme == "https" else HTTPConnectionPool
    return pool_class(facade.host, facade.port, **settings)
