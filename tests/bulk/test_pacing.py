"""The pace of a bulk fetch: which job may start, and how far ahead the input is read."""

from __future__ import annotations

import random
from collections import Counter
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooledhttp.bulk.pacing import Entry, HostCounts, Pace


def make(
    jobs: int = 4,
    per_host: int | None = 2,
    capacity: int = 8,
    window: int = 100,
    ordered: bool = False,
) -> Pace[str]:
    return Pace(jobs=jobs, per_host=per_host, capacity=capacity, window=window, ordered=ordered)


def fill(pace: Pace[str], lines: str) -> None:
    """Queue one job for each letter, the letter being its line."""
    for index, line in enumerate(lines):
        pace.add(Entry(index, line, line))


def start_all(pace: Pace[str]) -> list[Entry[str]]:
    entries = []
    while (entry := pace.start(0.0)) is not None:
        entries.append(entry)
    return entries


def test_in_order_the_oldest_job_whose_host_has_room_starts_first() -> None:
    """Age decides, except that a full line is passed over."""
    pace = make(ordered=True)
    fill(pace, "aaabc")
    assert [entry.index for entry in start_all(pace)] == [0, 1, 3, 4]


def test_a_full_line_goes_on_when_one_of_its_jobs_ends() -> None:
    """The place of the finished job goes to the next of the same host."""
    pace = make(per_host=1)
    fill(pace, "aa")
    (first,) = start_all(pace)
    pace.finish(first, 0.0)
    assert [entry.index for entry in start_all(pace)] == [1]


def test_a_line_whose_limit_changes_runs_as_many() -> None:
    """Lowered while it waits and while it runs, raised again, and kept when it was empty."""
    pace = make(jobs=9, per_host=3)
    fill(pace, "aaaaa")
    pace.limit("a", 1)
    (first,) = start_all(pace)
    pace.limit("a", 2)
    (second,) = start_all(pace)
    pace.limit("a", 1)
    pace.finish(first, 0.0)
    assert start_all(pace) == []
    pace.finish(second, 0.0)
    (third,) = start_all(pace)
    pace.limit("a", 9)  # never more than per_host
    assert len(start_all(pace)) == 2 and pace.queued == 0
    pace.finish(third, 0.0)
    pace.limit("b", 1)
    pace.add(Entry(9, "b", "b"))
    pace.add(Entry(10, "b", "b"))
    assert len(start_all(pace)) == 1


def test_no_more_than_jobs_run_at_once() -> None:
    """The total limit holds over all hosts."""
    pace = make(jobs=3)
    fill(pace, "abcdef")
    assert len(start_all(pace)) == 3


def test_without_a_limit_per_host_one_host_may_take_all() -> None:
    """None means that only `jobs` limits."""
    pace = make(jobs=4, per_host=None)
    fill(pace, "aaaaaa")
    assert len(start_all(pace)) == 4


def test_results_that_are_not_taken_stop_new_starts() -> None:
    """Running and finished jobs together stay within the capacity."""
    pace = make(jobs=2, per_host=None, capacity=3)
    fill(pace, "aaaaaa")
    for _ in range(3):
        entries = start_all(pace)
        if entries:
            pace.finish(entries[0], 0.0)
    assert pace.running + pace.finished == 3
    pace.take(0)
    assert len(start_all(pace)) == 1


def test_in_order_the_next_one_starts_although_the_capacity_is_reached() -> None:
    """Finished jobs that wait for an earlier one must not keep it from starting."""
    pace = make(jobs=2, per_host=1, capacity=2, ordered=True)
    fill(pace, "aabb")
    first, third = start_all(pace)
    assert (first.index, third.index) == (0, 2)
    pace.finish(third, 0.0)
    pace.finish(first, 0.0)
    assert start_all(pace) == []
    pace.take(0)
    assert [entry.index for entry in start_all(pace)] == [1]


def test_a_slow_host_makes_the_pace_look_further() -> None:
    """Queued jobs that only wait for their own host do not count as work at hand."""
    pace = make(jobs=4, per_host=1, window=50)
    index = 0
    while pace.wants_more:
        pace.add(Entry(index, "slow", "slow"))
        pace.start(0.0)
        index += 1
    assert pace.queued == 50


