"""A lease that its holder has ended is no leak, even while its end is deferred."""

from __future__ import annotations

import warnings

import pytest

from pooledhttp.pool import Pool
from pooledhttp.timing import Deadline
from tests.pool.tools import inside
from tests.support.garbage import collect


@pytest.mark.parametrize("how", ["release", "discard"])
def test_a_lease_dropped_while_its_end_is_deferred_is_no_leak(how: str) -> None:
    """Another thread holds the lock when the lease is ended and dropped."""
    pool: Pool[str, int] = Pool(close=lambda resource: None)
    lease = pool.acquire("a", Deadline.never())
    lease.fill(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with inside(pool).lock:
            if how == "release":
                lease.release()
            else:
                lease.discard("done")
            del lease
            collect()
    pool.sweep()  # the next call does the deferred ends
    total = pool.stats().total
    assert (total.leaks, total.active) == (0, 0)
    assert total.idle == (1 if how == "release" else 0)
