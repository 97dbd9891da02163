"""`fetch`: many requests, and their responses as results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pooledhttp.bulk.backends import Backend, Threads
from pooledhttp.bulk.choosing import EngineChoice, open_backend
from pooledhttp.bulk.engine import Engine, Requester
from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.inputs import items_of
from pooledhttp.bulk.jobs import Job, Saved, Sink
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.places import PER_PROXY, check_per_proxy
from pooledhttp.bulk.rates import make_rates
from pooledhttp.bulk.report import Result
from pooledhttp.bulk.results import (
    DEFAULT_JOBS,
    DEFAULT_PER_HOST,
    READ_SECONDS,
    Results,
    follow_limits,
    make_pace,
)
from pooledhttp.bulk.retrying import DEFAULT_RETRIES, Again, Tries
from pooledhttp.bulk.sinks import to_files
from pooledhttp.timing import Timeout

if TYPE_CHECKING:
    from pooledhttp.message import Response, TimeoutInput
    from pooledhttp.sessions import Session

__all__ = ["DEFAULT_TIMEOUT", "Fetch", "fetch", "item_timeout"]

#: Connected within 10 s, and never silent for longer than 60 s. No total: a large body that comes
#: steadily is no failure.
DEFAULT_TIMEOUT = Timeout(connect=10.0, read=60.0, write=60.0)

#: Statuses below 400 whose body is not what was asked for: none at all, or one that only explains.
_WITHOUT_CONTENT = frozenset({204, 205, 300, 301, 302, 303, 304, 305, 307, 308})


@dataclass(frozen=True, slots=True)
class _Work:
    """A job together with the place its sink has claimed for the body."""

    job: Job
    store: Callable[[Response], Saved] | None


class _Exchange:
    """Does one job in a worker: sends it, and sees the body to where it belongs."""

    def __init__(self, session: Requester, backend: Backend, timeout: object, again: Again) -> None:
        self._session = session
        self._run_blocking = backend.run_blocking
        self._runtime = backend.runtime
        self._timeout = timeout
        self._again = again

    def __call__(self, entry: Entry[_Work]) -> Result:
        """Return the job's result, whatever becomes of it."""
        work = entry.item
        if work.store is not None or work.job.reads_body:
            return self._run_blocking(partial(self._send, entry))
        return self._send(entry)

    def _send(self, entry: Entry[_Work]) -> Result:
        work = entry.item
        began = self._runtime.now()
        tries = Tries(
            self._again,
            work.job.method,
            self._timeout,
            self._runtime,
            can_resend=work.job.can_resend,
        )
        while True:
            response: Response | None = None
            error: Exception | None = None
            saved = Saved(None, 0)
            try:
                response, saved = self._once(work, tries.timeout())
            except Exception as exc:  # one job's failure is that job's result
                error = exc
            finally:
                tries.end(*self._session.leave())
            if error is not None and tries.goes_on_after_error(error):
                continue
            if response is not None and tries.goes_on_after(response):
                continue
            return Result(
                work.job.url,
                response,
                error,
                index=entry.index,
                attempts=tries.sent,
                elapsed=self._runtime.now() - began,
                job=work.job,
                saved=saved.target,
                size=saved.size,
            )

    def _once(self, work: _Work, timeout: object) -> tuple[Response, Saved]:
        job = work.job
        response = self._session.request(
            job.method,
            job.url,
            params=job.params,
            data=job.data,
            headers=job.headers,
            json=job.json,
            timeout=timeout,
            stream=work.store is not None,
        )
        try:
            if work.store is not None and _has_content(response):
                return response, work.store(response)
            return response, Saved(None, len(response.content or b""))
        finally:
            response.close()


def _has_content(response: Response) -> bool:
    """Whether the body is what was asked for, so that a sink should have it."""
    return response.status_code < 400 and response.status_code not in _WITHOUT_CONTENT


class Fetch(Results[Result]):
    """The results of a bulk fetch, as they come. Made by `fetch`; for one thread at a time.

    Leaving the loop early, closing it or dropping it stops the workers and closes their
    connections. It is a context manager too, for code that keeps a reference.
    """

    def __init__(
        self,
        source: Iterator[object],
        engine: Engine[_Work, Result],
        session: Requester,
        now: Callable[[], float],
        sink: Sink | None,
    ) -> None:
        super().__init__(engine, session)
        self._source: Iterator[object] | None = source
        self._now = now
        self._sink = sink

    @property
    def _has_input(self) -> bool:
        return self._source is not None

    def close(self) -> None:
        """Stop what is under way and close its connections. Doing it twice does nothing."""
        self._source = None
        super().close()

    def _read_on(self) -> None:
        """Read the input as far as the engine has use for it."""
        seconds = 0.0
        while self._source is not None and self._engine.wants_more:
            # Only the input's own time counts: starting workers is time well spent.
            began = self._now()
            try:
                item = next(self._source)
            except StopIteration:
                self._source = None
                return
            except Exception as error:  # told at the end, after the results of what came before
                self._source = None
                self._input_error = error
                return
            seconds += self._now() - began
            self._submit(item)
            if seconds > READ_SECONDS and self._engine.has_result:
                return

    def _submit(self, item: object) -> None:
        """Hand one item of the input to the engine."""
        index = self._index
        self._index += 1
        try:
            job = Job.of(item)
            sink = job.sink or self._sink
            store = None if sink is None else sink.claim(job, index)
        except Exception as error:  # the item's own fault, so the item's own result
            url = item.url if isinstance(item, Job) else str(item)
            self._engine.put(Result(url, error=error, index=index))
            return
        self._engine.submit(index, job.line, _Work(job, store))


