"""Time: one clock passed in, one deadline handed down, one plan made of any `timeout=`.

This subpackage knows seconds. It never waits; `runtime` does.
"""

from __future__ import annotations

from pooledhttp.timing.clock import Clock, monotonic
from pooledhttp.timing.deadline import Deadline
from pooledhttp.timing.spent import Spent
from pooledhttp.timing.timeouts import (
    Timeout,
    TimeoutPlan,
    plan_timeout,
    timeout_pair,
    total_left,
)

__all__ = [
    "Clock",
    "Deadline",
    "Spent",
    "Timeout",
    "TimeoutPlan",
    "monotonic",
    "plan_timeout",
    "timeout_pair",
    "total_left",
]
