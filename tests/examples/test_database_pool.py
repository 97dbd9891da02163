"""The example that pools database connections does what it says."""

from __future__ import annotations

import runpy
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pooledhttp.pool import Pool, PoolConfig

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "database_pool.py"


def test_it_counts_over_few_connections(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen threads share three connections, lose no update and leave nothing open."""
    monkeypatch.setattr("sys.argv", [str(EXAMPLE)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    counted, _, pool = capsys.readouterr().out.strip().partition("; now: ")
    words = counted.split()
    assert words[:3] == ["counted", "to", "160"] and int(words[-2]) <= 3
    assert pool == "<Pool 0 in use, 0 idle, 0 waiting>"


@pytest.fixture
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture
def pool(example: dict[str, Any]) -> Iterator[Pool[Any, sqlite3.Connection]]:
    """One connection, probed by the example's ping before each use."""
    config = PoolConfig.from_sqlalchemy(pool_size=1, max_overflow=0, pool_pre_ping=True)
    made: Pool[Any, Any] = Pool(config, close=lambda one: one.close(), is_alive=example["ping"])
    yield made
    made.shutdown()


@pytest.fixture
def dial(tmp_path: Path) -> partial[sqlite3.Connection]:
    return partial(sqlite3.connect, str(tmp_path / "test.db"), check_same_thread=False)


def test_an_error_rolls_back_and_drops_the_connection(
    example: dict[str, Any], pool: Pool[Any, Any], dial: partial[sqlite3.Connection]
) -> None:
    """What failed half-way is not seen by the next one, nor is its connection used again."""
    transaction = example["transaction"]
    with transaction(pool, dial) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.IntegrityError), transaction(pool, dial) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        raise sqlite3.IntegrityError
    with transaction(pool, dial) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert pool.stats().total.closed == {"IntegrityError": 1}


def test_a_dead_connection_is_replaced_by_the_ping(
    example: dict[str, Any], pool: Pool[Any, Any], dial: partial[sqlite3.Connection]
) -> None:
    """`pool_pre_ping` finds a connection that was closed outside the pool."""
    transaction = example["transaction"]
    with transaction(pool, dial) as connection:
        pass
    connection.close()
    with transaction(pool, dial) as other:
        assert other is not connection
        other.execute("SELECT 1")
    assert pool.stats().total.stale_found == 1
