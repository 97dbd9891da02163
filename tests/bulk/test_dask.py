"""Bulk work on a cluster of Dask: two worker processes on this machine."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.bulk.dask_lanes import DaskOrder
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

distributed = pytest.importorskip("distributed", reason="needs the extra dask")


def body_of(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest() * 8


def serve(seen: SeenRequest) -> bytes:
    return respond(body_of(seen.target))


@pytest.fixture
def client() -> Iterator[Any]:
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


class Future:
    """An order that is done; its result cannot be brought."""

    key = "pooledhttp-0-x"

    def __init__(self, status: str) -> None:
        self.status = status
        self.waits: list[float] = []
        self.is_cancelled = False

    def result(self, timeout: float) -> bytes:
        self.waits.append(timeout)
        if len(self.waits) == 4:
            return b"late"
        raise TimeoutError

    def cancel(self) -> None:
        self.is_cancelled = True


def test_a_worker_that_dies_with_a_result_is_a_worker_that_died() -> None:
    """Dask itself would wait forever: no other worker may do the order."""
    future = Future("lost")
    there = [True, True, False]
    with pytest.raises(distributed.client.FutureCancelledError, match="its worker has died"):
        DaskOrder(future, lambda: there.pop(0)).result()
    assert (len(future.waits), future.is_cancelled, there) == (3, True, [])
    slow = Future("finished")
    assert DaskOrder(slow, lambda: True).result() == b"late"
    assert slow.waits == sorted(set(slow.waits)), "each wait is longer: the result may be large"


def test_a_timeout_of_the_order_itself_is_raised() -> None:
    """Only a result that does not come is waited for."""
    future = Future("error")
    with pytest.raises(TimeoutError):
        DaskOrder(future, lambda: True).result()
    assert len(future.waits) == 1


def run(client: Any, directory: Path, count: int) -> None:
    """Download, kill one of the workers in the middle, and account for everything."""
    with ScriptedServer(answering(serve)) as one, ScriptedServer(answering(serve)) as two:
        urls = [each.url(f"/{n}") for n in range(count // 2) for each in (one, two)]
        victim = min(client.run(os.getpid).values())
        # A lambda goes along, since Dask's own pickling is used.
        with pooledhttp.Session() as session:
            session.hooks["response"] = [lambda response, **_: response]
            download = bulk.download(
                urls, directory, session, digest="sha256", jobs=8, per_host=4, executor=client
            )
        results = []
        for result in download:
            results.append(result)
            if len(results) == count // 3:
                os.kill(victim, signal.SIGKILL)
        asked = Counter(f"{seen.target}" for each in (one, two) for seen in each.requests)
    assert sorted(result.index for result in results) == list(range(count))
    for result in results:
        path = "/" + result.url.rpartition("/")[2]
        assert result.ok and result.path is not None
        assert result.path.read_bytes() == body_of(path)
        assert result.digest == f"sha256:{hashlib.sha256(body_of(path)).hexdigest()}"
    repeated = sum(asked.values()) - count
    assert 0 <= repeated <= download.repeated <= 2 * bulk.Batches().jobs
    with bulk.Run(directory) as journal:
        rows = [record.url for record in journal]
    assert len(rows) == len(set(rows)) == count


def test_a_worker_that_is_killed_loses_nothing(client: Any, tmp_path: Path) -> None:
    """All is there once, and no more is asked for twice than the worker had."""
    run(client, tmp_path, 300)
    with ScriptedServer(answering(serve)) as server:
        items = [bulk.Job(server.url("/a"), method="POST", data=b"x"), "http://no host/"]
        found = list(bulk.fetch(items, ordered=True, executor=client))
    assert found[0].response is not None and found[0].response.content == body_of("/a")
    assert isinstance(found[1].error, pooledhttp.exceptions.InvalidURL)


@pytest.mark.long
def test_5000_urls(client: Any, tmp_path: Path) -> None:
    """The same with more of them."""
    run(client, tmp_path, 5000)


@pytest.mark.long
def test_a_worker_without_pooledhttp_is_named(tmp_path: Path) -> None:
    """Before anything is asked of it."""
    (tmp_path / "pooledhttp").mkdir()
    (tmp_path / "pooledhttp" / "__init__.py").write_text("raise ModuleNotFoundError('not here')")
    cluster = distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None)
    # By its command: a worker that the cluster starts takes over the path of this process.
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with (
        cluster,
        distributed.Client(cluster) as client,
        subprocess.Popen(
            [*command, "--no-nanny", "--no-dashboard", "--nthreads", "1"],
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        ) as worker,
    ):
        try:
            client.wait_for_workers(1)
            with pytest.raises(bulk.WorkerMismatch, match=r"the worker tcp://.* cannot load"):
                bulk.fetch(["http://127.0.0.1:9/"], executor=client)
        finally:
            worker.terminate()
