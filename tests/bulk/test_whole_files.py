"""Small bodies that have come as a whole, and are stored many at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from errno import EACCES, EIO, EMFILE, ENOSPC
from pathlib import Path
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.buffers import BufferPool
from pooledhttp.bulk import writer
from pooledhttp.bulk.disk import DirectDisk, Disk, Ended, Steps, Stored
from pooledhttp.bulk.folder import ForeignFile, RunFolder
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.names import naming
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.responses import mark_of
from pooledhttp.bulk.retrying import Again
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.transfer import Transfer
from pooledhttp.bulk.whole_file import WholeFile
from pooledhttp.bulk.whole_files import WholeFiles
from pooledhttp.bulk.workspace import Options, Task, Workspace
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline
from tests.support.engines import engine, needs_greenlet
from tests.support.patience import wait_until
from tests.support.scripted import ScriptedServer, answering, respond

BASE = default_runtime()

__all__ = ["engine"]


class Bench:
    """A directory with jobs, and what is done to the disk and the journal."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.buffers = BufferPool(8)
        self.space = Workspace(path, Options(naming("last")))
        self.whole_files = WholeFiles(self.space, self.buffers, lambda: 12.0)
        #: What was done, in its order.
        self.log: list[str] = []
        #: What is raised by a step: by the entry in the log.
        self.errors: dict[str, Exception] = {}
        journal = self.space.journal
        for owner, name, text in (
            (RunFolder, "write", lambda part, pieces: f"write {part.row}"),
            (RunFolder, "publish", lambda part, name: f"publish {part.row}"),
            (journal, "record_all", _recorded),
            (journal, "record", lambda change: _recorded([change])),
            (journal, "commit", lambda number: "commit"),
        ):
            monkeypatch.setattr(owner, name, self._logged(getattr(owner, name), text, owner))

    def _logged(self, real: Any, text: Callable[..., str], owner: object) -> Any:
        def step(*given: Any) -> Any:
            line = text(*(given[1:] if owner is RunFolder else given))
            self.log.append(line)
            if line in self.errors:
                raise self.errors[line]
            return real(*given)

        return step

    def file(self, body: bytes, *, key: str | None = None, **more: Any) -> WholeFile:
        """Register a job, and return a body of it."""
        job = Job(f"http://a/{body.decode()}", name=key)
        with self.space.batch(1):
            task = self.space.register(job, 0)
        assert isinstance(task, Task)
        values: dict[str, Any] = {
            "owner": f"owner {task.row.id}",
            "row": task.row,
            "job": job,
            "place": task.row.id - 1,
            "mark": "",
            "replaces": task.replaces,
            "pieces": [body],
            "size": len(body),
            "status": 200,
            "etag": '"e"',
            "modified": None,
            "attempts": 3,
            "sent": 2,
            "waited": None,
            "started": 1000.0,
            "began": 10.5,
        }
        return WholeFile(**{**values, **more})

    def store(self, *files: WholeFile) -> Stored:
        self.log.clear()
        disk = DirectDisk(self.space.journal.commit)
        return disk.run(self.whole_files.storing(files))

    def states(self) -> list[State]:
        self.space.journal.commit(None)
        return [State(row.state) for row in self.space.journal.rows()]

    def parts(self) -> list[str]:
        return sorted(os.listdir(self.path / ".pooledhttp" / "parts"))


def _recorded(changes: Sequence[Update]) -> str:
    return " ".join(f"{State(each.state).name.lower()} {each.id}" for each in changes)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path, monkeypatch)
    yield bench
    bench.errors.clear()
    bench.space.close()


def test_a_group_has_one_commit_between_its_parts_and_its_names(bench: Bench) -> None:
    """Every part is there before a size is recorded, every size is committed before a name."""
    stored = bench.store(bench.file(b"one"), bench.file(b"two", key="deep/two"), bench.file(b""))
    assert bench.log == [
        *("write 1", "write 2", "write 3", "received 1 received 2 received 3", "commit"),
        *("publish 1", "publish 2", "publish 3", "done 1 done 2 done 3"),
    ]
    assert stored.failed == [] and bench.parts() == []
    assert [result.ok for result in stored.results] == [True] * 3
    assert [result.path.read_bytes() for result in stored.results] == [b"one", b"two", b""]
    assert bench.states() == [State.DONE] * 3


