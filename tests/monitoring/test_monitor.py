"""Alerts: each rule fires once and clears once, on a clock that the test turns."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from pooledhttp.monitoring import Alert, PoolMonitor, Rule, default_rules
from pooledhttp.pool import Histogram, OriginStats, PoolStats
from pooledhttp.pool.stats import merge_stats
from tests.support.clock import FakeClock

HERE = "https://here.example:443"
THERE = "https://there.example:443"


class FakePool:
    """A pool that is only numbers."""

    def __init__(self) -> None:
        self.origins = {HERE: OriginStats(HERE, max_open=10)}
        self.max_total: int | None = None

    def set(self, origin: str = HERE, **numbers: Any) -> None:
        self.origins[origin] = replace(
            self.origins.get(origin, OriginStats(origin, max_open=10)), **numbers
        )

    def stats(self) -> PoolStats:
        total = merge_stats("", self.origins.values(), self.max_total)
        return PoolStats(total, dict(self.origins))


class Watch:
    """A monitor over a fake pool, and all alerts it gave."""

    def __init__(self, **options: Any) -> None:
        self.pool, self.clock = FakePool(), FakeClock()
        self.told: list[Alert] = []
        self.monitor = PoolMonitor(
            self.pool,
            on_alert=self.told.append,
            runtime=self.clock,  # type: ignore[arg-type]
            **options,
        )

    def look(self, seconds: float = 5.0) -> list[tuple[str, str, bool]]:
        """Let time pass, look, and return what was told."""
        self.clock.advance(seconds)
        alerts = self.monitor.check()
        assert self.told[len(self.told) - len(alerts) :] == alerts
        return [(alert.rule, alert.origin, alert.firing) for alert in alerts]


def waited(bucket: int, number: int = 1) -> Histogram:
    """A histogram with waits in one bucket."""
    counts = [0] * len(Histogram().counts)
    counts[bucket] = number
    return Histogram(tuple(counts), 1.0)


class TestUtilisation:
    """More than 80 % in use, sustained."""

    def test_it_fires_once_after_the_time_and_clears_once(self) -> None:
        """Not at the first look, not twice, and not before it was good for a minute."""
        watch = Watch()
        watch.pool.set(active=9)
        assert [watch.look() for _ in range(6)] == [[]] * 6
        assert watch.look() == [("utilisation", HERE, True)]
        assert watch.monitor.firing == (("utilisation", HERE),)
        assert [watch.look() for _ in range(10)] == [[]] * 10
        watch.pool.set(active=8)
        assert [watch.look() for _ in range(11)] == [[]] * 11
        assert watch.look() == [("utilisation", HERE, False)]
        assert [watch.look() for _ in range(20)] == [[]] * 20
        assert watch.monitor.firing == ()

    def test_a_short_peak_is_not_told(self) -> None:
        """Falling below the limit starts the time again."""
        watch = Watch()
        for _ in range(10):
            watch.pool.set(active=10)
            assert watch.look(20) == []
            watch.pool.set(active=1)
            assert watch.look(20) == []

    def test_a_relapse_within_the_minute_is_the_same_alert(self) -> None:
        """An alert that flutters is one alert."""
        watch = Watch()
        watch.pool.set(active=10)
        watch.look()
        assert watch.look(30) == [("utilisation", HERE, True)]
        for _ in range(5):
            watch.pool.set(active=0)
            assert watch.look(50) == []
            watch.pool.set(active=10)
            assert watch.look(50) == []

    def test_the_whole_pool_is_watched_if_it_has_a_maximum(self) -> None:
        """Two origins, each far from its own limit, fill `max_total`."""
        watch = Watch()
        watch.pool.set(active=5)
        watch.pool.set(THERE, active=5)
        assert watch.look() + watch.look(40) == []
        watch.pool.max_total = 10
        watch.look()
        assert watch.look(40) == [("utilisation", "the whole pool", True)]

    def test_without_a_maximum_it_is_in_use_over_advised(self) -> None:
        """As `OriginStats.utilisation` says."""
        watch = Watch()
        watch.pool.set(active=15, max_open=None, advised=15)
        watch.look()
        assert watch.look(30) == [("utilisation", HERE, True)]


class TestCounted:
    """Rules about what happened since the last look."""

    cases = pytest.mark.parametrize(
        ("rule", "bad"),
        [
            ("wait", {"wait": waited(10)}),  # 1 to 2.5 s
            ("exhaustion", {"acquire_timeouts": 1}),
            ("exhaustion", {"closed": {"idle_full": 1}}),
            ("leaks", {"leaks": 1}),
        ],
    )

    @cases
    def test_one_is_enough_and_is_told_at_once(self, rule: str, bad: dict[str, Any]) -> None:
        """It fires at the next look, and is over when none was added for a minute."""
        watch = Watch()
        watch.pool.set(acquired=5, **bad)
        assert watch.look() == [(rule, HERE, True)]
        assert [watch.look() for _ in range(11)] == [[]] * 11
        assert watch.look() == [(rule, HERE, False)]

    @cases
    def test_what_happened_before_is_not_held_against_it(
        self, rule: str, bad: dict[str, Any]
    ) -> None:
        """A monitor started late is not about the past."""
        old = FakePool()
        old.set(acquired=5, **bad)
        monitor = PoolMonitor(old, runtime=FakeClock())  # type: ignore[arg-type]
        assert monitor.check() == []

    def test_waits_within_the_limit_are_fine(self) -> None:
        """Up to one second unless set otherwise."""
        watch = Watch()
        watch.pool.set(acquired=5, wait=waited(9, 100))
        assert watch.look() == []
        watch = Watch(rules=default_rules(max_wait_seconds=0.25))
        watch.pool.set(acquired=5, wait=waited(9, 100))
        assert watch.look() == [("wait", HERE, True)]
        assert watch.told[0].value == 1.0 and watch.told[0].limit == 0.25

    def test_other_reasons_for_closing_are_no_exhaustion(self) -> None:
        """Expiry is what a pool is for."""
        watch = Watch()
        watch.pool.set(acquired=5, closed={"idle": 100})
        assert watch.look() == []

    def test_origins_are_judged_apart(self) -> None:
        """One alert for each, and each is over on its own."""
        watch = Watch()
        watch.pool.set(acquired=1, leaks=1)
        watch.pool.set(THERE, acquired=1, leaks=1)
        assert watch.look() == [("leaks", HERE, True), ("leaks", THERE, True)]
        watch.pool.set(THERE, acquired=2, leaks=2)
        assert watch.look() == []
        assert watch.look(58) == [("leaks", HERE, False)]

    def test_an_origin_the_pool_forgets_is_over_too(self) -> None:
        """No state is left behind for it."""
        watch = Watch()
        watch.pool.set(acquired=1, leaks=1)
        watch.look()
        del watch.pool.origins[HERE]
        assert watch.look() == []
        assert watch.look(60) == [("leaks", HERE, False)]
        assert watch.monitor._states == {}


class TestReuse:
    """Less than half of the requests found a connection."""

    def test_it_fires_after_a_while_and_clears(self) -> None:
        """Measured over the requests between two looks."""
        watch = Watch()
        for step in range(1, 7):
            watch.pool.set(acquired=100 * step, reused=40 * step)
            assert watch.look() == []
        watch.pool.set(acquired=700, reused=280)
        assert watch.look() == [("reuse", HERE, True)]
        assert watch.told[0].value == 0.4
        watch.pool.set(acquired=800, reused=379)
        assert watch.look(60) == [("reuse", HERE, False)]

    def test_too_few_requests_say_nothing(self) -> None:
        """The first request to an origin cannot reuse anything."""
        watch = Watch()
        for step in range(1, 20):
            watch.pool.set(acquired=19 * step, reused=0)
            assert watch.look() == []


class TestTelling:
    """The log and the callback."""

    def test_the_log_has_both_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        """A warning when it begins, an information when it is over, each with the origin."""
        watch = Watch()
        caplog.set_level(logging.INFO, "pooledhttp")
        watch.pool.set(acquired=1, leaks=2)
        watch.look()
        watch.look(60)
        first, second = caplog.records
        assert (first.levelno, second.levelno) == (logging.WARNING, logging.INFO)
        assert first.message.startswith(f"{HERE}: leaks is 2, above 0. Responses were not read")
        assert second.message == f"{HERE}: leaks is good again."

    def test_a_callback_that_fails_does_not_stop_the_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its error is logged; the alert counts as told."""
        watch = Watch()

        def fail(alert: Alert) -> None:
            raise RuntimeError("no network")

        watch.monitor._on_alert = fail
        watch.pool.set(acquired=1, leaks=2, acquire_timeouts=1)
        assert len(watch.monitor.check()) == 2
        assert sum("no network" in (record.exc_text or "") for record in caplog.records) == 2
        assert watch.monitor.check() == []

    def test_own_rules(self) -> None:
        """A rule is a name, a measure and a limit."""
        rule = Rule("too many", lambda part: part.created_per_second, 5, advice="Slow down.")
        watch = Watch(rules=(rule,))
        watch.pool.set(created_per_second=7.5)
        assert watch.look() == [("too many", HERE, True)]
        assert watch.told[0].message == f"{HERE}: too many is 7.5, above 5. Slow down."

    def test_impossible_settings_are_refused(self) -> None:
        """When the monitor is made."""
        with pytest.raises(ValueError, match="interval"):
            PoolMonitor(FakePool(), interval=0)
        with pytest.raises(ValueError, match="different names"):
            PoolMonitor(FakePool(), rules=default_rules() * 2)


