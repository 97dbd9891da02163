"""The example that pools database connections, on a real PostgreSQL."""

from __future__ import annotations

import re

import pytest

from tests.support.commands import ROOT, run_python
from tests.support.postgres import Postgres


def test_the_example_counts_on_postgresql() -> None:
    """Sixteen threads share three connections, lose no update and leave nothing open."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    example = str(ROOT / "examples" / "database_pool.py")
    with Postgres() as server:
        done = run_python("-W", "error::ResourceWarning", example, server.address)
    assert (done.returncode, done.stderr) == (0, "")
    said = "counted to 160 over at most [1-3] connections; now: <Pool 0 in use, 0 idle, 0 waiting>"
    assert re.fullmatch(said + "\n", done.stdout)
