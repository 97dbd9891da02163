"""What happened, told sideways: frozen values given to whoever listens.

Events carry facts and change nothing. They are emitted outside every lock, and no listener can make
a request fail.
"""

from __future__ import annotations

from pooledhttp.events.kinds import (
    ConnectionClosed,
    ConnectionOpened,
    Event,
    HeadRepaired,
    Leaked,
    LeaseAcquired,
    LeaseEnded,
    Replayed,
    RequestFinished,
    RetryScheduled,
    ShelfOverflow,
    StaleFound,
    WaitTimedOut,
)
from pooledhttp.events.listeners import Listener, Listeners

__all__ = [
    "ConnectionClosed",
    "ConnectionOpened",
    "Event",
    "HeadRepaired",
    "Leaked",
    "LeaseAcquired",
    "LeaseEnded",
    "Listener",
    "Listeners",
    "Replayed",
    "RequestFinished",
    "RetryScheduled",
    "ShelfOverflow",
    "StaleFound",
    "WaitTimedOut",
]
