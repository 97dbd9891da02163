"""The kinds of event, in the order a request meets them.

    LeaseAcquired or WaitTimedOut      the pool gave a lease, or did not
      ConnectionOpened                 the lease was filled with a new connection
      StaleFound, Replayed             the old connection was dead; the request went out once more
      HeadRepaired                     a response head broke RFC 9112 in a harmless way
      RetryScheduled                   the policy wants another attempt
    RequestFinished                    the head of the response came, or an error
    LeaseEnded                         the body was read, or the response dropped (then also Leaked)
      IdleOverflow                    the connection was good, and there was no room to keep it
      ConnectionClosed                 a connection ended; idle ones are reported too

All of them name the origin they are about (`https://host:port`, without credentials) first. An
error is given as the name of its class, since an exception would keep its frames alive.
"""

from __future__ import annotations

from typing import Literal

from pooledhttp.records import record

__all__ = [
    "ConnectionClosed",
    "ConnectionOpened",
    "Event",
    "HeadRepaired",
    "Leaked",
    "LeaseAcquired",
    "LeaseEnded",
    "Replayed",
    "RequestFinished",
    "RetryScheduled",
    "IdleOverflow",
    "StaleFound",
    "WaitTimedOut",
]


@record
class ConnectionOpened:
    """A connection is ready; `seconds_dial` is lookup to the end of the TLS handshake."""

    origin: str
    seconds_dial: float


@record
class ConnectionClosed:
    """A connection was closed, for `reason`, after that age and number of requests."""

    origin: str
    reason: str
    age_seconds: float
    requests: int


@record
class LeaseAcquired:
    """A request got a lease: with an idle connection (`reused`), or one to fill (`dialling`)."""

    origin: str
    wait_seconds: float
    reused: bool
    dialling: bool


@record
class LeaseEnded:
    """A lease ended; `reason` says why its connection was discarded."""

    origin: str
    hold_seconds: float
    outcome: Literal["released", "discarded"]
    reason: str = ""


@record
class WaitTimedOut:
    """A request stopped waiting for a lease at its deadline."""

    origin: str
    wait_seconds: float


@record
class StaleFound:
    """A kept connection turned out to be dead after being idle for that long."""

    origin: str
    idle_seconds: float


@record
class IdleOverflow:
    """A good connection was closed because the limit of idle ones was reached."""

    origin: str


@record
class Leaked:
    """A lease was dropped without being ended, or is held and not used.

    `where` is the file and line of the caller, empty when leak detection is off.
    """

    origin: str
    where: str
    age_seconds: float
    thread: str


@record
class Replayed:
    """A request was sent once more because its reused connection died before any response."""

    origin: str
    method: str


@record
class HeadRepaired:
    """A response head was repaired; `deviations` names what was odd in it."""

    origin: str
    deviations: tuple[str, ...]


@record
class RetryScheduled:
    """Attempt number `attempt` (the first retry is 1) starts after the delay."""

    origin: str
    attempt: int
    delay_seconds: float
    reason: str


@record
class RequestFinished:
    """One exchange is over, as far as the head: `status` or else the class name of `error`."""

    origin: str
    method: str
    status: int | None
    seconds: float
    error: str | None = None


Event = (
    ConnectionOpened
    | ConnectionClosed
    | LeaseAcquired
    | LeaseEnded
    | WaitTimedOut
    | StaleFound
    | IdleOverflow
    | Leaked
    | Replayed
    | HeadRepaired
    | RetryScheduled
    | RequestFinished
)
