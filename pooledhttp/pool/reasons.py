"""Why connections are closed: the words by which statistics count and events tell it.

The pool itself has the reasons below. A caller that discards a lease passes its own reason, which
is counted in the same way. Other modules write `reasons.STALE`, so that no reason is spelled in two
ways.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

__all__ = ["ClosedCounts"]

#: A good resource that must not be used again.
MAX_LIFETIME: Final = "max_lifetime"  #: it has been open for `max_lifetime`
MAX_REQUESTS: Final = "max_requests"  #: it has served `max_requests`
IDLE_TIMEOUT: Final = "idle_timeout"  #: it has been idle for `idle_timeout`
IDLE_LIMIT: Final = "idle_limit"  #: the peer closes it soon, as announced or as learned
IDLE_FULL: Final = "idle_full"  #: a limit of idle resources is reached
MADE_ROOM: Final = "made_room"  #: a caller gets its slot, because a limit of open ones is reached
RESIZED: Final = "resized"  #: new settings allow fewer
EVICTED: Final = "evicted"  #: `Pool.evict`
CLOSED: Final = "closed"  #: `Pool.close_idle` and `Pool.shutdown`

#: A resource that cannot be used again.
STALE: Final = "stale"  #: it was found dead
LEAKED: Final = "leaked"  #: its lease was dropped in use
NEVER_RECEIVED: Final = "never_received"  #: its lease was dropped before the caller received it
INTERRUPTED: Final = "interrupted"  #: an exception from outside ended what was done with it

#: Counts all reasons beyond the first `MAX_REASONS`.
OTHER: Final = "other"
MAX_REASONS = 32

#: Reasons that had another name in earlier versions.
_RENAMED_REASONS = {"shelf_full": IDLE_FULL}


class ClosedCounts(dict[str, int]):
    """How many resources were closed, by reason. Earlier names of reasons can still be read."""

    def __missing__(self, reason: str) -> int:
        if reason not in _RENAMED_REASONS:
            raise KeyError(reason)
        return self[_renamed(reason)]

    def __contains__(self, reason: object) -> bool:
        return super().__contains__(_renamed(reason))

    def get(self, reason: str, default: Any = None) -> Any:
        """Return the count of a reason, or the default."""
        return super().get(_renamed(reason), default)


def _renamed(reason: Any) -> Any:
    """Return the present name of a reason, and warn if `reason` is an earlier one."""
    new = _RENAMED_REASONS.get(reason, reason)
    if new is not reason:
        warnings.warn(f"The close reason {reason!r} is now {new!r}", DeprecationWarning, 3)
    return new
