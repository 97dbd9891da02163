"""`Retry`: urllib3's policy, with waits and limits that do not overload a server.

urllib3's `Retry` stays what says *whether* a request is tried again: it counts, by kind of failure,
and every `increment` gives a new policy with one more entry in `history`. It is accepted as it is
wherever a policy is. The subclass here changes *how long* and *how often in all*:

    backoff      urllib3: 0, 2f, 4f, 8f, ... the same for every client (f = `backoff_factor`)
                 here:    a random time between 0 and f, 2f, 4f, 8f, ... ("full jitter"), so that
                          clients that failed together do not return together
    Retry-After  capped by `max_retry_after`
    budget       retries of all requests to an origin are a share of its traffic; see `budget.py`
    pause        a `Retry-After` of one thread's response is kept by all threads; see `budget.py`

The policy only decides. `attempts.py` asks it, and sleeps.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from itertools import takewhile
from operator import attrgetter
from typing import Any, ClassVar, Self, TypedDict, Unpack

import urllib3
from urllib3.exceptions import InvalidHeader
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import RequestHistory

from pooledhttp.records import argument_names, unknown_argument
from pooledhttp.retry.budget import Pauses, RetryBudget

__all__ = [
    "DEFAULT_MAX_RETRY_AFTER",
    "Retry",
    "counts_itself",
    "retry_after_seconds",
    "sleeps_itself",
]

#: Longest `Retry-After` that is waited out unless set, in seconds; urllib3's own bound is 6 hours.
DEFAULT_MAX_RETRY_AFTER = 120.0

#: Doublings after which the backoff grows no more; keeps a long history from overflowing a float.
_MAX_DOUBLINGS = 60


#: Arguments that are computed with, and that urllib3 does not check.
_NUMBERS = (
    "total",
    "connect",
    "read",
    "redirect",
    "status",
    "other",
    "backoff_factor",
    "backoff_max",
    "backoff_jitter",
    "max_retry_after",
    "retry_after_max",
)

#: What others call an argument, where that name is not near enough to be guessed.
_NAMES_ELSEWHERE = {
    "max_retries": "total",
    "retries": "total",
    "attempts": "total",
    "max_attempts": "total",
    "times": "total",
    "backoff": "backoff_factor",
    "jitter": "backoff_jitter",
    "methods": "allowed_methods",
    "method_whitelist": "allowed_methods",
    "statuses": "status_forcelist",
    "status_codes": "status_forcelist",
}


class _Settings(TypedDict, total=False):
    """Keyword arguments of urllib3's policy that are handed on to it."""

    allowed_methods: Collection[str] | None
    status_forcelist: Collection[int] | None
    backoff_factor: float
    backoff_max: float
    raise_on_redirect: bool
    raise_on_status: bool
    history: tuple[RequestHistory, ...] | None
    respect_retry_after_header: bool
    remove_headers_on_redirect: Collection[str]
    backoff_jitter: float
    retry_after_max: int


