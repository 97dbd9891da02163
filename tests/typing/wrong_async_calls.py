"""Mistakes in the use of `AsyncSession`; type checkers report each line that is marked."""

from __future__ import annotations

import pooledhttp
from pooledhttp.aio import AsyncResponse


async def main(session: pooledhttp.AsyncSession) -> None:
    """Each marked line is a mistake."""
    session.get("https://a.test/").text  # error
    await session.get("https://a.test/", timeuot=3)  # error
    await session.get("https://a.test/", timeout="3")  # error
    await session.post("https://a.test/", data=object())  # error
    streamed: AsyncResponse = await session.get("https://a.test/")  # error
    whole = await session.get("https://a.test/", stream=True)
    for _ in whole.aiter_content():  # error
        pass
    session.pool.warm("https://a.test/").real  # error
    pooledhttp.AsyncSession(pool=pooledhttp.Session().pool)  # error
    print(streamed)
