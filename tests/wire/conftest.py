"""Fixtures for all tests against misbehaving servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pooledhttp
from tests.support.descriptors import open_descriptors, wait_until_closed
from tests.support.parsers import each_parser

__all__ = ["each_parser"]


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """Fail a test that leaves a descriptor open, also when the test itself fails."""
    before = open_descriptors()
    yield
    # Collecting cycles takes longer than most tests here: only where something is left to explain.
    if len(open_descriptors()) > len(before):
        left = wait_until_closed(before)
        assert not left, f"descriptors left open: {left}"


@pytest.fixture
def session(_nothing_stays_open: None) -> Iterator[pooledhttp.Session]:
    """A session with everything at its default, closed at the end."""
    with pooledhttp.Session() as session:
        yield session
