"""OpenTelemetry spans of requests, with the real SDK."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pooledhttp
from pooledhttp.monitoring import OpenTelemetryTracing
from tests.support.scripted import Peer, ScriptedServer, answering, respond

pytest.importorskip("opentelemetry.sdk", reason="pip install opentelemetry-sdk")

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Traced:
    """A session whose requests are traced, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self.hook = OpenTelemetryTracing(provider)

    @property
    def spans(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())

    def session(self, **options: Any) -> pooledhttp.Session:
        return pooledhttp.Session(request_hooks=[self.hook], **options)


@pytest.fixture
def traced() -> Iterator[Traced]:
    yield Traced()


def parent_in(seen: Any) -> str:
    """The id of the span that a request names as its parent."""
    return str(seen.header("traceparent")).split("-")[2]


def span_id(span: Any) -> str:
    return trace.format_span_id(span.context.span_id)


def test_a_span_follows_the_conventions(traced: Traced) -> None:
    """Kind, name and attributes; the secrets of the URL are masked; the server gets its id."""
    with ScriptedServer(answering(respond(b"x"))) as server, traced.session() as session:
        url = server.url("/p?token=abc").replace("://", "://user:pw@")
        with traced.tracer.start_as_current_span("outer") as outer:
            session.get(url)
            assert trace.get_current_span() is outer
        span = traced.spans[0]
        assert (span.kind, span.name) == (trace.SpanKind.CLIENT, "GET")
        assert span.parent.span_id == outer.get_span_context().span_id
        assert dict(span.attributes) == {
            "http.request.method": "GET",
            "url.full": server.url("/p?token=***"),
            "server.address": "127.0.0.1",
            "server.port": int(server.url("").rstrip("/").rpartition(":")[2]),
            "http.response.status_code": 200,
            "network.protocol.version": "1.1",
        }
        assert span.status.status_code is trace.StatusCode.UNSET
        assert parent_in(server.requests[0]) == span_id(span)


