"""Finds the rows with a hash, if possible without asking the database.

```
no indexes yet, up to 1,250,000 rows   the table knows all rows
more rows                              the indexes are made, and a filter knows what is not there
opened with indexes                    only the database knows
```

A journal gets its indexes when it is closed. After a crash the next run finds none, and reads the
hashes of all rows into the table: a second for a million.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from pooledhttp.bulk.database import has_indexes, make_indexes
from pooledhttp.bulk.hashes import Filter, HashTable, add_free

__all__ = ["Lookup"]

#: Tables of more rows would need more than 50 MB.
_MOST_IN_MEMORY = 1_250_000


class Lookup:
    """The hashes of a journal's rows. The caller holds the journal's lock where a database is used.

    Args:
        db: The database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._last = 0
        self._identities: HashTable | Filter | None = None
        self._names: HashTable | Filter | None = None
        if not has_indexes(db):
            self._identities, self._names = HashTable(), HashTable()
            self.read_on(db)

    @property
    def is_in_memory(self) -> bool:
        """Whether the database has no indexes that it could be asked by."""
        return isinstance(self._identities, HashTable)

    def identities(self, number: int) -> Sequence[int] | None:
        """Return the rows whose identity may have this hash; None if the database has to say."""
        return None if self._identities is None else self._identities.rows(number)

    def names(self, number: int) -> Sequence[int] | None:
        """Return the rows whose name may have this hash; None if the database has to say."""
        return None if self._names is None else self._names.rows(number)

    def add(self, row: int, identity_hash: int, name_hash: int | None) -> None:
        """Note a new row."""
        if self._identities is not None:
            self._identities.add(identity_hash, row)
        if name_hash is not None:
            self.add_name(row, name_hash)

    def add_free(
        self,
        identity_hashes: Sequence[int],
        name_hashes: Sequence[int],
        start: int,
        row: int,
        rename: Callable[[int], int],
    ) -> int:
        """Note new rows as long as their hashes are new; see `hashes.add_free`.

        Returns:
            How many were noted; none where the database has to be asked.
        """
        identities, names = self._identities, self._names
        if not isinstance(identities, HashTable) or not isinstance(names, HashTable):
            return 0
        return add_free(identities, names, identity_hashes, name_hashes, start, row, rename)

    def add_name(self, row: int, name_hash: int) -> None:
        """Note another name of a row. The text tells that it has the earlier one no more."""
        if self._names is not None:
            self._names.add(name_hash, row)

    def read_on(self, db: sqlite3.Connection) -> None:
        """Note the rows that came into the database since the last time."""
        if not self.is_in_memory:
            return
        query = "SELECT id, identity_hash, name_hash FROM main.jobs WHERE id>? ORDER BY id"
        for row, identity_hash, name_hash in db.execute(query, (self._last,)):
            self.add(row, identity_hash, name_hash)
            self._last = row

    def store(self, db: sqlite3.Connection, *, at_end: bool = False) -> None:
        """Make the indexes, at the end or if there are too many rows for the memory.

        Raises:
            sqlite3.Error: There is no room for them. The tables stay.
        """
        identities, names = self._identities, self._names
        if not isinstance(identities, HashTable) or not isinstance(names, HashTable):
            return
        if at_end and len(identities):  # no more questions come, so there need be no filters
            make_indexes(db)
            self._identities = self._names = None
        elif len(identities) > _MOST_IN_MEMORY:
            make_indexes(db)
            self._identities, self._names = identities.to_filter(), names.to_filter()
