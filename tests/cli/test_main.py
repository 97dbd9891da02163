"""The command's front: subcommands, help, and how it ends."""

from __future__ import annotations

import errno
import gc
import re
import shlex
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pooledhttp.cli.main import main, parser_for
from tests.support.commands import run_python


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in for `pooledhttp size` whose work the test chooses."""
    module: Any = ModuleType("pooledhttp.cli.size")
    module.add_parser = lambda subparsers: subparsers.add_parser("size")
    monkeypatch.setitem(sys.modules, "pooledhttp.cli.size", module)
    return module


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends well."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {name} " in text for name in ("fetch", "demo", "size", "run", "info"))


@pytest.mark.parametrize("name", ["fetch", "status", "demo", "size", "run", "check", "info"])
def test_the_help_of_a_command_has_examples_and_fits(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group of options fits a screen of 80 columns and 40 lines; each example is right."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) < 80
    assert max(part.count("\n") for part in text.split("\n\n")) <= 40
    examples = re.sub(r"\n(?=\S)", " ", text[text.lower().index("example") :])
    parts = re.split(r"[;>|\n]|  +", examples)
    shown = [part.partition("pooledhttp ")[2] for part in parts if "pooledhttp " in part]
    assert shown
    for example in shown:
        arguments = shlex.split(example)
        parser_for(arguments).parse_args(arguments)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As other programs tell it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("pooledhttp ")


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["size"], ["fetch"], ["demo", "--files", "0"]])
def test_wrong_use_ends_with_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With a word on standard error about what is wrong."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage: pooledhttp" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["fetch -i x", "status x", "demo", "size --rps 1 --duration 1", "info"]
)
def test_a_wrong_flag_shows_the_usage_of_its_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not that of the whole program, which does not list the flags."""
    with pytest.raises(SystemExit):
        main([*name.split(), "--nonsense"])
    error = capsys.readouterr().err
    assert error.startswith(f"usage: pooledhttp {name.split()[0]} ")
    assert "unrecognized arguments: --nonsense" in error


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("fetc -i x", "there is no command 'fetc'. Did you mean 'fetch'?"),
        ("xyz", "there is no command 'xyz'. The commands are fetch, status"),
        ("fetch -i x --jbos 3", "unrecognized arguments: --jbos. Did you mean '--jobs'?"),
        (
            "fetch -i x --max-tyme=3",
            "unrecognized arguments: --max-tyme=3. Did you mean '--max-time'",
        ),
        ("fetch -i x --progress", "unrecognized arguments: --progress\n"),
        ("http://h/a", "no command 'http://h/a'. Did you mean 'pooledhttp fetch http://h/a'?"),
        ("fetch http://h/a -j 5", "arguments: -j 5. Did you mean '--jobs'?"),
        ("fetch http://h/a -j5", "arguments: -j5. Did you mean '--jobs'?"),
        ("fetch http://h/a --retry=3", "arguments: --retry=3. Did you mean '--retries'?"),
        ("fetch http://h/a -o b", "arguments: -o b. -d DIR says where files go, and --names how"),
        ("fetch http://h/a --recursive", "--recursive. Links in pages are not followed: give a"),
        ("fetch http://h/a -c", "-c. No option is needed: the same command, run again, goes on"),
        ("fetch http://h/a -u me", "-u me. Passwords are read from ~/.netrc, or --netrc-file."),
    ],
)
def test_what_was_perhaps_meant(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelled command or option is wrong use, and the error names the one that is near."""
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)]
)
def test_signals_become_the_usual_status(command: Any, error: BaseException, status: int) -> None:
    """As a shell reports them."""

    def work(args: object) -> int:
        raise error

    command.main = work
    assert main(["size"]) == status


def test_an_output_that_cannot_be_written_is_told(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk behind the output of any command is no traceback."""

    def work(args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    command.main = work
    assert main(["size"]) == 3
    assert capsys.readouterr().err == "pooledhttp: [Errno 28] No space left on device\n"


def test_the_status_is_what_the_command_returns(command: Any) -> None:
    """Nothing is added to it."""
    command.main = lambda args: 7
    assert main(["size"]) == 7


def test_a_command_does_not_import_the_others() -> None:
    """What `size` does not need it does not load."""
    code = (
        "import sys\n"
        "from pooledhttp.cli.main import main\n"
        "main(['size', '--rps', '100', '--duration', '0.1'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('pooledhttp.cli.')))\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "15",
        "['pooledhttp.cli.main', 'pooledhttp.cli.numbers', 'pooledhttp.cli.size']",
    ]


@pytest.mark.parametrize(
    ("name", "is_given", "expected"),
    [("fetch", False, ["threshold", "freeze"]), ("fetch", True, []), ("size", False, [])],
)
def test_only_fetch_in_a_process_of_its_own_collects_less_garbage(
    name: str, is_given: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that calls `main` keeps its setting, as does one that `run` starts."""
    done: list[str] = []
    module: Any = ModuleType(f"pooledhttp.cli.{name}")
    module.add_parser = lambda subparsers: subparsers.add_parser(name)
    module.main = lambda args: 0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(gc, "set_threshold", lambda count: done.append("threshold"))
    monkeypatch.setattr(gc, "freeze", lambda: done.append("freeze"))
    monkeypatch.setattr(sys, "argv", ["pooledhttp", name])
    assert main([name] if is_given else None) == 0
    assert done == expected
