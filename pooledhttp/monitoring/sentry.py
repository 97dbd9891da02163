"""Sentry spans and breadcrumbs of requests, as a request hook.

    SentryTracing().instrument()                         all sessions of the process
    session = Session(request_hooks=[SentryTracing()])   one session

A program with the default integrations of sentry-sdk needs nothing of this: one of them replaces
methods of http.client, and `transport.http_client_hook` shows every request to such replacements.
The hook is for programs that leave that integration out. Where it is on, the hook does nothing, so
no request is recorded twice.

Spans, breadcrumbs and fields are those of that integration: a span of the op `http.client` for each
attempt, a child of the caller's span, which ends with the head of the response and becomes a
breadcrumb then; and `sentry-trace` and `baggage` for servers that `trace_propagation_targets` has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pooledhttp.events import OutgoingRequest, RequestOutcome
from pooledhttp.loading import explain_missing
from pooledhttp.monitoring.tracing_hook import TracingHook
from pooledhttp.transport import mask_secrets

__all__ = ["SentryTracing"]


class SentryTracing(TracingHook):
    """A request hook that records spans of Sentry and sends the trace along.

    It uses the client and the scope that are current when a request is sent. Without
    `sentry_sdk.init` it does nothing.

    Raises:
        ImportError: `sentry-sdk` is missing; `pip install sentry-sdk`.
    """

    def __init__(self) -> None:
        with explain_missing("SentryTracing", "sentry-sdk"):
            import sentry_sdk
        from sentry_sdk import tracing_utils
        from sentry_sdk.integrations.stdlib import StdlibIntegration

        self._sdk: Any = sentry_sdk
        self._sees_http_client: Any = StdlibIntegration
        self._should_propagate: Callable[[Any, str], bool] = tracing_utils.should_propagate_trace
        #: Older versions make a breadcrumb of each span that ends.
        self._span_is_crumb = hasattr(tracing_utils, "maybe_create_breadcrumbs_from_span")

    def __call__(self, request: OutgoingRequest) -> Callable[[RequestOutcome], object] | None:
        """Begin a span; this is the hook."""
        client = self._sdk.get_client()
        if not client.is_active() or client.get_integration(self._sees_http_client) is not None:
            return None
        shown = urlsplit(mask_secrets(request.url))
        url = shown._replace(query="", fragment="").geturl()
        span = self._sdk.start_span(
            op="http.client", name=f"{request.method} {url}", origin="auto.http.pooledhttp"
        )
        about: dict[str, Any] = {
            "http.method": request.method,
            "url": url,
            "http.query": shown.query,
        }
        for name, value in about.items():
            span.set_data(name, value)
        if self._should_propagate(client, request.url):
            self._send_along(request, span)

        def after(outcome: RequestOutcome) -> None:
            if outcome.status is not None:
                span.set_http_status(outcome.status)
                about["http.response.status_code"] = outcome.status
                about["reason"] = outcome.reason
                span.set_data("reason", outcome.reason)
            else:
                span.set_status("internal_error")
            if outcome.is_replayed:
                span.set_data("pooledhttp.replay", True)
            span.finish()
            if not self._span_is_crumb:
                self._leave_crumb(outcome.status, about)

        return after

    def _leave_crumb(self, status: int | None, about: dict[str, Any]) -> None:
        level = "info"
        if status is not None and status >= 400:
            level = "warning" if status < 500 else "error"
        self._sdk.add_breadcrumb(type="http", category="httplib", data=about, level=level)

    def _send_along(self, request: OutgoingRequest, span: Any) -> None:
        """Put the fields of the trace into the request; `baggage` of the caller's is kept."""
        scope = self._sdk.get_current_scope()
        for name, value in scope.iter_trace_propagation_headers(span=span):
            before = request.headers.get(name) if name == "baggage" else None
            request.headers[name] = f"{before},{value}" if before else value
