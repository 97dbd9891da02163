"""What the pool itself costs: acquire and release, with no network in between.

    python benchmarks/pool_cost.py

1. Uncontended, with 1, 100 and 10,000 origins, and with 10 and 5,000 idle connections: flat is the
   aim, so the ratios to the smallest are printed. Origins are visited in turn, as a round of them
   does. The scattered line jumps between ten thousand of them, in an order that no prefetching
   foresees: what it costs more is memory that is in no cache of the processor, not work of the
   pool's, as the line shows where one of the ten thousand is visited again and again.
2. 64 threads on 16 places, beside SQLAlchemy's QueuePool doing the same, if it is installed.

Times are processor time of the measuring thread in part 1, wall time in part 2, and the best of
several rounds, so that other work on the machine disturbs them little.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline

NEVER = Deadline.never()
ROUNDS = 15
CYCLES = 20_000
THREADS = 64
PLACES = 16
CYCLES_PER_THREAD = 400


def fill_pool(origins: int, idle_each: int) -> Pool[int, object]:
    """Make a pool with that many origins, each with that many idle connections."""
    pool: Pool[int, object] = Pool(
        PoolConfig(max_idle_total=None, idle_timeout=None), close=lambda _: None
    )
    for origin in range(origins):
        leases = [pool.acquire(origin, NEVER) for _ in range(idle_each)]
        for lease in leases:
            lease.fill(object())
        for lease in leases:
            lease.release()
    return pool


def measure(pool: Pool[int, object], keys: list[int]) -> float:
    """Return microseconds for one acquire and release of each of the keys."""
    acquire = pool.acquire
    start = time.thread_time()
    for key in keys:
        acquire(key, NEVER).release()
    return (time.thread_time() - start) / len(keys) * 1e6


def uncontended() -> None:
    """Print the cost with few and many origins and idle connections."""
    print("acquire + release, one thread:")
    # How many origins, idle connections of each, origins visited, and by what step.
    shapes = ((1, 1, 1, 1), (100, 1, 100, 1), (10_000, 1, 10_000, 1), (10_000, 1, 10_000, 7_919),
              (10_000, 1, 1, 1), (1, 10, 1, 1), (1, 5_000, 1, 1), (100, 50, 100, 1))  # fmt: skip
    pools = [fill_pool(origins, idle_each) for origins, idle_each, _, _ in shapes]
    keys = [[n * step % visited for n in range(CYCLES)] for _, _, visited, step in shapes]
    best = [float("inf")] * len(shapes)
    for _ in range(ROUNDS):  # in turn, so that a busy moment of the machine hits all of them
        for index, pool in enumerate(pools):
            best[index] = min(best[index], measure(pool, keys[index]))
    for (origins, idle_each, visited, step), cost in zip(shapes, best, strict=True):
        text = f"{origins:>6,} origins, {origins * idle_each:>6,} idle, {visited:>6,} visited"
        order = "scattered" if step > 1 else "in turn"
        print(f"  {text} {order:<9}: {cost:5.2f} us   x{cost / best[0]:.2f}")


def contend(cycle: Callable[[], None]) -> float:
    """Return microseconds per cycle while many threads do it, the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        gate = threading.Barrier(THREADS + 1)

        def run(gate: threading.Barrier = gate) -> None:
            gate.wait()
            for _ in range(CYCLES_PER_THREAD):
                cycle()

        threads = [threading.Thread(target=run) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        gate.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best / (THREADS * CYCLES_PER_THREAD) * 1e6


def contended() -> None:
    """Print the cost with many threads, beside QueuePool's."""
    print(f"acquire + release, {THREADS} threads on {PLACES} places:")
    pool: Pool[int, object] = Pool(
        PoolConfig(max_per_host=PLACES, acquire_timeout=60), close=lambda _: None
    )

    def cycle() -> None:
        lease = pool.acquire(0, NEVER)
        if lease.resource is None:
            lease.fill(object())
        lease.release()

    ours = contend(cycle)
    print(f"  pooledhttp: {ours:6.2f} us")
    theirs = queue_pool()
    if theirs is None:
        print("  SQLAlchemy is not installed: nothing to compare with")
    else:
        print(f"  QueuePool:  {theirs:6.2f} us   ours is x{ours / theirs:.2f}")


def queue_pool() -> float | None:
    """Return what SQLAlchemy's pool needs for the same, or None without it."""
    try:
        from sqlalchemy.pool import QueuePool
    except ImportError:
        return None

    class Connection:
        def close(self) -> None: ...
        def rollback(self) -> None: ...

    pool = QueuePool(Connection, pool_size=PLACES, max_overflow=0, timeout=60)  # type: ignore[arg-type]

    def cycle() -> None:
        pool.connect().close()

    return contend(cycle)


if __name__ == "__main__":
    uncontended()
    contended()
