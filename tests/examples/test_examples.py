"""Every example runs as it stands, and prints what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import ROOT, run_python

EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*.py") if path.name != "local_server.py"
)

#: Lines an example has to print, by its name.
SAID = {
    "api_client": ["{'id': 7, 'name': 'lamp'}"],
    "own_tests": ["both tests passed"],
    "on_an_event_loop": ["['/0', '/1', '/2'] HTTPError", "/streamed", "connections: 4"],
    "service": ["/lamp", 'pooledhttp_leases_total{origin="UPSTREAM",pool="upstream"} 1.0'],
    "tracing": ["  GET 200", "  POST 201", "check out"],
    "quickstart": ["200 /hello?name=you", "201 {'n': 1}", "as expected: 404", "/streamed"],
    "dask_cluster": ["1690 bytes from 200 pages"],
    "bulk_fetch": [
        *("number 200 failed: InvalidURL", "196 fetched, 4 refused, 1 failed"),
        *("20 fetched, 0 there already, 0 failed", "missing.txt: HTTP 404 Not Found"),
        *("1 fetched, 20 there already, 1 failed", "failures: {'HTTP 404': 1}"),
        "the second 7.txt has a name of its own: True",
    ],
    "growing_list": [
        *("20 files", "missing.txt: HTTP 404, 1 attempt", "230 bytes from 1 host"),
        "a page with 5 pictures",
    ],
    "mount_adapter": [
        *("hello from memory", "404", "/hello"),
        "longest prefix first: ['memory://', 'https://', 'http://']",
    ],
}


#: What an example needs besides the extra `test`.
NEEDS = {
    "dask_cluster": "distributed",
    "on_an_event_loop": "greenlet",
    "service": "flask",
    "tracing": "opentelemetry.sdk",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    """Exit status 0, nothing on stderr, and the promised lines."""
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem], reason=f"pip install {NEEDS[path.stem]}")
    # distributed leaves a socket of its own to the collector when the machine is slow.
    strict = () if path.stem == "dask_cluster" else ("-W", "error::ResourceWarning")
    done = run_python(*strict, str(path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines
    assert [line for line in SAID.get(path.stem, []) if line not in lines] == []


def test_the_readme_shows_code_early() -> None:
    """Working code by line 15, and the two commands as single lines."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any("import pooledhttp" in line for line in lines[:15])
    assert len(lines) <= 150
    for command in ("bin/pooledhttp demo", "-m pytest"):
        (line,) = [line for line in lines if command in line and "venv" in line]
        assert line.startswith("python3 -m venv .venv && ")
