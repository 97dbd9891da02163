"""The real sentry-sdk, in a process of its own: it patches http.client for good."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from tests.support.commands import run_python
from tests.support.scripted import Peer, ScriptedServer, SeenRequest, answering, respond

PROGRAM = """
import importlib, json, logging, sys, threading
library, url = importlib.import_module(sys.argv[1]), sys.argv[2]
import sentry_sdk
logging.disable()  # breadcrumbs of the log are not what is compared
spans, crumbs = [], []

STATUS = "http.response.status_code"

def keep(event, hint):
    root = event["contexts"]["trace"]["span_id"]
    for span in event["spans"]:
        text = span["description"].replace(url, "URL/")
        status = span.get("data", {}).get(STATUS)
        spans.append([span["op"], text, status, span["parent_span_id"] == root])

def keep_crumb(crumb, hint):
    data = crumb["data"]
    crumbs.append([crumb["category"], data["url"].replace(url, "URL/"), data.get(STATUS)])
    return crumb

sentry_sdk.init(dsn="http://k@127.0.0.1:9/1", traces_sample_rate=1.0, before_send_transaction=keep,
                auto_enabling_integrations=False,  # they import each framework there is
                before_breadcrumb=keep_crumb, transport=lambda envelope: None)
session = library.Session()
adapters = importlib.import_module(sys.argv[1] + ".adapters")
from urllib3 import Retry
retry = Retry(2, status_forcelist=[503], backoff_factor=0)
session.mount(url + "busy", adapters.HTTPAdapter(max_retries=retry))

def talk():
    with sentry_sdk.start_transaction(op="t", name="t"):
        session.get(url + "redirect")
        with session.get(url + "stream", stream=True) as response:
            assert response.content == b"x"
        try:
            library.get("http://127.0.0.1:1/refused")
        except library.ConnectionError:
            pass
        assert session.get(url + "busy").ok
        session.get(url + "kept")
        session.get(url + "dies")

thread = threading.Thread(target=talk)
thread.start()
thread.join()
print(json.dumps([spans, crumbs]))
"""


def test_spans_breadcrumbs_and_fields() -> None:
    """Without any setting there are those that requests gives, in the thread of the caller."""
    if importlib.util.find_spec("sentry_sdk") is None:
        pytest.skip("needs sentry-sdk: pip install sentry-sdk")

    def reply(seen: SeenRequest) -> bytes:
        if seen.target == "/redirect":
            return respond(status=302, headers={"Location": "/to"})
        if seen.target == "/busy":
            busy.append(seen)
            return respond(b"x", status=503 if len(busy) % 2 else 200)
        return respond(b"x")

    busy: list[SeenRequest] = []

    def serve(peer: Peer) -> None:
        while (seen := peer.read_request()).target != "/dies" or seen.connection:
            peer.send(reply(seen))
        peer.close()  # only pooledhttp's connection is kept up to here: it replays

    results: list[Any] = []
    for library in ("requests", "pooledhttp"):
        with ScriptedServer(serve if library == "pooledhttp" else answering(reply)) as server:
            done = run_python("-c", PROGRAM, library, server.url("/"))
            assert done.returncode == 0, done.stderr
            results.append(json.loads(done.stdout))
            sent = [seen.header("sentry-trace") for seen in server.requests]
            assert None not in sent
            assert len(server.requests) == (8 if library == "pooledhttp" else 7)
    (theirs, their_crumbs), (ours, our_crumbs) = results
    assert [span for span in theirs if "refused" not in span[1]] == [
        span for span in ours if "refused" not in span[1]
    ]
    assert [crumb for crumb in their_crumbs if "refused" not in crumb[1]] == [
        crumb for crumb in our_crumbs if "refused" not in crumb[1]
    ]
    # requests connects inside http.client, after the span has begun and outside of what ends it.
    assert [span for span in ours if "refused" in span[1]] == [
        ["http.client", "GET http://127.0.0.1:1/refused", None, True]
    ]


ASYNC_PROGRAM = """
import asyncio, json, logging, sys
from pooledhttp import AsyncSession
from pooledhttp.exceptions import ConnectionError
import sentry_sdk
from sentry_sdk.integrations.asyncio import AsyncioIntegration
url = sys.argv[1]
logging.disable()
seen, crumbs = {}, {}

def keep(event, hint):
    trace = event["contexts"]["trace"]
    seen[event["transaction"]] = {
        "trace": trace["trace_id"],
        "spans": [
            [span["op"], span["description"].replace(url, "URL/"), span["span_id"],
             span["parent_span_id"] == trace["span_id"], span["trace_id"] == trace["trace_id"]]
            for span in event["spans"] if span["op"] == "http.client"
        ],
    }

def keep_message(event, hint):
    crumbs[event["message"]] = [
        crumb["data"]["url"].replace(url, "URL/") for crumb in event["breadcrumbs"]["values"]
    ]

async def talk(session, name, both):
    with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(op="t", name=name):
        await both.wait()
        (await session.get(url + name)).raise_for_status()
        async with await session.get(url + name + "/stream", stream=True) as response:
            assert await response.aread() == b"x"
        try:
            await session.get("http://127.0.0.1:1/refused")
        except ConnectionError:
            pass
        sentry_sdk.capture_message(name)

async def main():
    sentry_sdk.init(dsn="http://k@127.0.0.1:9/1", traces_sample_rate=1.0,
                    before_send_transaction=keep, before_send=keep_message,
                    transport=lambda envelope: None,
                    integrations=[AsyncioIntegration()],
                    auto_enabling_integrations=False)
    both = asyncio.Barrier(2)
    async with AsyncSession() as session:
        await asyncio.gather(talk(session, "a", both), talk(session, "b", both))

asyncio.run(main())
print(json.dumps([seen, crumbs]))
"""


def test_tasks_on_a_loop_have_spans_of_their_own() -> None:
    """Two tasks at once: each span, breadcrumb and field belongs to the task that sends."""
    for name in ("sentry_sdk", "greenlet"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install {name.replace('_', '-')}")
    with ScriptedServer(answering(respond(b"x"), respond(b"x"))) as server:
        done = run_python("-c", ASYNC_PROGRAM, server.url("/"))
        assert done.returncode == 0, done.stderr
        sent = {seen.target: seen.header("sentry-trace") for seen in server.requests}
    seen, crumbs = json.loads(done.stdout)
    for name in ("a", "b"):
        urls = [f"URL/{name}", f"URL/{name}/stream", "http://127.0.0.1:1/refused"]
        mine = seen[name]
        assert [span[1] for span in mine["spans"]] == [f"GET {url}" for url in urls]
        assert crumbs[name] == urls
        assert all(is_child and is_same for *_, is_child, is_same in mine["spans"])
        for _, text, span_id, *_ in mine["spans"][:2]:
            assert sent[text.removeprefix("GET URL")] == f"{mine['trace']}-{span_id}-1"
