"""Sessions for asyncio: the same code as on threads, awaited.

    async with pooledhttp.AsyncSession() as session:
        response = await session.get("https://example.com/")

An `AsyncSession` has a `Session` inside, whose code runs in greenlets: where it has to wait, the
event loop runs other tasks. It needs greenlet, which the extra `aio` brings.
"""

from __future__ import annotations

from pooledhttp.aio.callables import await_here
from pooledhttp.aio.pool import AsyncPoolView
from pooledhttp.aio.response import AsyncResponse
from pooledhttp.aio.session import AsyncSession

__all__ = ["AsyncPoolView", "AsyncResponse", "AsyncSession", "await_here"]
