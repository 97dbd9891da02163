"""Each test of this folder runs once on requests and once on pooledhttp."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


@pytest.fixture(params=["requests", "pooledhttp"])
def http(request: pytest.FixtureRequest) -> ModuleType:
    """The package under test, by the name scripts give it after `import ... as requests`."""
    return importlib.import_module(request.param)
