"""Downloads over real sockets into a directory that remembers."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import ESTALE
from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from pooledhttp import bulk
from pooledhttp.buffers import BufferPool, Piece
from pooledhttp.bulk import DownloadResult, Job, State
from pooledhttp.bulk.own_session import OwnSession
from pooledhttp.bulk.retrying import Again
from pooledhttp.runtime import default_runtime
from tests.support.engines import engine
from tests.support.patience import wait_until
from tests.support.scripted import (
    Peer,
    ScriptedServer,
    SeenRequest,
    answering,
    chunked,
    respond,
)

OLD = "Tue, 01 Jan 2019 00:00:00 GMT"


__all__ = ["engine"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """Try again at once."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)


def get(urls: Any, out: Path, **settings: Any) -> list[DownloadResult]:
    return list(bulk.download(urls, out, ordered=True, **settings))


def one(job: Any, out: Path, **settings: Any) -> DownloadResult:
    (result,) = get([job], out, **settings)
    return result


def files(out: Path) -> dict[str, bytes]:
    """Every file that is not ours, by its name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".pooledhttp" not in path.parts
    }


def parts(out: Path) -> list[Path]:
    return list(out.glob(".pooledhttp/parts/*"))


def echo(seen: SeenRequest) -> bytes:
    return respond(seen.target.encode())


Answer = Callable[[SeenRequest], bytes]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# ------------------------------------------------------------------ the second run


def test_the_second_run_asks_for_what_is_missing_only(out: Path) -> None:
    """Done is done; failed, removed and emptied files are fetched, each under its own name."""
    bad = {"/3", "/4"}

    def answer(seen: SeenRequest) -> bytes:
        return respond(b"no", status=404) if seen.target in bad else echo(seen)

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(f"/{number}") for number in range(8)]
        first = get(urls, out)
        assert [result.ok for result in first] == [n not in (3, 4) for n in range(8)]
        (out / "6").unlink()
        (out / "7").write_bytes(b"")
        bad.clear()
        del server.requests[:]
        second = get(urls, out)
        assert all(result.ok for result in second)
        assert sorted(seen.target for seen in server.requests) == ["/3", "/4", "/6", "/7"]
        assert [result.is_new for result in second] == [n in (3, 4, 6, 7) for n in range(8)]
    assert files(out) == {str(n): f"/{n}".encode() for n in range(8)}
    assert parts(out) == []


def test_names_stay_whatever_the_list_becomes(out: Path) -> None:
    """The first URL has the plain name forever, the other ones have their marks."""
    with ScriptedServer(answering(echo)) as server:
        a, b, c = (server.url(f"/{folder}/x.txt") for folder in "abc")
        names = {result.url: result.name for result in get([a, b], out)}
        assert names[a] == "x.txt" and names[b] != "x.txt"
        later = {result.url: result.name for result in get([c, b, a], out)}
    assert {url: later[url] for url in (a, b)} == names
    assert sorted(files(out).values()) == [b"/a/x.txt", b"/b/x.txt", b"/c/x.txt"]


def test_a_job_is_done_once(out: Path) -> None:
    """A URL that is in the list twice, with another fragment too."""
    with ScriptedServer(answering(echo)) as server:
        url = server.url("/x")
        download = bulk.download([url, url + "#part", f" {url} ", url], out)
        assert len(list(download)) == 1 and download.duplicates == 3
        assert len(server.requests) == 1


def test_jobs_are_known_by_key_method_and_body(out: Path) -> None:
    """The same key is the same file although the URL is new; other bodies are other jobs."""
    with ScriptedServer(answering(echo)) as server:
        url = server.url("/x")
        jobs = [
            Job(url),
            Job(url, method="POST", data={"a": 1}),
            Job(url, method="POST", data={"a": 2}),
            Job(url, method="POST", json={"a": 2}),
            Job(url, params={"q": 1}),
            Job(url, key="mine"),
        ]
        assert all(result.is_new for result in get(jobs, out))
        again = get([*jobs[:5], Job(server.url("/y?signed=again"), key="mine")], out)
        assert not any(result.is_new for result in again)
        assert again[-1].key == "mine"
    assert len(files(out)) == 6


@pytest.mark.parametrize(
    "job", [Job("http://a/", key=1.5), Job("http://a/", data=iter([b"x"])), None, 7]
)
def test_jobs_that_cannot_be_known_again_fail(out: Path, job: Any) -> None:
    """In their place, and the others are fetched."""
    with ScriptedServer(answering(echo)) as server:
        first, second = get([job, server.url("/x")], out)
    assert isinstance(first.error, TypeError) and not first.ok
    assert second.ok


@pytest.mark.parametrize(
    "names", [lambda job: job.key["x"], lambda job: job.nope, lambda job: 1 / 0, lambda: "x"]
)
def test_a_function_that_fails_to_name_a_job(out: Path, names: Any) -> None:
    """The job fails, and the run goes on: jobs that have a name of their own are fetched."""
    with ScriptedServer(answering(echo)) as server:
        jobs = [Job(server.url("/a"), key="k"), Job(server.url("/b"), name="b")]
        first, second = get(jobs, out, names=names)
    assert isinstance(first.error, Exception) and not first.ok
    assert second.ok


def test_bad_lines_are_their_own_failures(out: Path) -> None:
    """With a reason, and without a name."""
    results = get(["nonsense", "http://[x/", "gopher://h/x", "mailto:me@x"], out, retries=0)
    assert [result.ok for result in results] == [False] * 4
    assert [result.kind for result in results] == [
        *("MissingSchema", "InvalidURL", "InvalidSchema", "InvalidSchema")
    ]
    assert files(out) == {}


# ------------------------------------------------------------------ files that are not ours


def test_a_foreign_file_is_never_replaced(out: Path) -> None:
    """Files, directories and links stay where they are; the URL gets its mark."""
    out.mkdir()
    (out / "a").write_bytes(b"mine")
    (out / "b").mkdir()
    (out / "c").symlink_to("/etc/passwd")
    (out / "d").symlink_to("nowhere")
    with ScriptedServer(answering(echo)) as server:
        results = get([server.url(f"/{name}") for name in "abcd"], out)
    assert all(result.ok and "-" in str(result.name) for result in results)
    assert (out / "a").read_bytes() == b"mine"
    assert os.readlink(out / "c") == "/etc/passwd" and os.readlink(out / "d") == "nowhere"


def test_overwrite_takes_the_plain_name(out: Path) -> None:
    """Of a file; not of a directory or a link."""
    out.mkdir()
    (out / "a").write_bytes(b"mine")
    (out / "b").symlink_to("/etc/passwd")
    with ScriptedServer(answering(echo)) as server:
        first, second = get([server.url("/a"), server.url("/b")], out, overwrite=True)
    assert first.name == "a" and (out / "a").read_bytes() == b"/a"
    assert second.name != "b" and (out / "b").is_symlink()


def test_a_file_that_was_changed_is_left_alone(out: Path) -> None:
    """It is a failure that says what to do, and costs no request."""
    with ScriptedServer(answering(echo)) as server:
        url = server.url("/x")
        one(url, out)
        (out / "x").write_bytes(b"edited by hand")
        result = one(url, out)
        assert not result.ok and "--overwrite" in str(result.problem)
        assert (out / "x").read_bytes() == b"edited by hand"
        assert len(server.requests) == 1
        assert one(url, out, overwrite=True).ok
    assert files(out) == {"x": b"/x"}


def test_a_file_that_comes_while_its_name_is_fetched_stays(out: Path) -> None:
    """The body is kept, and the next run only renames it when the name is free."""

    def answer(seen: SeenRequest) -> bytes:
        (out / "x").write_bytes(b"was quicker")
        return echo(seen)

    with ScriptedServer(answering(answer)) as server:
        url = server.url("/x")
        result = one(url, out)
        assert result.kind == "ForeignFile" and files(out) == {"x": b"was quicker"}
        assert not one(url, out).ok
        (out / "x").unlink()
        assert one(url, out).ok
        assert len(server.requests) == 1
    assert files(out) == {"x": b"/x"} and parts(out) == []


def test_nothing_goes_through_a_link(out: Path, tmp_path: Path) -> None:
    """Not through a directory of a name, nor through a directory of ours."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    with ScriptedServer(answering(echo)) as server:
        host = server.url("/").split("/")[2].replace(":", "_")
        (out / host).symlink_to(elsewhere)
        result = one(server.url("/a/b"), out, names="tree")
        assert result.ok and not str(result.name).startswith(f"{host}/")
    assert list(elsewhere.iterdir()) == []
    other = tmp_path / "other"
    other.mkdir()
    (other / ".pooledhttp").symlink_to(elsewhere)
    with pytest.raises(OSError):
        bulk.download([], other)
    assert list(elsewhere.iterdir()) == []


