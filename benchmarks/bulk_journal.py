"""What names and journal of a bulk run cost: CPU and bytes for each line of a long list.

    python -m benchmarks bulk-journal [lines]

Every line is registered (a name claimed, a row committed), recorded as received and done, and
looked up once more as the next run does, in order and shuffled. No request is sent. Bounds for a
million lines: 80 us of CPU a line for each pass, 150 MiB of memory, 500 bytes a line.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.journal import Journal
from pooledhttp.bulk.names import naming
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.bulk.rows import State, Update
from pooledhttp.bulk.workspace import Options, Task, Workspace

BATCH = 16_384  # of a list in a file
GROUP = 32  # workers that wait for the same commit


#: Steps of so many lines visit each line once, in an order that no index has.
STRIDE = 611_953


def urls(lines: int, *, shuffled: bool = False) -> Iterator[str]:
    """Yield URLs of usual length; one name in ten is wanted twice."""
    for place in range(lines):
        number = place * STRIDE % lines if shuffled else place
        name = number if number % 10 else number - 5
        folder = f"https://images{number % 7}.example.com/collection/{number % 100}"
        yield f"{folder}/photo-{name:07d}.jpg?size=large"


def register(workspace: Workspace, source: Iterable[str]) -> Iterator[Task | DownloadResult]:
    """Register in batches, as a download does."""
    items = iter(source)
    index = 0
    while batch := list(islice(items, BATCH)):
        steps = []
        with workspace.batch(len(batch)):
            for url in batch:
                steps.append(workspace.register(Job.of(url), index))
                index += 1
        yield from (step for step in steps if step is not None)


def first_run(workspace: Workspace, source: Iterable[str]) -> None:
    """Register each line, and record it as received and done."""
    journal = workspace.journal
    waiting: list[Task] = []
    for step in register(workspace, source):
        assert isinstance(step, Task)
        waiting.append(step)
        if len(waiting) == GROUP:  # workers commit together
            _finish(journal, waiting)
    _finish(journal, waiting)


def _finish(journal: Journal, tasks: list[Task]) -> None:
    if not tasks:
        return
    etag, now = '"5f3c-62a1b2c3d4e5f"', 1.7e9
    received = [
        Update(task.row.id, int(State.RECEIVED), 200, etag, None, 1, None, 1, None, now, now)
        for task in tasks
    ]
    numbers = [journal.record(each) for each in received]
    journal.commit(numbers[-1])
    for each in received:
        journal.record(each.in_state(State.DONE))
    tasks.clear()


def next_run(workspace: Workspace, source: Iterable[str]) -> None:
    """Look each line up."""
    for _ in register(workspace, source):
        pass


def measure(what: str, lines: int, act: Callable[[], None]) -> None:
    """Run, and print the CPU and the memory."""
    began, at = time.process_time(), time.perf_counter()
    act()
    cpu, seconds = time.process_time() - began, time.perf_counter() - at
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what:<28} {cpu / lines * 1e6:6.1f} us CPU a line, {seconds:6.1f} s, {memory:5.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Measure both orders; the first argument is the number of lines."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for order in ("in order", "shuffled"):
        pid = os.fork()  # memory is measured from the start for each
        if pid:
            os.waitpid(pid, 0)
            continue
        _measure_order(order, lines)
        os._exit(0)


def _measure_order(order: str, lines: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        print(f"{order}, {lines} lines")
        for what, act, shuffled in (
            ("names, rows, received, done", first_run, False),
            ("lookup in the next run", next_run, order == "shuffled"),
        ):
            workspace = Workspace(out, Options(naming("last")))
            source = urls(lines, shuffled=shuffled)
            measure(what, lines, partial(act, workspace, source))
            workspace.close()
        size = os.path.getsize(out / ".pooledhttp" / "journal.sqlite3")
        print(f"{'journal':<28} {size / lines:6.1f} bytes a line", flush=True)


if __name__ == "__main__":
    main()
