"""The ticket of one holder: a resource from the pool, or room for one.

    (waiting) --> empty --fill--> holding --release--> ended     back on the shelf
                    |                |------discard--> ended     closed
                    |                |------__del__--> ended     closed, and counted as a leak
                    |                '--found_stale--> empty     closed, the room is kept
                    '---release, discard, __del__----> ended

A lease ends once; ending it again, from wherever, does nothing. Whether it has ended is not kept in
it but in the pool's books, under its serial number: so the end is one step for all threads, and a
lease that a fork carried into another process has ended there by itself.

The pool does not refer to the lease, only to the place it has. A lease that is dropped is therefore
collected at once, and `__del__` gives its place back.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from pooledhttp.pool.pool import Pool
    from pooledhttp.pool.shelf import Place

__all__ = ["Lease"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Lease(Generic[K, R]):
    """What `Pool.acquire` gives. One holder at a time; any thread may end it.

    Attributes:
        key: What the resource connects to.
        resource: What is held; None while the place is empty, and after the end.
        reused: Whether the resource has been used by an earlier lease.
        idle_seconds: How long it had been idle when this lease got it; 0.0 if it was not.
        wait_seconds: How long the caller waited for it.
    """

    __slots__ = (
        "__weakref__", "_pool", "idle_seconds", "key", "place", "resource", "reused", "serial",
        "wait_seconds",
    )  # fmt: skip

    key: K
    serial: int
    place: Place[K, R] | None
    resource: R | None
    reused: bool
    idle_seconds: float
    wait_seconds: float

    def __init__(self, pool: Pool[K, R], key: K, serial: int) -> None:
        # The rest is set when it gets a place, which is before anybody outside the pool sees it.
        self._pool = pool
        self.key = key
        self.serial = serial
        self.wait_seconds = 0.0

    @property
    def is_ended(self) -> bool:
        """Whether the place has gone back to the pool."""
        return not self._pool.is_held(self.serial)

    def fill(self, resource: R) -> None:
        """Put a new resource into the empty place.

        Raises:
            ValueError: The lease holds one already.
            PoolClosed: The lease has ended, as one from before a fork has. `resource` was closed.
        """
        self._pool.fill(self, resource)

    def release(self, keep_for: float | None = None) -> None:
        """Give the resource back, to be used again; an empty place is freed.

        Args:
            keep_for: For how many seconds the peer said it would keep the connection open; None
                if it did not say.
        """
        self.resource = self.place = None
        self._pool.end_released(self.serial, keep_for)

    def discard(self, reason: str) -> None:
        """Give the place back and have the resource closed.

        Args:
            reason: A short, constant text: what is closed is counted by it.
        """
        self.resource = self.place = None
        self._pool.end_discarded(self.serial, reason)

    def found_stale(self) -> None:
        """Tell that the reused resource was dead before it answered; the lease becomes empty.

        The resource is closed, and the origin's idle limit is lowered for all.
        """
        self._pool.found_stale(self)

    def touch(self) -> None:
        """Tell that the holder is using the resource: the lease is no leak. Costs little."""
        place = self.place
        if place is not None and place.watch is not None:
            place.watch.touched_at = self._pool.now()

    @property
    def busy(self) -> bool:
        """Whether a call is in progress; while it is, the lease is not taken for a leak.

        Kept only while leaks are looked for, otherwise always False.
        """
        place = self.place
        return place is not None and place.watch is not None and place.watch.busy

    @busy.setter
    def busy(self, is_busy: bool) -> None:
        place = self.place
        if place is not None and place.watch is not None:
            place.watch.busy = is_busy
            place.watch.touched_at = self._pool.now()

    def __del__(self) -> None:
        try:
            place = self._pool._desk.ledger.held.get(self.serial)
        except AttributeError:  # not built completely, or the interpreter is ending
            return
        if place is None:
            return
        pool = self._pool
        if getattr(self, "place", None) is None:
            # Its holder ended it while another thread had the lock: the end is still in line, and
            # comes first. This one is for a place that was given and never taken.
            pool.end_quietly(self.serial)
            return
        try:
            pool.reclaim(self.serial)
        except BaseException:  # Ctrl-C in a finalizer: Python drops it, the place must not be
            pool.reclaim(self.serial)
            raise
        where = str(place.watch) if place.watch is not None else ""
        warnings.warn(
            f"A lease for {place.record.origin} was dropped without being ended{where}. "
            "Read the response to its end or close it.",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "empty" if self.resource is None else "in use"
        return f"<Lease {state}>"