def test_a_tree_has_room_for_a_file_and_a_directory_of_one_name(out: Path) -> None:
    """Whichever comes first."""
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(path) for path in ("/a", "/a/b", "/c/d", "/c", "/A/e")]
        results = get(urls, out, names="tree")
        assert all(result.ok for result in results)
        names = [result.name for result in results]
        assert [result.name for result in get(urls[::-1], out, names="tree")] == names[::-1]
    assert sorted(files(out).values()) == [b"/A/e", b"/a", b"/a/b", b"/c", b"/c/d"]


def test_adopt_takes_over_what_is_there(out: Path) -> None:
    """But not what aria2 has not finished, nor what has another size than the job says."""
    out.mkdir()
    for name in "abc":
        (out / name).write_bytes(name.encode() * 5)
    (out / "b.aria2").write_bytes(b"")
    with ScriptedServer(answering(echo)) as server:
        jobs = [
            server.url("/a"),
            server.url("/b"),
            Job(server.url("/c"), size=2),
            server.url("/d"),
        ]
        results = get(jobs, out, adopt=True)
        assert sorted(seen.target for seen in server.requests) == ["/b", "/c", "/d"]
        assert results[0].ok and not results[0].is_new and results[0].size == 5
        # Its name is taken by what is not whole, and that is not ours to replace.
        assert [result.kind for result in results[1:3]] == ["ForeignFile"] * 2
        assert results[3].ok
    assert files(out)["b"] == b"bbbbb"


