"""The code in `docs/pool.md` runs, and its tables are complete."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from pooledhttp import PoolConfig, Session
from pooledhttp.events import LeaseEnded
from tests.support.counting import CountingServer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pool.md").read_text()


def test_every_block_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """All blocks run one after the other, with a local server for the one they name."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 9
    names: dict[str, Any] = {}
    with CountingServer() as server:
        for block in blocks:
            code = re.sub(r"https://(api\.)?example\.com", server.url().rstrip("/"), block)
            exec(compile(code, "docs/pool.md", "exec"), names)
            assert names["session"].get(server.url()).ok if "session" in names else True
            if "fetch" in names:
                assert names["fetch"](names["session"], server.url()).ok
            if isinstance(names.get("session"), Session):
                names["session"].pool.warm(server.url(), 0)
                names["session"].close()
    shown = capsys.readouterr().out
    assert "4 connections are ready" in shown and "opened in" in shown


def test_the_table_has_every_setting_and_its_default() -> None:
    """No setting is missing, none is invented, and the defaults are those of the code."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.partition("## Words")[0], re.MULTILINE)
    shown = dict(rows)
    fields = dataclasses.fields(PoolConfig)
    assert list(shown) == [field.name for field in fields]
    defaults = PoolConfig()
    for name, text in shown.items():
        value = getattr(defaults, name)
        if name == "max_idle_total":
            continue
        if value in (None, {}):
            assert text in ("none", "off"), name
        else:
            number = 3600.0 if text == "1 h" else float(text.removesuffix(" s"))
            assert number == value, name


def test_reasons_of_closes_are_those_named(caplog: pytest.LogCaptureFixture) -> None:
    """Every reason that the pool itself counts is on the page."""
    caplog.set_level(logging.ERROR)
    events: list[Any] = []
    seen: set[str] = set()
    with CountingServer(["127.0.0.1", "127.0.0.2"]) as server:
        for config in (PoolConfig(max_requests=1), PoolConfig(max_idle_per_host=1)):
            with Session(pool=config, listeners=[events.append]) as session:
                answers = [session.get(server.url(), stream=True) for _ in range(2)]
                assert all(answer.content for answer in answers)
                session.pool.evict(server.url())
                session.get(server.url())
            seen |= session.pool.stats().total.closed.keys()
        with Session(pool=PoolConfig(max_total=1)) as session:
            session.get(server.url()), session.get(server.url(host="127.0.0.2"))
        seen |= session.pool.stats().total.closed.keys()
    assert seen == {"max_requests", "idle_full", "evicted", "closed", "made_room"}
    assert [reason for reason in seen if f"`{reason}`" not in PAGE] == []
    assert {event.outcome for event in events if isinstance(event, LeaseEnded)} == {"released"}
