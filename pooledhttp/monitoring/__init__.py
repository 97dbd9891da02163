"""Watching a pool: alerts, sizing, and exporters.

    metrics.py    differences between snapshots, and which origins have labels of their own
    monitor.py    `PoolMonitor`: rules that fire once and clear once
    sizing.py     Little's law, applied to what was measured
    export.py     Prometheus and OpenTelemetry
    durations.py  a Prometheus histogram of request durations
    tracing.py    OpenTelemetry spans
    tracing_hook.py  what both kinds of spans have in common
    sentry.py     Sentry spans and breadcrumbs

Metrics of the pool come from `pool.stats()`, those of requests from events, spans from request
hooks. No request depends on this subpackage.
"""

from __future__ import annotations

from pooledhttp.monitoring.durations import RequestDurations
from pooledhttp.monitoring.export import OpenTelemetryMetrics, PrometheusCollector
from pooledhttp.monitoring.metrics import StatsSource
from pooledhttp.monitoring.monitor import Alert, PoolMonitor, Rule, default_rules
from pooledhttp.monitoring.sentry import SentryTracing
from pooledhttp.monitoring.sizing import connections_needed, explain, rank
from pooledhttp.monitoring.tracing import OpenTelemetryTracing

__all__ = [
    "Alert",
    "OpenTelemetryMetrics",
    "OpenTelemetryTracing",
    "PoolMonitor",
    "PrometheusCollector",
    "RequestDurations",
    "Rule",
    "SentryTracing",
    "StatsSource",
    "connections_needed",
    "default_rules",
    "explain",
    "rank",
]
