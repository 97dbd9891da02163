"""Little's law, from a plan and from what was measured."""

from __future__ import annotations

import pytest

from pooledhttp.monitoring import advise, connections_needed, explain
from pooledhttp.pool import OriginStats, PoolStats


@pytest.mark.parametrize(
    ("per_second", "seconds", "needed"),
    [(100, 0.1, 15), (1, 0.01, 1), (0, 5, 0), (1000, 0.25, 375), (7, 1 / 7, 2)],
)
def test_a_plan(per_second: float, seconds: float, needed: int) -> None:
    """100 requests per second of 0.1 s each need 15."""
    assert connections_needed(per_second, seconds) == needed


@pytest.mark.parametrize("wrong", [(-1, 1), (1, -1)])
def test_negative_plans_are_refused(wrong: tuple[float, float]) -> None:
    """Neither requests nor seconds can be negative."""
    with pytest.raises(ValueError, match="negative"):
        connections_needed(*wrong)


def measured(origin: str, advised: int, max_open: int | None, rate: float = 100.0) -> OriginStats:
    """An origin whose leases lasted 0.1 s of late."""
    return OriginStats(
        origin,
        max_open=max_open,
        acquired=10,
        acquired_per_second=rate,
        advised=advised,
        mean_hold_seconds=0.1,
        peak=12,
    )


def test_advice_puts_first_what_lacks_most() -> None:
    """Then by size; origins without recent traffic are left out."""
    parts = [
        measured("enough", 30, 40),
        measured("small lack", 12, 10),
        measured("big lack", 50, 10),
        measured("unbounded", 99, None),
        measured("quiet", 0, 10, rate=0.0),
    ]
    stats = PoolStats(OriginStats(), {part.origin: part for part in parts})
    assert [advice.origin for advice in advise(stats)] == [
        "big lack",
        "small lack",
        "unbounded",
        "enough",
    ]


def test_advice_is_a_sentence_with_the_number_to_set() -> None:
    """Whether there is a maximum, enough or not."""

    def sentence(max_open: int | None) -> str:
        part = measured("https://a:443", 15, max_open)
        return explain(advise(PoolStats(part, {part.origin: part}))[0])

    start = (
        "https://a:443: 100.0 requests/s holding a connection for 100 ms need 15"
        " (at most 12 were open); "
    )
    assert sentence(None) == start + "there is no maximum."
    assert sentence(20) == start + "the maximum of 20 is enough."
    assert sentence(10) == start + "the maximum is 10. Set max_per_host=15."
