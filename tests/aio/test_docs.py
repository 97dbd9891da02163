"""The script and the application of `docs/async.md` run as they stand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.aio.tools import run
from tests.support.commands import run_python
from tests.support.scripted import ScriptedServer, SeenRequest, answering, respond

PAGE = Path(__file__).resolve().parents[2] / "docs" / "async.md"


def code(heading: str) -> str:
    """The code under a heading of the page."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def upstream(seen: SeenRequest) -> bytes:
    """Respond with the target; 404 for what is missing."""
    return respond(seen.target.encode(), status=404 if "missing" in seen.target else 200)


def test_the_script_checks_urls() -> None:
    """It prints a status or an error per URL, and reuses connections."""
    with ScriptedServer(answering(upstream)) as server:
        urls = [server.url(f"/{number}") for number in range(6)]
        done = run_python("-c", code("A script"), *urls, server.url("/missing"), "http://x.invalid")
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines[:6] == [f"200 {url}" for url in urls]
        assert [line.split()[0] for line in lines[6:8]] == ["404", "ConnectionError"]
        assert len(server.connections) <= 4 + 7  # a body that was not read costs its connection


class Application:
    """Drives an ASGI application on this loop, as a server does."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._to_lifespan: asyncio.Queue[Any] = asyncio.Queue()
        self._from_lifespan: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> Application:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.create_task(
            self._app(scope, self._to_lifespan.get, self._from_lifespan.put)
        )
        await self._tell("startup")
        return self

    async def __aexit__(self, *args: object) -> None:
        await self._tell("shutdown")
        await self._lifespan

    async def _tell(self, what: str) -> None:
        await self._to_lifespan.put({"type": f"lifespan.{what}"})
        assert (await self._from_lifespan.get())["type"] == f"lifespan.{what}.complete"

    async def get(self, path: str) -> tuple[int, str]:
        """Send a GET; the status and the body of the response."""
        sent: list[Any] = []
        pending = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            return pending.pop() if pending else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]).decode()


def test_the_application_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes bodies on, whole and streamed, tells of errors, and shows its metrics."""
    pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'pooledhttp[dev]'")
    with ScriptedServer(answering(upstream)) as server:
        monkeypatch.setenv("UPSTREAM", server.url("").rstrip("/"))
        names: dict[str, Any] = {"__name__": "application"}
        exec(compile(code("A FastAPI application"), "application", "exec"), names)

        async def main() -> None:
            async with Application(names["app"]) as application:
                assert await application.get("/items/one") == (200, "/items/one")
                assert await application.get("/files/two") == (200, "/files/two")
                assert (await application.get("/items/missing"))[0] == 404
                _, metrics = await application.get("/metrics")
                assert re.search(r"pooledhttp_connections_created_total\{.*\} 1.0", metrics)
                names["UPSTREAM"] = "http://x.invalid"
                assert (await application.get("/items/one"))[0] == 502

        run(main())
        assert len(server.connections) == 1