# ------------------------------------------------------------------ what counts as fetched


@pytest.mark.parametrize("status", [201, 204, 206, 300, 302, 304, 404])
def test_other_statuses_are_failures_with_a_reason(out: Path, status: int) -> None:
    """And no file; unless the job says that it counts."""
    with ScriptedServer(answering(respond(b"", status=status))) as server:
        result = one(server.url("/x"), out)
        assert (result.ok, result.status) == (False, status)
        assert str(result.problem).startswith(f"HTTP {status}") and result.kind == f"HTTP {status}"
        assert files(out) == {}
        if status not in (204, 302, 304):
            assert one(Job(server.url("/x"), accept=[status]), out).ok


def test_a_job_may_ask_for_a_range_or_conditionally_itself(out: Path) -> None:
    """Its own header fields are sent, and what they lead to counts."""

    def answer(seen: SeenRequest) -> bytes:
        if seen.header("range"):
            return respond(b"ange", [("Content-Range", "bytes 1-4/9")], status=206)
        return respond(status=304)

    with ScriptedServer(answering(answer)) as server:
        ranged = one(Job(server.url("/r"), headers={"Range": "bytes=1-4"}), out)
        assert ranged.ok and files(out) == {"r": b"ange"}
        kept = one(Job(server.url("/c"), headers={"If-None-Match": '"x"'}), out)
        assert kept.state is State.UNCHANGED and files(out) == {"r": b"ange"}


def test_a_wrong_body_is_put_aside_with_its_reason(out: Path) -> None:
    """By size or checksum; the next run asks again."""
    right = hashlib.sha256(b"/x").hexdigest()
    with ScriptedServer(answering(echo)) as server:
        url = server.url("/x")
        for job, reason in (
            (Job(url, size=3), "wrong size: 2 bytes, not 3"),
            (Job(url, sha256="0" * 64), "wrong checksum"),
            (Job(url, md5="0" * 32), "wrong checksum"),
            (Job(url, sha256=right, md5="0" * 32), "wrong checksum: md5"),
        ):
            result = one(job, out)
            assert result.kind == "Rejected" and reason in str(result.problem)
            assert files(out) == {} and parts(out) == []
            (kept,) = out.glob(".pooledhttp/rejected/*-x")
            assert kept.read_bytes() == b"/x"
            assert reason in kept.with_name(kept.name + ".reason").read_text()
        good = Job(url, size=2, sha256=right.upper(), md5=hashlib.md5(b"/x").hexdigest())
        result = one(good, out)
        assert result.ok and result.digest == f"sha256:{right}"


def test_a_digest_is_recorded_when_asked_for(out: Path) -> None:
    """Of the file as it is stored."""
    with ScriptedServer(answering(echo)) as server:
        result = one(server.url("/x"), out, digest="sha1")
    assert result.digest == f"sha1:{hashlib.sha1(b'/x').hexdigest()}"
    with bulk.Run(out) as run:
        assert [job.digest for job in run] == [result.digest]


@pytest.mark.parametrize(
    ("name", "decode", "stored"),
    [
        ("page.html", "auto", "plain"),
        ("pkg.tar.gz", "auto", "coded"),
        ("page.html", "never", "coded"),
        ("pkg.tar.gz", "always", "plain"),
    ],
)
def test_a_coding_that_comes_uninvited(out: Path, name: str, decode: str, stored: str) -> None:
    """Identity is asked for; what comes all the same is undone unless it is the file."""
    plain = b"text " * 500
    coded = gzip.compress(plain)
    body = respond(coded, [("Content-Encoding", "gzip"), ("ETag", '"a"')])
    with ScriptedServer(answering(body)) as server:
        assert one(server.url(f"/{name}"), out, decode=decode).ok
        assert server.requests[0].header("accept-encoding") == "identity"
    assert files(out) == {name: plain if stored == "plain" else coded}


def _coded(body: bytes, *, is_sized: bool) -> bytes:
    return respond(body, [("Content-Encoding", "gzip")], length=-1 if is_sized else None)