def test_redirects_and_retries_are_siblings(traced: Traced) -> None:
    """Each attempt has a span, a number, an outcome, and an id that the server gets."""
    moved = respond(status=302, headers={"Location": "/b"})
    replies = [moved, respond(status=503), respond(b"x")]
    retries = pooledhttp.Retry(2, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer(answering(*replies)) as server:
        with traced.session(retries=retries) as session:
            session.get(server.url("/a"))
        assert [
            (
                span.attributes.get("http.request.resend_count"),
                span.attributes["http.response.status_code"],
                span.attributes.get("error.type"),
                span.status.status_code.name,
                span.parent,
            )
            for span in traced.spans
        ] == [
            (None, 302, None, "UNSET", None),
            (1, 503, "503", "ERROR", None),
            (2, 200, None, "UNSET", None),
        ]
        assert list(map(parent_in, server.requests)) == list(map(span_id, traced.spans))


def test_a_replay_is_an_event(traced: Traced) -> None:
    """Both sends have the id of one span, which says that there were two."""

    def dies_second(peer: Peer) -> None:
        peer.read_request()
        peer.send(respond(b"x"))
        peer.read_request()
        peer.close()

    with ScriptedServer([dies_second, answering(respond(b"y"))]) as server:
        with traced.session() as session:
            for _ in range(2):
                session.get(server.url("/"))
        assert [[event.name for event in span.events] for span in traced.spans] == [
            [],
            ["pooledhttp.replay"],
        ]
        assert parent_in(server.requests[1]) == parent_in(server.requests[2])


def test_an_error_ends_the_span(traced: Traced) -> None:
    """It has the class of the error and no status code; the context is the caller's again."""
    with ScriptedServer(answering()) as server:
        url = server.url("/")
    before = context.get_current()
    with traced.session() as session, pytest.raises(pooledhttp.ConnectionError):
        session.get(url)
    (span,) = traced.spans
    assert span.attributes["error.type"] == "DialError"
    assert "http.response.status_code" not in span.attributes
    assert span.status.status_code is trace.StatusCode.ERROR
    assert context.get_current() == before


def test_a_stream_is_traced_up_to_its_head(traced: Traced) -> None:
    """The span has ended when the caller gets the response."""
    with ScriptedServer(answering(respond(b"x"))) as server, traced.session() as session:
        with session.get(server.url("/"), stream=True) as response:
            assert len(traced.spans) == 1
            assert response.content == b"x"
    assert len(traced.spans) == 1


def test_an_unknown_method_has_a_known_name(traced: Traced) -> None:
    """Names of spans and metrics must not grow with what callers invent."""
    with ScriptedServer(answering(respond(b"x"))) as server, traced.session() as session:
        session.request("BREW", server.url("/"))
    (span,) = traced.spans
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"


@pytest.mark.parametrize(
    "name", ["_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"]
)
def test_nothing_is_traced_where_that_is_suppressed(traced: Traced, name: str) -> None:
    """An exporter's own requests, and those that an outer instrumentation has a span for."""
    token = context.attach(context.set_value(getattr(context, name), True))
    try:
        with ScriptedServer(answering(respond(b"x"))) as server, traced.session() as session:
            session.get(server.url("/"))
            assert server.requests[0].header("traceparent") is None
    finally:
        context.detach(token)
    assert traced.spans == []


def test_all_sessions_can_be_traced(traced: Traced) -> None:
    """`instrument` covers `pooledhttp.get` too, until `uninstrument`."""
    with ScriptedServer(answering(respond(b"x"))) as server:
        traced.hook.instrument()
        try:
            pooledhttp.get(server.url("/"))
        finally:
            traced.hook.uninstrument()
        pooledhttp.get(server.url("/"))
    assert len(traced.spans) == 1


def test_the_instrumentation_of_requests_works_under_dropin() -> None:
    """OpenTelemetry's own package instruments us as it does requests: spans, fields, metrics."""
    pytest.importorskip(
        "opentelemetry.instrumentation.requests",
        reason="pip install opentelemetry-instrumentation-requests",
    )
    from tests.support.commands import run_python

    program = """
import sys
from pooledhttp import dropin
if sys.argv[1] == "ours":
    dropin.install()
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
RequestsInstrumentor().instrument(tracer_provider=provider)
if sys.argv[1] == "ours":
    from pooledhttp.monitoring import OpenTelemetryTracing
    OpenTelemetryTracing(provider).instrument()
requests.get(sys.argv[2] + "redirect")
try:
    requests.get("http://127.0.0.1:1/")
except requests.ConnectionError:
    pass
for span in exporter.get_finished_spans():
    print(span.name, span.status.status_code.name, sorted(span.attributes.items()))
"""

    def reply(seen: Any) -> bytes:
        if seen.target == "/redirect":
            return respond(status=302, headers={"Location": "/"})
        return respond(b"x")

    with ScriptedServer(answering(reply)) as server:
        shown = [run_python("-c", program, who, server.url("/")) for who in ("theirs", "ours")]
        assert [done.stderr for done in shown] == ["", ""]
        assert shown[0].stdout == shown[1].stdout
        assert shown[0].stdout.count("\n") == 2
        ids = {seen.header("traceparent") for seen in server.requests}
        assert len(ids) == 2 and None not in ids


def test_threads_have_spans_of_their_own(traced: Traced) -> None:
    """The parent of each span is that of the thread that sends, also while the others send."""
    both = threading.Barrier(4)

    def work(session: pooledhttp.Session, url: str) -> int:
        with traced.tracer.start_as_current_span("thread") as outer:
            both.wait()
            session.get(url)
            return outer.get_span_context().span_id

    with ScriptedServer(answering(respond(b"x"))) as server, traced.session() as session:
        with ThreadPoolExecutor(4) as pool:
            urls = [server.url(f"/{n}") for n in range(4)]
            outers = list(pool.map(work, [session] * 4, urls))
        clients = {span.parent.span_id: span for span in traced.spans if span.name == "GET"}
        sent = {server.url(seen.target): parent_in(seen) for seen in server.requests}
    assert [clients[outer].attributes["url.full"] for outer in outers] == urls
    assert [span_id(clients[outer]) for outer in outers] == [sent[url] for url in urls]


def test_tasks_have_spans_of_their_own(traced: Traced) -> None:
    """Under asyncio each span's parent is that of its task, and the task's context is restored."""
    pytest.importorskip("greenlet", reason="pip install greenlet")
    import asyncio

    async def work(session: pooledhttp.AsyncSession, url: str) -> tuple[int, Any]:
        with traced.tracer.start_as_current_span("task") as outer:
            response = await session.get(url)
            assert trace.get_current_span() is outer
            return outer.get_span_context().span_id, response

    async def main(url: str) -> list[tuple[int, Any]]:
        async with pooledhttp.AsyncSession(request_hooks=[traced.hook]) as session:
            return await asyncio.gather(*(work(session, f"{url}{n}") for n in range(4)))

    with ScriptedServer(answering(respond(b"x"))) as server:
        done = asyncio.run(main(server.url("/")))
        clients = {span.parent.span_id: span for span in traced.spans if span.name == "GET"}
        sent = {seen.target: parent_in(seen) for seen in server.requests}
        assert len(clients) == 4
        for outer, response in done:
            target = response.url.removeprefix(server.url("/").rstrip("/"))
            assert sent[target] == span_id(clients[outer])
