"""`pooledhttp demo`."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import pytest

from pooledhttp.cli.main import main
from tests.support.descriptors import open_descriptors, wait_until_closed


def test_the_demo_shows_what_the_pool_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both runs, their connections and the ratio; no file, thread or descriptor is left."""
    pytest.importorskip("trustme")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    before, threads = open_descriptors(), set(threading.enumerate())
    assert main(["demo", "--files", "40", "--jobs", "4", "--rtt", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:26].strip(): line[26:].split() for line in lines[2:7]}
    assert lines[0] == "40 files of 8 KiB over HTTPS, round trip 20 ms, 4 at a time"
    assert rows["connections opened"] == ["40", "4"]
    assert rows["requests that reused one"] == ["0.0%", "90.0%"]
    without, pooled = float(rows["time"][0]), float(rows["time"][2])
    # Three round trips a file against one (and two more for each connection), four at a time.
    assert without >= 40 / 4 * 0.060
    assert pooled < without
    assert any("times as fast" in line for line in lines)
    assert "acquired 40, created 4, reused 36" in lines[-1]
    assert list(tmp_path.iterdir()) == []
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert left <= {"pooledhttp-sweeper"}  # one for the process, started when first needed
    assert wait_until_closed(before) == {}


def test_without_trustme_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, not a traceback."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert main(["demo"]) == 2
    assert "pooledhttp[demo]" in capsys.readouterr().err


def test_a_server_that_does_not_start_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and a line."""
    pytest.importorskip("trustme")
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert main(["demo"]) == 1
    assert "did not start" in capsys.readouterr().err
