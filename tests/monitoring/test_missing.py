"""Without its optional package, an exporter says what is needed and how to install it."""

from __future__ import annotations

import sys

import pytest

import pooledhttp
from pooledhttp import monitoring


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("PrometheusCollector", "prometheus_client", "prometheus-client"),
        ("RequestDurations", "prometheus_client", "prometheus-client"),
        ("OpenTelemetryMetrics", "opentelemetry", "opentelemetry-api"),
        ("OpenTelemetryTracing", "opentelemetry", "opentelemetry-api"),
        ("SentryTracing", "sentry_sdk", "sentry-sdk"),
    ],
)
def test_a_missing_package_is_named(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that pip takes, since that of the module differs."""
    monkeypatch.setitem(sys.modules, module, None)
    with pooledhttp.Session() as session:
        arguments = [session.pool] if name == "PrometheusCollector" else []
        with pytest.raises(ModuleNotFoundError, match=f"{name} needs .*: pip install {package}$"):
            getattr(monitoring, name)(*arguments)
