"""The loop of attempts, on plain values: scripted outcomes, a clock that only sleeping turns."""

from __future__ import annotations

import gc
import pickle
import random
import ssl
import weakref
from collections.abc import Callable
from http.client import RemoteDisconnected
from typing import Any

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import exceptions as u3
from urllib3.response import HTTPResponse

from pooledhttp import exceptions as ours
from pooledhttp.retry import (
    Attempts,
    BodySpent,
    BudgetSpent,
    OriginPaused,
    Pauses,
    Retry,
    RetryBudget,
)
from pooledhttp.timing import Deadline
from tests.support.clock import FakeClock

ORIGIN = "http://example.test:80"
Outcome = Exception | HTTPResponse


class Sleeper:
    """A runtime of which only the clock and sleeping are there; sleeping turns the clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.now = self.clock.now
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.clock.advance(seconds)

    def call_blocking(self, fn: Callable[[], Any], deadline: Deadline) -> Any:
        value = fn()
        if deadline.expired:
            raise TimeoutError("too late")
        return value


class Label:
    """What is shown as the pool."""

    host, port = "example.test", 80

    def __str__(self) -> str:
        return ORIGIN


class Highest(random.Random):
    """A random source that always gives the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def answer(status: int, **headers: str) -> HTTPResponse:
    """An answer as far as a policy looks at it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPResponse(status=status, headers=named, preload_content=False)


class Run:
    """One request with scripted outcomes, and all that can be seen of how it went."""

    def __init__(self, policy: urllib3.Retry, *outcomes: Outcome, **options: Any) -> None:
        self.runtime: Sleeper = options.pop("runtime", None) or Sleeper()
        self.outcomes = list(outcomes)
        self.sent = 0
        self.disposed: list[int] = []
        self.retries: list[tuple[int, float, str]] = []
        options.setdefault("method", "GET")
        options.setdefault("dispose", lambda given: self.disposed.append(given.status))
        options["deadline"] = self.runtime.clock.deadline(options.pop("total", None))
        self.attempts = Attempts(
            policy,
            url="/path",
            origin=ORIGIN,
            runtime=self.runtime,  # type: ignore[arg-type]
            pool_label=Label(),
            on_retry=lambda *facts: self.retries.append(facts),
            **options,
        )

    def result(self) -> HTTPResponse:
        for attempt in self.attempts:
            try:
                outcome = self.outcomes[self.sent]
                self.sent += 1
                if isinstance(outcome, Exception):
                    raise outcome
            except (u3.HTTPError, OSError) as error:
                attempt.failed(error)
            else:
                if not attempt.refused(outcome):
                    return outcome
        raise AssertionError("the loop ended without an outcome")

    def error(self) -> Exception:
        with pytest.raises(Exception) as caught:
            self.result()
        return caught.value


def refused_dial() -> ours.DialError:
    return ours.DialError("refused", origin=ORIGIN)


def broken(phase: str = "head") -> ours.ConnectionBroken:
    return ours.ConnectionBroken(
        "Connection aborted.", RemoteDisconnected("gone"), phase=phase, bytes_sent=100
    )


class TestGoingOn:
    """What leads to another attempt."""

    def test_a_first_success_is_the_answer(self) -> None:
        """No wait, no retry, no history."""
        run = Run(Retry(3), answer(200))
        assert run.result().status == 200
        assert (run.sent, run.runtime.naps, run.attempts.policy.history) == (1, [], ())

    def test_failures_are_followed_by_attempts_with_growing_waits(self) -> None:
        """The waits are those of the policy, and every failure is in the history."""
        policy = Retry(5, backoff_factor=1, rng=Highest())
        run = Run(policy, refused_dial(), broken(), refused_dial(), answer(200))
        assert run.result().status == 200
        assert run.runtime.naps == [1, 2, 4]
        assert [type(past.error) for past in run.attempts.policy.history] == [
            ours.DialError,
            ours.ConnectionBroken,
            ours.DialError,
        ]
        assert run.retries == [
            (1, 1.0, "DialError"),
            (2, 2.0, "ConnectionBroken"),
            (3, 4.0, "DialError"),
        ]

    def test_a_status_of_the_list_is_retried_and_disposed_of(self) -> None:
        """The answer that is not given to the caller is got rid of before the wait."""
        policy = Retry(5, status_forcelist=[500], backoff_factor=1, rng=Highest())
        run = Run(policy, answer(500), answer(200))
        assert run.result().status == 200
        assert run.disposed == [500]
        assert run.runtime.naps == [1]
        assert run.attempts.policy.history[0].status == 500
        assert run.retries == [(1, 1.0, "status 500")]

    def test_without_dispose_the_answer_is_drained(self) -> None:
        """As urllib3 does, through the answer's own method."""

        class Drained(HTTPResponse):
            drained = False

            def drain_conn(self) -> None:
                self.drained = True

        runtime, first = Sleeper(), Drained(status=500, preload_content=False)
        attempts = Attempts(
            Retry(1, status_forcelist=[500]),
            method="GET",
            url="/",
            origin=ORIGIN,
            runtime=runtime,  # type: ignore[arg-type]
            deadline=runtime.clock.deadline(None),
        )
        for attempt in attempts:
            if attempt.number == 2:
                break
            assert attempt.refused(first)
        assert first.drained

    def test_retry_after_beats_the_backoff(self) -> None:
        """Whatever the status, if it is retried; `Retry-After: 0` leaves the backoff."""
        policy = Retry(5, status_forcelist=[500], backoff_factor=1, rng=Highest())
        run = Run(policy, answer(503, Retry_After="7"), answer(500, Retry_After="0"), answer(200))
        assert run.result().status == 200
        assert run.runtime.naps == [7, 2]

    def test_a_long_retry_after_is_cut(self) -> None:
        """To `max_retry_after`, for this request and for the pause of all."""
        run = Run(Retry(5, max_retry_after=3), answer(429, Retry_After="99"), answer(200))
        run.result()
        assert run.runtime.naps == [3]

    @pytest.mark.parametrize("trouble", [broken("body"), OSError("reset")])
    def test_a_refused_answer_that_breaks_off_is_closed(self, trouble: Exception) -> None:
        """What happens to it does not matter any more; the loop goes on."""

        class Breaking(HTTPResponse):
            was_closed = False

            def drain_conn(self) -> None:
                raise trouble

            def close(self) -> None:
                self.was_closed = True

        first = Breaking(status=500, preload_content=False)
        run = Run(Retry(1, status_forcelist=[500]), first, answer(200), dispose=None)
        assert run.result().status == 200
        assert first.was_closed

    def test_history_keeps_no_frames_alive(self) -> None:
        """With the collector off, what an attempt held is gone though its error is in history."""

        class Held:
            pass

        def deep(held: Held) -> None:
            try:
                raise ConnectionResetError("reset")
            except OSError as error:
                fault = ours.ConnectionBroken("Connection aborted.", error, phase="head")
                raise fault from error

        def request() -> tuple[object, weakref.ref[Held]]:
            run, held = Run(Retry(2)), Held()
            for attempt in run.attempts:
                if attempt.number == 2:
                    break
                try:
                    deep(held)
                except u3.HTTPError as error:
                    attempt.failed(error)
            return run.attempts.policy.history, weakref.ref(held)

        gc.disable()
        try:
            history, held = request()
            assert history and held() is None
        finally:
            gc.enable()

    def test_a_loop_that_was_told_nothing_ends(self) -> None:
        """Forgetting to tell how an attempt went does not send forever."""
        assert [attempt.number for attempt in Run(Retry(9)).attempts] == [1]


