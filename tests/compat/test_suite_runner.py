"""The comparison of two runs of requests' suite, on made-up outcomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.run_requests_suite import compare, known_differences

THERE = {"a": "passed", "b": "passed", "c": "failed", "d": "skipped"}


def test_equal_outcomes_are_good() -> None:
    """What fails or is skipped on requests says nothing."""
    verdict = compare(THERE, {"a": "passed", "b": "passed"}, {})
    assert verdict.is_good
    assert (verdict.passed_there, verdict.passed_here) == (2, 2)


@pytest.mark.parametrize("outcome", ["failed", "skipped", None])
def test_a_new_difference_is_bad(outcome: str | None) -> None:
    """Failing, skipping and vanishing all count."""
    ours = {"a": "passed"} | ({"b": outcome} if outcome else {})
    verdict = compare(THERE, ours, {})
    assert verdict.new == ["b"]
    assert not verdict.is_good
    assert "50.00 %" in verdict.text()


def test_a_listed_difference_is_expected_until_it_passes() -> None:
    """The list excuses a failure and must not outlive it."""
    known = {"b": "reason"}
    assert compare(THERE, {"a": "passed", "b": "failed"}, known).is_good
    verdict = compare(THERE, {"a": "passed", "b": "passed"}, known)
    assert verdict.passing_though_listed == ["b"]
    assert not verdict.is_good


def test_a_listed_test_must_exist() -> None:
    """A misspelled entry is found when the whole suite ran."""
    ours = {"a": "passed", "b": "passed"}
    assert not compare(THERE, ours, {"z": "reason"}).is_good
    assert compare(THERE, ours, {"z": "reason"}, complete=False).is_good


def test_nothing_run_is_not_good() -> None:
    """An empty run shows nothing."""
    assert not compare({}, {}, {}).is_good


def test_every_listed_difference_has_a_reason(tmp_path: Path) -> None:
    """The list in the repository reads, and one without a reason is refused."""
    known_differences()
    path = tmp_path / "differences.toml"
    path.write_text('[[difference]]\ntest = "a"\nreason = " "\n')
    with pytest.raises(SystemExit, match="no reason"):
        known_differences(path)
