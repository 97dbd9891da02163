"""The thread that reaches the disk for a loop, and bodies on their way through it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.bulk import writer
from pooledhttp.bulk.backends import Loop
from pooledhttp.bulk.body_file import BodyFile
from pooledhttp.bulk.disk import DirectDisk, Disk, Steps
from pooledhttp.bulk.part import Part
from pooledhttp.runtime import default_runtime
from pooledhttp.timing import Deadline

BASE = default_runtime()

PART = Part(1, None, "")


def soon() -> Deadline:
    return Deadline.after(20.0, BASE.now)


class Bench:
    """A loop with a disk, and the commits that it made."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.commit_error: OSError | None = None
        self.backend = Loop()
        self.disk: Disk = self.backend.open_disk(self._commit)

    def _commit(self, number: int) -> None:
        self.commits.append(number)
        if self.commit_error is not None:
            raise self.commit_error

    def run(self, *works: Callable[[], object]) -> list[object]:
        """Run each in a greenlet; returns what they return or raise."""
        found: dict[int, object] = {}
        ended = BASE.waiter()

        def begin(number: int, work: Callable[[], object]) -> None:
            try:
                found[number] = work()
            except Exception as error:
                found[number] = error
            if len(found) == len(works):
                ended.set()

        for number, work in enumerate(works):
            self.backend.start(lambda number=number, work=work: begin(number, work))  # type: ignore[misc]
        assert ended.wait(soon())
        return [found[number] for number in range(len(works))]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.backend.stop()


def step(number: int, log: list[str]) -> Steps[int]:
    log.append("before")
    yield number
    log.append("after")
    return number


def test_steps_that_are_there_together_share_a_commit(bench: Bench) -> None:
    """All go up to the commit, then there is one, then all go on."""
    log: list[str] = []
    gate = BASE.waiter()
    bench.disk.submit(lambda: [None, gate.wait(soon())][0], 0)  # holds the thread up

    def work(number: int) -> int:
        if number == 4:
            bench.backend.runtime.call_soon(gate.set)
        return bench.disk.run(step(number, log))

    found = bench.run(*(lambda number=number: work(number) for number in range(5)))  # type: ignore[misc]
    assert found == [0, 1, 2, 3, 4]
    assert len(bench.commits) <= 2 and max(bench.commits) == 4
    assert log[:4] == ["before"] * 4


def test_an_error_belongs_to_the_greenlet_that_asked(bench: Bench) -> None:
    """One of its steps, or the commit that it waits for."""

    def failing() -> Steps[int]:
        raise LookupError("step")
        yield 0

    log: list[str] = []
    found = bench.run(lambda: bench.disk.run(failing()), lambda: bench.disk.run(step(1, log)))
    assert isinstance(found[0], LookupError) and found[1] == 1
    bench.commit_error = OSError("commit")
    (error,) = bench.run(lambda: bench.disk.run(step(2, log)))
    assert error is bench.commit_error
    assert log == ["before", "after", "before"]


