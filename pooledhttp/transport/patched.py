"""urllib3 in somebody else's hands: recorders and mocks put their own classes into it.

vcrpy replaces `HTTPConnectionPool.ConnectionCls` while a cassette is in use, pook and many a test
replace `HTTPConnectionPool.urlopen`. Under requests that catches every request, and what they are
there for is that none gets out. So while urllib3 is not as it was when this file was imported,
requests go through urllib3's own pools, made with the settings ours would have used. The same holds
while the socket class is a mock (mocket): only urllib3's connections can use its objects.
"""

from __future__ import annotations

import logging
from typing import Any

from urllib3 import ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pooledhttp.network import UNIX_SCHEME, is_socket_mocked
from pooledhttp.transport.origin import OriginPool

__all__ = ["is_urllib3_patched", "urllib3_pool"]

logger = logging.getLogger("pooledhttp.transport")

_URLOPEN = HTTPConnectionPool.urlopen
_PLAIN = HTTPConnectionPool.ConnectionCls
_SECURE = HTTPSConnectionPool.ConnectionCls

#: Settings of an `OriginPool` that urllib3's pools take under the same name; plain ones the first.
_SETTINGS = ("source_address", "socket_options")
_TLS_SETTINGS = (
    "assert_fingerprint",
    "assert_hostname",
    "ca_cert_data",
    "ca_cert_dir",
    "ca_certs",
    "cert_file",
    "cert_reqs",
    "key_file",
    "key_password",
    "server_hostname",
    "ssl_context",
    "ssl_maximum_version",
    "ssl_minimum_version",
    "ssl_version",
)


def is_urllib3_patched() -> bool:
    """Whether somebody has put something of theirs into urllib3's pools, or below them."""
    return is_socket_mocked() or not (
        HTTPConnectionPool.urlopen is _URLOPEN
        and HTTPSConnectionPool.urlopen is _URLOPEN
        and HTTPConnectionPool.ConnectionCls is _PLAIN
        and HTTPSConnectionPool.ConnectionCls is _SECURE
    )


def urllib3_pool(conn: OriginPool) -> Any:
    """Make urllib3's pool for what `conn` leads to.

    Returns:
        A new pool each time: what patches urllib3 does not last, and must find nothing from before.
        For SOCKS proxies and Unix sockets, which nobody patches, `conn` itself.
    """
    if conn.scheme == UNIX_SCHEME:
        return conn
    names = _SETTINGS if conn.scheme == "http" else (*_SETTINGS, *_TLS_SETTINGS)
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
    kind = HTTPSConnectionPool if conn.scheme == "https" else HTTPConnectionPool
    return kind(conn.host, conn.port, **settings)
