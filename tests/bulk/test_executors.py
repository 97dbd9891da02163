"""`fetch` and `download` over executors: what travels, and that nothing else changes."""

from __future__ import annotations

import os
import pickle
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.bulk import worker
from pooledhttp.bulk.folder import OWN_FOLDER
from tests.support.certificates import Authority
from tests.support.commands import ROOT, run_python
from tests.support.programs import poll
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond


def echo(seen: SeenRequest) -> bytes:
    return respond(seen.target.encode())


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answering(echo)) as server:
        yield server


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """An executor whose tasks run here, which is fast. All that travels is pickled as ever."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def workers() -> Iterator[bulk.Workers]:
    """Two processes for all tests of this file."""
    with bulk.Workers(2) as workers:
        yield workers


SMALL = bulk.Batches(jobs=16, seconds=0.05)


# -- fetch


def test_results_are_those_of_one_process(
    server: ScriptedServer, threads: ThreadPoolExecutor
) -> None:
    """Bodies, order, keys, the URLs that are none, and the counters of all workers."""
    items = [bulk.Job(server.url(f"/{n}"), key=object()) for n in range(60)]
    given: list[bulk.Job | str] = [*items, "http://no host/"]
    results = bulk.fetch(given, ordered=True, executor=threads, batches=SMALL, jobs=6)
    found = list(results)
    assert [each.index for each in found] == list(range(61))
    for result in found[:60]:
        assert result.response is not None
        assert result.response.content == f"/{result.index}".encode()
        assert result.job is items[result.index] and result.key is items[result.index].key
        assert result.attempts == 1
    assert isinstance(found[60].error, pooledhttp.exceptions.InvalidURL)
    assert results.stats().total.acquired == 60
    assert (results.engine, results.repeated) == ("executor", 0)


def test_limits_hold_over_all_workers(threads: ThreadPoolExecutor) -> None:
    """As the server counts: with a host that is split, and while redirects lead to it."""
    lock = threading.Lock()
    under_way, most = Counter[str](), Counter[str]()

    def serve(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            with lock:
                under_way["all"] += 1
                most["all"] = max(most["all"], under_way["all"])
            threading.Event().wait(0.001)
            with lock:
                under_way["all"] -= 1
            peer.send(respond(seen.target.encode()))

    with ScriptedServer(serve) as target:

        def lead(seen: SeenRequest) -> bytes:
            return respond(b"", status=302, headers={"Location": target.url(seen.target)})

        with ScriptedServer(answering(lead)) as first, ScriptedServer(answering(lead)) as second:
            urls = [
                each.url(f"/{n}") for n in range(30) for each in (first, second, target, target)
            ]
            results = list(bulk.fetch(urls, jobs=12, per_host=3, executor=threads, batches=SMALL))
            assert most["all"] <= 3
            seen = len(first.requests) + len(second.requests)
    assert len(results) == 120
    for result in results:
        assert result.response is not None
        target_path = "/" + result.url.rpartition("/")[2]
        assert result.response.content == target_path.encode()
        assert len(result.response.history) == (result.response.url != result.url)
    assert seen == 60  # no redirect was asked for twice


def test_bodies_go_to_files_where_the_worker_is(
    server: ScriptedServer, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """Under the names that a sink has claimed here."""
    urls = [server.url(f"/{n}") for n in range(20)]
    for result in bulk.fetch(urls, sink=tmp_path / "out", executor=threads):
        assert result.path is not None
        assert result.path.read_bytes() == f"/{result.index}".encode()
        assert result.size == len(result.path.read_bytes())


def test_errors_keep_class_message_and_facts(threads: ThreadPoolExecutor) -> None:
    """Also after a trip through a pickle."""
    with ScriptedServer(answering(echo)) as gone:
        url = gone.url("/path")
    (here,) = bulk.fetch([url], retries=0)
    (there,) = bulk.fetch([url], retries=0, executor=threads)
    assert type(there.error) is type(here.error)
    assert str(there.error) == str(here.error)
    assert there.error is not None and there.error.__cause__ is there.error.args[0]
    assert there.kind == "ConnectionError"
    assert there.error.args[0].reason.origin == here.error.args[0].reason.origin  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("verify", ssl.create_default_context(), r"session\.verify cannot go .* SSLContext"),
        ("hooks", {"response": [lambda r: r]}, r"session\.hooks\['response'\]\[0\] cannot go"),
        ("auth", (n for n in "ab"), r"session\.auth cannot go to workers: generator"),
    ],
)
def test_what_cannot_travel_is_named_before_the_first_task(
    name: str, value: object, message: str, tmp_path: Path
) -> None:
    """No task is submitted, and no directory is left locked."""
    tasks: list[object] = []

    class Executor(ThreadPoolExecutor):
        def submit(self, *args: Any, **more: Any) -> Future[Any]:
            tasks.append(args)
            return super().submit(*args, **more)

    with pooledhttp.Session() as session, Executor(1) as executor:
        setattr(session, name, value)
        with pytest.raises(TypeError, match=message):
            bulk.fetch(["http://a.example/"], session, executor=executor)
        with pytest.raises(TypeError, match=message):
            bulk.download(["http://a.example/"], tmp_path, session, executor=executor)
    assert tasks == []
    bulk.download([], tmp_path).close()


def test_listeners_are_refused(threads: ThreadPoolExecutor) -> None:
    """They would be dropped: a worker cannot call them."""
    with pooledhttp.Session(listeners=[print]) as session:
        with pytest.raises(ValueError, match="listeners"):
            bulk.fetch(["http://a.example/"], session, executor=threads)


def test_what_is_no_executor() -> None:
    """The message says what is."""
    with pytest.raises(TypeError, match=r"bulk\.Workers"):
        bulk.fetch([], executor=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        bulk.Batches(jobs=0)
    with pytest.raises(ValueError, match="at least 1"):
        bulk.Workers(0)


def test_a_worker_of_another_version_is_an_error(
    server: ScriptedServer, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which version is where."""
    monkeypatch.setattr(worker, "__version__", "0.0.1")
    with pytest.raises(bulk.WorkerMismatch, match=r"has pooledhttp 0\.0\.1, and the caller"):
        list(bulk.fetch([server.url("/")], executor=threads))


