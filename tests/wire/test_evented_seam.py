"""Everyday exchanges inside greenlets on an asyncio loop: the same session, pool and transport.

What is shown is the seam: nothing between a session and the socket waits in any other way than
through its runtime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import pooledhttp
from tests.support.certificates import Authority
from tests.support.evented import EventedRuntime, run_on_loop
from tests.support.scripted import (
    Peer,
    ScriptedServer,
    SeenRequest,
    answering,
    chunked,
    once,
    respond,
)


def echo(seen: SeenRequest) -> bytes:
    """Respond with the target of the request."""
    return respond(f"{seen.method} {seen.target} ".encode() + seen.body)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
def test_a_session_reuses_its_connection(authority: Authority, is_secure: bool) -> None:
    """Handshake, several exchanges and the end of the connection all wait on the loop."""
    tls = authority.server_context() if is_secure else None
    with ScriptedServer(answering(echo), tls=tls) as server:

        def body(runtime: EventedRuntime) -> list[str]:
            with pooledhttp.Session(runtime=runtime) as session:
                session.verify = authority.bundle
                texts = [session.get(server.url(f"/{n}")).text for n in range(5)]
                texts.append(session.post(server.url("/p"), data=b"x" * 300_000).text[:9])
                return texts

        assert run_on_loop(body) == [*(f"GET /{n} " for n in range(5)), "POST /p x"]
        assert len(server.connections) == 1


def test_greenlets_share_a_bounded_pool() -> None:
    """A greenlet without a slot waits on the loop while the exchange of the holder goes on."""
    with ScriptedServer(answering(echo)) as server:

        async def main() -> list[str]:
            runtime = EventedRuntime()
            config = pooledhttp.PoolConfig(max_per_host=2)
            session = pooledhttp.Session(runtime=runtime, pool=config)

            def get(number: int) -> str:
                text: str = session.get(server.url(f"/{number}")).text
                return text

            texts = await asyncio.gather(*(runtime.run(get, number) for number in range(20)))
            await runtime.run(session.close)
            return texts

        assert asyncio.run(main(), debug=True) == [f"GET /{n} " for n in range(20)]
        assert len(server.connections) <= 2


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (answering(chunked([b"a" * 10_000, b"b"])), "a" * 10_000 + "b"),
        (once(respond(b"until the end", length=None)), "until the end"),
    ],
)
def test_bodies_of_all_framings(handler: Callable[[Peer], None], text: str) -> None:
    """A body is read piece by piece, each wait on the loop."""
    with ScriptedServer(handler) as server:

        def body(runtime: EventedRuntime) -> str:
            with pooledhttp.Session(runtime=runtime) as session:
                with session.get(server.url(), stream=True) as response:
                    return b"".join(response.iter_content(1000)).decode()

        assert run_on_loop(body) == text


def test_a_timeout_ends_a_wait_on_the_loop() -> None:
    """A server that says nothing is given up, and its connection closed."""
    with ScriptedServer(lambda peer: peer.read_request() and peer.wait_closed()) as server:

        def body(runtime: EventedRuntime) -> None:
            with pooledhttp.Session(runtime=runtime) as session:
                session.get(server.url(), timeout=0.3)

        with pytest.raises(pooledhttp.exceptions.ReadTimeout, match="Read timed out"):
            run_on_loop(body)
        server.wait_all_closed()


def test_cancellation_gives_the_place_back() -> None:
    """`CancelledError` enters at the wait; the lease ends, and the pool is as before."""
    with ScriptedServer(lambda peer: peer.read_request() and peer.wait_closed()) as server:

        async def main() -> str:
            runtime = EventedRuntime()
            session = pooledhttp.Session(runtime=runtime)
            task = asyncio.ensure_future(runtime.run(session.get, server.url()))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return repr(session.pool)

        assert asyncio.run(main(), debug=True) == "<Pool 0 in use, 0 idle, 0 waiting>"
        server.wait_all_closed()
