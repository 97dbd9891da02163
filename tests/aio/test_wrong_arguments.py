"""Wrong arguments of an `AsyncSession` fail as those of a `Session` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pooledhttp
from tests.aio.tools import run
from tests.support.scripted import ScriptedServer, answering, respond

ARGUMENTS: list[dict[str, Any]] = [
    {"hooks": [print]},
    {"hooks": print},
    {"hooks": {"respons": print}},
    {"hooks": {"response": lambda response: None}},
    {"hooks": {"response": lambda response, **_: "text"}},
    {"auth": "user"},
    {"auth": lambda request: None},
    {"files": ["name"]},
    {"files": [("name",)]},
    {"files": 5},
    {"files": "name"},
    {"files": {"field": Path("file")}},
    {"data": Path("file")},
    {"data": 5},
    {"headers": {1: "a"}},
    {"cookies": "a=b"},
    {"params": 5},
    {"timeout": "5"},
    {"proxies": "http://h"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_an_argument_of_a_wrong_type(arguments: dict[str, Any]) -> None:
    """The class and the text are the same."""

    async def main(url: str) -> Exception:
        async with pooledhttp.AsyncSession() as session:
            with pytest.raises(Exception) as caught:
                await session.post(url, **arguments)
            return caught.value

    with ScriptedServer(answering(respond(b""))) as server:
        with pooledhttp.Session() as session, pytest.raises(Exception) as expected:
            session.post(server.url(), **arguments)
        error = run(main(server.url()))
    assert (type(error), str(error)) == (type(expected.value), str(expected.value))


@pytest.mark.parametrize("hooks", [{"response": 5}, {"response": None}])
def test_hooks_that_cannot_be_called(hooks: Any) -> None:
    """They are ignored, as by a `Session`."""

    async def main(url: str) -> int:
        async with pooledhttp.AsyncSession() as session:
            session.hooks = None  # type: ignore[assignment]  # as programs of requests do
            return (await session.get(url, hooks=hooks)).status_code

    with ScriptedServer(answering(respond(b""))) as server:
        assert pooledhttp.get(server.url(), hooks=hooks).status_code == 200
        assert run(main(server.url())) == 200
