"""Running synchronous code on the runtime of event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

# Without it, every module that imports this one is skipped, and says why.
pytest.importorskip("greenlet", reason="needs the extra `aio`: greenlet")

from pooledhttp.runtime.evented import EventedRuntime

__all__ = ["EventedRuntime", "run_on_loop"]

T = TypeVar("T")


def run_on_loop(body: Callable[[EventedRuntime], T]) -> T:
    """Run `body(runtime)` in a greenlet on a loop of its own, in asyncio's debug mode."""

    async def main() -> T:
        runtime = EventedRuntime()
        return await runtime.run(body, runtime)

    return asyncio.run(main(), debug=True)
