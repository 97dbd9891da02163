"""Running the package's commands in a process of their own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 100,
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the checkout importable; output is text, nothing comes on stdin."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def run_command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `pooledhttp` with these arguments."""
    return run_python("-m", "pooledhttp", *arguments, **options)  # type: ignore[arg-type]
