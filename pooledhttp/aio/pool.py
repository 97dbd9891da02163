"""`session.pool` of an `AsyncSession`: as that of a `Session`, but what waits is awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooledhttp.pool import Advice, PoolConfig, PoolStats
    from pooledhttp.runtime import EventedRuntime
    from pooledhttp.transport import PoolView

__all__ = ["AsyncPoolView"]


class AsyncPoolView:
    """A pool of connections, with the settings of its session for the routes of URLs.

    Args:
        view: The pool as synchronous code sees it.
        runtime: How that code waits.
    """

    def __init__(self, view: PoolView, runtime: EventedRuntime) -> None:
        self._view = view
        self._runtime = runtime

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncPoolView):
            return NotImplemented
        return self._view == other._view

    def __hash__(self) -> int:
        return hash(self._view)

    def __repr__(self) -> str:
        self._runtime.end_waits_of_closed_loop()
        return repr(self._view)

    # ---- numbers and limits

    @property
    def config(self) -> PoolConfig:
        """The settings in force."""
        return self._view.config

    def stats(self) -> PoolStats:
        """Return counts per origin and in total, as frozen values. From any thread."""
        self._runtime.end_waits_of_closed_loop()
        return self._view.stats()

    def advise(self) -> dict[str, Advice]:
        """Return how many connections each origin needs, by Little's law over what was measured."""
        return self._view.advise()

    def resize(self, config: PoolConfig) -> None:
        """Apply other limits; see `PoolView.resize`.

        Args:
            config: All settings, not only the changed ones: the others get their defaults.

        Raises:
            TypeError: It is not a `PoolConfig`.
        """
        self._view.resize(config)

    # ---- connections kept ready, and connections closed

    async def warm(self, url: str, count: int = 1, timeout: float | None = 10.0) -> int:
        """Open connections to the origin of `url` now, and keep that many ready from now on.

        Args:
            url: Any URL of the origin.
            count: The least number of idle connections; 0 ends an earlier `warm`.
            timeout: Seconds to wait for them; `None` for no limit.

        Returns:
            How many are idle, which may be less than `count`; see `PoolView.warm`.

        Raises:
            TypeError: `count` is not a whole number, or `timeout` no number.
            ValueError: `count` is negative, or `url` has no scheme.
            InvalidSchema: The URL's adapter has no pool of this package.
            PoolClosed: The pool was shut down.
        """
        return await self._runtime.run(self._view.warm, url, count, timeout)

    async def drain(self, timeout: float | None = None) -> bool:
        """Close for good, and wait until the connections in use are closed.

        Args:
            timeout: Seconds to wait for responses to end; `None` for no limit.

        Returns:
            Whether all were closed in time. The others are closed when their response ends.

        Raises:
            TypeError: `timeout` is no number.
        """
        return await self._runtime.run(self._view.drain, timeout)

    def evict(self, url: str) -> int:
        """Close the connections to the origin of `url`; those in use when their response ends.

        Returns:
            How many connections are closed, now or later.

        Raises:
            TypeError: `url` is not a string.
            ValueError: `url` has no scheme.
            InvalidSchema: The URL's adapter has no pool of this package.
        """
        return self._view.evict(url)

    def close_idle(self) -> None:
        """Close idle connections and stop keeping connections ready."""
        self._view.close_idle()

    def shutdown(self) -> None:
        """Close for good: requests that wait, and later ones, raise `PoolClosed`."""
        self._view.shutdown()
