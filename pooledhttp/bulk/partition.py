"""Divides jobs and limits over the partitions of a run, or over several runs.

Plain decisions: no thread, no clock, no socket. Jobs are told apart by their line, the scheme, host
and port of their URL. All jobs of a line are in one partition unless the line is larger than its
fair share of the work. Then it is split over several, and so are its limits: the shares of a limit
add up to the limit, so a line is never in more partitions than it may have requests at once.

There are two ways to decide, for two uses:

```
Spreader   while the input is read     by what was read so far       the executor of one run
Shards     after the input is counted  by the URL and the counts     runs that know nothing of
                                                                     each other
```

Both give the same input the same partitions. `Shards` does so in any order of the input, so that a
list that was sorted in between makes no job change its shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from pooledhttp.bulk.hashes import hash64
from pooledhttp.records import record

__all__ = ["Shard", "Shards", "Spreader", "share"]

#: A line with fewer jobs is not split.
_LEAST_SPLIT = 256

#: By how much a line has to exceed its fair share: two hosts of one size stay whole.
_EXCESS = 1.25

#: Lines that are counted. Further ones go where their hash says, and stay whole.
_LINES_REMEMBERED = 100_000


def share(limit: float, count: int, rank: int) -> float:
    """Return one share of a limit that is divided: whole numbers stay whole.

    Args:
        limit: What is divided.
        count: The number of shares.
        rank: Which of them, from 0. The first ones get what is left over.
    """
    if not isinstance(limit, int):
        return limit / count
    return limit // count + (rank < limit % count)


def _parts_wanted(size: int, total: int, count: int, most: int | None) -> int:
    """Return over how many of `count` partitions a line is split."""
    if size < _LEAST_SPLIT or size * count <= _EXCESS * total:
        return 1
    wanted = -(-size * count // total)  # rounded up
    return max(min(wanted, count, count if most is None else most), 1)


class Spreader:
    """Puts jobs into partitions while the input is read.

    A line that is new goes to the partition that has the least. Nothing is kept of a job; of a line
    a count and its partitions.

    Args:
        count: The number of partitions.
        per_host: The limit that is divided when a line is split, or what gives that of a line; None
            for none.
    """

    def __init__(
        self, count: int, per_host: Callable[[str], int | None] | int | None = None
    ) -> None:
        if count < 1:
            raise ValueError(f"there must be at least 1 partition, not {count}")
        self.count = count
        self._per_host = per_host
        self._total = 0
        self._sizes: Counter[str] = Counter()
        #: The partitions of a line, its first one first.
        self._places: dict[str, tuple[int, ...]] = {}
        self._loads = [0] * count

    def place(self, line: str, url: str) -> int:
        """Return the partition of the next job of the input."""
        self._total += 1
        places = self._places.get(line)
        if places is None:
            if len(self._places) >= _LINES_REMEMBERED:
                return self._by_hash(line)
            places = self._places[line] = (self._emptiest(()),)
        size = self._sizes[line] = self._sizes[line] + 1
        wanted = _parts_wanted(size, self._total, self.count, self._limit_at(line))
        while len(places) < wanted:
            places = self._places[line] = (*places, self._emptiest(places))
        chosen = places[0] if len(places) == 1 else places[hash64(url) % len(places)]
        self._loads[chosen] += 1
        return chosen

    def places(self, line: str) -> tuple[int, ...]:
        """Return the partitions of a line."""
        return self._places.get(line) or (self._by_hash(line),)

    def limit(self, line: str, partition: int) -> int | None:
        """Return a partition's share of the limit of a line; None for no limit."""
        limit = self._limit_at(line)
        if limit is None:
            return None
        places = self.places(line)
        if partition not in places:
            return 0
        return int(share(limit, len(places), places.index(partition)))

    def _limit_at(self, line: str) -> int | None:
        return self._per_host(line) if callable(self._per_host) else self._per_host

    def _by_hash(self, line: str) -> int:
        return hash64(line) % self.count

    def _emptiest(self, besides: tuple[int, ...]) -> int:
        free = (number for number in range(self.count) if number not in besides)
        return min(free, key=self._loads.__getitem__)


@record
class Shard:
    """One of several runs that share a list and know nothing of each other.

    Args:
        number: Which one, from 1.
        count: How many there are.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: There is no such shard.
        """
        if self.count < 1 or not 1 <= self.number <= self.count:
            raise ValueError(
                f"a shard is I/N with I from 1 to N, such as 2/3, not {self.number}/{self.count}"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class Shards:
    """Chooses the shard of each job.

    Args:
        count: The number of shards.
        sizes: The number of jobs of each line, if the list was counted. Without it no line is
            split.
        per_host: The limit that is divided when a line is split; None for none.
    """

    def __init__(
        self, count: int, sizes: Mapping[str, int] | None = None, per_host: int | None = None
    ) -> None:
        if count < 1:
            raise ValueError(f"there must be at least 1 shard, not {count}")
        self.count = count
        self._per_host = per_host
        total = sum((sizes or {}).values())
        #: Over how many shards a line is split, for those that are.
        self._parts: dict[str, int] = {}
        for line, size in (sizes or {}).items():
            wanted = _parts_wanted(size, total, count, per_host)
            if wanted > 1:
                self._parts[line] = wanted

    def place(self, line: str, url: str) -> int:
        """Return the shard of a job, from 1."""
        parts = self._parts.get(line, 1)
        rank = 0 if parts == 1 else hash64(url) % parts
        return (hash64(line) + rank) % self.count + 1

    def parts(self, line: str) -> int:
        """Return over how many shards a line is split."""
        return self._parts.get(line, 1)

    def limit(self, line: str, limit: float | None, shard: int) -> float | None:
        """Return a shard's share of a limit of a line; None for no limit.

        Args:
            line: The line.
            limit: What is divided; None for no limit.
            shard: The shard, from 1.
        """
        if limit is None:
            return None
        rank = (shard - 1 - hash64(line)) % self.count
        parts = self.parts(line)
        return share(limit, parts, rank) if rank < parts else limit * 0
