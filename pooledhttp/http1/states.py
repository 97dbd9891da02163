"""The states of a connection, and the moves between them.

IDLE -> SENDING -> AWAITING -> READING -> IDLE     a complete exchange; kept alive
                       |          '-----> CLOSED   the server closes, or there is doubt
                       '--> SWITCHED ---> CLOSED   101, or 2xx to CONNECT: no longer HTTP
any state ----------------------------> CLOSED
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["MOVES", "State"]


class State(Enum):
    """Where a connection is in its exchange."""

    #: Kept alive; no exchange in progress.
    IDLE = auto()
    #: A request is being written.
    SENDING = auto()
    #: The request is sent, or an early response has ended it; the final head is not yet read.
    AWAITING = auto()
    #: The head is read. The body has not ended, or it has ended and the connection is not reusable.
    READING = auto()
    #: No longer HTTP: a tunnel or another protocol.
    SWITCHED = auto()
    #: The socket is closed.
    CLOSED = auto()

    # Members are compared by identity. The hash of `Enum`, of the name, is computed in Python, and
    # a request needs eight.
    __hash__ = object.__hash__


#: The legal moves. Any other move is a bug in this package and raises.
MOVES: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.SENDING, State.CLOSED}),
    State.SENDING: frozenset({State.AWAITING, State.CLOSED}),
    State.AWAITING: frozenset({State.READING, State.SWITCHED, State.CLOSED}),
    State.READING: frozenset({State.IDLE, State.CLOSED}),
    State.SWITCHED: frozenset({State.CLOSED}),
    State.CLOSED: frozenset({State.CLOSED}),
}
