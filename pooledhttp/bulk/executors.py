"""Lanes over an executor of the caller, and the choice of lanes for an executor."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import BrokenExecutor, Executor
from typing import TYPE_CHECKING, Any

from pooledhttp.bulk import worker
from pooledhttp.bulk.lanes import Lanes, loads_call
from pooledhttp.bulk.payloads import Call, WorkerLost

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ExecutorLanes", "open_lanes"]


class ExecutorLanes:
    """Lanes over an executor of the caller; the run does not close it.

    Args:
        executor: The executor.
        count: How many orders at once; None for as many as it has workers.
    """

    keeps = False
    is_local = False

    def __init__(self, executor: Executor, count: int | None) -> None:
        self._executor = executor
        self.count = count or getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        self.name = type(executor).__name__

    def dumps(self, value: object) -> bytes:
        """Pickle a value."""
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def submit(self, lane: int, call: Call) -> Future[Any]:
        """Submit a call."""
        try:
            return self._executor.submit(loads_call(), self.dumps(call))
        except BrokenExecutor as error:
            raise self._lost(error) from error

    def is_death(self, lane: int, error: BaseException) -> bool:
        """Whether an error says that a worker has died.

        Raises:
            WorkerLost: One has, so the executor is broken.
        """
        if isinstance(error, BrokenExecutor):
            raise self._lost(error) from error
        return False

    def find_dead(self) -> list[int]:
        """Return nothing: an executor says it by an error."""
        return []

    def note_reply(self, lane: int) -> None:
        """Do nothing."""

    def interrupt(self, run: str) -> None:
        """End what goes on in this process; other processes see that the run's file is gone."""
        worker.end_run(run)

    def close(self) -> None:
        """Do nothing: the executor is the caller's."""

    def _lost(self, error: BaseException) -> WorkerLost:
        return WorkerLost(
            f"a worker of the {self.name} has died, and the executor cannot be used any more"
            f" ({error}). Run the same again with a new one: a download goes on where it was."
            " bulk.Workers starts a worker that dies again."
        )


def open_lanes(executor: object, partitions: int | None) -> Lanes:
    """Return the lanes over what a caller gives as executor.

    Args:
        executor: `Workers`, an executor, or a client of Dask.
        partitions: How many orders at once; None for as many as there are workers.

    Raises:
        TypeError: It is none of these.
        ValueError: `partitions` is below 1, or the client is one for an event loop.
    """
    if partitions is not None and partitions < 1:
        raise ValueError(f"partitions must be at least 1, not {partitions}")
    open_own = getattr(executor, "open_lanes", None)
    if open_own is not None:
        lanes: Lanes = open_own(partitions)
        return lanes
    if isinstance(executor, Executor):
        return ExecutorLanes(executor, partitions)
    if type(executor).__module__.partition(".")[0] == "distributed" and hasattr(executor, "submit"):
        from pooledhttp.bulk.dask_lanes import DaskLanes

        return DaskLanes(executor, partitions)
    raise TypeError(
        "executor takes bulk.Workers(n), an Executor of concurrent.futures or a distributed.Client,"
        f" not {executor!r}"
    )
