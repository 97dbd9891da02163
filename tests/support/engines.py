"""Tests of bulk runs on both backends: import the fixture `engine`, and use it in the module.

A test gets the name of its backend. What `fetch` and `download` would choose by themselves counts
on the loop alone: there, a test of something that may block runs on threads all the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from pooledhttp.bulk import choosing
from pooledhttp.bulk.backends import Backend, Loop, Threads

__all__ = ["BACKENDS", "engine", "needs_greenlet"]

BACKENDS: dict[str, Callable[[], Backend]] = {"threads": Threads, "loop": Loop}

needs_greenlet = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="needs the extra `aio`: greenlet"
)


@pytest.fixture(params=["threads", pytest.param("loop", marks=needs_greenlet)])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a backend, which `engine="auto"` means meanwhile."""
    name: str = request.param
    if name == "threads":
        monkeypatch.setattr(choosing, "is_loop_available", lambda: False)
    return name
