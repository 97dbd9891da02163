"""One exchange on one leased connection, and the manager that keeps the parts together."""

from __future__ import annotations

from pooledhttp.transport.manager import Holder, Hub, TransportManager
from pooledhttp.transport.origin import OriginPool
from pooledhttp.transport.patched import is_urllib3_patched, urllib3_pool
from pooledhttp.transport.terms import (
    key_of_socket,
    proxy_of,
    proxy_url,
    require_socks,
    tls_keywords,
    urllib3_timeout,
    verify_attributes,
)
from pooledhttp.transport.transport import Replay, Transport
from pooledhttp.transport.wire import Limits

__all__ = [
    "Holder",
    "Hub",
    "Limits",
    "OriginPool",
    "Replay",
    "Transport",
    "TransportManager",
    "is_urllib3_patched",
    "key_of_socket",
    "proxy_of",
    "proxy_url",
    "require_socks",
    "tls_keywords",
    "urllib3_pool",
    "urllib3_timeout",
    "verify_attributes",
]
