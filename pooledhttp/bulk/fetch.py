"""`bulk.fetch`: its arguments, checked before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pooledhttp.bulk.arguments import (
    FETCH_ADVICE,
    check_batches,
    check_counts,
    check_input,
    check_size,
)
from pooledhttp.bulk.choosing import EngineChoice, open_backend
from pooledhttp.bulk.fetching import DEFAULT_TIMEOUT, Fetch, check_retries, start
from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.jobs import Sink
from pooledhttp.bulk.options import MOST_BYTES, AnyExecutor, Batches
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.places import PER_PROXY, check_per_proxy
from pooledhttp.bulk.rates import make_rates
from pooledhttp.bulk.results import DEFAULT_JOBS, DEFAULT_PER_HOST
from pooledhttp.bulk.retrying import DEFAULT_RETRIES
from pooledhttp.bulk.sinks import to_files
from pooledhttp.records import explain_misspelt_call

if TYPE_CHECKING:
    from pooledhttp.message import TimeoutInput
    from pooledhttp.sessions import Session

__all__ = ["fetch"]


@explain_misspelt_call(advice=FETCH_ADVICE)
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
    executor: AnyExecutor | None = None,
    batches: Batches | None = None,
    max_in_flight_bytes: int = MOST_BYTES,
) -> Fetch:
    """Request many URLs at once and return their results as they come.

    Nothing is sent before the first result is taken: loop over what is returned.

    A failed item does not raise: its result has an `error`. The input is read in the calling
    thread, a little ahead of the work, and may be endless. An exception that the input raises is
    raised here after the results of all items before it.

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
            default is 10 s to connect and 60 s without data, and no total. `None` means no limit.
            No timeout counts the time that an item waits for its turn at a host.
        ordered: Whether results come in the order of the input rather than as they are ready.
        sink: Where bodies go unless a job names its own: a directory, or a `Sink` such as
            `to_files("out")`. A sink gets the bodies of responses that have what was asked for, and
            none of a 204, a 304 or a redirect that was not followed. `None` means into memory: each
            response is read whole before its result is yielded.
        retries: Further attempts after a temporary failure: a connection that fails, a body that
            breaks off, status 408, 425, 429, 500, 502, 503 or 504. Only idempotent methods are
            tried again. Where the session has a retry policy of its own, that one decides about
            connections and statuses, and this number counts for bodies only.
        per_proxy: The most requests at once through one proxy; `None` means no limit but `jobs`.
        rate: Requests a second in all, evenly; `None` for no limit. No timeout counts the wait.
        per_host_rate: Requests a second to each scheme, host and port; `None` for no limit.
        engine: `"loop"` has all requests wait on one event loop in a thread of its own, which needs
            greenlet. `"threads"` has a thread for each. `"auto"` takes the loop where greenlet is
            installed and nothing of the session may block it: an adapter, an auth, hooks of the
            caller's. The results say which it was (`engine`, `engine_reason`).
        executor: What does the work: `Workers(n)`, an `Executor` of `concurrent.futures` or a
            `distributed.Client`. All limits hold for its workers together. What goes there is
            pickled. `None` means in this process.
        batches: How work goes to an executor's workers; `None` means `Batches()`.
        max_in_flight_bytes: The most bytes of results being sent by an executor's workers, or
            here and not taken. One body may be larger.

    Returns:
        An iterator of `Result`. Closing it, leaving a `for` loop over it, or Ctrl-C stops all work
        at once.

    Raises:
        ValueError: A limit below 1, a negative number of retries, or a wrong timeout. Or `engine`
            is `"loop"`, and something of the session may block it.
        ModuleNotFoundError: `engine` is `"loop"`, and greenlet is not installed.
        TypeError: `jobs_or_urls` is a single string, `sink` is neither a sink nor a path,
            `executor` is none, or an attribute of `session` cannot go to its workers.
        OSError: `sink` is a path, and the directory cannot be made.
        WorkerLost: While iterating: no worker of the executor is left.
        WorkerMismatch: While iterating: a worker has no pooledhttp, or another version.
    """
    check_input("fetch", jobs_or_urls)
    check_counts(jobs=jobs, per_host=per_host, per_proxy=per_proxy)
    check_batches(batches)
    check_size("max_in_flight_bytes", max_in_flight_bytes)
    check_retries(retries)
    check_per_proxy(per_proxy)
    rates = make_rates(rate, per_host_rate)
    checked = _sink(sink)
    if executor is not None:
        from pooledhttp.bulk.spreading import spread_fetch

        return spread_fetch(
            jobs_or_urls,
            session,
            executor,
            batches,
            sink=checked,
            jobs=jobs,
            per_host=per_host,
            per_proxy=per_proxy,
            rate=rate,
            per_host_rate=per_host_rate,
            timeout=timeout,
            retries=retries,
            ordered=ordered,
            engine=engine,
            most_bytes=max_in_flight_bytes,
        )
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
