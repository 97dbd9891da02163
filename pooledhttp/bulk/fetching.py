"""The caller's face of a bulk fetch: `fetch`, and the iterator it returns.

`Fetch` reads the input and hands it to the engine, and takes results from it, both in the thread
that iterates and only while it asks for the next result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pooledhttp.runtime import Runtime, default_runtime
from pooledhttp.timing import Timeout

from .borrowing import OwnSession
from .engine import Engine, Requester, Work
from .halt import HaltableRuntime, Halted
from .jobs import Job
from .pace import Pace
from .report import Result
from .sinks import Sink

if TYPE_CHECKING:
    from pooledhttp.sessions import Session

__all__ = ["Fetch", "fetch"]

#: How long reading the input may hold back a result that is ready.
_READ_SECONDS = 0.005

#: Queued jobs, so many for each worker and so many at least: how far ahead one slow host can make
#: the engine look for others.
_WINDOW_PER_JOB = 8
_LEAST_WINDOW = 64

#: Bodies in memory, so many for each worker, running and finished together.
_CAPACITY_PER_JOB = 2


class Fetch(Iterator[Result]):
    """The results of a bulk fetch, as they come. Made by `fetch`; for one thread at a time.

    Leaving the loop early, closing it or dropping it stops the workers and closes their
    connections. It is a context manager too, for code that keeps a reference.
    """

    def __init__(
        self,
        source: Iterator[object],
        engine: Engine,
        session: Requester,
        now: Callable[[], float],
        sink: Sink | None,
    ) -> None:
        self._source: Iterator[object] | None = source
        self._engine = engine
        self._stats = session.stats
        self._now = now
        self._sink = sink
        self._last_stats: Any = None
        self._index = 0
        self._input_error: Exception | None = None
        self._is_closed = False

    def __next__(self) -> Result:
        if self._is_closed:
            raise StopIteration
        try:
            while True:
                self._read_on()
                result = self._engine.take()
                if result is not None:
                    return result
                if self._source is None and self._engine.is_idle:
                    break
                self._engine.wait()
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

    def close(self) -> None:
        """Stop what is under way and close its connections. Doing it twice does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._source = None
        try:
            self._last_stats = self._stats()
        finally:
            self._engine.stop()

    def stats(self) -> Any:
        """Return the pool's counters (`PoolStats`); after the end, as they last were."""
        return self._last_stats if self._is_closed else self._stats()

    def __enter__(self) -> Fetch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # No counters are read here: a finalizer may run in a thread that holds the pool's lock.
        if not getattr(self, "_is_closed", True):
            self._is_closed = True
            self._engine.stop()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<Fetch {state}, {self._index} read>"

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
            except Exception as exc:  # told at the end, after the results of what came before
                self._source = None
                self._input_error = exc
                return
            seconds += self._now() - began
            self._submit(item)
            if seconds > _READ_SECONDS and self._engine.has_result:
                return

    def _submit(self, item: object) -> None:
        """Hand one item of the input to the engine."""
        index = self._index
        self._index += 1
        try:
            job = Job.of(item)
            sink = job.sink or self._sink
            store = None if sink is None else sink.claim(job, index)
        except Exception as exc:  # the item's own fault, so the item's own result
            url = item.url if isinstance(item, Job) else str(item)
            self._engine.put(Result(url, error=exc, index=index))
            return
        self._engine.submit(index, job, store)


def start(
    source: Iterable[str | Job],
    open_session: Callable[[HaltableRuntime], Requester],
    *,
    jobs: int,
    per_host: int | None,
    timeout: object,
    ordered: bool,
    sink: Sink | None,
    runtime: Runtime | None = None,
) -> Fetch:
    """Set up an engine over the session that `open_session` makes; see `fetch`."""
    pace = _pace(jobs, per_host, ordered)
    item_timeout = _item_timeout(timeout)
    items = iter(source)
    base = default_runtime() if runtime is None else runtime
    haltable = HaltableRuntime(base)
    try:
        session = open_session(haltable)
    except BaseException:
        haltable.close()
        raise
    return Fetch(items, Engine(session, haltable, pace, item_timeout), session, base.now, sink)


def fetch(
    jobs_or_urls: Iterable[str | Job],
    session: Session | None = None,
    jobs: int = 32,
    per_host: int | None = 6,
    timeout: object = 60,
    ordered: bool = False,
    *,
    sink: Sink | None = None,
) -> Fetch:
    """Request many URLs at once and return their results as they come.

    One bad item never raises: its result has an `error`. The input is read lazily, a little ahead
    of the work, in the calling thread, and may be endless. An exception out of the input is raised
    after the results of all that came before it.

    Args:
        jobs_or_urls: URLs and `Job`s.
        session: Whose settings to use: headers, cookies, auth, verify, cert, proxies, params,
            hooks, retries and adapters mounted for it. The connections, and cookies that servers
            set, are the engine's own. `None` means the defaults of a new `Session`.
        jobs: The most requests at once.
        per_host: The most requests, and connections, at once to one scheme, host and port; `None`
            means no limit but `jobs`.
        timeout: Seconds for one item from its start to the last byte of its body, redirects and
            retries included; or anything a session takes as its timeout. `None` means no limit.
        ordered: Whether results come in the order of the input rather than as they are ready.
        sink: Where bodies go (`to_files("out")`) unless a job names its own. `None` means into
            memory: each response is read whole before its result is yielded.

    Returns:
        An iterator of `Result`. Closing it, leaving a `for` loop over it, or Ctrl-C stops all work
        at once.

    Raises:
        ValueError: A limit below 1, or a timeout that is none.
        TypeError: `jobs_or_urls` is a single string.
    """
    if isinstance(jobs_or_urls, (str, bytes, Job)):
        raise TypeError("fetch takes an iterable of URLs and Jobs; put a single one into a list")
    return start(
        jobs_or_urls,
        lambda runtime: OwnSession(session, per_host, runtime),
        jobs=jobs,
        per_host=per_host,
        timeout=timeout,
        ordered=ordered,
        sink=sink,
    )


def _pace(jobs: int, per_host: int | None, ordered: bool) -> Pace[Work]:
    """Return the pace for these limits.

    Raises:
        ValueError: A limit is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if per_host is not None and per_host < 1:
        raise ValueError(f"per_host must be at least 1, or None for no limit, not {per_host}")
    return Pace(
        jobs=jobs,
        per_host=per_host,
        capacity=jobs * _CAPACITY_PER_JOB,
        window=max(jobs * _WINDOW_PER_JOB, _LEAST_WINDOW),
        ordered=ordered,
    )


def _item_timeout(timeout: object) -> object:
    """Return what a request is given so that a number bounds the whole item."""
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return Timeout(total=timeout)
    return timeout