def test_the_row_and_the_result_say_what_is_known(bench: Bench) -> None:
    """Each value of the file is found in its row, and in its result."""
    before = time.time()
    file = bench.file(b"body", waited=0.5, modified="Mon, 01 Jan 2024 00:00:00 GMT")
    (result,) = bench.store(file).results
    bench.space.journal.commit(None)
    (row,) = bench.space.journal.rows()
    assert row.ended is not None and before <= row.ended <= time.time()
    assert row == file.row._replace(
        state=State.DONE,
        status=200,
        etag='"e"',
        modified="Mon, 01 Jan 2024 00:00:00 GMT",
        size=4,
        attempts=3,
        started=1000.0,
        ended=row.ended,
        waited=0.5,
    )
    assert result == DownloadResult(
        "http://a/body",
        State.DONE,
        "body",
        bench.path / "body",
        is_new=True,
        status=200,
        index=0,
        attempts=2,
        elapsed=1.5,
        size=4,
        etag='"e"',
        last_modified="Mon, 01 Jan 2024 00:00:00 GMT",
        job=file.job,
    )


@pytest.mark.parametrize("step", ["write", "publish"])
def test_an_error_of_one_file_does_not_hold_up_the_others(bench: Bench, step: str) -> None:
    """Its owner is told it, and its part is known to the next attempt."""
    files = [bench.file(body) for body in (b"one", b"two", b"three")]
    error = bench.errors[f"{step} 2"] = OSError(EMFILE, "too many")
    stored = bench.store(*files)
    assert stored.failed == [Ended("owner 2", None, error)]
    assert [result.name for result in stored.results] == ["one", "three"]
    assert bench.space.parts == {2: Part(2, 3, "")}
    received = State.PENDING if step == "write" else State.RECEIVED
    assert bench.states() == [State.DONE, received, State.DONE]
    assert bench.parts() == ([] if step == "write" else ["2.3.."])


def test_a_group_of_which_no_file_can_be_written_commits_nothing(bench: Bench) -> None:
    """There is nothing to say of it."""
    files = [bench.file(body) for body in (b"one", b"two")]
    bench.errors = {f"write {row}": OSError(ENOSPC, "full") for row in (1, 2)}
    stored = bench.store(*files)
    assert stored.results == [] and len(stored.failed) == 2
    assert bench.log == ["write 1", "write 2"]


def test_a_commit_that_fails_belongs_to_every_file(bench: Bench) -> None:
    """No file gets its name, and each part is known to the next attempt."""
    files = [bench.file(body) for body in (b"one", b"two")]
    error = bench.errors["commit"] = OSError(EIO, "broken")
    stored = bench.store(*files)
    assert stored.results == []
    assert stored.failed == [Ended(f"owner {row}", None, error) for row in (1, 2)]
    assert bench.parts() == ["1.3..", "2.3.."] and sorted(bench.space.parts) == [1, 2]
    assert not (bench.path / "one").exists()


def test_a_file_that_is_not_ours_keeps_its_name(bench: Bench) -> None:
    """The part stays, with its reason in the row, and the others have their names."""
    files = [bench.file(body) for body in (b"one", b"two")]
    (bench.path / "one").write_bytes(b"mine")
    stored = bench.store(*files)
    refused, other = sorted(stored.results, key=lambda result: int(result.index))
    assert (refused.state, refused.kind, refused.size) == (State.FAILED, "ForeignFile", 0)
    assert isinstance(refused.error, ForeignFile) and not refused.is_new
    assert other.ok and (bench.path / "one").read_bytes() == b"mine"
    assert bench.parts() == ["1.3.."] and bench.space.parts == {1: Part(1, 3, "")}
    assert bench.states() == [State.RECEIVED, State.DONE]
    (row, _) = bench.space.journal.rows()
    assert row.error == refused.problem


def test_a_file_may_replace_the_one_that_it_is_a_newer_version_of(bench: Bench) -> None:
    """If that has the size that is known of it."""
    first, second = bench.file(b"one", replaces=3), bench.file(b"two", replaces=3)
    (bench.path / "one").write_bytes(b"old")
    (result,) = bench.store(first).results
    assert result.ok and (bench.path / "one").read_bytes() == b"one"
    (bench.path / "two").write_bytes(b"longer")
    (result,) = bench.store(second).results
    assert result.kind == "ForeignFile" and (bench.path / "two").read_bytes() == b"longer"


def test_what_is_written_gives_its_memory_back(bench: Bench) -> None:
    """Views go back to the buffers, and the lists of pieces are emptied."""

    def fill(view: memoryview) -> int:
        view[:6] = b"buffer"
        return 6

    view = bench.buffers.fill(fill, 8)
    assert type(view) is memoryview and not bench.buffers._free
    files = [bench.file(b"buffer", pieces=[view]), bench.file(b"ab", pieces=[b"a", b"b"])]
    bench.store(*files)
    assert len(bench.buffers._free) == 1
    assert [file.pieces for file in files] == [[], []]
    assert (bench.path / "buffer").read_bytes() == b"buffer"
    assert (bench.path / "ab").read_bytes() == b"ab"


# ------------------------------------------------------------------ the thread of a loop


