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
    """A connection is ready.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        seconds_dial: Seconds from the lookup of the name to the end of the TLS handshake.
    """

    origin: str
    seconds_dial: float


@record
class ConnectionClosed:
    """A connection was closed.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        reason: Why, in words.
        age_seconds: Seconds since it was opened.
        requests: How many requests it had.
    """

    origin: str
    reason: str
    age_seconds: float
    requests: int


@record
class LeaseAcquired:
    """A request got a lease.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        wait_seconds: Seconds that it waited for the pool.
        reused: Whether the lease has an idle connection.
        dialling: Whether a new connection is opened for it.
    """

    origin: str
    wait_seconds: float
    reused: bool
    dialling: bool


@record
class LeaseEnded:
    """A lease ended.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        hold_seconds: Seconds since it was acquired.
        outcome: `"released"` if its connection is kept, `"discarded"` if it is closed.
        reason: Why it was discarded, in words; empty if it was released.
    """

    origin: str
    hold_seconds: float
    outcome: Literal["released", "discarded"]
    reason: str = ""


@record
class WaitTimedOut:
    """A request stopped waiting for a lease at its deadline.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        wait_seconds: Seconds that it waited.
    """

    origin: str
    wait_seconds: float


@record
class StaleFound:
    """A kept connection turned out to be dead.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        idle_seconds: Seconds for which it had been idle.
    """

    origin: str
    idle_seconds: float


@record
class IdleOverflow:
    """A good connection was closed because the limit of idle ones was reached.

    Args:
        origin: The origin, `https://host:port`, without credentials.
    """

    origin: str


@record
class Leaked:
    """A lease was dropped without being ended, or is held and not used.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        where: File and line of the caller; empty when leak detection is off.
        age_seconds: Seconds since the lease was acquired.
        thread: The name of the thread that acquired it; empty as well.
    """

    origin: str
    where: str
    age_seconds: float
    thread: str


@record
class Replayed:
    """A request was sent once more because its reused connection died before any response.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        method: The method of the request.
    """

    origin: str
    method: str


@record
class HeadRepaired:
    """A response head was repaired.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        deviations: What was odd in it, in words.
    """

    origin: str
    deviations: tuple[str, ...]


@record
class RetryScheduled:
    """A request failed, and is tried again after a delay.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        attempt: The number of the new attempt; the first retry is 1.
        delay_seconds: Seconds until it starts.
        reason: Why the last attempt failed, in words.
    """

    origin: str
    attempt: int
    delay_seconds: float
    reason: str


@record
class RequestFinished:
    """The head of a response came, or an exchange failed.

    Args:
        origin: The origin, `https://host:port`, without credentials.
        method: The method of the request.
        status: The status code; None after an error.
        seconds: Seconds that the exchange took.
        error: The name of the class of the error; None after a response.
    """

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
