"""`pooledhttp status`: counts that add up, and the manifest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pooledhttp import bulk
from pooledhttp.cli.main import main
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond


def answer(seen: SeenRequest) -> bytes:
    return respond(b"no", status=404) if "missing" in seen.target else respond(b"12345")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ScriptedServer(answering(answer)) as server:
        paths = ["/a", "/b", "/missing-1", "/missing-2"]
        list(bulk.download([*map(server.url, paths), "nonsense"], tmp_path / "out"))
    return tmp_path / "out"


def status(*arguments: object) -> int:
    return main(["status", *map(str, arguments)])


def test_it_tells_what_is_there_and_what_to_do(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people."""
    assert status(out) == 0
    said = capsys.readouterr().out
    assert "5 URLs" in said and "2 there, 10 bytes" in said and "3 failed" in said
    assert "2 HTTP 404" in said and "1 MissingSchema" in said
    assert "2 of 4 127.0.0.1:" in said
    assert said.splitlines()[-1] == "Run the same command again to try what failed once more."


def test_the_numbers_add_up(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: states, kinds of failure and hosts each sum to the whole."""
    assert status(out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["jobs"] == sum(told["states"].values()) == 5
    assert sum(told["failures"].values()) == told["states"]["failed"] == 3
    assert sum(sum(states.values()) for states in told["hosts"].values()) == 5
    assert told["bytes"] == 10


def test_what_stands_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slow and bad hosts, empty files, and pages of HTML that stand for a file."""

    def strange(seen: SeenRequest) -> bytes:
        if "missing" in seen.target:
            return respond(b"no", status=404)
        page = b"\n<!DOCTYPE html><p>Log in"
        return respond(page if ".pdf" in seen.target or ".html" in seen.target else b"")

    out = tmp_path / "out"
    with ScriptedServer(answering(strange)) as one, ScriptedServer(answering(answer)) as two:
        urls = [one.url(path) for path in ("/a.pdf", "/b.html", "/c", "/missing")]
        list(bulk.download([*urls, two.url("/d.pdf")], out, retries=0))
    assert status(out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["suspicious"]["count"] == 2
    assert {(file["name"], file["reason"]) for file in told["suspicious"]["first"]} == {
        ("a.pdf", "a page of HTML under .pdf"),
        ("c", "empty"),
    }
    assert told["worst"] == [{"host": f"127.0.0.1:{one.port}", "failed": 1, "jobs": 4}]
    assert {slow["host"] for slow in told["slowest"]} == {
        f"127.0.0.1:{one.port}",
        f"127.0.0.1:{two.port}",
    }
    assert status(out) == 0
    said = capsys.readouterr().out
    assert "2 files look wrong" in said and "a.pdf: a page of HTML under .pdf" in said
    assert f"1 of 4 127.0.0.1:{one.port}" in said and "slowest hosts" in said


@pytest.mark.parametrize("kind", ["jsonl", "csv", "-"])
def test_the_manifest_has_a_record_for_each_url(
    out: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came from where."""
    path = tmp_path / f"manifest.{kind}"
    assert status(out, "--manifest", kind if kind == "-" else path) == 0
    text = capsys.readouterr().out if kind == "-" else path.read_text()
    if kind == "csv":
        records = list(csv.DictReader(text.splitlines()))
    else:
        records = [json.loads(line) for line in text.splitlines()]
    assert [record["name"] or None for record in records] == [
        "a",
        "b",
        *(f"missing-{n}" for n in "12"),
        None,
    ]
    assert [record["state"] for record in records] == ["done"] * 2 + ["failed"] * 3
    assert str(records[0]["size"]) == "5" and records[0]["ended"].endswith("+00:00")


def test_the_manifest_is_not_written_through_a_link(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link in the place of the manifest is an error of files, and its target stays."""
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "manifest.csv").symlink_to(tmp_path / "kept")
    assert status(out, "--manifest", tmp_path / "manifest.csv") == 3
    assert (tmp_path / "kept").read_text() == "kept"
    assert "pooledhttp status: " in capsys.readouterr().err


def test_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When all is there, and when nothing was asked for."""
    with ScriptedServer(answering(answer)) as server:
        list(bulk.download([], tmp_path / "none"))
        list(bulk.download([server.url("/a")], tmp_path / "all"))
    assert status(tmp_path / "none") == 0 and status(tmp_path / "all") == 0
    said = capsys.readouterr().out
    assert "Nothing was asked for yet." in said and "All is there." in said


def test_no_directory_and_a_broken_one(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong use is 2, a journal that cannot be read is 3."""
    assert status(tmp_path) == 2
    (out / ".pooledhttp" / "journal.sqlite3").write_bytes(b"x" * 5000)
    assert status(out) == 3
    assert status(out, "--manifest", tmp_path / "no" / "x.csv") == 3
    assert capsys.readouterr().err.count("pooledhttp status: ") == 3
    with pytest.raises(SystemExit):
        status(out, "--manifest", "x.txt")