def test_over_several_hosts_the_pace_looks_as_far_as_it_has_come() -> None:
    """Over and above the window, and not beyond the most that it may queue."""
    pace: Pace[str] = Pace(
        jobs=2, per_host=2, capacity=4, window=64, ordered=False, most_queued=500
    )
    index = 0
    for started in range(2000):
        while pace.wants_more:
            pace.add(Entry(index, "ab"[index % 2], ""))
            index += 1
        assert pace.queued <= min(64 + started, 500)
        entry = pace.start(0.0)
        assert entry is not None
        pace.finish(entry, 0.0)
        pace.take(entry.index)
    assert pace.queued > 450


def test_with_work_at_hand_the_pace_looks_no_further() -> None:
    """As many jobs as workers are kept ready, not the whole window."""
    pace = make(jobs=4, per_host=None, window=50)
    index = 0
    while pace.wants_more:
        pace.add(Entry(index, "fast", "fast"))
        pace.start(0.0)
        index += 1
    assert (pace.running, pace.queued) == (4, 4)


def test_items_that_are_no_jobs_are_bounded_too() -> None:
    """A long run of bad items is not read to its end before the first is taken."""
    pace = make(jobs=2, capacity=4)
    count = 0
    while pace.wants_more:
        pace.skip()
        count += 1
    assert count == 4


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.sampled_from("abcd"), max_size=40),
    jobs=st.integers(1, 5),
    per_host=st.one_of(st.none(), st.integers(1, 3)),
    window=st.integers(1, 12),
    ordered=st.booleans(),
    changes=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4)), max_size=20),
    data=st.data(),
)
def test_every_job_gets_through_within_the_limits(
    lines: list[str],
    jobs: int,
    per_host: int | None,
    window: int,
    ordered: bool,
    changes: list[tuple[str, int]],
    data: st.DataObject,
) -> None:
    """Whatever ends when, and whichever limits change.

    Limits hold at each step, counters equal a recount, all jobs end.
    """
    capacity = jobs + 1
    pace = make(jobs, per_host, capacity, window, ordered)
    todo = list(enumerate(lines))[::-1]
    running: list[Entry[str]] = []
    done: list[int] = []
    taken: list[int] = []
    limits: dict[str, int] = {}
    while True:
        before = Counter(entry.line for entry in running)
        if changes and data.draw(st.booleans()):
            line, limit = changes.pop()
            limits[line] = limit
            pace.limit(line, limit)
        while todo and pace.wants_more:
            index, line = todo.pop()
            pace.add(Entry(index, line, line))
            running += start_all(pace)
        running += start_all(pace)
        now = Counter(entry.line for entry in running)
        for line, limit in limits.items():  # those that run already go on
            assert now[line] <= max(limit, before[line])
        per_line = Counter(entry.line for entry in running)
        assert pace.running == len(running) <= jobs
        assert not per_host or all(count <= per_host for count in per_line.values())
        assert pace.finished == len(done)
        assert pace.running + pace.finished <= capacity + (1 if ordered else 0)
        assert pace.queued <= window
        assert pace.queued + len(running) + len(done) + len(taken) + len(todo) == len(lines)
        ready = [index for index in done if not ordered or index == len(taken)]
        if ready and (not running or data.draw(st.booleans())):
            done.remove(ready[0])
            taken.append(ready[0])
            pace.take(ready[0])
        elif running:
            entry = running.pop(data.draw(st.integers(0, len(running) - 1)))
            pace.finish(entry, 0.0)
            done.append(entry.index)
        else:
            break
    assert pace.idle
    assert sorted(taken) == list(range(len(lines)))


def test_hosts_at_work_are_counted() -> None:
    """Those that have a request under way, not those that only queue."""
    pace: Pace[str] = Pace(jobs=2, per_host=1, capacity=9, window=9, ordered=False)
    for index, line in enumerate("abc"):
        pace.add(Entry(index, line, line))
    assert pace.hosts().at_work == 0
    start_all(pace)
    assert pace.hosts() == HostCounts(2, 0, 0)


