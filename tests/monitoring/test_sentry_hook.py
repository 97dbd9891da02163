"""`SentryTracing`, with the real sentry-sdk, whose default integrations are left out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pooledhttp
from pooledhttp.monitoring import SentryTracing
from tests.support.scripted import Peer, ScriptedServer, answering, respond

pytestmark = pytest.mark.filterwarnings(
    "ignore:Function transports are deprecated:DeprecationWarning"
)

sentry_sdk = pytest.importorskip("sentry_sdk", reason="pip install sentry-sdk")


class Sentry:
    """A client that keeps what it would send: transactions with their spans, and breadcrumbs."""

    def __init__(self, **options: Any) -> None:
        self.transactions: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.client = sentry_sdk.Client(
            dsn="http://key@127.0.0.1:9/1",
            traces_sample_rate=1.0,
            default_integrations=False,
            auto_enabling_integrations=False,
            before_send_transaction=self._keep_transaction,
            before_send=self._keep_message,
            transport=lambda envelope: None,
            **options,
        )

    def _keep_transaction(self, event: Any, hint: object) -> None:
        self.transactions[event["transaction"]] = event

    def _keep_message(self, event: Any, hint: object) -> None:
        self.messages[event["message"]] = event

    def spans(self, name: str) -> list[tuple[str, Any, Any]]:
        """(description, status code, status) of each span below the transaction."""
        event = self.transactions[name]
        root = event["contexts"]["trace"]["span_id"]
        assert {span["parent_span_id"] for span in event["spans"]} == {root}
        assert {span["op"] for span in event["spans"]} == {"http.client"}
        return [
            (
                span["description"],
                span["data"].get("http.response.status_code"),
                span.get("status"),
            )
            for span in event["spans"]
        ]

    def sent_by(self, name: str) -> set[str]:
        """The `sentry-trace` fields that belong to the spans of a transaction."""
        event = self.transactions[name]
        trace = event["contexts"]["trace"]["trace_id"]
        return {f"{trace}-{span['span_id']}-1" for span in event["spans"]}


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    kept = Sentry()
    with _current(kept.client):
        yield kept


class _current:
    """Makes a client that of the whole process for a while."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> None:
        scope = sentry_sdk.get_global_scope()
        self._before = scope.client
        scope.set_client(self._client)

    def __exit__(self, *_: object) -> None:
        sentry_sdk.get_global_scope().set_client(self._before)


def test_spans_breadcrumbs_and_fields(sentry: Sentry) -> None:
    """A redirect, a retry, a stream, a replay and an error: a child span and a crumb for each."""

    def serve(peer: Peer) -> None:
        for reply in (
            respond(status=302, headers={"Location": "/to?token=abc"}),
            respond(b"x"),
            respond(b"x", status=503),
            respond(b"x"),
        ):
            peer.read_request()
            peer.send(reply)
        peer.read_request()
        peer.close()  # and so the last request is replayed

    retries = pooledhttp.Retry(1, status_forcelist=[503], backoff_factor=0)
    with ScriptedServer([serve, answering(respond(b"y"))]) as server:
        with pooledhttp.Session(request_hooks=[SentryTracing()], retries=retries) as session:
            with sentry_sdk.start_transaction(op="t", name="all"):
                session.get(server.url("/a"), headers={"baggage": "mine=1"})
                session.get(server.url("/busy"), stream=True).close()
                session.get(server.url("/dies"))
                with pytest.raises(pooledhttp.ConnectionError):
                    session.get("http://127.0.0.1:1/")
            sentry_sdk.capture_message("m")
        seen = server.requests
        url = server.url
    assert sentry.spans("all") == [
        (f"GET {url('/a')}", 302, "ok"),
        (f"GET {url('/to')}", 200, "ok"),
        (f"GET {url('/busy')}", 503, "unavailable"),
        (f"GET {url('/busy')}", 200, "ok"),
        (f"GET {url('/dies')}", 200, "ok"),
        ("GET http://127.0.0.1:1/", None, "internal_error"),
        ("GET http://127.0.0.1:1/", None, "internal_error"),
    ]
    spans = sentry.transactions["all"]["spans"]
    assert spans[1]["data"]["http.query"] == "token=***"
    crumbs = sentry.messages["m"]["breadcrumbs"]["values"]
    assert [crumb["data"]["url"] for crumb in crumbs] == [span["data"]["url"] for span in spans]
    assert {sent.header("sentry-trace") for sent in seen} <= sentry.sent_by("all")
    assert str(seen[0].header("baggage")).startswith("mine=1,sentry-trace_id=")


def test_threads_and_tasks_have_spans_of_their_own(sentry: Sentry) -> None:
    """Each span is a child of the transaction of its thread, or of its task on a loop."""
    hooks = [SentryTracing()]
    both = threading.Barrier(2)

    def in_thread(url: str) -> None:
        with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(name=url[-2:], op="t"):
            both.wait()
            session.get(url)

    async def in_task(session: pooledhttp.AsyncSession, url: str) -> None:
        with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(name=url[-2:], op="t"):
            await session.get(url)

    async def main(urls: list[str]) -> None:
        async with pooledhttp.AsyncSession(request_hooks=hooks) as session:
            await asyncio.gather(*(in_task(session, url) for url in urls))

    with ScriptedServer(answering(respond(b"x"))) as server:
        with pooledhttp.Session(request_hooks=hooks) as session, ThreadPoolExecutor(2) as pool:
            list(pool.map(in_thread, [server.url("/a"), server.url("/b")]))
        targets = ["/a", "/b"]
        if pytest.importorskip("greenlet", reason="pip install greenlet"):
            asyncio.run(main([server.url("/c"), server.url("/d")]))
            targets += ["/c", "/d"]
        for target in targets:
            assert sentry.spans(target) == [(f"GET {server.url(target)}", 200, "ok")]
            (sent,) = [seen for seen in server.requests if seen.target == target]
            assert {sent.header("sentry-trace")} == sentry.sent_by(target)


def test_targets_are_those_of_the_client() -> None:
    """A server that is not among `trace_propagation_targets` gets no fields."""
    kept = Sentry(trace_propagation_targets=["https://own.example/"])
    with ScriptedServer(answering(respond(b"x"))) as server, _current(kept.client):
        with pooledhttp.Session(request_hooks=[SentryTracing()]) as session:
            with sentry_sdk.start_transaction(op="t", name="t"):
                session.get(server.url("/"))
        assert server.requests[0].header("sentry-trace") is None
    assert len(kept.spans("t")) == 1


def test_nothing_is_recorded_twice(sentry: Sentry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the integration sees http.client, and where no client is, the hook does nothing."""
    from sentry_sdk.integrations.stdlib import StdlibIntegration

    hook = SentryTracing().instrument()
    try:
        has = {StdlibIntegration}
        monkeypatch.setattr(sentry.client, "get_integration", lambda kind: kind in has or None)
        with ScriptedServer(answering(respond(b"x"))) as server:
            with sentry_sdk.start_transaction(op="t", name="seen"):
                pooledhttp.get(server.url("/"))
            has.clear()
            with sentry_sdk.start_transaction(op="t", name="not seen"):
                pooledhttp.get(server.url("/"))
            with _current(sentry_sdk.client.NonRecordingClient()):
                pooledhttp.get(server.url("/"))
        assert sentry.transactions["seen"]["spans"] == []
        assert len(sentry.spans("not seen")) == 1
    finally:
        hook.uninstrument()
