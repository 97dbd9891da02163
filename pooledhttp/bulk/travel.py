"""What goes to workers in other processes and comes home, and whether it can.

```
caller --Order (Packed items, grants)--> worker
caller <--Reply (results, what was led elsewhere, what was not begun, counters)-- worker
```

All of it is pickled by us and handed over as bytes. So nothing depends on how an executor moves
values, what is too large is seen before it is sent, and a worker can compare versions before it
reads anything.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pooledhttp.bulk.folder import Part
from pooledhttp.bulk.granted import Leg
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.options import Options
from pooledhttp.bulk.report import DownloadResult, Result
from pooledhttp.bulk.rows import Row, Update
from pooledhttp.pool import PoolStats

if TYPE_CHECKING:
    from pooledhttp.sessions import Session

__all__ = [
    "Call",
    "DownloadItem",
    "Downloaded",
    "FetchItem",
    "Moved",
    "Order",
    "Reply",
    "RunSettings",
    "WorkerLost",
    "WorkerMismatch",
    "check_session",
    "dumps_portably",
    "pack_job",
    "packed_download",
    "packed_result",
    "why_job_cannot_travel",
    "why_not",
]

Dumps = Callable[[Any], bytes]


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
    """What a worker needs to know of the run, the same for each of its orders.

    Args:
        session: Whose settings to use.
        jobs: The most requests at once in this worker.
        per_proxy: The most of them through one proxy; None for no limit.
        rate: Requests a second in this worker; None for no limit.
        timeout: What each request is given as its timeout.
        retries: Further attempts after a passing failure.
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


@dataclass(frozen=True, slots=True)
class FetchItem:
    """A job of `fetch`, and what its sink has made of it."""

    index: int
    line: str
    job: Job
    store: Any = None
    leg: Leg | None = None


@dataclass(frozen=True, slots=True)
class DownloadItem:
    """A job of `download`, with its row, and the part that may be continued."""

    index: int
    line: str
    job: Job
    row: Row
    replaces: int | None = None
    is_conditional: bool = False
    part: Part | None = None
    leg: Leg | None = None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What became of a job of `download`.

    Args:
        result: The result, without job and path.
        updates: What the journal is to be told, in this order.
        part: The part that is to get its name; None if there is none.
        problem: What is wrong with a file that is there and was to be refreshed.
    """

    result: DownloadResult
    updates: list[Update]
    part: Part | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do.

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
        notes: What the journal is to be told of jobs that go on.
        held: The most requests that may be under way at each host from now on.
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


class Call:
    """A call that is made when it is unpickled, so that `pickle.loads` is all an executor needs.

    A Dask scheduler reads the functions of its tasks. It may have no pooledhttp.
    """

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


# ------------------------------------------------------------------ what cannot travel

#: What to do instead, by the name of a type.
_ADVICE = {
    "SSLContext": "give `verify` or `cert` a path",
    "generator": "give bytes, or the path of a file that a hook opens",
    "function": "define it in a module by its own name",
    "BufferedReader": "give bytes",
}


def why_not(value: object, dumps: Dumps) -> str | None:
    """Return why a value cannot be pickled; None when it can."""
    try:
        dumps(value)
    except Exception as error:  # whatever its own pickling raises
        kind = type(value).__name__
        advice = _ADVICE.get(kind)
        return f"{kind}, {error}" + (f"; {advice}" if advice else "")
    return None


def check_session(session: Session | None, dumps: Dumps) -> None:
    """Check that the settings of a session can go to workers.

    Raises:
        TypeError: An attribute cannot be pickled; the message names it.
        ValueError: It has listeners, request hooks or a runtime, which are for this process.
    """
    if session is None:
        return
    extras = getattr(session, "_extras", None)
    for name in ("listeners", "request_hooks", "runtime"):
        if getattr(extras, name, None):
            raise ValueError(
                f"session has {name}, which cannot be called from workers. Use a session without"
                " them, or no executor."
            )
    if why_not(session, dumps) is None:
        return
    for path, value in _attributes(session):
        reason = why_not(value, dumps)
        if reason is not None:
            raise TypeError(f"{path} cannot go to workers: {reason}")
    raise TypeError(f"session cannot go to workers: {why_not(session, dumps)}")


def _attributes(session: Session) -> Iterator[tuple[str, object]]:
    """Yield what a session is pickled of, the innermost first, each with its path."""
    for name, value in session.__getstate__().items():
        yield from _parts(f"session.{name.lstrip('_')}", value)


def _parts(path: str, value: object, depth: int = 0) -> Iterator[tuple[str, object]]:
    if depth < 3:
        if isinstance(value, Mapping):
            for key, each in value.items():
                yield from _parts(f"{path}[{key!r}]", each, depth + 1)
        elif isinstance(value, (list, tuple)):
            for number, each in enumerate(value):
                yield from _parts(f"{path}[{number}]", each, depth + 1)
        elif hasattr(value, "__dict__") and not callable(value):
            for key, each in vars(value).items():
                if key != "pool" and not key.startswith("_"):
                    yield from _parts(f"{path}.{key}", each, depth + 1)
    yield path, value


def pack_job(job: Job) -> Job:
    """Return a job without what stays with the caller."""
    if job.sink is None and job.key is None:
        return job
    return replace(job, sink=None, key=None)


def why_job_cannot_travel(job: Job, dumps: Dumps) -> TypeError:
    """Return the error that says which attribute of a job cannot go to a worker."""
    for name in ("data", "json", "params", "headers", "accept", "url"):
        reason = why_not(getattr(job, name), dumps)
        if reason is not None:
            return TypeError(f"Job.{name} cannot go to a worker: {reason}")
    return TypeError("what the sink returned for the job cannot go to a worker")


def packed_result(result: Result) -> bytes:
    """Pickle a result of `fetch`; of one that cannot be pickled, what can be."""
    result = replace(result, job=None)
    for attempt in (_whole, _without_request, _as_text):
        try:
            return dumps_portably(attempt(result))
        except Exception:  # the next one keeps less
            continue
    raise AssertionError("a result of texts can be pickled")


def packed_download(result: DownloadResult) -> DownloadResult:
    """Return a result of `download` as it can go home: without job and path."""
    error = result.error
    if error is not None and why_not(error, dumps_portably) is not None:
        error = None  # kind and problem say what it was
    return replace(result, job=None, path=None, error=error)


def _whole(result: Result) -> Result:
    return result


def _without_request(result: Result) -> Result:
    """Leave out the request that was sent: its body may be anything."""
    for holder in (result.response, result.error):
        if getattr(holder, "request", None) is not None:
            holder.request = None  # type: ignore[union-attr]
    return result


def _as_text(result: Result) -> Result:
    error = result.error
    text = "the response cannot be pickled" if error is None else f"{type(error).__name__}: {error}"
    return replace(result, response=None, error=RuntimeError(text), saved=None)


@lru_cache(maxsize=1)
def _without_errors(size: int) -> dict[type, Any]:
    """Return the table of `copyreg` without classes of errors; `size` says when it has grown."""
    return {
        kind: function
        for kind, function in copyreg.dispatch_table.items()
        if not issubclass(kind, BaseException)
    }


def dumps_portably(value: object) -> bytes:
    """Pickle a value; errors by what their own classes say.

    distributed installs functions for all classes of errors in `copyreg`. By these, the cause of an
    error of ours would come home as a second object, with the text that urllib3 makes of it.
    """
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _without_errors(len(copyreg.dispatch_table))
    pickler.dump(value)
    return file.getvalue()
