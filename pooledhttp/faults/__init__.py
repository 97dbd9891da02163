"""Failures below the adapter, as urllib3 errors that carry facts."""

from __future__ import annotations

from pooledhttp.faults.kinds import (
    RAISE_CONNECT,
    BadResponse,
    BodyTruncated,
    ConflictingLength,
    ConnectionBroken,
    DialError,
    DialTimeout,
    Facts,
    Fault,
    ProxyFault,
    RecvTimeout,
    RequestRefused,
    ResolveError,
    SendTimeout,
    TlsError,
)
from pooledhttp.faults.pool_lookalike import NamedPool, PoolLookalike

__all__ = [
    "RAISE_CONNECT",
    "BadResponse",
    "BodyTruncated",
    "ConflictingLength",
    "ConnectionBroken",
    "DialError",
    "DialTimeout",
    "Facts",
    "Fault",
    "NamedPool",
    "PoolLookalike",
    "ProxyFault",
    "RecvTimeout",
    "RequestRefused",
    "ResolveError",
    "SendTimeout",
    "TlsError",
]
