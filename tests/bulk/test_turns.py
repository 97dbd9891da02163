"""Which host starts the next job: simulated runs, with a clock that is counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooledhttp.bulk import turns
from pooledhttp.bulk.pacing import Pace
from pooledhttp.bulk.results import make_pace
from pooledhttp.bulk.throttle import Throttle
from pooledhttp.bulk.turns import Entry


class Host(NamedTuple):
    """A host of a simulated run.

    Args:
        kind: What its results are counted as.
        urls: How many URLs of it are in the list.
        seconds: How long a response of it takes.
    """

    kind: str
    urls: int
    seconds: Callable[[random.Random], float]


def interleaved(hosts: list[Host]) -> Iterator[int]:
    """Return the hosts of the URLs, all hosts in turn."""
    for turn in range(max(host.urls for host in hosts)):
        yield from (number for number, host in enumerate(hosts) if turn < host.urls)


def grouped(hosts: list[Host]) -> Iterator[int]:
    """Return the hosts of the URLs, one host after the other."""
    for number, host in enumerate(hosts):
        yield from [number] * host.urls


def simulate(
    hosts: list[Host],
    order: Callable[[list[Host]], Iterator[int]] = interleaved,
    *,
    per_request: float = 0.0,
    ordered: bool = False,
) -> dict[str, float]:
    """Run 64 jobs, at most 6 at a host, of a client that can do one thing at a time.

    Args:
        hosts: The hosts.
        order: The order of the list.
        per_request: The seconds of the processor that each request takes.
        ordered: Whether results are taken in the order of the list.

    Returns:
        When the last item of each kind had ended.
    """
    chance = random.Random(1)
    pace: Pace[Host] = make_pace(64, 6, ordered)
    source = enumerate(order(hosts))
    now = busy_until = 0.0
    ends: list[tuple[float, int, Entry[Host]]] = []
    last: dict[str, float] = {}
    done: set[int] = set()
    taken = 0

    def start(entry: Entry[Host]) -> None:
        nonlocal busy_until
        busy_until = max(busy_until, now) + per_request
        heappush(ends, (busy_until + entry.item.seconds(chance), entry.index, entry))

    while True:
        while pace.wants_more and (item := next(source, None)) is not None:
            pace.add(Entry(item[0], str(item[1]), hosts[item[1]]))
        while (entry := pace.start(now)) is not None:
            start(entry)
        if not ends:
            assert pace.idle
            return last
        now, _, entry = heappop(ends)
        last[entry.item.kind] = now
        done.add(entry.index)
        following = pace.follow(entry, now)
        if following is not None:
            start(following)
        while (index := taken if ordered else next(iter(done), -1)) in done:
            done.remove(index)
            pace.take(index)
            taken += 1


def always(seconds: float) -> Callable[[random.Random], float]:
    return lambda chance: seconds


def at_times(part: float, seconds: float, otherwise: float) -> Callable[[random.Random], float]:
    return lambda chance: seconds if chance.random() < part else otherwise


HEALTHY = [Host("healthy", 400, always(0.001))] * 30
OTHERS = [
    *[Host("slow", 400, always(0.05))] * 8,
    *[Host("limited", 400, always(0.005))] * 4,
    *[Host("busy", 400, at_times(0.02, 0.5, 0.001))] * 4,
    *[Host("resetting", 400, at_times(0.1, 0.3, 0.001))] * 2,
    Host("silent", 12, always(5.0)),
]


def test_others_cost_healthy_hosts_little() -> None:
    """Although the client has no time to spare: 80 % of the rate that they have alone."""
    alone = simulate(HEALTHY, per_request=0.0003)
    among = simulate(HEALTHY + OTHERS, per_request=0.0003)
    assert among["healthy"] <= alone["healthy"] / 0.8
    assert set(among) == {"healthy", "slow", "limited", "busy", "resetting", "silent"}


def test_silent_hosts_hold_few_of_the_jobs() -> None:
    """More hosts than jobs, and as many silent ones as jobs."""
    hosts = [Host("good", 50, always(0.1))] * 200
    alone = simulate(hosts)
    among = simulate([*hosts, *[Host("silent", 10, always(5.0))] * 60])
    assert among["good"] <= 1.6 * alone["good"]


def test_a_host_that_takes_longest_is_not_put_off() -> None:
    """Its files decide how long all take, however many small ones there are elsewhere."""
    large = [Host("large", 300, always(1.0))]
    small = [Host("small", 200, always(0.1))] * 40
    alone = simulate(large)
    among = simulate(small + large)
    assert among["large"] <= alone["large"] + simulate(small)["small"]


def test_hosts_one_after_the_other_in_the_list_go_together() -> None:
    """The input is read ahead far enough to keep more jobs busy than one host may have."""
    hosts = [Host("good", 500, always(0.1))] * 20
    one_by_one = 20 * 500 * 0.1 / 6
    assert simulate(hosts, grouped)["good"] <= one_by_one / 2


@pytest.mark.parametrize("order", [interleaved, grouped])
def test_in_order_all_hosts_go_too(order: Callable[[list[Host]], Iterator[int]]) -> None:
    """The oldest first; nothing is held up forever."""
    hosts = [Host("good", 100, always(0.1)), Host("slow", 50, always(1.0))]
    assert set(simulate(hosts, order, ordered=True)) == {"good", "slow"}


def test_a_host_that_is_unknown_has_one_job_while_others_wait() -> None:
    """Until its first response; where no other host waits it has more at once."""
    pace: Pace[str] = Pace(jobs=6, per_host=4, capacity=12, window=99, ordered=False)
    for index, line in enumerate("aaaabbbbcccc"):
        pace.add(Entry(index, line, line))
    started = [pace.start(0.0) for _ in range(6)]
    lines = Counter(entry.line for entry in started if entry is not None)
    assert lines == {"a": 2, "b": 2, "c": 2}
    for entry in started[:2]:
        assert entry is not None
        following = pace.follow(entry, 0.01)
        assert following is not None and following.line == entry.line


def test_what_is_known_of_hosts_without_jobs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that owe nothing are forgotten, and nothing is left of lines among those ready."""
    monkeypatch.setattr(turns, "_MOST_KEPT", 16)
    pace = make_pace(4, 2, False)
    for index in range(1000):
        pace.add(Entry(index, f"h{index}", None))
        entry = pace.start(1.0 + index)
        assert entry is not None
        pace.finish(entry, 1.1 + index)
        pace.take(index)
    assert isinstance(pace._turns, turns.FairTurns)
    assert len(pace._turns._kept) <= 16 and len(pace._turns.ready) <= 4


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 30.0)), max_size=300),
    ordered=st.booleans(),
)
def test_those_that_are_ready_are_few(steps: list[tuple[int, float]], ordered: bool) -> None:
    """However long jobs take, there is hardly more than one entry for each host."""
    pace: Pace[None] = Pace(jobs=8, per_host=3, capacity=99, window=999, ordered=ordered)
    running: list[Entry[None]] = []
    now = 1.0
    for index, (number, seconds) in enumerate(steps):
        pace.add(Entry(index, f"h{number}", None))
        while (entry := pace.start(now)) is not None:
            running.append(entry)
        now += seconds
        if len(running) > number:
            ended = running.pop(number)
            following = pace.follow(ended, now)
            running += [following] if following is not None else []
            pace.take(ended.index)
        assert len(pace._turns.ready) <= 6 * 8


