"""Hosts that cannot be reached: they rest, are probed, and are given up in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from errno import EMFILE
from heapq import heappop, heappush
from math import inf
from typing import Any

import pytest

from pooledhttp import bulk
from pooledhttp.bulk import resting
from pooledhttp.bulk.pacing import Entry, Pace
from pooledhttp.bulk.resting import HostRest, RestState
from pooledhttp.bulk.retrying import Again
from pooledhttp.network import dial
from pooledhttp.retry import Retry
from tests.bulk.test_fetch import closed_port
from tests.support.engines import engine
from tests.support.patience import wait_until
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

__all__ = ["engine"]


def fail_until_rest(host: HostRest, now: float = 0.0) -> None:
    for number in range(5):
        assert host.state is RestState.WORKING
        host.begin(number)
        host.fail(number, now)
    assert host.state is RestState.RESTING


def test_five_failures_in_a_row_begin_a_rest() -> None:
    """A response in between begins the count again."""
    host = HostRest()
    for number in range(4):
        assert not host.fail(number, 0.0)
    assert not host.succeed()
    fail_until_rest(host, 100.0)
    assert host.until == 115.0


def test_only_the_probe_decides_what_comes_after_a_rest() -> None:
    """Requests that were under way before the rest change nothing when they fail."""
    host = HostRest()
    fail_until_rest(host)
    assert not host.fail(4, 0.0) and host.state is RestState.RESTING
    host.begin("probe")
    assert not host.fail(4, 0.0) and host.state is RestState.PROBING
    assert host.fail("probe", 20.0) and host.until == 50.0


@pytest.mark.parametrize("recovers", [False, True])
def test_after_the_third_rest_a_failed_probe_is_the_end(recovers: bool) -> None:
    """No rest is longer than a minute; a probe that succeeds makes all as it was."""
    host = HostRest()
    fail_until_rest(host)
    now, rests = 0.0, []
    while host.state is RestState.RESTING:
        rests.append(host.until - now)
        now = host.until
        host.begin("probe")
        if recovers and len(rests) == 3:
            assert host.succeed()
            fail_until_rest(host)
            return
        assert host.fail("probe", now)
    assert host.state is RestState.GIVEN_UP
    assert len(rests) == 3 and max(rests) <= 60.0


# ------------------------------------------------------------------ the pace


def pace_of(lines: str) -> Pace[str]:
    pace: Pace[str] = Pace(jobs=4, per_host=2, capacity=8, window=100, ordered=False)
    for index, line in enumerate(lines):
        pace.add(Entry(index, line, line))
    return pace


def start_all(pace: Pace[str], now: float) -> list[Entry[str]]:
    started = []
    while (entry := pace.start(now)) is not None:
        started.append(entry)
    return started


def test_a_line_that_rests_is_passed_over_until_one_probe() -> None:
    """Then one job of it runs; `resume` brings all back."""
    pace = pace_of("aaabbb")
    first = start_all(pace, 0.0)
    assert [entry.item for entry in first] == ["a", "b", "a", "b"]
    pace.rest("a", 10.0)
    assert pace.rest_ends == 10.0
    assert pace.hosts() == (2, 1, 0)
    for entry in first[::2]:
        pace.put_back(entry, 0.0)
    assert start_all(pace, 9.0) == []
    probe = start_all(pace, 10.0)
    assert [entry.index for entry in probe] == [1] or [entry.index for entry in probe] == [0]
    assert pace.rest_ends == inf
    pace.limit("a", 2)  # what the throttle says counts when the rest is over
    assert start_all(pace, 10.0) == []
    pace.resume("a")
    assert [entry.item for entry in start_all(pace, 10.0)] == ["a"]


def test_a_rest_ends_when_no_other_line_has_work() -> None:
    """Nothing is gained by waiting then."""
    pace = pace_of("ab")
    a, b = start_all(pace, 0.0)
    pace.put_back(a, 0.0)
    pace.rest("a", 60.0)
    assert pace.start(1.0) is None
    pace.finish(b, 0.0)
    assert pace.start(1.0) == a


def test_a_rest_of_a_line_without_jobs_holds_nothing_up() -> None:
    """Not even when others are done."""
    pace = pace_of("a")
    (entry,) = start_all(pace, 0.0)
    pace.finish(entry, 0.0)
    pace.rest("gone", 60.0)
    assert pace.start(0.0) is None and not pace.queued
    pace.add(Entry(1, "b", "b"))
    assert [entry.item for entry in start_all(pace, 0.0)] == ["b"]


def test_a_pause_is_as_long_as_it_was_asked_for() -> None:
    """Also when no other line has work; then all may run."""
    pace = pace_of("aaab")
    started = start_all(pace, 0.0)
    pace.pause("a", 10.0)
    pace.pause("a", 5.0)  # no shorter one counts
    assert pace.hosts() == (2, 0, 1)
    for entry in started:
        pace.finish(entry, 0.0)
    assert pace.start(9.0) is None and pace.rest_ends == 10.0
    assert [entry.item for entry in start_all(pace, 10.0)] == ["a"]
    assert pace.rest_ends == inf


@pytest.mark.parametrize("dead_for", [10.0, inf])
def test_a_dead_host_delays_no_other(dead_for: float) -> None:
    """Simulated: the others take as long as without it, and it is asked less than twenty times."""
    pace: Pace[str] = Pace(jobs=8, per_host=4, capacity=16, window=400, ordered=False)
    for index in range(400):
        pace.add(Entry(index, f"h{index % 4}", "dead" if index % 4 == 0 else "good"))
    host, now, asked, results = HostRest(), 0.0, 0, Counter[str]()
    ends: list[tuple[float, int, Entry[str]]] = []
    last_good = 0.0
    while not pace.idle:
        while (entry := pace.start(now)) is not None:
            seconds = 1.0
            if entry.item == "dead":
                host.begin(entry.index)
                asked += host.state is not RestState.GIVEN_UP and now < dead_for
                seconds = 0.0 if host.state is RestState.GIVEN_UP else 0.1
            heappush(ends, (now + seconds, entry.index, entry))
        if not ends or pace.rest_ends < ends[0][0]:
            now = pace.rest_ends
            continue
        now, _, entry = heappop(ends)
        if entry.item == "good":
            last_good = now
        elif host.state is not RestState.GIVEN_UP and now < dead_for:
            if host.fail(entry.index, now):
                rests = host.state is RestState.RESTING
                (pace.rest if rests else pace.resume)(entry.line, *([host.until] if rests else []))  # type: ignore[operator]
            pace.put_back(entry, now)
            continue
        elif host.state is not RestState.GIVEN_UP and host.succeed():
            pace.resume(entry.line)
        results[f"{entry.item} {host.state.value}"] += 1
        pace.finish(entry, now)
        pace.take(entry.index)
    assert asked < 20
    assert last_good <= 300 / 8 * 1.15 + 5
    if dead_for == inf:
        assert results["dead given up"] == 100
    else:
        assert results["dead working"] == 100


# ------------------------------------------------------------------ over sockets


def test_urls_of_a_dead_host_fail_with_the_reason(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three rests few requests have been made, and the other host is not held up."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)
    monkeypatch.setattr(resting, "_RESTS", (0.01, 0.01, 0.01))
    dead = f"http://127.0.0.1:{closed_port()}"
    with ScriptedServer(answering(lambda seen: respond(b"here"))) as server:
        urls = [f"{dead}/{number}" for number in range(40)]
        urls += [server.url(f"/{number}") for number in range(40)]
        with bulk.fetch(urls, jobs=8, per_host=4) as fetched:
            results = list(fetched)
    assert len(results) == 80
    kinds = Counter(result.kind for result in results)
    assert kinds[None] == 40
    assert kinds["HostGivenUp"] >= 35
    given_up = next(result for result in results if result.kind == "HostGivenUp")
    assert "three rests" in str(given_up.problem) and given_up.url.startswith(dead)
    assert str(given_up.problem).endswith(
        "Connection refused. Check that the server runs and that the port is right."
    )


def test_a_host_is_not_given_up_for_want_of_descriptors(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine has no room for a connection: fewer are made, and the host has done nothing."""
    monkeypatch.setattr(Again, "_backoff", lambda self, failures: 0.0)
    failures = iter(range(30))
    prepared = dial._prepared

    def scarce(family: int, options: Any) -> Any:
        if next(failures, None) is not None:
            raise OSError(EMFILE, "Too many open files")
        return prepared(family, options)

    monkeypatch.setattr(dial, "_prepared", scarce)
    with ScriptedServer(answering(lambda seen: respond(b"here"))) as server:
        urls = [server.url(f"/{number}") for number in range(20)]
        with bulk.fetch(urls, jobs=8, per_host=8, retries=30) as fetched:
            assert [result.problem for result in fetched] == [None] * 20


def test_a_host_that_asks_for_a_pause_holds_up_no_other(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its items wait, in the queue: the places of the run are for the other host."""
    monkeypatch.setattr(Retry, "parse_retry_after", lambda self, value: 0.3)
    seen: list[str] = []

    def reply(request: SeenRequest) -> bytes:
        seen.append(request.target)
        if seen.count("/asking") == 1 and request.target == "/asking":
            return respond(b"", {"Retry-After": "9"}, status=503)
        return respond(b"here")

    with ScriptedServer(answering(reply)) as asking, ScriptedServer(answering(reply)) as other:

        def urls() -> Iterator[str]:
            yield asking.url("/asking")
            yield from (other.url("/other") for _ in range(2))
            wait_until(lambda: bool(fetched._engine._pace._pauses))
            yield from (asking.url("/asking") for _ in range(10))
            yield from (other.url("/other") for _ in range(20))

        with bulk.fetch(urls(), jobs=3, per_host=2) as fetched:
            assert all(result.ok for result in fetched)
    first = seen.index("/asking")
    again = seen.index("/asking", first + 1)
    assert seen[:again].count("/other") == 22
