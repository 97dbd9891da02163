"""Metrics for Prometheus and OpenTelemetry, from snapshots and events of a pool.

    PrometheusCollector     read at each scrape           snapshots      extra "prometheus"
    OpenTelemetryMetrics    read at each collection       snapshots      extra "opentelemetry"
                            called as a listener          events

Both report counters that the pool keeps anyway, so they cost nothing between two scrapes. The
number of origins with names of their own is bounded (`OriginLabels`), so that a crawler does not
fill the metrics database with every host that it sees. The others are reported as `"other"`.

Names are those of OpenTelemetry's semantic conventions for HTTP clients where these have one, and
`pooledhttp.*` elsewhere. The libraries are imported when an exporter is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pooledhttp.events import ConnectionClosed, Event, LeaseAcquired, RequestFinished
from pooledhttp.loading import explain_missing
from pooledhttp.monitoring.metrics import OTHER_ORIGINS, OriginLabels, StatsSource, check_source
from pooledhttp.pool import Histogram, OriginStats
from pooledhttp.runtime import new_lock

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from prometheus_client import Metric

__all__ = ["OpenTelemetryMetrics", "PrometheusCollector"]

Pools = StatsSource | Mapping[str, StatsSource]

#: Counters of an origin: the field, the name's middle, what it counts.
_COUNTERS = (
    ("acquired", "leases", "Requests that were given a connection or a place to open one."),
    ("created", "connections_created", "Connections that were opened."),
    ("reused", "connections_reused", "Requests that were given an open connection."),
    ("stale_found", "connections_stale", "Idle connections that turned out to be dead."),
    ("replays", "requests_replayed", "Requests sent once more because of a dead connection."),
    ("leaks", "leaks", "Responses that were dropped or forgotten instead of closed."),
    (
        "acquire_timeouts",
        "acquire_timeouts",
        "Requests whose wait for a connection timed out.",
    ),
)

#: Bounds in seconds that the conventions advise for requests, and ones that suit connections.
REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_CONNECTION_BOUNDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

#: Methods reported by name; the conventions call all others `_OTHER`.
_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)


class _Watched:
    """Pools by name, each with its own labels for origins."""

    def __init__(self, pools: Pools, max_origins: int) -> None:
        named = pools if isinstance(pools, Mapping) else {"default": pools}
        for pool in named.values():
            check_source(pool)
        self._pools = {name: (pool, OriginLabels(max_origins)) for name, pool in named.items()}
        self._lock = new_lock()  # for scrapes at the same time

    def parts(self) -> list[tuple[str, OriginStats]]:
        """Take a snapshot of every pool; return (pool, counts of an origin) pairs."""
        snapshots = [(name, pool.stats()) for name, (pool, _) in self._pools.items()]
        with self._lock:
            return [
                (name, part)
                for name, stats in snapshots
                for part in self._pools[name][1].split(stats)
            ]


class PrometheusCollector:
    """A collector for `prometheus_client`: `REGISTRY.register(PrometheusCollector(session.pool))`.

    Every sample has the labels `pool` and `origin`. One collector reports all pools of a process,
    since a metric may appear only once in a scrape.

    Args:
        pools: A pool (`session.pool`), or several by name; one alone is called "default".
        max_origins: Origins reported by name, for each pool.

    Raises:
        ImportError: `prometheus_client` is missing; `pip install prometheus-client`.
        TypeError: A session is among `pools`.
    """

    def __init__(self, pools: Pools, *, max_origins: int = 100) -> None:
        with explain_missing("PrometheusCollector", "prometheus-client"):
            from prometheus_client import core

        self._core: Any = core
        self._watched = _Watched(pools, max_origins)

    def describe(self) -> list[Metric]:
        """Return nothing: registering does not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Take a snapshot and yield its metrics; called by the registry."""
        parts = self._watched.parts()
        yield self._states(parts)
        yield self._gauge(parts, "requests_waiting", "Requests in the queue.", "waiting")
        yield self._gauge(parts, "connections_max", "Maximum of connections.", "max_open")
        yield self._gauge(parts, "connections_advised", "Connections the load needs.", "advised")
        yield self._gauge(parts, "utilisation_ratio", "Part of the maximum in use.", "utilisation")
        for field, name, text in _COUNTERS:
            family = self._core.CounterMetricFamily(f"pooledhttp_{name}", text, labels=_LABELS)
            for pool, part in parts:
                family.add_metric([pool, part.origin], getattr(part, field))
            yield family
        yield self._closed(parts)
        yield self._histogram(parts, "acquire_wait", "Waits for a connection.", "wait")
        yield self._histogram(parts, "lease_hold", "Times connections were held.", "hold")

    def _gauge(
        self, parts: list[tuple[str, OriginStats]], name: str, text: str, field: str
    ) -> Metric:
        family = self._core.GaugeMetricFamily(f"pooledhttp_{name}", text, labels=_LABELS)
        for pool, part in parts:
            value = getattr(part, field)
            if value is not None:
                family.add_metric([pool, part.origin], value)
        return family  # type: ignore[no-any-return]

    def _states(self, parts: list[tuple[str, OriginStats]]) -> Metric:
        family = self._core.GaugeMetricFamily(
            "pooledhttp_connections",
            "Connections that are in use, idle, or being opened.",
            labels=[*_LABELS, "state"],
        )
        for pool, part in parts:
            family.add_metric([pool, part.origin, "active"], part.active - part.dialling)
            family.add_metric([pool, part.origin, "idle"], part.idle)
            family.add_metric([pool, part.origin, "dialling"], part.dialling)
        return family  # type: ignore[no-any-return]

    def _closed(self, parts: list[tuple[str, OriginStats]]) -> Metric:
        family = self._core.CounterMetricFamily(
            "pooledhttp_connections_closed",
            "Connections that were closed, by reason.",
            labels=[*_LABELS, "reason"],
        )
        for pool, part in parts:
            for reason, number in part.closed.items():
                family.add_metric([pool, part.origin, reason], number)
        return family  # type: ignore[no-any-return]

    def _histogram(
        self, parts: list[tuple[str, OriginStats]], name: str, text: str, field: str
    ) -> Metric:
        family = self._core.HistogramMetricFamily(
            f"pooledhttp_{name}_seconds", text, labels=_LABELS
        )
        for pool, part in parts:
            histogram: Histogram = getattr(part, field)
            buckets = list(_cumulative(histogram))
            family.add_metric([pool, part.origin], buckets, histogram.total_seconds)
        return family  # type: ignore[no-any-return]


_LABELS = ["pool", "origin"]


def _cumulative(histogram: Histogram) -> Iterator[tuple[str, int]]:
    """Yield the buckets of Prometheus: each includes the counts of the smaller ones."""
    seen = 0
    for bound, number in zip((*histogram.bounds_seconds, None), histogram.counts, strict=True):
        seen += number
        yield ("+Inf" if bound is None else repr(bound)), seen


class OpenTelemetryMetrics:
    """Reports a pool to OpenTelemetry; also a listener, for what only events say.

        metrics = OpenTelemetryMetrics()
        session = Session(listeners=[metrics])
        metrics.watch(session.pool)

    From snapshots: `http.client.open_connections` (by `http.connection.state`),
    `http.client.active_requests`, and counters under `pooledhttp.`. From events:
    `http.client.connection.duration`, `http.client.request.time_in_queue`,
    `http.client.request.duration` (to the head of the response). All carry `server.address`,
    `server.port` and `url.scheme`.

    Args:
        meter: Makes the instruments; `None` for one of the global provider.
        max_origins: Origins reported by name.

    Raises:
        ImportError: `opentelemetry-api` is missing; `pip install opentelemetry-api`.
        TypeError: `meter` makes no instruments.
    """

    def __init__(self, meter: Meter | None = None, *, max_origins: int = 100) -> None:
        if not (meter is None or hasattr(meter, "create_histogram")):
            raise TypeError(f"meter must be a Meter of OpenTelemetry, not {meter!r}")
        with explain_missing("OpenTelemetryMetrics", "opentelemetry-api"):
            from opentelemetry import metrics

        self._observation: Callable[..., Observation] = metrics.Observation
        self._meter: Any = metrics.get_meter("pooledhttp") if meter is None else meter
        self._max_origins = max_origins
        self._watched: _Watched | None = None
        self._attributes: dict[str, dict[str, str | int]] = {}  # by origin, for events
        self._connection = self._histogram(
            "http.client.connection.duration",
            "Time from opening a connection to closing it.",
            _CONNECTION_BOUNDS,
        )
        self._queue = self._histogram(
            "http.client.request.time_in_queue",
            "Time a request spent waiting for a connection.",
            REQUEST_BOUNDS,
        )
        self._request = self._histogram(
            "http.client.request.duration",
            "Time from sending a request to the head of its response.",
            REQUEST_BOUNDS,
        )

    def watch(self, pools: Pools) -> None:
        """Report the snapshots of a pool, or of several by name, from now on.

        Raises:
            RuntimeError: It was called before; instruments cannot be removed.
            TypeError: A session is among `pools`.
        """
        if self._watched is not None:
            raise RuntimeError("watch() was called already; pass all pools in one call, by name")
        self._watched = _Watched(pools, self._max_origins)
        self._observe("http.client.open_connections", "{connection}", "Open connections.", _open)
        self._observe(
            "http.client.active_requests",
            "{request}",
            "Requests in progress or waiting.",
            lambda part: [(part.active + part.waiting, {})],
        )
        for field, name, text in _COUNTERS:
            self._observe(f"pooledhttp.{name}", "1", text, _reader(field), counter=True)
        self._observe(
            "pooledhttp.connections_closed",
            "{connection}",
            "Connections that were closed, by reason.",
            lambda part: [(number, {"reason": why}) for why, number in part.closed.items()],
            counter=True,
        )

    def __call__(self, event: Event) -> None:
        """Record an event; this is the listener."""
        if isinstance(event, LeaseAcquired):
            self._queue.record(event.wait_seconds, self._about(event.origin))
        elif isinstance(event, ConnectionClosed):
            self._connection.record(event.age_seconds, self._about(event.origin))
        elif isinstance(event, RequestFinished):
            self._request.record(event.seconds, self._about(event.origin) | _outcome(event))

    def _about(self, origin: str) -> dict[str, str | int]:
        found = self._attributes.get(origin)
        if found is None:
            if len(self._attributes) >= self._max_origins:
                return {"server.address": OTHER_ORIGINS}
            found = self._attributes[origin] = _server(origin)
        return found

    def _histogram(self, name: str, text: str, bounds: Iterable[float]) -> Any:
        return self._meter.create_histogram(
            name, unit="s", description=text, explicit_bucket_boundaries_advisory=list(bounds)
        )

    def _observe(
        self,
        name: str,
        unit: str,
        text: str,
        read: Callable[[OriginStats], list[tuple[int, dict[str, str]]]],
        *,
        counter: bool = False,
    ) -> None:
        def look(_options: CallbackOptions) -> list[Observation]:
            assert self._watched is not None
            return [
                self._observation(value, _server(part.origin) | {"pooledhttp.pool": pool} | more)
                for pool, part in self._watched.parts()
                for value, more in read(part)
            ]

        make = (
            self._meter.create_observable_counter
            if counter
            else self._meter.create_observable_up_down_counter
        )
        make(name, [look], unit=unit, description=text)


def _open(part: OriginStats) -> list[tuple[int, dict[str, str]]]:
    return [
        (part.active - part.dialling, {"http.connection.state": "active"}),
        (part.idle, {"http.connection.state": "idle"}),
    ]


def _reader(field: str) -> Callable[[OriginStats], list[tuple[int, dict[str, str]]]]:
    return lambda part: [(getattr(part, field), {})]


def _server(origin: str) -> dict[str, str | int]:
    """Return the attributes of an origin, as the conventions name them."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        return {"server.address": origin}
    about: dict[str, str | int] = {"server.address": host, "url.scheme": parts.scheme}
    if port is not None:
        about["server.port"] = port
    return about


def known_method(method: str) -> str:
    """Return a method that has a name in the conventions, `_OTHER` for all others."""
    return method if method in _METHODS else "_OTHER"


def _outcome(event: RequestFinished) -> dict[str, str | int]:
    about: dict[str, str | int] = {"http.request.method": known_method(event.method.upper())}
    if event.status is not None:
        about["http.response.status_code"] = event.status
        if event.status >= 400:
            about["error.type"] = str(event.status)
    if event.error is not None:
        about["error.type"] = event.error
    return about
