"""`pooledhttp run` runs a program as Python would, with requests replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import run_command
from tests.support.scripted import ScriptedServer, answering, respond


def test_a_script_fetches_through_pooledhttp(tmp_path: Path) -> None:
    """The script sees its arguments, its own folder, and requests at 2.34.2 made of our classes."""
    (tmp_path / "beside.py").write_text("VALUE = 'beside'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, beside, requests\n"
        "from requests.adapters import HTTPAdapter\n"
        "print(sys.argv[1:], __name__, beside.VALUE, requests.__version__)\n"
        "print(HTTPAdapter.__module__.split('.')[0], requests.get(sys.argv[-1]).text)\n"
    )
    with ScriptedServer(answering(respond(b"hello"))) as server:
        url = server.url("/")
        done = run_command("run", str(script), "-x", "--flag", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"['-x', '--flag', '{url}'] __main__ beside 2.34.2",
        "pooledhttp hello",
    ]


def test_a_module_is_run_by_name(tmp_path: Path) -> None:
    """`-m` takes a module from the current folder."""
    (tmp_path / "tool.py").write_text("import sys, requests\nprint(sys.argv[1:], __name__)\n")
    done = run_command("run", "-m", "tool", "-m", "a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "['-m', 'a'] __main__\n"), done.stderr


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('no luck')", 1, "no luck\n"),
    ],
)
def test_the_exit_status_is_the_programs(
    tmp_path: Path, code: str, status: int, error: str
) -> None:
    """`sys.exit` means what it means under Python itself."""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = run_command("run", str(script))
    assert (done.returncode, done.stderr) == (status, error)


def test_a_traceback_begins_in_the_program(tmp_path: Path) -> None:
    """An error shows the program's frames and none of the machinery's."""
    script = tmp_path / "script.py"
    script.write_text("def f():\n    1 / 0\nf()\n")
    done = run_command("run", str(script))
    assert done.returncode == 1
    assert done.stderr.count("File ") == 2
    assert "ZeroDivisionError" in done.stderr


def test_a_missing_script_is_reported() -> None:
    """One line, no traceback."""
    done = run_command("run", "/nowhere/script.py")
    assert (done.returncode, done.stderr) == (
        1,
        "pooledhttp run: there is no file '/nowhere/script.py'\n",
    )


def test_a_missing_module_is_reported() -> None:
    """One line too, also where its package is missing."""
    done = run_command("run", "-m", "nowhere.module")
    text = "pooledhttp run: there is no module 'nowhere.module'\n"
    assert (done.returncode, done.stderr) == (1, text)
