"""How `bulk.fetch` does a job, and `Fetch`, the iterator over the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pooledhttp.bulk.backends import Backend, Threads
from pooledhttp.bulk.direct import BegunGet
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.inputs import items_of
from pooledhttp.bulk.jobs import Job, Saved, Sink
from pooledhttp.bulk.pacing import Entry
from pooledhttp.bulk.protocols import AnyEngine, Counted, Requester
from pooledhttp.bulk.report import Result
from pooledhttp.bulk.results import (
    MOST_HANDED,
    READ_SECONDS,
    Results,
    follow_limits,
    make_pace,
)
from pooledhttp.bulk.retrying import Again, Tries
from pooledhttp.timing import Timeout, plan_timeout

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["DEFAULT_TIMEOUT", "Exchange", "Fetch", "Work", "check_retries", "item_timeout", "start"]

#: Connected within 10 s, and never silent for longer than 60 s. No total: a large body that comes
#: steadily is no failure.
DEFAULT_TIMEOUT = Timeout(connect=10.0, read=60.0, write=60.0)

#: Items queued for each that may run: they go to the engine in groups.
_ROUNDS = 4

#: Statuses below 400 whose body is not what was asked for: none at all, or one that only explains.
_WITHOUT_CONTENT = frozenset({204, 205, 300, 301, 302, 303, 304, 305, 307, 308})


class Work(NamedTuple):
    """A job together with the place its sink has claimed for the body."""

    job: Job
    store: Callable[[Response], Saved] | None


class Exchange:
    """Does one job in a worker: sends it, and stores the body where it belongs."""

    def __init__(self, session: Requester, backend: Backend, timeout: object, again: Again) -> None:
        self._session = session
        self._run_blocking = backend.run_blocking
        self._runtime = backend.runtime
        self._timeout = timeout
        self._again = again

    def __call__(self, entry: Entry[Work]) -> Result:
        """Return the job's result, also when it fails."""
        job, store = entry.item
        if store is None and (job.is_bare or (job.headers is None and job.is_plain)):
            return self._get(entry)
        if store is not None or job.reads_body:
            return self._run_blocking(partial(self._send, entry))
        return self._send(entry)

    def _get(self, entry: Entry[Work]) -> Result:
        """Do a job whose request its URL says all of; most come the shortest way."""
        job, now = entry.item.job, self._runtime.now
        began, size = now(), 0
        try:
            found = self._session.fetch_response(job.url, None, self._timeout)
            if found is not None and not isinstance(found, BegunGet):
                size = len(found.content or b"")
                found.close()
        except Exception:  # the general way meets it again, and tells it
            found = None
        if found is None:
            return self._send(entry)
        if isinstance(found, BegunGet):
            try:
                return self._send(entry, found, began)
            finally:
                found.drop()
        elapsed = now() - began
        return Result(job.url, found, None, entry.index, 1, elapsed, job, size=size)

    def _send(
        self, entry: Entry[Work], begun: BegunGet | None = None, began: float | None = None
    ) -> Result:
        """Do a job by the general way.

        Args:
            entry: Its item.
            begun: What has begun its first attempt; None if nothing has.
            began: When that was, by the clock of the run.
        """
        work = entry.item
        tries = Tries(
            self._again,
            work.job.method,
            self._timeout,
            self._runtime,
            can_resend=work.job.can_resend,
            hosts=self._session,
            line=entry.line,
        )
        if began is not None:
            tries.began = began
        while True:
            response: Response | None = None
            error: Exception | None = None
            target: object = None
            size = 0
            try:
                response, target, size = self._once(work, tries.timeout(), begun)
            except Exception as exc:  # one job's failure is that job's result
                error = exc
            finally:
                begun = None
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
                elapsed=tries.elapsed,
                job=work.job,
                saved=target,
                size=size,
            )

    def _once(
        self, work: Work, timeout: object, begun: BegunGet | None
    ) -> tuple[Response, object, int]:
        """Return the response, what a sink has made of its body, and the bytes of that."""
        job = work.job
        stream = work.store is not None
        if begun is not None:
            response = begun.response(timeout)
        elif job.headers is None and job.is_plain:
            response = self._session.get(job.url, None, timeout, stream=stream)
        else:
            response = self._session.request(
                job.method,
                job.url,
                params=job.params,
                data=job.data,
                headers=job.headers,
                json=job.json,
                timeout=timeout,
                stream=stream,
            )
        try:
            if work.store is not None and _has_content(response):
                saved = work.store(response)
                return response, saved.target, saved.size
            return response, None, len(response.content or b"")
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
        engine: AnyEngine[Result],
        session: Counted,
        now: Callable[[], float],
        sink: Sink | None,
        is_at_hand: bool = False,
    ) -> None:
        super().__init__(engine, session)
        self._source: Iterator[object] | None = source
        #: Whether the input is in memory, so that reading it never blocks and never fails.
        self._is_at_hand = is_at_hand
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
        if self._is_at_hand:
            self._read_on_at_hand()
            return
        seconds, now, engine = 0.0, self._now, self._engine
        while self._source is not None and (room := engine.room):
            for _ in range(room):
                # Only the input's own time counts: starting workers is time well spent.
                began = now()
                try:
                    item = next(self._source)
                except StopIteration:
                    self._source = None
                    return
                except Exception as error:  # told at the end, after the results of what came before
                    self._source = None
                    self._input_error = error
                    return
                seconds += now() - began
                entry = self._entry(item)
                if entry is not None:
                    engine.submit(entry)
                if seconds > READ_SECONDS and engine.has_result:
                    return

    def _read_on_at_hand(self) -> None:
        """Do the same where items are at hand: as many as there is room for go in together."""
        while self._source is not None and (room := self._engine.room):
            items = list(islice(self._source, min(room, MOST_HANDED)))
            if not items:
                self._source = None
                return
            entries = [entry for item in items if (entry := self._entry(item)) is not None]
            if entries:
                self._engine.submit_all(entries)

    def _entry(self, item: object) -> Entry[Work] | None:
        """Make what the engine is handed of an item; None if the item has its result by that."""
        index = self._index
        self._index += 1
        try:
            job = Job.of(item)
            sink = job.sink or self._sink
            store = None if sink is None else sink.claim(job, index)
        except Exception as error:  # the item's own fault, so the item's own result
            url = item.url if isinstance(item, Job) else str(item)
            self._engine.put(Result(url, error=error, index=index))
            return None
        return Entry(index, job.line, Work(job, store))


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
        pace = make_pace(jobs, per_host, ordered, rounds=_ROUNDS)
        limits = item_timeout(timeout)
        items = iter(items_of(source))
        session = open_session(backend.runtime)
    except BaseException:
        backend.stop()
        raise
    again = Again(retries, only_bodies=getattr(session, "has_retry_policy", False))
    exchange = Exchange(session, backend, limits, again)
    engine = Engine(session, backend, pace, exchange)
    follow_limits(engine, session)
    is_at_hand = type(source) in (list, tuple)
    return Fetch(items, engine, session, backend.runtime.now, sink, is_at_hand)


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
    """Return what a request is given so that a number bounds the whole item.

    Raises:
        ValueError: It is no timeout.
    """
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return Timeout(total=timeout)
    plan_timeout(timeout)
    return timeout
