"""The record of a directory: one row for each job that was ever in its input; see `rows`.

There is one writer: the process that holds the directory's lock. A change goes this way:

```
record --> handed in --commit--> tail (one sync for a group) --fold at 96 KiB--> database
```

Threads hand in changes by `record`. The first thread that needs a commit writes all that has come
in by then, and the others find theirs done. What a crash of the machine can lose is the last
commit, never the file. New rows go into the database itself, a batch in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any

from pooledhttp.bulk.changes import Changes
from pooledhttp.bulk.database import (
    JournalError,
    Overlay,
    as_os_error,
    connect,
    errors,
    new_stamp,
    prepare,
    stamp_of,
)
from pooledhttp.bulk.hashes import hash64
from pooledhttp.bulk.lookup import Lookup
from pooledhttp.bulk.names import folded
from pooledhttp.bulk.plain_lines import PlainLines
from pooledhttp.bulk.rows import Row, State, Update
from pooledhttp.bulk.statements import NewRows, apply_changes, new_row, new_rows
from pooledhttp.bulk.stopping import is_disk_full
from pooledhttp.bulk.tail import Tail, read_tail
from pooledhttp.runtime import new_rlock

__all__ = ["Journal"]

#: So many bytes of changes are gathered before the database gets them.
_FOLD_BYTES = 96 * 1024

#: A comprehension would cost ten times as much.
_number_of = itemgetter(0)

_COLUMNS = ", ".join(Row._fields)

_BY_NUMBER = f"SELECT {_COLUMNS} FROM jobs WHERE id=?"

_NAME_OF_NUMBER = "SELECT name FROM jobs WHERE id=?"

_BY_IDENTITY = f"SELECT {_COLUMNS} FROM jobs WHERE identity_hash=?"


class Journal:
    """An open journal. Any thread may use it.

    Args:
        path: The file; made when it is missing, unless `read_only`.
        read_only: Change nothing.

    Raises:
        JournalError: The file is broken, or a newer version made it.
        OSError: It cannot be opened or made.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = new_rlock()  # guards the connection, and what goes through it
        self._changes = Changes()
        #: In the tail and not yet in the database: the last change of each row.
        self._tailed: dict[int, Update] = {}
        #: Added in this transaction and not yet in the database.
        self._new = NewRows()
        self._tail: Tail | None = None
        #: Reads the database and its tail beside the writer, while the disk is full.
        self._beside: tuple[sqlite3.Connection, Overlay] | None = None
        if os.path.islink(path):  # SQLite would follow it
            raise JournalError(f"{path} is a symbolic link, which a journal never is")
        with errors(path):
            self._db = connect(path, read_only=read_only)
            try:
                prepare(self._db, path, read_only=read_only)
                self._lookup = Lookup(self._db)
                self._overlay = Overlay(self._db, path) if read_only else None
                if not read_only:
                    stamp = stamp_of(self._db)
                    assert stamp is not None, "prepare gives it one"
                    self._tailed, size = read_tail(path, stamp)
                    self._tail = Tail(path, stamp, size)
                #: Whether a name has more than one part.
                self.has_folders = bool(self._found("SELECT 1 FROM folders LIMIT ?", 1))
                (last,) = self._found("SELECT max(id) FROM jobs WHERE id>?", 0)
            except BaseException:
                self.close()
                raise
        self._next_id = 1 + (last[0] or 0)

    # -- finding

    def find(self, url: str, identity: str | None) -> Row | None:
        """Return the row of a job, or None if it was never in the input."""
        number = hash64(url if identity is None else identity)
        if self._overlay is not None:
            with self._lock, errors(self.path):
                self._lookup.read_on(self._db)
        numbers = self._lookup.identities(number)
        if numbers is None:
            found = self._found(_BY_IDENTITY, number)
        elif not numbers:
            return None
        else:
            found = [values for each in numbers for values in self._found(_BY_NUMBER, each)]
        rows = [Row(*values) for values in found]
        if number in self._new.by_identity:
            rows.append(self._new.by_identity[number])
        for row in rows:
            if row.identity == identity and (identity is not None or row.url == url):
                return row
        return None

    def row(self, number: int) -> Row | None:
        """Return the row with this number, with the changes that were handed in.

        Also with those that no commit had room for: by an older state, the part of a body that was
        received would be of no use.
        """
        found = self._found(_BY_NUMBER, number)
        if not found:
            return None
        row, change = Row(*found[0]), self._changes.last_of(number)
        return row if change is None else row._replace(**change._asdict())

    def is_name_taken(self, name: str) -> bool:
        """Whether a job has this name; `name` in the form that `folded` gives."""
        number = hash64(name)
        numbers = self._lookup.names(number)
        if numbers is not None and not numbers:
            return False
        if self._new.names.get(number) == name:
            return True
        if numbers is None:
            return self._has_name("SELECT name FROM jobs WHERE name_hash=?", name, number)
        return any(self._has_name(_NAME_OF_NUMBER, name, each) for each in numbers)

    def is_folder(self, name: str) -> bool:
        """Whether names of jobs lie below this one; `name` in the form that `folded` gives."""
        return self._has_name("SELECT name FROM folders WHERE hash=?", name, hash64(name))

    def rows(self, *states: State) -> Iterator[Row]:
        """Yield rows in the order in which they were added; without states, all of them.

        The caller may change rows meanwhile.
        """
        where = f"state IN ({','.join(str(int(state)) for state in states)}) AND" if states else ""
        query = f"SELECT {_COLUMNS} FROM jobs WHERE {where} id>? ORDER BY id LIMIT 1000"
        last = 0
        while True:
            page = self._found(query, last)
            yield from map(Row._make, page)
            if len(page) < 1000:
                return
            last = page[-1][0]

    def counts(self) -> dict[State, tuple[int, int]]:
        """Return the number of jobs and of bytes for each state that occurs."""
        query = "SELECT state, count(*), total(size) FROM jobs WHERE id>? GROUP BY state"
        return {State(state): (count, int(size)) for state, count, size in self._found(query, 0)}

    # -- changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block adds, all of it or nothing, with the changes handed in before."""
        with self._lock, errors(self.path):
            number, changes = self._changes.waiting()
            tailed, stamp = self._tailed, new_stamp()
            try:
                self._tailed = {}
                self._db.execute("BEGIN IMMEDIATE")
                apply_changes(self._db, {**tailed, **{each.id: each for each in changes}}.values())
                yield
                self._new.insert(self._db)
                self._db.execute("UPDATE stamp SET value=?", (stamp,))
                self._db.execute("COMMIT")
            except BaseException:
                self._new.forget()
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if not self._has_stamp(stamp):  # an interrupt may come right after the commit
                    self._tailed = tailed
                    raise
                self._begin_tail(stamp, number, len(changes))
                raise
            self._begin_tail(stamp, number, len(changes))
            with suppress(sqlite3.Error):  # no room: the tables are kept, and grow
                self._lookup.store(self._db)

    def add(
        self,
        url: str,
        identity: str | None,
        name: str | None,
        folded_name: str | None,
        host: str,
    ) -> Row:
        """Add a pending job, inside a `transaction`.

        Args:
            url: Its URL, without fragment.
            identity: What tells it from others, or None if the URL does.
            name: The name of its file; None for a line that is no URL.
            folded_name: The same in the form that `folded` gives.
            host: Its host, for counts.

        Raises:
            ValueError: A text cannot be stored: it has halves of characters (lone surrogates).
        """
        texts = f"{url}{identity}{name}"
        if not texts.isascii():
            texts.encode()
        number, self._next_id = self._next_id, self._next_id + 1
        row = new_row(number, url, identity, name, host)
        identity_hash = hash64(url if identity is None else identity)
        name_hash = None if folded_name is None else hash64(folded_name)
        if self._new.has(identity_hash, name_hash):
            self._new.insert(self._db)
        self._new.add(row, identity_hash, name_hash, folded_name)
        self._lookup.add(number, identity_hash, name_hash)
        return row

    @property
    def takes_plain(self) -> bool:
        """Whether `add_plain` may add any line."""
        return self._lookup.is_in_memory and not self.has_folders

    def add_plain(self, lines: PlainLines, start: int) -> list[Row]:
        """Add pending jobs of plain URLs, inside a `transaction`.

        Args:
            lines: The URLs, with their names.
            start: The first of them to add.

        Returns:
            The rows, up to the first line that is not plain, or whose URL the journal may have
            already, or both its names.
        """
        first = self._next_id
        hashes = lines.identity_hashes, lines.name_hashes
        count = self._lookup.add_free(*hashes, start, first, lines.mark_name)
        if not count:
            return []
        self._next_id += count
        part = slice(start, start + count)
        urls, names, hosts = lines.urls[part], lines.names[part], lines.hosts[part]
        rows = new_rows(first, urls, names, hosts)
        added = lines.identity_hashes[part], lines.name_hashes[part]
        self._new.add_plain(rows, (*added, urls, names, hosts), lines.keys[part])
        return rows

    def add_folder(self, name: str) -> None:
        """Note, inside a `transaction`, that names lie below this one."""
        self.has_folders = True
        self._db.execute("INSERT INTO folders(hash, name) VALUES (?,?)", (hash64(name), name))

    def set_url(self, number: int, url: str) -> None:
        """Give a job that has a key its new URL, inside a `transaction`."""
        self._new.insert(self._db)
        self._db.execute("UPDATE jobs SET url=? WHERE id=?", (url, number))

    def set_name(self, number: int, name: str, folded_name: str) -> None:
        """Give a job another name, inside a `transaction`."""
        self._new.insert(self._db)
        name_hash = hash64(folded_name)
        self._db.execute(
            "UPDATE jobs SET name=?, name_hash=? WHERE id=?", (name, name_hash, number)
        )
        self._lookup.add_name(number, name_hash)

    def record(self, change: Update) -> int:
        """Hand in a change, to be committed with others; returns its number for `commit`."""
        return self._changes.add(change)

    def record_all(self, changes: Sequence[Update]) -> int:
        """Hand in changes together; returns the number of the last one."""
        return self._changes.add_all(changes)

    def commit(self, number: int | None = None) -> None:
        """Return when a change, and all before it, are committed.

        Args:
            number: What `record` returned; None for the last change of all.

        Raises:
            OSError: They could not be written; `errno` is ENOSPC when the disk is full. The changes
                are kept, and the next commit tries again.
        """
        if number is None:
            number = self._changes.last()
        if self._changes.is_committed(number):
            return
        with self._lock:
            if not self._changes.is_committed(number):
                self._append()

    def close(self) -> None:
        """Close the file. What was recorded and not committed is lost."""
        with self._lock:
            if self._beside is not None:
                self._beside[0].close()
                self._beside = None
            if self._tail is not None:
                with suppress(OSError):  # else the next run does it
                    self._fold()
                with suppress(AttributeError, sqlite3.Error):  # not so far; no room for indexes
                    self._lookup.store(self._db, at_end=True)
                self._tail.close(is_needed=bool(self._tailed))
                self._tail = None
            self._db.close()

    # -- inside

    def _append(self) -> None:
        """Write what was handed in to the tail, and fold that when it has become long."""
        assert self._tail is not None, "a journal that is read has no changes"
        number, changes = self._changes.waiting()
        self._tail.append(changes, self._tailed)
        self._tailed.update(zip(map(_number_of, changes), changes, strict=True))
        self._changes.mark_committed(number, len(changes))
        if self._tail.size >= _FOLD_BYTES:
            self._fold()

    def _fold(self) -> None:
        """Bring what is in the tail into the database, and empty the tail."""
        if self._tailed:
            with self.transaction():
                pass

    def _begin_tail(self, stamp: str, number: int, count: int) -> None:
        """The database has all that was handed in up to here."""
        self._changes.mark_committed(number, count)
        if self._tail is not None:
            self._tail.restart(stamp)

    def _has_stamp(self, stamp: str) -> bool:
        with suppress(sqlite3.Error):
            return stamp_of(self._db) == stamp
        return False

    def _has_name(self, query: str, name: str, value: int) -> bool:
        return any(folded(other) == name for (other,) in self._found(query, value))

    def _found(self, query: str, value: int) -> list[tuple[Any, ...]]:
        # Called several times for every line of a list; a context manager would double its cost.
        with self._lock:
            try:
                if self._overlay is None and (not self._tailed or self._has_folded()):
                    return self._db.execute(query, (value,)).fetchall()
                return self._both().found(query, value)
            except sqlite3.Error as error:
                raise as_os_error(error, self.path) from error

    def _has_folded(self) -> bool:
        """Fold the tail; False if there is no room for that, which no reader needs."""
        try:
            self._fold()
        except OSError as error:
            if not is_disk_full(error):
                raise
            return False
        return True

    def _both(self) -> Overlay:
        """Return what reads the database and its tail together."""
        if self._overlay is not None:
            return self._overlay
        if self._beside is None:
            db = connect(self.path, read_only=True)
            self._beside = db, Overlay(db, self.path)
        return self._beside[1]
