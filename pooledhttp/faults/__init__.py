"""Failures below the adapter, as urllib3 errors that carry facts."""

from __future__ import annotations

from pooledhttp.faults.kinds import (
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

__all__ = [
    "BadResponse",
    "BodyTruncated",
    "ConflictingLength",
    "ConnectionBroken",
    "DialError",
    "DialTimeout",
    "Facts",
    "Fault",
    "ProxyFault",
    "RecvTimeout",
    "RequestRefused",
    "ResolveError",
    "SendTimeout",
    "TlsError",
]
