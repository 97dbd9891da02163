"""Trying again: whether, when, and how often in all.

    policy.py     `Retry`, urllib3's policy with full jitter and caps       decides
    budget.py     `RetryBudget` and `Pauses`, shared by all requests        counts
    failures.py   which errors a policy may see                             sorts
    attempts.py   `Attempts`, the loop of one request                       waits

This subpackage knows urllib3's errors and the statuses of responses. It knows no pool, socket or
message.
"""

from __future__ import annotations

from pooledhttp.retry.attempts import Attempt, Attempts
from pooledhttp.retry.budget import Pauses, RetryBudget
from pooledhttp.retry.failures import BodySpent, BudgetSpent, OriginPaused
from pooledhttp.retry.policy import Retry

__all__ = [
    "Attempt",
    "Attempts",
    "BodySpent",
    "BudgetSpent",
    "OriginPaused",
    "Pauses",
    "Retry",
    "RetryBudget",
]