@pytest.mark.parametrize("is_sized", [True, False])
def test_a_body_that_is_not_what_its_coding_says_is_final(out: Path, is_sized: bool) -> None:
    """It is the same the next time: one request, and a failure that names the decoding."""

    def handle(peer: Peer) -> None:
        while True:
            peer.read_request()
            peer.send(_coded(b"no gzip at all", is_sized=is_sized))
            if not is_sized:
                peer.close()

    with ScriptedServer(handle) as server:
        result = one(server.url("/page.html"), out)
        assert len(server.requests) == 1
    assert (result.kind, result.attempts) == ("ContentDecodingError", 1)
    assert isinstance(result.error, pooledhttp.exceptions.ContentDecodingError)
    assert result.problem is not None and result.problem.startswith("ContentDecodingError: ")
    assert not parts(out)


@pytest.mark.parametrize("is_sized", [True, False])
def test_a_body_that_ends_within_its_coding_is_tried_again(out: Path, is_sized: bool) -> None:
    """It broke off, and where its length is not known nothing else tells so."""
    whole = gzip.compress(os.urandom(5000))

    def handle(peer: Peer) -> None:
        while True:
            peer.read_request()
            is_first = len(server.requests) == 1
            peer.send(_coded(whole[:3000] if is_first else whole, is_sized=is_sized))
            if not is_sized:
                peer.close()

    with ScriptedServer(handle) as server:
        result = one(server.url("/page.html"), out)
        assert (result.ok, result.attempts, len(server.requests)) == (True, 2, 2)
    assert files(out) == {"page.html": gzip.decompress(whole)}


# ------------------------------------------------------------------ bodies that break off


