"""The newest changes of a journal: committed by a line in a file, and taken over later."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pooledhttp.bulk import State
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.rows import Row, Update
from pooledhttp.bulk.tail import tail_path
from tests.bulk.test_journal import add


class Crash:
    """A journal with one row, and copies of its files, as `kill -9` would leave them."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(str(folder / "journal.sqlite3"))
        self.tail = Path(tail_path(self.journal.path))
        (self.row,) = add(self.journal, "http://h/a")

    def record(self, state: State, **fields: object) -> None:
        change = Update(self.row.id, state)._replace(**fields)
        self.journal.commit(self.journal.record(change))

    def left(self, folder: Path, *, tail: bytes | None = None, read_only: bool = False) -> Row:
        """Return the row that another process finds in a copy."""
        folder.mkdir()
        path = folder / "journal.sqlite3"
        shutil.copyfile(self.journal.path, path)
        if tail is not None:
            Path(tail_path(str(path))).write_bytes(tail)
        journal = Journal(str(path), read_only=read_only)
        try:
            (row,) = journal.rows()
            return row
        finally:
            journal.close()


@pytest.fixture
def crash(tmp_path: Path) -> Iterator[Crash]:
    crash = Crash(tmp_path)
    yield crash
    crash.journal.close()


def test_what_was_committed_survives_a_run_that_has_no_room(
    crash: Crash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database cannot take the changes of a killed run; the tail keeps them for a later run."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    crash.record(State.RUNNING)
    crash.record(State.RECEIVED, size=7)
    path = tmp_path / "copy.sqlite3"
    shutil.copyfile(crash.journal.path, path)
    shutil.copyfile(crash.tail, tail_path(str(path)))
    with monkeypatch.context() as patched:
        patched.setattr("pooledhttp.bulk.journal.apply_changes", full)
        for _ in range(2):
            with pytest.raises(OSError, match="full"):
                Journal(str(path))
    journal = Journal(str(path))
    (row,) = journal.rows()
    journal.close()
    assert (row.state, row.size) == (State.RECEIVED, 7)
    assert not Path(tail_path(str(path))).exists()


def test_a_full_disk_hides_no_change_from_its_own_run(crash: Crash) -> None:
    """The list of what is not done is written from the journal, just when nothing fits any more."""
    crash.record(State.RUNNING)
    crash.record(State.DONE, size=7)
    database = crash.journal._db
    with crash.journal.transaction():
        for number in range(200):
            url = f"http://h/{number}/{'x' * 900}"
            crash.journal.add(url, None, None, None, "h")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    crash.record(State.FAILED, error="e" * 100, etag="t" * 30_000)
    for _ in range(2):
        row = crash.journal.row(crash.row.id)
        assert row is not None and (row.state, row.error) == (State.FAILED, "e" * 100)
        failed = [each.id for each in crash.journal.rows(State.FAILED)]
        assert failed == [crash.row.id]
    with pytest.raises(OSError), crash.journal.transaction():
        pass
    database.execute("PRAGMA max_page_count=1000000")
    crash.record(State.DONE, size=8)
    row = crash.journal.row(crash.row.id)
    assert row is not None and (row.state, row.size) == (State.DONE, 8)


def test_a_run_without_room_goes_on_behind_the_tail_of_a_killed_run(
    crash: Crash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot fold that tail, and must not write over it: the rows in it have no other place."""

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    (other,) = add(crash.journal, "http://h/b")
    crash.record(State.RECEIVED, size=7)
    crash.journal.commit(crash.journal.record(Update(other.id, State.RECEIVED, size=8)))
    path = tmp_path / "copy.sqlite3"
    shutil.copyfile(crash.journal.path, path)
    # Cut within a line: what is behind it is of no run.
    Path(tail_path(str(path))).write_bytes(crash.tail.read_bytes() + b'0123abcd ["x", [[')
    for state in (State.DONE, State.FAILED):
        with monkeypatch.context() as patched:
            patched.setattr("pooledhttp.bulk.journal.apply_changes", full)
            journal = Journal(str(path))
            journal.commit(journal.record(Update(crash.row.id, state, size=7)))
            states = [row.state for row in journal.rows()]
            journal.close()
        assert states == [state, State.RECEIVED]
    journal = Journal(str(path))
    found = [(row.state, row.size) for row in journal.rows()]
    journal.close()
    assert found == [(State.FAILED, 7), (State.RECEIVED, 8)]


@pytest.mark.parametrize("read_only", [False, True])
def test_what_was_committed_survives_a_crash(crash: Crash, tmp_path: Path, read_only: bool) -> None:
    """The last change of a row counts, whatever is in it."""
    crash.record(State.RUNNING, etag='"1"')
    crash.record(State.RECEIVED, size=7, digest="é\u202e", started=1.5)
    row = crash.left(tmp_path / "copy", tail=crash.tail.read_bytes(), read_only=read_only)
    assert (row.state, row.size, row.etag) == (State.RECEIVED, 7, None)
    assert crash.left(tmp_path / "without", read_only=read_only).state == State.PENDING


@pytest.mark.parametrize("read_only", [False, True])
def test_a_change_of_the_state_alone_is_short(
    crash: Crash, tmp_path: Path, read_only: bool
) -> None:
    """It stands behind the change that it goes on from, and means all of it."""
    received = Update(crash.row.id, State.RECEIVED, 200, '"1"', None, 7, ended=1.5)
    crash.journal.commit(crash.journal.record(received))
    before = len(crash.tail.read_bytes())
    crash.journal.commit(crash.journal.record(received.in_state(State.DONE)))
    assert len(crash.tail.read_bytes()) - before < before - 40
    row = crash.left(tmp_path / "copy", tail=crash.tail.read_bytes(), read_only=read_only)
    assert (row.state, row.status, row.etag, row.size, row.ended) == (
        State.DONE,
        200,
        '"1"',
        7,
        1.5,
    )
    with crash.journal.transaction():
        pass
    crash.journal.commit(crash.journal.record(received))  # the file has nothing to go on from
    row = crash.left(tmp_path / "later", tail=crash.tail.read_bytes(), read_only=read_only)
    assert (row.state, row.etag) == (State.RECEIVED, '"1"')


@pytest.mark.parametrize("read_only", [False, True])
def test_a_line_that_was_cut_does_not_count(crash: Crash, tmp_path: Path, read_only: bool) -> None:
    """Wherever it was cut; what is before it does."""
    crash.record(State.RUNNING)
    whole = crash.tail.read_bytes()
    crash.record(State.RECEIVED)
    long = crash.tail.read_bytes()
    states = []
    for number, end in enumerate((5, len(whole), len(whole) + 1, len(long) - 2, len(long))):
        folder = tmp_path / str(number)
        states.append(crash.left(folder, tail=long[:end], read_only=read_only).state)
    assert states == [State.PENDING, *[State.RUNNING] * 3, State.RECEIVED]


def test_a_line_that_goes_on_with_an_older_one_does_not_count(crash: Crash, tmp_path: Path) -> None:
    """A crash may leave the start of a new line before the rest of what stood there."""
    crash.record(State.FAILED, error="new")
    new = crash.tail.read_bytes()
    mixed = new[:-30] + new[-30:].replace(b"null", b"1234")
    assert len(mixed) == len(new) and mixed != new
    assert crash.left(tmp_path / "copy", tail=mixed).state == State.PENDING


def test_a_tail_that_was_taken_over_is_of_the_past(crash: Crash, tmp_path: Path) -> None:
    """Killed between the transaction and the next line: the older change does not come back."""
    crash.record(State.RECEIVED)
    old = crash.tail.read_bytes()
    crash.journal.record(Update(crash.row.id, State.FAILED, error="x"))
    with crash.journal.transaction():
        pass
    assert crash.left(tmp_path / "copy", tail=old).state == State.FAILED
    crash.record(State.DONE)
    new = crash.tail.read_bytes()
    assert len(new) == len(old) and crash.left(tmp_path / "new", tail=new).state == State.DONE


def test_the_tail_of_another_journal_is_not_taken(crash: Crash, tmp_path: Path) -> None:
    """The journal was moved away, and its tail was left."""
    crash.record(State.DONE)
    tail = crash.tail.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    Path(tail_path(str(other / "journal.sqlite3"))).write_bytes(tail)
    with_own = Crash(other)
    assert with_own.journal.row(1) == with_own.row
    with_own.record(State.FAILED)
    assert with_own.tail.read_bytes() != tail
    with_own.journal.close()
    assert not with_own.tail.exists()


def test_a_long_tail_is_taken_over(crash: Crash) -> None:
    """It stays short, so a reader has little to read, and is gone at the end."""
    sizes = []
    for number in range(1000):
        crash.record(State.FAILED, error=f"{number} {'x' * 200}")
        sizes.append(crash.tail.stat().st_size)
    assert max(sizes) < 100_000
    reader = Journal(crash.journal.path, read_only=True)
    row = reader.row(crash.row.id)
    assert row is not None and (row.error or "").startswith("999 ")
    reader.close()
    crash.journal.close()
    assert not crash.tail.exists()


def test_a_write_that_fails_leaves_nothing_behind(
    crash: Crash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one goes to the same place: half a line would hide what comes after it."""
    crash.record(State.RUNNING)
    before = crash.tail.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pooledhttp.bulk.tail._sync", full)
        with pytest.raises(OSError):
            crash.record(State.RECEIVED)
    crash.record(State.DONE)
    state = crash.left(tmp_path / "copy", tail=crash.tail.read_bytes()).state
    assert crash.tail.read_bytes().startswith(before) and state == State.DONE
