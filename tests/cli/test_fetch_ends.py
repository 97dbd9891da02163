"""How `pooledhttp fetch` ends: signals in a terminal, closed outputs, places that are refused."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.certs import where
from pooledhttp.cli import fetch as fetch_module
from pooledhttp.cli.main import main
from tests.bulk.test_fetch import closed_port
from tests.support.commands import ROOT, run_command
from tests.support.patience import wait_until
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def answer(seen: SeenRequest) -> bytes:
    if "missing" in seen.target:
        return respond(b"no", status=404, reason="Not Found")
    return respond(seen.target.encode())


def stalling(peer: Peer) -> None:
    """Begin bodies whose path says so, and never end them."""
    while True:
        seen = peer.read_request()
        if "stall" in seen.target:
            peer.send(respond(bytes(70_000), [("ETag", '"strong"')], length=100_000))
            peer.wait_closed()
            return
        peer.send(answer(seen))


def fetch(*arguments: object) -> int:
    return main(["fetch", *map(str, arguments)])


def with_default_signals() -> None:
    """Run in the child: a background job ignores SIGINT, and its children inherit that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def in_new_terminal() -> None:
    """Run in the child: its standard input becomes the terminal that signals come from."""
    with_default_signals()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Command:
    """A `fetch` of the list beside `out`, in a terminal of its own."""

    def __init__(self, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pooledhttp", "fetch", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=in_new_terminal,
        )
        os.close(slave)
        self.said = b""

    def read_to_end(self) -> str:
        """Everything it printed, until it has ended."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the terminal has no other side any more
                break
            if not data:
                break
            self.said += data
        self.process.wait(20)
        os.close(self.master)
        return self.said.decode(errors="replace")


@contextmanager
def stalled(tmp_path: Path, *options: object) -> Iterator[tuple[Command, Path]]:
    """A command in a terminal with three bodies under way, one file there and one failure."""
    out = tmp_path / "out"
    with ScriptedServer(stalling) as server:
        paths = ["/a", "/missing", *(f"/stall-{number}" for number in range(3))]
        paths += [f"/later-{number}" for number in range(400)]
        (tmp_path / "urls").write_text("".join(server.url(path) + "\n" for path in paths))
        command = Command(
            *("-i", tmp_path / "urls", "-d", out, "--jobs", 3, "--per-host", 3), *options
        )

        def is_under_way() -> bool:
            assert command.process.poll() is None, command.read_to_end()
            parts = list(out.glob(".pooledhttp/parts/*"))
            return len(parts) == 3 and all(part.stat().st_size > 60_000 for part in parts)

        wait_until(is_under_way, "three bodies under way", 30)
        yield command, out
        server.wait_all_closed()


@pytest.mark.parametrize("engine", ["auto", pytest.param("threads", marks=pytest.mark.long)])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_run_tidily(tmp_path: Path, number: signal.Signals, engine: str) -> None:
    """In a terminal: the status of the signal, parts kept, everything else listed."""
    with stalled(tmp_path, "--engine", engine) as (command, out):
        if number == signal.SIGINT:
            os.write(command.master, b"\x03")  # Ctrl-C
        else:
            command.process.send_signal(number)
        said = command.read_to_end()
    assert command.process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert "1 fetched, 1 failed" in said and "403 not reached" in said
    lines = (out / "failures.txt").read_text().splitlines()
    assert len(lines) == 404 and lines[0].endswith("\tHTTP 404 Not Found")
    assert len(list(out.glob(".pooledhttp/parts/*"))) == 3
    assert not (out / ".pooledhttp" / "reserve").exists()
    assert sorted(path.name for path in out.iterdir()) == [".pooledhttp", "a", "failures.txt"]


def test_ctrl_c_ends_the_worker_processes_too(tmp_path: Path) -> None:
    """Of a command in a terminal, which sends the signal to all of them."""
    with stalled(tmp_path, "--workers", 2, "--jobs", 12, "--per-host", 6) as (command, out):
        os.write(command.master, b"\x03")
        said = command.read_to_end()
    assert command.process.returncode == 130, said
    assert "Traceback" not in said and "interrupted" in said
    sizes = [part.stat().st_size for part in out.glob(".pooledhttp/parts/*")]
    assert sizes == [70_000] * 3
    assert not list(out.glob(".pooledhttp/run-*"))


def test_a_terminal_that_is_closed_ends_a_run(tmp_path: Path) -> None:
    """The terminal's own SIGHUP; nothing can be printed any more."""
    with stalled(tmp_path) as (command, out):
        os.close(command.master)
        assert command.process.wait(20) == 128 + signal.SIGHUP
    assert len((out / "failures.txt").read_text().splitlines()) == 404


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`."""
    out = tmp_path / "out"
    with ScriptedServer(stalling) as server:
        (tmp_path / "urls").write_text(server.url("/stall") + "\n")
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pooledhttp",
                "fetch",
                "-i",
                str(tmp_path / "urls"),
                "-d",
                str(out),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: (
                with_default_signals(),
                signal.signal(signal.SIGHUP, signal.SIG_IGN),
            ),
        )
        wait_until(lambda: bool(list(out.glob(".pooledhttp/parts/*"))), "a body", 30)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM


def test_a_wait_for_standard_input_is_broken_off(tmp_path: Path) -> None:
    """The list comes through a pipe that stays open."""
    reserve = tmp_path / "out" / ".pooledhttp" / "reserve"
    with ScriptedServer(answering(answer)) as server:
        with subprocess.Popen(
            [sys.executable, "-m", "pooledhttp", "fetch", "-i", "-", "-d", str(tmp_path / "out")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=with_default_signals,
        ) as process:
            assert process.stdin is not None and process.stderr is not None
            process.stdin.write(f"{server.url('/a')}\n".encode())
            process.stdin.flush()
            wait_until(reserve.exists, "the start", 30)
            # The handlers come a moment after the reserve; the item is fetched after both.
            wait_until(
                lambda: process.poll() is not None or _catches_sigint(process.pid), "them", 30
            )
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert b"Traceback" not in process.stderr.read()


def _catches_sigint(pid: int) -> bool:
    """Whether the run's own handler is there: SIGTERM is caught, which Python alone does not do."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) & (1 << (signal.SIGTERM - 1)))


def test_a_directory_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With status 3, and the one who has it."""
    from pooledhttp import bulk

    (tmp_path / "urls").write_text("")
    with bulk.download([], tmp_path / "out"):
        assert fetch("-i", tmp_path / "urls", "-d", tmp_path / "out") == 3
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_a_broken_journal_is_rebuilt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3 and the way out; with `--rebuild` the files are taken over."""
    out = tmp_path / "out"
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(f"{server.url('/a')}\n{server.url('/b')}\n")
        arguments = ("-i", tmp_path / "urls", "-d", out)
        assert fetch(*arguments) == 0
        (out / ".pooledhttp" / "journal.sqlite3").write_bytes(b"rubbish" * 1000)
        assert fetch(*arguments) == 3
        assert "--rebuild" in capsys.readouterr().err
        assert fetch(*arguments, "--rebuild") == 0
        assert len(server.requests) == 2
        assert fetch(*arguments) == 0
    assert "2 there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("redirection", "status"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 3)]
)
def test_closed_outputs_are_no_traceback(tmp_path: Path, redirection: str, status: int) -> None:
    """Closed from the start, or without room."""
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(f"{server.url('/a')}\n")
        done = subprocess.run(
            f"{sys.executable} -m pooledhttp fetch -i urls -d out {redirection}",
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "out" / "a").read_bytes() == b"/a"


def test_a_reader_that_goes_is_no_traceback(tmp_path: Path) -> None:
    """As in `... | head -0`."""
    (tmp_path / "urls").write_text("")
    done = subprocess.run(
        f"{sys.executable} -m pooledhttp fetch -i urls -d out | true",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_quiet_still_prints_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, the first twenty of them."""
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(
            "".join(server.url(f"/missing-{n}") + "\n" for n in range(25)) + server.url("/a")
        )
        assert fetch("-q", "-i", tmp_path / "urls", "-d", tmp_path / "out") == 1
        said, complained = capsys.readouterr()
    assert said == ""
    lines = complained.splitlines()
    assert len(lines) == 21 and lines[-1].endswith("and 5 more")
    assert "HTTP 404 Not Found" in lines[0] and "/missing-" in lines[0]


def test_a_foreign_list_is_kept_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's own failures.txt; and one that was named is refused before the run."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "failures.txt").write_text("my own notes\n")
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(server.url("/missing") + "\n")
        arguments = ("-i", tmp_path / "urls", "-d", out)
        assert fetch(*arguments) == 1
        assert (out / "failures.txt").read_text() == "my own notes\n"
        assert ".pooledhttp/failures.txt" in capsys.readouterr().out
        del server.requests[:]
        assert fetch(*arguments, "--failures", out / "failures.txt") in (1, 2)
        (tmp_path / "notes").write_text("my own notes\n")
        assert fetch(*arguments, "--failures", tmp_path / "notes") == 2
    assert (tmp_path / "notes").read_text() == "my own notes\n"
    assert "no list of failures" in capsys.readouterr().err


def test_a_header_given_by_hand_wins_over_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any case of letters; without one, netrc is used as ever."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(server.url("/a") + "\n")
        for number, options in enumerate(([], ["-H", "authorization: Bearer mine"])):
            assert fetch("-q", "-i", tmp_path / "urls", "-d", tmp_path / str(number), *options) == 0
        sent = [str(seen.header("authorization")) for seen in server.requests]
    assert sent[0].startswith("Basic ") and sent[1] == "Bearer mine"


def test_the_options_of_files(tmp_path: Path) -> None:
    """Names as a tree, digests, refresh and adopt reach the download."""
    with ScriptedServer(answering(answer)) as server:
        (tmp_path / "urls").write_text(server.url("/d/a") + "\n")
        arguments = ("-q", "-i", tmp_path / "urls", "-d", tmp_path / "out")
        assert fetch(*arguments, "--names", "{dir}/{name}", "--digest", "md5") == 0
        assert (tmp_path / "out" / "d" / "a").read_bytes() == b"/d/a"
        assert (
            fetch(*arguments, "--refresh", "--stall", 5, "--max-time", 9, "--cacert", where()) == 0
        )
        assert len(server.requests) == 2
    assert fetch(*arguments, "--names", "nonsense") == 2
    assert fetch(*arguments, "--digest", "nonsense") == 2


def test_the_status_names_what_is_wrong(tmp_path: Path) -> None:
    """A list that is a directory is wrong use."""
    assert run_command("fetch", "-i", str(tmp_path), "-d", str(tmp_path / "o")).returncode == 2


def test_a_password_in_a_url_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list has it, for the next run needs it."""
    url = f"http://user:secret@127.0.0.1:{closed_port()}/x"
    assert fetch(url, "-d", tmp_path, "--retries", 0, "-q") == 1
    assert "secret" not in capsys.readouterr().err
    assert (tmp_path / "failures.txt").read_text().startswith(url)


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("name", [".pooledhttp", ".pooledhttp/parts"])
def test_what_stands_in_our_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    """Nothing goes through a link, and the message says where it is."""
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    place.touch() if kind == "file" else place.symlink_to(tmp_path)
    assert fetch("http://127.0.0.1:1/", "-d", tmp_path / "out") == 2
    assert f"a directory of ours belongs: '{place}'" in capsys.readouterr().err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", ["_open_input", "_open_download", "open_meter"])
def test_a_signal_before_the_run_is_told_and_tidies_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    moment: str,
) -> None:
    """Whatever is under way: the list, the directory, the bar. The caller's handlers come back."""
    act = getattr(fetch_module, moment)

    def interrupted(*args: Any, **settings: Any) -> object:
        result = act(*args, **settings)
        os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(fetch_module, moment, interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        assert fetch("http://127.0.0.1:1/", "-d", tmp_path / "out") == 128 + number
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err.count("pooledhttp fetch: ") == 1
    assert (tmp_path / "out" / "failures.txt").exists() == (moment == "open_meter")
    bulk.set_journal_aside(tmp_path / "out")  # the directory is free