class Breaking:
    """A server that cuts the first body in half, and knows ranges.

    Args:
        headers: The validators that it sends.
        then: What it does to the request after the cut: "range", "whole", "new" or "416".
    """

    def __init__(self, headers: list[tuple[str, str]], then: str = "range") -> None:
        self.headers = headers
        self.then = then
        self.body = bytes(range(256)) * 1000
        self.cuts = 1

    def __call__(self, peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            if self.cuts:
                self.cuts -= 1
                half = self.body[: len(self.body) // 2]
                peer.send(respond(half, self.headers, length=len(self.body)))
                peer.close()
                return
            peer.send(self.answer(seen))

    def answer(self, seen: SeenRequest) -> bytes:
        asked = seen.header("range")
        if not asked or self.then == "whole":
            return respond(self.body, self.headers)
        if self.then == "416":
            self.then = "whole"
            return respond(status=416)
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        headers, body = self.headers, self.body
        if self.then == "new":  # a server that ignores If-Range
            self.body = self.body[::-1]
            body, headers = self.body, [("ETag", '"new"')]
            self.headers = headers
        span = ("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        return respond(body[begin:], [span, *headers], status=206)


STRONG = [("ETag", '"v1"')]
DATED = [("Last-Modified", OLD), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")]


@pytest.mark.parametrize(
    ("headers", "then", "requests"),
    [
        (STRONG, "range", 2),
        (DATED, "range", 2),
        (STRONG, "whole", 2),
        (STRONG, "416", 3),
        (STRONG, "new", 3),
        ([("ETag", 'W/"v1"')], "range", 2),
        ([], "range", 2),
    ],
)
@pytest.mark.parametrize("retries", [0, 4], ids=["next run", "same run"])
def test_a_broken_body_goes_on(
    out: Path, headers: list[tuple[str, str]], then: str, requests: int, retries: int
) -> None:
    """Where it broke if that is safe, from its beginning if not; by a retry, or by the next run."""
    handler = Breaking(headers, then)
    with ScriptedServer(handler) as server:
        url = server.url("/x")
        if not retries:
            broken = one(url, out, retries=0)
            assert not broken.ok and files(out) == {}
            assert bool(parts(out)) == (headers in (STRONG, DATED))
        result = one(url, out, retries=retries)
        assert result.ok, result
        assert files(out) == {"x": handler.body}
        asked = [seen.header("range") for seen in server.requests]
        half = f"bytes={len(handler.body) // 2}-"
        assert asked[1] == (half if headers in (STRONG, DATED) else None)
        assert len(asked) == requests
        if asked[1]:
            assert server.requests[1].header("if-range") == headers[0][1]
    assert parts(out) == []


class Slicing(Breaking):
    """Gives at most so many bytes of what is asked for, as RFC 9110, section 15.3.7 lets it.

    Args:
        is_chunked: Whether the length of the whole body is not said before the first slice.
        coding: The Content-Encoding of the slices.
    """

    def __init__(self, is_chunked: bool, coding: str | None = None) -> None:
        super().__init__(STRONG)
        self.is_chunked = is_chunked
        self.coding = coding

    def __call__(self, peer: Peer) -> None:
        if not self.cuts:
            answering(self.answer)(peer)
        self.cuts = 0
        peer.read_request()
        half = self.body[: len(self.body) // 2]
        if self.is_chunked:
            peer.send(chunked([half], self.headers, end=False))
        else:
            peer.send(respond(half, self.headers, length=len(self.body)))
        peer.close()

    def answer(self, seen: SeenRequest) -> bytes:
        asked = seen.header("range")
        if not asked:
            return respond(self.body, self.headers)
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        end = min(begin + 50_000, len(self.body))
        span = ("Content-Range", f"bytes {begin}-{end - 1}/{len(self.body)}")
        piece, headers = self.body[begin:end], [span, *self.headers]
        if self.coding is None:
            return respond(piece, headers, status=206)
        headers.append(("Content-Encoding", self.coding))
        return chunked([gzip.compress(piece)], headers).replace(b"200", b"206", 1)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length known", "chunked"])
@pytest.mark.parametrize("retries", [0, 4], ids=["next runs", "same run"])
def test_a_part_may_end_before_the_body(out: Path, is_chunked: bool, retries: int) -> None:
    """What is still missing is asked for; the part alone is never taken for the body."""
    handler = Slicing(is_chunked)
    with ScriptedServer(handler) as server:
        url = server.url("/x")
        for _ in range(0 if retries else 3):
            assert not one(url, out, retries=0).ok
            assert files(out) == {}
        assert one(url, out, retries=retries).ok
        half = len(handler.body) // 2
        asked = [seen.header("range") for seen in server.requests]
        assert asked == [None, *(f"bytes={half + done}-" for done in (0, 50_000, 100_000))]
    assert files(out) == {"x": handler.body} and parts(out) == []


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length known", "chunked"])
def test_a_part_with_a_coding_is_no_part_of_an_uncoded_body(out: Path, is_chunked: bool) -> None:
    """Its bytes are those of another representation, whatever its ETag says."""
    handler = Slicing(is_chunked, "gzip")
    with ScriptedServer(handler) as server:
        assert one(server.url("/x"), out, retries=1).ok
        assert [bool(seen.header("range")) for seen in server.requests] == [False, True, False]
    assert files(out) == {"x": handler.body} and parts(out) == []


def test_a_part_that_is_longer_than_the_body_is_thrown_away(out: Path) -> None:
    """And one whose name tells nothing."""
    handler = Breaking(STRONG)
    with ScriptedServer(handler) as server:
        url = server.url("/x")
        one(url, out, retries=0)
        (part,) = parts(out)
        part.write_bytes(bytes(len(handler.body) + 5))
        (part.parent / "rubbish").write_bytes(b"")
        assert one(url, out, retries=0).ok
        assert server.requests[1].header("range") is None
    assert files(out) == {"x": handler.body} and parts(out) == []


def test_a_part_that_is_complete_is_not_asked_for(out: Path) -> None:
    """As when the run was killed between the last byte and the commit."""
    handler = Breaking(STRONG)
    with ScriptedServer(handler) as server:
        url = server.url("/x")
        one(url, out, retries=0)
        (part,) = parts(out)
        part.write_bytes(handler.body)
        assert one(Job(url, sha256=hashlib.sha256(handler.body).hexdigest()), out).ok
        assert len(server.requests) == 1
    assert files(out) == {"x": handler.body}


def test_a_directory_that_is_removed_ends_the_run(out: Path) -> None:
    """The first file that cannot be made tells it; nothing more is asked for."""

    def answer(seen: SeenRequest) -> bytes:
        shutil.rmtree(out, ignore_errors=True)
        return respond(b"body")

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(f"/{number}") for number in range(50)]
        with pytest.raises(bulk.RunStopped) as ended:
            list(bulk.download(urls, out, jobs=1))
        assert len(server.requests) < 5
    assert ended.value.errno == ESTALE and ended.value.filename == str(out)


@pytest.mark.parametrize("what", ["parts", "the directory", "the journal"])
def test_the_error_names_what_is_gone(out: Path, what: str) -> None:
    """Only a journal that is gone from its place can be begun again there."""
    own = out / ".pooledhttp"

    def answer(seen: SeenRequest) -> bytes:
        with suppress(FileNotFoundError):
            if what == "the journal":
                (own / "journal.sqlite3").unlink()
            elif what == "parts":
                shutil.rmtree(own / "parts", ignore_errors=True)
            else:
                out.rename(out.with_name("elsewhere"))
        return respond(b"body")

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(f"/{number}") for number in range(200)]
        with pytest.raises((bulk.RunStopped, bulk.JournalError)) as ended:
            list(bulk.download(urls, out, jobs=1))
    text = str(ended.value)
    if what == "parts":
        assert str(own / "parts") in text
    else:
        assert ("--rebuild" in text) is (what == "the journal") and str(out) in text
    assert not out.exists() or what != "the directory"


def test_a_head_is_an_empty_file(out: Path) -> None:
    """The length that is announced is that of another body."""
    with ScriptedServer(answering(lambda seen: respond(b"", length=1000))) as server:
        (result,) = get([bulk.Job(server.url("/a"), "HEAD")], out, max_size=10, retries=0)
    assert (result.state, result.size, result.problem) == (bulk.State.DONE, 0, None)


def test_a_digest_covers_what_an_earlier_run_received(out: Path) -> None:
    """The first half is read back."""
    handler = Breaking(STRONG)
    with ScriptedServer(handler) as server:
        job = Job(server.url("/x"), sha256=hashlib.sha256(handler.body).hexdigest())
        assert not one(job, out, retries=0).ok
        assert one(job, out, retries=0).ok
        assert server.requests[1].header("range")


def test_retries_are_counted_and_end(out: Path) -> None:
    """A number given is honoured, and bodies and statuses count together."""
    turns = iter([503, 429, 500, 502, 504, 200])
    with ScriptedServer(answering(lambda seen: respond(status=next(turns)))) as server:
        result = one(server.url("/x"), out, retries=3)
        assert (result.kind, result.attempts) == ("HTTP 502", 4)
        result = one(server.url("/x"), out, retries=3)
        assert (result.ok, result.attempts) == (True, 2)
    with bulk.Run(out) as run:
        assert [job.attempts for job in run] == [6]


def test_only_idempotent_methods_are_tried_again(out: Path) -> None:
    """A POST may have done its work already."""
    with ScriptedServer(answering(respond(status=503))) as server:
        assert one(Job(server.url("/x"), method="POST", data=b"x"), out).attempts == 1


def test_a_part_of_a_job_that_left_the_list_is_removed(out: Path) -> None:
    """At the end of a run that came to its end, and not before."""
    with ScriptedServer(Breaking(STRONG)) as server:
        one(server.url("/x"), out, retries=0)
        assert len(parts(out)) == 1
        with bulk.download(iter(["http://127.0.0.1:1/"]), out, retries=0):
            pass
        assert len(parts(out)) == 1
        get([], out)
        assert parts(out) == []


# ------------------------------------------------------------------ refresh


def test_refresh_asks_conditionally(out: Path) -> None:
    """Unchanged, changed, gone: kept, replaced, kept with a failure."""
    body, etag, status = b"one", '"1"', 200

    def answer(seen: SeenRequest) -> bytes:
        if status != 200:
            return respond(status=status)
        if seen.header("if-none-match") == etag:
            return respond(status=304, length=None)
        return respond(body, [("ETag", etag), ("Last-Modified", OLD)])

    with ScriptedServer(answering(answer)) as server:
        url = server.url("/x")
        assert one(url, out).is_new
        assert one(url, out).state is State.DONE
        same = one(url, out, refresh=True)
        assert same.state is State.UNCHANGED and same.size == 3
        seen = server.requests[-1]
        assert (seen.header("if-none-match"), seen.header("if-modified-since")) == ('"1"', OLD)
        body, etag = b"number two", '"2"'
        assert one(url, out, refresh=True).is_new
        assert files(out) == {"x": b"number two"}
        status = 404
        gone = one(url, out, refresh=True, failures=out / "failures.txt")
        assert not gone.ok and (out / "x").read_bytes() == b"number two"
        assert (out / "failures.txt").read_text() == f"{url}\tHTTP 404 OK\n"
        assert one(url, out).state is State.DONE  # the file is there all the same
    assert parts(out) == []


# ------------------------------------------------------------------ the iterator


def test_results_are_lazy_and_the_directory_is_free_afterwards(out: Path) -> None:
    """Nothing is read before the first result; a second run meanwhile is refused."""
    read: list[int] = []

    def source(server: ScriptedServer) -> Iterator[str]:
        number = 0
        while True:
            read.append(number)
            yield server.url(f"/{number}")
            number += 1

    with ScriptedServer(answering(echo)) as server:
        download = bulk.download(source(server), out)
        assert read == []
        next(download)
        with pytest.raises(bulk.DirectoryInUse):
            bulk.download([], out)
        download.close()
        download.close()
        assert list(download) == []
        assert repr(download).startswith("<Download closed")
        get([], out)


def test_an_error_of_the_input_comes_after_the_results(out: Path) -> None:
    """What was read before it is there."""

    def source(server: ScriptedServer) -> Iterator[str]:
        yield server.url("/a")
        raise LookupError("input")

    with ScriptedServer(answering(echo)) as server:
        download = bulk.download(source(server), out)
        assert next(download).ok
        with pytest.raises(LookupError, match="input"):
            next(download)
    assert files(out) == {"a": b"/a"}


def test_an_interrupt_loses_nothing_that_was_read(out: Path) -> None:
    """What was read and is not in the journal yet is on the list."""

    def source() -> Iterator[str]:
        yield "http://127.0.0.1:1/a"
        yield "http://127.0.0.1:1/b"
        raise KeyboardInterrupt

    download = bulk.download(source(), out, failures=out / "failures.txt")
    with pytest.raises(KeyboardInterrupt):
        next(download)
    assert [line.split("\t")[0] for line in (out / "failures.txt").read_text().splitlines()] == [
        "http://127.0.0.1:1/a",
        "http://127.0.0.1:1/b",
    ]
    assert download.failures_path == out / "failures.txt" and download.not_done == 2


@pytest.mark.parametrize(
    ("more", "is_comment"),
    [
        ({}, False),
        ({"name": "b.bin"}, False),
        ({"sha256": "0" * 64}, True),
        ({"md5": "0" * 32}, True),
        ({"size": 3}, True),
        ({"headers": {"X-Case": "1"}}, True),
        ({"accept": [204]}, True),
        ({"key": 7}, True),
    ],
)
def test_a_job_that_says_more_than_its_url_is_listed_as_a_comment(
    more: dict[str, Any], is_comment: bool, out: Path
) -> None:
    """By its URL alone, the next run would accept a body that this one rejected."""
    job = bulk.Job("http://127.0.0.1:1/a", **more)
    failures = out / "failures.txt"
    list(bulk.download([job], out, failures=failures, retries=0))
    assert failures.read_text().startswith("# http" if is_comment else "http")


def test_a_line_that_is_refused_is_listed_so_that_it_is_not_fetched(
    out: Path, tmp_path: Path
) -> None:
    """Its URL may be sound, and its size is not: a list of URLs would fetch it all the same."""
    lines = [
        '{"url": "http://127.0.0.1:1/a", "size": -1}',
        '{"url": "http://127.0.0.1:1/b", "name": ""}',
        '{"url": "http://127.0.0.1:1/c\\udcff\\ud800\\nd"}',
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    failures = out / "failures.txt"
    results = list(bulk.download(bulk.UrlList(tmp_path / "list.jsonl"), out, failures=failures))
    assert [result.ok for result in results] == [False, False, False]
    listed = [line.partition("\t")[0] for line in failures.read_text().splitlines()]
    assert listed == [
        "# http://127.0.0.1:1/a",
        "# http://127.0.0.1:1/b",
        "http://127.0.0.1:1/c%FF%ED%A0%80%0Ad",
    ]


def test_a_list_that_is_stopped_is_listed_to_its_end(out: Path, tmp_path: Path) -> None:
    """What is there, from this run or an earlier one, is not."""
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(500)]
        get(urls[300:310], out)
        (tmp_path / "urls").write_text("\n".join(urls))
        source = bulk.UrlList(tmp_path / "urls")
        download = bulk.download(source, out, failures=out / "failures.txt", jobs=1, ordered=True)
        done = {next(download).url for _ in range(5)} | set(urls[300:310])
        download.stop()
        assert list(download) == []
        source.close()
    listed = [line.split("\t")[0] for line in (out / "failures.txt").read_text().splitlines()]
    there = {url for url in urls if (out / url.rsplit("/", 1)[1]).exists()}
    assert done <= there
    assert set(listed) | there == set(urls) and not set(listed) & there
    assert len(listed) == len(set(listed))


def test_what_was_ready_when_the_run_was_stopped_can_be_taken(out: Path) -> None:
    """The files are there, so a summary has to count them; each is given once."""
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(3)]
        download = bulk.download(urls, out)
        first = next(download)
        wait_until(lambda: len(files(out)) == 3)
        assert download.not_taken() == []
        download.stop()
        rest = [*download, *download.not_taken()]
        download.close()
        rest += download.not_taken()
        assert {result.url for result in (first, *rest)} == set(urls)
        assert len(rest) == 2 and all(result.ok for result in rest)


def test_an_open_file_is_read_as_a_list(out: Path, tmp_path: Path) -> None:
    """Comments, blank lines and reasons do not count; in bytes or text, by either function."""
    with ScriptedServer(answering(echo)) as server:
        listed = tmp_path / "urls"
        listed.write_bytes(f"# mine\n\n{server.url('/a')}\twhy\n{server.url('/b')}\n".encode())
        with open(listed) as text, open(listed, "rb") as data:
            assert [result.ok for result in get(text, out)] == [True, True]
            assert [result.ok for result in bulk.fetch(data)] == [True, True]
    assert sorted(files(out)) == ["a", "b"]


def test_a_forked_child_does_not_end_the_run(out: Path) -> None:
    """It has a copy of everything; the run is its parent's."""
    with ScriptedServer(answering(echo)) as server:
        urls = [server.url(f"/{number}") for number in range(50)]
        download = bulk.download(urls, out, jobs=2)
        next(download)
        child = os.fork()
        if not child:  # pragma: no cover
            download.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert all(result.ok for result in download)
    assert len(files(out)) == 50


def test_settings_of_a_session_are_used(out: Path) -> None:
    """Header fields, say."""
    with ScriptedServer(answering(echo)) as server, pooledhttp.Session() as session:
        session.headers["X-Own"] = "yes"
        assert one(server.url("/x"), out, session=session).ok
        assert server.requests[0].header("x-own") == "yes"
        assert session.pool.stats().total.created == 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"decode": "maybe"}, ValueError),
        ({"digest": "crc"}, ValueError),
        ({"names": "lst"}, ValueError),
        ({"names": 3}, TypeError),
        ({"retries": -1}, ValueError),
        ({"retries": "x"}, TypeError),
        ({"jobs": 0}, ValueError),
    ],
)
def test_wrong_arguments_fail_at_once(out: Path, settings: Any, error: type[Exception]) -> None:
    """Named in the message, and nothing is made."""
    with pytest.raises(error, match=next(iter(settings))):
        bulk.download([], out, **settings)
    assert not out.exists()
    with pytest.raises(TypeError, match="list"):
        bulk.download("http://a/", out)  # type: ignore[arg-type]


