"""Many requests at once on an asyncio event loop, over few connections; one of them is streamed.

Run it: python examples/on_an_event_loop.py    (needs greenlet)
"""

from __future__ import annotations

import asyncio

from local_server import local_server

from pooledhttp import AsyncSession, PoolConfig, RequestException


async def fetch(session: AsyncSession, url: str) -> str:
    """Return the text of a page, or what went wrong."""
    try:
        response = await session.get(url)
        response.raise_for_status()
        return response.text
    except RequestException as error:
        return type(error).__name__


async def main(base: str) -> None:
    """Fetch twenty pages, at most four at a time, and stream one more."""
    async with AsyncSession(pool=PoolConfig(max_per_host=4), timeout=10) as session:
        urls = [f"{base}/{number}" for number in range(19)] + [f"{base}/missing"]
        texts = await asyncio.gather(*(fetch(session, url) for url in urls))
        print(texts[:3], texts[-1])

        async with await session.get(f"{base}/streamed", stream=True) as response:
            pieces = [piece async for piece in response.aiter_content(4)]
            print(b"".join(pieces).decode())

        print("connections:", session.pool.stats().total.created)


if __name__ == "__main__":
    with local_server() as base:
        asyncio.run(main(base))
