"""Items whose last steps, on the disk, are done while their worker goes on with another item."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from errno import EACCES, EMFILE, ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import writer
from pooledhttp.bulk.backends import Threads
from pooledhttp.bulk.body_file import BodyFile
from pooledhttp.bulk.checks import Checks
from pooledhttp.bulk.disk import DirectDisk, Ended, Steps
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.resting import Deferred
from pooledhttp.bulk.results import make_pace
from pooledhttp.bulk.retrying import Again
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline
from tests.support.descriptors import open_descriptors
from tests.support.engines import engine, needs_greenlet
from tests.support.patience import wait_until
from tests.support.scripted import ScriptedServer, answering, respond

BASE = default_runtime()

__all__ = ["engine"]


def soon() -> Deadline:
    return Deadline.after(20.0, BASE.now)


# ------------------------------------------------------------------ the engine


class Bench:
    """An engine with one worker, whose items end when the test says so."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.begun: list[int] = []
        self.perform: Callable[[Entry[str]], Any] = lambda entry: None
        backend = Threads()
        session: Any = SimpleNamespace(close=lambda: None, rest=lambda: None)
        pace = make_pace(1, 1, ordered)
        self.engine: Engine[str, Any] = Engine(session, backend, pace, self._perform)

    def _perform(self, entry: Entry[str]) -> Any:
        self.begun.append(entry.index)
        return self.perform(entry)

    def submit(self, count: int) -> None:
        for index in range(count):
            self.engine.submit(Entry(index, "host", f"item {index}"))

    def deliver(self, *indexes: int) -> None:
        self.engine.deliver([SimpleNamespace(index=index) for index in indexes])

    def take(self) -> int | None:
        result = self.engine.take()
        return None if result is None else int(result.index)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.engine.stop()


def test_a_worker_goes_on_while_results_are_to_come(bench: Bench) -> None:
    """But no further than the results that may be untaken: a slow disk stops the workers."""
    bench.submit(5)
    wait_until(lambda: bench.begun == [0, 1])
    assert bench.take() is None and not bench.engine.is_idle
    bench.deliver(1, 0)
    assert [bench.take(), bench.take()] == [1, 0]
    wait_until(lambda: bench.begun == [0, 1, 2, 3])
    bench.deliver(2, 3)
    assert [bench.take(), bench.take()] == [2, 3]
    wait_until(lambda: len(bench.begun) == 5)
    bench.deliver(4)
    assert bench.take() == 4 and bench.engine.is_idle


def test_results_that_are_to_come_keep_their_order() -> None:
    """With `ordered`, the one whose turn it is ends the caller's wait."""
    bench = Bench(ordered=True)
    bench.submit(2)
    wait_until(lambda: bench.begun == [0, 1])
    bench.deliver(1)
    assert bench.take() is None
    bench.deliver(0)
    bench.engine.wait()
    assert [bench.take(), bench.take()] == [0, 1]
    bench.engine.stop()


def test_an_item_whose_last_steps_fail_is_gone_on_with(bench: Bench) -> None:
    """A worker does the rest; if the host rests, the item is put back and done from the start."""
    entries: list[Entry[str]] = []
    bench.perform = entries.append
    bench.submit(1)
    wait_until(lambda: len(entries) == 1)
    bench.engine.go_on(entries[0], lambda: SimpleNamespace(index=0))
    bench.engine.wait()
    assert bench.take() == 0 and bench.engine.is_idle

    def rests() -> Any:
        raise Deferred

    bench.engine.submit(Entry(1, "host", "item 1"))
    wait_until(lambda: len(entries) == 2)
    bench.engine.go_on(entries[1], rests)
    wait_until(lambda: bench.begun == [0, 1, 1])
    bench.deliver(1)
    assert bench.take() == 1 and bench.engine.is_idle


def test_an_error_that_ends_the_run_is_raised_to_the_caller(bench: Bench) -> None:
    """Also when the caller waits already."""
    bench.submit(1)
    wait_until(lambda: bench.begun == [0])
    bench.engine.fail(OSError(ENOSPC, "full"))
    bench.engine.wait()
    with pytest.raises(OSError, match="full"):
        bench.engine.take()


# ------------------------------------------------------------------ the disk


def steps(number: int, log: list[int]) -> Steps[int]:
    yield number
    if number < 0:
        raise LookupError(number)
    log.append(number)
    return number


