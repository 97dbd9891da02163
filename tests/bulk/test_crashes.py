"""Killed at any moment and run again: right files, no question twice, nothing lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bulk.crashes import Crashes
from tests.bulk.hostile import Site
from tests.support.engines import engine, needs_greenlet

__all__ = ["engine"]

#: A default run has each kind on one engine; `-m long` has the others.
LOOP = pytest.param("loop", marks=needs_greenlet)
LONG_LOOP = pytest.param("loop", marks=[needs_greenlet, pytest.mark.long])
LONG_THREADS = pytest.param("threads", marks=pytest.mark.long)


def crash_and_finish(crashes: Crashes, kills: int, *, edit: bool) -> None:
    """Kill up to so many runs, then let one come to its end."""
    for _ in range(kills):
        status = crashes.run_until_killed()
        crashes.site.epoch += 1
        if status == 0 and not edit:
            break
        if edit:
            crashes.edit()
    crashes.site.pause = 0.0
    assert crashes.run() == 0
    crashes.check_end()


def go_on_after_kills(tmp_path: Path, engine: str, *, edit: bool) -> None:
    """Servers that change, ignore ranges, or differ from each other splice no file."""
    with Site(pause=0.06).serving() as site:
        crashes = Crashes(site, tmp_path / "out", 120, seed=int(edit), engine=engine)
        crash_and_finish(crashes, 3, edit=edit)


@pytest.mark.parametrize("engine", [LOOP, LONG_THREADS], indirect=True)
def test_a_killed_run_goes_on(tmp_path: Path, engine: str) -> None:
    """With the same list."""
    go_on_after_kills(tmp_path, engine, edit=False)


@pytest.mark.parametrize("engine", ["threads", LONG_LOOP], indirect=True)
def test_a_killed_run_goes_on_with_an_edited_list(tmp_path: Path, engine: str) -> None:
    """Names stay what they were."""
    go_on_after_kills(tmp_path, engine, edit=True)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(300))
def test_many_killed_runs_of_two_thousand_urls(tmp_path: Path, seed: int, engine: str) -> None:
    """The same at length: 2,000 URLs, up to ten kills, and every third list is edited."""
    with Site(pause=0.02).serving() as site:
        crashes = Crashes(site, tmp_path / "out", 2000, seed=seed, engine=engine)
        crash_and_finish(crashes, crashes.random.randint(1, 10), edit=seed % 3 == 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(ballast: Path, piece: int) -> None:
    """Write pieces of so many bytes to a file until its disk is full."""
    with pytest.raises(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(piece))


def fill_and_finish(crashes: Crashes, disk: Path, kills: int) -> None:
    """Run until the disk is full, give it room, and run to the end."""
    for _ in range(kills):
        crashes.run_until_killed()
        crashes.site.epoch += 1
    ballast = disk / "ballast"
    fill(ballast, 100_000)
    if ballast.exists():  # a killed run may have filled the disk before
        os.truncate(ballast, max(ballast.stat().st_size - 600_000, 0))
    assert crashes.run() == 3
    listed = crashes.listed()
    assert listed | crashes.fetched == set(crashes.paths) | crashes.fetched
    assert not listed & crashes.fetched
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
    crashes.site.pause = 0.0
    assert crashes.run() == 0
    assert not (crashes.out / "failures.txt").exists()
    crashes.check_end()


@pytest.mark.parametrize("engine", [LOOP, LONG_THREADS], indirect=True)
def test_a_disk_that_fills_up_loses_nothing(small_disk: Path, engine: str) -> None:
    """The list is complete although the disk is full; with room, the next run has the rest."""
    with Site(pause=0.03).serving() as site:
        fill_and_finish(
            Crashes(site, small_disk / "out", 150, seed=1, engine=engine), small_disk, 1
        )


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(20))
def test_a_disk_that_fills_up_in_killed_runs(small_disk: Path, seed: int, engine: str) -> None:
    """2,000 URLs have more bytes than the disk; killed before it is full, and run again after."""
    with Site(pause=0.02).serving() as site:
        crashes = Crashes(site, small_disk / "out", 2000, seed=seed, engine=engine)
        fill_and_finish(crashes, small_disk, crashes.random.randint(0, 5))
