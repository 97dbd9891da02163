"""The pool: what a database pool offers, for resources of any kind.

It gives leases within limits and in a fair order, keeps idle resources, probes and expires them,
finds leaks, and counts everything. It knows no HTTP and never dials.

Read `pool` first, then `core` and `state`. Three words to know before: a *step* is one change of
the state under the lock; to *settle* is to do, after a step, the work that the step put off; an
idle resource is *trusted* while it has been idle so briefly that the peer has very probably not
closed it.

Each module imports only modules in a row below it, or to its right:

    public          pool          the path of a request: acquire, fill, release
    no lock held    acquire       search for a slot, wait, probe
                    maintenance   expire, evict, resize, close, warm, statistics
    the lock        core          runs steps, settles, recounts after an interrupt
                    callbacks     closes and probes by functions of the user      errors  in words
    lock held:      pool_wide     expire, evict, resize, shut down, recount, snapshot
    one step each   sparing       who waits although there is room
                    checkout      how a lease gets a slot
                    probing       what a probe has found         checkin  how a lease ends
                    queue         who waits, who gets a slot
    one search      search        Search, SearchResult
    the state       state         PoolState      indexes         key_state  KeyState, Slot
    the numbers     counters  stats  reasons
    plain values    lease  keepalive  config  overrides
    the process     sweeper  leaks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.loading import load_when_used as _load_when_used
from pooledhttp.pool.config import Limits, PoolConfig, default_max_idle_total, pool_advice
from pooledhttp.pool.overrides import INHERIT, HostLimits
from pooledhttp.renaming import deprecated_names as _deprecated_names

if TYPE_CHECKING:
    from pooledhttp.pool.leaks import LeakedLease, LeaseTracker, lease_tracker
    from pooledhttp.pool.lease import Lease
    from pooledhttp.pool.pool import Pool
    from pooledhttp.pool.reasons import INTERRUPTED
    from pooledhttp.pool.stats import (
        Advice,
        Histogram,
        OriginStats,
        PoolStats,
        advised_size,
        merge_stats,
    )
    from pooledhttp.pool.sweeper import Sweeper, process_sweeper

__all__ = [
    "INHERIT",
    "INTERRUPTED",
    "Advice",
    "Histogram",
    "HostLimits",
    "LeakedLease",
    "Lease",
    "LeaseTracker",
    "Limits",
    "OriginStats",
    "Pool",
    "PoolConfig",
    "PoolStats",
    "Sweeper",
    "advised_size",
    "default_max_idle_total",
    "lease_tracker",
    "merge_stats",
    "pool_advice",
    "process_sweeper",
]

__getattr__ = _load_when_used(
    globals(),
    {
        "leaks": ("LeakedLease", "LeaseTracker", "lease_tracker"),
        "lease": ("Lease",),
        "pool": ("Pool",),
        "reasons": ("INTERRUPTED",),
        "stats": ("Advice", "Histogram", "OriginStats", "PoolStats", "advised_size", "merge_stats"),
        "sweeper": ("Sweeper", "process_sweeper"),
    },
    otherwise=_deprecated_names(
        globals(),
        {"Census": "LeaseTracker", "Stray": "LeakedLease", "process_census": "lease_tracker"},
    ),
)
