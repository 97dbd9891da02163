"""`Workers`: processes of our own, one for each lane.

Each lane has a `ProcessPoolExecutor` with one process. So the orders of a lane meet the same
process, which keeps its connections, and a process that dies takes no other lane with it: a pool
that lost a process is broken for good, and a new one of one process takes its place.

A worker ends with its caller, however that ends. It does not inherit that SIGINT is ignored, as it
is in a shell's background jobs: Ctrl-C and `interrupt` have its orders end.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from concurrent.futures import Future as ConcurrentFuture
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import connection
from types import FrameType
from typing import Any, Self

from pooledhttp.bulk import worker
from pooledhttp.bulk.lanes import end_process, loads_call
from pooledhttp.bulk.payloads import Call, WorkerLost

__all__ = ["Workers"]

#: A lane whose process dies so often before it has done an order is given up.
_MOST_STARTS = 3

#: How long to wait for processes after they were told to end.
_END_SECONDS = 2.0


def _begin() -> None:
    """Set a worker process up: which signals end its orders, and that it ends with its caller."""
    signal.signal(signal.SIGINT, _halt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        name = "pooledhttp-bulk-parent"
        threading.Thread(target=_end_with, args=(parent.sentinel,), name=name, daemon=True).start()


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Start a process that takes no SIGINT before it has its handler; see `_begin`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _halt(number: int, frame: FrameType | None) -> None:
    worker.halt_all()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # no result is wanted any more; parts are safe at every moment


class _Lane:
    """One process. It is started by its first call."""

    def __init__(self) -> None:
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start a process if there is none; counted until `note_reply`."""
        self._starts += 1
        # Spawned: a fork of a process with threads can hang, and takes open connections along.
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
        self._pid: ConcurrentFuture[int] | None = None

    def submit(self, call: Call) -> ConcurrentFuture[Any]:
        if self._pid is None:
            with _blocked_interrupts():
                self._pid = self.executor.submit(os.getpid)
        data = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        return self.executor.submit(loads_call(), data)

    def start_again(self, error: BaseException) -> None:
        if self._starts >= _MOST_STARTS:
            raise WorkerLost(
                f"a worker process has died {self._starts} times before it had done anything"
                f" ({error}). Is the program's own code under `if __name__ == '__main__':`?"
            ) from error
        self.executor.shutdown(wait=False)
        self.start()

    def note_reply(self) -> None:
        self._starts = 1

    @property
    def pid(self) -> int | None:
        """The process; None while it is not known."""
        found = self._pid
        if found is None or not found.done() or found.cancelled() or found.exception():
            return None
        return found.result()

    def begin_to_close(self) -> threading.Thread:
        """Tell the process to end; the thread that is returned ends with it."""
        # One call does both: a second `shutdown` of an executor does not wait.
        ending = partial(self.executor.shutdown, wait=True, cancel_futures=True)
        ended = threading.Thread(target=ending, name="pooledhttp-bulk-end", daemon=True)
        ended.start()
        return ended

    def close(self, ended: threading.Thread) -> None:
        """Wait for the process that was told to end; it does not get long."""
        ended.join(_END_SECONDS)
        if ended.is_alive() and self.pid is not None:
            end_process(self.pid)
            ended.join(_END_SECONDS)


class Workers:
    """Worker processes on this machine, for the `executor` of `fetch` and `download`.

    A process is started when it is first needed, takes the settings of the environment as they are
    then, and is started again when it dies. A context manager; one run at a time.

    Args:
        count: How many processes.

    Raises:
        ValueError: `count` is below 1.
        TypeError: `count` is no whole number.
    """

    keeps = True
    is_local = True

    def __init__(self, count: int) -> None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a whole number of processes, not {count!r}")
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self.count = count
        self.name = "Workers"
        self._lanes: list[_Lane] = []

    def open_lanes(self, partitions: int | None = None) -> Workers:
        """Start the lanes of a run, one for each process.

        Raises:
            ValueError: Another number of partitions is wanted.
        """
        if partitions not in (None, self.count):
            raise ValueError(f"Workers({self.count}) have as many partitions, not {partitions}")
        if not self._lanes:
            self._lanes = [_Lane() for _ in range(self.count)]
        return self

    def dumps(self, value: object) -> bytes:
        """Pickle a value."""
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def submit(self, lane: int, call: Call) -> ConcurrentFuture[Any]:
        """Let a process make a call.

        Raises:
            WorkerLost: No process can be started for it.
        """
        for _ in range(_MOST_STARTS):
            try:
                return self._lanes[lane].submit(call)
            except BrokenExecutor as error:  # it has died since its last order
                self._lanes[lane].start_again(error)
        raise WorkerLost("a worker process cannot be started")

    def is_death(self, lane: int, error: BaseException) -> bool:
        """Start the process of a lane again if it has died.

        Raises:
            WorkerLost: It dies as soon as it starts.
        """
        if not isinstance(error, BrokenExecutor):
            return False
        self._lanes[lane].start_again(error)
        return True

    def find_dead(self) -> list[int]:
        """Return nothing: the executors say it by an error."""
        return []

    def note_reply(self, lane: int) -> None:
        """Note that a process works."""
        self._lanes[lane].note_reply()

    def interrupt(self, run: str) -> None:
        """Tell all orders to end soon."""
        for pid in self.pids():
            end_process(pid, signal.SIGINT)

    def pids(self) -> list[int]:
        """Return the processes that are known to run."""
        return [pid for lane in self._lanes if (pid := lane.pid) is not None]

    def close(self) -> None:
        """Do nothing at the end of a run: the processes are kept for the next one."""

    def shutdown(self) -> None:
        """End the processes. Doing it twice does nothing; a later run starts new ones."""
        lanes, self._lanes = self._lanes, []
        closing = [(lane, lane.begin_to_close()) for lane in lanes]
        for lane, ended in closing:
            with suppress(OSError):
                lane.close(ended)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Workers {self.count}, {len(self.pids())} running>"
