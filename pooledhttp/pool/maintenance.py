"""The part of a pool that is not on the path of a request: expiry, leaks, settings, closing, stats.

`PoolMaintenance` is the base class of `Pool` and has its public methods for all of that. They run
the steps of `pool_wide` and `checkout`. A method that walks over all keys takes the lock for
some of the keys at a time, so that no request waits for the whole walk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from math import inf
from typing import Generic, TypeVar

from pooledhttp.pool import reasons
from pooledhttp.pool.checkout import reserve_locked
from pooledhttp.pool.config import Limits, PoolConfig
from pooledhttp.pool.core import PoolCore
from pooledhttp.pool.key_state import UNLIMITED, KeyState
from pooledhttp.pool.lease import Lease
from pooledhttp.pool.pool_wide import (
    add_drainer_locked,
    count_new_leaks_locked,
    evict_locked,
    expire_due_locked,
    removed_stats_locked,
    resize_locked,
    shortage_locked,
    shut_down_locked,
    snapshots_locked,
)
from pooledhttp.pool.probing import discard_dead_locked, lend_oldest_locked, return_alive_locked
from pooledhttp.pool.state import PoolState
from pooledhttp.pool.stats import Advice, OriginStats, PoolStats, merge_stats
from pooledhttp.timing import Deadline

__all__ = ["PoolMaintenance"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

logger = logging.getLogger(__name__)

#: Seconds between two log lines about connections closed because the limit of idle ones is reached.
_OVERFLOW_LOG_SECONDS = 60.0

#: How many keys one step of a walk over all keys handles.
_KEYS_PER_STEP = 128


class PoolMaintenance(Generic[K, R]):
    """The methods of a pool that requests do not call. `Pool` sets `_core` and makes the leases."""

    _core: PoolCore[K, R]
    _overflow_log_at = -inf  # no line about closed connections before

    def _new_lease(self, key: K) -> Lease[K, R]:
        """Make a lease that has no slot yet."""
        raise NotImplementedError

    def end_dropped(self, serial: int) -> None:
        """End a lease that was dropped while it was in use."""
        raise NotImplementedError

    # -- expiry and leaks

    def sweep(self) -> float | None:
        """Close the expired idle resources, take lost leases back, and report leaks.

        Returns:
            Seconds until something can expire; None when nothing is open.
        """
        core = self._core
        self._reclaim_lost()
        while (soonest := core.step(expire_due_locked, _KEYS_PER_STEP)) <= core.now():
            pass
        core.step(PoolState.drop_unused_locked)
        if core.watches_leaks:
            soonest = min(soonest, self.report_leaks())
        core.emit_events()
        return None if not core.state.open_total else max(soonest - core.now(), 0.0)

    def _reclaim_lost(self) -> None:
        """End the leases that are gone: an interrupt came before the first line of `__del__`."""
        for serial, slot in list(self._core.state.held.items()):
            if slot.lease is not None and slot.lease() is None:
                self.end_dropped(serial)

    def report_leaks(self) -> float:
        """Report the leases that have not been used for `leak_threshold`.

        Each is reported once: as a warning in the log, as an event, and in the statistics.

        Returns:
            When to look again, on the pool's clock; `inf` without a threshold.
        """
        core = self._core
        threshold = core.config.leak_threshold
        if threshold is None:
            return inf
        found, soonest = core.step(count_new_leaks_locked, threshold)
        now = core.now()
        # A lease acquired later can become a leak before those seen now do.
        core.leak_check_at = min(soonest, now + threshold)
        for slot, unused_seconds in found:
            logger.warning(
                "A lease for %s has not been used for %.1f s (held for %.1f s%s)."
                " Read the response to its end or close it.",
                slot.origin, unused_seconds, now - slot.taken_at, slot.watch or "",
            )  # fmt: skip
        core.emit_events()
        return core.leak_check_at

    def _log_overflow(self) -> None:
        """Log, at most once a minute, that good connections are closed, and the limit to raise."""
        core = self._core
        state = core.state
        # Without the lock. If another thread notes an overflow in between, one log line is lost.
        key_state = state.overflowed
        state.overflowed = None
        now = core.now()
        if key_state is None or now < self._overflow_log_at:
            return
        self._overflow_log_at = now + _OVERFLOW_LOG_SECONDS
        # Read without the lock: the numbers of a log line may be a moment old.
        counters = key_state.counters
        if key_state.max_idle != UNLIMITED:
            setting, limit, wanted = "max_idle_per_host", key_state.max_idle, counters.peak
        else:
            setting, limit, wanted = "max_idle_total", state.max_idle_total, state.open_total
        logger.warning(
            "Connections to %s are closed because the pool keeps only %d idle (%s); %d of them "
            "so far. Set %s to %d to keep those that are used.",
            key_state.origin, limit, setting, counters.closed.get(reasons.IDLE_FULL, 0), setting,
            max(wanted, limit + 1),
        )  # fmt: skip

    def _key_states_in_parts(self) -> Iterator[list[KeyState[K, R]]]:
        """Yield the states of all keys, in lists that one step can handle."""
        key_states = list(self._core.state.keys.values())
        for start in range(0, len(key_states), _KEYS_PER_STEP):
            yield key_states[start : start + _KEYS_PER_STEP]

    # -- warm resources

    def try_reserve(self, key: K) -> Lease[K, R] | None:
        """Take an empty slot for warming: the caller fills it and releases it at once.

        The lease does not count as a request.

        Returns:
            The lease; None if there is no room within the limits.
        """
        lease = self._new_lease(key)
        _, has_slot = self._core.step_for_key(key, reserve_locked, lease)
        return lease if has_slot else None

    def shortage(self) -> list[tuple[K, int]]:
        """Return the keys with fewer idle resources than `min_idle`, and how many are missing."""
        return self._core.step(shortage_locked)

    def probe_idle(self) -> None:
        """Close dead idle resources of the keys that have a minimum of idle resources.

        The warmer calls this: peers close connections that are idle for long, and otherwise the
        next request would find out. For each key it probes the oldest first and stops at the first
        one that is alive, because peers close the oldest connections first, or all at once.
        """
        if self._core.is_alive is not None:
            for key_state in self._core.state.keys_with_minimum():
                while self._discard_oldest_if_dead(key_state):
                    pass
            self._core.emit_events()

    def _discard_oldest_if_dead(self, key_state: KeyState[K, R]) -> bool:
        """Probe the oldest idle resource of a key, and close it if it is dead.

        Returns:
            Whether it was dead; False if none is idle.
        """
        core = self._core
        # A lease holds the resource during the probe, so that an interrupt cannot lose it.
        lease = self._new_lease(key_state.key)
        try:
            if not core.step(lend_oldest_locked, key_state, lease):
                return False
            assert lease.resource is not None
            is_alive = core.finds_alive(lease.resource)
            core.step(return_alive_locked if is_alive else discard_dead_locked, lease)
        except BaseException:
            lease.discard(reasons.INTERRUPTED)
            raise
        return not is_alive

    # -- new settings, and closing

    def resize(
        self, config: PoolConfig, *, limits_for: Callable[[K], Limits] | None = None
    ) -> None:
        """Apply new settings: serve callers if there is room now, close surplus idle resources.

        Args:
            config: The settings.
            limits_for: Replaces the function that returns the limits of a key; None keeps it.
        """
        core = self._core
        if limits_for is not None:
            core.limits_for = limits_for
        core.apply_config(config)
        limits: dict[K, Limits] = {}
        is_done = False
        while not is_done:  # once more if other keys were added meanwhile
            for key in list(core.state.keys):
                if key not in limits:
                    limits[key] = core.limits(key)
            is_done = core.step(resize_locked, config, limits)
        core.emit_events()

    def evict(self, which: K | Callable[[K], bool]) -> int:
        """Close the idle resources of a key now, and those in use when their lease ends.

        Args:
            which: A key, or a function that returns True for each key to evict.

        Returns:
            How many resources are closed, now or later.
        """
        matches = which if callable(which) else None
        key_states = [
            key_state
            for key, key_state in list(self._core.state.keys.items())
            if (matches(key) if matches is not None else key == which)
        ]
        return self._evict_keys(key_states, reasons.EVICTED)

    def close_idle(self) -> None:
        """Close all resources: idle ones now, and those in use when their lease ends.

        The pool stays usable.
        """
        self._evict_keys(list(self._core.state.keys.values()), reasons.CLOSED)

    def _evict_keys(self, key_states: Iterable[KeyState[K, R]], reason: str) -> int:
        count = sum(self._core.step(evict_locked, key_state, reason) for key_state in key_states)
        self._core.emit_events()
        return count

    def shutdown(self) -> None:
        """Close the pool for good.

        Waiting callers get `PoolClosed` at once. Resources in use are closed when their lease ends.
        """
        self._core.step(shut_down_locked)
        self._core.emit_events()

    def drain(self, deadline: Deadline) -> bool:
        """Shut down, and wait until all leases have ended and everything is closed.

        Returns:
            Whether everything is closed; False if the deadline came first.
        """
        core = self._core
        waiter = core.runtime.waiter()
        self.shutdown()
        if core.step(add_drainer_locked, waiter):
            waiter.wait(deadline)
        return not core.state.open_total

    # -- numbers

    def stats(self) -> PoolStats:
        """Return a snapshot.

        The numbers of one key are of the same moment. Those of different keys are not, because the
        lock is released in between. Keys with the same name, such as the routes to one origin,
        become one origin.
        """
        core = self._core
        core.settle()  # leases whose end is still noted have ended, as their callers see it
        parts: dict[str, list[OriginStats]] = {}
        for key_states in self._key_states_in_parts():
            for part in core.step(snapshots_locked, key_states):
                parts.setdefault(part.origin, []).append(part)
        origins: Mapping[str, OriginStats] = {
            origin: same[0] if len(same) == 1 else merge_stats(origin, same, _sum_of_maxima(same))
            for origin, same in parts.items()
        }
        dropped = core.step(removed_stats_locked)
        total = merge_stats("", [*origins.values(), dropped], core.config.max_total)
        return PoolStats(total, origins)

    def advise(self) -> dict[str, Advice]:
        """Return how many resources each origin needs, by the load of the last minute."""
        return {
            origin: Advice(
                origin,
                stats.acquired_per_second,
                stats.mean_hold_seconds,
                max(stats.advised, 1),
                stats.max_open,
                stats.peak,
            )
            for origin, stats in self.stats().origins.items()
            if stats.acquired_per_second
        }


def _sum_of_maxima(parts: list[OriginStats]) -> int | None:
    """Return how many resources the keys of one origin may have together; None for no limit."""
    maxima = [part.max_open for part in parts if part.max_open is not None]
    return sum(maxima) if len(maxima) == len(parts) else None
