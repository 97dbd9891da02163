"""What `fetch` and `download` return: an iterator that works while a result is asked for.

The input is read and the results are taken in the thread that iterates, and only inside `next()`.
So an input need not be thread-safe, and is never read after the caller has stopped asking.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from pooledhttp.bulk.backends import EngineName
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.halting import Halted
from pooledhttp.bulk.pacing import HostCounts, Pace
from pooledhttp.bulk.protocols import AnyEngine, Counted, Indexed, Requester
from pooledhttp.pool import PoolStats

__all__ = [
    "DEFAULT_JOBS",
    "DEFAULT_PER_HOST",
    "MOST_HANDED",
    "READ_SECONDS",
    "Results",
    "follow_limits",
    "make_pace",
]

DEFAULT_JOBS = 32
DEFAULT_PER_HOST = 6

#: How long reading the input may delay a result that is ready.
READ_SECONDS = 0.005

#: Items that are handed to the engine in one go. Workers that end an item wait for that.
MOST_HANDED = 64

#: Queued items, for each worker and at least in all at the beginning; for each worker later. So far
#: can slow hosts, or many items of one host in a row, make the engine look for others.
_WINDOW_PER_JOB = 8
_LEAST_WINDOW = 64
_MOST_PER_JOB = 1024

#: Results in memory for each worker, running and finished together.
_CAPACITY_PER_JOB = 2

_TICK_SECONDS = 0.5

R = TypeVar("R", bound=Indexed)


class Results(Iterator[R], Generic[R]):
    """Results as they come; for one thread at a time.

    Leaving the loop early, closing it or dropping it stops the workers and closes their
    connections. It is a context manager too, for code that keeps a reference.
    """

    def __init__(self, engine: AnyEngine[R], session: Counted) -> None:
        self._engine = engine
        #: What does the work: `"loop"`, `"threads"` or `"executor"`.
        self.engine: EngineName = engine.backend.name
        #: Why that is not the loop although it would be the first choice; None if it is, or if the
        #: caller has chosen.
        self.engine_reason = engine.backend.reason
        self._stats = session.stats
        self._last_stats: PoolStats | None = None
        self._index = 0
        self._input_error: Exception | None = None
        #: Called twice a second while `next` waits, for a display of progress; None for nothing.
        self.on_wait: Callable[[], None] | None = None
        self._is_closed = False  # last: without it, a finalizer takes the object for closed

    def __next__(self) -> R:
        if self._is_closed:
            raise StopIteration
        try:
            while True:
                self._read_on()
                result = self._engine.take()
                if result is not None:
                    return result
                if not self._has_input and self._engine.is_idle:
                    break
                if self.on_wait is None and not self._waits_for_input:
                    self._engine.wait()
                else:
                    self._engine.wait(_TICK_SECONDS)
                if self.on_wait is not None:
                    self.on_wait()
        except Halted:  # closed by a signal handler or another thread
            self.close()
            raise StopIteration from None
        except BaseException:
            self.close()
            raise
        self.close()
        error, self._input_error = self._input_error, None
        if error is not None:
            raise error
        raise StopIteration

    @property
    @abstractmethod
    def _has_input(self) -> bool:
        """Whether there may be more input."""

    @property
    def _waits_for_input(self) -> bool:
        """Whether input may come that nothing else tells of."""
        return False

    @abstractmethod
    def _read_on(self) -> None:
        """Read the input as far as the engine has use for it."""

    def close(self) -> None:
        """Stop all work and close the connections. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._last_stats = self._stats()
        finally:
            self._engine.stop()
            if self._engine.counts_come_late:
                self._last_stats = self._stats()

    def not_taken(self) -> list[R]:
        """Return the results that were ready when the run was stopped, in the order of the input.

        What they tell is done, although the iteration ended before them. Each is returned once.
        Empty while the run goes on.
        """
        return self._engine.left() if self._is_closed else []

    @property
    def repeated(self) -> int:
        """How many jobs were given to a worker of the executor again since another one died.

        Each of them may have been requested once more than its `attempts` say.
        """
        return self._engine.repeated

    def hosts(self) -> HostCounts:
        """Return how many hosts are at work, rest, or are paused."""
        return self._engine.hosts()

    def stats(self) -> PoolStats:
        """Return the pool's counters; after the end, as they last were.

        Over an executor these are the counters of all workers, as of their last replies.
        """
        if self._is_closed and self._last_stats is not None:
            return self._last_stats
        return self._stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # No counters are read here: a finalizer may run in a thread that holds the pool's lock.
        if not getattr(self, "_is_closed", True):
            self._is_closed = True
            self._engine.stop()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<{type(self).__name__} {state}, {self._index} read>"


def make_pace(
    jobs: int,
    per_host: int | None,
    ordered: bool,
    capacity_per_job: int = _CAPACITY_PER_JOB,
    rounds: int = 1,
) -> Pace[Any]:
    """Return the pace for these limits; see `Pace`.

    Raises:
        ValueError: A limit is below 1.
        TypeError: A limit is no number.
    """
    for name, limit in (("jobs", jobs), ("per_host", per_host)):
        if isinstance(limit, (str, bytes)):
            raise TypeError(f"{name} must be a whole number, not {limit!r}")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if per_host is not None and per_host < 1:
        raise ValueError(f"per_host must be at least 1, or None for no limit, not {per_host}")
    return Pace(
        jobs=jobs,
        per_host=per_host,
        capacity=jobs * capacity_per_job,
        window=max(jobs * _WINDOW_PER_JOB, _LEAST_WINDOW),
        ordered=ordered,
        rounds=rounds,
        most_queued=jobs * _MOST_PER_JOB,
    )


class _LimitFollower:
    """Passes the limits of hosts to an engine, which it does not keep alive.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Engine[Any, Any]) -> None:
        self._engine = weakref.ref(engine)

    def limit(self, line: str, limit: int) -> None:
        engine = self._engine()
        if engine is not None:
            engine.limit(line, limit)

    def rest(self, line: str, until: float | None) -> None:
        engine = self._engine()
        if engine is not None:
            engine.rest(line, until)

    def pause(self, line: str, until: float) -> None:
        engine = self._engine()
        if engine is not None:
            engine.pause(line, until)


def follow_limits(engine: Engine[Any, Any], session: Requester) -> None:
    """Let the engine start no more items of a host than the session has places for."""
    tell = getattr(session, "tell", None)
    if tell is not None:
        tell(_LimitFollower(engine))