class LoopBench:
    """A loop with a disk that stores whole files, and what it tells."""

    def __init__(self) -> None:
        from pooledhttp.bulk.backends import Loop

        self.commits: list[int] = []
        self.groups: list[list[Any]] = []
        self.results: list[Any] = []
        self.failed: list[Ended] = []
        self.error: Exception | None = None
        self.backend = Loop()
        self.disk: Disk = self.backend.open_disk(self.commits.append)
        self.disk.storing = self._storing
        self.disk.on_stored = self.results.extend
        self.disk.on_ended = self.failed.extend

    def _storing(self, files: Sequence[Any]) -> Steps[Stored]:
        self.groups.append(list(files))
        yield len(files)
        if self.error is not None:
            raise self.error
        return Stored([f"result of {file.owner}" for file in files], [])

    def file(self, owner: object, size: int = 10) -> Any:
        return Storable(owner, size)


class Storable:
    """What the thread knows of a whole file."""

    def __init__(self, owner: object, size: int) -> None:
        self.owner = owner
        self.size = size


@pytest.fixture
def loop_bench() -> Iterator[LoopBench]:
    bench = LoopBench()
    yield bench
    bench.backend.stop()


@needs_greenlet
@pytest.mark.parametrize(("count", "seconds"), [(48, 600.0), (3, 0.01)])
def test_whole_files_gather(
    loop_bench: LoopBench, count: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of them, or those of a moment, are one group with one commit."""
    monkeypatch.setattr(writer, "_GATHER_SECONDS", seconds)
    bench = loop_bench

    def work() -> None:
        for number in range(count):
            assert bench.disk.store(bench.file(number)) is None
        assert not bench.groups

    bench.backend.start(work)
    wait_until(lambda: len(bench.results) == count)
    assert bench.commits == [count] and len(bench.groups) == 1
    assert bench.results == [f"result of {number}" for number in range(count)]


@needs_greenlet
def test_whole_files_share_the_commit_of_steps(
    loop_bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a function that was queued before is called before."""
    monkeypatch.setattr(writer, "_GATHER_SECONDS", 0.01)
    bench = loop_bench
    log: list[str] = []

    def steps() -> Steps[int]:
        yield 7
        return 7

    def work() -> None:
        bench.disk.store(bench.file("a"))
        bench.disk.submit(lambda: log.append(f"{len(bench.groups)} groups before"), 1)
        bench.disk.end(steps(), "owner", 10)

    bench.backend.start(work)
    wait_until(lambda: bool(bench.results and bench.failed))
    assert bench.commits == [7] and log == ["0 groups before"]
    assert bench.failed == [Ended("owner", 7, None)]


@needs_greenlet
def test_whole_files_are_stored_although_the_run_is_halted(
    loop_bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handed over has its file and its row when the run has ended."""
    monkeypatch.setattr(writer, "_GATHER_SECONDS", 600.0)
    bench, handed = loop_bench, BASE.waiter()

    def work() -> None:
        bench.disk.store(bench.file("a"))
        handed.set()

    bench.backend.start(work)
    assert handed.wait(Deadline.after(20.0, BASE.now))
    bench.backend.stop()
    assert bench.results == ["result of a"]


@needs_greenlet
def test_whole_files_are_stored_soon_when_a_worker_is_idle(
    loop_bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more is to be gathered then."""
    monkeypatch.setattr(writer, "_GATHER_SECONDS", 600.0)
    bench = loop_bench

    def work() -> None:
        bench.disk.store(bench.file("a"))
        bench.backend.note_idle()

    bench.backend.start(work)
    wait_until(lambda: bench.results == ["result of a"])


@needs_greenlet
def test_an_error_of_the_whole_group_is_told_of_every_file(
    loop_bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No item is without an outcome, whatever is raised."""
    monkeypatch.setattr(writer, "_GATHER_SECONDS", 0.01)
    bench = loop_bench
    bench.error = LookupError("bad")

    def work() -> None:
        for owner in "ab":
            bench.disk.store(bench.file(owner))

    bench.backend.start(work)
    wait_until(lambda: bool(bench.failed))
    assert bench.failed == [Ended(owner, None, bench.error) for owner in "ab"]


@needs_greenlet
def test_a_slow_disk_holds_up_a_greenlet_that_stores_more(
    loop_bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes under way are bounded, whichever way they go."""
    monkeypatch.setattr(writer, "_MOST_QUEUED", 100)
    monkeypatch.setattr(writer, "_GROUP", 1)
    bench, gate, begun = loop_bench, BASE.waiter(), BASE.waiter()
    handed: list[int] = []

    def greedy() -> None:
        bench.disk.submit(lambda: [None, gate.wait(Deadline.after(20.0, BASE.now))][0], 0)
        for size in (60, 60, 60):
            bench.disk.store(bench.file("a", size))
            handed.append(size)

    def other() -> None:
        assert handed == [60]
        begun.set()

    bench.backend.start(greedy)
    bench.backend.start(other)
    assert begun.wait(Deadline.after(20.0, BASE.now))
    gate.set()
    wait_until(lambda: len(bench.results) == 3)


@needs_greenlet
def test_a_whole_file_of_another_thread_is_stored_at_once(loop_bench: LoopBench) -> None:
    """That thread gets the result, or the error."""
    bench = loop_bench
    bench.backend.start(lambda: None)
    assert bench.disk.store(bench.file("a")) == "result of a"
    bench.error = LookupError("bad")
    with pytest.raises(LookupError):
        bench.disk.store(bench.file("b"))


# ------------------------------------------------------------------ a download


def test_both_ways_give_the_same(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and results of whole files are those of steps, the times apart."""
    bodies = [b"", b"a", b"b" * 1000, b"c" * 70_000]
    found: list[object] = []
    for way in ("whole", "steps"):
        if way == "steps":
            monkeypatch.setattr(WholeFiles, "takes", lambda self, checks: False)
        out = tmp_path / way
        with ScriptedServer(answering(*map(respond, bodies))) as server:
            base = server.url("/")
            urls = [f"{base}{number}" for number in range(len(bodies))]
            results = list(bulk.download(urls, out, jobs=1, ordered=True))
        assert [result.path.read_bytes() for result in results if result.path] == bodies
        with bulk.Run(out) as run:
            rows = [repr(job).replace(base, "") for job in run]
        found.append(
            [
                [
                    (name, str(getattr(result, name)).replace(base, "").replace(str(out), ""))
                    for name in DownloadResult.__dataclass_fields__
                    if name not in ("elapsed", "job")
                ]
                for result in results
            ]
            + [[len(rows)]]
        )
    assert found[0] == found[1]


def test_a_part_that_got_no_name_is_not_asked_for_again(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that failed in passing is made in the next attempt, of the part that is there."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)
    real = RunFolder.publish
    failed: list[str] = []

    def publish(self: RunFolder, part: Part, name: str) -> None:
        if not failed:
            failed.append(name)
            raise OSError(EMFILE, "too many")
        real(self, part, name)

    monkeypatch.setattr(RunFolder, "publish", publish)
    with ScriptedServer(answering(respond(b"body", [("ETag", '"1"')]))) as server:
        (result,) = bulk.download([server.url("/1")], tmp_path)
        assert len(server.connections) == 1
    assert result.ok and result.attempts == 1 and failed == ["1"]
    assert result.path is not None and result.path.read_bytes() == b"body"
    with bulk.Run(tmp_path) as run:
        assert [job.attempts for job in run] == [1]


def test_a_complete_part_of_an_earlier_run_needs_no_request(engine: str, tmp_path: Path) -> None:
    """The result says so: no attempt was made for it."""
    job = Job("http://127.0.0.1:1/1")  # where there is no server
    space = Workspace(tmp_path, Options(naming("last")))
    with space.batch(1):
        task = space.register(job, 0)
    assert isinstance(task, Task)
    mark = mark_of('"1"')
    space.journal.record(Update(task.row.id, State.RUNNING, 200, '"1"'))
    space.folder.write(Part(task.row.id, 4, mark), [b"body"])
    space.journal.commit()
    space.close()
    (result,) = bulk.download([job], tmp_path)
    assert result.ok and result.attempts == 0
    assert (tmp_path / "1").read_bytes() == b"body"


def test_only_bodies_of_which_more_is_wanted_go_the_general_way(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check, a digest or a time: all others that are small are whole files."""
    ways: list[str] = []
    end = Transfer._end
    monkeypatch.setattr(
        Transfer,
        "_end",
        lambda self: [ways.append("steps" if self._whole is None else "whole"), end(self)][1],
    )
    cases: list[tuple[Any, dict[str, Any]]] = [
        (lambda url: url, {}),
        (lambda url: Job(url, headers={"x": "y"}), {}),
        (lambda url: Job(url, size=4), {}),
        (lambda url: url, {"digest": "md5"}),
        (lambda url: url, {"mtime": True}),
    ]
    for number, (item, options) in enumerate(cases):
        with ScriptedServer(answering(respond(b"body"))) as server:
            (result,) = bulk.download([item(server.url("/"))], tmp_path / str(number), **options)
        assert result.ok
    assert ways == ["whole", "whole", "steps", "steps", "steps"]


def test_an_error_of_the_directory_fails_the_item(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any other error that does not pass."""

    def publish(self: RunFolder, part: Part, name: str) -> None:
        raise OSError(EACCES, "no", name)

    monkeypatch.setattr(RunFolder, "publish", publish)
    with ScriptedServer(answering(respond(b"body"))) as server:
        (result,) = bulk.download([server.url("/1")], tmp_path)
    assert result.kind == "PermissionError"
