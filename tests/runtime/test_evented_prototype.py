"""That code written for threads can run on an event loop, and asyncio still sees its own task."""

from __future__ import annotations

import asyncio
import contextvars
import socket

import pytest

from pooledhttp.timing import Deadline
from tests.support.evented import EventedRuntime

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_cancellation_enters_at_the_wait() -> None:
    """Cancelling the task raises in the synchronous code, whose cleanup may wait."""

    async def main() -> list[str]:
        runtime = EventedRuntime()
        near, far = socket.socketpair()
        seen: list[str] = []

        def body() -> None:
            try:
                runtime.wait(near, True, False, Deadline.never(runtime.now))
            except asyncio.CancelledError:
                runtime.sleep(0)
                seen.append("cleaned up")
                raise

        with near, far:
            task = asyncio.create_task(runtime.run(body))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not asyncio.get_running_loop().remove_reader(near.fileno())
        return seen

    assert asyncio.run(main()) == ["cleaned up"]


def test_current_task_and_context_are_the_callers() -> None:
    """Inside, `current_task` is the awaiting task; variables set inside are seen outside."""

    async def main() -> None:
        runtime = EventedRuntime()
        variable.set("outside")

        def body() -> object:
            assert variable.get() == "outside"
            variable.set("inside")
            runtime.sleep(0.001)
            return asyncio.current_task()

        assert await runtime.run(body) is asyncio.current_task()
        assert variable.get() == "inside"

    asyncio.run(main())


def test_other_tasks_run_during_a_wait() -> None:
    """A hundred waits pass beside each other, not one after the other."""

    async def main() -> float:
        runtime = EventedRuntime()
        start = runtime.now()
        await asyncio.gather(*(runtime.run(runtime.sleep, 0.05) for _ in range(100)))
        return runtime.now() - start

    assert asyncio.run(main()) < 2


def test_timeout_block_of_asyncio_ends_the_wait() -> None:
    """`asyncio.timeout` around it works, as around any await."""

    async def main() -> None:
        runtime = EventedRuntime()
        async with asyncio.timeout(0.01):
            await runtime.run(lambda: runtime.waiter().wait(Deadline.never(runtime.now)))

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_waiting_outside_run_is_an_error() -> None:
    """A wait in plain coroutine code would block the loop; it is refused."""

    async def main() -> None:
        EventedRuntime().sleep(1)

    with pytest.raises(RuntimeError, match=r"EventedRuntime\.run"):
        asyncio.run(main())


def test_flag_raised_after_the_loop_closed_is_harmless() -> None:
    """A finalizer may come late."""

    async def main() -> EventedRuntime:
        return EventedRuntime()

    flag = asyncio.run(main()).waiter()
    flag.set()
    assert flag.is_set
