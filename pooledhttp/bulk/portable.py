"""Pickles settings, jobs and results for other processes, and finds what cannot be pickled.

Nothing here depends on how an executor moves values. What is too large is seen before it is sent,
and a worker can compare versions before it reads anything.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk.jobs import Job
from pooledhttp.bulk.own_steps import is_plain_adapter
from pooledhttp.bulk.report import DownloadResult, Result, result_in
from pooledhttp.bulk.rows import State

if TYPE_CHECKING:
    from pooledhttp.sessions import Session

__all__ = [
    "Outcome",
    "check_session",
    "dumps_portably",
    "pack_job",
    "packed_download",
    "packed_result",
    "result_of",
    "why_job_cannot_be_sent",
    "why_not",
]

Dumps = Callable[[Any], bytes]

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
        ValueError: It has listeners, request hooks or a runtime, which are for this process; or a
            pool with a resolver or socket options, which stays here.
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
    _check_adapters(session, getattr(extras, "pool", None))
    if why_not(session, dumps) is None:
        return
    for path, value in _attributes(session):
        reason = why_not(value, dumps)
        if reason is not None:
            raise TypeError(f"{path} cannot go to workers: {reason}")
    raise TypeError(f"session cannot go to workers: {why_not(session, dumps)}")


def _check_adapters(session: Session, pool: Any) -> None:
    """Refuse what adapters are told and workers would not be: a guard would be missing there."""
    for prefix, adapter in session.adapters.items():
        if type(adapter) is not HTTPAdapter:
            continue
        if not is_plain_adapter(adapter):
            raise ValueError(
                f"a method of the adapter for {prefix} was replaced, which would be missing in"
                " workers. Make it a class of its own, or use no executor."
            )
        told, sent = adapter.settings_for_twin(pool), copy(adapter).settings_for_twin(None)
        for name in ("resolver", "socket_options", "request_hooks"):
            if told[name] and not sent[name]:
                raise ValueError(
                    f"the adapter or pool for {prefix} has {name}, which would be missing in"
                    " workers. Give a resolver or socket options to an HTTPAdapter, or use no"
                    " executor."
                )


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


def why_job_cannot_be_sent(job: Job, dumps: Dumps) -> TypeError:
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


class Outcome(NamedTuple):
    """A result of `download` without its job, and without URL, name and path, which go by that.

    In the order of the fields of `DownloadResult`.
    """

    state: State
    is_new: bool
    status: int | None
    problem: str | None
    kind: str | None
    number: int
    attempts: int
    elapsed: float
    size: int
    digest: str | None
    etag: str | None
    last_modified: str | None
    error: Exception | None


def packed_download(result: DownloadResult) -> Outcome:
    """Return what goes home of a result of `download`."""
    error = result.error
    if error is not None and why_not(error, dumps_portably) is not None:
        error = None  # kind and problem say what it was
    return Outcome(
        result.state,
        result.is_new,
        result.status,
        result.problem,
        result.kind,
        result.index,
        result.attempts,
        result.elapsed,
        result.size,
        result.digest,
        result.etag,
        result.last_modified,
        error,
    )


def result_of(outcome: Outcome, job: Job, name: str | None, directory: Path) -> DownloadResult:
    """Return the result of a job that a worker has sent back."""
    return result_in(directory, job.url, outcome[0], name, *outcome[1:], job)


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
    error of ours would arrive as a second object, with the text that urllib3 makes of it.
    """
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _without_errors(len(copyreg.dispatch_table))
    pickler.dump(value)
    return file.getvalue()
