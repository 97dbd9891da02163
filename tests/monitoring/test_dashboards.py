"""The dashboard, the alert rules and the page on monitoring name metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pooledhttp import Session
from pooledhttp.events import RequestFinished
from pooledhttp.monitoring import PrometheusCollector, RequestDurations

prometheus_client = pytest.importorskip("prometheus_client", reason="pip install prometheus-client")

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = ["alerts.yml", "grafana-dashboard.json", "monitoring.md"]


@pytest.fixture(scope="module")
def samples() -> set[str]:
    """The names of all metrics and samples that the exporters report."""
    registry = prometheus_client.CollectorRegistry()
    with Session() as session:
        registry.register(PrometheusCollector(session.pool))
        RequestDurations(registry)(RequestFinished("http://a:80", "GET", 200, 0.1))
        families = list(registry.collect())
        known = {family.name for family in families}
        known |= {f"{family.name}_total" for family in families if family.type == "counter"}
        histograms = {family.name for family in families if family.type == "histogram"}
        known |= {f"{name}_{end}" for name in histograms for end in ("bucket", "count", "sum")}
    return known


@pytest.mark.parametrize("name", FILES)
def test_every_metric_is_exported(name: str, samples: set[str]) -> None:
    """A renamed metric would leave a panel empty and an alert silent."""
    named = set(re.findall(r"\bpooledhttp_\w+", (DOCS / name).read_text()))
    assert named
    assert named - samples == set()


def test_every_metric_is_documented(samples: set[str]) -> None:
    """The page lists each metric under its full name."""
    page = (DOCS / "monitoring.md").read_text()
    whole = {name for name in samples if not re.search(r"_(bucket|count|sum)$", name)}
    counters = {name.removesuffix("_total") for name in whole if name.endswith("_total")}
    assert [name for name in sorted(whole - counters) if name not in page] == []


def test_the_dashboard_can_be_imported() -> None:
    """It is JSON with the parts that Grafana needs, and no panel covers another."""
    dashboard: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert {one["name"] for one in dashboard["templating"]["list"]} >= {"pool", "origin"}


def test_each_alert_says_what_is_wrong() -> None:
    """Each rule has an expression, and a summary for the reader at night."""
    rules = (DOCS / "alerts.yml").read_text().split("- alert:")[1:]
    assert len(rules) >= 6
    assert all("expr:" in rule and "summary:" in rule and "severity:" in rule for rule in rules)


def test_durations_are_counted_by_method_and_class() -> None:
    """Methods that the conventions do not know share one label, errors have their own class."""
    registry = prometheus_client.CollectorRegistry()
    durations = RequestDurations(registry, buckets=(0.1, 1))
    for method, status, seconds in [("GET", 200, 0.05), ("get", 204, 0.5), ("BREW", None, 2.0)]:
        durations(RequestFinished("http://a:80", method, status, seconds))
    value = registry.get_sample_value
    name = "pooledhttp_request_duration_seconds"
    assert value(f"{name}_count", {"method": "GET", "status": "2xx"}) == 2
    assert value(f"{name}_bucket", {"method": "GET", "status": "2xx", "le": "0.1"}) == 1
    assert value(f"{name}_sum", {"method": "_OTHER", "status": "error"}) == 2.0
