"""Runs a test once with each parser of response heads: the one fixture for all suites.

A module asks for it by `pytestmark = pytest.mark.usefixtures("each_parser")`, where its conftest
has imported it. Modules that do not ask take the parser of the environment, so
`POOLEDHTTP_PARSER=h11 pytest tests/wire tests/compat` runs them all once more; `.ci/run` does that.
"""

from __future__ import annotations

import importlib.util

import pytest

__all__ = ["each_parser"]


@pytest.fixture(params=["h11", "httptools"])
def each_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once with each parser of response heads; return its name."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("POOLEDHTTP_PARSER", name)
    return name
