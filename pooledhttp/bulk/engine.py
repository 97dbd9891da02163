"""The bulk engine: many requests at once, a bounded number of them, and results as they come.

```
the caller's thread                               workers (at most `jobs`)
  input --read_on--> Pace (queues) ----start----> session.request, body, sink
  caller <--take---- results       <---finish---'
```

The caller's thread reads the input, a little at a time and only inside `next()`, so an input need
not be thread-safe and is never read after the caller has stopped asking. Workers are started when
there is work for them and keep themselves busy: whoever finishes a job takes the next one in the
same step. Nothing runs ahead without bound: `Pace` limits what is queued and what is finished but
not taken, so a caller that stops asking stops the workers.

The engine owns its session, hence its connections: their number per host is the number of jobs per
host, and ending the engine ends them. Its runtime can be halted, which reaches a worker wherever it
waits. A worker never lets an `Exception` out; whatever befalls one item is in that item's result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pooledhttp.runtime import Task, Waiter
from pooledhttp.timing import Deadline

from .halt import HaltableRuntime, Halted
from .jobs import Job
from .pace import Entry, Pace
from .report import Result
from .sinks import Saved

if TYPE_CHECKING:
    from pooledhttp.message import Response

__all__ = ["Engine", "Requester", "Work"]

#: Halted workers end at once; only foreign code (a hook, a custom adapter, a name lookup) can take
#: longer. After this long it is left to finish by itself.
_FAREWELL_SECONDS = 5.0


class Requester(Protocol):
    """What the engine needs of a session."""

    def request(self, method: str, url: str, **settings: Any) -> Response: ...

    def close(self) -> None: ...

    def stats(self) -> Any:
        """Return the counters of its pool."""

    def attempts(self) -> int:
        """Return how often this thread's last request was sent, and count anew."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job together with the place its sink has claimed for the body."""

    job: Job
    store: Callable[[Response], Saved] | None


class _Seat:
    """Where a worker without work waits to be handed some."""

    __slots__ = ("entry", "waiter")

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.entry: Entry[Work] | None = None


