"""The record of a directory: one row for each job that was ever in its input; see `rows`.

The file is SQLite with `journal_mode=TRUNCATE`. A write-ahead log cannot be read on a full disk,
nor on storage that two machines share. There is one writer: the process that holds the directory's
lock.

Threads hand in changes by `record`. Changes are committed together: the first thread that needs a
commit writes all that has come in by then, and the others find theirs done. `synchronous=NORMAL`
syncs at every commit; what a crash of the machine can lose is the last commit, never the file.

Rows are found by 64-bit hashes, because an index over text would double the size of the file. A
hash that fits is always compared with the text itself.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOSPC
from typing import Any

from pooledhttp.bulk.names import folded
from pooledhttp.bulk.rows import Filter, Row, State, Update, hash64

__all__ = ["Journal", "JournalError"]

#: "phtp" in ASCII, so that `file` and we know the format.
_APPLICATION_ID = 0x70687470
_VERSION = 1

#: Pages of the two indexes stay in memory; a million rows need about 40 MB.
_CACHE_KIB = 48 * 1024

#: A reader (`pooledhttp status`) may hold up a commit this long.
_BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE jobs(
    id INTEGER PRIMARY KEY,
    identity_hash INTEGER NOT NULL,
    name_hash INTEGER,
    url TEXT NOT NULL,
    identity TEXT,
    name TEXT,
    host TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    etag TEXT,
    modified TEXT,
    size INTEGER,
    digest TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    started REAL,
    ended REAL
);
CREATE INDEX jobs_identity ON jobs(identity_hash);
CREATE INDEX jobs_name ON jobs(name_hash) WHERE name_hash IS NOT NULL;
CREATE INDEX jobs_under_way ON jobs(id) WHERE state IN (1, 2);
CREATE TABLE folders(hash INTEGER NOT NULL, name TEXT NOT NULL);
CREATE INDEX folders_hash ON folders(hash);
"""

_COLUMNS = (
    "id, url, identity, name, host, state, status, etag, modified, size, digest, attempts,"
    " error, started, ended"
)


class JournalError(OSError):
    """The journal cannot be used: it is broken, from a newer version, or not a journal at all."""


_UPDATE = (
    "UPDATE jobs SET state=?, status=?, etag=?, modified=?, size=?, digest=?, attempts=?, error=?,"
    " started=?, ended=? WHERE id=?"
)

#: Of a new row: status, etag, modified, size, digest; attempts; error, started, ended.
_NOTHING_YET = (None, None, None, None, None, 0, None, None, None)