def test_what_a_server_says_cannot_reach_a_terminal(out: Path) -> None:
    """Control sequences in a reason phrase are shown as escapes."""
    with ScriptedServer(
        answering(b"HTTP/1.1 404 a\x9bb\x85c\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        result = one(server.url("/x"), out)
    assert str(result.problem).isprintable() and "\\x9b" in str(result.problem)


def test_redirected_items_stand_in_line_at_the_host_they_are_led_to(out: Path) -> None:
    """No more of them at once than allowed for one host."""
    lock = threading.Lock()
    running: list[int] = []
    most: list[int] = []

    def answer(seen: SeenRequest) -> bytes:
        with lock:
            running.append(1)
            most.append(len(running))
        threading.Event().wait(0.002)
        with lock:
            running.pop()
        return echo(seen)

    with ScriptedServer(answering(answer)) as server:

        def redirect(seen: SeenRequest) -> bytes:
            return respond(status=302, headers=[("Location", server.url(seen.target))])

        with ScriptedServer(answering(redirect)) as other:
            urls = [other.url(f"/{n}") for n in range(40)]
            results = get(urls, out, per_host=3)
    assert all(result.ok for result in results) and max(most) <= 3


def test_many_hosts_behind_one_proxy_share_its_places(out: Path) -> None:
    """Requests at once, and connections that wait for the next one."""
    most: list[int] = []
    active: set[int] = set()
    lock = threading.Lock()

    def proxy(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            with lock:
                active.add(id(peer))
                most.append(len(active))
            with lock:
                active.discard(id(peer))
            peer.send(respond(seen.target.encode()))

    with ScriptedServer(proxy) as server, pooledhttp.Session() as session:
        session.proxies = {"http": server.url("")}
        urls = [f"http://h{number}.example/{number}" for number in range(40)]
        results = get(urls, out, session=session, jobs=20, per_proxy=2)
        assert [result.problem for result in results] == [None] * 40 and max(most) <= 2
    own = OwnSession(session, 3, default_runtime(), per_proxy=2)
    assert own._session.pool.config.max_idle_total == 2
    own.close()


def test_a_session_is_left_as_it_was() -> None:
    """Its policy is known, and nothing else of it is touched."""
    own = OwnSession(pooledhttp.Session(retries=2), 3, default_runtime())
    assert own.has_retry_policy
    own.close()
    own = OwnSession(None, 3, default_runtime())
    assert not own.has_retry_policy
    own.close()


@pytest.mark.parametrize("limit, most", [(None, 128 * 1024), (1e12, 64 * 1024)])
def test_a_limited_body_comes_in_small_pieces(
    out: Path, monkeypatch: pytest.MonkeyPatch, limit: float | None, most: int
) -> None:
    """The wait after a piece is in proportion to it; without limits, large ones cost less."""
    asked: list[int] = []
    arriving = pooledhttp.Response._arriving

    def watched(self: pooledhttp.Response, buffers: BufferPool) -> Iterator[Piece] | None:
        asked.append(buffers.size)
        return arriving(self, buffers)

    monkeypatch.setattr(pooledhttp.Response, "_arriving", watched)
    body = b"x" * 300_000
    with ScriptedServer(answering(lambda seen: respond(body))) as server:
        result = one(server.url("/a"), out, limit_rate=limit)
    assert result.ok and files(out) == {"a": body}
    assert asked == [most]
