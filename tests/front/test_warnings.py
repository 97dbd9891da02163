"""Warnings of what a program does name its own line, not one of the package."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import InsecureRequestWarning

import pooledhttp
from pooledhttp.exceptions import FileModeWarning
from tests.support.certificates import Authority
from tests.support.engines import needs_greenlet
from tests.support.scripted import ScriptedServer, answering, respond

CALLERS: list[Callable[[], Any]] = [lambda: pooledhttp, pooledhttp.Session]


@pytest.mark.parametrize("make_caller", CALLERS, ids=["functions", "session"])
def test_a_warning_names_the_line_of_the_program(
    make_caller: Callable[[], Any], authority: Authority, tmp_path: Path
) -> None:
    """Whatever is called, and however deep in the package the warning is made."""
    caller = make_caller()
    path = tmp_path / "text"
    path.write_text("text")
    with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as server:
        with path.open() as text, pytest.warns(Warning) as caught:
            caller.post(server.url(), data=text, auth=(1, 2), verify=False)
    kinds = {each.category for each in caught}
    assert kinds == {FileModeWarning, DeprecationWarning, InsecureRequestWarning}
    assert {each.filename for each in caught} == {__file__}
    assert len({each.lineno for each in caught}) == 1


@needs_greenlet
def test_a_warning_where_no_line_of_the_program_is_near(authority: Authority) -> None:
    """In a greenlet it names the code that warns."""

    async def main(url: str) -> None:
        async with pooledhttp.AsyncSession() as session:
            await session.get(url, verify=False)

    with ScriptedServer(answering(respond(b"ok")), tls=authority.server_context()) as server:
        with pytest.warns(InsecureRequestWarning) as caught:
            asyncio.run(main(server.url()))
    (warning,) = caught
    assert Path(warning.filename).parts[-2:] == ("pooledhttp", "adapters.py")
