"""The list of what is not done, where its own disk has no room for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pooledhttp.bulk.failures import FailureList
from pooledhttp.bulk.inputs import UrlList
from tests.bulk.test_crashes import fill, small_disk

__all__ = ["small_disk"]

NEW = [(f"http://h/{number}", "HTTP 503") for number in range(500)]


def written(path: Path, lines: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{url}\t{problem}\n" for url, problem in lines))
    return path


@pytest.fixture
def earlier(small_disk: Path) -> Path:
    """The list of an earlier run, on a disk that has no room for anything else."""
    (small_disk / "own").mkdir()
    list_of_failures = written(small_disk / "failures.txt", [("http://h/old", "HTTP 404")] * 2000)
    fill(small_disk / "ballast", 1000)
    return list_of_failures


def put_somewhere(listing: FailureList) -> list[tuple[str, str]]:
    """Write the list as the end of a run does; return what is in it."""
    with pytest.raises(OSError, match="No space"):
        listing.write(iter(NEW), is_complete=False)
    assert listing.write_elsewhere(iter(NEW)) == len(NEW)
    assert listing.path is not None
    lines = listing.path.read_text().splitlines()
    return [(url, problem) for url, _, problem in (line.partition("\t") for line in lines)]


def test_it_takes_the_room_of_the_list_before(earlier: Path) -> None:
    """One that lists what was fetched since would mislead."""
    listing = FailureList(earlier, earlier.parent / "own")
    assert put_somewhere(listing) == NEW
    assert listing.path == earlier
    assert {file.name for file in earlier.parent.iterdir()} == {"own", "ballast", "failures.txt"}


def test_a_list_that_is_the_input_stays(earlier: Path) -> None:
    """A kill between its end and its successor would leave nothing."""
    before = earlier.read_bytes()
    with closing(UrlList(str(earlier))) as source:
        listing = FailureList(earlier, earlier.parent / "own", source)
        assert put_somewhere(listing) == NEW
    assert listing.path != earlier
    assert earlier.read_bytes() == before


def test_without_room_for_it_the_list_before_goes(earlier: Path) -> None:
    """The list is in the directory for temporary files, and no other is in its place."""
    written(earlier, [("http://h/old", "HTTP 404")])
    fill(earlier.parent / "ballast", 1000)
    listing = FailureList(earlier, earlier.parent / "own")
    assert put_somewhere(listing) == NEW
    assert listing.path != earlier
    assert not earlier.exists()


def test_a_killed_run_leaves_no_half_of_a_list_among_the_files(tmp_path: Path) -> None:
    """What it leaves is in the directory that is ours, until the next run writes its list."""
    own = tmp_path / "own"
    own.mkdir()
    listing = FailureList(tmp_path / "failures.txt", own)

    def killed() -> Iterator[tuple[str, str]]:
        yield NEW[0]
        os._exit(7)

    child = os.fork()
    if child == 0:
        try:
            listing.write(killed(), is_complete=False)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert [file.name for file in tmp_path.iterdir()] == ["own"]
    assert listing.write(iter(()), is_complete=True) == 0
    assert list(own.iterdir()) == []
