"""Each test of this folder runs once on requests and once on pooledhttp."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.certificates import Authority
from tests.support.scripted import ScriptedServer, answering, respond


@pytest.fixture(params=["requests", "pooledhttp"])
def http(request: pytest.FixtureRequest) -> ModuleType:
    """The package under test, by the name scripts give it after `import ... as requests`."""
    return importlib.import_module(request.param)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Responds to every request with 200."""
    with ScriptedServer(answering(respond(b"ok"))) as running:
        yield running


@pytest.fixture
def secure(authority: Authority) -> Iterator[ScriptedServer]:
    """The same over TLS, as localhost."""
    with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as running:
        yield running
