"""Reading what a directory remembers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import JournalError, Run, State
from pooledhttp.bulk.run import kind_of
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A directory after a run: two files, a 404 and a line that is no URL."""

    def answer(seen: SeenRequest) -> bytes:
        if "missing" in seen.target:
            return respond(status=404, reason="Not Found")
        return respond(b"12345", [("ETag", '"e"'), ("Last-Modified", "yesterday")])

    with ScriptedServer(answering(answer)) as server:
        urls = [server.url("/a"), server.url("/b"), server.url("/missing"), "nonsense"]
        list(bulk.download(urls, tmp_path / "out", digest="md5"))
    return tmp_path / "out"


def test_everything_is_recorded(out: Path) -> None:
    """What came from where, and why the others did not."""
    with Run(out) as run:
        first, _, missing, bad = run
        assert (first.name, first.state, first.status) == ("a", State.DONE, 200)
        assert (first.etag, first.last_modified, first.size) == ('"e"', "yesterday", 5)
        assert first.digest and first.digest.startswith("md5:") and first.attempts == 1
        assert first.started is not None and first.ended is not None
        assert first.started <= first.ended and first.started.tzinfo is not None
        assert (missing.kind, missing.ok, missing.error) == (
            "HTTP 404",
            False,
            "HTTP 404 Not Found",
        )
        assert bad.name is None and bad.host == ""
        assert run.counts()[State.DONE] == 2 and run.counts()[State.FAILED] == 2
        assert run.failures() == {"HTTP 404": 1, "MissingSchema": 1}
        assert run.size() == 10
        assert {host: counted.total() for host, counted in run.hosts().items()} == {
            first.host: 3,
            "": 1,
        }
        assert run.find(first.url + "#x") == first and run.find("http://other/") is None
        assert [job.url for job in run.jobs(State.FAILED)] == [missing.url, "nonsense"]


def test_a_directory_that_cannot_be_written_is_read_from_a_copy(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk of somebody else's; nothing is left behind."""
    monkeypatch.setattr(os, "access", lambda *args, **settings: False)
    before = sorted(out.glob(".pooledhttp/*"))
    with Run(out) as run:
        assert len(list(run)) == 4
        copy = Path(run._journals[0].path)
        assert out not in copy.parents
    assert not copy.exists()
    assert sorted(out.glob(".pooledhttp/*")) == before


def test_it_can_be_read_while_a_run_goes_on(out: Path) -> None:
    """The reader does not take the lock."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        with bulk.download([server.url("/1"), server.url("/2")], out) as download:
            next(download)
            with Run(out) as run:
                assert len(list(run)) == 6


def test_no_journal_is_an_error(tmp_path: Path, out: Path) -> None:
    """Of its own kind; so are an empty and a broken one."""
    with pytest.raises(FileNotFoundError, match="no journal"):
        Run(tmp_path)
    path = out / ".pooledhttp" / "journal.sqlite3"
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="empty"):
        Run(out)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(JournalError, match="broken"):
        Run(out)
    with pytest.raises(JournalError, match="broken"):
        bulk.download([], out)


def test_a_lost_journal_is_rebuilt_from_the_list(out: Path) -> None:
    """The files that are there are taken over under the names that the list gives."""
    with Run(out) as run:
        urls = [job.url for job in run]
        names = [job.name for job in run]
    assert bulk.set_journal_aside(out) is not None
    shutil.rmtree(out / ".pooledhttp" / "parts")
    results = list(bulk.download(urls[:2], out, adopt=True, ordered=True))
    assert [(result.name, result.ok, result.is_new) for result in results] == [
        (name, True, False) for name in names[:2]
    ]
    assert bulk.set_journal_aside(out) is not None
    assert bulk.set_journal_aside(out) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("HTTP 404 Not Found", "HTTP 404"),
        ("HTTP 204: the response has no content", "HTTP 204"),
        ("ConnectionError: refused: really", "ConnectionError"),
        ("Timeout", "Timeout"),
        ("HTTP is dead", "HTTP is dead"),
    ],
)
def test_kinds_of_failure(error: str, kind: str) -> None:
    """The class of the error, or the status."""
    assert kind_of(error) == kind


def test_waiting_is_recorded_apart(tmp_path: Path) -> None:
    """Seconds that a job waited for its turn are part of its time, and told."""
    with ScriptedServer(answering(lambda seen: respond(b"x"))) as server:
        urls = [server.url(f"/{number}") for number in range(3)]
        list(bulk.download(urls, tmp_path, rate=50))
    with bulk.Run(tmp_path) as run:
        jobs = list(run)
    assert sum(job.waited for job in jobs) > 0
    for job in jobs:
        assert job.started is not None and job.ended is not None
        assert job.waited <= (job.ended - job.started).total_seconds() + 0.01
