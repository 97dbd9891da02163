"""Rows are found by hash: in memory while a journal has no indexes, through the database after."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooledhttp.bulk import State
from pooledhttp.bulk import lookup as lookup_module
from pooledhttp.bulk.database import has_indexes
from pooledhttp.bulk.hashes import HashTable, hash64
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.rows import Update
from tests.bulk.test_journal import add

#: Hashes that meet in the same places of a table.
HASHES = st.sampled_from([1, 2, -1, -2, 9, 17, 1 << 62, -(1 << 63)])


@given(st.lists(HASHES, max_size=60))
def test_a_table_has_what_was_added(numbers: list[int]) -> None:
    """However often it has grown, and also when rows share a hash."""
    table = HashTable(8)
    for row, number in enumerate(numbers, 1):
        table.add(number, row)
    for number in {*numbers, 3, 10}:
        rows = [row for row, other in enumerate(numbers, 1) if other == number]
        assert sorted(table.rows(number)) == rows
        assert rows or table.to_filter().rows(number) in ([], None)
        assert not rows or table.to_filter().rows(number) is None


def copy(journal: Journal, folder: Path) -> str:
    """Return the path of a copy, as `kill -9` would leave it."""
    folder.mkdir()
    return str(shutil.copyfile(journal.path, folder / "journal.sqlite3"))


def test_a_journal_gets_its_indexes_when_it_is_closed(tmp_path: Path) -> None:
    """After a crash it has none, and everything is found all the same."""
    journal = Journal(str(tmp_path / "journal.sqlite3"))
    first, second = add(journal, "http://h/a", "http://h/b")
    killed = Journal(copy(journal, tmp_path / "killed"))
    journal.close()
    again = Journal(journal.path)
    assert has_indexes(again._db) and not has_indexes(killed._db)
    for each in (killed, again):
        assert each.find("http://h/b", None) == second and each.find("http://h/c", None) is None
        assert each.is_name_taken("a") and not each.is_name_taken("c")
        (third,) = add(each, "http://h/c")
        assert third.id == 3 and each.find("http://h/c", None) == third
        assert each.find("http://h/a", None) == first and each.is_name_taken("c")
        each.close()


@pytest.mark.parametrize("has_room", [True, False])
def test_a_long_list_needs_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    """The database gets its indexes early; without room for them, the tables stay."""
    monkeypatch.setattr(lookup_module, "_MOST_IN_MEMORY", 2)
    if not has_room:
        monkeypatch.setattr(lookup_module, "make_indexes", _no_room)
    journal = Journal(str(tmp_path / "journal.sqlite3"))
    add(journal, "http://h/a", "http://h/b", "http://h/c")
    assert journal._lookup.is_in_memory is not has_room
    (row,) = add(journal, "http://h/d")
    assert journal.find("http://h/d", None) == row and journal.find("http://h/e", None) is None
    assert journal.is_name_taken("a") and journal.is_name_taken("d")
    assert not journal.is_name_taken("e")
    journal.close()


def _no_room(db: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_reader_finds_rows_that_have_no_index(tmp_path: Path) -> None:
    """Those that come while it reads as well, with the changes that are in the tail."""
    journal = Journal(str(tmp_path / "journal.sqlite3"))
    (row,) = add(journal, "http://h/a")
    reader = Journal(journal.path, read_only=True)
    assert reader.find("http://h/a", None) == row and reader.find("http://h/b", None) is None
    (other,) = add(journal, "http://h/b")
    journal.commit(journal.record(Update(other.id, State.DONE)))
    found = reader.find("http://h/b", None)
    assert found is not None and found.state == State.DONE
    journal.close()
    found = reader.find("http://h/b", None)
    assert found is not None and found.state == State.DONE
    reader.close()


def test_two_texts_with_one_hash_are_two_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash that fits is compared with the text, in memory as in the database."""
    monkeypatch.setattr("pooledhttp.bulk.journal.hash64", lambda text: hash64(text[:8]))
    journal = Journal(str(tmp_path / "journal.sqlite3"))
    with journal.transaction():
        first = journal.add("http://h/a", None, "long-name-a", "long-name-a", "h")
        second = journal.add("http://h/b", None, "long-name-b", "long-name-b", "h")
        assert journal.find("http://h/a", None) == first
    for _ in range(2):
        assert journal.find("http://h/a", None) == first
        assert journal.find("http://h/b", None) == second
        assert journal.find("http://h/c", None) is None
        assert journal.is_name_taken("long-name-a") and not journal.is_name_taken("long-name-c")
        journal.close()
        journal = Journal(journal.path)
    journal.close()
