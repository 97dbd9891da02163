"""Lanes over a Dask cluster: one for each worker. All orders of a lane go to its worker.

- A task is *pinned* to the worker of its lane, so that its engine and its connections are there.
- Dask runs a task again when its worker dies. A pinned one would wait forever, and one that is not
  pinned would be done again whatever its method is. So we look which workers are there, and a lane
  whose worker has gone is moved to another one: the caller decides what is done again.
- `pure=False` and a key of its own, since Dask takes calls with equal arguments for one.
- The scheduler needs no pooledhttp: it sees `pickle.loads` and bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from pooledhttp.__version__ import __version__
from pooledhttp.bulk import worker
from pooledhttp.bulk.lanes import AnyFuture, loads_call
from pooledhttp.bulk.payloads import Call, WorkerLost, WorkerMismatch

__all__ = ["DaskLanes", "DaskOrder"]

#: How long to wait for a worker when all have ended: a nanny starts a new one.
_WAIT_SECONDS = 30.0

#: How long to wait for a result before looking whether its worker is there.
_GATHER_SECONDS = 5.0


class DaskOrder:
    """The future of an order. Its result stays with the worker until it is asked for.

    Args:
        future: A future of Dask.
        has_home: Whether the worker that has the order is there.
    """

    def __init__(self, future: Any, has_home: Callable[[], bool]) -> None:
        self._future = future
        self._has_home = has_home

    def add_done_callback(self, fn: Callable[[Any], object]) -> object:
        """Call a function with this order when it is done, in any thread."""
        return self._future.add_done_callback(lambda _: fn(self))

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised.

        A worker that dies when its order is done takes the result along. No other worker may do the
        order again, so Dask would wait forever.

        Raises:
            FutureCancelledError: That has happened.
        """
        from distributed.client import FutureCancelledError

        seconds = _GATHER_SECONDS
        while True:
            try:
                return self._future.result(timeout=seconds)
            except TimeoutError:
                if self._future.status == "error":  # the call itself has raised it
                    raise
                if not self._has_home():
                    self._future.cancel()
                    raise FutureCancelledError(self._future.key, "its worker has died") from None
                seconds *= 2

    def cancel(self) -> object:
        """Do not run it, if it does not run yet."""
        return self._future.cancel()


class DaskLanes:
    """Lanes over the workers that a client sees when the run begins.

    Args:
        client: The client, which stays open.
        count: How many lanes; None for one for each worker.

    Raises:
        ValueError: The client is one for an event loop.
        WorkerLost: There is no worker.
        WorkerMismatch: A worker has no pooledhttp, or another version.
    """

    keeps = True
    is_local = False

    def __init__(self, client: Any, count: int | None) -> None:
        if client.asynchronous:
            raise ValueError("executor takes a distributed.Client without asynchronous=True")
        self._client = client
        self.name = "Dask"
        addresses = self._addresses()
        if not addresses:
            addresses = self._wait_for_one()
        self.count = count or len(addresses)
        #: The worker of each lane.
        self._homes = [addresses[number % len(addresses)] for number in range(self.count)]
        self._check_versions(addresses)

    def dumps(self, value: object) -> bytes:
        """Pickle a value as Dask does: functions of a script go along, lambdas too."""
        import cloudpickle

        data: bytes = cloudpickle.dumps(value)
        return data

    def submit(self, lane: int, call: Call) -> AnyFuture:
        """Let the worker of a lane make a call."""
        home = self._homes[lane]
        future = self._client.submit(
            loads_call(),
            self.dumps(call),
            key=f"pooledhttp-{lane}-{uuid4().hex}",
            workers=[home],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        return DaskOrder(future, lambda: home in self._addresses())

    def is_death(self, lane: int, error: BaseException) -> bool:
        """Whether an error says that a worker has died; then the lane has another one.

        Raises:
            WorkerLost: No worker is left, or the scheduler has gone.
        """
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        if isinstance(error, FutureCancelledError) and self._homes[lane] in self._addresses():
            raise WorkerLost(f"the scheduler of Dask has cancelled an order: {error}") from error
        if not isinstance(error, (KilledWorker, FutureCancelledError)):
            return False
        self._move(lane)
        return True

    def find_dead(self) -> list[int]:
        """Return the lanes whose worker has ended, and give each of them another worker.

        Raises:
            WorkerLost: No worker is left, or the scheduler has gone.
        """
        there = set(self._addresses())
        dead = [lane for lane, home in enumerate(self._homes) if home not in there]
        for lane in dead:
            self._move(lane)
        return dead

    def note_reply(self, lane: int) -> None:
        """Do nothing: Dask itself counts what a worker was lost with."""

    def interrupt(self, run: str) -> None:
        """Tell all workers to end their orders soon."""
        self._client.run(worker.end_run, run, wait=False)

    def close(self) -> None:
        """Do nothing: the client is the caller's."""

    def _addresses(self) -> list[str]:
        try:
            return sorted(self._client.nthreads())
        except (OSError, RuntimeError, TimeoutError) as error:
            raise WorkerLost(f"the scheduler of Dask cannot be reached: {error}") from error

    def _wait_for_one(self) -> list[str]:
        """Return the workers when there is one."""
        try:
            self._client.wait_for_workers(1, timeout=_WAIT_SECONDS)
        except TimeoutError as error:
            raise WorkerLost(f"there is no worker of Dask after {_WAIT_SECONDS} s") from error
        return self._addresses()

    def _move(self, lane: int) -> None:
        """Give a lane the worker that has the fewest lanes."""
        there = self._addresses() or self._wait_for_one()
        busy = Counter(self._homes)
        self._homes[lane] = min(there, key=lambda address: busy[address])

    def _check_versions(self, addresses: list[str]) -> None:
        found = self._client.run(worker.version_here, workers=addresses, on_error="return")
        for address, version in found.items():
            if version == __version__:
                continue
            if isinstance(version, BaseException):
                raise WorkerMismatch(
                    f"the worker {address} cannot load pooledhttp ({version}). Install"
                    f" pooledhttp {__version__} there."
                ) from version
            raise WorkerMismatch(
                f"the worker {address} has pooledhttp {version}, and the caller {__version__}."
                " Install the same version on both."
            )
