"""Which names are free: what stands in the directory is read once for a batch of lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pooledhttp.bulk import Job
from pooledhttp.bulk.names import naming
from pooledhttp.bulk.workspace import Options, Task, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path, Options(naming("tree")))
    yield workspace
    workspace.close()


def names(workspace: Workspace, lines: int, *urls: str) -> list[str | None]:
    """Return the names that new jobs get in one batch."""
    with workspace.batch(lines):
        steps = [workspace.register(Job.of(url), index) for index, url in enumerate(urls)]
    return [step.row.name for step in steps if isinstance(step, Task)]


@pytest.mark.parametrize("lines", [1, 5000])
def test_a_name_that_stands_there_is_not_given(
    workspace: Workspace, tmp_path: Path, lines: int
) -> None:
    """Whether the directory is small or has too much to be read; also what has come since."""
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "a.txt").write_text("mine")
    for number in range(70):
        (tmp_path / f"{number}.bin").touch()
    assert names(workspace, lines, "http://h/a.txt", "http://h/b.txt") == [
        "h/a-fa663158.txt",
        "h/b.txt",
    ]
    (tmp_path / "i").write_text("no directory")
    first, second = names(workspace, lines, "http://i/a.txt", "http://j/a.txt")
    assert first is not None and first.startswith("i-") and second == "j/a.txt"


def test_a_small_directory_is_read_once_for_a_batch(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is like none of those there is free without another look."""
    (tmp_path / "Straße.txt").touch()
    asked: list[str] = []
    monkeypatch.setattr(
        type(workspace.folder), "is_free", lambda self, name: bool(asked.append(name)) or True
    )
    urls = [f"http://h/{number}" for number in range(9)]
    with workspace.batch(9):
        for index, url in enumerate(urls):
            workspace.register(Job(url, name=f"{index}"), index)
        workspace.register(Job("http://h/x", name="STRASSE.TXT"), 9)
    assert asked == ["STRASSE.TXT"]
