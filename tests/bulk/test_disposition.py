"""`content_disposition`: files get the names that servers give, once and forever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import Job
from pooledhttp.bulk.names import disposition_name
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("inline", None),
        ("attachment", None),
        ('attachment; filename="report 1.pdf"', "report 1.pdf"),
        ("attachment; filename=a.pdf", "a.pdf"),
        ("attachment; filename=a.pdf; filename*=UTF-8''%e2%82%ac.pdf", "€.pdf"),
        ('attachment; filename="€.pdf"'.encode().decode("latin-1"), "€.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\a.exe"', "a.exe"),
        ('attachment; filename=".bashrc"', "_bashrc"),
        ('attachment; filename="a\x1b[31m\r\n b"', "a_[31m b"),
        ('attachment; filename=".."', None),
        ('attachment; filename=""', None),
        ('attachment; filename="a.pdf"; FILENAME="b.pdf"', "a.pdf"),
        ("attachment; filename*=UTF-8''a%2F%2e%2e%2Fb", "b"),
        ("attachment; filename*=nonsense''%ff", "ÿ"),
        ('attachment; filename="' + "é" * 300 + '.pdf"', "é" * 98 + ".pdf"),
        ('attachment; filename="' + "\\" * 99, None),
    ],
)
def test_a_name_is_read_and_made_safe(value: str | None, name: str | None) -> None:
    """One part of a path; what is no name is none."""
    assert disposition_name(value) == name


def serve(seen: SeenRequest) -> bytes:
    if seen.target.startswith("/plain"):
        return respond(b"plain")
    body = seen.target.encode()
    return respond(body, [("Content-Disposition", 'attachment; filename="report.pdf"')])


def run(out: Path, *jobs: str | Job, names: str = "last") -> list[str | None]:
    results = bulk.download(jobs, out, ordered=True, content_disposition=True, names=names)
    found = list(results)
    assert all(result.ok for result in found), [result.problem for result in found]
    assert all(result.path is not None and result.path.is_file() for result in found)
    return [result.name for result in found]


def test_files_get_the_names_that_servers_give(tmp_path: Path) -> None:
    """One name for each, a mark where it is taken, and the same names in the next run."""
    (tmp_path / "own").mkdir()
    with ScriptedServer(answering(serve)) as server:
        url = server.url
        jobs = [url("/1"), url("/2"), url("/plain"), Job(url("/4"), name="mine")]
        first, second, *others = run(tmp_path, *jobs)
        assert {first, second} > {"report.pdf"} and others == ["plain", "mine"]
        assert run(tmp_path, *reversed(jobs)) == [*reversed(others), second, first]
        assert (tmp_path / "report.pdf").read_bytes() in (b"/1", b"/2")
        assert len(server.requests) == 4


def test_foreign_files_and_directories_stay(tmp_path: Path) -> None:
    """The name is one more that a job asks for; the directory is that of its way of naming."""
    (tmp_path / "report.pdf").write_bytes(b"foreign")
    with ScriptedServer(answering(serve)) as server:
        (name,) = run(tmp_path, server.url("/1"))
        assert name is not None and name.startswith("report-")
        (other,) = run(tmp_path, server.url("/a/2"), names="{dir}/{name}")
        assert other == "a/report.pdf"
    assert (tmp_path / "report.pdf").read_bytes() == b"foreign"


def test_a_name_that_is_given_up_is_free(tmp_path: Path) -> None:
    """The last segment of the URL, which the job had before its response came."""
    with ScriptedServer(answering(serve)) as server:
        assert run(tmp_path, server.url("/x")) == ["report.pdf"]
        assert run(tmp_path, server.url("/plain?b"), server.url("/b/x")) == [
            "plain_b",
            run(tmp_path, server.url("/b/x"))[0],
        ]
        assert run(tmp_path, Job(server.url("/plain/3"), name="x")) == ["x"]


def test_names_of_servers_and_workers_do_not_go_together(tmp_path: Path) -> None:
    """Workers cannot give names, so the call fails at once."""
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="content_disposition"):
        bulk.download([], tmp_path, content_disposition=True, executor=executor)
