"""The functions that the user of a pool passes to it, and how it calls them.

They run code of the user, which may take time, raise, or use the pool. So none of them is called
while the lock is held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from pooledhttp.pool.config import Limits, PoolConfig

__all__ = ["Callbacks"]

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

logger = logging.getLogger(__name__)


class Callbacks(Generic[K, R]):
    """The functions of the user, by which a pool closes and probes resources and describes keys.

    Args:
        close: Closes a resource.
        limits_for: Returns the limits of a key; None for those of `config`.
        is_alive: Probes an idle resource; with None, every idle resource counts as alive.
        describe: Returns the name of a key.
        dial_cost: Returns the CPU that one dial of a key costs; None if none has to be spared.
    """

    config: PoolConfig

    def __init__(
        self,
        *,
        close: Callable[[R], object],
        limits_for: Callable[[K], Limits] | None,
        is_alive: Callable[[R], bool] | None,
        describe: Callable[[K], str],
        dial_cost: Callable[[K], float] | None,
    ) -> None:
        self.close_resource = close
        self.limits_for = limits_for
        self.is_alive = is_alive
        self.describe = describe
        self.dial_cost = dial_cost

    def describe_new(self, key: K) -> tuple[str, Limits, float]:
        """Return what the state of a new key is made of."""
        cost = 0.0 if self.dial_cost is None else self.dial_cost(key)
        return self.describe(key), self.limits(key), cost

    def limits(self, key: K) -> Limits:
        """Return the limits of a key."""
        return self.config.limits if self.limits_for is None else self.limits_for(key)

    def close(self, resource: R | None) -> None:
        """Close a resource; never under the lock."""
        if resource is None:
            return
        try:
            self.close_resource(resource)
        except Exception as error:  # the slot must become free, so the resource counts as closed
            logger.warning("Closing %r failed", resource, exc_info=error)

    def finds_alive(self, resource: R | None) -> bool:
        """Probe an idle resource; return whether it is alive. Never under the lock.

        It calls the `is_alive` of the pool. For connections that is `Connection.is_alive`, which
        `transport/manager` passes to the pool.
        """
        is_alive = self.is_alive
        assert is_alive is not None and resource is not None
        try:
            return is_alive(resource)
        except Exception as error:  # a resource whose probe fails must not be used
            logger.debug("Probing %r failed", resource, exc_info=error)
            return False