def find_limits(bears: list[int], urls: int, *, is_known: bool) -> tuple[float, int]:
    """Fetch from hosts that refuse more than they bear; returns the time, and how many refuse.

    Args:
        bears: How many requests at once each host accepts.
        urls: How many URLs each has.
        is_known: Whether each host is asked for just as much from the beginning.
    """
    chance = random.Random(2)
    pace: Pace[int] = make_pace(400, 16, False)
    throttles = [Throttle(16) for _ in bears]
    if is_known:
        for number, most in enumerate(bears):
            pace.limit(str(number), most)
    source = iter(range(urls * len(bears)))
    now, refused = 0.0, 0
    running = [0] * len(bears)
    ends: list[tuple[float, int, Entry[int], bool, int]] = []

    def start(entry: Entry[int]) -> None:
        running[entry.item] += 1
        is_refused = running[entry.item] > bears[entry.item]
        seconds = 0.01 if is_refused else chance.uniform(0.05, 0.15)
        number = throttles[entry.item].start()
        heappush(ends, (now + seconds, entry.index, entry, is_refused, number))

    while True:
        while pace.wants_more and (index := next(source, None)) is not None:
            pace.add(Entry(index, str(index % len(bears)), index % len(bears)))
        while (entry := pace.start(now)) is not None:
            start(entry)
        if not ends:
            assert pace.idle
            return now, refused
        now, _, entry, is_refused, number = heappop(ends)
        throttle = throttles[entry.item]
        if is_refused:
            throttle.refuse(number, running[entry.item])
        else:
            throttle.succeed()
        running[entry.item] -= 1
        refused += is_refused
        if not is_known:
            pace.limit(entry.line, throttle.limit)
        if is_refused:
            pace.put_back(entry, now)
            continue
        following = pace.follow(entry, now)
        pace.take(entry.index)
        if following is not None:
            start(following)


@pytest.mark.parametrize("seed", [0])
def test_a_hundred_hosts_with_hidden_limits_are_fetched_in_time(seed: int) -> None:
    """Together within 1.3 times what one takes who knows each limit; less than 2 % is refused."""
    chance = random.Random(seed)
    bears = [chance.randint(1, 20) for _ in range(100)]
    seconds, refused = find_limits(bears, 400, is_known=False)
    best, _ = find_limits([min(most, 16) for most in bears], 400, is_known=True)
    assert seconds < 1.3 * best
    assert refused < 0.02 * 400 * 100
