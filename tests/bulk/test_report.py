"""Results and counts over them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.bulk import DownloadResult, Job, Result, State, Tally
from pooledhttp.bulk.report import result_in


def response(status: int, reason: str = "") -> Any:
    return SimpleNamespace(status_code=status, reason=reason)


def test_a_result_is_ok_below_400() -> None:
    """A redirect that was not followed is no failure."""
    assert Result("u", response(302)).ok
    assert Result("u", response(302)).problem is None


def test_an_error_status_is_a_response_that_is_not_ok() -> None:
    """The problem names status and reason."""
    result = Result("u", response(404, "Not Found"))
    assert not result.ok
    assert result.error is None
    assert result.problem == "HTTP 404 Not Found"


def test_the_problem_of_an_error_is_one_line() -> None:
    """Line ends and tabs in an error's text become spaces, so that a list stays a list."""
    result = Result("u", error=ValueError("a\n\tb"))
    assert result.problem == "ValueError: a b"
    assert Result("u", error=ValueError()).problem == "ValueError"


def test_a_result_cannot_be_changed() -> None:
    """Results are values."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Result("u").index = 3  # type: ignore[misc]


def test_a_result_leads_back_to_the_callers_key() -> None:
    """The key of the job is at hand."""
    assert Result("u", job=Job("u", key="k")).key == "k"
    assert Result("u").key is None


def test_a_tally_counts_what_passes_by() -> None:
    """Outcomes, bytes, attempts and the kinds of trouble."""
    tally = Tally()
    tally.add(Result("u", response(200), size=5, attempts=2))
    tally.add(Result("u", response(503), size=1, attempts=1))
    tally.add(Result("u", error=OSError("x"), attempts=1))
    assert (tally.ok, tally.failed, tally.done, tally.size, tally.attempts) == (1, 2, 3, 6, 4)
    assert tally.problems == {"HTTP 503": 1, "OSError": 1}


def test_the_path_of_a_result_is_made_when_it_is_asked_for(tmp_path: Path) -> None:
    """It is a field like the others to copies, comparisons, pickles and texts."""
    given = DownloadResult("http://a/b", State.DONE, "b", tmp_path / "b", is_new=True, size=3)
    others = (True, None, None, None, 0, 0, 0.0, 3)

    def made() -> DownloadResult:
        return result_in(tmp_path, "http://a/b", State.DONE, "b", *others)

    assert made().path == tmp_path / "b"
    assert made() == given and hash(made()) == hash(given) and repr(made()) == repr(given)
    assert pickle.loads(pickle.dumps(made())) == given
    assert copy.copy(made()).path == dataclasses.replace(made(), size=4).path == given.path
    assert dataclasses.asdict(made()) == dataclasses.asdict(given)
    assert not hasattr(made(), "paths") and not hasattr(made(), "_other")
    nameless = result_in(tmp_path, "http://a/b", State.FAILED, None)
    assert nameless.path is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        made().path = None  # type: ignore[misc]