def test_an_executor_that_is_broken_ends_the_run(server: ScriptedServer, tmp_path: Path) -> None:
    """With an error that says what to do; the journal holds the rest."""

    class Broken(ThreadPoolExecutor):
        left = 1

        def submit(self, *args: Any, **more: Any) -> Future[Any]:
            if self.left:
                self.left -= 1
                return super().submit(*args, **more)
            raise BrokenProcessPool("a process has died")

    urls = [server.url(f"/{n}") for n in range(50)]
    done = []
    with Broken(1) as executor:
        with pytest.raises(bulk.WorkerLost, match="Run the same again"):
            for result in bulk.download(urls, tmp_path, executor=executor, batches=SMALL):
                done.append(result.url)
    assert len(done) >= 16
    again = list(bulk.download(urls, tmp_path))
    assert sum(not each.is_new for each in again) == len(done)
    assert all(each.ok for each in again)


# -- download


def test_a_directory_is_the_same_as_of_one_process(
    server: ScriptedServer, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """Names, digests, journal, and what a second run finds; nothing of the workers is left."""
    urls = [server.url(f"/{n}/same") for n in range(40)]
    list(bulk.download(urls, tmp_path / "one", digest="sha256"))
    spread = bulk.download(
        urls, tmp_path / "many", digest="sha256", executor=threads, batches=SMALL
    )
    results = list(spread)
    assert all(each.ok and each.is_new and each.path is not None for each in results)
    assert spread.received_bytes() == sum(each.size for each in results)

    def records(name: str) -> set[tuple[object, ...]]:
        with bulk.Run(tmp_path / name) as run:
            return {
                (each.url, each.name, each.state, each.size, each.digest, each.attempts)
                for each in run
            }

    assert records("one") == records("many")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        path.name for path in (tmp_path / "many").iterdir()
    }
    again = list(bulk.download(urls, tmp_path / "many", executor=threads))
    assert all(each.ok and not each.is_new and each.attempts == 0 for each in again)
    own = tmp_path / "many" / OWN_FOLDER
    assert list((own / "parts").iterdir()) == [] and list(own.glob("run-*")) == []


