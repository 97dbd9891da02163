"""How many connections a load needs, and whether the configured maximum allows them.

Little's law: on average as many connections are in use as requests arrive per second times the
seconds each holds its connection. Arrivals come in bursts, so half as much again is advised:

    100 requests/s * 0.1 s = 10 in use on average  ->  15

The pool measures both factors per origin, and `pool.advise()` multiplies them. `rank` puts the
results in order, and `explain` says what to set. `connections_needed` computes the same from a
planned load, before anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping

from pooledhttp.pool import Advice, advised_size

__all__ = ["connections_needed", "explain", "rank"]


def connections_needed(per_second: float, hold_seconds: float) -> int:
    """Return how many connections to one origin a load needs.

    Args:
        per_second: Requests per second.
        hold_seconds: How long each holds its connection, up to the end of its body.

    Raises:
        TypeError: One of them is no number.
        ValueError: A number is negative.
    """
    for name, number in (("per_second", per_second), ("hold_seconds", hold_seconds)):
        if not isinstance(number, (int, float)):
            raise TypeError(f"{name} must be a number, not {number!r}")
    if per_second < 0 or hold_seconds < 0:
        raise ValueError("requests per second and seconds must not be negative")
    return advised_size(per_second, hold_seconds)


def rank(advice: Mapping[str, Advice]) -> list[Advice]:
    """Sort the results of `pool.advise()`: origins whose maximum is too small come first.

    Among these, and among the rest, the one that needs most connections comes first.

    Args:
        advice: What `pool.advise()` returned.
    """
    return sorted(advice.values(), key=lambda one: (one.is_enough, -one.advised, one.origin))


def explain(advice: Advice) -> str:
    """Say in one sentence what was measured and what to set.

    Args:
        advice: That of one origin.
    """
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
