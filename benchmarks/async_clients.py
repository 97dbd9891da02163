"""The clients on an event loop that are compared: each is made once, and then gets a URL.

A factory returns the client, for `async with`, and the function that gets the URL once and reads
the body. It raises ImportError where its library is not installed.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["ASYNC_CLIENTS", "Get"]

Get = Callable[[], Awaitable[object]]


def _pooledhttp(url: str, connections: int, bundle: str | None) -> tuple[Any, Get]:
    import pooledhttp

    limits = pooledhttp.PoolConfig(max_per_host=connections, max_idle_total=connections)
    session = pooledhttp.AsyncSession(pool=limits)
    session.verify = bundle or True

    async def get() -> None:
        _ = (await session.get(url)).content

    return session, get


def _aiohttp(url: str, connections: int, bundle: str | None) -> tuple[Any, Get]:
    aiohttp: Any = importlib.import_module("aiohttp")
    context = ssl.create_default_context(cafile=bundle)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections, ssl=context))

    async def get() -> None:
        async with session.get(url) as response:
            await response.read()

    return session, get


def _httpx(url: str, connections: int, bundle: str | None) -> tuple[Any, Get]:
    httpx: Any = importlib.import_module("httpx")
    client = httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=bundle),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        timeout=120,
    )

    async def get() -> None:
        _ = (await client.get(url)).content

    return client, get


ASYNC_CLIENTS: dict[str, Callable[[str, int, str | None], tuple[Any, Get]]] = {
    "pooledhttp": _pooledhttp,
    "aiohttp": _aiohttp,
    "httpx": _httpx,
}
