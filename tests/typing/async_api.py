"""A program on an event loop, as a user writes it; mypy and pyright check it, nothing runs it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

import pooledhttp
from pooledhttp import AsyncSession, PoolConfig, PreparedRequest, Response, Retry, Session
from pooledhttp.adapters import BaseAdapter, HTTPAdapter
from pooledhttp.aio import AsyncPoolView, AsyncResponse, await_here
from pooledhttp.auth import HTTPDigestAuth


async def pieces() -> AsyncIterator[bytes]:
    """Yield a body."""
    await asyncio.sleep(0)
    yield b"piece"


class AsyncFile:
    """An open file of another library."""

    async def read(self, length: int = -1) -> bytes:
        """Read."""
        return b"" * length


async def whole(session: AsyncSession) -> None:
    """Responses with their bodies."""
    response = await session.get("https://a.test/", {"a": 1}, timeout=3, headers={"A": "b"})
    assert_type(response, Response)
    status: int = response.status_code
    text: str = response.text
    replies: list[Response] = await asyncio.gather(
        session.options("https://a.test/"),
        session.head("https://a.test/", allow_redirects=True),
        session.post("https://a.test/", data={"a": 1}, files={"f": io.BytesIO(b"x")}),
        session.post("https://a.test/", files={"f": AsyncFile()}),
        session.post("https://a.test/", files=[("f", ("name", AsyncFile()))]),
        session.post("https://a.test/", json={"a": [1, None]}, auth=HTTPDigestAuth("u", "p")),
        session.put("https://a.test/", pieces()),
        session.patch("https://a.test/", AsyncFile(), params=[("a", "b")]),
        session.delete("https://a.test/", stream=False),
        session.request("GET", b"https://a.test/", verify=Path("ca.pem"), cert=("a", "b")),
    )
    print(status, text, replies)


async def streamed(session: AsyncSession) -> None:
    """Bodies as they come."""
    response = await session.get("https://a.test/", stream=True)
    assert_type(response, AsyncResponse)
    async with response, await session.post("https://a.test/", stream=True) as other:
        async for piece in response.aiter_content(8192):
            assert_type(piece, bytes)
        async for part in response.aiter_content(decode_unicode=True):
            assert_type(part, str | bytes)
        async for line in other.aiter_lines():
            assert_type(line, bytes)
        body: bytes = await other.aread()
        written: int = await other.awrite_to(io.BytesIO())
        plain: Response = other
        await other.aclose()
    print(body, written, plain)


async def note(response: Response, *args: object, **kwargs: object) -> None:
    """A hook that is awaited."""
    await asyncio.sleep(0)
    print(response, args, kwargs)


async def sign(request: PreparedRequest) -> PreparedRequest:
    """Credentials that are awaited."""
    await asyncio.sleep(0)
    request.headers["Authorization"] = "token"
    return request


def plain_hook(response: Response, **kwargs: object) -> None:
    """A hook that awaits by itself."""
    print(response, kwargs, await_here(asyncio.sleep(0, "done")).upper())


def library(session: Session, url: str, *, times: int) -> list[str]:
    """Code for a session of requests."""
    return [session.get(url).text for _ in range(times)]


async def main() -> None:
    """A session, its settings and its pool."""
    async with AsyncSession(
        pool=PoolConfig(max_per_host=4),
        timeout=pooledhttp.Timeout(total=30),
        retries=Retry(total=3),
    ) as session:
        session.headers["A"] = "b"
        session.auth = sign
        session.auth = ("user", "password")
        session.hooks["response"].append(note)
        session.verify = "/path"
        session.max_redirects = 3
        session.mount("https://", HTTPAdapter(pool_maxsize=4))
        adapter: BaseAdapter = session.get_adapter("https://a.test/")
        await whole(session)
        await streamed(session)
        await session.get("https://a.test/", hooks={"response": [note, plain_hook]}, auth=sign)
        prepared = session.prepare_request(pooledhttp.Request("GET", "https://a.test/"))
        assert_type(await session.send(prepared), Response)
        assert_type(await session.send(prepared, stream=True), AsyncResponse)
        texts: list[str] = await session.run_sync(library, "https://a.test/", times=2)
        pool: AsyncPoolView = session.pool
        idle: int = await pool.warm("https://a.test/", 2)
        active: int = pool.stats().total.active
        pool.resize(PoolConfig(max_per_host=8))
        drained: bool = await pool.drain(1.0)
        other = AsyncSession(pool=pool)
        await other.close()
    print(adapter, texts, idle, active, drained)


asyncio.run(main())
