"""Small files come the shortest way; whatever is not as usual has the outcome it has without it."""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from errno import EMFILE
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.bulk.folder import RunFolder
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.part import Part
from pooledhttp.bulk.report import DownloadResult
from pooledhttp.http1.connection import MOST_WHOLE_BYTES
from pooledhttp.message import Response
from pooledhttp.retry import Retry
from pooledhttp.timing import Timeout
from pooledhttp.transport import WholeResponse
from tests.support.engines import engine
from tests.support.scripted import Peer, ScriptedServer, chunked, respond

__all__ = ["engine"]

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.filterwarnings("error::ResourceWarning"),
]

#: Plain files, before and behind a URL with which something is odd.
PLAIN = [f"/plain{number}" for number in range(4)]


def small(path: str, *more: tuple[str, str]) -> bytes:
    return respond(f"body of {path}".encode(), headers=[("ETag", f'"{path}"'), *more])


class Odd:
    """Serves small files, and what a path asks for. Each peer serves many requests."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            with self.lock:
                self.counts[seen.target] += 1
                count = self.counts[seen.target]
            what, _, times = seen.target.rpartition("/")
            if not what or (times and count > int(times)):
                peer.send(small(seen.target))
            elif not ODD[what](peer, seen.target):
                return


def sends(data: bytes | Callable[[str], bytes]) -> Callable[[Peer, str], bool]:
    def serve(peer: Peer, path: str) -> bool:
        peer.send(data(path) if callable(data) else data)
        return True

    return serve


def breaks(*data: bytes, reset: bool = False) -> Callable[[Peer, str], bool]:
    def serve(peer: Peer, path: str) -> bool:
        for piece in data:
            peer.send(piece)
        if reset:
            peer.reset()
        else:
            peer.close()
        return False

    return serve


def hangs(*data: bytes) -> Callable[[Peer, str], bool]:
    def serve(peer: Peer, path: str) -> bool:
        for piece in data:
            peer.send(piece)
        peer.wait_closed()
        return False

    return serve


WHOLE = small("/x")
HEAD, _, BODY = WHOLE.partition(b"\r\n\r\n")

#: By path: what the server does so often, before it serves the file.
ODD: dict[str, Callable[[Peer, str], bool]] = {
    "/chunked": sends(chunked([b"abc", b"def"])),
    "/large": sends(respond(b"x" * (MOST_WHOLE_BYTES + 100))),
    "/empty": sends(respond(b"")),
    "/gzip": sends(respond(b"no gzip", headers=[("Content-Encoding", "gzip")])),
    "/cookie": sends(lambda path: small(path, ("Set-Cookie", "a=1; Path=/"))),
    "/close": breaks(respond(b"bye", headers=[("Connection", "close")])),
    "/moved": sends(respond(status=302, headers=[("Location", "/plain9")])),
    "/away": sends(respond(status=302, headers=[("Location", "http://127.0.0.1:9/x")])),
    "/404": sends(respond(b"none", status=404)),
    "/204": sends(respond(status=204)),
    "/206": sends(respond(b"part", status=206)),
    "/503": sends(respond(status=503)),
    "/429": sends(respond(status=429)),
    "/408": breaks(respond(status=408, headers=[("Connection", "close")])),
    "/interim": sends(b"HTTP/1.1 103 Early Hints\r\n\r\n" + WHOLE),
    "/nonsense": breaks(b"nonsense\r\n\r\n"),
    "/nothing": breaks(),
    "/reset": breaks(reset=True),
    "/half-head": breaks(HEAD[:20]),
    "/half-head-reset": breaks(HEAD[:20], reset=True),
    "/half-body": breaks(WHOLE[:-3]),
    "/half-body-reset": breaks(WHOLE[:-3], reset=True),
    "/silent": hangs(),
    "/silent-head": hangs(HEAD[:20]),
    "/silent-body": hangs(WHOLE[:-3]),
    "/long": breaks(WHOLE + b"more"),
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(Odd()) as server:
        yield server


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests came which way: the shortest, begun there, or the general one."""
    ways: Counter[str] = Counter()

    def count(name: str) -> None:
        real = getattr(OwnSession, name)

        def step(self: OwnSession, *args: Any) -> Any:
            found = real(self, *args)
            is_short = isinstance(found, (WholeResponse, Response))
            ways["short" if is_short else "general" if found is None else "begun"] += 1
            return found

        monkeypatch.setattr(OwnSession, name, step)

    count("fetch")
    count("fetch_response")
    return ways


