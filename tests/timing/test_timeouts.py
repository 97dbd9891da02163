"""What `timeout=` may be, what it means, and what is refused."""

from __future__ import annotations

import copy
import decimal
import pickle
from typing import Any

import pytest
import requests
import urllib3

from pooledhttp.timing import Timeout, TimeoutPlan, plan_timeout
from tests.support.clock import FakeClock

FIELDS = ("total", "connect", "read", "write", "pool")


def limits(plan: TimeoutPlan) -> tuple[float | None, ...]:
    """The per-operation limits of a plan."""
    return plan.connect, plan.read, plan.write, plan.pool


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, (None, None, None, None)),
        (5, (5, 5, 5, 5)),
        (0.25, (0.25, 0.25, 0.25, 0.25)),
        (decimal.Decimal("1.5"), (1.5, 1.5, 1.5, 1.5)),
        (float("inf"), (None, None, None, None)),
        ((3, 10), (3, 10, 10, 3)),
        ((None, 10), (None, 10, 10, None)),
        ((3, None), (3, None, None, 3)),
        ((None, None), (None, None, None, None)),
        (Timeout(connect=1, read=2, write=3, pool=4), (1, 2, 3, 4)),
        (Timeout(), (None, None, None, None)),
    ],
)
def test_limits_per_operation(timeout: object, expected: tuple[float | None, ...]) -> None:
    """Every accepted form comes down to the same four limits, with no deadline over all."""
    plan = plan_timeout(timeout, FakeClock().now)
    assert limits(plan) == expected
    assert plan.total.at == float("inf")
    assert plan.read_limit() == plan.read


WRONG: list[tuple[Any, str]] = [
    ((1,), "(connect, read)"),
    ((3, 4, 5), "(connect, read)"),
    ((), "(connect, read)"),
    (("a", 1), "(connect, read)"),
    ((0, 1), "(connect, read)"),
    ((1, True), "(connect, read)"),
    ("foo", "must be an int, float or None"),
    ("5", "must be an int, float or None"),
    (b"5", "must be an int, float or None"),
    ([1, 2], "must be an int, float or None"),
    ({}, "must be an int, float or None"),
    (True, "must be an int, float or None"),
    (False, "must be an int, float or None"),
    (object(), "must be an int, float or None"),
    (0, ""),
    (-1, ""),
    (-0.5, ""),
]


@pytest.mark.parametrize(("timeout", "text"), WRONG)
def test_wrong_timeouts_are_refused_as_requests_does(timeout: Any, text: str) -> None:
    """What requests refuses before it sends anything is refused here, with the words it uses."""
    with pytest.raises(ValueError) as ours:
        plan_timeout(timeout, FakeClock().now)
    assert text in str(ours.value)
    with pytest.raises(ValueError) as theirs:
        requests.get("http://127.0.0.1:9/", timeout=timeout)
    assert text in str(theirs.value)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [0, -1, "1", True, float("nan"), [1]])
def test_timeout_is_checked_when_built(field: str, value: Any) -> None:
    """The error names the limit that is wrong."""
    with pytest.raises(ValueError, match=f"The {field} timeout is"):
        Timeout(**{field: value})


def test_timeout_is_a_value() -> None:
    """Equal limits are equal timeouts, with one hash, in and out of sets."""
    assert Timeout(5, connect=2) == Timeout(total=5.0, connect=2)
    assert Timeout(5) != Timeout(6)
    assert len({Timeout(5), Timeout(5), Timeout(read=5)}) == 2
    assert repr(Timeout(5, 2)) == "Timeout(total=5, connect=2, read=None, write=None, pool=None)"
    with pytest.raises(AttributeError):
        Timeout(5).total = 6  # type: ignore[misc]


def test_started_timeout_equals_its_original_and_keeps_its_deadline() -> None:
    """A running copy is the same value; starting it again does not start the count anew."""
    clock = FakeClock()
    original = Timeout(total=10, read=3)
    running = original.start(clock.now)
    assert running == original
    assert hash(running) == hash(original)
    assert original.deadline is None
    clock.advance(4)
    again = running.start(clock.now)
    assert again.deadline is running.deadline
    assert again.deadline is not None
    assert again.deadline.remaining() == 6
    assert copy.copy(running).deadline is running.deadline
    assert copy.deepcopy(running).deadline is running.deadline


def test_timeout_without_total_has_nothing_to_start() -> None:
    """Limits per operation need no clock."""
    timeout = Timeout(connect=1)
    assert timeout.start(FakeClock().now) is timeout
    assert Timeout(total=float("inf")).start(FakeClock().now).deadline is None


def test_timeout_pickles_as_not_started() -> None:
    """In another process the clock reads something else."""
    running = Timeout(total=10, pool=2).start(FakeClock().now)
    thawed = pickle.loads(pickle.dumps(running))
    assert thawed == running
    assert thawed.deadline is None


def test_total_runs_across_plans_once_started() -> None:
    """Redirects and retries plan anew and share one deadline; one not started gets its own."""
    clock = FakeClock()
    running = Timeout(total=10, read=8).start(clock.now)
    clock.advance(4)
    plan = plan_timeout(running, clock.now)
    assert plan.total.remaining() == 6
    assert plan.read == 8
    clock.advance(1)
    assert plan_timeout(running, clock.now).total is plan.total
    assert plan_timeout(Timeout(total=10), clock.now).total.remaining() == 10


@pytest.mark.parametrize(
    ("connect", "read", "total"),
    [
        (3, 5, 10),
        (3, 5, 2),
        (None, None, 4),
        (3, None, 4),
        (None, 5, 4),
        (3, 5, None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("elapsed", [0, 1, 3, 100])
def test_urllib3_timeouts_mean_what_they_mean_there(
    monkeypatch: pytest.MonkeyPatch,
    connect: float | None,
    read: float | None,
    total: float | None,
    elapsed: float,
) -> None:
    """Connect is cut to the total; each read gets at most what connecting and sending left."""
    clock = FakeClock()
    monkeypatch.setattr("urllib3.util.timeout.time.monotonic", clock.now)
    theirs = urllib3.Timeout(connect=connect, read=read, total=total)
    plan = plan_timeout(theirs, clock.now)
    timer = theirs.clone()
    timer.start_connect()
    assert plan.connect == timer.connect_timeout
    clock.advance(elapsed)
    assert plan.read_limit() == timer.read_timeout
    assert plan.total.at == float("inf")


def test_urllib3_timeout_without_arguments_has_no_limits() -> None:
    """Its mark for "not given" means none here."""
    unset = urllib3.Timeout()
    assert limits(plan_timeout(unset, FakeClock().now)) == (None, None, None, None)
    mark = urllib3.Timeout.DEFAULT_TIMEOUT
    assert limits(plan_timeout(mark, FakeClock().now)) == (None, None, None, None)
    assert limits(plan_timeout((mark, 3), FakeClock().now)) == (None, 3, 3, None)
