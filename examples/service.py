"""A Flask service that calls another one, with limits, a readiness page and /metrics.

Run it: python examples/service.py    (needs flask and prometheus-client)
"""

from __future__ import annotations

import atexit

from flask import Flask
from local_server import local_server
from prometheus_client import CollectorRegistry, generate_latest

from pooledhttp import PoolConfig, PoolTimeout, Session, Timeout
from pooledhttp.monitoring import PrometheusCollector, RequestDurations


def make_app(upstream: str) -> Flask:
    """Make the service. Its session is shared by all threads of the process."""
    registry = CollectorRegistry()
    session = Session(
        # Fewer connections than threads: a slow upstream cannot take all of them.
        pool=PoolConfig(max_per_host=8, acquire_timeout=0.5),
        timeout=Timeout(total=5, connect=1),
        listeners=[RequestDurations(registry)],
    )
    atexit.register(session.pool.drain, 5)  # a server with a hook of its own drains there
    registry.register(PrometheusCollector({"upstream": session.pool}))
    app = Flask(__name__)

    @app.get("/price/<item>")
    def price(item: str) -> tuple[str, int]:
        try:
            return session.get(f"{upstream}/{item}").text, 200
        except PoolTimeout:
            return "busy, try again", 503

    @app.get("/metrics")
    def metrics() -> bytes:
        return generate_latest(registry)

    return app


if __name__ == "__main__":
    with local_server() as base:
        client = make_app(base).test_client()
        print(client.get("/price/lamp").text)
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(
                ("pooledhttp_leases_total", "pooledhttp_request_duration_seconds_c")
            ):
                print(line.replace(base, "UPSTREAM"))
