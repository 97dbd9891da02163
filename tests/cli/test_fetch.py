"""`pooledhttp fetch`: files, failures, and how it ends."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pooledhttp.cli.main import main
from tests.support.certificates import Authority
from tests.support.commands import ROOT
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond


def body_of(target: str) -> bytes:
    return hashlib.sha256(target.encode()).digest() * 64


def answer(seen: SeenRequest) -> bytes:
    if "missing" in seen.target:
        return respond(b"no", status=404, reason="Not Found")
    return respond(body_of(seen.target))


def files_of(directory: Path) -> list[Path]:
    """What is in a directory beside what is ours: `.pooledhttp`, and nothing else."""
    own = directory / ".pooledhttp"
    assert own.is_dir()
    return [path for path in directory.iterdir() if path != own]


def fetch(*arguments: object) -> int:
    return main(["fetch", *map(str, arguments)])


def test_a_list_becomes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file has its own bytes; comments and blank lines do not count."""
    with ScriptedServer(answering(answer)) as server:
        urls = [server.url(f"/file-{number}.bin") for number in range(200)]
        listed = tmp_path / "urls.txt"
        listed.write_text("# a list\n\n" + "\r\n".join(urls) + "\n  \n")
        assert fetch("-i", listed, "-d", tmp_path / "out", "--per-host", 3) == 0
        server.wait_all_closed()
        assert len(server.connections) <= 3
    files = {path.name: path.read_bytes() for path in files_of(tmp_path / "out")}
    assert files == {f"file-{n}.bin": body_of(f"/file-{n}.bin") for n in range(200)}
    out, err = capsys.readouterr()
    assert out.startswith("200 fetched, 0 failed, 409.6 kB in ")
    opened = len(server.connections)
    plural = "s" if opened > 1 else ""
    assert f", {opened} connection{plural} opened, {200 - opened} of 200 requests reused one" in out
    assert err == ""


def test_failures_are_listed_and_can_be_the_next_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """URL, tab, reason; a run without failures takes the list away."""
    out = tmp_path / "out"
    with ScriptedServer(answering(answer)) as server:
        bad = server.url("/missing")
        (tmp_path / "urls").write_text(f"{server.url('/a')}\nnonsense\n{bad}\n")
        assert fetch("-i", tmp_path / "urls", "-d", out, "--ordered") == 1
        lines = (out / "failures.txt").read_text().splitlines()
        assert [line.split("\t")[0] for line in lines] == ["nonsense", bad]
        assert lines[1] == f"{bad}\tHTTP 404 Not Found"
        assert lines[0].split("\t")[1].startswith("MissingSchema: ")
        said = capsys.readouterr().out
        assert "1 fetched, 2 failed" in said and "HTTP 404: 1" in said and "failures.txt" in said
    with ScriptedServer(answering(respond(b"there now"))) as again:
        text = f"{again.url('/missing')}\tHTTP 404 Not Found\n"
        (out / "failures.txt").write_text(text)
        assert fetch("-i", out / "failures.txt", "-d", out) == 0
    names = sorted(path.name for path in files_of(out))
    # The plain name belongs to the URL of the first server forever.
    assert names[0] == "a" and names[1].startswith("missing-") and len(names) == 2


def test_few_failures_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Up to three, with the reason; of more there is the list alone."""
    assert fetch("nonsense", "ftp://h/a", "-d", tmp_path / "out", "--ordered") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines if line.startswith("  ")] == [
        ["  nonsense", "MissingSchema"],
        ["  ftp://h/a", "InvalidSchema"],
    ]
    assert fetch("a", "b", "c", "d", "-d", tmp_path / "more") == 1
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]


def test_a_list_that_is_given_as_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a file is not fetched: the error says how to read it."""
    monkeypatch.chdir(tmp_path)
    Path("urls.txt").write_text("http://h/a\n")
    with pytest.raises(SystemExit) as ended:
        fetch("urls.txt", "-d", "out")
    assert ended.value.code == 2
    assert "urls.txt is a file, not a URL. If it lists URLs, use -i urls.txt" in (
        capsys.readouterr().err
    )
    assert not Path("out").exists()


