"""A pool of database connections. Run it alone (sqlite), or with postgresql://user@host/name."""

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline


def ping(connection: Any) -> bool:
    """Tell whether an idle connection can be used again; an exception says no, too."""
    connection.execute("SELECT 1")
    connection.rollback()
    return True


@contextmanager
def transaction(pool: Any, dial: Any) -> Any:
    """Lease a connection; commit at the end, or roll back and close it after an error."""
    lease = pool.acquire(dial, Deadline.never())  # connections are sorted by what dials them
    try:
        if lease.resource is None:  # an empty slot
            lease.fill(dial())
        yield lease.resource
        lease.resource.commit()
    except BaseException as error:
        lease.discard(type(error).__name__)
        raise
    lease.release()


def main(dial: Any) -> None:
    """Increment one counter in sixteen threads, over at most three connections."""
    config = PoolConfig.from_sqlalchemy(pool_size=2, max_overflow=1, pool_pre_ping=True)
    pool: Pool[Any, Any] = Pool(config, close=lambda one: one.close(), is_alive=ping)
    with transaction(pool, dial) as db:
        db.execute("CREATE TABLE pooledhttp_counter AS SELECT 0 AS value")

    def count(_: int) -> None:
        with transaction(pool, dial) as db:
            db.execute("UPDATE pooledhttp_counter SET value = value + 1")

    list(ThreadPoolExecutor(16).map(count, range(160)))
    with transaction(pool, dial) as db:
        (value,) = db.execute("SELECT value FROM pooledhttp_counter").fetchone()
        db.execute("DROP TABLE pooledhttp_counter")
    pool.shutdown()
    print(f"counted to {value} over at most {pool.stats().total.peak} connections; now: {pool}")


if __name__ == "__main__":
    if sys.argv[1:]:
        import psycopg  # python -m pip install 'psycopg[binary]'

        main(lambda: psycopg.connect(*sys.argv[1:]))
    else:
        main(lambda: sqlite3.connect("file:/db?vfs=memdb", uri=True, check_same_thread=False))
