"""A host that cannot be reached rests, and is given up in the end: plain decisions, no clock.

```
WORKING --5 failed connections in a row--> RESTING --the pace lets one request go--> PROBING
   ^                                          ^                                         |
   |                                          '--------------- it fails ----------------|
   '------------------------- any response ------------------------------- it succeeds -|
                                       GIVEN_UP <--- it fails after the third rest -----'
```

How long a rest lasts is said here. That it ends earlier when no other host has work is decided by
the pace, which knows of the others.
"""

from __future__ import annotations

from enum import Enum

from pooledhttp.exceptions import ConnectionError

__all__ = ["Deferred", "HostGivenUp", "HostRest", "RestState"]

#: Failed connections in a row.
_FAILURES = 5

#: The seconds of each rest.
_RESTS = (15.0, 30.0, 60.0)


class HostGivenUp(ConnectionError):
    """A host could not be reached, also not after several rests: its other URLs are not tried."""


class Deferred(Exception):
    """An item waits for the end of its host's rest: it goes back into the queue."""


class RestState(Enum):
    """Whether requests may be sent to a host."""

    WORKING = "working"
    RESTING = "resting"
    PROBING = "probing"
    GIVEN_UP = "given up"


class HostRest:
    """What is known of the connections to one host. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self.state = RestState.WORKING
        #: When the rest ends at the latest.
        self.until = 0.0
        #: Why the last connection failed.
        self.reason = ""
        self._failures = 0
        self._rests = 0
        self._probe: object = None

    def begin(self, request: object) -> None:
        """Note a request that is about to be sent; after a rest it is the probe."""
        if self.state in (RestState.RESTING, RestState.PROBING):
            self.state = RestState.PROBING
            self._probe = request

    def fail(self, request: object, now: float, reason: str = "") -> bool:
        """Note that no connection could be made for a request.

        Args:
            request: The request, to tell the probe.
            now: The time.
            reason: Why; empty if that is not known.

        Returns:
            Whether a rest begins, or the host is given up.
        """
        if self.state is RestState.WORKING:
            self._failures += 1
            if self._failures < _FAILURES:
                return False
        elif self.state is not RestState.PROBING or request != self._probe:
            return False  # it was under way before
        self.reason = reason
        if self._rests == len(_RESTS):
            self.state = RestState.GIVEN_UP
        else:
            self.state = RestState.RESTING
            self.until = now + _RESTS[self._rests]
            self._rests += 1
        return True

    def succeed(self) -> bool:
        """Note a response; returns whether the host was not working before."""
        was_working = self.state is RestState.WORKING
        self.state = RestState.WORKING
        self._failures = self._rests = 0
        return not was_working
