"""Trying again: whether, when, and how often in all.

    policy.py         `Retry`, urllib3's policy with full jitter and caps       decides
    budget.py         `RetryBudget` and `Pauses`, shared by all requests        counts
    failures.py       which errors a policy may see                             sorts
    attempts.py       `Attempts`, the loop of one request                       waits
    lazy_attempts.py  `LazyAttempts`, which makes `Attempts` when it is needed

This subpackage knows urllib3's errors and the statuses of responses. It knows no pool, socket or
message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooledhttp.loading import load_when_used as _load_when_used
from pooledhttp.retry.budget import Pauses, RetryBudget
from pooledhttp.retry.policy import Retry

if TYPE_CHECKING:
    from pooledhttp.retry.attempts import Attempt, Attempts
    from pooledhttp.retry.failures import BodySpent, BudgetSpent, OriginPaused
    from pooledhttp.retry.lazy_attempts import LazyAttempts

__all__ = [
    "Attempt",
    "Attempts",
    "BodySpent",
    "BudgetSpent",
    "LazyAttempts",
    "OriginPaused",
    "Pauses",
    "Retry",
    "RetryBudget",
]

__getattr__ = _load_when_used(
    globals(),
    {
        "attempts": ("Attempt", "Attempts"),
        "failures": ("BodySpent", "BudgetSpent", "OriginPaused"),
        "lazy_attempts": ("LazyAttempts",),
    },
)