class Engine:
    """Runs queued jobs on workers of its own and keeps their results until they are taken.

    Args:
        session: Sends the requests; closed with the engine.
        runtime: How workers are started and everything waits.
        pace: Which job starts when.
        timeout: What each request is given as its timeout.
    """

    def __init__(
        self,
        session: Requester,
        runtime: HaltableRuntime,
        pace: Pace[Work],
        timeout: object,
    ) -> None:
        self._session = session
        self._runtime = runtime
        self._timeout = timeout
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._pace = pace
        self._done: dict[int, Result] = {}
        self._next = 0
        self._idle: list[_Seat] = []
        self._caller: Waiter | None = None
        self._crash: BaseException | None = None
        # Touched by the caller's thread only:
        self._tasks: list[Task] = []
        # Each worker adds its own key, so that a finalizer that happens to run in one does not wait
        # for it.
        self._crew: set[object] = set()

    # -- the caller's side

    @property
    def wants_more(self) -> bool:
        """Whether the input should be read on."""
        with self._lock:
            return self._pace.wants_more

    @property
    def has_result(self) -> bool:
        """Whether `take` would return one."""
        with self._lock:
            return self._first_locked() is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted was taken."""
        with self._lock:
            return self._pace.idle

    def submit(self, index: int, job: Job, store: Callable[[Response], Saved] | None) -> None:
        """Queue a job, and start what may start."""
        with self._lock:
            self._pace.add(Entry(index, job.line, Work(job, store)))
        self._start_more()

    def put(self, result: Result) -> None:
        """Queue a result that needed no work."""
        with self._lock:
            self._pace.skip()
            self._done[result.index] = result

    def take(self) -> Result | None:
        """Return the next result, or `None` when none is ready.

        Raises:
            BaseException: What ended a worker, if no `Exception` (`SystemExit` from a hook).
        """
        with self._lock:
            if self._crash is not None:
                raise self._crash
            index = self._first_locked()
            if index is None:
                return None
            result = self._done.pop(index)
            self._next = index + 1
            self._pace.take(index)
        self._start_more()
        return result

    def wait(self) -> None:
        """Wait until `take` has something to say."""
        waiter = self._runtime.waiter()
        with self._lock:
            if self._first_locked() is not None or self._crash is not None:
                return
            self._caller = waiter
        waiter.wait(Deadline.never(self._runtime.now))

    def stop(self) -> None:
        """Stop the workers where they are, close the session. A finalizer may call this."""
        self._runtime.halt()
        if self._runtime.current() in self._crew:
            return  # a finalizer in a worker: each ends by itself, the last closes the session
        deadline = Deadline.after(_FAREWELL_SECONDS, self._runtime.now)
        try:
            are_gone = all(task.join(deadline) for task in self._tasks)
        finally:
            self._session.close()
        if are_gone:
            self._tasks.clear()
            self._runtime.close()

    # -- between the two

    def _first_locked(self) -> int | None:
        """The index of the result to be taken next, if it is there."""
        if self._pace.ordered:
            return self._next if self._next in self._done else None
        return next(iter(self._done), None)

    def _start_more(self) -> None:
        """Hand out every job that may start, to idle workers first."""
        while True:
            with self._lock:
                entry = self._pace.start()
                if entry is None:
                    return
                seat = self._idle.pop() if self._idle else None
                if seat is not None:
                    seat.entry = entry
            if seat is not None:
                seat.waiter.set()
            else:
                self._hire(entry)

    def _hire(self, entry: Entry[Work]) -> None:
        """Start one more worker, with this job as its first."""
        name = f"pooledhttp-bulk-{len(self._tasks)}"
        self._tasks.append(self._runtime.spawn(lambda: self._work(entry), name))

    # -- a worker's side

    def _work(self, first: Entry[Work]) -> None:
        """Do jobs until halted."""
        entry = first
        me = self._runtime.current()
        self._crew.add(me)
        try:
            while True:
                seat = self._finish(entry, self._perform(entry))
                if seat.entry is None:
                    seat.waiter.wait(Deadline.never(self._runtime.now))
                assert seat.entry is not None  # the only other way out of the wait is Halted
                entry = seat.entry
        except Halted:
            pass
        except BaseException as exc:
            self._fail(exc)
        finally:
            self._crew.discard(me)
            if self._runtime.is_halted and not self._crew:
                self._session.close()
                self._runtime.close()

    def _finish(self, entry: Entry[Work], result: Result) -> _Seat:
        """Hand in a result; the seat returned holds the next job or will be given one."""
        seat = _Seat(self._runtime.waiter())
        with self._lock:
            self._pace.finish(entry)
            self._done[entry.index] = result
            seat.entry = self._pace.start()
            if seat.entry is None:
                self._idle.append(seat)
            caller = None
            if self._caller is not None and self._first_locked() is not None:
                caller, self._caller = self._caller, None
        if caller is not None:
            caller.set()
        return seat

    def _fail(self, exc: BaseException) -> None:
        """Let the caller know that a worker is lost."""
        with self._lock:
            self._crash = exc
            caller, self._caller = self._caller, None
        if caller is not None:
            caller.set()

    def _perform(self, entry: Entry[Work]) -> Result:
        """Do one job, whatever becomes of it."""
        job = entry.item.job
        began = self._runtime.now()
        response: Response | None = None
        error: Exception | None = None
        saved = Saved(None, 0)
        self._runtime.check()
        try:
            response, saved = self._exchange(entry.item)
        except Exception as exc:  # one item's failure is that item's result
            error = exc
        return Result(
            job.url,
            response,
            error,
            index=entry.index,
            attempts=self._session.attempts(),
            elapsed=self._runtime.now() - began,
            job=job,
            saved=saved.target,
            size=saved.size,
        )

    def _exchange(self, work: Work) -> tuple[Response, Saved]:
        """Send the request and see the body to where it belongs."""
        job = work.job
        response = self._session.request(
            job.method,
            job.url,
            params=job.params,
            data=job.data,
            headers=job.headers,
            json=job.json,
            timeout=self._timeout,
            stream=work.store is not None,
        )
        try:
            if work.store is not None and response.status_code < 400:
                return response, work.store(response)
            return response, Saved(None, len(response.content or b""))
        finally:
            response.close()
