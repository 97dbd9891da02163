"""Where a session lives in a service: gunicorn, FastAPI under uvicorn, and Celery around it."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import pooledhttp
from tests.support.commands import ROOT
from tests.support.patience import wait_until
from tests.support.scripted import ScriptedServer, answering, respond

APP = """
import os, sys
import pooledhttp
session = pooledhttp.Session(timeout=10)
TARGET = os.environ["TARGET"]
session.get(TARGET + "parent")

def app(environ, start_response):
    body = session.get(TARGET + environ["PATH_INFO"]).content
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Pid", str(os.getpid()))])
    return [body]

try:
    from fastapi import FastAPI
except ImportError:
    pass
else:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lifespan(app):
        yield
        print("drained", session.pool.drain(timeout=5), flush=True)

    api = FastAPI(lifespan=lifespan)

    @api.get("/{name}")
    def get(name: str):
        return session.get(TARGET + name).text
"""

CONF = """
preload_app = True
def worker_exit(server, worker):
    import service
    import os
    # One write, so that the lines of two processes do not mix.
    os.write(1, b"drained %s\\n" % str(service.session.pool.drain(timeout=5)).encode())
"""


def needs(*modules: str) -> None:
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install 'pooledhttp[dev]'")


@pytest.fixture
def target() -> Iterator[ScriptedServer]:
    """The origin that the service calls."""
    with ScriptedServer(answering(lambda seen: respond(seen.target.encode()))) as server:
        yield server


def _accepts(path: Path) -> bool:
    """Whether a server listens on a Unix socket; its file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


@contextmanager
def running(folder: Path, target: ScriptedServer, *command: str) -> Iterator[tuple[str, list[str]]]:
    """Run a server on a Unix socket until the block ends; the list gets its output then."""
    (folder / "service.py").write_text(APP)
    (folder / "gunicorn.conf.py").write_text(CONF)
    path = folder / "s"
    environment = {**os.environ, "TARGET": target.url("/"), "PYTHONPATH": f"{ROOT}:{folder}"}
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_until(lambda: _accepts(path) or process.poll() is not None)
            yield f"http+unix://{str(path).replace('/', '%2F')}", said
        finally:
            process.send_signal(signal.SIGTERM)
            said.append(process.communicate(timeout=30)[0])


def test_gunicorn_forks_a_preloaded_session(tmp_path: Path, target: ScriptedServer) -> None:
    """Workers open connections of their own, never use the parent's, and drain at their end."""
    needs("gunicorn")
    command = ("gunicorn", "-c", "gunicorn.conf.py", "-b", "unix:s", "-w", "2", "service:app")
    with running(tmp_path, target, *command) as (url, said), pooledhttp.Session() as client:
        close = {"Connection": "close"}
        replies = [client.get(f"{url}/{n}", headers=close) for n in range(30)]
    pids = {reply.headers["X-Pid"] for reply in replies}
    by_connection: dict[int, set[str]] = {}
    for seen in target.requests:
        by_connection.setdefault(seen.connection, set()).add(seen.target)
    assert by_connection[0] == {"/parent"}
    assert len(by_connection) == 1 + len(pids)
    assert said[0].count("drained True") == 2, said[0]


def test_fastapi_shares_a_session_between_threads(tmp_path: Path, target: ScriptedServer) -> None:
    """Under uvicorn, `def` routes run in threads: one pool serves them until the lifespan ends."""
    needs("uvicorn", "fastapi")
    command = ("uvicorn", "--uds", "s", "service:api")
    with running(tmp_path, target, *command) as (url, said), pooledhttp.Session() as client:
        with ThreadPoolExecutor(8) as threads:
            urls = [f"{url}/{n}" for n in range(40)]
            texts = list(threads.map(lambda url: client.get(url, timeout=30).json(), urls))
    assert texts == [f"/{n}" for n in range(40)]
    assert len(target.connections) <= 9
    assert "drained True" in said[0]


def test_celery_tasks_share_a_session(target: ScriptedServer) -> None:
    """A worker's threads use one session; a failed request comes back as its exception, pickled."""
    needs("celery")
    from celery import Celery, signals
    from celery.contrib.testing.worker import start_worker

    def leave_logging_alone(**_: object) -> None:
        """A worker sets the root logger's level for good unless this signal has a receiver."""

    signals.setup_logging.connect(leave_logging_alone)
    app = Celery("t", broker="memory://", backend="cache+memory://")
    app.conf.update(result_serializer="pickle", accept_content=["json", "pickle"])
    session = pooledhttp.Session()

    @app.task
    def fetch(url: str) -> str:
        return session.get(url, timeout=10).text

    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False):
        jobs = [fetch.delay(target.url(f"/{n}")) for n in range(12)]
        assert [job.get(timeout=20) for job in jobs] == [f"/{n}" for n in range(12)]
        failed = fetch.delay("http://127.0.0.1:1/")
        with pytest.raises(pooledhttp.ConnectionError):
            failed.get(timeout=20)
    assert len(target.connections) <= 4
    session.close()
