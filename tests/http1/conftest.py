"""Fixtures for the tests of one connection."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(params=["h11", "httptools"])
def each_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once with each parser of response heads; return its name."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("POOLEDHTTP_PARSER", name)
    return name
