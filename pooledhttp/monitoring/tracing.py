"""OpenTelemetry spans of requests, as a request hook.

    session = Session(request_hooks=[OpenTelemetryTracing()])      one session
    OpenTelemetryTracing().instrument()                            all sessions of the process

Each attempt is a span of kind CLIENT, by the semantic conventions for HTTP: a retry, a redirect and
a resend by an auth handler have spans of their own, which `http.request.resend_count` numbers. A
replay on a new connection is an event of the span. The span is the current one while the request is
sent, so that log lines carry its id, and the propagator of the program puts it into the header
fields. It ends with the head of the response.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pooledhttp.events import OutgoingRequest, RequestOutcome
from pooledhttp.loading import explain_missing
from pooledhttp.monitoring.export import known_method
from pooledhttp.monitoring.tracing_hook import TracingHook
from pooledhttp.syntax import DEFAULT_PORTS
from pooledhttp.transport import mask_secrets

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetryTracing"]


class OpenTelemetryTracing(TracingHook):
    """A request hook that records spans and sends the trace context along.

    It records nothing inside `suppress_instrumentation()`, so that an exporter that sends spans
    over HTTP does not trace itself, nor where the instrumentation of `requests` (under `dropin`)
    has begun a span for the same request.

    Args:
        tracer_provider: Makes the tracer; `None` for the global provider.

    Raises:
        ImportError: `opentelemetry-api` is missing; `pip install opentelemetry-api`.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        with explain_missing("OpenTelemetryTracing", "opentelemetry-api"):
            from opentelemetry import context, propagate, trace

        self._context: Any = context
        self._inject: Any = propagate.inject
        self._trace: Any = trace
        self._tracer = trace.get_tracer("pooledhttp", tracer_provider=tracer_provider)
        names = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
        keys = [getattr(context, name, None) for name in names]
        self._suppressing = ["suppress_instrumentation", *filter(None, keys)]

    def __call__(self, request: OutgoingRequest) -> Callable[[RequestOutcome], object] | None:
        """Begin a span; this is the hook."""
        context = self._context
        if any(context.get_value(key) for key in self._suppressing):
            return None
        method = known_method(request.method)
        span = self._tracer.start_span(
            method if method != "_OTHER" else "HTTP",
            kind=self._trace.SpanKind.CLIENT,
            attributes=_request_attributes(request, method),
        )
        token = context.attach(self._trace.set_span_in_context(span))
        try:
            self._inject(request.headers)
        except BaseException:
            context.detach(token)
            span.end()
            raise

        def after(outcome: RequestOutcome) -> None:
            try:
                self._record(span, outcome)
            finally:
                context.detach(token)
                span.end()

        return after

    def _record(self, span: Span, outcome: RequestOutcome) -> None:
        if not span.is_recording():
            return
        if outcome.is_replayed:
            span.add_event("pooledhttp.replay")
        error: str | None = None
        description = None
        if outcome.error is not None:
            error, description = type(outcome.error).__qualname__, str(outcome.error)
        elif outcome.status is not None:
            span.set_attribute("http.response.status_code", outcome.status)
            span.set_attribute("network.protocol.version", outcome.version)
            error = str(outcome.status) if outcome.status >= 400 else None
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, description))


def _request_attributes(request: OutgoingRequest, method: str) -> dict[str, str | int]:
    parts = urlsplit(request.url)
    about: dict[str, str | int] = {
        "http.request.method": method,
        "url.full": mask_secrets(request.url),
        "server.address": parts.hostname or "",
    }
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    if port:
        about["server.port"] = port
    if method != request.method:
        about["http.request.method_original"] = request.method
    if request.resends:
        about["http.request.resend_count"] = request.resends
    return about
