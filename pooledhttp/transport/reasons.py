"""Why an exchange closes its connection: the words by which the pool's statistics count it.

A connection on which an exchange failed before its response is closed by the name of the error,
such as `ConnectTimeout`. The reasons of the pool itself are in `pool/reasons.py`.
"""

from __future__ import annotations

from typing import Final

from pooledhttp.pool import INTERRUPTED

__all__ = [
    "BODY_FAILED",
    "CLOSED_EARLY",
    "INTERRUPTED",
    "NOT_KEPT_ALIVE",
    "NOT_WARMED",
    "ODD_HEAD",
    "SWITCHED",
]

#: The response head was repaired. It replaces any other reason, so that the statistics show how
#: many there were.
ODD_HEAD: Final = "odd head"
#: The exchange is complete, but the connection cannot carry another.
NOT_KEPT_ALIVE: Final = "not kept alive"
#: Reading the body raised an error.
BODY_FAILED: Final = "failed in the body"
#: The caller closed the response before the end of its body.
CLOSED_EARLY: Final = "closed before the end of the body"
#: The response switched the connection to another protocol, and its user has closed that.
SWITCHED: Final = "switched to another protocol"
#: The warmer could not dial it, or is stopped.
NOT_WARMED: Final = "could not be kept warm"
