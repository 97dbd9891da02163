"""Which backend a run gets, and that it says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

import pooledhttp
from pooledhttp import bulk
from pooledhttp.adapters import HTTPAdapter
from pooledhttp.bulk import choosing
from pooledhttp.network import Address
from tests.support.commands import run_python

pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")


class OwnAdapter(HTTPAdapter):
    """Of a user."""


class OwnAuth(pooledhttp.auth.AuthBase):
    """Of a user."""


class OwnRetry(urllib3.Retry):
    """Of a user."""


def test_the_loop_is_the_first_choice() -> None:
    """With no session, and with one that has settings only."""
    with pooledhttp.Session(retries=3) as session:
        session.auth = ("me", "secret")
        session.headers["X-A"] = "b"
        for given in (None, session):
            with bulk.fetch([], given) as results:
                assert (results.engine, results.engine_reason) == ("loop", None)


class OwnResolver:
    """Of a user."""

    def resolve(self, *question: object) -> list[Address]:
        return []


CASES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "adapter": ("OwnAdapter", lambda session: session.mount("https://a/", OwnAdapter())),
    "auth": ("OwnAuth", lambda session: setattr(session, "auth", OwnAuth())),
    "resolver": (
        "OwnResolver",
        lambda session: session.mount("http://", HTTPAdapter(resolver=OwnResolver())),
    ),
    "hook": ("hooks", lambda session: session.hooks["response"].append(print)),
    "retries": (
        "OwnRetry",
        lambda session: session.mount("http://", HTTPAdapter(max_retries=OwnRetry(1))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_block_gets_threads(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """The results and a log line name it; who insists on the loop gets an error that does."""
    name, change = CASES[case]
    with pooledhttp.Session() as session:
        change(session)
        with caplog.at_level(logging.DEBUG, "pooledhttp.bulk"), bulk.fetch([], session) as results:
            assert results.engine == "threads"
            assert name in str(results.engine_reason) and name in caplog.text
        with pytest.raises(ValueError, match=name):
            bulk.fetch([], session, engine="loop")


@pytest.mark.parametrize(
    "target",
    [
        "pooledhttp.Session.send",
        "pooledhttp.adapters.HTTPAdapter.send",
        "urllib3.util.connection.create_connection",
        "socket.getaddrinfo",
    ],
)
def test_a_step_that_a_program_has_replaced_gets_threads(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is replaced."""
    with monkeypatch.context() as patch:
        patch.setattr(target, lambda *args, **kwargs: None)
        with bulk.fetch([]) as results:
            assert results.engine == "threads" and "replaced" in str(results.engine_reason)
    with bulk.fetch([]) as results:
        assert results.engine == "loop"


def test_without_greenlet_the_error_of_a_loop_says_what_to_install() -> None:
    """It names the argument, not a class that the caller has not used."""
    program = """
import sys
sys.modules["greenlet"] = None
from pooledhttp import bulk
try:
    list(bulk.fetch(["http://127.0.0.1:1/"], engine="loop"))
except ModuleNotFoundError as error:
    print(error)
"""
    assert run_python("-c", program).stdout.splitlines() == [
        "engine='loop' needs greenlet, which is not installed: pip install greenlet"
    ]


def test_without_greenlet_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the reason says what to install."""
    monkeypatch.setattr(choosing, "is_loop_available", lambda: False)
    with bulk.fetch([]) as results:
        assert results.engine == "threads" and "pip install" in str(results.engine_reason)


def test_a_wrong_name_is_an_error() -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match="'auto', 'threads' or 'loop'"):
        bulk.fetch([], engine="greenlets")  # type: ignore[arg-type]
    with bulk.fetch([], engine="threads") as results:
        assert (results.engine, results.engine_reason) == ("threads", None)