_FIND = f"SELECT {_COLUMNS} FROM jobs WHERE identity_hash=?"


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
        self._lock = threading.RLock()  # guards the connection
        self._gate = threading.Lock()  # guards the two below
        self._changes: list[Update] = []
        self._handed_in = 0
        self._committed = 0
        if os.path.islink(path):  # SQLite would follow it
            raise JournalError(f"{path} is a symbolic link, which a journal never is")
        with self._errors():
            self._db = self._connect(read_only)
            try:
                self._check_or_create(read_only)
                #: Whether a name has more than one part.
                self.has_folders = bool(self._one("SELECT 1 FROM folders LIMIT 1"))
                self._next_id = 1 + (self._one("SELECT max(id) FROM jobs") or 0)
                is_new = self._next_id == 1 and not read_only
                self._identities = Filter() if is_new else None
                self._names = Filter() if is_new else None
            except BaseException:
                self._db.close()
                raise

    # -- finding

    def find(self, url: str, identity: str | None) -> Row | None:
        """Return the row of a job, or None if it was never in the input."""
        number = hash64(url if identity is None else identity)
        if self._identities is not None and not self._identities.may_have(number):
            return None
        for values in self._found(_FIND, number):
            if values[2] == identity and (identity is not None or values[1] == url):
                return Row._make(values)
        return None

    def row(self, number: int) -> Row | None:
        """Return the row with this number."""
        found = self._found(f"SELECT {_COLUMNS} FROM jobs WHERE id=?", number)
        return Row._make(found[0]) if found else None

    def is_name_taken(self, name: str) -> bool:
        """Whether a job has this name; `name` in the form that `folded` gives."""
        if self._names is not None and not self._names.may_have(hash64(name)):
            return False
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
            with self._lock, self._errors():
                page = [Row._make(values) for values in self._db.execute(query, (last,))]
            yield from page
            if len(page) < 1000:
                return
            last = page[-1].id

    def counts(self) -> dict[State, tuple[int, int]]:
        """Return the number of jobs and of bytes for each state that occurs."""
        with self._lock, self._errors():
            found = self._db.execute(
                "SELECT state, count(*), total(size) FROM jobs GROUP BY state"
            ).fetchall()
        return {State(state): (count, int(size)) for state, count, size in found}

    # -- changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block adds, all of it or nothing, with the changes handed in before."""
        with self._lock, self._errors():
            upto, changes = self._handed_in_so_far()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(_UPDATE, [(*values, number) for number, *values in changes])
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._forget(upto, len(changes))

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
        """
        number = self._next_id
        identity_hash = hash64(url if identity is None else identity)
        name_hash = None if folded_name is None else hash64(folded_name)
        self._db.execute(
            "INSERT INTO jobs(id, identity_hash, name_hash, url, identity, name, host)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                number,
                identity_hash,
                name_hash,
                url,
                identity,
                name,
                host,
            ),
        )
        self._next_id += 1
        if self._identities is not None and self._names is not None:
            self._identities.add(identity_hash)
            if name_hash is not None:
                self._names.add(name_hash)
        return Row(number, url, identity, name, host, 0, *_NOTHING_YET)

    def add_folder(self, name: str) -> None:
        """Note, inside a `transaction`, that names lie below this one."""
        self.has_folders = True
        self._db.execute("INSERT INTO folders(hash, name) VALUES (?,?)", (hash64(name), name))

    def set_url(self, number: int, url: str) -> None:
        """Give a job that has a key its new URL, inside a `transaction`."""
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
                with self.transaction():
                    pass

    def close(self) -> None:
        """Close the file. What was recorded and not committed is lost."""
        with self._lock:
            self._db.close()

    # -- inside

    def _handed_in_so_far(self) -> tuple[int, list[Update]]:
        with self._gate:
            return self._handed_in, list(self._changes)

    def _forget(self, upto: int, count: int) -> None:
        # An interrupt before this line leaves changes that are written once more: no harm.
        with self._gate:
            del self._changes[:count]
            self._committed = upto

    def _has_name(self, query: str, name: str) -> bool:
        found = self._found(query, hash64(name))
        return any(folded(other) == name for (other,) in found) if found else False

    def _found(self, query: str, value: int) -> list[tuple[Any, ...]]:
        # Called several times for every line of a list; a context manager would double its cost.
        with self._lock:
            try:
                return self._db.execute(query, (value,)).fetchall()
            except sqlite3.Error as error:
                raise _as_os_error(error, self.path) from error

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        # Also a reader may have to roll back what a killed run has begun, so it writes if it may.
        mode = "rwc" if not read_only else "rw" if os.access(self.path, os.W_OK) else "ro"
        uri = "file:" + "".join(
            f"%{ord(letter):02x}" if letter in "%?#" else letter for letter in self.path
        )
        return sqlite3.connect(
            f"{uri}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=32,
        )

    def _check_or_create(self, read_only: bool) -> None:
        application = self._one("PRAGMA application_id")
        version = self._one("PRAGMA user_version") or 0
        is_new = not self._one("SELECT count(*) FROM sqlite_schema")
        if not is_new and application != _APPLICATION_ID:
            raise JournalError(f"{self.path} is not a journal of pooledhttp")
        if version > _VERSION:
            raise JournalError(
                f"{self.path} was written by a newer version of pooledhttp (format {version}, this"
                f" one knows {_VERSION}). Use that version for this directory."
            )
        if read_only:
            if is_new:
                raise JournalError(f"{self.path} is empty: no run has begun in this directory")
            self._db.execute("PRAGMA query_only=ON")
            return
        self._db.execute("PRAGMA journal_mode=TRUNCATE")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        if is_new:
            self._create()

    def _create(self) -> None:
        self._db.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={_APPLICATION_ID};"
            f" PRAGMA user_version={_VERSION}; COMMIT;"
        )

    def _one(self, query: str, *values: object) -> int | None:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise SQLite's errors as errors of the operating system."""
        try:
            yield
        except sqlite3.Error as error:
            raise _as_os_error(error, self.path) from error


#: What SQLite's primary result codes mean here.
_FULL = 13
_IO_ERROR = 10
_BROKEN = {11, 26}  # malformed, not a database


def _as_os_error(exc: sqlite3.Error, path: str) -> OSError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == _FULL or (code == _IO_ERROR and _is_disk_full(path)):
        return OSError(ENOSPC, os.strerror(ENOSPC), path)
    if code in _BROKEN:
        return JournalError(
            f"{path} is broken ({exc}). Move it away and run again with --rebuild, which takes over"
            " the files that are there."
        )
    return JournalError(f"{path}: {exc}")


def _is_disk_full(path: str) -> bool:
    """Whether there is no room for another page, which SQLite reports as an I/O error at times."""
    try:
        disk = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024


def read_copy(path: str, folder: str) -> str:
    """Copy a journal and its rollback file into a folder, for a directory that cannot be written.

    A journal whose last run was killed has to be rolled back when it is opened, which needs a file
    that can be written.

    Returns:
        The path of the copy.
    """
    copy = os.path.join(folder, os.path.basename(path))
    shutil.copyfile(path, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{path}-journal", f"{copy}-journal")
    return copy
