"""One GET of a session that is watched: the log, metrics, traces, each on its own.

As in `scenarios`, each takes the module and a URL, and gives a callable that makes one request. The
difference to `off` is the price of what is on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

__all__ = ["WATCHED"]

Call = Callable[[], object]


def off(module: Any, url: str) -> Call:
    """Nothing is on. The libraries are imported, so that the costs of an import do not differ."""
    session = module.Session()
    return lambda: session.get(url).content


def log_off(module: Any, url: str) -> Call:
    """The program logs at INFO, as most do."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    return off(module, url)


def log_debug(module: Any, url: str) -> Call:
    """At DEBUG, into a handler that formats each line and drops it."""

    class Formats(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            self.format(record)

    logging.basicConfig(level=logging.DEBUG, handlers=[Formats()])
    return off(module, url)


def monitor(module: Any, url: str) -> Call:
    """Alerts are checked, and Prometheus could scrape: neither is part of a request."""
    from prometheus_client import REGISTRY

    from pooledhttp.monitoring import PoolMonitor, PrometheusCollector

    session = module.Session()
    REGISTRY.register(PrometheusCollector(session.pool))
    PoolMonitor(session.pool, on_alert=print, interval=3600).start()
    return lambda: session.get(url).content


def durations(module: Any, url: str) -> Call:
    """A histogram of requests for Prometheus."""
    from pooledhttp.monitoring import RequestDurations

    session = module.Session(listeners=[RequestDurations()])
    return lambda: session.get(url).content


def otel_metrics(module: Any, url: str) -> Call:
    """Metrics by the SDK of OpenTelemetry, into memory."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from pooledhttp.monitoring import OpenTelemetryMetrics

    provider = MeterProvider(metric_readers=[InMemoryMetricReader()])
    metrics = OpenTelemetryMetrics(provider.get_meter("benchmark"))
    session = module.Session(listeners=[metrics])
    metrics.watch(session.pool)
    return lambda: session.get(url).content


def listener(module: Any, url: str) -> Call:
    """A listener that does nothing: what the events alone cost."""
    session = module.Session(listeners=[lambda event: None])
    return lambda: session.get(url).content


def hook(module: Any, url: str) -> Call:
    """A request hook that does nothing."""
    session = module.Session(request_hooks=[lambda request: None])
    return lambda: session.get(url).content


def tracing(module: Any, url: str) -> Call:
    """Spans by the SDK of OpenTelemetry, which sampled all of them and exports none."""
    from opentelemetry.sdk.trace import TracerProvider

    from pooledhttp.monitoring import OpenTelemetryTracing

    session = module.Session(request_hooks=[OpenTelemetryTracing(TracerProvider())])
    return lambda: session.get(url).content


WATCHED: dict[str, Callable[[Any, str], Call]] = {
    "off": off,
    "log-off": log_off,
    "log-debug": log_debug,
    "monitor": monitor,
    "durations": durations,
    "listener": listener,
    "otel-metrics": otel_metrics,
    "hook": hook,
    "tracing": tracing,
}
