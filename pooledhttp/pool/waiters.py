"""Who waits, in which order, and who of them could go if any place at all became free.

Callers of one key stand in one line. Lines of different keys meet only where the limit of the whole
pool is what stops them: then the key whose first caller has waited longest comes first.
`BlockedLines` is the heap of those. An entry is never searched for to be removed; it is looked at
when it comes to the top, and thrown away if its caller no longer stands first or could not go.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from pooledhttp.runtime import Waiter

if TYPE_CHECKING:
    from pooledhttp.pool.lease import Lease
    from pooledhttp.pool.record import Record

__all__ = ["BlockedLines", "Outcome", "Waiting"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

#: A heap that small may hold outdated entries.
_TIDY_FROM = 64


class Outcome(enum.Enum):
    """How the wait of one caller stands."""

    PENDING = "pending"  #: in the line
    HANDED = "handed"  #: its lease has a place
    CLOSED = "closed"  #: the pool was shut down
    LEFT = "left"  #: it gave up


class Waiting(Generic[K, R]):
    """One caller in a line. Guarded by the lock of the pool."""

    __slots__ = ("careful", "fresh", "lease", "outcome", "patience", "signal", "since")

    def __init__(
        self,
        lease: Lease[K, R],
        signal: Waiter,
        since: float,
        patience: float,
        *,
        careful: bool,
        fresh: bool,
    ) -> None:
        self.lease = lease
        self.signal = signal
        self.since = since
        self.patience = patience
        self.careful = careful
        self.fresh = fresh
        self.outcome = Outcome.PENDING


class BlockedLines(Generic[K, R]):
    """The lines that only the limit of the whole pool stops, longest wait first."""

    __slots__ = ("_heap", "_tidy_at")

    def __init__(self) -> None:
        # Serial numbers are never equal, so records are never compared.
        self._heap: list[tuple[float, int, Record[K, R]]] = []
        self._tidy_at = _TIDY_FROM

    def __bool__(self) -> bool:
        return bool(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, record: Record[K, R]) -> None:
        """Enter the line of `record` if only the pool's limit stops it, with its first caller."""
        if not record.waiters or record.open >= record.max_open:
            return
        serial, first = next(iter(record.waiters.items()))
        if record.blocked_serial == serial:
            return
        record.blocked_serial = serial
        heapq.heappush(self._heap, (first.since, serial, record))
        if len(self._heap) > self._tidy_at:
            self._tidy()

    def first(self) -> Record[K, R] | None:
        """Return the record whose first caller has waited longest, or None."""
        heap = self._heap
        while heap:
            _, serial, record = heap[0]
            if self._stands(serial, record):
                return record
            if record.blocked_serial == serial:
                record.blocked_serial = -1
            heapq.heappop(heap)
        return None

    def first_but(self, record: Record[K, R]) -> Record[K, R] | None:
        """Return the record whose first caller has waited longest of all others, or None."""
        first = self.first()
        if first is not record:
            return first
        entry = heapq.heappop(self._heap)
        second = self.first()
        heapq.heappush(self._heap, entry)
        return second

    @staticmethod
    def _stands(serial: int, record: Record[K, R]) -> bool:
        """Whether an entry still says the truth."""
        return (
            record.blocked_serial == serial
            and record.open < record.max_open
            and next(iter(record.waiters), -1) == serial
        )

    def _tidy(self) -> None:
        """Throw away what is not true any more, also below the top; paid for by as many entries."""
        kept = []
        for entry in self._heap:
            if self._stands(entry[1], entry[2]):
                kept.append(entry)
            elif entry[2].blocked_serial == entry[1]:
                entry[2].blocked_serial = -1
        heapq.heapify(kept)
        self._heap[:] = kept
        self._tidy_at = 2 * len(kept) + _TIDY_FROM
