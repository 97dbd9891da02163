"""Limits of one body while it is received: its size, its rate, and its lowest speed."""

from __future__ import annotations

from pooledhttp.bulk.options import Options
from pooledhttp.bulk.rates import LOW_SPEED_SECONDS, Allowance, Slowness
from pooledhttp.exceptions import BodyTimeout
from pooledhttp.runtime import Runtime

__all__ = ["Flow", "TooLarge", "TooSlow"]


class TooLarge(Exception):
    """A body has more bytes than it may have."""


class TooSlow(BodyTimeout):
    """A body has come more slowly than it may for a minute."""


class Flow:
    """Counts the pieces of one body against its limits.

    Args:
        options: The limits.
        allowance: The bytes a second of all bodies together; None for no limit.
        runtime: The clock, and how to wait.
        size: Bytes that are there from an earlier attempt.
    """

    def __init__(
        self, options: Options, allowance: Allowance | None, runtime: Runtime, size: int = 0
    ) -> None:
        self._most = options.max_size
        self._least = options.low_speed
        self._allowance = allowance
        self._runtime = runtime
        self._size = size
        self._waited = 0.0
        self._slowness = None if self._least is None else Slowness(self._least, runtime.now())

    def expect(self, size: int) -> None:
        """Note how many bytes a body has in all.

        Raises:
            TooLarge: It may not have as many.
        """
        if self._most is not None and size > self._most:
            raise TooLarge(f"more than {self._most} bytes")

    def take(self, size: int) -> None:
        """Note the next bytes, and wait until the next ones may be read.

        Raises:
            TooLarge: There are more than there may be.
            TooSlow: There have been too few in the last minute. Our own waits do not count.
        """
        self._size += size
        self.expect(self._size)
        if self._slowness is not None:
            if self._slowness.is_too_slow(size, self._runtime.now() - self._waited):
                raise TooSlow(
                    f"less than {self._least:g} bytes/s for {LOW_SPEED_SECONDS:.0f} seconds"
                )
        if self._allowance is not None:
            wait = self._allowance.take(size, self._runtime.now())
            if wait:
                self._runtime.sleep(wait)
                self._waited += wait
