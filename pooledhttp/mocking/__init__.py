"""A simulated server in memory, for `pooledhttp.testing`.

exchanges.py   requests and replies, as values and as bytes
rules.py       which reply a request gets
stream.py      connections without sockets, and a clock that jumps instead of waiting
"""

from __future__ import annotations

from pooledhttp.mocking.exchanges import (
    FAULTS,
    Fault,
    Reply,
    SentRequest,
    response_bytes,
)
from pooledhttp.mocking.rules import Rules
from pooledhttp.mocking.stream import JumpingRuntime, MemoryConnector

__all__ = [
    "FAULTS",
    "Fault",
    "JumpingRuntime",
    "MemoryConnector",
    "Reply",
    "Rules",
    "SentRequest",
    "response_bytes",
]
