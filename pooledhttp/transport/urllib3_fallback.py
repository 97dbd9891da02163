"""Sends requests over urllib3's own pools, in two cases.

A subclass of the adapter returns such a pool. `send_over_urllib3` uses it as requests would.

A test has patched urllib3. vcrpy replaces `HTTPConnectionPool.ConnectionCls` while a cassette is in
use; pook and many tests replace `HTTPConnectionPool.urlopen`. With requests such a patch catches
every request, so that none reaches the network. So while these attributes differ from those at the
import of this module, requests go over urllib3's own pools, with the settings that ours would have
used. The same is done while the socket class is a mock (mocket), because only urllib3's connections
can use the objects of the mock.
"""

from __future__ import annotations

import logging
from typing import Any

from urllib3 import ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from pooledhttp.network import UNIX_SCHEME, is_socket_mocked
from pooledhttp.transport.facade_settings import TLS_SETTINGS
from pooledhttp.transport.urllib3_face import PoolFacade
from pooledhttp.transport.urllib3_settings import urllib3_timeout

__all__ = ["is_urllib3_patched", "send_over_urllib3", "urllib3_pool"]

logger = logging.getLogger("pooledhttp.transport")

_URLOPEN = HTTPConnectionPool.urlopen
_PLAIN = HTTPConnectionPool.ConnectionCls
_SECURE = HTTPSConnectionPool.ConnectionCls

#: Settings of a `PoolFacade` that urllib3's pools take under the same name, whatever the scheme.
_PLAIN_SETTINGS = ("source_address", "socket_options")


def is_urllib3_patched() -> bool:
    """Whether urllib3's pools, or the sockets below them, have been replaced since the import."""
    return is_socket_mocked() or not (
        HTTPConnectionPool.urlopen is _URLOPEN
        and HTTPSConnectionPool.urlopen is _URLOPEN
        and HTTPConnectionPool.ConnectionCls is _PLAIN
        and HTTPSConnectionPool.ConnectionCls is _SECURE
    )


def urllib3_pool(conn: PoolFacade) -> Any:
    """Make a pool of urllib3 with the destination and settings of `conn`.

    Returns:
        A new pool each time, so that a patch never finds a connection made before it. For SOCKS
        proxies and Unix sockets, to which such patches do not apply, `conn` itself.
    """
    if conn.scheme == UNIX_SCHEME:
        return conn
    names: tuple[str, ...] = _PLAIN_SETTINGS
    if conn.scheme == "https":
        names = (*_PLAIN_SETTINGS, *sorted(TLS_SETTINGS))
    given = {name: getattr(conn, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    if conn.proxy is not None:
        if conn.proxy.is_socks:
            return conn
        manager = ProxyManager(
            conn.proxy.origin,
            proxy_headers=dict(conn.proxy.headers),
            proxy_ssl_context=None if conn.proxy.tls is None else conn.proxy.tls.ssl_context,
            **settings,
        )
        return manager.connection_from_host(conn.host, conn.port, conn.scheme)
    logger.debug("urllib3 is patched: a request to %s goes through its own pool", conn.host)
    pool_class = HTTPSConnectionPool if conn.scheme == "https" else HTTPConnectionPool
    return pool_class(conn.host, conn.port, **settings)


def send_over_urllib3(conn: Any, request: Any, target: str, retries: Retry, timeout: Any) -> Any:
    """Send a prepared request through a pool of urllib3, or an object with its `urlopen`.

    Args:
        conn: The pool.
        request: The prepared request.
        target: A path, or a whole URL over a forward proxy.
        retries: What is tried again.
        timeout: As users give it.

    Returns:
        The response of `urlopen`, body unread and not decoded.

    Raises:
        urllib3.exceptions.HTTPError: The request failed.
        ValueError: `timeout` is not a timeout.
    """
    return conn.urlopen(
        method=request.method,
        url=target,
        body=request.body,
        headers=request.headers,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
        retries=retries,
        timeout=urllib3_timeout(timeout),
        chunked=not (request.body is None or "Content-Length" in request.headers),
    )
