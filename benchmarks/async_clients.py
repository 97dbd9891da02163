"""The clients on an event loop that are compared: each is made once, and then gets a URL.

A factory returns the client, for `async with`, and the function that gets the URL once and reads
the body.
"""

from __future__ import annotations

import importlib
import importlib.util
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pooledhttp.transport import ParserChoice

__all__ = ["ASYNC_CLIENTS", "Get", "is_installed"]

Get = Callable[[], Awaitable[object]]

#: Called with a URL, the number of connections, and the file of the authority to trust.
Factory = Callable[[str, int, str | None], tuple[Any, Get]]


def _pooledhttp(parser: ParserChoice) -> Factory:
    def make(url: str, connections: int, bundle: str | None) -> tuple[Any, Get]:
        import pooledhttp

        limits = pooledhttp.PoolConfig(max_per_host=connections, max_idle_total=connections)
        session = pooledhttp.AsyncSession(pool=limits, parser=parser)
        # A context made once, as the others get it: a path would be looked at for each request.
        session.verify = ssl.create_default_context(cafile=bundle) if bundle else True

        async def get() -> None:
            _ = (await session.get(url)).content

        return session, get

    return make


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


def is_installed(name: str) -> bool:
    """Whether the libraries of a client are there."""
    needed = {"pooledhttp": "httptools", "with h11": "h11"}.get(name, name)
    return importlib.util.find_spec(needed) is not None


#: "pooledhttp" reads by httptools, as it does when that is installed.
ASYNC_CLIENTS: dict[str, Factory] = {
    "pooledhttp": _pooledhttp("httptools"),
    "with h11": _pooledhttp("h11"),
    "aiohttp": _aiohttp,
    "httpx": _httpx,
}
