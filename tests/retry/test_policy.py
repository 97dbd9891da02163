"""`pooledhttp.Retry` beside urllib3's: the same policy, other waits."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.response import HTTPResponse

from pooledhttp.retry import Pauses, Retry, RetryBudget
from pooledhttp.retry.policy import DEFAULT_MAX_RETRY_AFTER, retry_after_seconds

ERROR = ProtocolError("Connection aborted.", OSError("gone"))


def after_failures(policy: urllib3.Retry, count: int) -> urllib3.Retry:
    """The policy after so many failures in a row."""
    for _ in range(count):
        policy = policy.increment("GET", "/", error=ERROR)
    return policy


class Highest(random.Random):
    """A random source that always gives the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


class TestLikeUrllib3:
    """What code written for urllib3's class relies on."""

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"total": 3},
            {"total": None, "connect": 2, "read": 1, "status": 4, "other": 0, "redirect": 5},
            {"total": False},
            {"status_forcelist": [500], "allowed_methods": None, "backoff_factor": 0.5},
            {"backoff_max": 7, "backoff_jitter": 0.1, "raise_on_status": False},
            {"raise_on_redirect": False, "respect_retry_after_header": False},
            {"remove_headers_on_redirect": ["X-Secret"], "retry_after_max": 9},
        ],
    )
    def test_every_argument_of_urllib3_means_the_same(self, settings: dict[str, Any]) -> None:
        """All attributes that urllib3's constructor sets have the same values."""
        ours, theirs = Retry(**settings), urllib3.Retry(**settings)
        assert isinstance(ours, urllib3.Retry)
        for name, value in vars(theirs).items():
            assert getattr(ours, name) == value, name

    def test_counts_may_be_given_by_position(self) -> None:
        """As `urllib3.Retry(total, connect, read, redirect)`."""
        policy = Retry(5, 4, 3, 2)
        assert (policy.total, policy.connect, policy.read, policy.redirect) == (5, 4, 3, 2)

    def test_a_wrong_argument_is_refused(self) -> None:
        """A misspelled setting does not vanish."""
        with pytest.raises(TypeError):
            Retry(totl=3)

    def test_from_int_makes_this_class(self) -> None:
        """Numbers become our policy; policies, ours or not, stay as they are."""
        assert type(Retry.from_int(3)) is Retry
        assert type(Retry.from_int(None)) is Retry
        theirs = urllib3.Retry(2)
        assert Retry.from_int(theirs) is theirs
        assert Retry.from_int(False).total is False

    def test_increment_counts_and_keeps_history(self) -> None:
        """The copy is of this class, has one less, and one more entry."""
        policy = Retry(2, budget=False)
        spent = policy.increment("GET", "/x", error=ERROR)
        assert type(spent) is Retry and spent.total == 1 and spent.budget is False
        assert [entry.url for entry in spent.history] == ["/x"]
        with pytest.raises(MaxRetryError):
            after_failures(spent, 2)

    def test_new_keeps_our_settings_and_changes_what_is_asked(self) -> None:
        """`new` is how every copy is made."""
        budget, pauses, rng = RetryBudget(), Pauses(), random.Random(1)
        policy = Retry(4, max_retry_after=3, budget=budget, pause=pauses, rng=rng)
        copy = policy.new(total=1, max_retry_after=2)
        assert (copy.total, copy.max_retry_after) == (1, 2)
        assert copy.budget is budget and copy.pause is pauses and copy.rng is rng

    def test_a_subclass_survives_increment(self) -> None:
        """Users derive from policies to log or to decide otherwise."""

        class Mine(Retry):
            pass

        assert type(Mine(3).increment("GET", "/", error=ERROR)) is Mine

    def test_pickling_keeps_everything(self) -> None:
        """Adapters are pickled with their policy; shared counts start anew on the other side."""
        policy = Retry(3, backoff_factor=0.5, max_retry_after=4, budget=RetryBudget(ratio=0.5))
        copy = pickle.loads(pickle.dumps(after_failures(policy, 1)))
        assert type(copy) is Retry
        assert (copy.total, copy.backoff_factor, copy.max_retry_after) == (2, 0.5, 4)
        assert len(copy.history) == 1
        assert isinstance(copy.budget, RetryBudget)


