"""Sets up `fetch` and `download` over an executor: checks, divides the limits, opens lanes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pooledhttp.bulk.dispatch import Dispatcher
from pooledhttp.bulk.downloading import Download, prepare
from pooledhttp.bulk.executors import open_lanes
from pooledhttp.bulk.fetching import Fetch, Work
from pooledhttp.bulk.folder import lease_path
from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.grants import Limits
from pooledhttp.bulk.inputs import items_of
from pooledhttp.bulk.item_handlers import DownloadHandler, FetchHandler
from pooledhttp.bulk.jobs import Job, Sink
from pooledhttp.bulk.lanes import Lanes
from pooledhttp.bulk.options import MOST_BYTES, Batches, Options
from pooledhttp.bulk.own_session import has_proxy
from pooledhttp.bulk.payloads import RunSettings
from pooledhttp.bulk.portable import check_session, why_not
from pooledhttp.bulk.report import DownloadResult, Result
from pooledhttp.bulk.results import make_pace
from pooledhttp.bulk.sharding import Sharding
from pooledhttp.bulk.workspace import Task, Workspace
from pooledhttp.runtime import default_runtime

if TYPE_CHECKING:
    from pooledhttp.sessions import Session

__all__ = ["spread_download", "spread_fetch"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a run over an executor begins with."""

    lanes: Lanes
    count: int
    limits: Limits
    batches: Batches
    settings: RunSettings

    def packed(self, **more: Any) -> bytes:
        """Return the settings as they are sent."""
        return self.lanes.dumps(replace(self.settings, **more))


def _plan(
    executor: object,
    batches: Batches | None,
    session: Session | None,
    *,
    jobs: int,
    per_host: int | None,
    per_proxy: int | None,
    rate: float | None,
    per_host_rate: float | None,
    timeout: object,
    retries: int,
    ordered: bool,
    engine: Any,
) -> _Plan:
    """Divide the limits, and check that everything can be pickled.

    Raises:
        TypeError: Something cannot be pickled, or the executor is none.
        ValueError: A limit is wrong, or the session has something that stays in this process.
    """
    make_pace(jobs, per_host, ordered)  # checks them
    batches = batches or Batches()
    lanes = open_lanes(executor, batches.partitions)
    try:
        check_session(session, lanes.dumps)
        reason = why_not(timeout, lanes.dumps)
        if reason is not None:
            raise TypeError(f"timeout cannot go to workers: {reason}")
    except BaseException:
        lanes.close()
        raise
    count = min(lanes.count, jobs)
    if per_proxy is not None and has_proxy(session):
        count = min(count, per_proxy)
    settings = RunSettings(
        session,
        jobs // count,
        None if per_proxy is None else max(per_proxy // count, 1),
        None if rate is None else rate / count,
        timeout,
        retries,
        engine,
    )
    return _Plan(lanes, count, Limits(jobs, per_host, per_host_rate), batches, settings)


def spread_fetch(
    source: Iterable[Item],
    session: Session | None,
    executor: object,
    batches: Batches | None,
    *,
    sink: Sink | None,
    most_bytes: int,
    ordered: bool,
    **settings: Any,
) -> Fetch:
    """Set up a `fetch` over an executor.

    Raises:
        TypeError: Something cannot be pickled, or the executor is none.
        ValueError: A limit is wrong, or the session has something that stays in this process.
    """
    if most_bytes < 1:
        raise ValueError(f"max_in_flight_bytes must be at least 1, not {most_bytes}")
    items = iter(items_of(source))
    plan = _plan(executor, batches, session, ordered=ordered, **settings)
    engine: Dispatcher[Work, Result] = Dispatcher(
        plan.lanes,
        plan.count,
        plan.packed(),
        FetchHandler(),
        plan.limits,
        ordered=ordered,
        most_bytes=most_bytes,
        batches=plan.batches,
        run=uuid.uuid4().hex,
    )
    return Fetch(items, engine, engine, default_runtime().now, sink)


def spread_download(
    source: Iterable[Item],
    directory: str | os.PathLike[str],
    session: Session | None,
    executor: object,
    batches: Batches | None,
    options: Options,
    *,
    failures: str | os.PathLike[str] | None,
    ordered: bool,
    sharding: Sharding | None = None,
    **settings: Any,
) -> Download:
    """Set up a `download` over an executor.

    Raises:
        TypeError: Something cannot be pickled, or the executor is none.
        ValueError: A limit is wrong, or the session has something that stays in this process.
        OSError: The directory cannot be used.
    """
    items = items_of(source)
    plan = _plan(executor, batches, session, ordered=ordered, **settings)
    with ExitStack() as opened:  # what to end if no `Download` comes of it
        opened.callback(plan.lanes.close)
        workspace = Workspace(directory, options)
        opened.callback(workspace.close)
        opened.callback(workspace.folder.give_up_reserve)
        listed = prepare(workspace, failures, source)
        engine = _engine_of_download(plan, workspace, directory, ordered, sharding)
        opened.callback(engine.stop)
        now = default_runtime().now
        download = Download(items, engine, engine, workspace, listed, now, engine.received_bytes)
        opened.pop_all()
        return download


def _engine_of_download(
    plan: _Plan,
    workspace: Workspace,
    directory: str | os.PathLike[str],
    ordered: bool,
    sharding: Sharding | None,
) -> Dispatcher[Task, DownloadResult]:
    """Return what hands the work on disk of a download to workers."""
    run, options, limits = uuid.uuid4().hex, workspace.options, plan.limits
    if sharding is not None:
        limits = replace(limits, limit_of=sharding.limit_of, rate_of=sharding.rate_of)
    place = os.path.abspath(directory)
    lease = lease_path(place, run, options.shard)
    rate = options.limit_rate
    shared = replace(
        options,
        naming=_named_by_caller,
        reserved=frozenset(),
        limit_rate=None if rate is None else rate / plan.count,
    )
    return Dispatcher(
        plan.lanes,
        plan.count,
        plan.packed(directory=place, lease=lease, options=shared),
        DownloadHandler(workspace, lease),
        limits,
        ordered=ordered,
        most_bytes=MOST_BYTES,
        batches=plan.batches,
        run=run,
    )


def _named_by_caller(job: Job) -> str:
    """Stand for the naming of a run where nothing is named."""
    raise NotImplementedError
