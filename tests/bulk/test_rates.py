"""Requests and bytes a second, on a clock of the test's own."""

from __future__ import annotations

import pytest

from pooledhttp.bulk.rates import Allowance, Rates, Slowness, check_rate, make_rates


def test_an_allowance_is_spread_evenly() -> None:
    """What was not used is lost, or kept for as long as is said."""
    even = Allowance(2.0)
    assert [even.take(1, 10.0) for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    assert [even.take(1, 100.0) for _ in range(2)] == [0.0, 0.5]
    saving = Allowance(100.0, saved=0.5)
    assert [saving.take(50, 10.0) for _ in range(3)] == [0.0, 0.0, 0.5]


def test_large_pieces_keep_the_rate_on_the_average() -> None:
    """Many threads that take and wait: bytes by the end are what the rate allows."""
    allowance, now, sent = Allowance(1000.0, saved=0.25), [0.0] * 5, 0
    while min(now) < 20.0:
        thread = now.index(min(now))
        sent += 300
        now[thread] += allowance.take(300, now[thread])
        now[thread] += 0.01  # on the wire
    assert 19_000 <= sent <= 22_500


def test_requests_are_paced_in_all_and_for_each_host() -> None:
    """No host gets more than its own, all together no more than the whole."""
    rates = make_rates(10.0, 2.0)
    assert rates is not None
    waits = [rates.take("ab"[number % 2], 0.0) for number in range(6)]
    assert waits == pytest.approx([0.0, 0.1, 0.5, 0.6, 1.0, 1.1])
    assert rates.take("c", 0.0) == pytest.approx(0.6)
    assert make_rates(None, None) is None
    only_hosts = Rates(per_host=1.0)
    assert [only_hosts.take(host, 5.0) for host in "aabb"] == [0.0, 1.0, 0.0, 1.0]


def test_one_host_can_have_a_rate_where_the_others_have_none() -> None:
    """As in a worker, which is told the rates of the hosts that it has places at."""
    rates = Rates()
    rates.limit_host("a", 1.0, 0.5, 5.0)
    assert [rates.take(host, 5.0) for host in "aab"] == [0.5, 1.5, 0.0]
    assert rates.forget_host("a", 5.0) == 2.5
    assert rates.take("a", 5.0) == 0.0


def test_a_body_is_slow_when_a_minute_was() -> None:
    """Not before a minute is over, and not because of a pause that later bytes make good."""
    slowness = Slowness(10.0, 100.0)
    assert not any(slowness.is_too_slow(1, now) for now in (101.0, 130.0, 159.0))
    assert slowness.is_too_slow(1, 160.0)
    slowness = Slowness(10.0, 100.0)
    assert not slowness.is_too_slow(700, 110.0)
    assert not slowness.is_too_slow(0, 165.0)
    assert slowness.is_too_slow(0, 171.0)
    assert not slowness.is_too_slow(900, 172.0)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_a_rate_is_above_zero(value: float) -> None:
    """Else nothing would ever be sent."""
    with pytest.raises(ValueError, match="rate must be above 0"):
        check_rate("rate", value)


@pytest.mark.parametrize("value", ["1", True])
def test_a_rate_is_a_number(value: float) -> None:
    """No text, no bool."""
    with pytest.raises(TypeError, match="rate must be a number"):
        check_rate("rate", value)
