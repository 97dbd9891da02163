"""The loop that makes `Attempts` when the first attempt has failed goes on as `Attempts` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from urllib3 import exceptions as u3

from pooledhttp.retry import Attempts, LazyAttempts, Retry
from tests.retry.test_attempts import Outcome, Run, answer, broken, refused_dial


class Asking(urllib3.Retry):
    """A program's own policy, which counts how often it is asked about a status."""

    asked = 0

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        Asking.asked += 1
        return super().is_retry(method, status_code, has_retry_after)


class Sent(LazyAttempts):
    """A request, as far as its attempts need it."""

    def __init__(self, policy: urllib3.Retry, method: str, make: Callable[[], Attempts]) -> None:
        self.policy, self.method, self.make = policy, method, make

    def make_attempts(self) -> Attempts:
        return self.make()


class Later(Run):
    """A run whose `Attempts` are there only when they are asked for."""

    made = 0
    policy: urllib3.Retry

    def make(self) -> Attempts:
        self.made += 1
        return self.attempts

    def result(self) -> Any:
        attempts = Sent(self.attempts.policy, "GET", self.make)
        attempts.begin_attempts()
        while True:
            outcome = self.outcomes[self.sent]
            self.sent += 1
            if isinstance(outcome, Exception):
                attempts.failed(outcome)
            else:
                response: Any = outcome
                has_retry_after = "Retry-After" in outcome.headers
                if not attempts.refused_status(outcome.status, has_retry_after, lambda: response):  # noqa: B023
                    self.policy = attempts.policy
                    return outcome
            attempts.wait()


def outcome_of(run: Run) -> object:
    """What came of a run, and what it did."""
    try:
        last: object = run.result().status
    except u3.HTTPError as error:
        last = type(error)
    history = [(type(past.error), past.status) for past in run.attempts.policy.history]
    return last, run.sent, run.runtime.naps, run.disposed, run.retries, history


@pytest.mark.parametrize("policy", [urllib3.Retry, Retry, Asking])
@pytest.mark.parametrize(
    "script",
    [
        (lambda: (answer(200),)),
        (lambda: (refused_dial(), answer(200))),
        (lambda: (answer(500), answer(500), answer(200))),
        (lambda: (answer(503, Retry_After="3"), answer(200))),
        (lambda: (broken(), answer(500), refused_dial(), answer(200))),
        (lambda: (refused_dial(),) * 4),
        (lambda: (answer(500),) * 4),
    ],
)
def test_it_does_what_attempts_do(policy: type[urllib3.Retry], script: Any) -> None:
    """With a policy of urllib3, of this package, and of a program."""
    outcomes: tuple[Outcome, ...] = script()
    rule = policy(3, status_forcelist=[500], backoff_factor=0)
    assert outcome_of(Later(rule, *outcomes)) == outcome_of(Run(rule, *script()))


def test_attempts_are_made_after_a_failure_only() -> None:
    """For urllib3's own policy; another one may be asked before the first attempt."""
    rule = urllib3.Retry(3)
    success, failure = Later(rule, answer(200)), Later(rule, refused_dial(), answer(200))
    assert (success.result().status, success.made, success.policy) == (200, 0, rule)
    assert (failure.result().status, failure.made) == (200, 1)
    own = Later(Retry(3), answer(200))
    assert (own.result().status, own.made) == (200, 1)


@pytest.mark.parametrize("kind", [Run, Later])
def test_a_policy_is_asked_once_about_a_status(kind: type[Run]) -> None:
    """Also about one that it refuses."""
    Asking.asked = 0
    kind(Asking(3, status_forcelist=[500]), answer(500), answer(200)).result()
    assert Asking.asked == 2
