"""The SQLite file of a journal: its format, how it is opened, and the meaning of its errors.

`journal_mode=TRUNCATE`, because a write-ahead log cannot be read on a full disk, nor on storage
that two machines share. `synchronous=NORMAL` syncs at every commit.

Rows are found by 64-bit hashes, because an index over text would double the size of the file. A
hash that fits is always compared with the text itself.

Format 1 had no `stamp`, format 2 no `waited`, format 3 no short changes in
its tail. They are changed when they are opened for writing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOSPC
from typing import Any

from pooledhttp.bulk.rows import Update
from pooledhttp.bulk.tail import read_tail, tail_path

__all__ = [
    "JournalError",
    "Overlay",
    "as_os_error",
    "connect",
    "errors",
    "has_indexes",
    "make_indexes",
    "new_stamp",
    "prepare",
    "read_copy",
    "stamp_of",
]

#: "phtp" in ASCII: it tells the format to the program `file` and to us.
_APPLICATION_ID = 0x70687470
_VERSION = 4

#: Pages of the two indexes stay in memory; those of a million rows have about 40 MB.
_CACHE_KIB = 48 * 1024

#: Without indexes, rows come at the end, and go from there.
_CACHE_WITHOUT_INDEXES_KIB = 16 * 1024

#: A commit waits at most this long for a reader such as `pooledhttp status`.
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
    ended REAL,
    waited REAL
);
CREATE INDEX jobs_under_way ON jobs(id) WHERE state IN (1, 2);
CREATE TABLE folders(hash INTEGER NOT NULL, name TEXT NOT NULL);
CREATE INDEX folders_hash ON folders(hash);
"""

#: A new journal has these at its end; see `hashes`.
_INDEXES = """
BEGIN IMMEDIATE;
CREATE INDEX IF NOT EXISTS jobs_identity ON jobs(identity_hash);
CREATE INDEX IF NOT EXISTS jobs_name ON jobs(name_hash) WHERE name_hash IS NOT NULL;
COMMIT;
"""

#: What a database is known by, so that it takes no tail but its own; see `tail`.
_ADD_STAMP = """
CREATE TABLE stamp(value TEXT NOT NULL);
INSERT INTO stamp VALUES ('{stamp}');
"""

_ADD_WAITED = "ALTER TABLE jobs ADD COLUMN waited REAL;"


class JournalError(OSError):
    """The journal cannot be used: it is broken, from a newer version, or not a journal at all."""


def connect(path: str, *, read_only: bool) -> sqlite3.Connection:
    """Open the file of a journal; made when it is missing, unless `read_only`."""
    # Also a reader may have to roll back what a killed run has begun, so it writes if it may.
    mode = "rwc" if not read_only else "rw" if os.access(path, os.W_OK) else "ro"
    uri = "file:" + "".join(f"%{ord(letter):02x}" if letter in "%?#" else letter for letter in path)
    return sqlite3.connect(
        f"{uri}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=32,
    )


def prepare(db: sqlite3.Connection, path: str, *, read_only: bool) -> None:
    """Check the format, and make what is missing.

    Raises:
        JournalError: It is no journal, or of a newer version.
        sqlite3.Error: It is broken.
    """
    version = _value(db, "PRAGMA user_version")
    is_new = not _value(db, "SELECT count(*) FROM sqlite_schema")
    if not is_new and _value(db, "PRAGMA application_id") != _APPLICATION_ID:
        raise JournalError(f"{path} is not a journal of pooledhttp")
    if version > _VERSION:
        raise JournalError(
            f"{path} was written by a newer version of pooledhttp (format {version}, this"
            f" one knows {_VERSION}). Use that version for this directory."
        )
    if read_only:
        if is_new:
            raise JournalError(f"{path} is empty: no run has begun in this directory")
        return
    db.execute("PRAGMA journal_mode=TRUNCATE")
    db.execute("PRAGMA synchronous=NORMAL")
    has = not is_new and has_indexes(db)
    db.execute(f"PRAGMA cache_size=-{_CACHE_KIB if has else _CACHE_WITHOUT_INDEXES_KIB}")
    if version != _VERSION:
        steps = []
        if is_new:
            steps.append(f"{_SCHEMA} PRAGMA application_id={_APPLICATION_ID};")
        elif version < 3:
            steps.append(_ADD_WAITED)
        if version < 2:
            steps.append(_ADD_STAMP.format(stamp=new_stamp()))
        steps.append(f"PRAGMA user_version={_VERSION};")
        db.executescript(f"BEGIN IMMEDIATE; {' '.join(steps)} COMMIT;")