@given(
    lines=st.lists(st.sampled_from("abc"), min_size=1, max_size=25),
    jobs=st.integers(1, 4),
    per_host=st.integers(1, 3),
    spare=st.integers(0, 4),
    ordered=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from("elrtp"), st.integers(0, 9)), max_size=60),
)
def test_to_follow_is_to_finish_and_to_start(
    lines: list[str],
    jobs: int,
    per_host: int,
    spare: int,
    ordered: bool,
    steps: list[tuple[str, int]],
) -> None:
    """Whatever limits, rests and pauses there are: the same jobs start, the same counters hold."""
    one, other = (make(jobs, per_host, jobs + spare, 100, ordered) for _ in "12")
    fill(one, "".join(lines))
    fill(other, "".join(lines))
    running, finished = start_all(one), []
    assert [entry.index for entry in start_all(other)] == [entry.index for entry in running]
    now = 0.0
    for step, number in steps:
        now += 1.0
        line = "abc"[number % 3]
        if step == "e" and running:
            entry = running.pop(number % len(running))
            finished.append(entry.index)
            following = one.follow(entry, now)
            other.finish(entry, now)
            same = other.start(now)
            assert (following and following.index) == (same and same.index)
            running += [following] if following else []
        elif step == "t" and finished:
            index = finished.pop(finished.index(min(finished)))
            one.take(index)
            other.take(index)
            running += (more := start_all(one))
            assert [entry.index for entry in start_all(other)] == [entry.index for entry in more]
        elif step in "lrp":
            for pace in (one, other):
                if step == "l":
                    pace.limit(line, 1 + number % 4)
                elif step == "p":
                    pace.pause(line, now + number)
                elif number % 2:
                    pace.rest(line, now + number)
                else:
                    pace.resume(line)
        counts = [
            (pace.running, pace.queued, pace.finished, pace.wants_more, pace.hosts())
            for pace in (one, other)
        ]
        assert counts[0] == counts[1]


@pytest.mark.parametrize("ordered", [False, True])
def test_items_that_are_added_together_start_as_those_added_one_by_one(ordered: bool) -> None:
    """In the same order, and as many are read ahead."""
    draw = random.Random(4)
    lines = [draw.choice("aaab") for _ in range(400)]
    entries = [Entry(index, line, line) for index, line in enumerate(lines)]
    settings = {"jobs": 4, "per_host": 3, "capacity": 400, "window": 64, "most_queued": 500}
    one_by_one: Pace[str] = Pace(ordered=ordered, **settings)  # type: ignore[arg-type]
    together: Pace[str] = Pace(ordered=ordered, **settings)  # type: ignore[arg-type]
    for entry in entries:
        one_by_one.add(entry)
    for first in range(0, 400, 50):
        together.add_all(entries[first : first + 50])
    together.add_all([])
    started: list[list[int]] = []
    for pace in (one_by_one, together):
        started.append([])
        while (entry := pace.start(0.0)) is not None:  # type: ignore[assignment]
            started[-1].append(entry.index)
            pace.finish(entry, 0.0)
            assert pace.room == max(pace._ahead - pace.queued, 0) * (pace.finished < 400)
            assert pace.wants_more == (pace.room > 0)
    assert started[0] == started[1] and len(started[0]) == 400
    assert one_by_one._ahead == together._ahead


def test_a_resting_line_is_not_probed_while_another_has_a_job_left() -> None:
    """Also when the only running job has just ended, and the next one has not started."""
    pace = make(jobs=1, per_host=1)
    fill(pace, "aab")
    pace.rest("b", 60.0)
    first = pace.start(0.0)
    assert first is not None
    pace.finish(first, 1.0)
    second = pace.start(1.0)
    assert second is not None and second.line == "a"
    assert pace.hosts().resting == 1
    pace.finish(second, 2.0)
    probe = pace.start(2.0)  # nothing else is left
    assert probe is not None and probe.line == "b"
    assert pace.hosts().resting == 0


def test_rests_and_pauses_end_each_at_their_time() -> None:
    """Whichever was told first."""
    pace = make(jobs=8)
    fill(pace, "axbycz")
    busy = [pace.start(0.0), pace.start(0.0)]
    assert [entry and entry.line for entry in busy] == ["a", "x"]
    for name, end in (("b", 30.0), ("c", 10.0)):
        pace.rest(name, end)
    for name, end in (("y", 20.0), ("z", 40.0)):
        pace.pause(name, end)
    ends = []
    while pace.queued:
        ends.append(pace.rest_ends)
        assert pace.start(pace.rest_ends - 0.1) is None
        entry = pace.start(pace.rest_ends)
        ends.append(entry and entry.line)
    assert ends == [10.0, "c", 20.0, "y", 30.0, "b", 40.0, "z"]
    assert pace.rest_ends == inf


def test_a_rest_that_is_ended_early_is_not_waited_for() -> None:
    """As of the first of them."""
    pace = make()
    fill(pace, "ab")
    pace.rest("a", 10.0)
    pace.rest("b", 20.0)
    pace.resume("a")
    assert pace.rest_ends == 20.0
    entry = pace.start(0.0)
    assert entry is not None and entry.line == "a"