def test_a_file_that_is_not_ours_is_not_replaced(
    server: ScriptedServer, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """Although it appeared while the worker had the body: the caller's process looks."""

    def appear(seen: SeenRequest) -> bytes:
        (tmp_path / "file").write_text("foreign")
        return respond(b"body")

    with ScriptedServer(answering(appear)) as server:
        (result,) = bulk.download([server.url("/file")], tmp_path, executor=threads)
    assert result.kind == "ForeignFile" and not result.ok
    assert (tmp_path / "file").read_text() == "foreign"
    (tmp_path / "file").unlink()
    (result,) = bulk.download([server.url("/file")], tmp_path)
    assert result.ok and (tmp_path / "file").read_bytes() == b"body"


def test_a_worker_that_does_not_see_the_directory_is_an_error(
    server: ScriptedServer, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """A cluster without shared storage."""
    download = bulk.download([server.url("/a")], tmp_path, executor=threads)
    (lease,) = (tmp_path / OWN_FOLDER).glob("run-*")
    lease.rename(tmp_path / "elsewhere")
    with pytest.raises(bulk.WorkerMismatch, match="storage that the caller and all workers share"):
        list(download)


def test_workers_end_with_the_run(threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    """Also one that waits for a server that sends nothing; its part is kept."""

    def stall(peer: Peer) -> None:
        peer.read_request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: "x"\r\n\r\nabc')
        peer.wait_closed()

    with ScriptedServer(stall) as server:
        download = bulk.download([server.url("/a")], tmp_path, executor=threads)
        parts = tmp_path / OWN_FOLDER / "parts"

        def stop() -> None:
            poll(lambda: any(part.stat().st_size for part in parts.iterdir()), "a part")
            download.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        assert list(download) == []
        stopper.join()
    assert [path.name.split(".")[1] for path in parts.iterdir()] == ["1000000"]
    with bulk.Run(tmp_path) as run:
        assert [each.state for each in run] == [bulk.State.RUNNING]


# -- processes


def test_processes_fetch_over_tls(workers: bulk.Workers, tmp_path: Path) -> None:
    """With the trust of the session, and over few connections, kept between orders."""
    authority = Authority(tmp_path)
    with ScriptedServer(answering(echo), tls=authority.server_context()) as server:
        urls = [server.url(f"/{n}") for n in range(100)]
        with pooledhttp.Session() as session:
            session.verify = authority.bundle
            results = bulk.fetch(urls, session, jobs=8, per_host=4, executor=workers, batches=SMALL)
            assert all(result.ok for result in results)
        assert results.stats().total.acquired == 100
        assert len(server.connections) <= 4 == results.stats().total.created


def test_a_process_that_dies_is_started_again(
    workers: bulk.Workers, server: ScriptedServer, tmp_path: Path
) -> None:
    """What it had is done again: all are there, each is in the journal once."""
    urls = [server.url(f"/{n}") for n in range(120)]
    download = bulk.download(urls, tmp_path, executor=workers, batches=SMALL, jobs=4)
    seen = []
    for result in download:
        seen.append(result.index)
        if len(seen) == 20:
            os.kill(workers.pids()[0], signal.SIGKILL)
        assert result.ok and result.path is not None, result
        assert result.path.read_bytes() == f"/{result.index}".encode()
    assert sorted(seen) == list(range(120))
    assert download.repeated <= 16
    assert len(server.requests) <= 120 + download.repeated
    with bulk.Run(tmp_path) as run:
        assert sorted(each.url for each in run) == sorted(urls)
    assert list((tmp_path / OWN_FOLDER / "parts").iterdir()) == []


ENDING = """
import os, sys
from pooledhttp import bulk
if __name__ == "__main__":
    workers = bulk.Workers(1)
    list(bulk.fetch([sys.argv[1]], executor=workers))
    (pid,) = workers.pids()
    workers.shutdown()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        print("ended")
"""


def test_shutdown_waits_for_the_processes(server: ScriptedServer, tmp_path: Path) -> None:
    """After it none is left, and the interpreter ends without a complaint."""
    script = tmp_path / "script.py"
    script.write_text(ENDING)
    ended = run_python(str(script), server.url("/"))
    assert (ended.stdout.split(), ended.stderr) == (["ended"], "")


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
from pooledhttp import bulk
if __name__ == "__main__":
    with bulk.Workers(1) as workers:
        for result in bulk.fetch([sys.argv[1]], executor=workers):
            print(workers.pids()[0], flush=True)
            signal.pause()
"""


def test_a_process_ends_with_its_caller(server: ScriptedServer, tmp_path: Path) -> None:
    """Even when that is killed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), server.url("/")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    ignored = int(_status(pid, "SigIgn"), 16)
    assert not ignored & (1 << (signal.SIGINT - 1))
    process.kill()
    process.wait()
    process.stdout.close()
    poll(lambda: not _runs(pid), "the end of the worker")


def _status(pid: int, field: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise AssertionError(field)


def _runs(pid: int) -> bool:
    try:
        return not _status(pid, "State").startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.long
def test_a_script_without_a_main_guard_is_told_of_it(tmp_path: Path) -> None:
    """Its processes run the script again, and end at once."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pooledhttp import bulk\n"
        "list(bulk.fetch(['http://127.0.0.1:9/'], executor=bulk.Workers(1)))\n"
    )
    ended = run_python(str(script))
    assert "__name__ == '__main__'" in ended.stderr


def test_a_call_is_made_when_it_is_unpickled() -> None:
    """So an executor needs no function of ours."""
    from pooledhttp.bulk.payloads import Call

    assert pickle.loads(pickle.dumps(Call(max, 1, 2))) == 2
