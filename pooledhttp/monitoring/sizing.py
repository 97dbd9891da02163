"""How many connections a load needs, and whether the configured maximum allows them.

Little's law: on average as many connections are in use as requests arrive per second times the
seconds each holds its connection. Arrivals come in bursts, so half as much again is advised:

    100 requests/s * 0.1 s = 10 in use on average  ->  15

The pool measures both factors per origin; `advise` turns a snapshot into `Advice` values, and
`explain` turns one of those into a sentence with a number to set. A plan, before there is anything
to measure, is `connections_needed`.
"""

from __future__ import annotations

from pooledhttp.pool import Advice, OriginStats, PoolStats, advised_size

__all__ = ["advise", "connections_needed", "explain"]


def connections_needed(per_second: float, hold_seconds: float) -> int:
    """Return how many connections to one origin a load needs.

    Args:
        per_second: Requests per second.
        hold_seconds: How long each holds its connection, up to the end of its body.

    Raises:
        ValueError: A number is negative.
    """
    if per_second < 0 or hold_seconds < 0:
        raise ValueError("requests per second and seconds must not be negative")
    return advised_size(per_second, hold_seconds)


def advise(stats: PoolStats) -> list[Advice]:
    """Return what each origin needs, the one that lacks most first.

    Origins without a lease in the last minute are left out: there is nothing to measure.
    """
    advices = [_advice(part) for part in stats.origins.values() if part.acquired_per_second > 0]
    advices.sort(key=lambda advice: (advice.is_enough, -advice.advised, advice.origin))
    return advices


def explain(advice: Advice) -> str:
    """Say in one sentence what was measured and what to set."""
    load = (
        f"{advice.origin}: {advice.acquired_per_second:.1f} requests/s holding a connection for"
        f" {advice.mean_hold_seconds * 1000:.0f} ms need {advice.advised}"
        f" (at most {advice.peak} were open)"
    )
    if advice.max_open is None:
        return f"{load}; there is no maximum."
    if advice.is_enough:
        return f"{load}; the maximum of {advice.max_open} is enough."
    return f"{load}; the maximum is {advice.max_open}. Set max_per_host={advice.advised}."


def _advice(part: OriginStats) -> Advice:
    return Advice(
        origin=part.origin,
        acquired_per_second=part.acquired_per_second,
        mean_hold_seconds=part.mean_hold_seconds,
        advised=max(part.advised, 1),
        max_open=part.max_open,
        peak=part.peak,
    )