class TestFullJitter:
    """The wait is drawn between nothing and the exponential bound."""

    def test_bounds_double_from_the_factor_to_the_maximum(self) -> None:
        """Seen through a random source that always gives the upper end."""
        policy = Retry(20, backoff_factor=0.5, backoff_max=10, rng=Highest())
        bounds = [after_failures(policy, count).get_backoff_time() for count in range(8)]
        assert bounds == [0, 0.5, 1, 2, 4, 8, 10, 10]

    def test_bounds_are_those_of_urllib3_after_the_first(self) -> None:
        """urllib3 does not wait before the first retry; from the second on it is the same."""
        ours, theirs = (
            Retry(9, backoff_factor=0.3, rng=Highest()),
            urllib3.Retry(9, backoff_factor=0.3),
        )
        for count in range(2, 9):
            assert after_failures(ours, count).get_backoff_time() == pytest.approx(
                after_failures(theirs, count).get_backoff_time()
            )

    def test_waits_fill_the_range(self) -> None:
        """1,000 draws of the fourth wait lie between 0 and 0.8 s, and reach both ends."""
        policy = after_failures(Retry(9, backoff_factor=0.1, rng=random.Random(7)), 4)
        waits = [policy.get_backoff_time() for _ in range(1000)]
        assert 0 <= min(waits) < 0.02
        assert 0.78 < max(waits) <= 0.8
        assert 0.37 < sum(waits) / 1000 < 0.43

    def test_without_a_factor_there_is_no_wait(self) -> None:
        """As urllib3: the default policy does not sleep."""
        assert after_failures(Retry(9), 5).get_backoff_time() == 0

    def test_backoff_jitter_widens_the_range(self) -> None:
        """urllib3's own jitter is added to the bound."""
        policy = Retry(9, backoff_factor=1, backoff_jitter=0.5, rng=Highest())
        assert after_failures(policy, 2).get_backoff_time() == 2.5

    def test_a_very_long_history_does_not_overflow(self) -> None:
        """Total=None retries forever; 2 to the 2000th is not a float."""
        history = after_failures(Retry(9), 1).history * 2000
        policy = Retry(None, backoff_factor=1, rng=Highest(), history=history)
        assert policy.get_backoff_time() == policy.backoff_max

    def test_redirects_begin_a_new_row_of_failures(self) -> None:
        """Only failures since the last redirect count, as in urllib3."""
        policy = after_failures(Retry(9, backoff_factor=1, rng=Highest()), 3)
        moved = HTTPResponse(status=302, headers={"Location": "/y"})
        assert policy.increment("GET", "/", response=moved).get_backoff_time() == 0


class TestRetryAfter:
    """How long an answer's wish is obeyed."""

    def asked(self, policy: urllib3.Retry, value: str) -> float | None:
        """What the policy makes of a `Retry-After` value."""
        return retry_after_seconds(policy, HTTPResponse(status=503, headers={"Retry-After": value}))

    def test_a_long_wish_is_cut(self) -> None:
        """By `max_retry_after`, by urllib3's name for it, or by the default."""
        assert self.asked(Retry(max_retry_after=2.5), "3600") == 2.5
        assert self.asked(Retry(retry_after_max=9), "3600") == 9
        assert self.asked(Retry(), "3600") == DEFAULT_MAX_RETRY_AFTER
        assert self.asked(urllib3.Retry(), "3600") == 3600

    def test_a_short_wish_is_kept(self) -> None:
        """Seconds are taken as they are."""
        assert self.asked(Retry(), " 7 ") == 7

    def test_a_date_in_the_past_is_no_wait(self) -> None:
        """Clocks differ; nobody waits backwards."""
        assert self.asked(Retry(), "Wed, 21 Oct 2015 07:28:00 GMT") == 0

    @pytest.mark.parametrize("value", ["soon", "-1", "1.5", "", "9" * 5000, "Wed, 99 Foo 2015"])
    @pytest.mark.parametrize("kind", [Retry, urllib3.Retry])
    def test_what_cannot_be_read_is_not_there(self, kind: type[urllib3.Retry], value: str) -> None:
        """The request does not fail because of it."""
        assert self.asked(kind(), value) is None

    def test_a_policy_may_not_listen(self) -> None:
        """`respect_retry_after_header=False` turns the header off."""
        assert self.asked(Retry(respect_retry_after_header=False), "5") is None

    def test_a_negative_cap_is_refused(self) -> None:
        """When the policy is made."""
        with pytest.raises(ValueError, match="max_retry_after"):
            Retry(max_retry_after=-1)
