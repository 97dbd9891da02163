"""Retry budgets and pauses: plain counting on a clock that the test turns."""

from __future__ import annotations

import os
import pickle
import threading

import pytest

from pooledhttp.retry import Pauses, RetryBudget
from tests.support.clock import FakeClock

HERE = "https://here.example:443"
THERE = "https://there.example:443"


def take_all(budget: RetryBudget, origin: str, now: float) -> int:
    """Spend retries until there are none, and count them."""
    taken = 0
    while budget.take_retry(origin, now):
        taken += 1
    return taken


class TestRetryBudget:
    """20 % of recent traffic, and 10 per second whatever the traffic."""

    def test_a_quiet_client_has_the_floor(self) -> None:
        """Without any traffic 10 per second of the window can be spent, and no more."""
        assert take_all(RetryBudget(), HERE, 1000.0) == 100

    def test_traffic_earns_a_fifth(self) -> None:
        """1,000 requests allow 200 retries above the floor."""
        budget = RetryBudget()
        for _ in range(1000):
            budget.count_request(HERE, 1000.0)
        assert budget.remaining(HERE, 1000.0) == 300
        assert take_all(budget, HERE, 1000.0) == 300
        assert budget.remaining(HERE, 1000.0) == 0

    def test_without_a_floor_only_traffic_counts(self) -> None:
        """Five requests earn the first retry."""
        budget = RetryBudget(min_per_second=0)
        for _ in range(4):
            budget.count_request(HERE, 1000.0)
        assert not budget.take_retry(HERE, 1000.0)
        budget.count_request(HERE, 1000.0)
        assert budget.take_retry(HERE, 1000.0)
        assert not budget.take_retry(HERE, 1000.0)

    def test_origins_do_not_share(self) -> None:
        """An exhausted origin takes nothing from another."""
        budget = RetryBudget()
        take_all(budget, HERE, 1000.0)
        assert budget.remaining(THERE, 1000.0) == 100

    def test_what_is_older_than_the_window_is_forgotten(self) -> None:
        """Spending and earning both end after ten seconds."""
        budget, clock = RetryBudget(), FakeClock()
        for _ in range(100):
            budget.count_request(HERE, clock.now())
        take_all(budget, HERE, clock.now())
        assert budget.remaining(HERE, clock.now()) == 0
        clock.advance(9)
        assert budget.remaining(HERE, clock.now()) == 10  # the floor of the running second
        clock.advance(1)
        assert budget.remaining(HERE, clock.now()) == 100

    def test_every_second_has_its_floor_whatever_was_spent_before(self) -> None:
        """An outage that spent everything is followed by ten per second, not by silence."""
        budget, clock = RetryBudget(), FakeClock()
        take_all(budget, HERE, clock.now())
        for _ in range(5):
            clock.advance(1)
            assert take_all(budget, HERE, clock.now()) == 10

    def test_the_window_slides_second_by_second(self) -> None:
        """Retries spent in different seconds come back one after the other."""
        budget, clock = RetryBudget(ratio=1, min_per_second=0, window_seconds=3), FakeClock()
        for _ in range(3):
            budget.count_request(HERE, clock.now())
            assert budget.take_retry(HERE, clock.now())
            assert not budget.take_retry(HERE, clock.now())
            clock.advance(1)
        budget.count_request(HERE, clock.now())
        assert take_all(budget, HERE, clock.now()) == 1

    def test_a_long_outage_adds_a_fifth_and_the_floor(self) -> None:
        """Every request fails for 100 s at 100 per second: retries stay at 30 per second."""
        budget, clock, retries = RetryBudget(), FakeClock(), 0
        for _ in range(100):
            for _ in range(100):
                budget.count_request(HERE, clock.now())
                retries += budget.take_retry(HERE, clock.now())
            clock.advance(1)
        assert 2900 <= retries <= 3100

    def test_the_number_of_origins_is_bounded(self) -> None:
        """50,000 origins leave as many records as allowed; the latest are kept."""
        budget = RetryBudget(max_origins=100)
        for number in range(50_000):
            budget.count_request(f"https://host{number}:443", 1000.0)
        assert len(budget) == 100
        assert budget.take_retry("https://host49999:443", 1000.0)

    @pytest.mark.parametrize(
        "wrong",
        [{"ratio": -0.1}, {"min_per_second": -1}, {"window_seconds": 0}, {"max_origins": 0}],
    )
    def test_impossible_settings_are_refused(self, wrong: dict[str, int]) -> None:
        """The error comes when the budget is made, not when it is used."""
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RetryBudget(**wrong)

    def test_threads_never_spend_more_than_there_is(self) -> None:
        """Eight threads spend the floor between them, to the last one."""
        budget = RetryBudget()
        counts: list[int] = []
        threads = [
            threading.Thread(target=lambda: counts.append(take_all(budget, HERE, 1000.0)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(counts) == 100

    def test_pickled_it_keeps_its_settings_and_starts_anew(self) -> None:
        """Another process has traffic of its own."""
        budget = RetryBudget(ratio=0.5, min_per_second=1)
        take_all(budget, HERE, 1000.0)
        copy = pickle.loads(pickle.dumps(budget))
        assert take_all(copy, HERE, 1000.0) == 10

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_a_forked_child_is_not_held_up_by_a_thread_left_behind(self) -> None:
        """The lock is held by another thread while forking; the child still counts."""
        budget = RetryBudget()
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with budget._lock:
                held.set()
                done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        child = os.fork()
        if child == 0:
            os._exit(0 if budget.take_retry(HERE, 1000.0) else 1)
        done.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0


class TestPauses:
    """Until when an origin is to be left alone."""

    def test_nothing_is_paused_at_first(self) -> None:
        """An origin nobody spoke of may be asked."""
        assert Pauses().remaining(HERE, 1000.0) == 0.0

    def test_a_pause_runs_out(self) -> None:
        """What remains shrinks with time, and the record goes with the pause."""
        pauses = Pauses()
        pauses.pause(HERE, 1005.0)
        assert pauses.remaining(HERE, 1001.0) == 4.0
        assert pauses.remaining(THERE, 1001.0) == 0.0
        assert pauses.remaining(HERE, 1005.0) == 0.0
        assert len(pauses) == 0

    def test_the_latest_end_counts(self) -> None:
        """Answers arrive in any order; a shorter wish does not shorten a longer one."""
        pauses = Pauses()
        pauses.pause(HERE, 1005.0)
        pauses.pause(HERE, 1002.0)
        assert pauses.remaining(HERE, 1000.0) == 5.0
        pauses.pause(HERE, 1009.0)
        assert pauses.remaining(HERE, 1000.0) == 9.0

    def test_a_pause_can_be_ended(self) -> None:
        """Someone who knows better may go on; ending what is not there is fine."""
        pauses = Pauses()
        pauses.pause(HERE, 1005.0)
        pauses.resume(HERE)
        pauses.resume(HERE)
        assert pauses.remaining(HERE, 1000.0) == 0.0

    def test_the_number_of_origins_is_bounded(self) -> None:
        """A crawl past thousands of unwilling hosts keeps only so many records."""
        pauses = Pauses(max_origins=10)
        for number in range(1000):
            pauses.pause(f"https://host{number}:443", 2000.0)
        assert len(pauses) == 10

    def test_pickled_it_starts_anew(self) -> None:
        """Clocks of two processes have nothing to do with each other."""
        pauses = Pauses()
        pauses.pause(HERE, 1005.0)
        assert pickle.loads(pickle.dumps(pauses)).remaining(HERE, 1000.0) == 0.0
