"""`pooledhttp check`: what it finds, what it leaves out, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooledhttp.cli.check import places
from pooledhttp.cli.main import main

SOURCE = """\
import pooledhttp as requests
import requests as real
from requests.adapters import HTTPAdapter, BaseAdapter as Base
import requests.exceptions
from requests import RequestException

try:
    pass
except (real.Timeout, ValueError, RequestException):
    pass
except requests.exceptions.ConnectionError:
    pass

def f():
    import requests_mock
    from . import requests
    from requests import get
"""


def test_imports_and_except_clauses_are_found() -> None:
    """Each with its line and the cure; other packages with a similar name are not."""
    assert [(place.line, place.text) for place in places(SOURCE)] == [
        (2, "imports requests: write `import pooledhttp as real`"),
        (
            3,
            "imports HTTPAdapter, BaseAdapter of requests.adapters: write"
            " `from pooledhttp.adapters import HTTPAdapter, BaseAdapter`",
        ),
        (4, "imports requests.exceptions: write `import pooledhttp.exceptions`"),
        (
            5,
            "imports RequestException of requests: write `from pooledhttp import RequestException`",
        ),
        (17, "imports get of requests: write `from pooledhttp import get`"),
        (9, "catches real.Timeout of requests: errors of pooledhttp pass by"),
        (9, "catches RequestException of requests: errors of pooledhttp pass by"),
        (
            11,
            "catches requests.exceptions.ConnectionError of requests: errors of pooledhttp pass by",
        ),
    ]


def test_a_code_base_is_walked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Environments and hidden folders are left out, a broken file is named; the status is 1."""
    for name in ("app.py", "sub/more.py", "venv/lib.py", ".git/x.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import requests\n")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "broken.py").write_text("def")
    assert main(["check", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:-1] == [
        f"{tmp_path}/app.py:1: imports requests: write `import pooledhttp as requests`",
        f"{tmp_path}/sub/more.py:1: imports requests: write `import pooledhttp as requests`",
    ]
    assert "2 places in 3 files" in out
    assert main(["check", str(tmp_path / "app.py")]) == 1
    assert "1 place in 1 file. Change" in capsys.readouterr().out
    assert "broken.py: cannot be read" in err


def test_a_clean_code_base_ends_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says how many files were read; a path that does not exist is wrong use."""
    (tmp_path / "app.py").write_text("import pooledhttp as requests\n")
    assert main(["check", str(tmp_path / "app.py")]) == 0
    assert capsys.readouterr().out == "1 file: none of them uses requests itself.\n"
    assert main(["check", str(tmp_path / "nothing")]) == 2
