"""A real session on a real server, watched by all there is."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from pooledhttp import PoolConfig, Session
from pooledhttp.monitoring import (
    Alert,
    OpenTelemetryMetrics,
    PoolMonitor,
    PrometheusCollector,
    explain,
    rank,
)


def test_prometheus_shows_what_the_session_did(httpserver: HTTPServer) -> None:
    """Five requests over one connection, in the text of a scrape."""
    client = pytest.importorskip("prometheus_client")
    httpserver.expect_request("/").respond_with_data("hello")
    with Session() as session:
        registry = client.CollectorRegistry()
        registry.register(PrometheusCollector(session.pool))
        for _ in range(5):
            session.get(httpserver.url_for("/"))
        text = client.generate_latest(registry).decode()
    names = {"origin": f"http://localhost:{httpserver.port}", "pool": "default"}

    def value(name: str) -> float:
        found: float | None = registry.get_sample_value(f"pooledhttp_{name}", names)
        assert found is not None, text
        return found

    assert value("leases_total") == value("lease_hold_seconds_count") == 5
    assert value("connections_created_total") + value("connections_reused_total") == 5


def test_opentelemetry_hears_events_and_reads_snapshots(httpserver: HTTPServer) -> None:
    """A listener of the session, then told which pool to watch."""
    sdk: Any = pytest.importorskip("opentelemetry.sdk.metrics")
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    metrics = OpenTelemetryMetrics(sdk.MeterProvider(metric_readers=[reader]).get_meter("test"))
    httpserver.expect_request("/").respond_with_data("hello")
    with Session(listeners=[metrics]) as session:
        metrics.watch(session.pool)
        session.get(httpserver.url_for("/"))
        data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert [point.value for point in found["pooledhttp.leases"]] == [1]
    (queue,) = found["http.client.request.time_in_queue"]
    assert queue.count == 1
    assert queue.attributes["server.port"] == httpserver.port


def test_a_monitor_sees_a_response_that_was_dropped(httpserver: HTTPServer) -> None:
    """The leak rule, on a real leak."""
    httpserver.expect_request("/").respond_with_data("x" * 1_000_000)
    alerts: list[Alert] = []
    with Session() as session:
        monitor = PoolMonitor(session.pool, on_alert=alerts.append)
        session.get(httpserver.url_for("/")).close()
        monitor.check()
        assert alerts == []
        with pytest.warns(ResourceWarning):
            session.get(httpserver.url_for("/"), stream=True)  # dropped at once
        monitor.check()
    assert [(alert.rule, alert.firing) for alert in alerts] == [("leaks", True)]


def test_advice_from_a_real_pool_can_be_said(httpserver: HTTPServer) -> None:
    """`pool.advise()` is what `rank` and `explain` take."""
    httpserver.expect_request("/").respond_with_data("hello")
    with Session(pool=PoolConfig(max_per_host=4)) as session:
        for _ in range(5):
            session.get(httpserver.url_for("/"))
        advise = getattr(session.pool, "advise", None)
        if advise is None:
            pytest.skip("the session's pool gives no advice yet")
        (advice,) = rank(advise())
    assert explain(advice).endswith("the maximum of 4 is enough.")