class TestGivingUp:
    """Which error ends the loop."""

    def test_the_count_ends_it(self) -> None:
        """`MaxRetryError` with the last error as reason and cause, and the label as pool."""
        run = Run(Retry(2), *[refused_dial() for _ in range(3)])
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert isinstance(error.reason, ours.DialError) and error.__cause__ is error.reason
        assert str(error).startswith(f"{ORIGIN}: Max retries exceeded with url: /path")
        assert run.sent == 3

    def test_the_adapters_default_raises_read_errors_as_they_are(self) -> None:
        """`Retry(0, read=False)`: no `MaxRetryError` around what happened after connecting."""
        timeout = ours.RecvTimeout("Read timed out.", phase="head")
        assert Run(urllib3.Retry(0, read=False), timeout).error() is timeout
        assert isinstance(
            Run(urllib3.Retry(0, read=False), refused_dial()).error(), u3.MaxRetryError
        )

    def test_false_switches_it_off(self) -> None:
        """The first error is raised as it is, whatever it is."""
        error = refused_dial()
        assert Run(urllib3.Retry(False), error).error() is error

    def test_statuses_exhausted_are_an_error_or_the_last_answer(self) -> None:
        """As `raise_on_status` says; an answer not given is disposed of."""
        run = Run(Retry(1, status_forcelist=[500]), answer(500), answer(500))
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert str(error.reason) == "too many 500 error responses"
        assert run.disposed == [500, 500]

        lenient = Retry(1, status_forcelist=[500], raise_on_status=False)
        run = Run(lenient, answer(500), answer(500))
        assert run.result().status == 500
        assert run.disposed == [500]

    @pytest.mark.parametrize(
        "error",
        [
            ours.PoolTimeout("full", origin=ORIGIN),
            ours.PoolClosed("closed", origin=ORIGIN),
            ours.ConflictingLength("two lengths", origin=ORIGIN),
            u3.InvalidHeader("bad"),
            u3.DecodeError("bad"),
            u3.ClosedPoolError(None, "closed"),  # type: ignore[arg-type]
        ],
    )
    def test_what_is_not_for_a_policy_passes_through(self, error: Exception) -> None:
        """The pool's own errors, and errors that another attempt would only repeat."""
        run = Run(Retry(5), error)
        assert run.error() is error
        assert run.sent == 1

    @pytest.mark.parametrize(
        ("raw", "kind"),
        [
            (ConnectionResetError("reset"), u3.ProtocolError),
            (RemoteDisconnected("gone"), u3.ProtocolError),
            (TimeoutError("slow"), u3.ProtocolError),
            (ssl.SSLError("bad record mac"), u3.SSLError),
        ],
    )
    def test_bare_errors_reach_the_policy_in_urllib3s_words(
        self, raw: OSError, kind: type[Exception]
    ) -> None:
        """A policy given a foreign class would retry anything; and history shows the words."""
        run = Run(Retry(1), raw, answer(200))
        run.result()
        seen = run.attempts.policy.history[0].error
        assert isinstance(seen, kind) and seen.__cause__ is raw


