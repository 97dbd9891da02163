"""One shard of a run: its part of the list, and its share of the limits.

The shards of a run are processes that know nothing of each other, such as the tasks of an array
job. Each reads the whole list, and takes its own jobs of it (see `partition.Shards`). Each has a
journal of its own in the directory, and the names of its files carry a mark of the URL, so that no
two shards want one name.

A host whose jobs are split has its limits divided, and so has a host that is not in the list: a
redirect may lead any shard there. A host whose jobs are all in another shard has a share of its
limit here as well, for redirects, beside the whole limit there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.inputs import Source, items_of
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.partition import Shard, Shards, share
from pooledhttp.bulk.urls import origin_of

__all__ = ["ShardItems", "ShardSource", "Sharding", "part_of", "shard_of"]


def shard_of(value: Shard | str) -> Shard:
    """Return a shard as a value.

    Args:
        value: Its number and how many there are, such as `"2/3"`; or a `Shard`.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, Shard):
        return value
    number, slash, count = str(value).partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise ValueError(f"a shard is I/N with I from 1 to N, such as 2/3, not {value!r}")
    return Shard(int(number), int(count))


def part_of(
    source: Source,
    shard: Shard | str | None,
    per_host: int | None,
    per_host_rate: float | None = None,
) -> Source:
    """Return the part of a list that a download with this shard takes; None for all of it.

    Given to that download in place of the list, it is not counted once more.

    Args:
        source: The list.
        shard: Which part, such as `"2/3"`. `None` means all of it.
        per_host: The most requests at once to one host, for all shards; `None` for no limit.
        per_host_rate: Requests a second to each host, for all shards; `None` for no limit.

    Raises:
        ValueError: `shard` is no shard.
    """
    if shard is None:
        return source
    return ShardSource(source, Sharding(shard_of(shard), source, per_host, per_host_rate))


class Sharding:
    """Which jobs of a list are in a shard, and what limits it has.

    Args:
        shard: The shard.
        source: The list. One that can be read twice is counted, so that large hosts are split.
        per_host: The most requests at once to one host, over all shards; None for no limit.
        per_host_rate: Requests a second to one host, over all shards; None for no limit.
    """

    def __init__(
        self,
        shard: Shard,
        source: object,
        per_host: int | None,
        per_host_rate: float | None = None,
    ) -> None:
        self.shard = shard
        self._per_host = per_host
        self._rate = per_host_rate
        sizes: Counter[str] | None = None
        if isinstance(source, Source) and source.can_read_rest:
            sizes = Counter(_line(item) for item in source.peek_rest())
        self._shards = Shards(shard.count, sizes, per_host)
        #: The lines of the list; None if it is not known.
        self._listed = None if sizes is None else sizes.keys()
        #: The lines whose limit is divided, of those that have jobs here.
        self.divided = [line for line in sizes or () if self._shards.parts(line) > 1]

    def select(self, source: Iterable[Item]) -> Iterable[Item]:
        """Return the items of an input that are in this shard."""
        if isinstance(source, Source):
            return ShardSource(source, self)
        return ShardItems(items_of(source), self)

    def has(self, item: object) -> bool:
        """Whether a job is in this shard."""
        url = item.url if isinstance(item, Job) else str(item)
        return self._shards.place(_line(item), url) == self.shard.number

    def limit_of(self, line: str) -> int | None:
        """Return the most requests at once to a host."""
        found = self._part(line, self._per_host)
        return None if found is None else max(int(found), 1)

    def rate_of(self, line: str) -> float | None:
        """Return the requests a second to a host."""
        return self._part(line, None if self._rate is None else float(self._rate))

    def _part(self, line: str, limit: float | None) -> float | None:
        if limit is None:
            return None
        own = None
        if self._listed is None or line in self._listed:
            own = self._shards.limit(line, limit, self.shard.number)
        return own or share(limit, self.shard.count, self.shard.number - 1)


def _line(item: object) -> str:
    return item.line if isinstance(item, Job) else origin_of(str(item))


class ShardItems(Iterator[Item]):
    """The items of a shard, of an input that is read once."""

    def __init__(self, items: Iterable[Any], sharding: Sharding) -> None:
        self._items = iter(items)
        self._has = sharding.has

    def __next__(self) -> Item:
        while True:
            item: Item = next(self._items)
            if self._has(item):
                return item


class ShardSource(Source):
    """The items of a shard, of a list."""

    def __init__(self, source: Source, sharding: Sharding) -> None:
        self._source = source
        self.sharding = sharding
        self._has = sharding.has
        self.can_read_rest = source.can_read_rest
        self.size = source.size

    def __next__(self) -> Item:
        while True:
            item = next(self._source)
            if self._has(item):
                return item

    def peek_rest(self) -> Iterator[Item]:
        """Yield the items from here to the end, and stay here."""
        return filter(self._has, self._source.peek_rest())

    def is_file(self, path: object) -> bool:
        """Whether the list is read from this file."""
        return self._source.is_file(path)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the list."""
        self._source.close()
