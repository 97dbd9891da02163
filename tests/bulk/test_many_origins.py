"""A run over fifty origins, thirty of them healthy: all URLs accounted for, within all limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import pytest

from tests.bulk.fifty import KINDS, kind_of
from tests.support.commands import ROOT
from tests.support.engines import needs_greenlet


class Fifty:
    """The servers, in a process of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None and process.stdin is not None
        self._said, self._told = process.stdout, process.stdin
        self.ports: list[int] = json.loads(self._said.readline())

    def counts(self) -> tuple[dict[str, int], list[dict[str, int]]]:
        """Return what was at all of them, and at each."""
        self._told.write("\n")
        self._told.flush()
        total, origins = json.loads(self._said.readline())
        return total, origins

    def run(
        self,
        engine: str,
        urls_of: dict[str, int],
        *,
        seconds: float,
        retries: int,
        until: str = "end",
    ) -> Any:
        """Fetch so many URLs of each origin of a kind, in a process of its own.

        It ends with the last URL, or `until` those of the healthy origins are there.
        """
        origins = {
            f"http://127.0.0.1:{port}#{kind_of(number)}": urls_of[kind_of(number)]
            for number, port in enumerate(self.ports)
            if urls_of.get(kind_of(number))
        }
        command = [sys.executable, "-m", "tests.bulk.fifty_client", engine]
        ended = subprocess.run(
            [*command, str(seconds), str(retries), until],
            input=json.dumps(origins),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
        )
        return json.loads(ended.stdout)


@contextmanager
def running_fifty() -> Iterator[Fifty]:
    command = [sys.executable, "-m", "tests.bulk.fifty"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield Fifty(process)
        finally:
            process.terminate()


def check(
    fifty: Fifty,
    found: Any,
    urls_of: dict[str, int],
    *,
    keeps_retries: bool,
    most_kept: int = 0,
) -> None:
    """Every URL has its outcome, no limit was passed, and nothing is left open."""
    by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for origin, outcomes in found["outcomes"].items():
        by_kind[origin.partition("#")[2]].update(outcomes)
    for kind, outcomes in by_kind.items():
        assert outcomes.total() == urls_of[kind] * KINDS[kind], (kind, outcomes)
    for kind in ("healthy", "slow"):
        assert set(by_kind[kind]) == {"ok"}, by_kind
    if keeps_retries:
        for kind in ("limited", "busy", "resetting"):
            assert by_kind[kind]["ok"] >= 0.98 * by_kind[kind].total(), by_kind
    assert by_kind["dead"]["HostGivenUp"] >= urls_of["dead"] - 8, by_kind
    assert set(by_kind["silent"]) == {"ReadTimeout"}, by_kind
    total, origins = fifty.counts()
    assert total["most"] <= 64
    assert max(origin["most"] for origin in origins) <= 6
    assert 0 <= found["descriptors"][1] - found["descriptors"][0] <= most_kept
    assert found["memory"] < 150 * 1024 * 1024


@pytest.mark.parametrize("engine", [pytest.param("loop", marks=needs_greenlet)])
def test_some_urls_over_fifty_origins(engine: str) -> None:
    """In small; the silent origin has one URL, which is not tried again."""
    urls_of = dict.fromkeys(KINDS, 12) | {"silent": 1}
    with running_fifty() as fifty:
        found = fifty.run(engine, urls_of, seconds=1.0, retries=1)
        check(fifty, found, urls_of, keeps_retries=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_limits_hold_over_worker_processes() -> None:
    """As the servers count, with hosts that refuse, pause, reset and lie still."""
    urls_of = dict.fromkeys(KINDS, 200) | {"silent": 6}
    with running_fifty() as fifty:
        found = fifty.run("workers", urls_of, seconds=1.0, retries=4)
        # multiprocessing keeps some pipes of its processes; none is of a connection.
        check(fifty, found, urls_of, keeps_retries=True, most_kept=16)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["threads", pytest.param("loop", marks=needs_greenlet)])
def test_a_hundred_thousand_urls_over_fifty_origins(engine: str) -> None:
    """Healthy hosts have 80 % or more of the rate that they have alone.

    Both are measured in turn: the same run may take a quarter longer in the next minute.
    """
    urls_of = dict.fromkeys(KINDS, 2050) | {"silent": 60}
    healthy = {"healthy": 2050}
    how: Any = {"seconds": 1.0, "retries": 4}
    with running_fifty() as fifty:
        found = fifty.run(engine, urls_of, **how)
        check(fifty, found, urls_of, keeps_retries=True)
        seconds: dict[str, list[float]] = {"among": [], "alone": []}
        for _ in range(5):
            for name, urls in (("among", urls_of), ("alone", healthy)):
                run = fifty.run(engine, urls, until="healthy", **how)
                seconds[name].append(run["healthy_seconds"])
    assert median(seconds["among"]) <= median(seconds["alone"]) / 0.8, seconds
