"""What happened: frozen values given to listeners.

Events carry facts and change nothing. They are emitted outside every lock, and no listener can make
a request fail.
"""

from __future__ import annotations

import warnings

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


def __getattr__(name: str) -> object:
    """Return `IdleOverflow` by its earlier name, `ShelfOverflow`."""
    if name != "ShelfOverflow":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now IdleOverflow", DeprecationWarning, stacklevel=2)
    return IdleOverflow
