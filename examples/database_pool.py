"""Pool database connections with the same `Pool`: SQLAlchemy's settings, sqlite3's connections.

`Pool` knows no HTTP. It leases anything that can be closed, by any key. Here the key is the path of
a database. The holder of an empty lease connects, and fills the lease with the connection.

Run it: python examples/database_pool.py
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline


def is_alive(connection: sqlite3.Connection) -> bool:
    """Send a query, as `pool_pre_ping` does before a connection is reused."""
    try:
        connection.execute("SELECT 1")
    except sqlite3.Error:
        return False
    return True


class Database:
    """Connections to databases, at most `pool_size + max_overflow` to each.

    Args:
        config: The limits of the pool.
    """

    def __init__(self, config: PoolConfig) -> None:
        self.pool: Pool[str, sqlite3.Connection] = Pool(
            config, close=sqlite3.Connection.close, is_alive=is_alive
        )

    @contextmanager
    def connect(self, path: str) -> Iterator[sqlite3.Connection]:
        """Lease a connection; commit at the end, or roll back and discard it after an error."""
        lease = self.pool.acquire(path, Deadline.never())
        try:
            if lease.resource is None:
                lease.fill(sqlite3.connect(path, check_same_thread=False))
            connection = lease.resource
            assert connection is not None
            yield connection
            connection.commit()
        except BaseException as exc:
            lease.discard(type(exc).__name__)  # closing rolls back
            raise
        lease.release()


def main() -> None:
    """Let sixteen threads increment one counter, over at most three connections."""
    config = PoolConfig.from_sqlalchemy(
        pool_size=2, max_overflow=1, pool_timeout=10, pool_recycle=1800, pool_pre_ping=True
    )
    database = Database(config)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "counter.db"))
        with database.connect(path) as connection:
            connection.execute("CREATE TABLE counter (value INTEGER)")
            connection.execute("INSERT INTO counter VALUES (0)")

        def count() -> None:
            for _ in range(10):
                with database.connect(path) as connection:
                    connection.execute("UPDATE counter SET value = value + 1")

        threads = [threading.Thread(target=count) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with database.connect(path) as connection:
            value = connection.execute("SELECT value FROM counter").fetchone()[0]
        stats = database.pool.stats().total
        print(f"counted to {value} over at most {stats.peak} connections")
        print(f"{stats.acquired} leases, {stats.reuse_rate:.0%} of them reused a connection")
        database.pool.shutdown()
    print(database.pool)


if __name__ == "__main__":
    main()