class TestUnsafeMethods:
    """A POST that may have been executed is not sent again."""

    policies = pytest.mark.parametrize(
        "policy",
        [urllib3.Retry(3), urllib3.Retry(3, other=3), Retry(3), Retry(3, other=3, read=3)],
        ids=repr,
    )

    @policies
    @pytest.mark.parametrize(
        "error",
        [
            broken("send"),
            broken("head"),
            ours.BodyTruncated("Connection broken", phase="body", bytes_sent=9),
            ours.RecvTimeout("Read timed out.", phase="head", bytes_sent=9),
            ours.SendTimeout("stalled", phase="send", bytes_sent=9),
            ours.TlsError("bad record mac", phase="head", bytes_sent=9),
            ssl.SSLEOFError("eof"),
            u3.SSLError("no facts"),
            u3.TimeoutError("no facts"),
            ConnectionResetError("reset"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_after_the_write_it_is_sent_once(self, policy: urllib3.Retry, error: Exception) -> None:
        """Whatever class the failure has, also when urllib3 would call it "other"."""
        run = Run(policy, error, answer(200), method="POST")
        assert run.error() is error or run.sent == 1
        assert run.sent == 1

    @policies
    @pytest.mark.parametrize(
        "error",
        [
            refused_dial(),
            ours.ResolveError("no such name"),
            ours.DialTimeout("slow", phase="connect"),
            ours.TlsError("handshake failed"),
            ours.ProxyFault("proxy said no", OSError("403")),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_before_the_write_it_is_sent_again(
        self, policy: urllib3.Retry, error: Exception
    ) -> None:
        """Nothing reached the server, so nothing can happen twice."""
        run = Run(policy, error, answer(200), method="POST")
        assert run.result().status == 200
        assert run.sent == 2

    @pytest.mark.parametrize("allowed", [None, ["POST"]])
    def test_a_policy_may_allow_it(self, allowed: list[str] | None) -> None:
        """Who says POST may run twice is believed."""
        error = ours.TlsError("bad record mac", phase="head", bytes_sent=9)
        run = Run(Retry(3, allowed_methods=allowed), error, answer(200), method="POST")
        assert run.result().status == 200

    def test_a_status_is_not_retried_either(self) -> None:
        """The method counts for answers as well."""
        run = Run(Retry(3, status_forcelist=[503]), answer(503), method="POST")
        assert run.result().status == 503


class TestDeadline:
    """Nothing is waited for beyond it."""

    def test_a_wait_beyond_it_raises_the_error_at_hand(self) -> None:
        """At once, without sleeping first."""
        error = broken()
        run = Run(Retry(5, backoff_factor=2, rng=Highest()), error, answer(200), total=1.5)
        assert run.error() is error
        assert run.runtime.naps == []

    def test_a_wait_within_it_is_slept(self) -> None:
        """The last wait that fits is taken; the next is not."""
        policy = Retry(5, backoff_factor=1, rng=Highest())
        run = Run(policy, broken(), broken(), broken(), total=3.5)
        assert isinstance(run.error(), ours.ConnectionBroken)
        assert run.runtime.naps == [1, 2]

    def test_no_attempt_is_made_when_time_is_up(self) -> None:
        """A policy without waits does not go on after the deadline either."""
        error = broken()
        run = Run(Retry(5), error, answer(200), total=0)
        assert run.error() is error

    def test_a_retry_after_beyond_it_ends_as_an_exhausted_status(self) -> None:
        """`raise_on_status` says how, and the error says why no more attempts were made."""
        run = Run(Retry(5), answer(503, Retry_After="9"), total=5)
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert str(error.reason) == (
            "too many 503 error responses; the next attempt is due in 9.0 s, "
            "and the total timeout ends in 5.0 s"
        )
        assert run.disposed == [503]
        run = Run(Retry(5, raise_on_status=False), answer(503, Retry_After="9"), total=5)
        assert run.result().status == 503
        assert run.runtime.naps == []


class TestBodies:
    """A body is sent again whole, or not at all."""

    def test_it_is_rewound_before_each_attempt_but_the_first(self) -> None:
        """Once per retry, for errors and statuses."""
        rewound: list[int] = []
        policy = Retry(5, status_forcelist=[500])
        run = Run(
            policy,
            broken(),
            answer(500),
            answer(200),
            method="PUT",
            can_resend=lambda: True,
            rewind=lambda: rewound.append(run.sent),
        )
        run.result()
        assert rewound == [1, 2]

    def test_one_that_cannot_be_resent_ends_it(self) -> None:
        """A clear error, with what failed as its cause."""
        error = broken()
        run = Run(Retry(5), error, answer(200), method="PUT", can_resend=lambda: False)
        raised = run.error()
        assert isinstance(raised, BodySpent) and isinstance(raised, u3.UnrewindableBodyError)
        assert raised.original_error is error and raised.__cause__ is error
        assert "cannot be read from the start again" in str(raised) and ORIGIN in str(raised)
        copy = pickle.loads(pickle.dumps(raised))
        assert str(copy) == str(raised) and isinstance(copy.original_error, u3.ProtocolError)

    @pytest.mark.parametrize(
        "trouble", [OSError("seek failed"), ValueError("closed"), u3.UnrewindableBodyError("no")]
    )
    def test_one_whose_rewinding_fails_ends_it(self, trouble: Exception) -> None:
        """The chain of causes shows both what failed and why it could not be repeated."""

        def rewind() -> None:
            raise trouble

        error = broken()
        raised = Run(Retry(5), error, method="PUT", rewind=rewind).error()
        assert isinstance(raised, BodySpent) and raised.original_error is error
        assert raised.__cause__ is trouble and trouble.__cause__ is error

    def test_the_policy_is_asked_first(self) -> None:
        """When no retry is due the body does not matter."""
        error = broken()
        run = Run(urllib3.Retry(0, read=False), error, can_resend=lambda: False)
        assert run.error() is error

    def test_after_a_status_the_answer_is_given_if_that_is_wanted(self) -> None:
        """`raise_on_status=False` prefers the answer at hand to any error of ours."""
        options = {"method": "PUT", "can_resend": lambda: False}
        policy = Retry(5, status_forcelist=[500])
        run = Run(policy, answer(500), **options)
        raised = run.error()
        assert isinstance(raised, BodySpent) and "500" in str(raised.original_error)
        assert run.disposed == [500]
        run = Run(policy.new(raise_on_status=False), answer(500), **options)
        assert run.result().status == 500


class Sleeping(urllib3.Retry):
    """Has a runtime to sleep on, and gives it to the policies that follow."""

    runtime: Sleeper

    def new(self, **kw: Any) -> Any:
        policy = super().new(**kw)
        policy.runtime = self.runtime
        return policy


class OwnSleep(Sleeping):
    """Overrides all of waiting."""

    def sleep(self, response: Any = None) -> None:
        self.runtime.sleep(7 if response is None else response.status)


class OwnSleepForRetry(Sleeping):
    """Overrides waiting after a response."""

    def sleep_for_retry(self, response: Any) -> bool:
        self.runtime.sleep(8)
        return True


class OwnBackoff(Sleeping):
    """Overrides waiting without a Retry-After."""

    def _sleep_backoff(self) -> None:
        self.runtime.sleep(9)


class TestOverriddenPolicies:
    """Subclasses of urllib3's policy decide by the methods that they override."""

    @pytest.mark.parametrize(
        ("kind", "naps"),
        [(OwnSleep, [503, 7]), (OwnSleepForRetry, [8]), (OwnBackoff, [9, 9])],
        ids=lambda given: getattr(given, "__name__", None),
    )
    def test_methods_that_sleep(self, kind: type[Sleeping], naps: list[float]) -> None:
        """They are called where urllib3 calls them, after a response and after an error."""
        policy = kind(5, status_forcelist=[503], backoff_factor=100)
        policy.runtime = runtime = Sleeper()
        given = policy if kind is not OwnSleepForRetry else policy.new(backoff_factor=0)
        run = Run(given, answer(503), broken(), answer(200), runtime=runtime)
        assert run.result().status == 200
        assert runtime.naps == naps

    def test_the_deadline_bounds_them(self) -> None:
        """A sleep beyond the deadline ends the request with the error at hand."""
        policy = OwnSleep(5)
        policy.runtime = runtime = Sleeper()
        error = broken()
        run = Run(policy, error, answer(200), runtime=runtime, total=5)
        assert run.error() is error
        assert run.sent == 1

    def test_is_retry(self) -> None:
        """It decides which responses are refused."""

        class Picky(urllib3.Retry):
            def is_retry(self, method: str, status: int, has_retry_after: bool = False) -> bool:
                return status == 418

        assert Run(Picky(2), answer(418), answer(503)).result().status == 503

    def test_get_backoff_time(self) -> None:
        """It decides how long to wait; the runtime waits."""

        class Steady(urllib3.Retry):
            def get_backoff_time(self) -> float:
                return 4

        run = Run(Steady(2), broken(), broken(), answer(200))
        run.result()
        assert run.runtime.naps == [4, 4]

    def test_increment(self) -> None:
        """It decides which errors are retried, also for a method that may not run twice."""

        class Daring(urllib3.Retry):
            def increment(self, method: Any = None, *args: Any, **kwargs: Any) -> Any:
                return super().increment("GET", *args, **kwargs)

        error = broken()
        assert Run(urllib3.Retry(2), error, method="POST").error() is error
        assert Run(Daring(2), broken(), answer(200), method="POST").result().status == 200

    def test_a_method_that_is_patched_later_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test that replaces urllib3's `sleep` keeps its effect."""
        naps: list[object] = []
        monkeypatch.setattr(urllib3.Retry, "sleep", lambda policy, response=None: naps.append(1))
        run = Run(Retry(3, backoff_factor=50), broken(), answer(200))
        assert run.result().status == 200
        assert (naps, run.runtime.naps) == ([1], [])


class TestBudget:
    """Retries of all requests together are bounded."""

    def test_an_empty_budget_ends_it_like_an_empty_count(self) -> None:
        """`MaxRetryError` around the error; nothing more is sent."""
        budget = RetryBudget(ratio=0, min_per_second=0.2)  # two in ten seconds
        run = Run(Retry(9), *[broken() for _ in range(9)], budget=budget)
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert isinstance(error.__cause__, ours.ConnectionBroken)
        assert run.sent == 3

    def test_with_an_empty_budget_turns_are_waited_for(self) -> None:
        """Nothing is sent until there is a retry to spend; each turn counts for the policy."""
        budget, runtime = RetryBudget(ratio=0, min_per_second=0.2, window_seconds=5), Sleeper()
        assert budget.take_retry(ORIGIN, 1000.0)
        policy = Retry(9, backoff_factor=1, rng=Highest())
        run = Run(policy, broken(), answer(200), budget=budget, runtime=runtime)
        assert run.result().status == 200
        assert runtime.naps == [1, 2, 4]
        assert run.sent == 2
        assert run.retries == [(1, 1.0, "ConnectionBroken")]
        assert run.attempts.policy.total == 6

    def test_turns_are_not_waited_for_beyond_the_deadline(self) -> None:
        """The error at hand is raised."""
        budget, error = RetryBudget(ratio=0, min_per_second=0), broken()
        policy = Retry(9, backoff_factor=1, rng=Highest())
        run = Run(policy, error, budget=budget, total=5)
        assert run.error() is error
        assert run.runtime.naps == [1, 2]

    def test_a_server_that_answers_is_not_waited_for(self) -> None:
        """It is up and busy: an empty budget is an end, as `raise_on_status` says which."""
        empty = RetryBudget(ratio=0, min_per_second=0)
        policy = Retry(9, status_forcelist=[500], backoff_factor=1)
        run = Run(policy, answer(500), budget=empty)
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert isinstance(error.reason, u3.ResponseError)
        assert run.runtime.naps == []
        assert run.disposed == [500]
        run = Run(policy.new(raise_on_status=False), answer(500), budget=empty)
        assert run.result().status == 500

    @pytest.mark.parametrize(
        "outcomes", [[answer(500)] * 9, [broken()] * 9], ids=["status", "error"]
    )
    def test_the_error_names_the_budget(self, outcomes: list[Outcome]) -> None:
        """A request that ends early for want of budget says so, and which setting it is."""
        policy = Retry(4, status_forcelist=[500])
        run = Run(policy, *outcomes, budget=RetryBudget(ratio=0, min_per_second=0))
        error = run.error()
        assert isinstance(error, BudgetSpent)
        assert error.origin == ORIGIN
        assert "retry budget" in str(error) and "Retry(budget=" in str(error)
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, BudgetSpent) and copy.origin == ORIGIN
        full = Run(policy, *outcomes, budget=RetryBudget())
        assert "budget" not in str(full.error())

    def test_the_count_holds_for_429_without_retry_after(self) -> None:
        """The user named the status and the count; an empty budget does not cut it short."""
        empty = RetryBudget(ratio=0, min_per_second=0)
        policy = Retry(3, status_forcelist=[429])
        run = Run(policy, answer(429), answer(429), answer(429), answer(200), budget=empty)
        assert run.result().status == 200
        told = Run(policy, answer(429, Retry_After="1"), budget=empty)
        assert isinstance(told.error(), BudgetSpent)

    def test_an_outage_adds_a_fifth(self) -> None:
        """2,000 requests of a policy with ten retries each send 2,500 times, not 22,000."""
        budget, runtime, sent = RetryBudget(), Sleeper(), 0
        for _ in range(2000):
            run = Run(Retry(10), *[broken()] * 11, budget=budget, runtime=runtime)
            assert isinstance(run.error(), u3.MaxRetryError)
            sent += run.sent
        assert sent == 2000 + 400 + 100

    def test_a_policy_may_bring_its_own_or_none(self) -> None:
        """The session's is used only if the policy asks for it."""
        empty, full = RetryBudget(ratio=0, min_per_second=0), RetryBudget()
        failing = [broken(), answer(200)]
        assert Run(Retry(9, budget=full), *failing, budget=empty).result().status == 200
        assert Run(Retry(9, budget=False), *failing, budget=empty).result().status == 200
        assert isinstance(Run(Retry(9, budget=empty), *failing, budget=full).error(), u3.HTTPError)

    def test_urllib3s_policy_has_none(self) -> None:
        """It behaves as its authors wrote it."""
        empty = RetryBudget(ratio=0, min_per_second=0)
        run = Run(urllib3.Retry(9), broken(), answer(200), budget=empty)
        assert run.result().status == 200

    def test_it_is_spent_only_on_retries_that_are_made(self) -> None:
        """Not when time is short or the body is gone."""
        budget = RetryBudget(ratio=0, min_per_second=0.1)
        Run(Retry(9), broken(), budget=budget, total=0).error()
        Run(Retry(9), broken(), budget=budget, can_resend=lambda: False).error()
        assert budget.remaining(ORIGIN, 1000.0) == 1


class TestPauses:
    """An origin that asks to be left alone is left alone by everybody."""

    @pytest.mark.parametrize("status", [429, 503])
    def test_the_next_request_waits_as_well(self, status: int) -> None:
        """The one that was told waits as told; others a little longer, spread out."""
        runtime, pauses = Sleeper(), Pauses()
        told = answer(status, Retry_After="5")
        run = Run(Retry(0, raise_on_status=False), told, runtime=runtime, pauses=pauses)
        assert run.result().status == status
        assert runtime.naps == []
        Run(Retry(3, rng=Highest()), answer(200), runtime=runtime, pauses=pauses).result()
        assert runtime.naps == [5.5]

    def test_the_one_that_was_told_waits_once(self) -> None:
        """Its own wait and the pause are the same time."""
        run = Run(Retry(3), answer(503, Retry_After="5"), answer(200), pauses=Pauses())
        run.result()
        assert run.runtime.naps == [5]

    def test_a_post_that_is_not_retried_pauses_too(self) -> None:
        """What the server said does not depend on what we do with the request."""
        pauses = Pauses()
        run = Run(Retry(3), answer(429, Retry_After="5"), method="POST", pauses=pauses)
        assert run.result().status == 429
        assert pauses.remaining(ORIGIN, 1000.0) == 5

    def test_other_answers_do_not_pause(self) -> None:
        """413 is about this request, 503 without a time is about nobody knows when."""
        pauses = Pauses()
        for told in answer(413, Retry_After="5"), answer(503), answer(200, Retry_After="5"):
            Run(Retry(0), told, pauses=pauses).result()
        assert len(pauses) == 0

    def test_a_pause_that_grows_is_waited_for_again_but_not_for_ever(self) -> None:
        """Another thread's answer lengthens it; `max_retry_after` bounds the whole wait."""
        pauses = Pauses()

        class Growing(Sleeper):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                pauses.pause(ORIGIN, self.now() + 4)

        runtime = Growing()
        pauses.pause(ORIGIN, 1004.0)
        policy = Retry(3, max_retry_after=10, rng=Highest())
        Run(policy, answer(200), runtime=runtime, pauses=pauses).result()
        assert runtime.naps == pytest.approx([4.4, 4.4, 4.4])

    def test_a_pause_beyond_the_deadline_is_an_error_at_once(self) -> None:
        """Nothing is sent, nothing is slept; the error says who asked for how long."""
        pauses = Pauses()
        pauses.pause(ORIGIN, 1030.0)
        run = Run(Retry(3), answer(200), pauses=pauses, total=5)
        error = run.error()
        assert isinstance(error, u3.MaxRetryError)
        assert isinstance(error.reason, OriginPaused)
        assert isinstance(error.reason, u3.ConnectTimeoutError)
        assert error.reason.remaining_seconds == 30
        assert "another 30.0 s" in str(error)
        assert (run.sent, run.runtime.naps) == (0, [])
        assert pickle.loads(pickle.dumps(error.reason)).origin == ORIGIN

    def test_a_retry_into_a_long_pause_raises_the_error_at_hand(self) -> None:
        """The pause of others counts as part of the wait."""
        pauses, error = Pauses(), broken()
        run = Run(Retry(3), error, pauses=pauses, total=5)
        for attempt in run.attempts:
            pauses.pause(ORIGIN, 1030.0)
            with pytest.raises(ours.ConnectionBroken):
                attempt.failed(error)

    def test_a_policy_may_bring_its_own_or_none(self) -> None:
        """And urllib3's policy knows nothing of pauses."""
        paused, own = Pauses(), Pauses()
        paused.pause(ORIGIN, 1030.0)
        for policy in Retry(pause=False), Retry(pause=own), urllib3.Retry():
            run = Run(policy, answer(200), pauses=paused)
            run.result()
            assert run.runtime.naps == []

    def test_a_policy_that_does_not_listen_does_not_pause(self) -> None:
        """`respect_retry_after_header=False` is about pauses as well."""
        pauses = Pauses()
        deaf = Retry(3, respect_retry_after_header=False)
        Run(deaf, answer(503, Retry_After="5"), pauses=pauses).result()
        assert len(pauses) == 0


# ------------------------------------------------------------ beside urllib3's own loop

naps_of_urllib3: list[float] = []


class Recording(urllib3.Retry):
    """urllib3's policy, noting its waits instead of sleeping."""

    def sleep_for_retry(self, response: Any) -> bool:
        seconds = self.get_retry_after(response)
        if seconds:
            naps_of_urllib3.append(seconds)
        return bool(seconds)

    def _sleep_backoff(self) -> None:
        if self.get_backoff_time() > 0:
            naps_of_urllib3.append(self.get_backoff_time())


class ScriptedPool(urllib3.HTTPConnectionPool):
    """A real urllib3 pool whose requests have scripted outcomes."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__("example.test", 80)
        self.outcomes = outcomes
        self.sent = 0

    def _make_request(self, *args: Any, **kwargs: Any) -> Any:
        outcome = self.outcomes[self.sent]
        self.sent += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


MAKERS: dict[str, Callable[[], Outcome]] = {
    "ok": lambda: answer(200),
    "500": lambda: answer(500),
    "502": lambda: answer(502),
    "404": lambda: answer(404),
    "503 later": lambda: answer(503, Retry_After="3"),
    "503 now": lambda: answer(503, Retry_After="0"),
    "429 later": lambda: answer(429, Retry_After="2"),
    "413 later": lambda: answer(413, Retry_After="1"),
    "refused": refused_dial,
    "slow dial": lambda: ours.DialTimeout("slow", phase="connect"),
    "tls": lambda: ours.TlsError("handshake"),
    "broken": broken,
    "read timeout": lambda: u3.ReadTimeoutError(None, "/", "Read timed out."),  # type: ignore[arg-type]
    "reset": lambda: ConnectionResetError("reset"),
    "truncated": lambda: ours.BodyTruncated("Connection broken", phase="body"),
    "proxy": lambda: u3.ProxyError("proxy", OSError("403")),
    "proxy refused": lambda: u3.ProxyError("proxy", refused_dial()),
    "header": lambda: u3.InvalidHeader("bad"),
}


@settings(deadline=None, max_examples=150)
@given(
    script=st.lists(st.sampled_from(sorted(MAKERS)), max_size=6),
    method=st.sampled_from(["GET", "POST", "PUT", "delete"]),
    policy=st.fixed_dictionaries(
        {
            "total": st.sampled_from([0, 1, 3, None, False]),
            "connect": st.sampled_from([None, 0, 1, 2]),
            "read": st.sampled_from([None, False, 0, 1, 2]),
            "status": st.sampled_from([None, 0, 1, 2]),
            "other": st.sampled_from([None, 0, 1, 3]),
            "allowed_methods": st.sampled_from([None, ["GET", "POST"], ["GET", "PUT", "DELETE"]]),
            "status_forcelist": st.sampled_from([None, [500], [500, 502, 503]]),
            "backoff_factor": st.sampled_from([0, 0.5]),
            "raise_on_status": st.booleans(),
            "respect_retry_after_header": st.booleans(),
        }
    ),
)
def test_outcome_history_and_waits_are_those_of_urllib3(
    script: list[str], method: str, policy: dict[str, Any]
) -> None:
    """Random scripts through urllib3's `urlopen` and through this loop: nothing differs."""
    naps_of_urllib3.clear()
    pool = ScriptedPool([MAKERS[name]() for name in [*script, "ok"]])
    run = Run(urllib3.Retry(**policy), *[MAKERS[name]() for name in [*script, "ok"]], method=method)

    def theirs() -> object:
        return pool.urlopen(
            method, "/path", retries=Recording(**policy), redirect=False, preload_content=False
        ).status

    assert describe(lambda: run.result().status) == describe(theirs)
    assert run.sent == pool.sent
    assert run.runtime.naps == naps_of_urllib3


def describe(call: Callable[[], object]) -> object:
    """What came out, in a form that compares."""
    try:
        return call()
    except u3.MaxRetryError as error:
        return type(error), type(error.reason), str(error.reason)
    except Exception as error:
        return type(error), str(error)