@needs_greenlet
@pytest.mark.parametrize(("count", "seconds"), [(48, 600.0), (3, 0.01)])
def test_last_steps_gather(count: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many of them, or those of a moment, have one commit and are told together."""
    from pooledhttp.bulk.backends import Loop

    monkeypatch.setattr(writer, "_GATHER_SECONDS", seconds)
    commits: list[int] = []
    told: list[list[Ended]] = []
    backend = Loop()
    disk = backend.open_disk(commits.append)
    disk.on_ended = told.append
    log: list[int] = []

    def work() -> None:
        for number in range(count):
            assert disk.end(steps(number or -1, log), f"owner {number}", 10) is None
        assert not log and not commits

    backend.start(work)
    wait_until(lambda: bool(told))
    backend.stop()
    (ended,) = told
    assert len(commits) == 1 and [each.owner for each in ended] == [
        f"owner {number}" for number in range(count)
    ]
    assert isinstance(ended[0].error, LookupError)
    assert [each.value for each in ended[1:]] == log == list(range(1, count))


@needs_greenlet
def test_last_steps_are_begun_soon_when_a_worker_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is to be gathered then, and the caller waits for results."""
    from pooledhttp.bulk.backends import Loop

    monkeypatch.setattr(writer, "_GATHER_SECONDS", 600.0)
    told: list[list[Ended]] = []
    backend = Loop()
    disk = backend.open_disk(lambda number: None)
    disk.on_ended = told.append

    def work() -> None:
        disk.end(steps(1, []), "owner", 10)
        backend.note_idle()
        backend.note_idle()

    backend.start(work)
    wait_until(lambda: bool(told))
    backend.stop()
    assert told == [[Ended("owner", 1, None)]]


@needs_greenlet
def test_last_steps_are_done_although_the_run_is_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was handed over has its file and its row when the run has ended."""
    from pooledhttp.bulk.backends import Loop

    monkeypatch.setattr(writer, "_GATHER_SECONDS", 600.0)
    told: list[list[Ended]] = []
    backend = Loop()
    disk = backend.open_disk(lambda number: None)
    disk.on_ended = told.append
    handed = BASE.waiter()

    def work() -> None:
        disk.end(steps(1, []), "owner", 0)
        handed.set()

    backend.start(work)
    assert handed.wait(soon())
    backend.stop()
    assert told == [[Ended("owner", 1, None)]]


def _not_opened(part: Part) -> Any:
    raise AssertionError("the file was opened")


def test_a_body_that_ends_at_its_length_is_written_at_once() -> None:
    """The file is not opened for more, and the digest covers it."""
    written: list[tuple[Part, list[bytes]]] = []
    checks, part = Checks(bulk.Job("http://a/"), "sha256"), Part(7, 5, "")

    def write(part: Part, pieces: list[bytes]) -> None:
        written.append((part, pieces))

    body = BodyFile(DirectDisk(), _not_opened, part, checks.begin_digest, write, 5)
    body.write(b"abcde")
    assert body.seal() == 5
    body.complete()
    assert written == [(part, [b"abcde"])] and body.was_written_whole
    assert checks.text(body.digest) == f"sha256:{hashlib.sha256(b'abcde').hexdigest()}"


def test_a_new_part_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """And one that cannot be written leaves no descriptor behind."""
    folder = RunFolder(tmp_path)
    part = Part(7, 3, "")
    folder.write(part, [b"longer than before"])
    folder.write(part, [b"a", b"", b"bc"])
    assert folder.part_size(part) == 3
    with folder.create(part) as file:
        file.write(b"x")
    assert folder.part_size(part) == 1
    before = open_descriptors()
    with pytest.raises(TypeError):
        folder.write(part, ["no bytes"])  # type: ignore[list-item]
    assert open_descriptors() == before
    folder.close()


# ------------------------------------------------------------------ a download


@pytest.mark.parametrize(
    ("errno", "attempts", "kind"), [(EMFILE, 2, None), (EACCES, 1, "PermissionError")]
)
def test_a_file_that_cannot_be_made_is_tried_again_or_fails(
    errno: int,
    attempts: int,
    kind: str | None,
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As any other failure of its item: descriptors may be free again in a moment."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)
    write = RunFolder.write
    failed: list[Part] = []

    def fail_once(self: RunFolder, part: Part, pieces: list[bytes]) -> None:
        if not failed:
            failed.append(part)
            raise OSError(errno, os.strerror(errno))
        write(self, part, pieces)

    monkeypatch.setattr(RunFolder, "write", fail_once)
    with ScriptedServer(answering(respond(b"body"))) as server:
        first, second = list(
            bulk.download([server.url("/1"), server.url("/2")], tmp_path, jobs=1, ordered=True)
        )
    assert (first.attempts, first.kind) == (attempts, kind)
    assert first.ok == (kind is None) and second.ok and second.attempts == 1
    with bulk.Run(tmp_path) as run:
        assert [job.attempts for job in run] == [attempts, 1]


def test_a_full_disk_ends_the_run(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so, and the other results were yielded before."""

    def fail(self: RunFolder, part: Part, pieces: list[bytes]) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(RunFolder, "write", fail)
    with ScriptedServer(answering(respond(b"body"))) as server:
        results = bulk.download([server.url("/1")], tmp_path)
        with pytest.raises(bulk.RunStopped) as caught:
            next(results)
    assert caught.value.errno == ENOSPC
    with bulk.Run(tmp_path) as run:
        assert not run.counts()[bulk.State.DONE]
