"""`download`: fetches URLs into files of a directory, which records what was fetched.

The same call, made again after anything, fetches what is missing. See `journal` for what is
remembered, `workspace` for how a job is looked up, and `transfer` for how one file is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pooledhttp.bulk.arguments import (
    DOWNLOAD_ADVICE,
    check_batches,
    check_counts,
    check_digest,
    check_input,
    check_path,
    check_size,
)
from pooledhttp.bulk.backends import Backend, Threads
from pooledhttp.bulk.choosing import EngineChoice, open_backend
from pooledhttp.bulk.downloader import Downloader
from pooledhttp.bulk.downloading import Download, prepare
from pooledhttp.bulk.engine import Engine
from pooledhttp.bulk.failures import FAILURES
from pooledhttp.bulk.fetching import DEFAULT_TIMEOUT, check_retries, item_timeout
from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.formats import Item
from pooledhttp.bulk.halting import Haltable
from pooledhttp.bulk.inputs import items_of
from pooledhttp.bulk.names import Naming, folded, naming
from pooledhttp.bulk.options import AnyExecutor, Batches
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.partition import Shard
from pooledhttp.bulk.places import PER_PROXY, Places, check_per_proxy
from pooledhttp.bulk.protocols import Requester
from pooledhttp.bulk.rates import check_rate, make_rates
from pooledhttp.bulk.results import (
    DEFAULT_JOBS,
    DEFAULT_PER_HOST,
    follow_limits,
    make_pace,
)
from pooledhttp.bulk.retrying import DEFAULT_RETRIES, Again
from pooledhttp.bulk.sharding import Sharding, ShardSource, shard_of
from pooledhttp.bulk.workspace import Options, Workspace
from pooledhttp.records import explain_misspelt_call

if TYPE_CHECKING:
    from pooledhttp.message import TimeoutInput
    from pooledhttp.sessions import Session

__all__ = ["Download", "download"]

#: Results running or finished and not taken, for each worker. They hold no bodies, and a worker
#: that waits for room costs two turns of threads.
_CAPACITY_PER_JOB = 4

#: Items queued for each that may run: results come in groups, and none starts an item at once.
_ROUNDS = 2


def open_download(
    source: Iterable[Item],
    directory: str | os.PathLike[str],
    open_session: Callable[[Haltable], Requester],
    options: Options,
    *,
    jobs: int,
    per_host: int | None,
    timeout: object,
    ordered: bool,
    retries: int = 0,
    failures: str | os.PathLike[str] | None = None,
    backend: Backend | None = None,
    sharding: Sharding | None = None,
) -> Download:
    """Set up an engine over a workspace; see `download`."""
    backend = Threads() if backend is None else backend
    try:
        pace = make_pace(jobs, per_host, ordered, _CAPACITY_PER_JOB, _ROUNDS)
        limits = item_timeout(timeout)
        workspace = Workspace(directory, options)
    except BaseException:
        backend.stop()
        raise
    try:
        listed = prepare(workspace, failures, source)
        session = open_session(backend.runtime)
        again = Again(retries, only_bodies=getattr(session, "has_retry_policy", False))
        downloader = Downloader(session, backend, workspace, limits, again)
        engine = Engine(session, backend, pace, downloader)
        downloader.tell(engine)
        follow_limits(engine, session)
        if sharding is not None:
            for line in sharding.divided:
                engine.limit(line, sharding.limit_of(line) or jobs)
        return Download(
            items_of(source),
            engine,
            session,
            workspace,
            listed,
            backend.runtime.now,
            lambda: downloader.received_bytes,
        )
    except BaseException:
        backend.stop()
        workspace.folder.give_up_reserve()
        workspace.close()
        raise


@explain_misspelt_call(advice=DOWNLOAD_ADVICE)
def download(
    jobs_or_urls: Iterable[Item],
    directory: str | os.PathLike[str],
    session: Session | None = None,
    *,
    jobs: int = DEFAULT_JOBS,
    per_host: int | None = DEFAULT_PER_HOST,
    per_proxy: int | None = PER_PROXY,
    rate: float | None = None,
    per_host_rate: float | None = None,
    limit_rate: float | None = None,
    low_speed: float | None = None,
    timeout: TimeoutInput = DEFAULT_TIMEOUT,
    retries: int = DEFAULT_RETRIES,
    ordered: bool = False,
    names: str | Naming = "last",
    refresh: bool = False,
    overwrite: bool = False,
    adopt: bool = False,
    rebuild: bool = False,
    decode: str = "auto",
    digest: str | None = None,
    max_size: int | None = None,
    mtime: bool = False,
    content_disposition: bool = False,
    failures: str | os.PathLike[str] | None = None,
    engine: EngineChoice = "auto",
    executor: AnyExecutor | None = None,
    batches: Batches | None = None,
    shard: Shard | str | None = None,
) -> Download:
    """Fetch many URLs into the files of a directory, and remember what was fetched.

    Call it again after a stop or a crash, and it fetches what is missing. A file keeps its name. A
    file that was fetched is not requested again. A body that broke off is continued, if the server
    supports ranges (RFC 9110, section 14). A file of another program is replaced only with
    `overwrite`.

    Nothing is fetched before the first result is taken: loop over what is returned. A failed item
    does not raise: its result has the reason. The input is read in the calling thread, at most some
    thousand items ahead. A job that is in the input twice is done once, and has one result.

    Args:
        jobs_or_urls: URLs and `Job`s, a `UrlList` or `Sources`. An open file is a list of URLs.
        directory: Where the files go; made if it is missing. The journal of the runs is in its
            folder `.pooledhttp`.
        session: Whose settings to use, as for `fetch`. `None` means those of a new `Session`.
        jobs: The most requests at once.
        per_host: The most requests at once to one scheme, host and port; `None` means no limit but
            `jobs`.
        per_proxy: The most requests at once through one proxy; `None` means no limit but `jobs`.
        rate: Requests a second in all, evenly; `None` for no limit. No timeout counts the wait.
        per_host_rate: Requests a second to each scheme, host and port; `None` for no limit.
        limit_rate: Bytes a second of all bodies together; `None` for no limit.
        low_speed: Bytes a second. A body that is slower for a minute is given up, and tried again.
            `None` for no such limit.
        timeout: As for `fetch`: by default 10 s to connect and 60 s without data. A number is the
            seconds for one file in all. `None` means no limit.
        retries: Further attempts after a temporary failure, as for `fetch`. The part of a body that
            was received is kept between them.
        ordered: Whether results come in the order of the input rather than as they are ready.
        names: `"last"` names files after the last segment of the URL, `"tree"` after host and path,
            `"key"` after the job's key. Or a template such as `"{host}/{name}"`, or a function that
            takes a `Job` and returns the name.
        refresh: Ask the server whether files that were fetched have changed, by a conditional
            request (RFC 9110, section 13).
        overwrite: Replace files that were not fetched by a run in this directory.
        adopt: Count a file that has the name of a new job as fetched.
        rebuild: Begin a new journal, as where the old one is broken, and `adopt` the files that are
            there. The old one is set aside, once all arguments are found right.
        decode: Whether to undo a Content-Encoding, which was not requested: `"always"`, `"never"`,
            or `"auto"`, which does unless the name or the type says that the encoded form is the
            file, as in `a.tar.gz`.
        digest: Record a digest of each file: `"sha256"`, `"md5"` or another name that `hashlib`
            knows. `None` records those that jobs expect.
        max_size: The most bytes that a body may have. A larger one is a failure, and is removed.
            `None` for no limit.
        mtime: Set the time of each file to its `Last-Modified`.
        content_disposition: Name new files as the `Content-Disposition` of the response says (RFC
            6266), in the directory that `names` gives. The `name` of a job takes precedence. Not
            with an executor.
        failures: The path of a file that lists what is not done when the run ends; `None` for no
            list.
        engine: `"auto"`, `"loop"` or `"threads"`, as for `fetch`. With the loop, a second thread
            does all work on the disk.
        executor: What does the work, as for `fetch`. The workers write the files: on this machine,
            or on storage that all of them share under the same path. The journal is written here.
            `None` means in this process.
        batches: How work goes to an executor's workers; `None` means `Batches()`.
        shard: Which part of the input to fetch, such as `"2/3"`, for several runs at once that do
            not communicate. Each has its own journal, and each file name has a mark of the URL.
            `rate`, `limit_rate` and the limits of a host that is in several shards are divided;
            `jobs` counts for each shard. `None` means all of it.

    Returns:
        An iterator of `DownloadResult`. Leaving a `for` loop over it, or Ctrl-C, stops the work.

    Raises:
        DirectoryInUse: Another run works in the directory.
        JournalError: The directory's journal is broken or from a newer version.
        ValueError: An argument has a wrong value: a limit below 1, a negative timeout.
        TypeError: An argument has a wrong type, or there is no such argument.
        OSError: The directory cannot be made. While iterating: the disk is full (`errno` is
            `ENOSPC`).
    """
    check_input("download", jobs_or_urls)
    check_path("directory", directory)
    if failures is not None:
        check_path("failures", failures)
    check_counts(jobs=jobs, per_host=per_host, per_proxy=per_proxy)
    check_batches(batches)
    check_size("max_size", max_size)
    check_retries(retries)
    check_per_proxy(per_proxy)
    make_rates(rate, per_host_rate)
    check_rate("limit_rate", limit_rate)
    check_rate("low_speed", low_speed)
    if decode not in ("auto", "never", "always"):
        raise ValueError(f"decode must be 'auto', 'never' or 'always', not {decode!r}")
    check_digest(digest)
    sharding = None
    if shard is not None:
        if isinstance(jobs_or_urls, ShardSource) and jobs_or_urls.sharding.shard == shard_of(shard):
            sharding = jobs_or_urls.sharding
        else:
            sharding = Sharding(shard_of(shard), jobs_or_urls, per_host, per_host_rate)
            jobs_or_urls = sharding.select(jobs_or_urls)
        rate = None if rate is None else rate / sharding.shard.count
        limit_rate = None if limit_rate is None else limit_rate / sharding.shard.count
    options = Options(
        naming(names),
        _reserved(directory, failures),
        refresh,
        overwrite,
        adopt or rebuild,
        decode,
        digest,
        max_size,
        mtime,
        limit_rate,
        low_speed,
        content_disposition,
        None if sharding is None else sharding.shard,
        rebuild,
    )
    if executor is not None:
        if content_disposition:
            raise ValueError(
                "content_disposition cannot be used with an executor: the names are given before"
                " the workers begin"
            )
        from pooledhttp.bulk.spreading import spread_download

        return spread_download(
            jobs_or_urls,
            directory,
            session,
            executor,
            batches,
            options,
            jobs=jobs,
            per_host=per_host,
            per_proxy=per_proxy,
            rate=rate,
            per_host_rate=per_host_rate,
            timeout=timeout,
            retries=retries,
            ordered=ordered,
            failures=failures,
            engine=engine,
            sharding=sharding,
        )

    def open_session(runtime: Haltable) -> OwnSession:
        rates = make_rates(rate, per_host_rate, None if sharding is None else sharding.rate_of)
        limit_of = None if sharding is None else sharding.limit_of
        places = Places(per_host, runtime, per_proxy, rates, limit_of)
        return OwnSession(session, per_host, runtime, per_proxy, places=places)

    return open_download(
        jobs_or_urls,
        directory,
        open_session,
        options,
        jobs=jobs,
        per_host=per_host,
        timeout=timeout,
        ordered=ordered,
        retries=retries,
        failures=failures,
        backend=open_backend(engine, session),
        sharding=sharding,
    )


def _reserved(
    directory: str | os.PathLike[str], failures: str | os.PathLike[str] | None
) -> frozenset[str]:
    """Return the names that no file may have: the list's own, wherever it is in the directory."""
    names = {folded(FAILURES)}
    if failures is not None:
        with suppress(ValueError):
            names.add(folded(Path(failures).relative_to(directory).as_posix()))
    return frozenset(names)


def set_journal_aside(directory: str | os.PathLike[str]) -> str | None:
    """Move a directory's journal out of the way, so that the next run begins a new one.

    Args:
        directory: The directory. With `adopt`, the next run takes over the files that are in it.

    Returns:
        The journal's new path; None when there was none.

    Raises:
        DirectoryInUse: A run works in the directory.
        OSError: It could not be moved.
    """
    folder = RunFolder(directory)
    try:
        return folder.set_journal_aside()
    finally:
        folder.close()
