"""What is remembered, and how it is committed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path

import pytest

from pooledhttp.bulk import JournalError, State
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.names import folded
from pooledhttp.bulk.rows import Row, Update


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.sqlite3"))
    yield journal
    journal.close()


def add(journal: Journal, *urls: str) -> list[Row]:
    with journal.transaction():
        return [journal.add(url, None, url[-1], folded(url[-1]), "h") for url in urls]


def test_what_was_added_is_found(journal: Journal) -> None:
    """By URL, or by identity; a URL is not found by another job's identity."""
    (row,) = add(journal, "http://h/a")
    with journal.transaction():
        keyed = journal.add("http://h/a", "key 'k'", "k", "k", "h")
    assert journal.find("http://h/a", None) == row
    assert journal.find("http://other/", "key 'k'") == keyed
    assert journal.find("key 'k'", None) is None
    assert journal.row(row.id) == row and journal.row(99) is None


def test_names_are_compared_as_file_systems_do(journal: Journal) -> None:
    """Taken in any case."""
    with journal.transaction():
        journal.add("u", None, "Photo.JPG", folded("Photo.JPG"), "h")
        journal.add_folder("a/b")
    assert journal.is_name_taken("photo.jpg") and not journal.is_name_taken("photo")
    assert journal.is_folder("a/b") and not journal.is_folder("a")


def test_changes_are_committed_together(journal: Journal, tmp_path: Path) -> None:
    """No other connection sees one before, and a commit of one commits all before it."""
    first, second = add(journal, "http://h/a", "http://h/b")
    journal.record(Update(first.id, State.RECEIVED, 200, size=5))
    number = journal.record(Update(first.id, State.DONE, 200, '"e"', size=5, attempts=2))
    late = journal.record(Update(second.id, State.FAILED, error="x"))
    other = Journal(journal.path, read_only=True)
    assert [row.state for row in other.rows()] == [State.PENDING] * 2
    journal.commit(number)
    row = other.row(first.id)
    assert row is not None and (row.state, row.etag, row.attempts) == (State.DONE, '"e"', 2)
    journal.commit(late)
    assert other.counts() == {State.DONE: (1, 5), State.FAILED: (1, 0)}
    other.close()


def test_a_transaction_is_all_or_nothing(journal: Journal) -> None:
    """What was added goes; what was recorded before is kept for the next commit."""
    (row,) = add(journal, "http://h/a")
    journal.record(Update(row.id, State.FAILED))
    with pytest.raises(KeyboardInterrupt), journal.transaction():
        journal.add("http://h/b", None, "b", "b", "h")
        raise KeyboardInterrupt
    assert [each.url for each in journal.rows()] == ["http://h/a"]
    journal.commit()
    assert [each.state for each in journal.rows()] == [State.FAILED]


