"""Failures below the adapter, as urllib3 errors that carry facts."""

from __future__ import annotations

from pooledhttp.faults.kinds import (
    BadAnswer,
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
    "BadAnswer",
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