class Retry(urllib3.Retry):
    """A urllib3 `Retry` with full jitter, a retry budget, and pauses shared by all threads.

    Works wherever urllib3's does: `new`, `increment`, `from_int`, pickling and every argument are
    kept. Policies are values; what they share lives in the `RetryBudget` and `Pauses` they name.

    Args:
        total: Retries in all, of any kind; `None` leaves it to the other counts, `False`
            switches retrying off and raises the first error as it is.
        connect: Retries after failures to connect. `None` leaves it to `total`, as for all of
            these counts.
        read: Retries after failures to read.
        redirect: Not used: the session follows redirects.
        status: Retries after a status of `status_forcelist`, or one with `Retry-After`.
        other: Retries after other failures.
        *further: Further positional arguments of `urllib3.Retry`, in its order.
        max_retry_after: Longest time in seconds for which a `Retry-After` is obeyed; a longer one
            is cut to it. `None` takes `retry_after_max` if that is given, else 120.
        budget: `True` draws on the budget of the session that sends the request, `False` on none;
            a `RetryBudget` is shared by all policies that hold it.
        pause: `True` keeps the pauses of the session that sends the request, `False` none;
            a `Pauses` is shared by all policies that hold it.
        rng: Where the jitter comes from; `None` is the `random` module.
        **settings: Keyword arguments of `urllib3.Retry`: `allowed_methods`, `status_forcelist`,
            `backoff_factor` and `backoff_max` in seconds, `raise_on_status`,
            `respect_retry_after_header`, and the rest.

    Raises:
        ValueError: `max_retry_after` is negative.
        TypeError: There is no such argument, or one is of another type.
    """

    #: What `from_int(None)` gives.
    DEFAULT: ClassVar[urllib3.Retry]

    def __init__(
        self,
        total: bool | int | None = 10,
        connect: int | None = None,
        read: int | None = None,
        redirect: bool | int | None = None,
        status: int | None = None,
        other: int | None = None,
        *further: Any,
        max_retry_after: float | None = None,
        budget: RetryBudget | bool = True,
        pause: Pauses | bool = True,
        rng: random.Random | None = None,
        **settings: Unpack[_Settings],
    ) -> None:
        counts = {"connect": connect, "read": read, "redirect": redirect, "status": status}
        numbers = {"total": total, **counts, "other": other, "max_retry_after": max_retry_after}
        _check_settings({**settings, **numbers})
        try:
            super().__init__(total, connect, read, redirect, status, other, *further, **settings)
        except TypeError:
            names = (*argument_names(urllib3.Retry.__init__), *argument_names(Retry.__init__))
            known = list(dict.fromkeys(names))  # `total` is in both
            for name in settings:
                if name not in known:
                    raise unknown_argument("Retry", name, known, (), _NAMES_ELSEWHERE) from None
            raise
        if max_retry_after is None:
            max_retry_after = settings.get("retry_after_max", DEFAULT_MAX_RETRY_AFTER)
        if max_retry_after < 0:
            raise ValueError(f"max_retry_after must not be negative, not {max_retry_after}")
        if not isinstance(budget, (bool, RetryBudget)):
            raise TypeError(f"budget must be True, False or a RetryBudget, not {budget!r}")
        if not isinstance(pause, (bool, Pauses)):
            raise TypeError(f"pause must be True, False or Pauses, not {pause!r}")
        self.max_retry_after = max_retry_after
        self.budget = budget
        self.pause = pause
        self.rng = rng

    def new(self, **kw: Any) -> Self:
        """Make a copy with some arguments changed.

        Args:
            **kw: The arguments that change, by name.
        """
        kept: dict[str, Any] = {
            "max_retry_after": self.max_retry_after,
            "budget": self.budget,
            "pause": self.pause,
            "rng": self.rng,
        }
        return super().new(**{**kept, **kw})

    def get_backoff_time(self) -> float:
        """Draw the seconds to wait before the next attempt.

        The first retry waits as well: clients that failed together would return at once.
        """
        failures = sum(
            1 for _ in takewhile(lambda past: past.redirect_location is None, self.history[::-1])
        )
        if not failures:
            return 0.0
        longest = self.backoff_factor * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
        longest = max(0.0, min(self.backoff_max, longest + self.backoff_jitter))
        return self.uniform(longest)

    def parse_retry_after(self, retry_after: str) -> float:
        """Read a `Retry-After` value (RFC 9110, section 10.2.3), cut to `max_retry_after` seconds.

        Args:
            retry_after: The value: seconds, or a date.

        Returns:
            Seconds to wait.

        Raises:
            InvalidHeader: It is neither.
        """
        return min(super().parse_retry_after(retry_after), self.max_retry_after)

    def uniform(self, longest: float) -> float:
        """Draw a time between 0 and `longest` seconds."""
        return random.uniform(0.0, longest) if self.rng is None else self.rng.uniform(0.0, longest)


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what urllib3 takes and only fails with after the first failure of a request.

    Args:
        settings: The arguments by name.

    Raises:
        TypeError: One is of a wrong type.
    """
    for name in _NUMBERS:
        number = settings.get(name)
        if not (number is None or hasattr(number, "__float__") or hasattr(number, "__index__")):
            raise TypeError(f"{name} must be a number, not {number!r}")
    for name in ("allowed_methods", "remove_headers_on_redirect"):
        names = settings.get(name)
        is_all = name == "allowed_methods" and not names  # False stands for all methods
        if isinstance(names, (int, float)) and not is_all:
            raise TypeError(f"{name} must be a collection of names, not {names!r}")
    statuses = settings.get("status_forcelist")
    if isinstance(statuses, int):
        raise TypeError(
            f"status_forcelist must be a collection, such as [{statuses}], not {statuses}"
        )
    listed = statuses if isinstance(statuses, (list, tuple, set, frozenset)) else ()
    if isinstance(statuses, str) or any(isinstance(each, str) for each in listed):
        raise TypeError(f"status_forcelist must have whole numbers, as [503] has, not {statuses!r}")


Retry.DEFAULT = Retry(3)

# As they were at import: a method that is overridden, or patched later, differs.
_SLEEPERS = attrgetter("sleep", "sleep_for_retry", "_sleep_backoff")
_URLLIB3_SLEEPERS = _SLEEPERS(urllib3.Retry)
_URLLIB3_INCREMENT = urllib3.Retry.increment


def sleeps_itself(policy: urllib3.Retry) -> bool:
    """Whether a policy overrides a method of urllib3's that sleeps, and so is to be called."""
    return bool(_SLEEPERS(type(policy)) != _URLLIB3_SLEEPERS)


def counts_itself(policy: urllib3.Retry) -> bool:
    """Whether a policy overrides `increment`, and so decides which errors are retried."""
    return type(policy).increment is not _URLLIB3_INCREMENT


def retry_after_seconds(policy: urllib3.Retry, response: BaseHTTPResponse) -> float | None:
    """Return how long a response asks the client to wait, or `None` if the policy ignores it.

    A value that is neither seconds nor a date counts as not given: a request must not fail
    because of advice that cannot be read.
    """
    if not policy.respect_retry_after_header:
        return None
    try:
        return policy.get_retry_after(response)
    except (InvalidHeader, ValueError, OverflowError):
        return None