def test_a_slow_disk_holds_up_who_hands_over_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes under way are bounded, and no other greenlet is held up."""
    monkeypatch.setattr(writer, "_MOST_QUEUED", 100)
    gate = BASE.waiter()
    handed: list[int] = []

    def greedy() -> int:
        bench.disk.submit(lambda: [None, gate.wait(soon())][0], 0)
        for size in (60, 60, 60):
            bench.disk.submit(lambda: None, size)
            handed.append(size)
        return len(handed)

    def other() -> int:
        seen = len(handed)
        gate.set()
        return seen

    assert bench.run(greedy, other) == [3, 1]


@pytest.mark.parametrize("end", ["bytes", "time"])
def test_pieces_are_written_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """When there are enough bytes of them, or after a moment."""
    monkeypatch.setattr(writer, "_GATHER_BYTES", 400)
    monkeypatch.setattr(writer, "_GATHER_SECONDS", 1000.0 if end == "bytes" else 0.001)
    log: list[int] = []
    dues: list[bool] = []

    def work() -> None:
        disk = bench.disk
        assert isinstance(disk, writer.Writer)
        for number in range(4 if end == "bytes" else 3):
            dues.append(disk._is_due or bool(log))
            disk.submit(lambda number=number: log.append(number), 100)  # type: ignore[misc]
        while len(log) < len(dues):
            bench.backend.runtime.sleep(0.001)

    assert bench.run(work) == [None]
    assert not any(dues)
    assert log == list(range(len(dues)))


def test_a_piece_of_another_thread_waits_for_no_others(bench: Bench) -> None:
    """Only the loop has the timer that would end the wait."""
    done = BASE.waiter()
    bench.run(lambda: None)
    bench.disk.submit(done.set, 100)
    assert done.wait(soon())


def test_what_was_handed_over_is_done_although_the_run_is_halted(bench: Bench) -> None:
    """The greenlet gets its value, and the thread ends after all that is queued."""
    gate = BASE.waiter()
    got: list[int] = []

    def work() -> None:
        bench.disk.submit(lambda: [None, gate.wait(soon())][0], 0)
        got.append(bench.disk.run(step(7, [])))

    begun = BASE.waiter()
    bench.backend.start(work)
    bench.backend.start(lambda: bench.backend.runtime.call_soon(begun.set))
    assert begun.wait(soon())
    bench.backend.halt()
    gate.set()
    bench.backend.stop()
    assert got == [7] and bench.commits == [7]


# ------------------------------------------------------------------ bodies


@pytest.mark.parametrize("kind", ["direct", "loop"])
@pytest.mark.parametrize("sizes", [[], [0], [5], [70_000, 70_000, 3], [300_000], [1] * 1000])
def test_a_body_is_in_its_file(kind: str, sizes: list[int], tmp_path: Path) -> None:
    """Whatever its pieces are, and nothing is opened before the first of them."""
    pieces = [os.urandom(size) for size in sizes]
    path = tmp_path / "body"

    def work(disk: Disk) -> int:
        body = BodyFile(disk, lambda part: open(path, "xb", 0), PART)
        assert not path.exists()
        for piece in pieces:
            body.write(piece)
        body.seal()
        disk.run(completing(body))
        return body.size

    def completing(body: BodyFile) -> Steps[None]:
        body.complete()
        return
        yield 0

    if kind == "direct":
        size: object = work(DirectDisk())
    else:
        bench = Bench()
        (size,) = bench.run(lambda: work(bench.disk))
        bench.backend.stop()
    assert path.read_bytes() == b"".join(pieces)
    assert size == sum(sizes)


@pytest.mark.parametrize("kind", ["direct", "loop"])
@pytest.mark.parametrize("is_whole", [False, True], ids=["opened", "whole"])
def test_what_is_written_gives_its_buffer_back(kind: str, is_whole: bool, tmp_path: Path) -> None:
    """A buffer is filled again only after its bytes are in the file, and in the digest."""
    path = tmp_path / "body"
    pool = BufferPool(4)
    parts = [b"abcd", b"efgh", b"i"] if not is_whole else [b"abcd"]

    def fill(part: bytes, view: memoryview) -> int:
        view[: len(part)] = part
        return len(part)

    def write_whole(part: Part, pieces: list[Piece]) -> None:
        path.write_bytes(b"".join(pieces))

    def work(disk: Disk) -> str:
        disk.buffers = pool
        body = BodyFile(
            disk,
            lambda part: open(path, "xb", 0),
            PART,
            lambda file: hashlib.sha256(),
            write_whole if is_whole else None,
            4 if is_whole else None,
        )
        for part in parts:
            body.write(pool.fill(partial(fill, part), 4))
        body.seal()
        disk.run(completing(body))
        assert body.digest is not None
        return body.digest.hexdigest()

    def completing(body: BodyFile) -> Steps[None]:
        body.complete()
        return
        yield 0

    if kind == "direct":
        digest: object = work(DirectDisk())
    else:
        bench = Bench()
        (digest,) = bench.run(lambda: work(bench.disk))
        bench.backend.stop()
    assert path.read_bytes() == b"".join(parts)
    assert digest == hashlib.sha256(b"".join(parts)).hexdigest()
    assert len({id(buffer) for buffer in pool._free}) == len(pool._free) >= 1


def test_what_has_come_is_in_the_file_soon(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the server sends no more: a run that is killed can go on from there."""
    monkeypatch.setattr(writer, "_KEEP_SECONDS", 0.001)
    path = tmp_path / "body"

    def work() -> bytes:
        body = BodyFile(bench.disk, lambda part: open(path, "xb", 0), PART)
        body.write(b"abc")
        while not path.exists() or not path.read_bytes():
            bench.backend.runtime.sleep(0.001)
        body.write(b"def")
        body.seal()
        bench.disk.run(body.giving_up())
        return path.read_bytes()

    assert bench.run(work) == [b"abcdef"]


@pytest.mark.parametrize("kind", ["direct", "loop"])
def test_an_error_of_the_disk_is_raised_at_the_end_if_not_before(kind: str) -> None:
    """And nothing is written any more."""

    def fail(part: Part) -> Any:
        raise OSError(28, "full")

    def work(disk: Disk) -> str:
        body = BodyFile(disk, fail, PART)
        try:
            body.write(b"abc")
        except OSError:
            return "at once"
        body.seal()
        try:
            disk.run(body.giving_up())
        except OSError:
            return "at the end"
        return "never"

    if kind == "direct":
        assert work(DirectDisk()) == "at once"
    else:
        bench = Bench()
        assert bench.run(lambda: work(bench.disk)) == ["at the end"]
        bench.backend.stop()
