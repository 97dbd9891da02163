"""Names that were changed still work, and warn."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from pooledhttp import events, pool, transport
from pooledhttp.pool import PoolConfig
from tests.pool.tools import Bench


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (events, "ShelfOverflow", "IdleOverflow"),
        (pool, "Census", "LeaseTracker"),
        (pool, "Stray", "LeakedLease"),
        (pool, "process_census", "lease_tracker"),
        (transport, "OriginPool", "PoolFacade"),
        (transport, "PoolMemory", "FacadeCache"),
        (transport, "return_origin_pools", "install_facades"),
    ],
)
def test_an_earlier_name_gives_the_same_object(module: object, old: str, new: str) -> None:
    """A DeprecationWarning says which name to use."""
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(module, old) is getattr(module, new)


def test_an_earlier_name_works_before_its_module_is_loaded() -> None:
    """The first use of a subpackage may be by an earlier name."""
    code = "from pooledhttp.pool import Census; from pooledhttp.transport import OriginPool"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_other_unknown_names_are_attribute_errors() -> None:
    """The aliases do not hide misspellings."""
    for module in (events, pool):
        with pytest.raises(AttributeError, match="NoSuchName"):
            module.NoSuchName  # noqa: B018


def test_an_earlier_close_reason_can_be_read() -> None:
    """`closed["shelf_full"]` in statistics is `closed["idle_full"]`, also in the total."""
    bench = Bench(PoolConfig(max_idle_per_host=1))
    bench.add_idle(count=3)
    stats = bench.pool.stats()
    for closed in (stats.total.closed, stats.origins["a"].closed):
        assert closed == {"idle_full": 2} and "idle_full" in closed
        copy = pickle.loads(pickle.dumps(closed))
        with pytest.warns(DeprecationWarning, match="idle_full"):
            assert closed["shelf_full"] == copy.get("shelf_full") == 2
        with pytest.warns(DeprecationWarning, match="idle_full"):
            assert "shelf_full" in closed
    assert stats.total.closed.get("stale", 7) == 7
    with pytest.raises(KeyError):
        stats.total.closed["stale"]