class TestRunning:
    """On its own thread."""

    def test_it_looks_until_it_is_stopped(self) -> None:
        """Started twice is started once; it can be started again."""
        pool, fired = FakePool(), threading.Event()
        monitor = PoolMonitor(
            pool,
            on_alert=lambda alert: fired.set(),
            rules=default_rules(clear_seconds=0),
            interval=0.01,
        )
        for number in range(1, 3):
            fired.clear()
            with monitor:
                monitor.start()
                pool.set(acquired=number, leaks=number)
                assert fired.wait(10)
            monitor.stop()
            assert not [t for t in threading.enumerate() if t.name == "pooledhttp-monitor"]

    def test_a_look_that_fails_is_logged_and_not_the_last(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A pool may be in any state; watching goes on."""
        pool, looks, enough = FakePool(), [0], threading.Event()
        monitor = PoolMonitor(pool, interval=0.01)

        def broken() -> PoolStats:
            looks[0] += 1
            if looks[0] >= 3:
                enough.set()
            raise RuntimeError("not now")

        pool.stats = broken  # type: ignore[method-assign]
        with monitor:
            assert enough.wait(10)
        assert any("Checking the pool failed" in record.message for record in caplog.records)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    @pytest.mark.parametrize("is_started", [True, False])
    def test_it_goes_on_in_a_forked_child(self, is_started: bool) -> None:
        """A monitor that was started checks there, too, and begins without alerts."""
        pool, fired = FakePool(), threading.Event()
        monitor = PoolMonitor(pool, on_alert=lambda alert: fired.set(), interval=0.01)
        pool.set(acquired=1, leaks=1)
        assert monitor.check() and monitor.firing
        fired.clear()
        if is_started:
            monitor.start()
        child = os.fork()
        if child == 0:
            was_quiet = not monitor.firing
            pool.set(acquired=2, leaks=2)
            if not is_started:
                monitor.check()
            os._exit(0 if was_quiet and fired.wait(10) else 1)
        _, status = os.waitpid(child, 0)
        monitor.stop()
        assert os.waitstatus_to_exitcode(status) == 0
