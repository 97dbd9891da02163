"""A pytest plugin for other suites: puts pooledhttp in place of requests, records outcomes.

Loaded with `-p suite_plugin` before anything else imports requests. It reads two environment
variables: `SUITE_ON`, which is `requests` or `pooledhttp`, and `SUITE_OUTCOMES`, the file that
gets one JSON object of test id and outcome (`passed`, `failed` or `skipped`; an error in a fixture
or in collecting is a failure).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

if os.environ["SUITE_ON"] == "pooledhttp":
    from pooledhttp import dropin

    dropin.install()

_outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of a test's three phases."""
    if report.failed or report.nodeid not in _outcomes or report.skipped:
        _outcomes[report.nodeid] = report.outcome


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported fails as a whole."""
    if report.failed:
        _outcomes[report.nodeid] = "failed"


def pytest_sessionfinish() -> None:
    """Write the outcomes."""
    Path(os.environ["SUITE_OUTCOMES"]).write_text(json.dumps(_outcomes, indent=0))


def pytest_report_header() -> str:
    """Say what is tested, and refuse to test something else."""
    import requests

    package = requests.Session.__module__.split(".")[0]
    assert package == os.environ["SUITE_ON"], package
    return f"requests {requests.__version__} by {package}"
