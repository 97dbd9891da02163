"""What a run leaves in its directory, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooledhttp.bulk import Job, State
from pooledhttp.bulk.names import naming
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rows import Update
from pooledhttp.bulk.workspace import Task, Workspace


def test_a_received_body_stays_though_no_commit_had_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its part has no validator, so the state alone says that it is whole."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    workspace = Workspace(tmp_path, Options(naming("last")))
    with workspace.batch(1):
        task = workspace.register(Job("http://h/a"), 0)
    assert isinstance(task, Task)
    part = Part(task.row.id, 4, "")
    workspace.folder.write(part, [b"body"])
    workspace.parts[task.row.id] = part
    workspace.journal.record(Update(task.row.id, State.RECEIVED, 200, size=4))
    with monkeypatch.context() as patched:
        patched.setattr("pooledhttp.bulk.tail._sync", full)
        with pytest.raises(OSError, match="No space"):
            workspace.finish_renames()
        workspace.drop_parts(everything_was_read=True)
    workspace.finish_renames()
    row = workspace.journal.row(task.row.id)
    workspace.close()
    assert row is not None and (row.state, row.name) == (State.DONE, "a")
    assert (tmp_path / "a").read_bytes() == b"body"