def test_failures_go_where_they_are_told(tmp_path: Path) -> None:
    """And not into the directory of the files."""
    (tmp_path / "urls").write_text("nonsense\n")
    listed = tmp_path / "lists" / "bad.tsv"
    assert fetch("-i", tmp_path / "urls", "-d", tmp_path / "out", "--failures", listed) == 1
    assert listed.read_text().startswith("nonsense\t")
    assert files_of(tmp_path / "out") == []
    assert [path.name for path in listed.parent.iterdir()] == ["bad.tsv"]


def test_standard_input_is_a_list_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by a dash; quiet says nothing."""
    with ScriptedServer(answering(answer)) as server:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeff" + server.url("/x.txt") + "\n"))
        assert fetch("-i", "-", "-d", tmp_path, "--quiet") == 0
    assert (tmp_path / "x.txt").read_bytes() == body_of("/x.txt")
    assert capsys.readouterr() == ("", "")


def test_certificates_are_checked_with_the_given_authority(tmp_path: Path) -> None:
    """Not trusted without it, and not looked at when told so."""
    authority = Authority(tmp_path)
    with ScriptedServer(answering(answer), tls=authority.server_context()) as server:
        (tmp_path / "urls").write_text(server.url("/x") + "\n")
        common = ("-i", tmp_path / "urls", "-d", tmp_path / "out", "--quiet")
        assert fetch(*common) == 1
        assert "SSLError" in (tmp_path / "out" / "failures.txt").read_text()
        assert fetch(*common, "--ca", authority.bundle) == 0
        assert fetch(*common, "--verify", authority.bundle) == 0
        assert fetch(*common, "--insecure") == 0


def test_headers_and_retries_are_sent(tmp_path: Path) -> None:
    """A passing failure is tried again as often as allowed."""
    turns = iter([503, 503, 200])
    with ScriptedServer(answering(lambda seen: respond(status=next(turns)))) as server:
        (tmp_path / "urls").write_text(server.url("/x") + "\n")
        assert (
            fetch("-i", tmp_path / "urls", "-d", tmp_path, "-H", "X-A: b: c", "--retries", 2) == 0
        )
        assert [seen.header("x-a") for seen in server.requests] == ["b: c"] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["-i", "no-such-file"],
        ["-i", "urls", "-d", "urls"],
    ],
)
def test_what_cannot_be_opened_is_wrong_use(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Said in a line, with status 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "urls").write_text("")
    assert fetch(*arguments) == 2
    assert capsys.readouterr().err.startswith("pooledhttp fetch: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--jobs", "0"],
        ["--per-host", "x"],
        ["--timeout", "0"],
        ["--retries", "-1"],
        ["--ca", "no-such-file"],
        ["--header", "no colon"],
        ["--ca", ".", "--insecure"],
    ],
)
def test_arguments_are_checked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is opened."""
    with pytest.raises(SystemExit) as ended:
        fetch("-i", "x", *arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_an_empty_list_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to do was done."""
    (tmp_path / "urls").write_text("# nothing\n")
    assert fetch("-i", tmp_path / "urls", "-d", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("0 fetched, 0 failed")


def _wait_until_idle(pid: int) -> None:
    """Wait until all threads of a process sleep for two looks; without /proc, not at all."""
    pause, before = threading.Event(), ""
    for _ in range(200):
        stats = [path.read_text() for path in sorted(Path(f"/proc/{pid}/task").glob("*/stat"))]
        fields = [stat.rpartition(")")[2].split() for stat in stats]
        # State, and the ticks of CPU that it has used in user and in kernel mode.
        now = " ".join(f"{one[0]}{one[11]}{one[12]}" for one in fields)
        if now == before and all(one[0] == "S" for one in fields):
            return
        before = now
        pause.wait(0.05)
    raise AssertionError(f"process {pid} is busy: {before}")


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a child there")
def test_ctrl_c_ends_at_once_and_tidies_up(tmp_path: Path) -> None:
    """Status 130; what is complete stays, what is not goes, what failed is listed."""

    def handle(peer: Peer) -> None:
        while True:
            seen = peer.read_request()
            if "stall" in seen.target:
                peer.send(respond(b"begun", length=1000))
                peer.wait_closed()
                return
            peer.send(answer(seen))

    with ScriptedServer(handle) as server:
        paths = ["/a", "/missing", *(f"/stall-{number}" for number in range(6))]
        (tmp_path / "urls").write_text("\n".join(map(server.url, paths)))
        out = tmp_path / "out"
        command = [sys.executable, "-m", "pooledhttp", "fetch", "-i", str(tmp_path / "urls")]
        process = subprocess.Popen(
            [*command, "-d", str(out), "--jobs", "8", "--per-host", "8"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server.wait_requests(8)
        # Six stalled bodies are begun; the good response is done.
        pause = threading.Event()
        while len(list(out.glob(".pooledhttp/parts/*"))) < 6 or not (out / "a").exists():
            assert process.poll() is None
            pause.wait(0.01)
        _wait_until_idle(process.pid)  # the result of `a` is counted as well, not only on disk
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
        server.wait_all_closed()
    assert process.returncode == 130, complained
    assert "interrupted" in complained and "Traceback" not in complained
    assert "1 fetched, 1 failed" in said
    assert sorted(path.name for path in files_of(out)) == ["a", "failures.txt"]
    assert list(out.glob(".pooledhttp/parts/*")) == []  # the server gave nothing to go on by


def test_urls_and_lists_of_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as arguments, in files and on standard input; names, keys, methods and sums count."""
    out = tmp_path / "out"

    def echo(seen: SeenRequest) -> bytes:
        return respond(f"{seen.method} {seen.target} {seen.header('x-a')} ".encode() + seen.body)

    with ScriptedServer(answering(echo)) as server:
        jobs = [
            {"url": server.url("/1"), "name": "post/one", "data": "d", "headers": {"X-A": "a"}},
            {"url": server.url("/2"), "sha256": "0" * 64},
            {"url": server.url("/4"), "key": "four", "name": "../four"},
        ]
        (tmp_path / "jobs.jsonl.gz").write_bytes(
            gzip.compress("\n".join(map(json.dumps, jobs)).encode() + b"\n{\n")
        )
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(server.url("/3").encode())))
        lists = ("-i", tmp_path / "jobs.jsonl.gz", "-i", "-")
        assert fetch(server.url("/0"), *lists, "-d", out, "-q") == 1
        there = {path.relative_to(out).as_posix(): path for path in out.rglob("[!.]*")}
        assert there["post/one"].read_bytes() == b"POST /1 a d"
        listed = there["failures.txt"].read_text().splitlines()
        assert {"0", "post/one", "3", "_/four"} <= there.keys() and "2" not in there
        assert [line.split("\t")[0] for line in listed] == [f"# {server.url('/2')}", "{"]
        before = len(server.requests)
        assert fetch("-i", tmp_path / "jobs.jsonl.gz", "-d", out, "-q") == 1
        assert [seen.target for seen in server.requests[before:]] == ["/2"]


def test_a_list_that_grows_is_followed(tmp_path: Path) -> None:
    """Until its file is removed; the exit status is that of all."""
    listed = tmp_path / "urls.txt"

    def grow(seen: SeenRequest) -> bytes:
        if seen.target == "/0":
            with listed.open("a") as file:
                file.write(f"{server.url('/1')}\n")
        else:
            listed.unlink()
        return respond(b"x")

    with ScriptedServer(answering(grow)) as server:
        listed.write_text(f"{server.url('/0')}\n")
        assert fetch("-i", listed, "-d", tmp_path / "out", "--follow", "-q") == 0
    assert {path.name for path in files_of(tmp_path / "out")} == {"0", "1"}
    assert fetch("-i", "-", "--follow", "-d", tmp_path / "out") == 2
