"""`pooledhttp info`."""

from __future__ import annotations

import json
import platform

import h11
import pytest

from pooledhttp.cli.main import main


def test_versions_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's, ours, and the libraries'."""
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "pooledhttp"
    assert f"python                 CPython {platform.python_version()}" in lines
    assert f"  h11                  {h11.__version__}" in lines


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not installed is null."""
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["libraries"]["h11"] == h11.__version__
    assert set(facts["extras"]) >= {"demo", "socks", "truststore"}
