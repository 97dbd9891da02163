"""The record of a directory: one row for each job that was ever in its input; see `rows`.

There is one writer: the process that holds the directory's lock. A change goes this way:

```
record --> handed in --commit--> tail (one sync for a group) --fold--> database (when 96 KiB are in)
```

Threads hand in changes by `record`. The first thread that needs a commit writes all that has come
in by then, and the others find theirs done. What a crash of the machine can lose is the last
commit, never the file. New rows go into the database itself, a batch in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

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
from pooledhttp.bulk.names import folded
from pooledhttp.bulk.rows import Filter, Row, State, Update, hash64
from pooledhttp.bulk.tail import Tail, read_tail

__all__ = ["Journal"]

#: So many bytes of changes are gathered before the database gets them.
_FOLD_BYTES = 96 * 1024

_COLUMNS = ", ".join(Row._fields)

_FIND = f"SELECT {_COLUMNS} FROM jobs WHERE identity_hash=?"

_ADD = (
    "INSERT INTO jobs(id, identity_hash, name_hash, url, identity, name, host)"
    " VALUES (?,?,?,?,?,?,?)"
)

_UPDATE = f"UPDATE jobs SET {', '.join(f'{name}=?' for name in Update._fields[1:])} WHERE id=?"

#: Of a new row: status, etag, modified, size, digest; attempts; error, started, ended.
_NOTHING_YET = (None, None, None, None, None, 0, None, None, None)


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
        self._lock = threading.RLock()  # guards the connection, and what goes through it
        self._gate = threading.Lock()  # guards the two below
        self._changes: list[Update] = []
        self._handed_in = 0
        self._committed = 0
        #: In the tail and not yet in the database: the last change of each row.
        self._tailed: dict[int, Update] = {}
        #: Added in this transaction and not yet in the database, by hash.
        self._new_rows: dict[int, Row] = {}
        self._new_names: dict[int, str] = {}
        self._to_insert: list[tuple[object, ...]] = []
        self._tail: Tail | None = None
        if os.path.islink(path):  # SQLite would follow it
            raise JournalError(f"{path} is a symbolic link, which a journal never is")
        with errors(path):
            self._db = connect(path, read_only=read_only)
            try:
                prepare(self._db, path, read_only=read_only)
                self._overlay = Overlay(self._db) if read_only else None
                if not read_only:
                    stamp = stamp_of(self._db)
                    assert stamp is not None, "prepare gives it one"
                    self._tailed = read_tail(path, stamp)
                    self._tail = Tail(path, stamp)
                #: Whether a name has more than one part.
                self.has_folders = bool(self._found("SELECT 1 FROM folders LIMIT ?", 1))
                (last,) = self._found("SELECT max(id) FROM jobs WHERE id>?", 0)
            except BaseException:
                self.close()
                raise
        self._next_id = 1 + (last[0] or 0)
        is_new = self._next_id == 1 and not read_only
        self._identities = Filter() if is_new else None
        self._names = Filter() if is_new else None

    # -- finding

    def find(self, url: str, identity: str | None) -> Row | None:
        """Return the row of a job, or None if it was never in the input."""
        number = hash64(url if identity is None else identity)
        if self._identities is not None and not self._identities.may_have(number):
            return None
        rows = [Row(*values) for values in self._found(_FIND, number)]
        if number in self._new_rows:
            rows.append(self._new_rows[number])
        for row in rows:
            if row.identity == identity and (identity is not None or row.url == url):
                return row
        return None

    def row(self, number: int) -> Row | None:
        """Return the row with this number."""
        found = self._found(f"SELECT {_COLUMNS} FROM jobs WHERE id=?", number)
        return Row(*found[0]) if found else None

    def is_name_taken(self, name: str) -> bool:
        """Whether a job has this name; `name` in the form that `folded` gives."""
        number = hash64(name)
        if self._names is not None and not self._names.may_have(number):
            return False
        if self._new_names.get(number) == name:
            return True
        return self._has_name("SELECT name FROM jobs WHERE name_hash=?", name)

    def is_folder(self, name: str) -> bool:
        """Whether names of jobs lie below this one; `name` in the form that `folded` gives."""
        return self._has_name("SELECT name FROM folders WHERE hash=?", name)

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
            upto, changes = self._handed_in_so_far()
            tailed, stamp = self._tailed, new_stamp()
            try:
                self._tailed = {}
                self._db.execute("BEGIN IMMEDIATE")
                self._apply({**tailed, **{change.id: change for change in changes}})
                yield
                self._insert_new()
                self._db.execute("UPDATE stamp SET value=?", (stamp,))
                self._db.execute("COMMIT")
            except BaseException:
                self._forget_new()
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                if not self._has_stamp(stamp):  # an interrupt may come right after the commit
                    self._tailed = tailed
                    raise
                self._begin_tail(stamp, upto, len(changes))
                raise
            self._begin_tail(stamp, upto, len(changes))

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
        for text in (url, identity, name):
            if text is not None and not text.isascii():
                text.encode()
        number, self._next_id = self._next_id, self._next_id + 1
        row = Row(number, url, identity, name, host, 0, *_NOTHING_YET)
        identity_hash = hash64(url if identity is None else identity)
        name_hash = None if folded_name is None else hash64(folded_name)
        if identity_hash in self._new_rows or name_hash in self._new_names:
            self._insert_new()
        self._new_rows[identity_hash] = row
        if self._identities is not None:
            self._identities.add(identity_hash)
        if name_hash is not None and folded_name is not None:
            self._new_names[name_hash] = folded_name
            if self._names is not None:
                self._names.add(name_hash)
        self._to_insert.append((number, identity_hash, name_hash, url, identity, name, host))
        return row

    def add_folder(self, name: str) -> None:
        """Note, inside a `transaction`, that names lie below this one."""
        self.has_folders = True
        self._db.execute("INSERT INTO folders(hash, name) VALUES (?,?)", (hash64(name), name))

    def set_url(self, number: int, url: str) -> None:
        """Give a job that has a key its new URL, inside a `transaction`."""
        self._insert_new()
        self._db.execute("UPDATE jobs SET url=? WHERE id=?", (url, number))

    def record(self, change: Update) -> int:
        """Hand in a change, to be committed with others; returns its number for `commit`."""
        with self._gate:
            self._changes.append(change)
            self._handed_in += 1
            return self._handed_in

    def commit(self, number: int | None = None) -> None:
        """Return when a change, and all before it, are committed.

        Args:
            number: What `record` returned; None for the last change of all.

        Raises:
            OSError: They could not be written; `errno` is ENOSPC when the disk is full. The changes
                are kept, and the next commit tries again.
        """
        if number is None:
            with self._gate:
                number = self._handed_in
        if self._committed >= number:
            return
        with self._lock:
            if self._committed < number:
                self._append()

    def close(self) -> None:
        """Close the file. What was recorded and not committed is lost."""
        with self._lock:
            if self._tail is not None:
                with suppress(OSError):  # else the next run does it
                    self._fold()
                self._tail.close()
                self._tail = None
            self._db.close()

    # -- inside

    def _append(self) -> None:
        """Write what was handed in to the tail, and fold that when it has become long."""
        assert self._tail is not None, "a journal that is read has no changes"
        upto, changes = self._handed_in_so_far()
        self._tail.append(changes)
        self._tailed.update((change.id, change) for change in changes)
        self._forget(upto, len(changes))
        if self._tail.size >= _FOLD_BYTES:
            self._fold()

    def _fold(self) -> None:
        """Bring what is in the tail into the database, and empty the tail."""
        if self._tailed:
            with self.transaction():
                pass

    def _begin_tail(self, stamp: str, upto: int, count: int) -> None:
        """The database has all that was handed in up to here."""
        self._forget(upto, count)
        if self._tail is not None:
            self._tail.restart(stamp)

    def _has_stamp(self, stamp: str) -> bool:
        with suppress(sqlite3.Error):
            return stamp_of(self._db) == stamp
        return False

    def _apply(self, changes: dict[int, Update]) -> None:
        self._db.executemany(_UPDATE, [(*values, number) for number, *values in changes.values()])

    def _insert_new(self) -> None:
        self._db.executemany(_ADD, self._to_insert)
        self._forget_new()

    def _forget_new(self) -> None:
        self._to_insert = []
        self._new_rows = {}
        self._new_names = {}

    def _handed_in_so_far(self) -> tuple[int, list[Update]]:
        with self._gate:
            return self._handed_in, list(self._changes)

    def _forget(self, upto: int, count: int) -> None:
        # An interrupt before this line leaves changes that are written once more: no harm.
        with self._gate:
            del self._changes[:count]
            self._committed = upto

    def _has_name(self, query: str, name: str) -> bool:
        return any(folded(other) == name for (other,) in self._found(query, hash64(name)))

    def _found(self, query: str, value: int) -> list[tuple[Any, ...]]:
        # Called several times for every line of a list; a context manager would double its cost.
        with self._lock:
            if self._tailed:
                self._fold()
            try:
                if self._overlay is not None:
                    return self._found_with_tail(self._overlay, query, value)
                return self._db.execute(query, (value,)).fetchall()
            except sqlite3.Error as error:
                raise as_os_error(error, self.path) from error

    def _found_with_tail(self, overlay: Overlay, query: str, value: int) -> list[tuple[Any, ...]]:
        """Ask for rows as database and tail have them: the transaction keeps both as they are."""
        self._db.execute("BEGIN")
        try:
            stamp = stamp_of(self._db)
            overlay.show({} if stamp is None else read_tail(self.path, stamp))
            return self._db.execute(query, (value,)).fetchall()
        finally:
            self._db.execute("ROLLBACK")
