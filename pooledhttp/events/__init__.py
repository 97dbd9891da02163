"""What happened: frozen values given to listeners.

Events carry facts and change nothing. They are emitted outside every lock, and no listener can make
a request fail. A request hook is called around each exchange instead, and may add header fields.
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
from pooledhttp.events.listeners import Listener, Listeners, check_listeners
from pooledhttp.events.request_hooks import (
    OutgoingRequest,
    RequestHook,
    RequestOutcome,
    add_request_hook,
    check_request_hooks,
    remove_request_hook,
    shared_request_hooks,
)
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
    "OutgoingRequest",
    "Replayed",
    "RequestFinished",
    "RequestHook",
    "RequestOutcome",
    "RetryScheduled",
    "IdleOverflow",
    "StaleFound",
    "WaitTimedOut",
    "add_request_hook",
    "check_listeners",
    "check_request_hooks",
    "remove_request_hook",
    "shared_request_hooks",
]


__getattr__ = _deprecated_names(globals(), {"ShelfOverflow": "IdleOverflow"})
