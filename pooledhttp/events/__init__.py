"""What happened: frozen values given to listeners.

Events carry facts and change nothing. They are emitted outside every lock, and no listener can make
a request fail.
"""

from __future__ import annotations

from pooledhttp.events.kinds import (
    ConnectionClosed,
    ConnectionOpened,
    Event,
    HeadRepaired,
    IdleOverflow,
    Leaked,
    LeaseAcquired,
    LeaseEnded,
    Replayed,
    RequestFinished,
    RetryScheduled,
    StaleFound,
    WaitTimedOut,
)
from pooledhttp.events.listeners import Listener, Listeners
from pooledhttp.renaming import deprecated_names as _deprecated_names

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
    "IdleOverflow",
    "StaleFound",
    "WaitTimedOut",
]


__getattr__ = _deprecated_names(globals(), {"ShelfOverflow": "IdleOverflow"})
