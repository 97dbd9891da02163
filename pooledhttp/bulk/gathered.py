"""What a run over several processes has received: results not taken yet, and counters."""

from __future__ import annotations

from typing import Generic, TypeVar

from pooledhttp.bulk.payloads import Reply
from pooledhttp.bulk.protocols import Indexed
from pooledhttp.pool import PoolStats, merge_stats

__all__ = ["Outcomes", "WorkerCounts"]

#: When there are more closed engines than this, their counters are added up.
_MOST_OLD = 16

R = TypeVar("R", bound=Indexed)


class Outcomes(Generic[R]):
    """Keeps results until they are taken.

    Args:
        ordered: Whether they are taken in the order of the input.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._results: dict[int, R] = {}
        self._sizes: dict[int, int] = {}
        #: Bytes of all that are here.
        self.bytes = 0
        #: The index that comes next in the order of the input.
        self.next = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._results)

    @property
    def first(self) -> int | None:
        """The index of the result that is taken next; None when that one is not here."""
        if self._ordered:
            return self.next if self.next in self._results else None
        return next(iter(self._results), None)

    def put(self, result: R, size: int = 0) -> None:
        """Keep a result, and the bytes it takes."""
        self._results[result.index] = result
        self._sizes[result.index] = size
        self.bytes += size

    def take(self) -> R | None:
        """Return the next result; None when it is not here."""
        index = self.first
        if index is None:
            return None
        self.bytes -= self._sizes.pop(index, 0)
        self.next = index + 1
        return self._results.pop(index)

    def take_all(self) -> list[R]:
        """Return all of them, in the order of the input."""
        results, self._results = self._results, {}
        self._sizes.clear()
        self.bytes = 0
        return [results[index] for index in sorted(results)]


class WorkerCounts:
    """The counters of the engines in workers, as of their last replies."""

    def __init__(self) -> None:
        self._stats: dict[int, PoolStats] = {}
        self._received: dict[int, int] = {}
        self._old_stats: list[PoolStats] = []
        self._old_received = 0

    def note(self, lane: int, reply: Reply) -> None:
        """Note the counters of a reply."""
        self._received[lane] = reply.received
        if reply.stats is not None:
            self._stats[lane] = reply.stats

    def close(self, lane: int) -> None:
        """Keep the counters of an engine that is closed: the next one begins at 0."""
        self._old_received += self._received.pop(lane, 0)
        stats = self._stats.pop(lane, None)
        if stats is not None:
            self._old_stats.append(stats)
        if len(self._old_stats) > _MOST_OLD:
            total = merge_stats("", [part.total for part in self._old_stats], None)
            self._old_stats = [PoolStats(total, {})]

    def stats(self) -> PoolStats:
        """Return the counters of all workers' pools."""
        parts = [*self._old_stats, *self._stats.values()]
        names = {name for part in parts for name in part.origins}
        origins = {
            name: merge_stats(name, [p.origins[name] for p in parts if name in p.origins], None)
            for name in names
        }
        return PoolStats(merge_stats("", [part.total for part in parts], None), origins)

    @property
    def received_bytes(self) -> int:
        """Bytes of bodies that workers have written."""
        return self._old_received + sum(self._received.values())
