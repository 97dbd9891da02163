"""The exporters against the real libraries: scraped text, and an in-memory reader."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pooledhttp.events import ConnectionClosed, LeaseAcquired, RequestFinished, StaleFound
from pooledhttp.monitoring import OpenTelemetryMetrics, PrometheusCollector
from pooledhttp.pool import Histogram, OriginStats, PoolStats
from pooledhttp.pool.stats import merge_stats

HERE = "https://here.example:443"


class FakePool:
    """A pool that is only numbers."""

    def __init__(self, *parts: OriginStats) -> None:
        self.parts = list(parts)

    def stats(self) -> PoolStats:
        return PoolStats(
            merge_stats("", self.parts, None), {part.origin: part for part in self.parts}
        )


def busy(origin: str = HERE, **numbers: Any) -> OriginStats:
    """An origin with something in every field."""
    wait = Histogram((0, 0, 0, 1, *[0] * 11, 1), 61.0)
    hold = Histogram((*[0] * 6, 50, *[0] * 9), 4.5)
    numbers = {
        "active": 5,
        "idle": 3,
        "waiting": 2,
        "dialling": 1,
        "max_open": 10,
        "acquired": 50,
        "created": 9,
        "reused": 41,
        "closed": {"idle": 1, 'odd "reason"\n': 2},
        "stale_found": 4,
        "replays": 3,
        "leaks": 2,
        "acquire_timeouts": 1,
        "wait": wait,
        "hold": hold,
        **numbers,
    }
    return OriginStats(origin, **numbers)


class TestPrometheus:
    """What a scrape shows."""

    def scrape(self, pools: Any, **options: Any) -> dict[tuple[str, tuple[Any, ...]], float]:
        """Register, scrape the text, and parse it with the library's own parser."""
        client = pytest.importorskip("prometheus_client")
        from prometheus_client.parser import text_string_to_metric_families

        registry = client.CollectorRegistry()
        registry.register(PrometheusCollector(pools, **options))
        text = client.generate_latest(registry).decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def test_every_number_of_an_origin_is_there(self) -> None:
        """With its labels, under names that end as Prometheus wants them."""
        samples = self.scrape(FakePool(busy()))

        def value(name: str, **labels: str) -> float:
            labels = {"origin": HERE, "pool": "default", **labels}
            return samples[f"pooledhttp_{name}", tuple(sorted(labels.items()))]

        states = [value("connections", state=s) for s in ("active", "idle", "dialling")]
        assert states == [4, 3, 1]
        assert value("requests_waiting") == 2
        assert value("connections_max") == 10
        assert value("utilisation_ratio") == 0.5
        assert value("leases_total") == 50
        assert value("connections_created_total") == 9
        assert value("connections_reused_total") == 41
        assert value("connections_stale_total") == 4
        assert value("requests_replayed_total") == 3
        assert value("leaks_total") == 2
        assert value("acquire_timeouts_total") == 1
        assert value("connections_closed_total", reason="idle") == 1
        assert value("connections_closed_total", reason='odd "reason"\n') == 2
        assert value("acquire_wait_seconds_count") == 2
        assert value("acquire_wait_seconds_sum") == 61
        assert value("acquire_wait_seconds_bucket", le="0.005") == 0
        assert value("acquire_wait_seconds_bucket", le="0.01") == 1
        assert value("acquire_wait_seconds_bucket", le="60.0") == 1
        assert value("acquire_wait_seconds_bucket", le="+Inf") == 2
        assert value("lease_hold_seconds_count") == 50

    def test_no_maximum_is_no_sample(self) -> None:
        """An unlimited pool has no number to show there."""
        samples = self.scrape(FakePool(busy(max_open=None)))
        assert not [name for name, _ in samples if name == "pooledhttp_connections_max"]

    def test_several_pools_are_told_apart(self) -> None:
        """One collector, each pool under its name."""
        samples = self.scrape({"api": FakePool(busy()), "cdn": FakePool(busy(acquired=7))})
        leases = {
            dict(labels)["pool"]: value
            for (name, labels), value in samples.items()
            if name == "pooledhttp_leases_total"
        }
        assert leases == {"api": 50, "cdn": 7}

    def test_origins_are_bounded(self) -> None:
        """A thousand hosts are a hundred names and the rest."""
        pool = FakePool(*(busy(f"https://h{n}:443", acquired=n) for n in range(1000)))
        samples = self.scrape(pool)
        leases = {
            dict(labels)["origin"]: value
            for (name, labels), value in samples.items()
            if name == "pooledhttp_leases_total"
        }
        assert len(leases) == 101
        assert leases["https://h999:443"] == 999
        assert sum(leases.values()) == sum(range(1000))

    def test_registering_takes_no_snapshot(self) -> None:
        """A pool that cannot be asked yet can be registered."""
        client = pytest.importorskip("prometheus_client")
        pool: Any = SimpleNamespace(stats=lambda: pytest.fail("it was asked"))
        client.CollectorRegistry().register(PrometheusCollector(pool))


