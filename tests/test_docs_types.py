"""Code on the pages and in the examples passes `mypy --strict`, as a user's program would."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Pages that are left out, with the reason.
LEFT_OUT: dict[str, str] = {}


def program(page: Path) -> str:
    """The blocks of a page as one program; a comment above each says where it stands."""
    text = page.read_text()
    parts = []
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text.count("\n", 0, match.start(1)) + 1
        parts.append(f"# {page.name}, line {line}\n{match[1]}")
    return "\n".join(parts)


def test_code_type_checks(tmp_path: Path, mypy_cache: Path) -> None:
    """The blocks of each page are one program without errors, and so is each example."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install 'pooledhttp[dev]'")
    files = sorted((ROOT / "examples").glob("*.py"))
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if "```python" in page.read_text() and name not in LEFT_OUT:
            files.append(tmp_path / (re.sub(r"\W", "_", name) + ".py"))
            files[-1].write_text(program(page))
    options = ["--strict", "--config-file", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", str(mypy_cache)]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    shown = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert (done.returncode, shown) == (0, []), done.stdout + done.stderr
