"""Little's law, from a plan and from what was measured."""

from __future__ import annotations

import pytest

from pooledhttp.monitoring import connections_needed, explain, rank
from pooledhttp.pool import Advice


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


def advice(origin: str, advised: int, max_open: int | None) -> Advice:
    """What a pool says of an origin."""
    return Advice(origin, 100.0, 0.1, advised, max_open, 12)


def test_what_lacks_most_comes_first() -> None:
    """Then by what is needed."""
    given = [
        advice("enough", 30, 40),
        advice("small lack", 12, 10),
        advice("big lack", 50, 10),
        advice("unbounded", 99, None),
    ]
    ranked = rank({one.origin: one for one in given})
    assert [one.origin for one in ranked] == ["big lack", "small lack", "unbounded", "enough"]


def test_advice_is_a_sentence_with_the_number_to_set() -> None:
    """Whether there is a maximum, enough or not."""
    start = (
        "https://a:443: 100.0 requests/s holding a connection for 100 ms need 15"
        " (at most 12 were open); "
    )
    sentences = {
        None: "there is no maximum.",
        20: "the maximum of 20 is enough.",
        10: "the maximum is 10. Set max_per_host=15.",
    }
    for max_open, end in sentences.items():
        assert explain(advice("https://a:443", 15, max_open)) == start + end
