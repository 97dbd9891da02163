"""Every Python block of the README and the pages runs as it stands, alone, over servers in memory.

A comment in the line above a block says otherwise, with the reason:

    <!-- not run: it needs a cluster -->        the block is not run
    <!-- continues the block above -->          it is run after the blocks before it
"""

from __future__ import annotations

import ast
import http.client
import json
import logging
import re
import shlex
import sys
import textwrap
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


#: What the code of a docstring builds on, by module; the sentence before the code names it.
BEFORE = {
    "bulk": "urls = ['https://example.com/1']",
    "events.request_hooks": "import time\ndef new_id() -> str: return '7'",
    "monitoring.durations": "from pooledhttp import Session\n"
    "from pooledhttp.monitoring import RequestDurations",
    "monitoring.export": "from pooledhttp import Session\n"
    "from pooledhttp.monitoring import OpenTelemetryMetrics",
    "monitoring.monitor": "from pooledhttp import Session\n"
    "from pooledhttp.monitoring import PoolMonitor\nsession, page_somebody = Session(), print",
    "testing": "from pooledhttp import Session\nfrom pooledhttp.testing import MockAdapter\n"
    "session = Session()",
}

#: Docstrings whose code is not run, with the reason.
NOT_RUN = {"_internal_utils": "pytest gives `monkeypatch` to a test"}


def docstring_code() -> Iterator[tuple[str, str]]:
    """Yield (module, code): indented lines of docstrings that compile and call something."""
    package = ROOT / "pooledhttp"
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            text = f"{ast.get_docstring(node) or ''}\n"
            fenced = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
            plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
            for literal in [*fenced, *_INDENTED.findall(plain)]:
                code = textwrap.dedent(literal).strip("\n")
                if re.search(r"\w\(.*\)|^import ", code) and _compiles(code):
                    yield module, code


#: Indented lines that are no section of a docstring.
_INDENTED = re.compile(r"(?<!Args:\n)(?<!Raises:\n)(?<!Returns:\n)(?<=\n)(?:(?:    .*)?\n)+")


def _compiles(code: str) -> bool:
    try:
        compile(code, "docstring", "exec")
    except SyntaxError:
        return False
    return True


DOCSTRINGS = list(docstring_code())


@pytest.mark.parametrize(
    ("module", "code"),
    DOCSTRINGS,
    ids=[f"{n}-{module}" for n, (module, _) in enumerate(DOCSTRINGS)],
)
def test_the_code_of_a_docstring_runs(module: str, code: str, servers: None) -> None:
    """Each block runs over servers in memory, after what the text before it names."""
    if module in NOT_RUN:
        assert NOT_RUN[module]
        return
    names: dict[str, Any] = {}
    try:
        exec(compile(BEFORE.get(module, ""), module, "exec"), names)
        exec(compile(code, module, "exec"), names)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    finally:
        _end(names)


def test_the_docstrings_have_the_code_that_is_expected() -> None:
    """The search for code finds what is there: none of the modules with settings is left out."""
    assert BEFORE.keys() | NOT_RUN.keys() <= {module for module, _ in DOCSTRINGS}
