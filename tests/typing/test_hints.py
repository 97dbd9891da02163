"""A user's program passes mypy and pyright in strict mode, and its mistakes do not."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("api.py")
ROOT = PROGRAM.parents[2]


def run(*command: str, cwd: Path) -> str:
    """The output of a type checker that found nothing."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy(tmp_path: Path) -> None:
    """Strict, and with a complaint about every ignored error that is none."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install 'pooledhttp[dev]'")
    options = ["--strict", "--warn-unused-ignores", "--cache-dir", str(tmp_path)]
    run(sys.executable, "-m", "mypy", *options, str(PROGRAM), cwd=ROOT)


def test_pyright(tmp_path: Path) -> None:
    """The same; pyright comes from the package index and fetches itself for node."""
    if importlib.util.find_spec("pyright") is None or shutil.which("node") is None:
        pytest.skip("needs node, and pyright: pip install pyright")
    settings = {
        "include": ["api.py"],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT)],
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    shutil.copy(PROGRAM, tmp_path)
    options = ["--pythonpath", sys.executable]
    run(sys.executable, "-m", "pyright", *options, "-p", str(tmp_path), cwd=tmp_path)
