"""A scripted server in a process of its own, for tests that fork.

A forked child inherits every descriptor of its parent. A server in the parent's process would not
see the end of a connection while a child has a copy of the server's side of it; this one has
nothing to do with them.

    with ServerApart(tls=(chain, key)) as server:
        client.get(server.url("/a"))
        server.facts()["open"]

It responds to every request with its method and target, and reports on demand what it saw.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.scripted import Peer, ScriptedServer, SeenRequest, respond

__all__ = ["ServerApart"]

ROOT = Path(__file__).resolve().parents[2]

#: Longest time a fact is waited for; reached only when a test is failing.
PATIENCE_SECONDS = 20.0


class ServerApart:
    """The parent's end of it; see the module's text.

    Args:
        tls: Paths of a certificate chain and its key; None speaks plainly.
    """

    def __init__(self, tls: tuple[str, str] | None = None) -> None:
        self._scheme = "https" if tls else "http"
        self._command = [sys.executable, "-m", "tests.support.apart", *(tls or ())]
        self._process: subprocess.Popen[str]
        self.port = 0

    def __enter__(self) -> ServerApart:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.port = self.facts()["port"]
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=PATIENCE_SECONDS)

    def url(self, path: str = "/") -> str:
        """The URL of a path there."""
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"

    def facts(self) -> dict[str, Any]:
        """What it saw: `accepted`, `open`, `requests` (a list of method and target), `odd`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def wait_until(self, happened: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait for a fact.

        Raises:
            AssertionError: It did not come about.
        """
        pause = threading.Event()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not happened(facts := self.facts()):
            assert time.monotonic() < deadline, f"{what} did not come about: {facts}"
            pause.wait(0.02)


def _echo(seen: SeenRequest) -> bytes:
    return respond(f"{seen.method} {seen.target}".encode() * 10)


def main() -> None:
    """Serve until standard input ends; each line of it asks for the facts."""
    odd: list[str] = []

    def serve(peer: Peer) -> None:
        while True:
            try:
                seen = peer.read_request()
            except ValueError as error:  # what came was no request: two writers on one connection
                odd.append(repr(error))
                return
            peer.send(_echo(seen))

    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:])
    with ScriptedServer(serve, tls=context) as server:
        for _ in sys.stdin:
            facts = {
                "port": server.port,
                "accepted": len(server.connections),
                "open": server.open_count,
                "requests": [f"{seen.method} {seen.target}" for seen in server.requests],
                "odd": odd + [repr(error) for error in [*server.errors, *server.tls_failures]],
            }
            print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
