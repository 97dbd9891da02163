"""OpenTelemetry spans of requests, printed instead of sent to a collector.

Run it: python examples/tracing.py    (needs opentelemetry-sdk)
"""

from __future__ import annotations

from local_server import local_server
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from pooledhttp import Session
from pooledhttp.monitoring import OpenTelemetryTracing


class PrintingExporter(SpanExporter):
    """Prints a line for each span."""

    def export(self, spans: object) -> SpanExportResult:
        """Print the spans."""
        for span in spans if isinstance(spans, (list, tuple)) else ():
            assert isinstance(span, ReadableSpan)
            facts = span.attributes or {}
            depth = "  " if span.parent else ""
            print(f"{depth}{span.name} {facts.get('http.response.status_code', '')}".rstrip())
        return SpanExportResult.SUCCESS


def main() -> None:
    """Send two requests inside one span of the program."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(PrintingExporter()))
    tracer = provider.get_tracer("example")
    with local_server() as base:
        with Session(request_hooks=[OpenTelemetryTracing(provider)]) as session:
            with tracer.start_as_current_span("check out"):
                session.get(f"{base}/basket")
                session.post(f"{base}/orders", json={"item": 1})


if __name__ == "__main__":
    main()
