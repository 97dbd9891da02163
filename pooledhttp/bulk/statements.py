"""The statements that write to a journal, and the rows that wait to be inserted.

For every parameter that is None, Python's `sqlite3` looks for an adapter. That costs 0.8 us, and a
row of a plain download has six of them. So what is NULL stands in the text of the statement, and
what has the same columns NULL is written together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from itertools import chain, compress, groupby, repeat
from operator import is_, is_not, itemgetter

from pooledhttp.bulk.rows import Row, Update

__all__ = ["NewRows", "apply_changes", "new_row", "new_rows"]

_ADDED = ("id", "identity_hash", "name_hash", "url", "identity", "name", "host")

#: Of a new row: status, etag, modified, size, digest; attempts; error, started, ended, waited.
_NOTHING_YET = (None, None, None, None, None, 0, None, None, None, None)

#: Which of them are NULL in the row of a plain GET.
_PLAIN = tuple(name == "identity" for name in _ADDED)

_NONES = repeat(None)

#: Not by `Row()`, whose `__new__` is a function in Python.
_as_row = partial(tuple.__new__, Row)

_Values = list[object]
_Pattern = tuple[bool, ...]


class NewRows:
    """Rows that were added in a transaction, and are inserted together at its end.

    `by_identity` has them by the hash of their identity, `names` the folded names by their hash.
    """

    def __init__(self) -> None:
        self.by_identity: dict[int, Row] = {}
        self.names: dict[int, str] = {}
        self._groups: dict[_Pattern, list[_Values]] = {}
        #: The values of one row behind those of the other: a tuple for each would have to be
        #: visited by the cyclic collector.
        self._plain: list[object] = []

    def has(self, identity_hash: int, name_hash: int | None) -> bool:
        """Whether a row has one of these hashes, so that it hides another one with the same."""
        return identity_hash in self.by_identity or name_hash in self.names

    def add(
        self, row: Row, identity_hash: int, name_hash: int | None, folded_name: str | None
    ) -> None:
        """Add a row that is in no database yet."""
        self.by_identity[identity_hash] = row
        number, url, identity, name, host = row[:5]
        if name_hash is not None and folded_name is not None:
            self.names[name_hash] = folded_name
            if identity is None:  # as nearly every row: its group is known
                self._plain += (number, identity_hash, name_hash, url, name, host)
                return
        _put(self._groups, (number, identity_hash, name_hash, url, identity, name, host))

    def add_plain(
        self,
        rows: Sequence[Row],
        columns: tuple[Sequence[int], Sequence[int], Sequence[str], Sequence[str], Sequence[str]],
        keys: Sequence[str],
    ) -> None:
        """Add rows of plain GETs, none of whose hashes a row here has.

        Args:
            rows: The rows; their numbers follow each other.
            columns: The hashes of their identities and of their names; URLs, names and hosts.
            keys: Their names in the form that `folded` gives.
        """
        identity_hashes, name_hashes = columns[:2]
        self.by_identity.update(zip(identity_hashes, rows, strict=True))
        self.names.update(zip(name_hashes, keys, strict=True))
        first = rows[0].id
        numbers = range(first, first + len(rows))
        self._plain += chain.from_iterable(zip(numbers, *columns, strict=True))

    def insert(self, db: sqlite3.Connection) -> None:
        """Insert them, and forget them."""
        db.executemany(_insert_statement(_PLAIN), zip(*[iter(self._plain)] * 6, strict=True))
        for pattern, rows in self._groups.items():
            db.executemany(_insert_statement(pattern), rows)
        self.forget()

    def forget(self) -> None:
        """Forget all rows that wait to be inserted."""
        self.by_identity, self.names, self._groups, self._plain = {}, {}, {}, []


def new_row(number: int, url: str, identity: str | None, name: str | None, host: str) -> Row:
    """Return the row of a job that is pending."""
    return tuple.__new__(Row, (number, url, identity, name, host, 0, *_NOTHING_YET))


def new_rows(
    first: int, urls: Sequence[str], names: Sequence[str], hosts: Sequence[str]
) -> list[Row]:
    """Return the rows of plain GETs that are pending; `first` is the number of the first."""
    numbers = range(first, first + len(urls))
    same = map(repeat, (0, *_NOTHING_YET))
    return list(map(_as_row, zip(numbers, urls, _NONES, names, hosts, *same, strict=False)))


def apply_changes(db: sqlite3.Connection, changes: Iterable[Update]) -> None:
    """Write changes, at most one for each row, to the database."""
    for pattern, alike in groupby(changes, _pattern_of):
        db.executemany(_update_statement(pattern), map(_parameters_of(pattern), alike))


def _pattern_of(change: Update) -> _Pattern:
    return tuple(map(is_, change, _NONES))


@lru_cache(maxsize=256)
def _parameters_of(is_null: _Pattern) -> itemgetter[tuple[object, ...]]:
    """Return what picks the values of a change as its statement wants them: the number last."""
    places = [place for place, null in enumerate(is_null) if place and not null]
    return itemgetter(*places, 0)  # in C: a function for each change would cost three times as much


def _put(groups: dict[_Pattern, list[_Values]], values: tuple[object, ...]) -> None:
    """Put values to those that have None in the same places."""
    # By functions written in C: a comprehension would cost four times as much.
    pattern = tuple(map(is_, values, _NONES))
    known = list(compress(values, map(is_not, values, _NONES)))
    group = groups.get(pattern)
    if group is None:
        groups[pattern] = [known]
    else:
        group.append(known)


@lru_cache(maxsize=64)
def _insert_statement(is_null: _Pattern) -> str:
    names = [name for name, null in zip(_ADDED, is_null, strict=True) if not null]
    return f"INSERT INTO jobs({', '.join(names)}) VALUES ({','.join('?' * len(names))})"


@lru_cache(maxsize=256)
def _update_statement(is_null: _Pattern) -> str:
    settings = [
        f"{name}=NULL" if null else f"{name}=?"
        for name, null in zip(Update._fields[1:], is_null[1:], strict=True)
    ]
    return f"UPDATE jobs SET {', '.join(settings)} WHERE id=?"
