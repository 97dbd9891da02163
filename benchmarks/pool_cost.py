"""The cost of the pool itself: acquire and release, without a network.

    python benchmarks/pool_cost.py
    valgrind --tool=callgrind python benchmarks/pool_cost.py cycle 1000      counts instructions
    valgrind --tool=callgrind python benchmarks/pool_cost.py lock 1000

1. One thread, with 1, 100 and 10,000 origins, and with 10 and 5,000 idle connections. The cost
   should not grow, so the ratios to the first line are printed. Origins are visited in turn. The
   scattered line visits ten thousand of them in an order that no prefetching foresees. It costs
   more because the memory is in no cache of the processor, not because the pool does more: the line
   that visits one of the ten thousand again and again shows it.
2. The ways to guard a step, each with an empty step: why `PoolCore` has the one it has.
3. 64 threads on 16 slots, beside SQLAlchemy's QueuePool with the same load, if it is installed.

Times are processor time of the measuring thread in parts 1 and 2, wall time in part 3, and the best
of several rounds. On a busy machine compare instructions: run `cycle` or a guard with two counts
under callgrind, and divide the difference.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pooledhttp.pool import Pool, PoolConfig
from pooledhttp.timing import Deadline

NEVER = Deadline.never()
ROUNDS = 15
CYCLES = 20_000
THREADS = 64
SLOTS = 16
CYCLES_PER_THREAD = 400


def fill_pool(origins: int, idle_each: int) -> Pool[int, object]:
    """Make a pool with so many origins, each with so many idle connections."""
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
    """Print the cost with few and with many origins and idle connections."""
    print("acquire + release, one thread:")
    # Origins, idle connections of each, origins visited, and the step from one to the next.
    shapes = ((1, 1, 1, 1), (100, 1, 100, 1), (10_000, 1, 10_000, 1), (10_000, 1, 10_000, 7_919),
              (10_000, 1, 1, 1), (1, 10, 1, 1), (1, 5_000, 1, 1), (100, 50, 100, 1))  # fmt: skip
    pools = [fill_pool(origins, idle_each) for origins, idle_each, _, _ in shapes]
    keys = [[n * step % visited for n in range(CYCLES)] for _, _, visited, step in shapes]
    best = [float("inf")] * len(shapes)
    for _ in range(ROUNDS):  # in turn, so that a busy moment of the machine affects all of them
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
    """Print the cost with many threads, beside that of QueuePool."""
    print(f"acquire + release, {THREADS} threads on {SLOTS} slots:")
    pool: Pool[int, object] = Pool(
        PoolConfig(max_per_host=SLOTS, acquire_timeout=60), close=lambda _: None
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
    """Return the cost of SQLAlchemy's pool for the same load, or None without it."""
    try:
        from sqlalchemy.pool import QueuePool
    except ImportError:
        return None

    class Connection:
        def close(self) -> None: ...
        def rollback(self) -> None: ...

    pool = QueuePool(Connection, pool_size=SLOTS, max_overflow=0, timeout=60)  # type: ignore[arg-type]

    def cycle() -> None:
        pool.connect().close()

    return contend(cycle)


# -- guards: each runs an empty step so many times


class _Core:
    in_step = False


_core = _Core()
_lock = threading.Lock()
_rlock = threading.RLock()


def by_lock(count: int, lock: AbstractContextManager[bool] = _lock) -> None:
    """`with lock:`, and a flag during the step, as `PoolCore.step` has them."""
    core = _core
    for _ in range(count):
        with lock:
            if core.in_step:
                raise AssertionError
            core.in_step = True
            core.in_step = False


def by_rlock(count: int) -> None:
    """The same with an `RLock`."""
    by_lock(count, _rlock)


def by_loop(count: int) -> None:
    """The lock taken without waiting, as `PoolCore.try_step` does."""
    core, lock = _core, _lock
    for _ in range(count):
        for is_taken in map(lock.acquire, (False,)):
            if is_taken:
                try:
                    if core.in_step:
                        raise AssertionError
                    core.in_step = True
                    core.in_step = False
                finally:
                    lock.release()


class _Guard:
    """A context manager. An interrupt at the end of `__enter__` leaves the lock taken."""

    def __enter__(self) -> None:
        _lock.acquire()
        if _core.in_step:
            raise AssertionError
        _core.in_step = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _core.in_step = kind is not None
        _lock.release()


def by_class(count: int) -> None:
    """A context manager of a class."""
    guard = _Guard()
    for _ in range(count):
        with guard:
            pass


@contextmanager
def _guard() -> Iterator[None]:
    with _lock:
        if _core.in_step:
            raise AssertionError
        _core.in_step = True
        yield
        _core.in_step = False


def by_generator(count: int) -> None:
    """A context manager of a generator."""
    for _ in range(count):
        with _guard():
            pass


def cycle(count: int) -> None:
    """Acquire and release."""
    measure(fill_pool(1, 1), [0] * count)


GUARDS: dict[str, Callable[[int], None]] = {
    "lock": by_lock,
    "rlock": by_rlock,
    "loop": by_loop,
    "class": by_class,
    "generator": by_generator,
}


def guards() -> None:
    """Print the cost of an empty step under each guard."""
    print("an empty step:")
    best = dict.fromkeys(GUARDS, float("inf"))
    for _ in range(ROUNDS):
        for name, run in GUARDS.items():
            start = time.thread_time()
            run(CYCLES)
            best[name] = min(best[name], (time.thread_time() - start) / CYCLES * 1e6)
    for name, cost in best.items():
        print(f"  {name:<9}: {cost:5.2f} us   x{cost / best['lock']:.2f}   {GUARDS[name].__doc__}")


def main() -> None:
    """Run one loop as often as the arguments say, or print all three parts."""
    if len(sys.argv) == 3:
        (GUARDS | {"cycle": cycle})[sys.argv[1]](int(sys.argv[2]))
        return
    uncontended()
    guards()
    contended()


if __name__ == "__main__":
    main()
