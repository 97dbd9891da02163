"""The messages between the caller's process and its workers.

```
caller --Order (Packed items, grants)--> worker
caller <--Reply (results, what was led elsewhere, what was not begun, counters)-- worker
```

All of it is pickled by us and handed over as bytes; see `portable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.portable import Outcome
from pooledhttp.bulk.rows import Row, Update
from pooledhttp.pool import PoolStats

if TYPE_CHECKING:
    from pooledhttp.sessions import Session

__all__ = [
    "Call",
    "ItemHandler",
    "DownloadItem",
    "Downloaded",
    "FetchItem",
    "Moved",
    "Order",
    "Reply",
    "RunSettings",
    "WorkerLost",
    "WorkerMismatch",
]


W = TypeVar("W")
R = TypeVar("R")


class WorkerLost(RuntimeError):
    """A worker ended while it had this job.

    The job of a method that may be sent twice is done again elsewhere. This error is in the result
    of any other job, of which it is not known whether it was sent, and of a job that has ended
    several workers. It ends the run when there is no worker any more.
    """


class WorkerMismatch(RuntimeError):
    """A worker cannot work for this run: it has no pooledhttp, or another version."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run that a worker needs, the same for all its orders.

    Args:
        session: Whose settings to use.
        jobs: The most requests at once in this worker.
        per_proxy: The most of them through one proxy; None for no limit.
        rate: Requests a second in this worker; None for no limit.
        timeout: What each request is given as its timeout.
        retries: Further attempts after a temporary failure.
        engine: Which engine to use, as for `fetch`.
        directory: Where bodies go; None for `fetch`.
        lease: A file in that directory that is there while the run goes on.
        options: How to treat what is in the directory; None for `fetch`.
    """

    session: Session | None
    jobs: int
    per_proxy: int | None
    rate: float | None
    timeout: object
    retries: int
    engine: Any
    directory: str | None = None
    lease: str | None = None
    options: Options | None = None


class _Positional:
    """Is pickled as its class and the values of its fields, in half the time of a dataclass."""

    __slots__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _reader_of(self.__slots__)(self)


@lru_cache(maxsize=16)
def _reader_of(names: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """Return what reads all these attributes at once."""
    return attrgetter(*names)


@dataclass(slots=True)
class FetchItem(_Positional):
    """A job of `fetch`, and what its sink has made of it."""

    index: int
    line: str
    job: Job
    store: Any = None
    leg: Leg | None = None


@dataclass(slots=True)
class DownloadItem(_Positional):
    """A job of `download`, with its row, and the part that may be continued."""

    index: int
    line: str
    job: Job
    row: Row
    replaces: int | None = None
    is_conditional: bool = False
    part: Part | None = None
    leg: Leg | None = None


class Downloaded(NamedTuple):
    """The outcome of a job of `download`.

    Args:
        outcome: The result without what the caller knows; see `result_of`.
        updates: What the journal is to be told, in this order.
        part: The part that is to get its name; None if there is none.
        problem: What is wrong with a file that is there and was to be refreshed.
    """

    outcome: Outcome
    updates: list[Update]
    part: Part | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The message that gives a worker a batch of items, and its share of the limits.

    Args:
        items: The items, as `FetchItem` or `DownloadItem`.
        grants: The places at each host that has any; None for no limit.
        rates: Requests a second to each host, and the seconds until the first one.
        seconds: How long to work before a reply.
        most_bytes: So many bytes of results, and the reply is sent.
        keeps: Whether the engine is kept for the next order. If not, what runs is finished.
    """

    items: list[Any]
    grants: dict[str, int | None]
    rates: dict[str, tuple[float, float]]
    seconds: float
    most_bytes: int
    keeps: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """An item that a redirect has led to a host at which the worker has no places."""

    index: int
    leg: Leg
    attempts: int


@dataclass(slots=True)
class Reply:
    """What a worker has done of its orders since the last reply.

    Args:
        results: By index; of `fetch` each is pickled, of `download` a `Downloaded`.
        moved: What was led elsewhere.
        not_begun: What goes back, since the engine is not kept.
        notes: Changes to record in the journal for jobs that go on.
        held: The most requests that may run at each host from now on.
        owed: Seconds until the next request to each host, of those that have a rate.
        stats: The counters of the pool; None when they have not been read.
        received: Bytes of bodies that were written, since the engine was opened.
        error: What ended the engine; None while it goes on.
        is_halted: Whether the run was stopped.
    """

    results: dict[int, Any] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    not_begun: list[int] = field(default_factory=list)
    notes: list[Update] = field(default_factory=list)
    held: dict[str, int | None] = field(default_factory=dict)
    owed: dict[str, float] = field(default_factory=dict)
    stats: PoolStats | None = None
    received: int = 0
    error: BaseException | None = None
    is_halted: bool = False


class ItemHandler(Protocol[W, R]):
    """What differs between `fetch` and `download`."""

    def job_of(self, work: W) -> Job:
        """Return the job of what was submitted."""

    def pack(self, index: int, line: str, work: W, leg: Leg | None) -> Any:
        """Return what goes to a worker."""

    def unpack(self, reply: Reply, works: dict[int, W]) -> list[tuple[R, int]]:
        """Return the results of a reply, each with the bytes it takes, and record them."""

    def failed(self, index: int, work: W, error: Exception, attempts: int) -> R:
        """Return the result of an item that no worker has finished."""

    def with_attempts(self, result: R, attempts: int) -> R:
        """Return a result with this many attempts added."""

    def again(self, works: list[W], *, is_gone: bool) -> list[W]:
        """Return items that a worker has died with, as they go to another one.

        Args:
            works: The items.
            is_gone: Whether it is certain that the worker does nothing any more.
        """

    def end(self) -> None:
        """Let no worker begin anything more."""


class Call:
    """A call that is made when it is unpickled, so that `pickle.loads` is all an executor needs.

    A Dask scheduler reads the functions of its tasks. It may have no pooledhttp.
    """

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call
