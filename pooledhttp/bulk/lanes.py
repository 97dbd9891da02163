"""Lanes: each runs orders on an executor, one at a time.

A lane has one order at a time. What differs between executors is whether all orders of a lane meet
the same process, and what a process that dies does to the rest:

```
                              a lane is          keeps its engine   when a worker dies
Workers (ours)                one process        yes                its process is started again
distributed.Client            one Dask worker    yes                the lane moves to another worker
any concurrent Executor       a place in line    no                 the executor is broken: the end
```
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from pooledhttp.bulk.payloads import Call

__all__ = ["AnyFuture", "Lanes", "end_process", "loads_call"]


class AnyFuture(Protocol):
    """What a lane needs of a future: that of `concurrent.futures` and Dask's have it."""

    def add_done_callback(self, fn: Callable[[Any], object]) -> object:
        """Call a function with the future when it is done, in any thread."""

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""

    def cancel(self) -> object:
        """Do not run it, if it does not run yet."""


class Lanes(Protocol):
    """Where orders are done; see above."""

    #: How many orders can be done at once.
    count: int

    #: Whether all orders of a lane go to the same process.
    keeps: bool

    #: Whether a worker that has died does nothing any more; one of another machine may only be
    #: cut off.
    is_local: bool

    #: What this is, for messages.
    name: str

    def dumps(self, value: object) -> bytes:
        """Pickle a value for a worker."""

    def submit(self, lane: int, call: Call) -> AnyFuture:
        """Have the worker of a lane make a call; returns its future."""

    def is_death(self, lane: int, error: BaseException) -> bool:
        """Whether an error says that the worker has died, and the lane is usable again.

        Raises:
            WorkerLost: It is not: no worker is left, or each one dies as soon as it starts.
        """

    def find_dead(self) -> list[int]:
        """Return the lanes whose worker has died without an error; they are usable again.

        Raises:
            WorkerLost: No worker is left.
        """

    def note_reply(self, lane: int) -> None:
        """Note that a lane has done an order."""

    def interrupt(self, run: str) -> None:
        """Tell all orders that are running to end soon. Does not wait for them."""

    def close(self) -> None:
        """Close what was opened for the run."""


def loads_call() -> Callable[[bytes], Any]:
    """Return the function that every executor is given: one that each Python has."""
    return pickle.loads


def end_process(pid: int, number: int = getattr(signal, "SIGKILL", signal.SIGTERM)) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
