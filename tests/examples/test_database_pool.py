"""The example that pools database connections does what it says."""

from __future__ import annotations

import runpy
import sqlite3
from pathlib import Path

import pytest

from pooledhttp.pool import PoolConfig

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "database_pool.py"


def test_it_counts_over_few_connections(capsys: pytest.CaptureFixture[str]) -> None:
    """Sixteen threads share three connections, lose no update and leave nothing open."""
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    words = lines[0].split()
    assert words[:3] == ["counted", "to", "160"] and int(words[-2]) <= 3
    assert lines[-1] == "<Pool 0 in use, 0 idle, 0 waiting>"


def test_an_error_rolls_back_and_drops_the_connection(tmp_path: Path) -> None:
    """What failed half-way is not seen by the next one, nor is its connection used again."""
    example = runpy.run_path(str(EXAMPLE))
    database = example["Database"](PoolConfig.from_sqlalchemy(pool_size=1, max_overflow=0))
    path = str(tmp_path / "test.db")
    with database.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.IntegrityError), database.connect(path) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        raise sqlite3.IntegrityError
    with database.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert database.pool.stats().total.closed == {"IntegrityError": 1}
    database.pool.shutdown()


def test_a_dead_connection_is_replaced_by_the_ping(tmp_path: Path) -> None:
    """`pool_pre_ping` finds a connection that was closed outside the pool."""
    example = runpy.run_path(str(EXAMPLE))
    database = example["Database"](PoolConfig.from_sqlalchemy(pool_pre_ping=True))
    path = str(tmp_path / "test.db")
    with database.connect(path) as connection:
        pass
    connection.close()
    with database.connect(path) as other:
        assert other is not connection
        other.execute("SELECT 1")
    assert database.pool.stats().total.stale_found == 1
    database.pool.shutdown()
