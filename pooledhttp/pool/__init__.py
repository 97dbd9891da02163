"""The pool: what a database pool offers, for resources of any kind.

Leases within limits, in a fair order; idle resources kept, probed and aged; leaks found; everything
counted. It knows no HTTP and never dials. Start reading at `pool`, then `desk`, then `ledger`; each
module uses only those below it, and `lease` refers back to its pool.

    the face         pool    with lease, the ticket
    beside a step    acquiring  care  numbers         they take the lock, and probe, close and wait
                     desk                             the lock, and what is left to do after it
    one step         upkeep  taking  probing  ending  the lock is held; nothing waits or calls back
                     keeping  serving  ledger
    what it changes  record  shelf  waiters  freshness  stats
    settings         config  limits
    the process      sweeper  forking  census
    in words         callers
"""

from __future__ import annotations

from pooledhttp.pool.census import Census, Stray, process_census
from pooledhttp.pool.config import PoolConfig, default_max_idle_total
from pooledhttp.pool.forking import Forkable, renew_after_fork
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.limits import INHERIT, HostLimits, Limits
from pooledhttp.pool.pool import Pool
from pooledhttp.pool.stats import Advice, Histogram, OriginStats, PoolStats, advised_size
from pooledhttp.pool.sweeper import Sweeper, process_sweeper

__all__ = [
    "INHERIT",
    "Advice",
    "Census",
    "Forkable",
    "Histogram",
    "HostLimits",
    "Lease",
    "Limits",
    "OriginStats",
    "Pool",
    "PoolConfig",
    "PoolStats",
    "Stray",
    "Sweeper",
    "advised_size",
    "default_max_idle_total",
    "process_census",
    "process_sweeper",
    "renew_after_fork",
]
