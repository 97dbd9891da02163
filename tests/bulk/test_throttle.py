"""How many requests at once a host bears: decisions, and a simulation of a hundred hosts."""

from __future__ import annotations

import random
from heapq import heappop, heappush

import pytest

from pooledhttp.bulk.throttle import Throttle


def succeed(throttle: Throttle, times: int) -> int:
    for _ in range(times):
        throttle.start()
        throttle.succeed()
    return throttle.limit


def test_a_refusal_halves_and_successes_add_one() -> None:
    """Refusals that come together count once; the number that was given is never exceeded."""
    throttle = Throttle(16)
    numbers = [throttle.start() for _ in range(16)]
    for number in numbers[8:]:
        throttle.refuse(number, 16)
    assert throttle.limit == 8
    assert succeed(throttle, 7) == 8
    assert succeed(throttle, 1) == 9
    throttle.refuse(throttle.start(), 9)
    assert throttle.limit == 4
    for _ in range(5):
        throttle.refuse(throttle.start(), throttle.limit)
    assert throttle.limit == 1
    assert succeed(throttle, 10**5) == 16


def test_without_refusals_the_number_given_stays() -> None:
    """Also when there is none: then a refusal halves what was under way."""
    assert succeed(Throttle(3), 1000) == 3
    throttle = Throttle()
    for _ in range(20):
        number = throttle.start()
    assert throttle.limit > 20
    throttle.refuse(number, 20)
    assert throttle.limit == 10


def test_what_was_refused_is_tried_again_after_a_longer_and_longer_time() -> None:
    """So a server is asked for too much ever more seldom."""
    throttle = Throttle(8)
    times = []
    for _ in range(7):
        successes = 0
        while throttle.limit < 4:
            throttle.start()
            throttle.succeed()
            successes += 1
        times.append(successes)
        throttle.refuse(throttle.start(), 4)
    assert times[0] == 0 and times[2:] == sorted(times[2:]) and times[2] >= 100
    assert times[-1] < 2000


def fetch_all(
    bears: int, urls: int, randomness: random.Random, throttle: Throttle | None
) -> tuple[float, int]:
    """Simulate a host that refuses what is more than it bears; returns time and refusals."""
    now, running, left, refused = 0.0, 0, urls, 0
    ends: list[tuple[float, int, bool]] = []
    while left or running:
        places = bears if throttle is None else throttle.limit
        while left and running < places:
            running += 1
            left -= 1
            is_refused = running > bears
            seconds = 0.01 if is_refused else randomness.uniform(0.05, 0.15)
            number = throttle.start() if throttle is not None else left
            heappush(ends, (now + seconds, number, is_refused))
        now, number, is_refused = heappop(ends)
        if throttle is not None and is_refused:
            throttle.refuse(number, running)
        elif throttle is not None:
            throttle.succeed()
        running -= 1
        left += is_refused
        refused += is_refused
    return now, refused


@pytest.mark.parametrize("seed", range(2))
def test_a_hundred_hosts_are_found_out(seed: int) -> None:
    """Within 1.3 times what one takes who knows each limit, and less than 2 % is refused."""
    randomness = random.Random(seed)
    urls = 1000
    longest = best = total = refused = 0.0
    for _ in range(100):
        bears = randomness.randint(1, 20)
        seconds, times = fetch_all(bears, urls, randomness, Throttle(16))
        known, _ = fetch_all(bears, urls, randomness, None)
        longest, best = max(longest, seconds), max(best, known)
        refused += times
        total += urls + times
    assert longest < 1.3 * best
    assert refused < 0.02 * total
