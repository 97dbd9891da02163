"""The attempts of a request, of which mostly the first one is the last.

`Attempts` holds what deciding about a failure takes. urllib3's own `Retry` is not asked before the
first attempt: for it `Attempts` is made when that attempt has failed, or its response is refused. A
policy with a budget or pauses is asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import urllib3
from urllib3.response import BaseHTTPResponse

from pooledhttp.retry.attempts import Attempt, Attempts

__all__ = ["FirstAttempt", "attempts_for"]

#: The method as urllib3 defines it; `None` if it was replaced before this import.
_IS_RETRY: object = urllib3.Retry.is_retry
if getattr(_IS_RETRY, "__module__", None) != "urllib3.util.retry":
    _IS_RETRY = None


class FirstAttempt:
    """The first turn of the loop, with the methods of `Attempt`.

    Args:
        policy: A policy that is not asked before the first attempt.
        method: The method of the request.
        make: Makes the `Attempts` of the request.

    Attributes:
        rest: The attempts after this one; `None` as long as it has not failed.
    """

    __slots__ = ("_make", "_method", "policy", "rest")

    def __init__(self, policy: urllib3.Retry, method: str, make: Callable[[], Attempts]) -> None:
        self.policy = policy
        self._method = method
        self._make = make
        self.rest: Iterator[Attempt] | None = None

    def failed(self, error: Exception) -> None:
        """Decide about an error, as `Attempt.failed` does."""
        self._begun().failed(error)

    def refused_status(
        self, status: int, has_retry_after: bool, response: Callable[[], BaseHTTPResponse]
    ) -> bool:
        """Decide about a response, as `Attempt.refused_status` does."""
        policy = self.policy
        if (
            not has_retry_after
            and not policy.status_forcelist
            # As written, `is_retry` can only say no then.
            and urllib3.Retry.is_retry is _IS_RETRY
            and "is_retry" not in policy.__dict__
        ):
            return False
        if not policy.is_retry(self._method, status, has_retry_after):
            return False
        return self._begun().refused_by_policy(response(), has_retry_after=has_retry_after)

    def _begun(self) -> Attempt:
        self.rest = iter(self._make())
        return next(self.rest)  # the one that was made already


def attempts_for(
    policy: urllib3.Retry, method: str, make: Callable[[], Attempts]
) -> Iterator[Attempt | FirstAttempt]:
    """Yield the attempts of a request, as `Attempts` does.

    Args:
        policy: What decides.
        method: The method of the request.
        make: Makes the `Attempts` of the request.
    """
    if type(policy) is not urllib3.Retry:
        yield from make()
        return
    first = FirstAttempt(policy, method, make)
    yield first
    if first.rest is not None:
        yield from first.rest
