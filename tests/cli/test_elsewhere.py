"""Options of curl, wget and aria2 lead to those of `pooledhttp fetch`."""

from __future__ import annotations

import re

import pytest

from pooledhttp.cli.elsewhere import _OTHER, _SAME, fetch_advice
from pooledhttp.cli.main import parser_for


def _known() -> set[str]:
    parser = parser_for(["fetch"])
    return set(parser.parse_args(["fetch", "u"]).parser._option_string_actions)


def test_what_is_recommended_exists() -> None:
    """Each option that the texts name is one of the command."""
    named = set(_SAME) | {
        each
        for text in _OTHER.values()
        for each in re.findall(r"(?<![\w'])--?[a-zA-Z][\w-]*", text)
    }
    assert named - _known() - {"-x"} == set()


@pytest.mark.parametrize("theirs", [*_SAME.values(), *_OTHER])
def test_no_option_of_ours_is_taken_for_theirs(theirs: str) -> None:
    """And each of theirs has its advice."""
    for option in theirs.split():
        assert option not in _known()
        assert fetch_advice(option)


def test_no_option_is_there_twice() -> None:
    """An option has one meaning, so that the order of the tables does not matter."""
    options = " ".join([*_SAME.values(), *_OTHER]).split()
    assert sorted(options) == sorted(set(options))


def test_what_is_unknown_gets_no_advice() -> None:
    """Then the nearest name is looked for."""
    assert fetch_advice("--nonsense") == ""
    assert fetch_advice("nonsense") == ""