def start(
    source: Iterable[Item],
    open_session: Callable[[Haltable], Requester],
    *,
    jobs: int,
    per_host: int | None,
    timeout: object,
    ordered: bool,
    sink: Sink | None,
    retries: int = 0,
    backend: Backend | None = None,
) -> Fetch:
    """Set up an engine over the session that `open_session` makes; see `fetch`."""
    backend = Threads() if backend is None else backend
    try:
        pace = make_pace(jobs, per_host, ordered)
        limits = item_timeout(timeout)
        items = iter(items_of(source))
        session = open_session(backend.runtime)
    except BaseException:
        backend.stop()
        raise
    again = Again(retries, only_bodies=getattr(session, "has_retry_policy", False))
    exchange = _Exchange(session, backend, limits, again)
    engine = Engine(session, backend, pace, exchange)
    follow_limits(engine, session)
    return Fetch(items, engine, session, backend.runtime.now, sink)


def fetch(
    jobs_or_urls: Iterable[Item],
    session: Session | None = None,
    jobs: int = DEFAULT_JOBS,
    per_host: int | None = DEFAULT_PER_HOST,
    timeout: TimeoutInput = DEFAULT_TIMEOUT,
    ordered: bool = False,
    *,
    sink: Sink | str | os.PathLike[str] | None = None,
    retries: int = DEFAULT_RETRIES,
    per_proxy: int | None = PER_PROXY,
    rate: float | None = None,
    per_host_rate: float | None = None,
    engine: EngineChoice = "auto",
) -> Fetch:
    """Request many URLs at once and return their results as they come.

    One bad item never raises: its result has an `error`. The input is read lazily, a little ahead
    of the work, in the calling thread, and may be endless. An exception out of the input is raised
    after the results of all that came before it.

    Args:
        jobs_or_urls: URLs and `Job`s. An open file is read as a list of URLs (`read_urls`).
        session: Whose settings to use: headers, cookies, auth, verify, cert, proxies, params,
            hooks, retries and adapters mounted for it. The connections, and cookies that servers
            set, are the engine's own. `None` means the defaults of a new `Session`.
        jobs: The most requests at once.
        per_host: The most requests, and connections, at once to one scheme, host and port; `None`
            means no limit but `jobs`.
        timeout: A number is the seconds for one item from its start to the last byte of its body,
            redirects and retries included. A `Timeout` means what it means to a session. The
            default is 10 s to connect and 60 s of silence, and no total. `None` means no limit. The
            time an item waits for its turn at a host counts for none of them.
        ordered: Whether results come in the order of the input rather than as they are ready.
        sink: Where bodies go unless a job names its own: a directory, or a `Sink` such as
            `to_files("out")`. A sink gets the bodies of responses that have what was asked for, and
            none of a 204, a 304 or a redirect that was not followed. `None` means into memory: each
            response is read whole before its result is yielded.
        retries: Further attempts after a passing failure: a connection that fails, a body that
            breaks off, status 408, 425, 429, 500, 502, 503 or 504. Only idempotent methods are
            tried again. Where the session has a retry policy of its own, that one decides about
            connections and statuses, and this number counts for bodies only.
        per_proxy: The most requests at once through one proxy; `None` means no limit but `jobs`.
        rate: Requests a second in all, evenly; `None` for no limit. The wait counts for no timeout.
        per_host_rate: Requests a second to each scheme, host and port; `None` for no limit.
        engine: `"loop"` has all requests wait on one event loop in a thread of its own, which needs
            greenlet. `"threads"` has a thread for each. `"auto"` takes the loop where greenlet is
            installed and nothing of the session may block it: an adapter, an auth, hooks of the
            caller's. The results say which it was (`engine`, `engine_reason`).

    Returns:
        An iterator of `Result`. Closing it, leaving a `for` loop over it, or Ctrl-C stops all work
        at once.

    Raises:
        ValueError: A limit below 1, a negative number of retries, or a timeout that is none. Or the
            loop is wanted, and something of the session may block it.
        ModuleNotFoundError: The loop is wanted, and greenlet is not installed.
        TypeError: `jobs_or_urls` is a single string, or `sink` is neither a sink nor a path.
        OSError: `sink` is a path, and the directory cannot be made.
    """
    if isinstance(jobs_or_urls, (str, bytes, Job)):
        raise TypeError("fetch takes an iterable of URLs and Jobs; put a single one into a list")
    check_retries(retries)
    check_per_proxy(per_proxy)
    rates = make_rates(rate, per_host_rate)
    checked = _sink(sink)
    return start(
        jobs_or_urls,
        lambda runtime: OwnSession(session, per_host, runtime, per_proxy, rates),
        jobs=jobs,
        per_host=per_host,
        timeout=timeout,
        ordered=ordered,
        sink=checked,
        retries=retries,
        backend=open_backend(engine, session),
    )


def _sink(sink: Sink | str | os.PathLike[str] | None) -> Sink | None:
    """Return the sink that the caller means.

    Raises:
        TypeError: It is none.
    """
    if sink is None:
        return None
    if isinstance(sink, (str, os.PathLike)):
        return to_files(sink)
    if not callable(getattr(sink, "claim", None)):
        raise TypeError(
            f"sink takes a directory, a Sink such as bulk.to_files('out'), or None, not {sink!r}"
        )
    return sink


def check_retries(retries: int) -> None:
    """Check a number of retries.

    Raises:
        ValueError: It is negative.
        TypeError: It is no whole number.
    """
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries takes a whole number, not {retries!r}")
    if retries < 0:
        raise ValueError(f"retries must not be negative, not {retries}")


def item_timeout(timeout: object) -> object:
    """Return what a request is given so that a number bounds the whole item."""
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return Timeout(total=timeout)
    return timeout
