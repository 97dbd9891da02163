"""Every Python block of the README and the pages runs as it stands, alone, over servers in memory.

A comment in the line above a block says otherwise, with the reason:

    <!-- not run: it needs a cluster -->        the block is not run
    <!-- continues the block above -->          it is run after the blocks before it
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pooledhttp import dropin
from pooledhttp.cli.main import parser_for
from pooledhttp.events import request_hooks
from pooledhttp.mocking import MemoryConnector, Reply, SentRequest, response_bytes

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    """A block of code, the line it begins at, and what the comment above it says."""

    line: int
    code: str
    comment: str


def blocks(page: Path, language: str = "python") -> list[Block]:
    text = page.read_text()
    pattern = rf"(?:^<!-- ([^\n]*) -->\n+)?^```{language}\n(.*?)^```"
    return [
        Block(text.count("\n", 0, match.start(2)) + 1, match[2], match[1] or "")
        for match in re.finditer(pattern, text, re.DOTALL | re.MULTILINE)
    ]


class AnyServer:
    """Responds to every request; a body comes back as it was sent."""

    def receive(self, sent: SentRequest) -> Reply:
        fields = {"Content-Type": "application/json", "ETag": '"1"'}
        body = sent.body or json.dumps({"id": 1, "name": "item"}).encode()
        return Reply(response_bytes(sent.method, 200, fields, body, None), None)

    def refuses(self, origin: str) -> bool:
        return False


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Servers in memory for every name, files that pages mention, and the state afterwards."""

    def connector(runtime: Any, **_: object) -> MemoryConnector:
        return MemoryConnector(runtime, AnyServer())

    monkeypatch.setattr("pooledhttp.transport.manager.Connector", connector)
    monkeypatch.setattr(request_hooks, "_shared", ())
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 0)
    monkeypatch.chdir(tmp_path)
    urls = "".join(f"https://example.com/{number}\n" for number in range(3))
    Path("urls.txt").write_text(urls)
    level, handlers = logging.root.level, list(logging.root.handlers)
    ours = logging.getLogger("pooledhttp").level
    yield
    dropin.uninstall()
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers
    logging.getLogger("pooledhttp").setLevel(ours)
    if "prometheus_client" in sys.modules:
        registry = sys.modules["prometheus_client"].REGISTRY
        for collector in list(registry._collector_to_names):
            if type(collector).__module__.startswith("pooledhttp") or any(
                name.startswith("pooledhttp") for name in registry._collector_to_names[collector]
            ):
                registry.unregister(collector)


@each_page
def test_each_block_runs_alone(page: Path, servers: None, capsys: Any) -> None:
    """With a new namespace for each, unless the page says that it continues.

    The page counts as skipped if a block needs a library that is not installed.
    """
    names: dict[str, Any] = {}
    missing: list[str] = []
    for block in blocks(page):
        if block.comment.startswith("not run:"):
            assert len(block.comment) > len("not run: ") + 5, "say why"
            continue
        if not block.comment.startswith("continues"):
            _end(names)
            names = {"__name__": "__main__"}
        code = "\n" * (block.line - 1) + block.code
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exec(compile(code, str(page), "exec"), names)
            except ModuleNotFoundError as error:
                if error.name is not None and error.name.startswith("pooledhttp"):
                    raise
                missing.append(str(error))
    _end(names)
    if missing:
        pytest.skip("; ".join(dict.fromkeys(missing)))


def _end(names: dict[str, Any]) -> None:
    for value in list(names.values()):
        close = getattr(value, "close", None)
        if type(value).__module__.startswith("pooledhttp") and callable(close):
            close()


def test_the_first_block_prints_what_its_comment_says(servers: None, capsys: Any) -> None:
    """What a newcomer sees first is true."""
    block = blocks(ROOT / "README.md")[0]
    exec(compile(block.code, "README.md", "exec"), {})
    assert (
        re.findall(r"  # (.*)$", block.code, re.MULTILINE) == capsys.readouterr().out.splitlines()
    )
    assert block.line <= 8


@each_page
def test_each_command_is_understood(page: Path) -> None:
    """Each line of a shell block that begins with `pooledhttp` has arguments that are right."""
    for block in blocks(page, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            command = line.partition("|")[2].strip() if "| pooledhttp" in line else line
            if command.startswith("pooledhttp "):
                arguments = shlex.split(command, comments=True)[1:]
                parser_for(arguments).parse_args(arguments)