def test_many_threads_commit_at_once(journal: Journal) -> None:
    """Each finds its own change committed when `commit` returns."""
    rows = add(journal, *(f"http://h/{number}" for number in range(200)))
    wrong: list[int] = []

    def work(mine: list[Row]) -> None:
        for row in mine:
            journal.commit(journal.record(Update(row.id, State.DONE, size=1)))
            found = journal.row(row.id)
            if found is None or found.state != State.DONE:
                wrong.append(row.id)

    threads = [threading.Thread(target=work, args=(rows[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert journal.counts() == {State.DONE: (200, 200)}


def test_rows_come_in_the_order_of_the_input(journal: Journal) -> None:
    """Page by page, and they may change meanwhile."""
    rows = add(journal, *(f"http://h/{number}" for number in range(2500)))
    seen = []
    for row in journal.rows(State.PENDING):
        seen.append(row.id)
        journal.commit(journal.record(Update(row.id, State.DONE)) if row.id % 500 == 0 else 0)
    assert seen == [row.id for row in rows]
    assert len(list(journal.rows(State.DONE))) == 5


def test_a_newer_journal_is_refused(journal: Journal) -> None:
    """The message says what to do."""
    journal._db.execute("PRAGMA user_version=7")
    with pytest.raises(JournalError, match="newer version"):
        Journal(journal.path)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_broken_journal_is_an_error_that_helps(tmp_path: Path, read_only: bool) -> None:
    """Garbage, and a database of another program."""
    path = tmp_path / "x"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(JournalError, match="--rebuild"):
        Journal(str(path), read_only=read_only)
    other = tmp_path / "y"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t(a)")
    database.close()
    with pytest.raises(JournalError, match="not a journal"):
        Journal(str(other), read_only=read_only)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A journal that leads elsewhere would be written there."""
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(JournalError, match="symbolic link"):
        Journal(str(tmp_path / "link"))
    assert not (tmp_path / "precious").exists()


def test_a_full_disk_is_the_error_that_it_is(journal: Journal) -> None:
    """`errno` says so, and nothing that was recorded is lost."""
    (row,) = add(journal, "http://h/a")
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    number = journal.record(Update(row.id, State.FAILED, error="x" * 100_000))
    with pytest.raises(OSError) as caught:
        journal.commit(number)
    assert caught.value.errno == ENOSPC
    journal._db.execute("PRAGMA max_page_count=1000000")
    journal.commit(number)
    assert [each.state for each in journal.rows()] == [State.FAILED]


def test_an_added_job_is_found_in_its_own_transaction(journal: Journal) -> None:
    """Before it is in the database: by its identity, its number and its name, once in all."""
    add(journal, "http://h/0")  # a second batch asks the database, not only the filter
    with journal.transaction():
        row = journal.add("http://h/a", "key 'k'", "A", "a", "h")
        assert journal.find("http://other/", "key 'k'") == row
        assert journal.find("http://h/a", None) is None
        assert journal.is_name_taken("a") and not journal.is_name_taken("b")
        journal.set_url(row.id, "http://h/b")
    assert [each.url for each in journal.rows()] == ["http://h/0", "http://h/b"]


def test_a_text_that_cannot_be_stored_is_refused_at_once(journal: Journal) -> None:
    """At the commit it would take the whole batch with it."""
    with journal.transaction():
        with pytest.raises(ValueError):
            journal.add("http://h/\ud800", None, "a", "a", "h")
        with pytest.raises(ValueError):
            journal.add("http://h/", "key '\ud800'", "a", "a", "h")
        row = journal.add("http://h/\x00é", None, "é", "é", "h")
    assert list(journal.rows()) == [row]


def test_a_journal_that_was_removed_is_told(journal: Journal) -> None:
    """By the next change, with what to do."""
    os.unlink(journal.path)
    with pytest.raises(JournalError, match="was removed.*--rebuild"):
        add(journal, "http://h/a")


@pytest.mark.parametrize("format", [1, 2, 3])
def test_a_journal_of_an_older_format_is_changed(
    journal: Journal, tmp_path: Path, format: int
) -> None:
    """It can be read as it is, and the first run that writes gives it what is missing."""
    (row,) = add(journal, "http://h/a")
    journal.close()
    with sqlite3.connect(journal.path) as database:
        if format < 3:
            database.execute("ALTER TABLE jobs DROP COLUMN waited")
        if format == 1:
            database.execute("DROP TABLE stamp")
        database.execute(f"PRAGMA user_version={format}")
    database.close()
    reader = Journal(journal.path, read_only=True)
    assert list(reader.rows()) == [row]
    writer = Journal(journal.path)
    writer.commit(writer.record(Update(row.id, State.DONE, waited=1.5)))
    assert [each.state for each in reader.rows()] == [State.DONE]
    assert [each.waited for each in writer.rows()] == [1.5]
    writer.close()
    reader.close()


def test_paths_may_have_any_letter(tmp_path: Path) -> None:
    """The name of the file is no part of a URI."""
    folder = tmp_path / "a%20?b#c"
    folder.mkdir()
    Journal(str(folder / "j")).close()
    assert os.listdir(folder)[0].startswith("j")
