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
    assert main(["demo", "--files", "40", "--threads", "4", "--rtt", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:22].strip(): line[22:].split() for line in lines[2:6]}
    assert lines[0] == "40 files of 8 KiB over HTTPS, round trip 20 ms, 4 threads"
    assert rows[""] == ["no", "pool", "requests", "pooledhttp"]
    assert rows["connections opened"] == ["40", "4", "4"]
    without, pooled = float(rows["time"][0]), float(rows["time"][-2])
    # Three round trips a file against one (and two more for each connection), four at a time.
    assert without >= 40 / 4 * 0.060
    assert pooled >= 40 / 4 * 0.020
    assert any(line.endswith("times as fast as no pool.") for line in lines)
    assert max(map(len, lines)) <= 80
    assert list(tmp_path.iterdir()) == []
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert left <= {"pooledhttp-sweeper"}  # one for the process, started when first needed
    assert wait_until_closed(before) == {}


def test_without_requests_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other two are compared, and a line says how to have the third."""
    pytest.importorskip("trustme")
    monkeypatch.setitem(sys.modules, "requests", None)
    assert main(["demo", "--files", "4", "--threads", "2", "--rtt", "0"]) == 0
    out = capsys.readouterr().out
    assert "python -m pip install requests" in out
    assert "as fast as requests" not in out


def test_without_trustme_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, not a traceback."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert main(["demo"]) == 2
    assert "pip install trustme" in capsys.readouterr().err


def test_a_server_that_does_not_start_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and a line."""
    pytest.importorskip("trustme")
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert main(["demo"]) == 1
    assert "did not start" in capsys.readouterr().err
