"""The states of a job: a walk from each of them through everything that can happen to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import Job, State
from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.rows import FETCHED, MOVES, Update
from tests.support.scripted import Peer, ScriptedServer, respond

BODY = b"x" * 100_000  # long enough for a row that says how to go on with it


RECORD, RECORD_ALL = Journal.record, Journal.record_all

#: The state of each row, by the path of its journal and its number.
States = dict[tuple[str, int], State]


def serve(peer: Peer) -> None:
    """Respond as the path says; `/cut` breaks off."""
    while True:
        seen = peer.read_request()
        if seen.header("if-none-match"):
            peer.send(respond(status=304))
        elif seen.target.startswith("/404"):
            peer.send(respond(b"no", status=404))
        elif seen.target.startswith("/cut"):
            peer.send(respond(BODY[:-10], [("ETag", '"1"')], length=len(BODY)))
            peer.close()
            return
        elif seen.target.startswith("/short"):
            peer.send(respond(b"x", [("ETag", '"1"')]))
        else:
            peer.send(respond(BODY, [("ETag", '"1"')]))


class Walk:
    """A directory with many rows, each in a state of the test's choice."""

    def __init__(self, out: Path, base: str, states: States) -> None:
        self.base = base
        self.states = states
        self.folder = RunFolder(out)
        self.journal = Journal(self.folder.journal_path)
        self.jobs: list[Job] = []
        self.files: dict[Path, bytes] = {}

    def add(self, what: str, state: State, file: bytes | None, part: bytes | None) -> None:
        """Add a job in a state, with its file and its part, in a transaction."""
        name = f"{len(self.jobs)}.bin"
        job = Job(f"{self.base}{what}/{name}", **MORE.get(what, {}))  # type: ignore[arg-type]
        self.jobs.append(job)
        row = self.journal.add(job.url, None, name, name, "h")
        self.states[self.journal.path, row.id] = state
        size = len(BODY) if state in (State.RECEIVED, State.DONE, State.UNCHANGED) else None
        RECORD(self.journal, Update(row.id, state, 200, '"1"', None, size, attempts=1))
        if part is not None:
            with self.folder.create(Part(row.id, len(BODY), "")) as written:
                written.write(part)
        if file is not None:
            self.files[self.folder.path / name] = file

    def run(self, how: dict[str, bool]) -> None:
        """Close the directory, as a run that is killed would, and let another one go on."""
        self.journal.commit()
        self.journal.close()
        self.folder.close()
        for path, content in self.files.items():
            path.write_bytes(content)
        results = list(bulk.download(self.jobs, self.folder.path, retries=0, **how))  # type: ignore[arg-type]
        assert len(results) == len(self.jobs)
        assert all(result.state in (*FETCHED, State.FAILED) for result in results)


#: What the server does is in the path; this is what the job says more.
MORE: dict[str, dict[str, object]] = {
    "/rejected": {"sha256": hashlib.sha256(b"other").hexdigest()},
    "/conditional": {"headers": {"If-None-Match": '"1"'}},
}
PATHS = ("/whole", "/short", "/404", "/cut", *MORE)


def test_the_table_of_moves_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No move that is not in the table, and none in it that never happens."""
    moves: set[tuple[State, State]] = set()
    states: States = {}

    def note(journal: Journal, change: Update) -> None:
        after = State(change.state)
        moves.add((states[journal.path, change.id], after))
        states[journal.path, change.id] = after

    def noting(journal: Journal, change: Update) -> int:
        note(journal, change)
        return RECORD(journal, change)

    def noting_all(journal: Journal, changes: Sequence[Update]) -> int:
        for change in changes:
            note(journal, change)
        return RECORD_ALL(journal, changes)

    monkeypatch.setattr(Journal, "record", noting)
    monkeypatch.setattr(Journal, "record_all", noting_all)
    with ScriptedServer(serve) as server:
        for way in ("", "refresh", "adopt", "overwrite"):
            walk = Walk(tmp_path / f"out{way}", server.url(""), states)
            with walk.journal.transaction():
                for state, path in product(State, PATHS):
                    for file in (None, BODY):
                        walk.add(path, state, file, None)
                    if state == State.RECEIVED:
                        walk.add(path, state, None, BODY)
                        walk.add(path, state, b"foreign", BODY)
            walk.run({way: True} if way else {})
    assert moves == {(first, after) for first, allowed in MOVES.items() for after in allowed}
