"""One exchange on one leased connection, the loop around it, and the pool as users see it.

Read `transport` first, then `retrying` and `manager`. Three things are called a pool: `pool.Pool`
keeps the connections; a `PoolView` is `session.pool`; a `PoolFacade` has no connections and only
looks like urllib3's `HTTPConnectionPool`.

view                `PoolView`: `session.pool`
urllib3_face        `PoolFacade`: what urllib3's managers return in place of their own pools
  facade_settings   its base class: its settings, and the route made from them
  facade_cache      the facades that an adapter has made
  urllib3_settings  translates requests' settings for urllib3 and for `network`
  urllib3_counterpart  a pool of urllib3 beside a facade whose steps were changed
  urllib3_fallback  sends over urllib3's own pools, while they are patched
retrying            the only retry loop
manager             `TransportManager`: the parts of one pool
  warmer            keeps idle connections ready
  transport         one exchange: acquire, dial, send, read the head, replay
    plain_gets      the same for plain GETs of small files, which `transport` ends if need be
    body upgrade    the reader of a response
      leased_body   the lease of its connection, and when that ends
    tunnel          CONNECT
reasons             why an exchange closes its connection, as statistics count it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.http1 import ParserChoice, ResponseLimits, TlsTruncation
from pooledhttp.loading import load_when_used as _load_when_used
from pooledhttp.renaming import deprecated_names as _deprecated_names

if TYPE_CHECKING:
    from pooledhttp.transport.exchange_log import mask_secrets
    from pooledhttp.transport.facade_cache import FacadeCache, file_states
    from pooledhttp.transport.facade_settings import AdapterSettings
    from pooledhttp.transport.hooked import HookedCall, hooks_in_force
    from pooledhttp.transport.manager import TransportManager
    from pooledhttp.transport.plain_gets import BegunExchange, PlainGets, WholeResponse
    from pooledhttp.transport.retrying import Call
    from pooledhttp.transport.transport import Replay, Transport
    from pooledhttp.transport.urllib3_face import PoolFacade, install_facades
    from pooledhttp.transport.urllib3_fallback import (
        is_urllib3_patched,
        send_over_urllib3,
        urllib3_pool,
    )
    from pooledhttp.transport.urllib3_settings import (
        SOCKSProxyManager,
        proxy_of,
        proxy_url,
        require_socks,
        tls_keywords,
        verify_attributes,
    )
    from pooledhttp.transport.view import (
        PoolView,
        check_pool,
        check_replay,
        load_parser,
        manager_for,
    )

__all__ = [
    "AdapterSettings",
    "BegunExchange",
    "Call",
    "FacadeCache",
    "HookedCall",
    "PlainGets",
    "PoolFacade",
    "PoolView",
    "Replay",
    "ResponseLimits",
    "SOCKSProxyManager",
    "ParserChoice",
    "TlsTruncation",
    "Transport",
    "TransportManager",
    "WholeResponse",
    "check_pool",
    "check_replay",
    "file_states",
    "hooks_in_force",
    "install_facades",
    "is_urllib3_patched",
    "load_parser",
    "manager_for",
    "mask_secrets",
    "proxy_of",
    "proxy_url",
    "require_socks",
    "send_over_urllib3",
    "tls_keywords",
    "urllib3_pool",
    "verify_attributes",
]


__getattr__ = _load_when_used(
    globals(),
    {
        "exchange_log": ("mask_secrets",),
        "facade_cache": ("FacadeCache", "file_states"),
        "facade_settings": ("AdapterSettings",),
        "hooked": ("HookedCall", "hooks_in_force"),
        "manager": ("TransportManager",),
        "retrying": ("Call",),
        "plain_gets": ("BegunExchange", "WholeResponse", "PlainGets"),
        "transport": ("Replay", "Transport"),
        "urllib3_face": ("PoolFacade", "install_facades"),
        "urllib3_fallback": ("is_urllib3_patched", "send_over_urllib3", "urllib3_pool"),
        "urllib3_settings": (
            "SOCKSProxyManager",
            "proxy_of",
            "proxy_url",
            "require_socks",
            "tls_keywords",
            "verify_attributes",
        ),
        "view": ("PoolView", "check_pool", "check_replay", "load_parser", "manager_for"),
    },
    otherwise=_deprecated_names(
        globals(),
        {
            "Limits": "ResponseLimits",
            "OriginPool": "PoolFacade",
            "PoolMemory": "FacadeCache",
            "return_origin_pools": "install_facades",
        },
    ),
)
