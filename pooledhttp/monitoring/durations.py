"""A Prometheus histogram of request durations, by method and class of status.

    durations = RequestDurations()
    session = Session(listeners=[durations])

A duration runs from the call of the adapter to the head of the response, retries included; each hop
of a redirect counts for itself. `PrometheusCollector` says how the pool does; this says how
long callers wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pooledhttp.events import Event, RequestFinished
from pooledhttp.loading import explain_missing
from pooledhttp.monitoring.export import REQUEST_BOUNDS, known_method

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["RequestDurations"]


class RequestDurations:
    """A listener that fills the histogram `pooledhttp_request_duration_seconds`.

    Its labels are `method` and `status`: `1xx` to `5xx`, or `error` for a request without a
    response. One object may listen to any number of sessions.

    Args:
        registry: Where the histogram is registered; `None` for the default registry.
        buckets: The upper ends of its buckets in seconds.

    Raises:
        ImportError: `prometheus_client` is missing; `pip install prometheus-client`.
        ValueError: The registry has such a histogram already.
        TypeError: `registry` or `buckets` is of another type.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        buckets: Iterable[float] = REQUEST_BOUNDS,
    ) -> None:
        if not (registry is None or hasattr(registry, "register")):
            raise TypeError(f"registry must be a CollectorRegistry, not {registry!r}")
        if not isinstance(buckets, Iterable):
            raise TypeError(f"buckets must be seconds, such as (0.1, 1), not {buckets!r}")
        with explain_missing("RequestDurations", "prometheus-client"):
            from prometheus_client import REGISTRY, Histogram

        self._histogram: Any = Histogram(
            "pooledhttp_request_duration_seconds",
            "Time from sending a request to the head of its response.",
            labelnames=("method", "status"),
            buckets=tuple(buckets),
            registry=REGISTRY if registry is None else registry,
        )
        self._children: dict[tuple[str, int | None], Any] = {}

    def __call__(self, event: Event) -> None:
        """Record an event; this is the listener."""
        if not isinstance(event, RequestFinished):
            return
        key = (event.method, None if event.status is None else event.status // 100)
        child = self._children.get(key)
        if child is None:
            kind = "error" if key[1] is None else f"{key[1]}xx"
            child = self._histogram.labels(known_method(event.method.upper()), kind)
            if len(self._children) < _MAX_CHILDREN:
                self._children[key] = child
        child.observe(event.seconds)


#: Looking a child up by its labels takes several times as long. Methods are the caller's choice, so
#: their number needs a bound.
_MAX_CHILDREN = 200