def outcome(result: DownloadResult) -> tuple[object, ...]:
    """What of a result depends on the server."""
    told = (result.state, result.status, result.kind, result.problem, result.attempts)
    facts = (result.size, result.etag, result.last_modified, result.is_new, result.name)
    body = result.path.read_bytes() if result.ok and result.path is not None else None
    assert result.elapsed >= 0
    return (*told, *facts, body)


def run(server: ScriptedServer, folder: Path, paths: list[str], **how: Any) -> list[Any]:
    """Download one after the other, and what is not done again; return the outcomes."""
    how = {"jobs": 1, "retries": 1, "timeout": Timeout(connect=5, read=0.3), **how}
    found: list[Any] = []
    for _ in range(2):
        results = bulk.download([server.url(path) for path in paths], folder, ordered=True, **how)
        found += [outcome(result) for result in results]
        stats = results.stats().total
        assert stats.leaks == stats.active == 0, stats
    return found


@pytest.mark.parametrize("what", list(ODD))
def test_the_outcome_is_the_same(
    tmp_path: Path, ways: Counter[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Results, files and what the server is asked, for each kind of odd response, once and always.

    A second run over the folder has the same to do, too.
    """
    monkeypatch.setattr("pooledhttp.bulk.retrying._FIRST_SECONDS", 0.0)
    paths = [*PLAIN, f"{what}/1", *(path + "b" for path in PLAIN), f"{what}/", "/last"]
    found, asked = [], []
    for folder in ("short", "general"):
        server = Odd()
        with ScriptedServer(server) as scripted:
            outcomes = run(scripted, tmp_path / folder, paths)
            base = scripted.url("")
            found.append([str(each).replace(base, "") for each in outcomes])
        asked.append(server.counts)
        if folder == "short":
            assert ways["short"] >= 2, ways
            monkeypatch.setattr(OwnSession, "fetch", lambda *args: None)
    assert found[0] == found[1]
    assert asked[0] == asked[1]


def response_facts(response: Response, base: str) -> tuple[object, ...]:
    """All that a program can see of a response whose body was read."""
    raw = response.raw
    facts = [
        *(response.status_code, response.reason, response.url, response.content),
        *(list(response.headers.items()), response.encoding, response.text, response.links),
        *(response.cookies.get_dict(), response.is_redirect, response.ok, repr(response)),
        *([each.status_code for each in response.history], response._content_consumed),
        *(raw.status, raw.reason, raw.version, list(raw.headers.items()), raw.retries),
        *(raw.tell(), raw.closed, raw.read(), raw.read(5), raw.data, raw.length_remaining),
        *(raw.url, raw.chunked, raw.connection, raw.isclosed()),
        *(raw._fp.will_close, raw._fp.length, raw._fp.parser, raw._fp.getheaders()),
        *(response.request.method, response.request.url, response.request.body),
        *(list(response.request.headers.items()), response.request._cookies.get_dict()),
        *(list(response.iter_content(4)), list(response.iter_lines())),
    ]
    assert 0 <= response.elapsed.total_seconds() < 60
    again = pickle.loads(pickle.dumps(response))
    assert (again.content, again.headers) == (response.content, response.headers)
    response.close()
    response.close()
    return tuple(str(fact).replace(base, "") for fact in facts)


def fetch_outcomes(server: ScriptedServer, paths: list[str]) -> list[object]:
    """Fetch one after the other, and return what of the results depends on the server."""
    base, found = server.url(""), list[object]()
    how: Any = {"jobs": 1, "retries": 1, "timeout": Timeout(connect=5, read=0.3)}
    results = bulk.fetch([server.url(path) for path in paths], ordered=True, **how)
    for result in results:
        assert result.elapsed >= 0
        told = (result.kind, result.problem, result.attempts, result.size, result.ok)
        response = result.response
        facts = None if response is None else response_facts(response, base)
        found.append((str(told).replace(base, ""), facts))
    stats = results.stats().total
    assert stats.leaks == stats.active == 0, stats
    return found


@pytest.mark.parametrize("what", list(ODD))
def test_a_fetch_has_the_same_responses(
    ways: Counter[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """To the last attribute, for each kind of odd response, once and always."""
    monkeypatch.setattr("pooledhttp.bulk.retrying._FIRST_SECONDS", 0.0)
    paths = [*PLAIN, f"{what}/1", *(path + "b" for path in PLAIN), f"{what}/", "/last"]
    found, asked = [], []
    for way in ("short", "general"):
        server = Odd()
        with ScriptedServer(server) as scripted:
            found.append(fetch_outcomes(scripted, paths))
        asked.append(server.counts)
        if way == "short":
            assert ways["short"] >= 2, ways
            monkeypatch.setattr(OwnSession, "fetch_response", lambda *args: None)
    for short, general in zip(*found, strict=True):
        assert short == general
    assert asked[0] == asked[1]


def test_jobs_with_a_key_come_this_way_and_others_do_not(
    server: ScriptedServer, ways: Counter[str]
) -> None:
    """Only the request counts: what else a job says is the caller's."""
    items: dict[str, dict[str, Any]] = {
        "key": {"key": 1},
        "accept": {"accept": {404}},
        "headers": {"headers": {"X-A": "1"}},
        "params": {"params": {"a": "1"}},
        "post": {"method": "POST"},
        "head": {"method": "HEAD"},
        "data": {"data": b"x"},
    }
    for name, more in items.items():
        ways.clear()
        jobs = [bulk.Job(server.url(f"/{name}{number}"), **more) for number in range(4)]
        results = list(bulk.fetch(jobs, jobs=1, ordered=True))
        assert [result.job for result in results] == jobs
        assert all(result.ok for result in results), name
        assert (ways["short"] >= 2) is (name in ("key", "accept")), name
        last = server.requests[-1]
        assert last.target.startswith(f"/{name}3")
        assert last.method == str(more.get("method", "GET"))


def test_workers_of_several_hosts_keep_a_connection_each_time(ways: Counter[str]) -> None:
    """And none is left in use when the workers have nothing to do."""
    with ScriptedServer(Odd()) as one, ScriptedServer(Odd()) as other:
        urls = [server.url(f"/file{n}") for n in range(100) for server in (one, other)]
        results = bulk.fetch(urls, jobs=6, per_host=3)
        assert sum(result.ok for result in results) == 200
        assert ways["short"] >= 180, ways
        stats = results.stats().total
        assert stats.leaks == stats.active == 0, stats
        assert len(one.connections) <= 3 and len(other.connections) <= 3


def test_the_elapsed_time_of_an_odd_response_begins_with_its_request(ways: Counter[str]) -> None:
    """Not with the moment at which the general way goes on with it."""
    released = threading.Event()

    def serve(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            if seen.target == "/late":
                released.wait(10)
                peer.send(respond(b"none", status=404))
            else:
                peer.send(small(seen.target))

    def release() -> None:
        server.wait_requests(len(PLAIN) + 1)
        time.sleep(0.2)  # what is measured
        released.set()

    with ScriptedServer(serve) as server:
        urls = [server.url(path) for path in [*PLAIN, "/late"]]
        releasing = threading.Thread(target=release)
        releasing.start()
        *_, late = bulk.fetch(urls, jobs=1, ordered=True)
        releasing.join()
    assert ways["begun"] and late.response is not None and late.response.status_code == 404
    assert late.response.elapsed.total_seconds() >= 0.2
    assert late.elapsed >= 0.2


def test_most_of_a_list_of_small_files_comes_this_way(
    server: ScriptedServer, ways: Counter[str], tmp_path: Path
) -> None:
    """All but the first of each connection, and no more are under way than there are places."""
    paths = [f"/file{number}" for number in range(200)]
    outcomes = run(server, tmp_path / "out", paths, jobs=8, per_host=3)
    assert [each[-1] for each in outcomes] == [f"body of {path}".encode() for path in paths] * 2
    assert ways["short"] >= 190, ways
    assert len(server.connections) <= 3


@pytest.mark.parametrize(
    "options",
    [
        {"content_disposition": True},
        {"mtime": True},
        {"digest": "sha256"},
        {"max_size": 1000},
        {"limit_rate": 1e6},
    ],
)
def test_options_that_have_a_say_in_bodies(
    server: ScriptedServer, ways: Counter[str], tmp_path: Path, options: dict[str, Any]
) -> None:
    """There each body is looked at as it comes."""
    assert all(each[-1] for each in run(server, tmp_path / "out", PLAIN, **options))
    assert not ways


def patched_body(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Response.iter_content
    monkeypatch.setattr(Response, "iter_content", lambda *args, **how: real(*args, **how))


def patched_send(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pooledhttp.Session.send
    monkeypatch.setattr(pooledhttp.Session, "send", lambda *args, **how: real(*args, **how))


def debug_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http.client.HTTPConnection.debuglevel", 1)


@pytest.mark.parametrize("command", ["download", "fetch"])
@pytest.mark.parametrize("change", [patched_body, patched_send, debug_output])
def test_what_a_program_changes_meanwhile_is_used(
    server: ScriptedServer,
    ways: Counter[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    command: str,
) -> None:
    """From the next request on no body comes the shortest way."""
    urls = iter([server.url(f"/file{number}") for number in range(60)])
    results: Any = (
        bulk.fetch(urls, jobs=1)
        if command == "fetch"
        else bulk.download(urls, tmp_path / "out", jobs=1)
    )
    for number, result in enumerate(results):
        assert result.ok
        if number == 5:
            assert ways["short"]
            change(monkeypatch)
            # A worker may be at its next items already.
            ways.clear()
    assert ways["short"] < 40 < sum(ways.values()) + ways["short"]


def test_a_body_that_cannot_be_stored_is_fetched_again(
    server: ScriptedServer, ways: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as an attempt, as every failure on the disk does."""
    monkeypatch.setattr("pooledhttp.bulk.retrying._FIRST_SECONDS", 0.0)
    failing: list[int] = []
    real = RunFolder.write

    def write(self: RunFolder, part: Part, pieces: list[Any]) -> None:
        if ways["short"] >= 3 and not failing:
            failing.append(part.row)
            raise OSError(EMFILE, "no descriptors")
        real(self, part, pieces)

    monkeypatch.setattr(RunFolder, "write", write)
    urls = [server.url(f"/file{number}") for number in range(20)]
    results = list(bulk.download(urls, tmp_path / "out", jobs=1, ordered=True))
    assert all(result.ok for result in results) and len(failing) == 1
    assert Counter(result.attempts for result in results) == {1: 19, 2: 1}
    assert len(server.requests) == 21


@pytest.mark.parametrize("what", ["/silent/", "/silent-head/", "/silent-body/"])
def test_a_run_that_is_stopped_meanwhile(
    server: ScriptedServer, ways: Counter[str], tmp_path: Path, what: str
) -> None:
    """Its connections are closed, and nothing is counted as a leak."""
    urls = [server.url(path) for path in [*PLAIN, what]]
    results = bulk.download(urls, tmp_path / "out", jobs=1, ordered=True)
    assert [next(results).ok for _ in PLAIN] == [True] * 4
    server.wait_requests(5)
    results.close()
    assert ways["short"] >= 2
    assert results.stats().total.leaks == 0
    server.wait_all_closed()


def test_a_retry_policy_of_the_session_counts(server: ScriptedServer, tmp_path: Path) -> None:
    """With one, each request goes by the session."""
    with pooledhttp.Session(retries=Retry(2, backoff_factor=0)) as session:
        results = bulk.download(
            [server.url(path) for path in [*PLAIN, "/nothing/2", "/last"]],
            *(tmp_path / "out", session),
            jobs=1,
            retries=0,
        )
        assert all(result.ok for result in results)
