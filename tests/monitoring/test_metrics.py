"""Differences between snapshots, and names for at most so many origins."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pooledhttp.monitoring.metrics import OTHER_ORIGINS, OriginLabels, difference
from pooledhttp.pool import Histogram, OriginStats, PoolStats
from pooledhttp.pool.stats import merge_stats


def waits(**by_bucket: int) -> Histogram:
    """A histogram with counts in some buckets: `waits(b3=2)`."""
    counts = [0] * len(Histogram().counts)
    for name, number in by_bucket.items():
        counts[int(name[1:])] = number
    return Histogram(tuple(counts), float(sum(counts)))


def snapshot(*parts: OriginStats, forgotten: OriginStats | None = None) -> PoolStats:
    """A pool's snapshot whose total also holds what was forgotten."""
    every = [*parts, forgotten] if forgotten is not None else list(parts)
    return PoolStats(merge_stats("", every, None), {part.origin: part for part in parts})


class TestDifference:
    """What one origin did between two looks."""

    def test_counters_are_subtracted_and_state_is_the_later(self) -> None:
        """Leases, closings by reason and histograms; not what is in use now."""
        before = OriginStats(
            "a", active=9, acquired=10, reused=5, closed={"idle": 2, "error": 1}, wait=waits(b1=4)
        )
        now = OriginStats(
            "a", active=3, acquired=30, reused=20, closed={"idle": 5, "error": 1}, wait=waits(b1=6)
        )
        period = difference(now, before)
        assert (period.active, period.acquired, period.reused) == (3, 20, 15)
        assert period.reuse_rate == 0.75
        assert period.closed == {"idle": 3}
        assert period.wait.counts[1] == 2

    def test_an_origin_seen_for_the_first_time_did_everything(self) -> None:
        """There is nothing to subtract."""
        now = OriginStats("a", acquired=3)
        assert difference(now, None) == now

    def test_an_origin_that_was_forgotten_begins_anew(self) -> None:
        """Counters below those of before are not a negative period."""
        now = OriginStats("a", acquired=3)
        assert difference(now, OriginStats("a", acquired=10, leaks=4)) == now


class TestOriginLabels:
    """At most so many names, and every count under one name."""

    def test_few_origins_have_their_own_names_and_there_is_no_rest(self) -> None:
        """As long as there are not more than the limit."""
        parts = OriginLabels(2).split(
            snapshot(OriginStats("a", acquired=1), OriginStats("b", acquired=2))
        )
        assert {part.origin for part in parts} == {"a", "b"}

    def test_the_busiest_get_the_names_and_the_rest_is_summed(self) -> None:
        """State, counters and histograms of the rest are one origin's."""
        parts = [
            OriginStats(f"h{n}", acquired=n, active=1, closed={"idle": n}, wait=waits(b2=n))
            for n in range(1, 11)
        ]
        named = OriginLabels(3).split(snapshot(*parts))
        assert [part.origin for part in named] == ["h10", "h9", "h8", OTHER_ORIGINS]
        rest = named[-1]
        assert (rest.acquired, rest.active, rest.closed) == (28, 7, {"idle": 28})
        assert rest.wait.counts[2] == 28

    def test_a_name_is_kept_when_others_become_busier(self) -> None:
        """Otherwise names would come and go with the traffic."""
        labels = OriginLabels(1)
        labels.split(snapshot(OriginStats("a", acquired=5), OriginStats("b", acquired=1)))
        parts = labels.split(snapshot(OriginStats("a", acquired=5), OriginStats("b", acquired=99)))
        assert [(part.origin, part.acquired) for part in parts] == [("a", 5), (OTHER_ORIGINS, 99)]

    def test_what_the_pool_forgets_is_not_reported_a_second_time(self) -> None:
        """The total still has it; it was reported under the name, so the rest has it not."""
        labels = OriginLabels(5)
        gone = OriginStats("a", acquired=50)
        labels.split(snapshot(gone, OriginStats("b", acquired=1)))
        parts = labels.split(snapshot(OriginStats("b", acquired=2), forgotten=gone))
        assert [(part.origin, part.acquired) for part in parts] == [("b", 2)]

    def test_a_name_given_late_takes_nothing_back(self) -> None:
        """What was reported as the rest stays there, and the rest goes on counting from it."""
        labels = OriginLabels(1)
        a = OriginStats("a", acquired=50)
        labels.split(snapshot(a, OriginStats("b", acquired=7), OriginStats("c", acquired=3)))
        parts = labels.split(
            snapshot(OriginStats("b", acquired=8), OriginStats("c", acquired=5), forgotten=a)
        )
        assert [(part.origin, part.acquired) for part in parts] == [("b", 8), (OTHER_ORIGINS, 12)]

    def test_a_limit_of_none_at_all(self) -> None:
        """Everything is the rest; a negative limit is refused."""
        parts = OriginLabels(0).split(snapshot(OriginStats("a", acquired=1)))
        assert [part.origin for part in parts] == [OTHER_ORIGINS]
        with pytest.raises(ValueError, match="max_origins"):
            OriginLabels(-1)

    def test_reported_counts_never_go_down_over_any_history(self) -> None:
        """500 random steps of traffic and forgetting: sums stay right, series only grow."""
        source, labels = random.Random(5), OriginLabels(4)
        live: dict[str, int] = {}
        folded = 0
        last: Counter[str] = Counter()
        for _ in range(500):
            for _ in range(source.randrange(6)):
                origin = f"h{source.randrange(12)}"
                live[origin] = live.get(origin, 0) + source.randrange(1, 9)
            if live and source.random() < 0.3:
                folded += live.pop(source.choice(sorted(live)))
            parts = labels.split(
                snapshot(
                    *(OriginStats(name, acquired=number) for name, number in live.items()),
                    forgotten=OriginStats(acquired=folded),
                )
            )
            now = Counter({part.origin: part.acquired for part in parts})
            assert len(now) <= 5
            assert all(now[name] == live[name] for name in now if name != OTHER_ORIGINS)
            assert now[OTHER_ORIGINS] >= last[OTHER_ORIGINS]
            last = now