def has_indexes(db: sqlite3.Connection) -> bool:
    """Whether rows can be found by their hashes."""
    return bool(_value(db, "SELECT count(*) FROM sqlite_schema WHERE name='jobs_name'"))


def make_indexes(db: sqlite3.Connection) -> None:
    """Make the indexes over hashes, unless they are there."""
    try:
        db.executescript(_INDEXES)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")


def new_stamp() -> str:
    """Return a stamp that no database has had."""
    return secrets.token_hex(8)


def stamp_of(db: sqlite3.Connection) -> str | None:
    """Return the stamp of a database; None for one of format 1, which has no tail either."""
    if _value(db, "PRAGMA user_version") < 2:
        return None
    return str(db.execute("SELECT value FROM stamp").fetchone()[0])


def _value(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


class Overlay:
    """Lets the queries of a reader about `jobs` see the changes in a tail, too.

    A temporary view of that name hides the table. Transactions of a reader are rolled back, so no
    change stays in it.

    Args:
        db: The reader's connection.
        path: The path of the database.
    """

    _CHANGED = tuple(name for name in Update._fields if name != "id")
    _KEPT = ("id", "identity_hash", "name_hash", "url", "identity", "name", "host")

    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        self._db = db
        self._path = path
        has_waited = _value(db, "PRAGMA user_version") >= 3
        changed = ", ".join(
            f"CASE WHEN c.id IS NULL THEN {before} ELSE c.{name} END AS {name}"
            for name in self._CHANGED
            for before in [f"j.{name}" if has_waited or name != "waited" else "NULL"]
        )
        kept = ", ".join(f"j.{name}" for name in self._KEPT)
        columns = ", ".join(self._CHANGED)
        db.execute(f"CREATE TEMP TABLE changed(id INTEGER PRIMARY KEY, {columns})")
        db.execute(
            f"CREATE TEMP VIEW jobs AS SELECT {kept}, {changed} FROM main.jobs j"
            " LEFT JOIN temp.changed c ON c.id = j.id"
        )
        db.execute("PRAGMA query_only=ON")

    def found(self, query: str, value: object) -> list[tuple[Any, ...]]:
        """Ask for rows as database and tail have them: the transaction keeps both as they are."""
        self._db.execute("BEGIN")
        try:
            stamp = stamp_of(self._db)
            self._show({} if stamp is None else read_tail(self._path, stamp)[0])
            return self._db.execute(query, (value,)).fetchall()
        finally:
            self._db.execute("ROLLBACK")

    def _show(self, changes: dict[int, Update]) -> None:
        """Show these changes until the end of the transaction."""
        if not changes:
            return
        marks = ",".join("?" * len(Update._fields))
        insert = f"INSERT INTO temp.changed({', '.join(Update._fields)}) VALUES ({marks})"
        self._db.execute("PRAGMA query_only=OFF")
        self._db.executemany(insert, changes.values())
        self._db.execute("PRAGMA query_only=ON")


# ------------------------------------------------------------------ errors

#: What SQLite's primary result codes mean here.
_FULL = 13
_IO_ERROR = 10
_MOVED = 8 | 4 << 8  # read-only, because the file is not where it was
_BROKEN = {11, 26}  # malformed, not a database


@contextmanager
def errors(path: str) -> Iterator[None]:
    """Raise SQLite's errors as errors of the operating system."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_os_error(error, path) from error


def as_os_error(exc: sqlite3.Error, path: str) -> OSError:
    """Return what an error of SQLite means; `errno` is ENOSPC when the disk is full."""
    extended = getattr(exc, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code == _FULL or (code == _IO_ERROR and _is_disk_full(path)):
        return OSError(ENOSPC, os.strerror(ENOSPC), path)
    if extended == _MOVED and not os.path.isdir(os.path.dirname(path)):
        return JournalError(
            f"{path} is gone with its directory, which was moved or removed. Run again where the"
            " directory is now."
        )
    if extended == _MOVED:
        return JournalError(
            f"{path} was removed or replaced while it was open. Run again with --rebuild, which"
            " takes over the files that are there."
        )
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
    for source, target in (
        (f"{path}-journal", f"{copy}-journal"),
        (tail_path(path), tail_path(copy)),
    ):
        with suppress(FileNotFoundError):
            shutil.copyfile(source, target)
    return copy