class TestOpenTelemetry:
    """What an in-memory reader collects."""

    def make(self, **options: Any) -> tuple[OpenTelemetryMetrics, Any]:
        """An exporter on a provider of its own, and a function that collects."""
        sdk = pytest.importorskip("opentelemetry.sdk.metrics")
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        reader = InMemoryMetricReader()
        provider = sdk.MeterProvider(metric_readers=[reader])

        def collect() -> dict[str, list[Any]]:
            data = reader.get_metrics_data()
            if data is None:
                return {}
            return {
                metric.name: list(metric.data.data_points)
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }

        return OpenTelemetryMetrics(provider.get_meter("test"), **options), collect

    def test_open_connections_have_the_conventions_names(self) -> None:
        """By state, with the server's address, port and scheme."""
        metrics, collect = self.make()
        metrics.watch(FakePool(busy()))
        points = collect()["http.client.open_connections"]
        assert {point.attributes["http.connection.state"]: point.value for point in points} == {
            "active": 4,
            "idle": 3,
        }
        about = dict(points[0].attributes)
        assert about["server.address"] == "here.example"
        assert about["server.port"] == 443
        assert about["url.scheme"] == "https"

    def test_names_and_units_are_those_of_the_conventions_package(self) -> None:
        """Compared with the constants that the OpenTelemetry project publishes."""
        conventions = pytest.importorskip("opentelemetry.semconv._incubating.metrics.http_metrics")
        from opentelemetry.semconv.metrics import http_metrics as stable

        metrics, collect = self.make()
        metrics.watch(FakePool(busy()))
        metrics(ConnectionClosed(HERE, "idle", 30.0, 5))
        metrics(RequestFinished(HERE, "GET", 200, 0.1))
        assert {
            conventions.HTTP_CLIENT_OPEN_CONNECTIONS,
            conventions.HTTP_CLIENT_ACTIVE_REQUESTS,
            conventions.HTTP_CLIENT_CONNECTION_DURATION,
            stable.HTTP_CLIENT_REQUEST_DURATION,
        } <= set(collect())

    def test_counters_of_the_pool_are_there(self) -> None:
        """Under our own prefix, since the conventions have no names for them."""
        metrics, collect = self.make()
        metrics.watch(FakePool(busy()))
        found = collect()
        assert [point.value for point in found["pooledhttp.leases"]] == [50]
        assert [point.value for point in found["pooledhttp.connections_reused"]] == [41]
        assert [point.value for point in found["http.client.active_requests"]] == [7]
        closed = found["pooledhttp.connections_closed"]
        assert {point.attributes["reason"]: point.value for point in closed} == {
            "idle": 1,
            'odd "reason"\n': 2,
        }

    def test_events_become_histograms(self) -> None:
        """Times in the queue, ages of connections, requests; other events are ignored."""
        metrics, collect = self.make()
        metrics(LeaseAcquired(HERE, 0.3, reused=True, dialling=False))
        metrics(LeaseAcquired(HERE, 0.0, reused=True, dialling=False))
        metrics(ConnectionClosed(HERE, "idle", 40.0, 12))
        metrics(RequestFinished(HERE, "get", 200, 0.05))
        metrics(RequestFinished(HERE, "BREW", 503, 0.05))
        metrics(RequestFinished(HERE, "GET", None, 1.5, error="RecvTimeout"))
        metrics(StaleFound(HERE, 3.0))
        found = collect()
        (queue,) = found["http.client.request.time_in_queue"]
        assert (queue.count, queue.sum, queue.attributes["server.port"]) == (2, 0.3, 443)
        (connection,) = found["http.client.connection.duration"]
        assert (connection.count, connection.sum) == (1, 40.0)
        requests = {
            (
                point.attributes["http.request.method"],
                point.attributes.get("http.response.status_code"),
                point.attributes.get("error.type"),
            )
            for point in found["http.client.request.duration"]
        }
        assert requests == {
            ("GET", 200, None),
            ("_OTHER", 503, "503"),
            ("GET", None, "RecvTimeout"),
        }

    def test_buckets_suit_what_is_measured(self) -> None:
        """The library's own bounds are for milliseconds."""
        metrics, collect = self.make()
        metrics(LeaseAcquired(HERE, 0.3, reused=True, dialling=False))
        (queue,) = collect()["http.client.request.time_in_queue"]
        assert queue.explicit_bounds[0] == 0.005 and queue.explicit_bounds[-1] == 10

    def test_origins_are_bounded(self) -> None:
        """In snapshots and in events."""
        metrics, collect = self.make(max_origins=3)
        metrics.watch(FakePool(*(busy(f"https://h{n}:443") for n in range(10))))
        for n in range(10):
            metrics(ConnectionClosed(f"https://h{n}:443", "idle", 1.0, 1))
        found = collect()
        for name in "pooledhttp.leases", "http.client.connection.duration":
            addresses = {point.attributes["server.address"] for point in found[name]}
            assert len(addresses) == 4 and "other" in addresses

    @pytest.mark.parametrize(
        ("origin", "about"),
        [
            ("http://[::1]:8080", {"server.address": "::1", "server.port": 8080}),
            ("http+unix:///run/x.sock", {"server.address": "http+unix:///run/x.sock"}),
            ("other", {"server.address": "other"}),
        ],
    )
    def test_any_origin_has_an_address(self, origin: str, about: dict[str, Any]) -> None:
        """IPv6 literals without brackets; what is not host and port as it is."""
        metrics, collect = self.make()
        metrics(ConnectionClosed(origin, "idle", 1.0, 1))
        (point,) = collect()["http.client.connection.duration"]
        assert about.items() <= dict(point.attributes).items()

    def test_watching_twice_is_refused(self) -> None:
        """Instruments cannot be taken back; give all pools at once."""
        metrics, _ = self.make()
        metrics.watch(FakePool())
        with pytest.raises(RuntimeError, match="already"):
            metrics.watch(FakePool())
