"""What a call of `acquire` searches for, and what one search finds."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import Generic, TypeVar

from pooledhttp.pool.key_state import WaitingCaller
from pooledhttp.pool.lease import Lease

__all__ = ["Search", "SearchResult"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class SearchResult(enum.Enum):
    """The outcome of a search for a slot."""

    SLOT = "slot"  #: the lease has a slot
    PROBE = "probe"  #: the lease has an old idle resource that has to be probed first
    WAIT = "wait"  #: nothing is free; the caller, if one was passed, is in the queue now
    SPARE = "spare"  #: as WAIT, but there is room: a lease will end soon, and a dial is spared
    CLOSED = "closed"  #: the pool is shut down


class Search(Generic[K, R]):
    """What one `acquire` searches for. The same object serves all its searches.

    Args:
        lease: Gets the slot.
        careful: Take an idle resource only if it is trusted.
        may_probe: Whether an old idle resource may be lent out to be probed.

    Attributes:
        caller: Joins the queue if nothing is free. With None, at first, the queue stays as it is.
        to_close: The resources whose slots a search has freed. They have to be closed before
            another resource is put into the slot of the lease.
    """

    __slots__ = ("caller", "careful", "lease", "may_probe", "to_close")

    def __init__(self, lease: Lease[K, R], *, careful: bool, may_probe: bool) -> None:
        self.lease = lease
        self.careful = careful
        self.may_probe = may_probe
        self.caller: WaitingCaller[K, R] | None = None
        self.to_close: list[R] = []
