"""The one loop that sends a request more than once, and the one place that sleeps.

    attempts = Attempts(policy, method="GET", url="/", ...)
    for attempt in attempts:
        try:
            response = send()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            attempt.failed(error)           # raises, or the loop goes on
        else:
            if not attempt.refused(response):
                return response

`failed` and `refused` decide; the loop's next turn waits. A refused response is read or closed
before that, so its connection is free during the wait. The order of the questions:

    1. is it an error a policy may see?         the pool's own errors pass through untouched
    2. was the request written, and is the
       method one that may run twice?           for any kind of error
    3. does the policy have a retry left?       urllib3's `increment`, unchanged
    4. is the wait over before the deadline?    else the last error, now (a policy that
                                                overrides urllib3's `sleep` waits as it likes, and
                                                the deadline ends that)
    5. can the body be sent again?              else `BodySpent`
    6. does the origin's budget allow it?       else `BudgetSpent`; asked last, since asking spends

After a response the sixth question is asked immediately: the server works and is busy, so an empty
budget ends the loop. After an error it is asked when the wait is over: a request that finds the
budget empty sends nothing, and waits again as if it had failed once more. So during an outage each
request waits as long as its policy allows, and together they send no more than the budget allows.

Errors are urllib3's, or subclasses of them. Nothing here knows connections, pools or responses
beyond `status` and `headers`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError, UnrewindableBodyError
from urllib3.response import BaseHTTPResponse

from pooledhttp.retry.budget import Pauses, RetryBudget
from pooledhttp.retry.failures import (
    BodySpent,
    BudgetSpent,
    OriginPaused,
    as_urllib3,
    caused,
    is_for_the_policy,
    may_have_been_written,
)
from pooledhttp.retry.policy import Retry, counts_itself, retry_after_seconds, sleeps_itself
from pooledhttp.runtime import Runtime, remove_tracebacks
from pooledhttp.timing import Deadline

__all__ = ["Attempt", "Attempts"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Statuses whose `Retry-After` holds for all requests to the origin, not for this one alone.
_PAUSING_STATUSES = frozenset({429, 503})

#: Requests that waited for a pause are spread over a tenth of it, at most this many seconds.
_MAX_SPREAD = 1.0


class Attempt:
    """One turn of the loop. Tell it how sending went, once."""

    __slots__ = ("_attempts", "number")

    number: int

    def __init__(self, attempts: Attempts, number: int) -> None:
        self._attempts = attempts
        self.number = number

    def failed(self, error: Exception) -> None:
        """Decide about an error; returns when the request is to be sent again.

        Args:
            error: What sending, or reading the response, raised.

        Raises:
            MaxRetryError: The policy allows no more; `reason` is the error.
            BodySpent: A retry was due and the body cannot be sent again.
            Exception: `error` itself: the policy does not retry its kind at all, or there is no
                time left to.
        """
        self._attempts._failed(error, self.number)

    def refused(self, response: BaseHTTPResponse) -> bool:
        """Decide about a response; it has been disposed of when the request is to be sent again.

        Returns:
            False when this is the response to give to the caller.

        Raises:
            MaxRetryError: Only another attempt could help, and no more are allowed;
                `reason` is a `ResponseError`. Not with `raise_on_status=False`, which makes the
                last response the one to give.
            BodySpent: A retry was due and the body cannot be sent again; likewise.
        """
        has_retry_after = bool(response.headers.get("Retry-After"))
        return self.refused_status(response.status, has_retry_after, lambda: response)

    def refused_status(
        self, status: int, has_retry_after: bool, response: Callable[[], BaseHTTPResponse]
    ) -> bool:
        """Do what `refused` does, without a response as long as its status is not refused.

        Args:
            status: The status code.
            has_retry_after: Whether the response has a `Retry-After` field that is not empty.
            response: Returns the response.
        """
        return self._attempts._refused(status, has_retry_after, response, self.number)

    def refused_by_policy(self, response: BaseHTTPResponse, *, has_retry_after: bool) -> bool:
        """Do what `refused` does for a response that the policy has refused already."""
        return self._attempts._retry_refused(
            response.status, has_retry_after, response, self.number
        )

    @property
    def policy(self) -> urllib3.Retry:
        """The policy in its present state."""
        return self._attempts.policy


class Attempts:
    """The attempts of one request, as a loop.

    Args:
        policy: A `pooledhttp.Retry`, or urllib3's own, which then has neither budget nor pauses.
        method: The request's method.
        url: What urllib3 would be given: the target as sent. For messages and `history`.
        origin: The server, without credentials: the key of budgets and pauses.
        runtime: How to wait, and what time it is.
        deadline: No wait goes beyond it.
        pool_label: Shown as the pool in urllib3's messages; has `host` and `port`.
        budget: The session's, for policies without one of their own.
        pauses: The session's, for policies without some of their own.
        can_resend: Whether the body can be sent (again) from its start.
        rewind: Put the body back to its start.
        dispose: Reads or closes a refused response; urllib3's `drain_conn` by default.
        on_retry: Called before the wait with the retry's number (from 1), the seconds of the wait,
            and the reason in a few words.
    """

    policy: urllib3.Retry

    def __init__(
        self,
        policy: urllib3.Retry,
        *,
        method: str,
        url: str,
        origin: str,
        runtime: Runtime,
        deadline: Deadline,
        pool_label: object = None,
        budget: RetryBudget | None = None,
        pauses: Pauses | None = None,
        can_resend: Callable[[], bool] | None = None,
        rewind: Callable[[], None] | None = None,
        dispose: Callable[[BaseHTTPResponse], None] | None = None,
        on_retry: Callable[[int, float, str], None] | None = None,
    ) -> None:
        self.policy = policy
        self._method = method
        self._url = url
        self._origin = origin
        self._runtime = runtime
        self._deadline = deadline
        self._pool: Any = pool_label
        self._budget: RetryBudget | None = _chosen(getattr(policy, "budget", False), budget)
        self._pauses: Pauses | None = _chosen(getattr(policy, "pause", False), pauses)
        self._can_resend = can_resend
        self._rewind = rewind
        self._dispose = dispose
        self._on_retry = on_retry
        self._go_on = True
        self._delay = 0.0
        #: The `sleep` of a policy that overrides it, and the error for the end of the deadline.
        self._own_sleep: tuple[Callable[[], None], Exception] | None = None
        self._unpaid: Exception | None = None  # its retry is still to be taken from the budget

    def __iter__(self) -> Iterator[Attempt]:
        if self._budget is not None:
            self._budget.count_request(self._origin, self._runtime.now())
        number = 0
        while self._go_on:
            self._wait()
            if self._unpaid is not None and not self._pay():
                logger.info("The retry budget of %s is used up; waiting for a turn", self._origin)
                self._decide_unpaid(self._unpaid)
                continue
            self._go_on = False  # until `failed` or `refused` says so
            number += 1
            yield Attempt(self, number)

    # ------------------------------------------------------------ deciding

    def _failed(self, error: Exception, number: int) -> None:
        error = as_urllib3(error)
        if not is_for_the_policy(error):
            raise error
        if (
            may_have_been_written(error)
            and not self.policy._is_method_retryable(self._method)
            and not counts_itself(self.policy)
        ):
            raise error
        self._decide(error)
        # The error stays in `history`, which the response keeps.
        remove_tracebacks(error)
        logger.warning("Trying %s again in %.3f s after %r", self._origin, self._delay, error)
        self._notify(number, type(error).__name__)

    def _decide(self, error: Exception) -> None:
        policy = self.policy.increment(
            self._method, self._url, error=error, _pool=self._pool, _stacktrace=error.__traceback__
        )
        delay = 0.0 if sleeps_itself(policy) else policy.get_backoff_time()
        obstacle = self._obstacle(delay, error, error)
        if obstacle is not None:
            raise obstacle
        self._schedule(policy, delay, error, unpaid=error)

    def _decide_unpaid(self, failure: Exception) -> None:
        """Wait for another turn, as after one more failure; nothing was sent."""
        try:
            self._decide(failure)
        except MaxRetryError as error:
            raise self._budget_spent(error.reason) from error.reason

    def _budget_spent(self, reason: Exception | None) -> BudgetSpent:
        return BudgetSpent(self._pool, self._url, reason, self._origin)

    def _refused(
        self,
        status: int,
        has_retry_after: bool,
        get_response: Callable[[], BaseHTTPResponse],
        number: int,
    ) -> bool:
        if has_retry_after and status in _PAUSING_STATUSES:
            self._pause_origin(get_response())
        if not self.policy.is_retry(self._method, status, has_retry_after):
            return False
        return self._retry_refused(status, has_retry_after, get_response(), number)

    def _retry_refused(
        self, status: int, has_retry_after: bool, response: BaseHTTPResponse, number: int
    ) -> bool:
        try:
            policy = self.policy.increment(
                self._method, self._url, response=response, _pool=self._pool
            )
            delay = self._delay_after(policy, response)
            reason = ResponseError(
                ResponseError.SPECIFIC_ERROR.format(status_code=status) + self._lateness(delay)
            )
            exhausted = caused(MaxRetryError(self._pool, self._url, reason), reason)
            obstacle = self._obstacle(delay, reason, exhausted)
            # A 429 without Retry-After is retried because the user named it: the count is theirs.
            is_free = status == 429 and not has_retry_after
            if obstacle is None and not self._pay() and not is_free:
                logger.info("The retry budget of %s is used up; giving up", self._origin)
                obstacle = caused(self._budget_spent(reason), reason)
            if obstacle is not None:
                raise obstacle
        except (MaxRetryError, BodySpent):
            if not self.policy.raise_on_status:
                return False
            self._discard(response)
            raise
        self._discard(response)
        logger.debug("Trying %s again in %.3f s after status %d", self._origin, delay, status)
        self._schedule(policy, delay, exhausted, response=response)
        self._notify(number, f"status {status}")
        return True

    @staticmethod
    def _delay_after(policy: urllib3.Retry, response: BaseHTTPResponse) -> float:
        if sleeps_itself(policy):
            return 0.0
        # As urllib3: "Retry-After: 0" gives no time, so the backoff does.
        return retry_after_seconds(policy, response) or policy.get_backoff_time()

    def _obstacle(
        self, delay: float, reason: Exception, out_of_time: Exception
    ) -> Exception | None:
        """Return the error to raise if a retry that the policy allows cannot be made."""
        if max(delay, self._pause_left()) >= self._deadline.remaining():
            return out_of_time
        return self._rewind_body(reason)

    def _lateness(self, delay: float) -> str:
        """What to add to the reason where the policy allows a retry, but the deadline does not."""
        wait, left = max(delay, self._pause_left()), self._deadline.remaining()
        if wait < left:
            return ""
        return (
            f"; the next attempt is due in {wait:.1f} s, and the total timeout ends in {left:.1f} s"
        )

    def _pay(self) -> bool:
        """Take a retry from the budget, if there is one to take it from."""
        return self._budget is None or self._budget.take_retry(self._origin, self._runtime.now())

    def _rewind_body(self, reason: Exception) -> BodySpent | None:
        cause = reason
        if self._can_resend is None or self._can_resend():
            try:
                if self._rewind is not None:
                    self._rewind()
                return None
            except (OSError, ValueError, UnrewindableBodyError) as error:
                cause = caused(error, reason)
        spent = BodySpent(
            f"{self._method} to {self._origin} failed and could be tried again, but its body was"
            " sent in part or whole and cannot be read from the start again. Pass bytes or a file"
            f" that can seek, or make a new request. What failed: {reason}",
            reason,
            self._origin,
        )
        return caused(spent, cause)

    def _schedule(
        self,
        policy: urllib3.Retry,
        delay: float,
        out_of_time: Exception,
        *,
        unpaid: Exception | None = None,
        response: BaseHTTPResponse | None = None,
    ) -> None:
        self.policy = policy
        self._delay = delay
        self._unpaid = unpaid
        if sleeps_itself(policy):
            self._own_sleep = partial(policy.sleep, response), out_of_time
        self._go_on = True

    def _notify(self, number: int, reason: str) -> None:
        if self._on_retry is not None:
            self._on_retry(number, self._delay, reason)

    def _discard(self, response: BaseHTTPResponse) -> None:
        try:
            if self._dispose is None:
                response.drain_conn()
            else:
                self._dispose(response)
        except (HTTPError, OSError) as error:  # the response is not wanted
            logger.debug("The refused response of %s broke off: %r", self._origin, error)
            response.close()

    # ------------------------------------------------------------ waiting

    def _wait(self) -> None:
        own, self._own_sleep = self._own_sleep, None
        if own is not None:
            self._sleep_as_overridden(*own)
        elif self._delay > 0:
            self._runtime.sleep(self._delay)
        policy = self.policy
        if self._pauses is None or not isinstance(policy, Retry):
            return
        waited = 0.0
        while (left := self._pause_left()) > 0 and waited < policy.max_retry_after:
            if left >= self._deadline.remaining():
                paused = self._paused(left)
                raise MaxRetryError(self._pool, self._url, paused) from paused
            # These requests share one `Retry-After`: add jitter, or all of them arrive at once.
            nap = left + policy.uniform(min(_MAX_SPREAD, left / 10))
            self._runtime.sleep(min(nap, self._deadline.remaining()))
            waited += nap

    def _sleep_as_overridden(self, sleep: Callable[[], None], out_of_time: Exception) -> None:
        try:
            self._runtime.call_blocking(sleep, self._deadline)
        except TimeoutError:
            if not self._deadline.expired:
                raise  # it is the policy's own
            raise out_of_time from out_of_time.__cause__

    def _pause_left(self) -> float:
        if self._pauses is None:
            return 0.0
        return self._pauses.remaining(self._origin, self._runtime.now())

    def _pause_origin(self, response: BaseHTTPResponse) -> None:
        if self._pauses is None:
            return
        seconds = retry_after_seconds(self.policy, response)
        if seconds:
            self._pauses.pause(self._origin, self._runtime.now() + seconds)

    def _paused(self, left: float) -> OriginPaused:
        return OriginPaused(
            f"{self._origin} asked clients to wait (Retry-After) for another {left:.1f} s, but"
            f" this request may last only {self._deadline.remaining():.1f} s more. Nothing was"
            " sent. Try later, or give it more time.",
            self._origin,
            left,
        )


def _chosen(setting: T | bool, shared: T | None) -> T | None:
    """What a policy uses: its own, the session's, or none."""
    if isinstance(setting, bool):
        return shared if setting else None
    return setting
