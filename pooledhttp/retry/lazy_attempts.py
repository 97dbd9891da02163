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

__all__ = ["LazyAttempts"]

#: The method as urllib3 defines it; `None` if it was replaced before this import.
_IS_RETRY: object = urllib3.Retry.is_retry
if getattr(_IS_RETRY, "__module__", None) != "urllib3.util.retry":
    _IS_RETRY = None


class LazyAttempts:
    """The attempts of one request: the base of what is sent in a loop.

    After `begin_attempts` and a send, `failed` or `refused_status` decides; `wait` comes before the
    next one.

    Attributes:
        policy: The policy in its present state.
        method: The method of the request.
    """

    __slots__ = ("_current", "_rest", "method", "policy")

    policy: urllib3.Retry
    method: str
    #: The present attempt; `None` is the first one as long as `Attempts` is not needed.
    _current: Attempt | None
    _rest: Iterator[Attempt]

    def make_attempts(self) -> Attempts:
        """Return the `Attempts` of the request; a subclass knows what they need."""
        raise NotImplementedError

    def begin_attempts(self) -> None:
        """Ask the policy for the first attempt, unless it is of urllib3's own class."""
        self._current = None
        if type(self.policy) is not urllib3.Retry:
            self._begin()

    def failed(self, error: Exception) -> None:
        """Decide about an error, as `Attempt.failed` does."""
        (self._current or self._begin()).failed(error)

    def refused_status(
        self, status: int, has_retry_after: bool, response: Callable[[], BaseHTTPResponse]
    ) -> bool:
        """Decide about a response, as `Attempt.refused_status` does."""
        policy = self.policy
        if self._current is not None:
            return self._current.refused_status(status, has_retry_after, response)
        if (
            not has_retry_after
            and not policy.status_forcelist
            # As written, `is_retry` can only say no then.
            and urllib3.Retry.is_retry is _IS_RETRY
            and "is_retry" not in policy.__dict__
        ):
            return False
        if not policy.is_retry(self.method, status, has_retry_after):
            return False
        return self._begin().refused_by_policy(response(), has_retry_after=has_retry_after)

    def wait(self) -> None:
        """Wait until the request is to be sent again; `failed` or `refused_status` said so."""
        self._current = next(self._rest)
        self.policy = self._current.policy

    def _begin(self) -> Attempt:
        self._rest = iter(self.make_attempts())
        self._current = next(self._rest)  # waits only for a policy with pauses
        return self._current
