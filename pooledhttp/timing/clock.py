"""What a clock is: a callable that gives seconds and never goes back.

Wall-clock time jumps (NTP, suspended laptops, daylight saving by hand), so durations are only ever
taken from a monotonic clock. Everything that measures time takes its clock as an argument; tests
pass one they can turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "monotonic"]

#: Seconds from an arbitrary but fixed start; two readings may be subtracted, one means nothing.
Clock = Callable[[], float]

#: The clock used where none is passed in.
monotonic: Clock = time.monotonic
