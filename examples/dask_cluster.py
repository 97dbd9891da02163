"""Many URLs on a cluster of Dask. Without an address, a cluster in this process is made.

Run it: python examples/dask_cluster.py [tcp://scheduler:8786]    (needs distributed)
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from distributed import Client, LocalCluster
from local_server import local_server

from pooledhttp import bulk


def main(address: str | None = None) -> None:
    """Fetch pages in the workers, and count what comes home."""
    with ExitStack() as stack:
        if address is None:
            # Workers in this process start at once; those of a real cluster are on other machines.
            cluster = LocalCluster(n_workers=2, processes=False, dashboard_address=":0")
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        else:
            client = stack.enter_context(Client(address))
        base = stack.enter_context(local_server())
        urls = [f"{base}/page/{number}" for number in range(200)]
        results = bulk.fetch(urls, per_host=4, executor=client)
        size = sum(result.size for result in results)
        connections = results.stats().total.created
        print(f"{size} bytes from {len(urls)} pages")
        print(f"{connections} connections")


if __name__ == "__main__":  # the workers import this file
    main(*sys.argv[1:2])
